#include "engine/graph/build.h"
#include "engine/graph/load.h"
#include "tiling/base/alloc.h"

#include <string.h>

/* Fully connected layer `name`, followed by `second` (or NULL) on the same inputs: their outputs one after
 * the other. */
static pt_status load_linear(const pt_model *model, pt_backend *backend, const char *name, const char *second,
                             pt_activation activation, pt_linear **out)
{
    const char *const names[2] = {name, second};
    const pt_tensor *tensors[2];
    int parts = second ? 2 : 1;
    pt_linear_spec spec = {.activation = activation};
    for (int i = 0; i < parts; i++) {
        PT_TRY(pt_load_find(model, names[i], "weight", &tensors[i]));
        spec.outputs += (int)tensors[i]->shape[0];
        spec.inputs = (int)tensors[i]->shape[1];
    }
    float *weights = pt_alloc_aligned((size_t)spec.outputs * (size_t)spec.inputs, sizeof *weights);
    float *bias = pt_alloc_aligned((size_t)spec.outputs, sizeof *bias);
    pt_status status = weights && bias ? pt_ok() : PT_NOMEM(name);
    size_t row = 0;
    for (int i = 0; i < parts && status.code == PT_OK; i++) {
        const pt_tensor *tensor;
        status = pt_load_find(model, names[i], "bias", &tensor);
        if (status.code == PT_OK) {
            pt_tensor_to_float(tensors[i], weights + row * (size_t)spec.inputs);
            pt_tensor_to_float(tensor, bias + row);
            row += (size_t)tensors[i]->shape[0];
        }
    }
    if (status.code != PT_OK) {
        pt_free(weights);
        pt_free(bias);
        return status;
    }
    return backend->ops->linear_new(backend, &spec, weights, bias, out);
}

pt_status pt_build_box_head(const pt_model *model, pt_backend *backend, pt_box_head *head)
{
    const pt_model_config *config = pt_model_get_config(model);
    head->channels = config->fpn_channels;
    head->roi_size = config->box_roi_size;
    head->width = config->box_fc;
    head->classes = config->class_count;
    PT_TRY(load_linear(model, backend, "roi_heads.box_head.fc6", NULL, PT_ACT_RELU, &head->fc6));
    PT_TRY(load_linear(model, backend, "roi_heads.box_head.fc7", NULL, PT_ACT_RELU, &head->fc7));
    return load_linear(model, backend, "roi_heads.box_predictor.cls_score",
                       "roi_heads.box_predictor.bbox_pred", PT_ACT_NONE, &head->predictor);
}

/* The transposed 2x2 convolution at stride 2 has no overlaps, so it is a 1x1 convolution with four outputs
 * for each of its own: weights (in, out, 2, 2) become (out * 4, in). */
static pt_status load_deconv(const pt_model *model, pt_backend *backend, const char *name, pt_conv **out)
{
    float *stored = NULL, *weights = NULL, *bias = NULL, *wide_bias = NULL;
    pt_status status;
    const pt_tensor *tensor;
    PT_TRY_OUT(pt_load_find(model, name, "weight", &tensor));
    PT_TRY_OUT(pt_load_floats(model, name, "weight", &stored));
    PT_TRY_OUT(pt_load_floats(model, name, "bias", &bias));
    size_t in = (size_t)tensor->shape[0], outs = 4 * (size_t)tensor->shape[1];
    weights = pt_alloc_aligned(tensor->count, sizeof *weights);
    wide_bias = pt_alloc_aligned(outs, sizeof *wide_bias);
    if (!weights || !wide_bias) {
        status = PT_NOMEM(name);
        goto out;
    }
    for (size_t o = 0; o < outs; o++) {
        wide_bias[o] = bias[o / 4];
        for (size_t i = 0; i < in; i++) {
            weights[o * in + i] = stored[i * outs + o];
        }
    }
    pt_conv_spec spec = {(int)in, (int)outs, 1, 1, 1, 0, 1, PT_ACT_RELU};
    status = backend->ops->conv_new(backend, &spec, weights, wide_bias, out);
    weights = wide_bias = NULL;
out:
    pt_free(stored);
    pt_free(weights);
    pt_free(bias);
    pt_free(wide_bias);
    return status;
}

pt_status pt_build_mask_head(const pt_model *model, pt_backend *backend, pt_mask_head *head)
{
    const pt_model_config *config = pt_model_get_config(model);
    int channels = config->fpn_channels;
    head->in_channels = channels;
    head->roi_size = config->mask_roi_size;
    head->classes = config->class_count;
    if (config->mask_conv_count > PT_MASK_MAX_CONVS) {
        return pt_error(PT_E_UNSUPPORTED, "roi_heads.mask_head has %d convolutions; at most %d are supported",
                        config->mask_conv_count, PT_MASK_MAX_CONVS);
    }
    for (; head->conv_count < config->mask_conv_count; head->conv_count++) {
        pt_layer_name name = pt_name("roi_heads.mask_head.%d.0", head->conv_count);
        pt_conv_spec spec;
        PT_TRY(pt_load_conv(model, backend, name.text, NULL, channels, 1, PT_ACT_RELU, &spec,
                            &head->convs[head->conv_count]));
        channels = spec.out_channels;
    }
    head->channels = channels;
    PT_TRY(load_deconv(model, backend, "roi_heads.mask_predictor.conv5_mask", &head->deconv));
    PT_TRY(pt_load_floats(model, "roi_heads.mask_predictor.mask_fcn_logits", "weight", &head->weights));
    return pt_load_floats(model, "roi_heads.mask_predictor.mask_fcn_logits", "bias", &head->bias);
}

void pt_free_heads(pt_backend *backend, pt_box_head *box, pt_mask_head *mask)
{
    backend->ops->linear_free(backend, box->fc6);
    backend->ops->linear_free(backend, box->fc7);
    backend->ops->linear_free(backend, box->predictor);
    for (int i = 0; i < mask->conv_count; i++) {
        backend->ops->conv_free(backend, mask->convs[i]);
    }
    backend->ops->conv_free(backend, mask->deconv);
    pt_free(mask->weights);
    pt_free(mask->bias);
    *box = (pt_box_head){0};
    *mask = (pt_mask_head){0};
}
