/* From a model's description to the unfused network: torchvision's MaskRCNN, operator by operator. */
#include "engine/graph/ir.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct text {
    char s[PT_IR_NAME];
} text;

/* Functions return the number of the value that they made. The first failure is kept; what is built after it
 * counts for nothing. */
typedef struct builder {
    const pt_model *model;
    const pt_model_config *config;
    pt_component component; /* of the operators to come */
    pt_status status;
    pt_ir ir;
    int taps[PT_MODEL_MAX_LEVELS], tap_count;
} builder;

/* A convolution and what the model does with its output before the next one. */
typedef struct layer {
    const char *name, *norm; /* norm: used when the model has it; NULL none */
    int in, stride;
    pt_activation activation;
    int add;       /* a value, or -1 */
    bool upsample; /* it is enlarged before */
} layer;

static text print(const char *format, ...) __attribute__((format(printf, 1, 2)));
static text print(const char *format, ...)
{
    text t;
    va_list args;
    va_start(args, format);
    vsnprintf(t.s, sizeof t.s, format, args);
    va_end(args);
    return t;
}

static bool failed(const builder *b)
{
    return b->status.code != PT_OK;
}

static bool has(const builder *b, const char *module)
{
    return pt_model_find(b->model, print("%s.weight", module).s) != NULL;
}

static const pt_tensor *find(builder *b, const char *module)
{
    text name = print("%s.weight", module);
    const pt_tensor *tensor = pt_model_find(b->model, name.s);
    if (!tensor && !failed(b)) {
        b->status = pt_error(PT_E_INPUT, "tensor %s is missing", name.s);
    }
    return tensor;
}

static int channels_of(const builder *b, int value)
{
    return b->ir.values[value].channels;
}

/* Adds the operator and the value `name` that it writes; op.name NULLs take the value's name. */
static int append(builder *b, pt_ir_op op, const char *name, pt_domain domain, int channels)
{
    pt_ir_value value = {.domain = domain, .channels = channels};
    snprintf(value.name, sizeof value.name, "%s", name);
    if (!op.name[0]) {
        memcpy(op.name, value.name, sizeof op.name);
    }
    op.component = b->component;
    op.fused = 1;
    if (!failed(b)) {
        b->status = pt_ir_add_value(&b->ir, &value, &op.output);
    }
    if (!failed(b)) {
        b->status = pt_ir_insert_op(&b->ir, b->ir.op_count, &op);
    }
    return failed(b) ? 0 : op.output;
}

/* An operator without weights on one or two values; the output is like the first. */
static int simple(builder *b, pt_op_kind kind, pt_activation activation, int a, int second, const char *name)
{
    pt_ir_op op = {
        .kind = kind, .inputs = {a, second}, .input_count = second < 0 ? 1 : 2, .activation = activation};
    return failed(b) ? 0 : append(b, op, name, b->ir.values[a].domain, channels_of(b, a));
}

static int pool(builder *b, int in, int kernel, int stride, int pad, const char *name)
{
    pt_ir_op op = {.kind = PT_OP_MAX_POOL,
                   .inputs = {in},
                   .input_count = 1,
                   .kernel_h = kernel,
                   .kernel_w = kernel,
                   .stride = stride,
                   .pad = pad};
    return failed(b) ? 0 : append(b, op, name, b->ir.values[in].domain, channels_of(b, in));
}

/* The name of what the next step of a layer writes: the layer's own when it is the last. */
static text step_name(const layer *l, const char *step, bool last)
{
    return last ? print("%s", l->name) : print("%s/%s", l->name, step);
}

/* The steps of a layer behind its product. */
static int finish(builder *b, const layer *l, int at, bool normed)
{
    bool acts = l->activation != PT_ACT_NONE, adds = l->add >= 0;
    if (normed && !failed(b)) {
        pt_ir_op op = {.kind = PT_OP_BATCH_NORM, .inputs = {at}, .input_count = 1};
        memcpy(op.name, print("%s", l->norm).s, sizeof op.name);
        at = append(b, op, step_name(l, "norm", !adds && !acts).s, b->ir.values[at].domain,
                    channels_of(b, at));
    }
    if (adds) {
        int summand = l->upsample ? simple(b, PT_OP_UPSAMPLE, PT_ACT_NONE, l->add, at,
                                           step_name(l, "upsample", false).s)
                                  : l->add;
        at = simple(b, PT_OP_ADD, PT_ACT_NONE, at, summand, step_name(l, "add", !acts).s);
    }
    return acts ? simple(b, PT_OP_ACTIVATE, l->activation, at, -1, l->name) : at;
}

