#include "engine/graph/build.h"

#include "engine/graph/load.h"
#include "tiling/base/alloc.h"

#include <string.h>

typedef struct builder {
    const pt_model *model;
    const pt_model_config *config;
    pt_backend *backend;
    pt_graph *graph;
    int at;       /* the value that the next layer reads */
    int channels; /* of it */
    int taps[PT_MODEL_MAX_LEVELS];
    int tap_count;
} builder;

static pt_status add_layer(builder *b, const char *name, const char *bn, int in_channels, int stride,
                           pt_activation activation, int *layer, int *channels)
{
    pt_conv_spec spec;
    pt_conv *conv;
    PT_TRY(pt_load_conv(b->model, b->backend, name, bn, in_channels, stride, activation, &spec, &conv));
    *channels = spec.out_channels;
    return pt_graph_layer(b->graph, conv, &spec, layer);
}

/* A convolution of the current value, plus `add` (or -1). */
static pt_status conv(builder *b, const char *name, const char *bn, int stride, pt_activation activation,
                      int add)
{
    int layer, channels;
    PT_TRY(add_layer(b, name, bn, b->channels, stride, activation, &layer, &channels));
    PT_TRY(pt_graph_conv(b->graph, layer, b->at, add, &b->at));
    b->channels = channels;
    return pt_ok();
}

/* The current value enters the pyramid if the configuration says so. */
static void tap(builder *b, int index)
{
    if (b->tap_count < b->config->tap_count && b->config->taps[b->tap_count] == index) {
        pt_graph_mark(b->graph, b->at, "C", b->tap_count);
        b->taps[b->tap_count++] = b->at;
    }
}

/* Bottleneck as ResNet v1.5 has it: the stride is in the 3x3 convolution. */
static pt_status bottleneck(builder *b, int layer, int block, int stride)
{
    pt_layer_name root = pt_name("backbone.body.layer%d.%d", layer, block);
    pt_layer_name name = pt_name("%s.downsample.0", root.text), bn = pt_name("%s.downsample.1", root.text);
    pt_layer_name weight = pt_name("%s.weight", name.text);
    int input = b->at, channels = b->channels, shortcut = input;
    if (pt_model_find(b->model, weight.text)) {
        PT_TRY(conv(b, name.text, bn.text, stride, PT_ACT_NONE, -1));
        shortcut = b->at;
    }
    b->at = input;
    b->channels = channels;
    for (int i = 1; i <= 3; i++) {
        name = pt_name("%s.conv%d", root.text, i);
        bn = pt_name("%s.bn%d", root.text, i);
        PT_TRY(conv(b, name.text, bn.text, i == 2 ? stride : 1, PT_ACT_RELU, i == 3 ? shortcut : -1));
    }
    return pt_ok();
}

static pt_status resnet(builder *b)
{
    PT_TRY(conv(b, "backbone.body.conv1", "backbone.body.bn1", 2, PT_ACT_RELU, -1));
    PT_TRY(pt_graph_pool(b->graph, b->at, 3, 2, 1, &b->at));
    for (int layer = 1; layer <= b->config->taps[b->config->tap_count - 1]; layer++) {
        for (int i = 0;; i++) {
            pt_layer_name first = pt_name("backbone.body.layer%d.%d.conv1.weight", layer, i);
            if (!pt_model_find(b->model, first.text)) {
                break;
            }
            PT_TRY(bottleneck(b, layer, i, layer > 1 && i == 0 ? 2 : 1));
        }
        tap(b, layer);
    }
    return pt_ok();
}

/* conv.N.0 with batch norm conv.N.1: one of torchvision's Conv2dNormActivation inside a block. */
static pt_status inner_conv(builder *b, const char *root, int n, int stride)
{
    pt_layer_name name = pt_name("%s.conv.%d.0", root, n), bn = pt_name("%s.conv.%d.1", root, n);
    return conv(b, name.text, bn.text, stride, PT_ACT_RELU6, -1);
}

/* An inverted residual: 1x1 expansion (absent in the first block), 3x3 depthwise, 1x1 projection without
 * activation; the input is added where the shapes allow it. */
static pt_status inverted_residual(builder *b, int index, int stride)
{
    pt_layer_name root = pt_name("backbone.body.%d", index);
    pt_layer_name second = pt_name("%s.conv.1.0.weight", root.text);
    int input = b->at, channels = b->channels, n = 0;
    if (pt_model_find(b->model, second.text)) {
        PT_TRY(inner_conv(b, root.text, n++, 1));
    }
    PT_TRY(inner_conv(b, root.text, n++, stride));
    pt_layer_name name = pt_name("%s.conv.%d", root.text, n), bn = pt_name("%s.conv.%d", root.text, n + 1);
    const pt_tensor *weight;
    PT_TRY(pt_load_find(b->model, name.text, "weight", &weight));
    bool residual = stride == 1 && weight->shape[0] == channels;
    return conv(b, name.text, bn.text, 1, PT_ACT_NONE, residual ? input : -1);
}

