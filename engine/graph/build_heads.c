#include "engine/graph/build.h"
#include "engine/graph/load.h"
#include "tiling/base/alloc.h"

#include <string.h>

/* A layer without a window, ready to be filled in. */
static pt_conv_spec pointwise(int in, int out, pt_activation activation)
{
    return (pt_conv_spec){.in_channels = in,
                          .out_channels = out,
                          .kernel_h = 1,
                          .kernel_w = 1,
                          .stride = 1,
                          .groups = 1,
                          .activation = activation};
}

/* Adds the layer and a node of it; takes the weights. */
static pt_status add_conv(pt_graph *graph, pt_backend *backend, pt_node_name name, const pt_conv_spec *spec,
                          pt_conv_weights *weights, int *at)
{
    pt_conv *conv;
    int layer;
    PT_TRY(backend->ops->conv_new(backend, spec, weights, &conv));
    PT_TRY(pt_graph_layer(graph, conv, spec, &layer));
    return pt_graph_conv(graph, name, layer, *at, -1, at);
}

/* The rows of `names` (a layer and one that follows on the same input, or NULL) one after the other. */
static pt_status load_rows(const pt_model *model, const char *const names[2], pt_conv_spec *spec,
                           pt_conv_weights *weights)
{
    const pt_tensor *tensors[2], *bias;
    int parts = names[1] ? 2 : 1;
    for (int i = 0; i < parts; i++) {
        PT_TRY(pt_load_find(model, names[i], "weight", &tensors[i]));
        spec->out_channels += (int)tensors[i]->shape[0];
        spec->in_channels = (int)tensors[i]->shape[1];
    }
    size_t inputs = (size_t)spec->in_channels, row = 0;
    weights->f32 = pt_alloc_aligned((size_t)spec->out_channels * inputs, sizeof(float));
    weights->bias = pt_alloc_aligned((size_t)spec->out_channels, sizeof(float));
    if (!weights->f32 || !weights->bias) {
        return PT_NOMEM(names[0]);
    }
    for (int i = 0; i < parts; i++) {
        PT_TRY(pt_load_find(model, names[i], "bias", &bias));
        pt_tensor_to_float(tensors[i], weights->f32 + row * inputs);
        pt_tensor_to_float(bias, weights->bias + row);
        row += (size_t)tensors[i]->shape[0];
    }
    return pt_ok();
}

/* A fully connected layer of `taps` pixels: the model stores its rows channel by channel. */
static pt_status add_linear(const pt_model *model, pt_backend *backend, pt_graph *graph,
                            const char *const names[2], size_t taps, pt_activation activation, int *at)
{
    pt_conv_spec spec = pointwise(0, 0, activation);
    pt_conv_weights weights = {0};
    pt_status status = load_rows(model, names, &spec, &weights);
    if (status.code == PT_OK) {
        status =
            pt_load_permute(&weights.f32, (size_t)spec.out_channels, (size_t)spec.in_channels / taps, taps);
    }
    if (status.code != PT_OK) {
        pt_conv_weights_free(&weights);
        return status;
    }
    pt_node_name name = {names[1] ? names[1] : names[0], PT_COMPONENT_BOX};
    return add_conv(graph, backend, name, &spec, &weights, at);
}

pt_status pt_build_box_head(const pt_model *model, pt_backend *backend, pt_parts *parts)
{
    static const char *const fc6[2] = {"roi_heads.box_head.fc6"}, *const fc7[2] = {"roi_heads.box_head.fc7"},
                             *const predictor[2] = {"roi_heads.box_predictor.cls_score",
                                                    "roi_heads.box_predictor.bbox_pred"};
    const pt_model_config *config = pt_model_get_config(model);
    int side = config->box_roi_size, at;
    PT_TRY(pt_graph_new(backend, &parts->box));
    pt_graph *graph = parts->box;
    PT_TRY(pt_graph_input(graph, "roi_heads.box_roi_pool", config->fpn_channels, PT_F32, (pt_quant){0},
                          &parts->box_in));
    pt_node_name flat = {"roi_heads.box_head.flatten", PT_COMPONENT_BOX};
    PT_TRY(pt_graph_flatten(graph, flat, parts->box_in, &at));
    PT_TRY(add_linear(model, backend, graph, fc6, (size_t)(side * side), PT_ACT_RELU, &at));
    PT_TRY(add_linear(model, backend, graph, fc7, 1, PT_ACT_RELU, &at));
    PT_TRY(add_linear(model, backend, graph, predictor, 1, PT_ACT_NONE, &at));
    parts->box_out = at;
    pt_graph_keep(graph, at, PT_STEP_BOXES);
    return pt_ok();
}