static int add_layer(builder *b, pt_op_kind kind, const layer *l, pt_ir_op op, int channels)
{
    bool normed = l->norm && has(b, l->norm);
    bool last = !normed && l->add < 0 && l->activation == PT_ACT_NONE;
    const char *product = kind == PT_OP_LINEAR ? "linear" : kind == PT_OP_DECONV ? "deconv" : "conv";
    op.kind = kind;
    op.inputs[0] = l->in;
    op.input_count = 1;
    memcpy(op.name, print("%s", l->name).s, sizeof op.name);
    if (failed(b)) {
        return 0;
    }
    int at = append(b, op, step_name(l, product, last).s, b->ir.values[l->in].domain, channels);
    return finish(b, l, at, normed);
}

static int conv(builder *b, layer l)
{
    const pt_tensor *weight = find(b, l.name);
    if (failed(b)) {
        return 0;
    }
    int in = channels_of(b, l.in), each = weight->dims == 4 ? (int)weight->shape[1] : 0;
    if (each < 1 || in % each != 0) {
        b->status = pt_error(PT_E_INPUT, "tensor %s.weight does not fit an input of %d channels", l.name, in);
        return 0;
    }
    pt_ir_op op = {.kernel_h = (int)weight->shape[2],
                   .kernel_w = (int)weight->shape[3],
                   .stride = l.stride,
                   .pad = (int)weight->shape[2] / 2,
                   .groups = in / each};
    return add_layer(b, PT_OP_CONV, &l, op, (int)weight->shape[0]);
}

static int linear(builder *b, const char *name, int in, pt_activation activation)
{
    const pt_tensor *weight = find(b, name);
    layer l = {.name = name, .in = in, .activation = activation, .add = -1};
    pt_ir_op op = {.kernel_h = 1, .kernel_w = 1, .stride = 1, .groups = 1};
    return failed(b) ? 0 : add_layer(b, PT_OP_LINEAR, &l, op, (int)weight->shape[0]);
}

/* Two layers on the same input, their channels one after the other. */
static int concat(builder *b, int first, int second, const char *name)
{
    pt_ir_op op = {.kind = PT_OP_CONCAT, .inputs = {first, second}, .input_count = 2};
    return failed(b) ? 0
                     : append(b, op, name, b->ir.values[first].domain,
                              channels_of(b, first) + channels_of(b, second));
}

static void mark(builder *b, int value, const char *name, int level)
{
    if (!failed(b)) {
        b->ir.values[value].mark = name;
        b->ir.values[value].level = level;
    }
}

/* The value enters the pyramid if the configuration says so. */
static void tap(builder *b, int value, int index)
{
    if (b->tap_count < b->config->tap_count && b->config->taps[b->tap_count] == index) {
        mark(b, value, "C", b->tap_count);
        b->taps[b->tap_count++] = value;
    }
}

/* Bottleneck as ResNet v1.5 has it: the stride is in the 3x3 convolution. The shortcut's convolution stands
 * as late as it can: until then its input alone is alive. */
static int bottleneck(builder *b, int input, const char *root, int stride)
{
    text name[4], norm[4];
    for (int i = 1; i <= 3; i++) {
        name[i] = print("%.100s.conv%d", root, i);
        norm[i] = print("%.100s.bn%d", root, i);
    }
    int at = conv(b, (layer){name[1].s, norm[1].s, input, 1, PT_ACT_RELU, -1, false});
    at = conv(b, (layer){name[2].s, norm[2].s, at, stride, PT_ACT_RELU, -1, false});
    text side = print("%.100s.downsample.0", root), side_norm = print("%.100s.downsample.1", root);
    int shortcut =
        has(b, side.s) ? conv(b, (layer){side.s, side_norm.s, input, stride, PT_ACT_NONE, -1, false}) : input;
    return conv(b, (layer){name[3].s, norm[3].s, at, 1, PT_ACT_RELU, shortcut, false});
}

static void resnet(builder *b, int image)
{
    int at = conv(b, (layer){"backbone.body.conv1", "backbone.body.bn1", image, 2, PT_ACT_RELU, -1, false});
    at = pool(b, at, 3, 2, 1, "backbone.body.maxpool");
    for (int stage = 1; stage <= 4; stage++) {
        for (int i = 0; !failed(b); i++) {
            text root = print("backbone.body.layer%d.%d", stage, i);
            if (!has(b, print("%.100s.conv1", root.s).s)) {
                break;
            }
            at = bottleneck(b, at, root.s, stage > 1 && i == 0 ? 2 : 1);
        }
        tap(b, at, stage);
    }
}

