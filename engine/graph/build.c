#include "engine/graph/build.h"

#include "engine/graph/load.h"
#include "tiling/base/alloc.h"

#include <string.h>

typedef struct builder {
    const pt_model *model;
    const pt_model_config *config;
    pt_backend *backend;
    pt_graph *graph;
    pt_component component;
    int at;       /* the value that the next layer reads */
    int channels; /* of it */
    int taps[PT_MODEL_MAX_LEVELS];
    int tap_count;
} builder;

static pt_status add_layer(builder *b, const pt_load_layer *from, int *layer, int *channels)
{
    pt_conv_spec spec;
    pt_conv *conv;
    PT_TRY(pt_load_conv(b->model, b->backend, from, &spec, &conv));
    *channels = spec.out_channels;
    return pt_graph_layer(b->graph, conv, &spec, layer);
}

/* A convolution of the current value; `summand` is -1 where from.add is PT_ADD_NONE. */
static pt_status conv(builder *b, pt_load_layer from, int summand)
{
    int layer, channels;
    from.in_channels = b->channels;
    pt_node_name name = {from.name, b->component};
    PT_TRY(add_layer(b, &from, &layer, &channels));
    PT_TRY(pt_graph_conv(b->graph, name, layer, b->at, summand, &b->at));
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
        PT_TRY(conv(b, (pt_load_layer){name.text, bn.text, .stride = stride}, -1));
        shortcut = b->at;
    }
    b->at = input;
    b->channels = channels;
    for (int i = 1; i <= 3; i++) {
        name = pt_name("%s.conv%d", root.text, i);
        bn = pt_name("%s.bn%d", root.text, i);
        pt_load_layer layer_i = {name.text, bn.text, .stride = i == 2 ? stride : 1,
                                 .activation = PT_ACT_RELU};
        layer_i.add = i == 3 ? PT_ADD_SAME : PT_ADD_NONE;
        PT_TRY(conv(b, layer_i, i == 3 ? shortcut : -1));
    }
    return pt_ok();
}

static pt_status resnet(builder *b)
{
    pt_load_layer stem = {"backbone.body.conv1", "backbone.body.bn1", .stride = 2, .activation = PT_ACT_RELU};
    PT_TRY(conv(b, stem, -1));
    pt_node_name pool = {"backbone.body.maxpool", b->component};
    PT_TRY(pt_graph_max_pool(b->graph, pool, b->at, 3, 2, 1, &b->at));
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
    pt_load_layer layer = {name.text, bn.text, .stride = stride, .activation = PT_ACT_RELU6};
    return conv(b, layer, -1);
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
    pt_load_layer layer = {name.text, bn.text, .stride = 1, .add = residual ? PT_ADD_SAME : PT_ADD_NONE};
    return conv(b, layer, residual ? input : -1);
}

static pt_status mobilenet(builder *b)
{
    pt_load_layer stem = {"backbone.body.0.0", "backbone.body.0.1", .stride = 2, .activation = PT_ACT_RELU6};
    PT_TRY(conv(b, stem, -1));
    tap(b, 0);
    for (int i = 1; i <= b->config->taps[b->config->tap_count - 1]; i++) {
        if (i == 18) { /* the 1x1 convolution after the blocks */
            stem = (pt_load_layer){"backbone.body.18.0", "backbone.body.18.1", .stride = 1,
                                   .activation = PT_ACT_RELU6};
            PT_TRY(conv(b, stem, -1));
        } else {
            PT_TRY(inverted_residual(b, i, i == 2 || i == 4 || i == 7 || i == 14 ? 2 : 1));
        }
        tap(b, i);
    }
    return pt_ok();
}

/* The side input of a level, plus the level above it (top -1: none). */
static pt_status lateral(builder *b, int level, int top)
{
    pt_layer_name name = pt_name("backbone.fpn.inner_blocks.%d.0", level);
    b->at = b->taps[level];
    b->channels = b->config->tap_channels[level];
    pt_load_layer layer = {name.text, .stride = 1, .add = top < 0 ? PT_ADD_NONE : PT_ADD_UPSAMPLED};
    return conv(b, layer, top);
}