/* The transposed 2x2 convolution at stride 2 has no overlaps, so it is a 1x1 convolution with four outputs
 * for each of its own: weights (in, out, 2, 2) become (4 * out, in), sub-position by sub-position. */
static pt_status load_deconv(const pt_model *model, const char *name, pt_conv_spec *spec,
                             pt_conv_weights *weights)
{
    float *stored = NULL, *bias = NULL;
    pt_status status;
    const pt_tensor *tensor;
    PT_TRY_OUT(pt_load_find(model, name, "weight", &tensor));
    PT_TRY_OUT(pt_load_floats(model, name, "weight", &stored));
    PT_TRY_OUT(pt_load_floats(model, name, "bias", &bias));
    size_t ins = (size_t)tensor->shape[0], outs = (size_t)tensor->shape[1];
    *spec = pointwise((int)ins, 4 * (int)outs, PT_ACT_RELU);
    weights->f32 = pt_alloc_aligned(tensor->count, sizeof(float));
    weights->bias = pt_alloc_aligned(4 * outs, sizeof(float));
    if (!weights->f32 || !weights->bias) {
        status = PT_NOMEM(name);
        goto out;
    }
    for (size_t k = 0; k < 4; k++) {
        for (size_t o = 0; o < outs; o++) {
            weights->bias[k * outs + o] = bias[o];
            for (size_t i = 0; i < ins; i++) {
                weights->f32[(k * outs + o) * ins + i] = stored[(i * outs + o) * 4 + k];
            }
        }
    }
out:
    pt_free(stored);
    pt_free(bias);
    return status;
}

static pt_status add_deconv(const pt_model *model, pt_backend *backend, pt_graph *graph, int *at)
{
    pt_node_name name = {"roi_heads.mask_predictor.conv5_mask", PT_COMPONENT_MASK};
    pt_conv_spec spec;
    pt_conv_weights weights = {0};
    pt_status status = load_deconv(model, name.name, &spec, &weights);
    if (status.code != PT_OK) {
        pt_conv_weights_free(&weights);
        return status;
    }
    return add_conv(graph, backend, name, &spec, &weights, at);
}

pt_status pt_build_mask_head(const pt_model *model, pt_backend *backend, pt_parts *parts)
{
    const pt_model_config *config = pt_model_get_config(model);
    int channels = config->fpn_channels, at;
    PT_TRY(pt_graph_new(backend, &parts->mask));
    pt_graph *graph = parts->mask;
    PT_TRY(
        pt_graph_input(graph, "roi_heads.mask_roi_pool", channels, PT_F32, (pt_quant){0}, &parts->mask_in));
    at = parts->mask_in;
    for (int i = 0; i < config->mask_conv_count; i++) {
        pt_layer_name name = pt_name("roi_heads.mask_head.%d.0", i);
        pt_load_layer layer = {name.text, .in_channels = channels, .stride = 1, .activation = PT_ACT_RELU};
        pt_conv_spec spec;
        pt_conv *conv;
        int number;
        PT_TRY(pt_load_conv(model, backend, &layer, &spec, &conv));
        PT_TRY(pt_graph_layer(graph, conv, &spec, &number));
        PT_TRY(pt_graph_conv(graph, (pt_node_name){name.text, PT_COMPONENT_MASK}, number, at, -1, &at));
        channels = spec.out_channels;
    }
    PT_TRY(add_deconv(model, backend, graph, &at));
    parts->mask_out = at;
    pt_graph_keep(graph, at, PT_STEP_MASKS);
    PT_TRY(
        pt_load_floats(model, "roi_heads.mask_predictor.mask_fcn_logits", "weight", &parts->logits_weights));
    return pt_load_floats(model, "roi_heads.mask_predictor.mask_fcn_logits", "bias", &parts->logits_bias);
}