/* An inverted residual: 1x1 expansion (absent in the first block), 3x3 depthwise, 1x1 projection without
 * activation; the input is added where the shapes allow it. conv.N.0 with batch norm conv.N.1 is one of
 * torchvision's Conv2dNormActivation inside a block. */
static int inverted_residual(builder *b, int input, int index, int stride)
{
    text root = print("backbone.body.%d.conv", index);
    int n = 0, at = input;
    bool expands = has(b, print("%.100s.1.0", root.s).s);
    for (; n < (expands ? 2 : 1); n++) {
        text name = print("%.100s.%d.0", root.s, n), norm = print("%.100s.%d.1", root.s, n);
        bool depthwise = n == (expands ? 1 : 0);
        at = conv(b, (layer){name.s, norm.s, at, depthwise ? stride : 1, PT_ACT_RELU6, -1, false});
    }
    text name = print("%.100s.%d", root.s, n), norm = print("%.100s.%d", root.s, n + 1);
    const pt_tensor *weight = find(b, name.s);
    bool residual = !failed(b) && stride == 1 && weight->shape[0] == channels_of(b, input);
    return conv(b, (layer){name.s, norm.s, at, 1, PT_ACT_NONE, residual ? input : -1, false});
}

/* The blocks after the last tap, where the file has them, are dead code: a pass takes them out. */
static void mobilenet(builder *b, int image)
{
    int at = conv(b, (layer){"backbone.body.0.0", "backbone.body.0.1", image, 2, PT_ACT_RELU6, -1, false});
    tap(b, at, 0);
    for (int i = 1; i <= 17 && has(b, print("backbone.body.%d.conv.0.0", i).s); i++) {
        at = inverted_residual(b, at, i, i == 2 || i == 4 || i == 7 || i == 14 ? 2 : 1);
        tap(b, at, i);
    }
    if (has(b, "backbone.body.18.0")) {
        at = conv(b, (layer){"backbone.body.18.0", "backbone.body.18.1", at, 1, PT_ACT_RELU6, -1, false});
        tap(b, at, 18);
    }
}

static void pyramid(builder *b, int levels[PT_MODEL_MAX_LEVELS])
{
    int top = -1, last = b->config->tap_count;
    for (int i = last - 1; i >= 0; i--) {
        text inner = print("backbone.fpn.inner_blocks.%d.0", i),
             outer = print("backbone.fpn.layer_blocks.%d.0", i);
        top = conv(b, (layer){inner.s, NULL, b->taps[i], 1, PT_ACT_NONE, top, true});
        levels[i] = conv(b, (layer){outer.s, NULL, top, 1, PT_ACT_NONE, -1, false});
    }
    levels[last] = pool(b, levels[last - 1], 1, 2, 0, "backbone.fpn.pool");
    for (int i = 0; i <= last; i++) {
        mark(b, levels[i], "P", i);
    }
}

/* The region proposal network's head runs on every level with the same weights. */
static int propose(builder *b, const int levels[PT_MODEL_MAX_LEVELS])
{
    pt_ir_op op = {.kind = PT_OP_PROPOSE, .input_count = b->config->level_count};
    for (int l = 0; l < b->config->level_count; l++) {
        int at = levels[l];
        for (int i = 0; i < b->config->rpn_conv_count; i++) {
            text name = print("rpn.head.conv.%d.0", i);
            at = conv(b, (layer){name.s, NULL, at, 1, PT_ACT_RELU, -1, false});
        }
        int scores = conv(b, (layer){"rpn.head.cls_logits", NULL, at, 1, PT_ACT_NONE, -1, false});
        int deltas = conv(b, (layer){"rpn.head.bbox_pred", NULL, at, 1, PT_ACT_NONE, -1, false});
        op.inputs[l] = concat(b, scores, deltas, "rpn.head");
        mark(b, op.inputs[l], "rpn", l);
    }
    return append(b, op, "proposals", PT_DOMAIN_PROPOSALS, 4);
}

