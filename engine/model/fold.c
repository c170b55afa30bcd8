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

/* The only rounding to FP32 is that of the folded numbers. */
static void fold_norm(const double *numbers, size_t out, size_t row, float *w, float *b)
{
    for (size_t o = 0; o < out; o++) {
        double factor = numbers[o], bias = numbers[out + o], mean = numbers[2 * out + o];
        for (size_t i = 0; i < row; i++) {
            w[o * row + i] = (float)((double)w[o * row + i] * factor);
        }
        b[o] = (float)(((double)b[o] - mean) * factor + bias);
    }
}

static bool all_finite(const float *values, size_t count)
{
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        finite &= isfinite(values[i]) != 0;
    }
    return finite;
}

/* Part by part, so that a large tensor never lies in memory as stored and as floats at once. */
static void to_floats(const pt_model *model, const pt_tensor *tensor, float *out)
{
    enum { PART = 1 << 20 };
    size_t size = tensor->dtype == PT_DTYPE_F32 ? 4 : 2;
    for (size_t at = 0; at < tensor->count; at += PART) {
        pt_tensor part = *tensor;
        part.data = (const char *)tensor->data + at * size;
        part.count = tensor->count - at < PART ? tensor->count - at : PART;
        pt_tensor_to_float(&part, out + at);
        pt_model_release_pages(model);
    }
}

pt_status pt_model_load_conv(const pt_model *model, const char *conv, const char *bn, float *w, float *b)
{
    const pt_tensor *weight = find_part(model, conv, "weight");
    if (!weight) {
        return bad_tensor(conv, "weight", "is missing");
    }
    size_t out = (size_t)weight->shape[0];
    to_floats(model, weight, w);
    memset(b, 0, out * sizeof *b);
    const pt_tensor *bias = find_part(model, conv, "bias");
    if (bias) {
        if (bias->count != out) {
            return bad_tensor(conv, "bias", "has another length than its convolution has outputs");
        }
        pt_tensor_to_float(bias, b);
    }
    if (!bn || !find_part(model, bn, "weight")) {
        return pt_ok();
    }
    double *numbers;
    PT_TRY(load_norm(model, bn, out, &numbers));
    fold_norm(numbers, out, weight->count / out, w, b);
    pt_free(numbers);
    return all_finite(w, weight->count) && all_finite(b, out)
               ? pt_ok()
               : bad_tensor(conv, "weight", "exceeds FP32 once its batch norm is folded in");
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
