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

pt_status pt_load_permute(float **weights, size_t outputs, size_t channels, size_t taps)
{
    if (taps == 1 || channels == 1) {
        return pt_ok();
    }
    size_t row = channels * taps;
    float *to = pt_alloc_aligned(outputs * row, sizeof *to);
    if (!to) {
        return PT_NOMEM("a layer's weights");
    }
    for (size_t o = 0; o < outputs; o++) {
        for (size_t c = 0; c < channels; c++) {
            for (size_t t = 0; t < taps; t++) {
                to[o * row + t * channels + c] = (*weights)[o * row + c * taps + t];
            }
        }
    }
    pt_free(*weights);
    *weights = to;
    return pt_ok();
}

static pt_status load_weights(const pt_model *model, const pt_load_layer *layer, const pt_tensor *tensor,
                              pt_conv_weights *weights)
{
    size_t outputs = (size_t)tensor->shape[0], channels = (size_t)tensor->shape[1];
    weights->f32 = pt_alloc_aligned(tensor->count, sizeof *weights->f32);
    weights->bias = pt_alloc_aligned(outputs, sizeof *weights->bias);
    if (!weights->f32 || !weights->bias) {
        return PT_NOMEM(layer->name);
    }
    PT_TRY(pt_model_load_conv(model, layer->name, layer->bn, weights->f32, weights->bias));
    return pt_load_permute(&weights->f32, outputs, channels, (size_t)(tensor->shape[2] * tensor->shape[3]));
}

pt_status pt_load_conv(const pt_model *model, pt_backend *backend, const pt_load_layer *layer,
                       pt_conv_spec *spec, pt_conv **out)
{
    const pt_tensor *tensor;
    PT_TRY(pt_load_find(model, layer->name, "weight", &tensor));
    if (tensor->dims != 4 || tensor->shape[1] < 1 || layer->in_channels % tensor->shape[1] != 0) {
        return pt_error(PT_E_INPUT, "tensor %s.weight does not fit an input of %d channels", layer->name,
                        layer->in_channels);
    }
    *spec = (pt_conv_spec){
        .in_channels = layer->in_channels,
        .out_channels = (int)tensor->shape[0],
        .kernel_h = (int)tensor->shape[2],
        .kernel_w = (int)tensor->shape[3],
        .stride = layer->stride,
        .pad = (int)tensor->shape[2] / 2,
        .groups = layer->in_channels / (int)tensor->shape[1],
        .activation = layer->activation,
        .add = layer->add,
    };
    pt_conv_weights weights = {0};
    pt_status status = load_weights(model, layer, tensor, &weights);
    if (status.code != PT_OK) {
        pt_conv_weights_free(&weights);
        return status;
    }
    return backend->ops->conv_new(backend, spec, &weights, out);
}
