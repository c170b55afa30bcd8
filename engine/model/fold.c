#include "engine/model/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const pt_tensor *find_part(const pt_model *model, const char *module, const char *part)
{
    char name[PT_TENSOR_NAME_MAX + 1];
    int length = snprintf(name, sizeof name, "%s.%s", module, part);
    return length > 0 && length <= PT_TENSOR_NAME_MAX ? pt_model_find(model, name) : NULL;
}

static pt_status bad_tensor(const char *module, const char *part, const char *why)
{
    return pt_error(PT_E_INPUT, "tensor %.100s.%s %s", module, part, why);
}

/* y = (x - mean) * factor + bias with factor = weight / sqrt(var + eps): `numbers` (3 x out) gets mean,
 * factor and bias per channel, in double. scratch: out floats. */
static pt_status read_norm(const pt_model *model, const char *bn, size_t out, double *numbers, float *scratch)
{
    static const char *const parts[4] = {"weight", "bias", "running_mean", "running_var"};
    double eps = (double)model->description.config.bn_eps;
    for (size_t i = 0; i < 4; i++) {
        const pt_tensor *part = find_part(model, bn, parts[i]);
        if (!part) {
            return bad_tensor(bn, parts[i], "is missing");
        }
        if (part->count != out) {
            return bad_tensor(bn, parts[i], "has another length than its convolution has outputs");
        }
        pt_tensor_to_float(part, scratch);
        for (size_t o = 0; o < out; o++) {
            if (i < 3) {
                numbers[i * out + o] = (double)scratch[o];
            } else if ((double)scratch[o] + eps > 0) {
                numbers[o] /= sqrt((double)scratch[o] + eps);
            } else {
                return bad_tensor(bn, parts[3], "holds a variance that with bn_eps added is not positive");
            }
        }
    }
    return pt_ok();
}

/* Allocates what read_norm fills. */
static pt_status load_norm(const pt_model *model, const char *bn, size_t out, double **numbers)
{
    float *scratch = pt_alloc(out, sizeof *scratch);
    *numbers = pt_alloc(3 * out, sizeof **numbers);
    pt_status status = scratch && *numbers ? read_norm(model, bn, out, *numbers, scratch)
                                           : PT_NOMEM("the folding of a batch norm");
    pt_free(scratch);
    if (status.code != PT_OK) {
        pt_free(*numbers);
        *numbers = NULL;
    }
    return status;
}

static bool all_finite(const float *values, size_t count)
{
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        finite &= isfinite(values[i]) != 0;
    }
    return finite;
}

static pt_status too_large(const char *conv)
{
    return bad_tensor(conv, "weight", "exceeds FP32 once its batch norm is folded in");
}

/* The only rounding to FP32 is that of the folded numbers. */
static pt_status fold_bias(const pt_model *model, const char *conv, const char *bn, size_t out, float *b,
                           double **numbers)
{
    if (!bn || !find_part(model, bn, "weight")) {
        return pt_ok();
    }
    PT_TRY(load_norm(model, bn, out, numbers));
    for (size_t o = 0; o < out; o++) {
        double factor = (*numbers)[o], bias = (*numbers)[out + o], mean = (*numbers)[2 * out + o];
        b[o] = (float)(((double)b[o] - mean) * factor + bias);
    }
    if (!all_finite(b, out)) {
        pt_free(*numbers);
        *numbers = NULL;
        return too_large(conv);
    }
    return pt_ok();
}

pt_status pt_stored_conv_open(const pt_model *model, const char *conv, const char *bn, float *b,
                              pt_stored_conv *out)
{
    const pt_tensor *weight = find_part(model, conv, "weight");
    if (!weight) {
        return bad_tensor(conv, "weight", "is missing");
    }
    size_t outputs = (size_t)weight->shape[0];
    double *numbers = NULL;
    memset(b, 0, outputs * sizeof *b);
    const pt_tensor *bias = find_part(model, conv, "bias");
    if (bias) {
        if (bias->count != outputs) {
            return bad_tensor(conv, "bias", "has another length than its convolution has outputs");
        }
        pt_tensor_to_float(bias, b);
    }
    PT_TRY(fold_bias(model, conv, bn, outputs, b, &numbers));
    *out = (pt_stored_conv){.name = conv,
                            .weight = weight,
                            .numbers = numbers,
                            .outputs = outputs,
                            .row = weight->count / outputs};
    return pt_ok();
}

pt_status pt_stored_conv_load(const pt_stored_conv *rows, size_t o, float *w)
{
    pt_tensor part = *rows->weight;
    size_t size = part.dtype == PT_DTYPE_F32 ? 4 : 2;
    part.data = (const char *)part.data + o * rows->row * size;
    part.count = rows->row;
    pt_tensor_to_float(&part, w);
    if (!rows->numbers) {
        return pt_ok();
    }
    double factor = rows->numbers[o];
    for (size_t i = 0; i < rows->row; i++) {
        w[i] = (float)((double)w[i] * factor);
    }
    return all_finite(w, rows->row) ? pt_ok() : too_large(rows->name);
}

void pt_stored_conv_close(pt_stored_conv *rows)
{
    pt_free(rows->numbers);
    *rows = (pt_stored_conv){.numbers = NULL};
}

/* The file's pages are given back now and then, so that a large tensor never lies in memory as stored and as
 * floats at once. */
pt_status pt_model_load_conv(const pt_model *model, const char *conv, const char *bn, float *w, float *b)
{
    enum { KEEP = 1 << 20 }; /* numbers */
    pt_stored_conv rows;
    PT_TRY(pt_stored_conv_open(model, conv, bn, b, &rows));
    pt_status status = pt_ok();
    for (size_t o = 0, kept = 0; o < rows.outputs && status.code == PT_OK; o++) {
        status = pt_stored_conv_load(&rows, o, w + o * rows.row);
        kept += rows.row;
        if (kept >= KEEP) {
            pt_model_release_pages(model);
            kept = 0;
        }
    }
    pt_stored_conv_close(&rows);
    return status;
}

pt_status pt_model_load_norm(const pt_model *model, const char *bn, size_t channels, float *scale,
                             float *shift)
{
    double *numbers;
    PT_TRY(load_norm(model, bn, channels, &numbers));
    for (size_t o = 0; o < channels; o++) {
        scale[o] = (float)numbers[o];
        shift[o] = (float)(numbers[channels + o] - numbers[2 * channels + o] * numbers[o]);
    }
    pt_free(numbers);
    return all_finite(scale, channels) && all_finite(shift, channels)
               ? pt_ok()
               : bad_tensor(bn, "weight", "exceeds FP32 as a factor and a summand");
}