static int roi_align(builder *b, int regions, const int levels[PT_MODEL_MAX_LEVELS], int side,
                     const char *name)
{
    pt_ir_op op = {.kind = PT_OP_ROI_ALIGN,
                   .inputs = {regions},
                   .input_count = 1 + b->config->roi_level_count,
                   .kernel_h = side,
                   .kernel_w = side};
    memcpy(op.inputs + 1, levels, sizeof *levels * (size_t)b->config->roi_level_count);
    return failed(b) ? 0 : append(b, op, name, b->ir.values[regions].domain, b->config->fpn_channels);
}

static int box_head(builder *b, int proposals, const int levels[PT_MODEL_MAX_LEVELS])
{
    int side = b->config->box_roi_size;
    int at = roi_align(b, proposals, levels, side, "roi_heads.box_roi_pool");
    pt_ir_op flatten = {.kind = PT_OP_IDENTITY, .inputs = {at}, .input_count = 1};
    at = append(b, flatten, "roi_heads.box_head.flatten", PT_DOMAIN_PROPOSALS,
                side * side * b->config->fpn_channels);
    at = linear(b, "roi_heads.box_head.fc6", at, PT_ACT_RELU);
    at = linear(b, "roi_heads.box_head.fc7", at, PT_ACT_RELU);
    int scores = linear(b, "roi_heads.box_predictor.cls_score", at, PT_ACT_NONE);
    int deltas = linear(b, "roi_heads.box_predictor.bbox_pred", at, PT_ACT_NONE);
    int answers = concat(b, scores, deltas, "roi_heads.box_predictor");
    pt_ir_op op = {.kind = PT_OP_SELECT, .inputs = {answers, proposals}, .input_count = 2};
    int detections = append(b, op, "detections", PT_DOMAIN_DETECTIONS, 6);
    if (!failed(b)) {
        b->ir.values[detections].result = true;
    }
    return detections;
}

static void mask_head(builder *b, int detections, const int levels[PT_MODEL_MAX_LEVELS])
{
    const pt_model_config *c = b->config;
    int at = roi_align(b, detections, levels, c->mask_roi_size, "roi_heads.mask_roi_pool");
    for (int i = 0; i < c->mask_conv_count; i++) {
        text name = print("roi_heads.mask_head.%d.0", i);
        at = conv(b, (layer){name.s, NULL, at, 1, PT_ACT_RELU, -1, false});
    }
    layer deconv = {"roi_heads.mask_predictor.conv5_mask", NULL, at, 2, PT_ACT_RELU, -1, false};
    pt_ir_op op = {.kernel_h = 2, .kernel_w = 2, .stride = 2, .groups = 1};
    at = add_layer(b, PT_OP_DECONV, &deconv, op, c->mask_channels);
    /* Each detection's logits are computed for its own class alone; groups: the classes to choose from. */
    pt_ir_op logits = {.kind = PT_OP_MASK_LOGITS, .inputs = {at}, .input_count = 1, .groups = c->class_count};
    at = append(b, logits, "roi_heads.mask_predictor.mask_fcn_logits", PT_DOMAIN_DETECTIONS, 1);
    at = simple(b, PT_OP_SIGMOID, PT_ACT_NONE, at, -1, "masks");
    if (!failed(b)) {
        b->ir.values[at].result = true;
    }
}

static void build(builder *b)
{
    int levels[PT_MODEL_MAX_LEVELS] = {0};
    int image = append(b, (pt_ir_op){.kind = PT_OP_INPUT}, "image", PT_DOMAIN_IMAGE, 3);
    if (b->config->arch == PT_ARCH_MOBILENET_V2) {
        mobilenet(b, image);
    } else {
        resnet(b, image);
    }
    if (!failed(b) && b->tap_count != b->config->tap_count) {
        b->status = pt_error(PT_E_INPUT, "the backbone has %d of the pyramid's %d inputs", b->tap_count,
                             b->config->tap_count);
    }
    if (failed(b)) {
        return;
    }
    b->component = PT_COMPONENT_FPN;
    pyramid(b, levels);
    b->component = PT_COMPONENT_RPN;
    int proposals = propose(b, levels);
    b->component = PT_COMPONENT_BOX;
    int detections = box_head(b, proposals, levels);
    b->component = PT_COMPONENT_MASK;
    mask_head(b, detections, levels);
    b->ir.built = (int)b->ir.op_count - 1;
}

pt_status pt_ir_build(const pt_model *model, pt_ir *out)
{
    builder b = {.model = model, .config = pt_model_get_config(model), .status = pt_ok()};
    build(&b);
    if (failed(&b)) {
        pt_ir_free(&b.ir);
        return b.status;
    }
    *out = b.ir;
    return pt_ok();
}
