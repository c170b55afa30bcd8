#include "engine/graph/load.h"

#include "tiling/base/alloc.h"

#include <stdarg.h>
#include <stdio.h>

pt_layer_name pt_name(const char *format, ...)
{
    pt_layer_name name;
    va_list args;
    va_start(args, format);
    vsnprintf(name.text, sizeof name.text, format, args);
    va_end(args);
    return name;
}

pt_status pt_load_find(const pt_model *model, const char *name, const char *part, const pt_tensor **out)
{
    pt_layer_name full = pt_name("%s.%s", name, part);
    const pt_tensor *tensor = pt_model_find(model, full.text);
    if (!tensor) {
        return pt_error(PT_E_INPUT, "tensor %s is missing", full.text);
    }
    *out = tensor;
    return pt_ok();
}

pt_status pt_load_floats(const pt_model *model, const char *name, const char *part, float **out)
{
    const pt_tensor *tensor;
    PT_TRY(pt_load_find(model, name, part, &tensor));
    float *values = pt_alloc_aligned(tensor->count, sizeof *values);
    if (!values) {
        return PT_NOMEM(name);
    }
    pt_tensor_to_float(tensor, values);
    *out = values;
    return pt_ok();
}

pt_status pt_load_conv(const pt_model *model, pt_backend *backend, const char *name, const char *bn,
                       int in_channels, int stride, pt_activation activation, pt_conv_spec *spec,
                       pt_conv **out)
{
    const pt_tensor *tensor;
    PT_TRY(pt_load_find(model, name, "weight", &tensor));
    if (tensor->dims != 4 || tensor->shape[1] < 1 || in_channels % tensor->shape[1] != 0) {
        return pt_error(PT_E_INPUT, "tensor %s.weight does not fit an input of %d channels", name,
                        in_channels);
    }
    *spec = (pt_conv_spec){
        .in_channels = in_channels,
        .out_channels = (int)tensor->shape[0],
        .kernel_h = (int)tensor->shape[2],
        .kernel_w = (int)tensor->shape[3],
        .stride = stride,
        .pad = (int)tensor->shape[2] / 2,
        .groups = in_channels / (int)tensor->shape[1],
        .activation = activation,
    };
    float *weights = pt_alloc_aligned(tensor->count, sizeof *weights);
    float *bias = pt_alloc_aligned((size_t)spec->out_channels, sizeof *bias);
    pt_status status = weights && bias ? pt_model_load_conv(model, name, bn, weights, bias) : PT_NOMEM(name);
    if (status.code != PT_OK) {
        pt_free(weights);
        pt_free(bias);
        return status;
    }
    return backend->ops->conv_new(backend, spec, weights, bias, out);
}