static pt_status pyramid(builder *b, int *levels)
{
    int top = -1;
    b->component = PT_COMPONENT_FPN;
    for (int i = b->config->tap_count - 1; i >= 0; i--) {
        PT_TRY(lateral(b, i, top));
        top = b->at;
        pt_layer_name name = pt_name("backbone.fpn.layer_blocks.%d.0", i);
        PT_TRY(conv(b, (pt_load_layer){name.text, .stride = 1}, -1));
        levels[i] = b->at;
    }
    int last = b->config->tap_count;
    pt_node_name pool = {"backbone.fpn.pool", b->component};
    PT_TRY(pt_graph_max_pool(b->graph, pool, levels[last - 1], 1, 2, 0, &levels[last]));
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
    pt_conv_spec spec = {.in_channels = channels,
                         .out_channels = 5 * anchors,
                         .kernel_h = 1,
                         .kernel_w = 1,
                         .stride = 1,
                         .groups = 1};
    size_t scores = (size_t)anchors * (size_t)channels;
    pt_conv_weights weights = {.f32 = pt_alloc_aligned(5 * scores, sizeof(float)),
                               .bias = pt_alloc_aligned(5 * (size_t)anchors, sizeof(float))};
    pt_status status = weights.f32 && weights.bias ? pt_ok() : PT_NOMEM("rpn.head");
    if (status.code == PT_OK) {
        status = pt_model_load_conv(b->model, "rpn.head.cls_logits", NULL, weights.f32, weights.bias);
    }
    if (status.code == PT_OK) {
        status = pt_model_load_conv(b->model, "rpn.head.bbox_pred", NULL, weights.f32 + scores,
                                    weights.bias + anchors);
    }
    if (status.code != PT_OK) {
        pt_conv_weights_free(&weights);
        return status;
    }
    pt_conv *made;
    PT_TRY(b->backend->ops->conv_new(b->backend, &spec, &weights, &made));
    return pt_graph_layer(b->graph, made, &spec, layer);
}

enum { MAX_RPN_CONVS = 16 };

/* The head reads every level with the same layers. */
static pt_status rpn_level(builder *b, const int *layers, int count, int last, int level, pt_parts *parts)
{
    int at = parts->levels[level];
    for (int i = 0; i < count; i++) {
        pt_layer_name name = pt_name("rpn.head.conv.%d.0.%d", i, level);
        pt_node_name node = {name.text, PT_COMPONENT_RPN};
        PT_TRY(pt_graph_conv(b->graph, node, layers[i], at, -1, &at));
    }
    pt_layer_name name = pt_name("rpn.head.bbox_pred.%d", level);
    pt_node_name node = {name.text, PT_COMPONENT_RPN};
    PT_TRY(pt_graph_conv(b->graph, node, last, at, -1, &parts->rpn[level]));
    pt_graph_mark(b->graph, parts->rpn[level], "rpn", level);
    pt_graph_keep(b->graph, parts->rpn[level], PT_STEP_PROPOSALS);
    return pt_ok();
}

static pt_status rpn(builder *b, pt_parts *parts)
{
    int layers[MAX_RPN_CONVS], last, channels = b->config->fpn_channels;
    int count = b->config->rpn_conv_count;
    if (count < 1 || count > MAX_RPN_CONVS) {
        return pt_error(PT_E_UNSUPPORTED, "rpn.head has %d convolutions; 1 to %d are supported", count,
                        MAX_RPN_CONVS);
    }
    for (int i = 0; i < count; i++) {
        pt_layer_name name = pt_name("rpn.head.conv.%d.0", i);
        pt_load_layer layer = {name.text, .in_channels = channels, .stride = 1, .activation = PT_ACT_RELU};
        PT_TRY(add_layer(b, &layer, &layers[i], &channels));
    }
    PT_TRY(predictor(b, channels, &last));
    for (int l = 0; l < b->config->level_count; l++) {
        PT_TRY(rpn_level(b, layers, count, last, l, parts));
    }
    return pt_ok();
}

pt_status pt_build_image(const pt_model *model, pt_backend *backend, pt_parts *parts)
{
    PT_TRY(pt_graph_new(backend, &parts->image));
    builder b = {
        .model = model, .config = pt_model_get_config(model), .backend = backend, .graph = parts->image};
    PT_TRY(pt_graph_input(b.graph, "image", 3, PT_F32, (pt_quant){0}, &parts->input));
    b.at = parts->input;
    b.channels = 3;
    PT_TRY(b.config->arch == PT_ARCH_MOBILENET_V2 ? mobilenet(&b) : resnet(&b));
    if (b.tap_count != b.config->tap_count) {
        return pt_error(PT_E_INPUT, "the backbone has %d of the pyramid's %d inputs", b.tap_count,
                        b.config->tap_count);
    }
    PT_TRY(pyramid(&b, parts->levels));
    return rpn(&b, parts);
}