static pt_status mobilenet(builder *b)
{
    PT_TRY(conv(b, "backbone.body.0.0", "backbone.body.0.1", 2, PT_ACT_RELU6, -1));
    tap(b, 0);
    for (int i = 1; i <= b->config->taps[b->config->tap_count - 1]; i++) {
        if (i == 18) { /* the 1x1 convolution after the blocks */
            PT_TRY(conv(b, "backbone.body.18.0", "backbone.body.18.1", 1, PT_ACT_RELU6, -1));
        } else {
            PT_TRY(inverted_residual(b, i, i == 2 || i == 4 || i == 7 || i == 14 ? 2 : 1));
        }
        tap(b, i);
    }
    return pt_ok();
}

static pt_status lateral(builder *b, int level, int *out)
{
    pt_layer_name name = pt_name("backbone.fpn.inner_blocks.%d.0", level);
    b->at = b->taps[level];
    b->channels = b->config->tap_channels[level];
    PT_TRY(conv(b, name.text, NULL, 1, PT_ACT_NONE, -1));
    *out = b->at;
    return pt_ok();
}

static pt_status pyramid(builder *b, int *levels)
{
    int top = -1;
    for (int i = b->config->tap_count - 1; i >= 0; i--) {
        int side;
        PT_TRY(lateral(b, i, &side));
        if (top >= 0) {
            PT_TRY(pt_graph_upsample_add(b->graph, top, side, &b->at));
        }
        top = b->at;
        pt_layer_name name = pt_name("backbone.fpn.layer_blocks.%d.0", i);
        PT_TRY(conv(b, name.text, NULL, 1, PT_ACT_NONE, -1));
        levels[i] = b->at;
    }
    int last = b->config->tap_count;
    PT_TRY(pt_graph_pool(b->graph, levels[last - 1], 1, 2, 0, &levels[last]));
    for (int i = 0; i <= last; i++) {
        pt_graph_mark(b->graph, levels[i], "P", i);
        pt_graph_keep(b->graph, levels[i],
                      i < b->config->roi_level_count ? PT_STEP_MASKS : PT_STEP_PROPOSALS);
    }
    return pt_ok();
}

/* Objectness and deltas as one 1x1 convolution. */
static pt_status predictor(builder *b, int channels, int *layer)
{
    int anchors = b->config->anchors_per_cell;
    pt_conv_spec spec = {channels, 5 * anchors, 1, 1, 1, 0, 1, PT_ACT_NONE};
    size_t scores = (size_t)anchors * (size_t)channels;
    float *weights = pt_alloc_aligned(5 * scores, sizeof *weights);
    float *bias = pt_alloc_aligned(5 * (size_t)anchors, sizeof *bias);
    pt_status status = weights && bias ? pt_ok() : PT_NOMEM("rpn.head");
    if (status.code == PT_OK) {
        status = pt_model_load_conv(b->model, "rpn.head.cls_logits", NULL, weights, bias);
    }
    if (status.code == PT_OK) {
        status = pt_model_load_conv(b->model, "rpn.head.bbox_pred", NULL, weights + scores, bias + anchors);
    }
    if (status.code != PT_OK) {
        pt_free(weights);
        pt_free(bias);
        return status;
    }
    pt_conv *made;
    PT_TRY(b->backend->ops->conv_new(b->backend, &spec, weights, bias, &made));
    return pt_graph_layer(b->graph, made, &spec, layer);
}

static pt_status rpn(builder *b, const int *levels, int *answers)
{
    int layers[PT_MASK_MAX_CONVS], last, channels = b->config->fpn_channels;
    int count = b->config->rpn_conv_count;
    if (count < 1 || count > PT_MASK_MAX_CONVS) {
        return pt_error(PT_E_UNSUPPORTED, "rpn.head has %d convolutions; 1 to %d are supported", count,
                        PT_MASK_MAX_CONVS);
    }
    for (int i = 0; i < count; i++) {
        pt_layer_name name = pt_name("rpn.head.conv.%d.0", i);
        PT_TRY(add_layer(b, name.text, NULL, channels, 1, PT_ACT_RELU, &layers[i], &channels));
    }
    PT_TRY(predictor(b, channels, &last));
    for (int l = 0; l < b->config->level_count; l++) {
        int at = levels[l];
        for (int i = 0; i < count; i++) {
            PT_TRY(pt_graph_conv(b->graph, layers[i], at, -1, &at));
        }
        PT_TRY(pt_graph_conv(b->graph, last, at, -1, &answers[l]));
        pt_graph_mark(b->graph, answers[l], "rpn", l);
        pt_graph_keep(b->graph, answers[l], PT_STEP_PROPOSALS);
    }
    return pt_ok();
}

pt_status pt_build_graph(const pt_model *model, pt_backend *backend, pt_graph *graph,
                         pt_backbone_values *values)
{
    builder b = {.model = model, .config = pt_model_get_config(model), .backend = backend, .graph = graph};
    PT_TRY(pt_graph_input(graph, 3, &values->input));
    b.at = values->input;
    b.channels = 3;
    PT_TRY(b.config->arch == PT_ARCH_MOBILENET_V2 ? mobilenet(&b) : resnet(&b));
    if (b.tap_count != b.config->tap_count) {
        return pt_error(PT_E_INPUT, "the backbone has %d of the pyramid's %d inputs", b.tap_count,
                        b.config->tap_count);
    }
    PT_TRY(pyramid(&b, values->levels));
    return rpn(&b, values->levels, values->rpn);
}
