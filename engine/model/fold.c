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

/* y = (x - mean) / sqrt(var + eps) * weight + bias, as a factor and a summand per channel, in double: the
 * only rounding to FP32 is that of the folded numbers. */
static pt_status fold_batch_norm(const pt_model *model, const char *bn, size_t out, size_t row, float *w,
                                 float *b, float *scratch)
{
    static const char *const parts[4] = {"weight", "bias", "running_mean", "running_var"};
    for (size_t i = 0; i < 4; i++) {
        const pt_tensor *part = find_part(model, bn, parts[i]);
        if (!part) {
            return bad_tensor(bn, parts[i], "is missing");
        }
        if (part->count != out) {
            return bad_tensor(bn, parts[i], "has another length than its convolution has outputs");
        }
        pt_tensor_to_float(part, scratch + i * out);
    }
    double eps = (double)model->description.config.bn_eps;
    for (size_t o = 0; o < out; o++) {
        double variance = (double)scratch[3 * out + o] + eps;
        if (!(variance > 0)) {
            return bad_tensor(bn, "running_var", "holds a variance that with bn_eps added is not positive");
        }
        double factor = (double)scratch[o] / sqrt(variance);
        for (size_t i = 0; i < row; i++) {
            w[o * row + i] = (float)((double)w[o * row + i] * factor);
        }
        b[o] = (float)(((double)b[o] - (double)scratch[2 * out + o]) * factor + (double)scratch[out + o]);
    }
    return pt_ok();
}

static bool all_finite(const float *values, size_t count)
{
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        finite &= isfinite(values[i]) != 0;
    }
    return finite;
}

pt_status pt_model_load_conv(const pt_model *model, const char *conv, const char *bn, float *w, float *b)
{
    const pt_tensor *weight = find_part(model, conv, "weight");
    if (!weight) {
        return bad_tensor(conv, "weight", "is missing");
    }
    size_t out = (size_t)weight->shape[0];
    pt_tensor_to_float(weight, w);
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
    float *scratch = pt_alloc(4 * out, sizeof *scratch);
    if (!scratch) {
        return PT_NOMEM("the folding of a batch norm");
    }
    pt_status status = fold_batch_norm(model, bn, out, weight->count / out, w, b, scratch);
    pt_free(scratch);
    if (status.code == PT_OK && (!all_finite(w, weight->count) || !all_finite(b, out))) {
        status = bad_tensor(conv, "weight", "exceeds FP32 once its batch norm is folded in");
    }
    return status;
}
