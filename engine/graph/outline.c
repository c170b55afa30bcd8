/* The network of a model for people: pt_model_graph_read. */
#include "engine/graph/parts.h"
#include "tiling/base/alloc.h"

#include <stdio.h>
#include <string.h>

enum { KIND_TEXT = 48, PRECISION_TEXT = 4096, SIDE_MAX = 16384 };

/* What is handed out first, then what it points to. */
typedef struct outline {
    pt_model_graph graph;
    pt_model_layer *layers;
    char (*kinds)[KIND_TEXT];
    pt_ir ir; /* for its names */
    char precision[PRECISION_TEXT];
} outline;

static const char *activation_name(pt_activation activation)
{
    return activation == PT_ACT_RELU6 ? "relu6" : "relu";
}

static const char *elem_name(pt_elem elem)
{
    return elem == PT_U8 ? "u8" : "f32";
}

/* "conv 3x3 /2 + add + relu" */
static void describe(const pt_ir *ir, const pt_ir_op *op, char out[KIND_TEXT])
{
    static const char *const names[PT_OP_KINDS] = {
        "image",     "conv",     "deconv",      "linear",  "batch norm", "",
        "add",       "max pool", "upsample",    "concat",  "identity",   "propose",
        "roi align", "select",   "mask logits", "sigmoid", "convert"};
    bool acts = op->activation != PT_ACT_NONE, alone = op->kind == PT_OP_ACTIVATE;
    bool depthwise =
        op->kind == PT_OP_CONV && op->groups > 1 && op->groups == ir->values[op->output].channels;
    bool window = op->kernel_h > 0 && op->kind != PT_OP_LINEAR;
    char size[24] = "", stride[16] = "";
    if (window) {
        snprintf(size, sizeof size, " %dx%d", op->kernel_h, op->kernel_w);
    }
    if (window && op->stride > 1) {
        snprintf(stride, sizeof stride, " /%d", op->stride);
    }
    snprintf(out, KIND_TEXT, "%s%s%s%s%s%s",
             alone       ? activation_name(op->activation)
             : depthwise ? "depthwise"
                         : names[op->kind],
             size, stride,
             op->adds_upsampled ? " + add up"
             : op->adds         ? " + add"
                                : "",
             acts && !alone ? " + " : "", acts && !alone ? activation_name(op->activation) : "");
}

/* Whether an operator before this one has the same weights. */
static bool is_twin(const pt_ir *ir, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (ir->ops[i].kind == ir->ops[index].kind && strcmp(ir->ops[i].name, ir->ops[index].name) == 0) {
            return true;
        }
    }
    return false;
}

static void fill_layer(const pt_ir *ir, size_t index, char kind[KIND_TEXT], pt_model_layer *out)
{
    const pt_ir_op *op = &ir->ops[index];
    const pt_ir_value *v = &ir->values[op->output];
    pt_elem in = op->input_count ? ir->values[op->inputs[op->kind == PT_OP_ROI_ALIGN]].elem : v->elem;
    describe(ir, op, kind);
    *out = (pt_model_layer){
        .name = v->name,
        .component = pt_component_name(op->component),
        .kind = kind,
        .in = elem_name(in),
        .out = elem_name(v->elem),
        .n = ir->counts[v->domain],
        .h = v->h,
        .w = v->w,
        .c = v->channels,
        .flops = pt_ir_flops(ir, op),
        .weight_bytes = is_twin(ir, index) ? 0 : pt_ir_weight_bytes(ir, op),
        .activation_bytes = pt_ir_activation_bytes(ir, op),
        .fused = op->fused,
    };
}

/* All operators but the image. */
static pt_status fill_layers(outline *o)
{
    size_t count = 0;
    o->layers = pt_calloc(o->ir.op_count, sizeof *o->layers);
    o->kinds = pt_calloc(o->ir.op_count, sizeof *o->kinds);
    if (!o->layers || !o->kinds) {
        return PT_NOMEM("the list of layers");
    }
    for (size_t i = 0; i < o->ir.op_count; i++) {
        const pt_ir_value *v = &o->ir.values[o->ir.ops[i].output];
        if (o->ir.ops[i].kind == PT_OP_INPUT) {
            o->graph.width = v->w;
            o->graph.height = v->h;
        } else {
            fill_layer(&o->ir, i, o->kinds[count], &o->layers[count]);
            count++;
        }
    }
    o->graph.layers = o->layers;
    o->graph.layer_count = count;
    o->graph.operators = o->ir.built;
    return pt_ok();
}

static pt_status outline_model(const pt_model *model, const pt_engine_options *options, int width, int height,
                               outline *o)
{
    const pt_model_config *config = pt_model_get_config(model);
    int proposals = options->max_proposals > 0 ? options->max_proposals : config->rpn_post_nms;
    int detections = options->max_detections > 0 ? options->max_detections : config->max_detections;
    pt_precision precision;
    bool strict;
    PT_TRY(pt_parts_precision(model, options->precision, &precision, &strict));
    if (!pt_precision_print(&precision, o->precision, sizeof o->precision)) {
        return pt_error(PT_E_USAGE, "the precision names too many layers");
    }
    o->graph.precision = o->precision;
    PT_TRY(pt_parts_ir(model, &precision, strict, options->without_passes, &o->ir));
    PT_TRY(pt_ir_infer_shapes(&o->ir, width, height, proposals, detections));
    return fill_layers(o);
}

pt_status pt_model_graph_read(const char *model_path, const pt_engine_options *options, int width, int height,
                              pt_model_graph **out)
{
    pt_engine_options defaults = pt_engine_defaults();
    pt_model *model = NULL;
    pt_model_graph *graph = NULL;
    pt_status status;
    if (!model_path || width < 1 || height < 1 || width > SIDE_MAX || height > SIDE_MAX) {
        return pt_error(PT_E_USAGE, "a model's network is of an image with sides of 1 to %d pixels",
                        SIDE_MAX);
    }
    PT_TRY(pt_model_open(model_path, &model));
    outline *o = pt_calloc(1, sizeof *o);
    if (!o) {
        status = PT_NOMEM("the list of layers");
        goto out;
    }
    graph = &o->graph;
    status = outline_model(model, options ? options : &defaults, width, height, o);
    if (status.code != PT_OK) {
        status = pt_context(status, "%s", model_path);
        goto out;
    }
    *out = graph;
    graph = NULL;
out:
    pt_model_graph_free(&graph);
    pt_model_close(&model);
    return status;
}

pt_status pt_model_check_precision(const pt_model_summary *summary, const char *precision)
{
    const pt_model *model = pt_model_of_summary(summary);
    pt_precision parsed;
    bool strict;
    pt_ir ir = {0};
    PT_TRY(pt_parts_precision(model, precision, &parsed, &strict));
    PT_TRY(pt_parts_ir(model, &parsed, strict, NULL, &ir));
    pt_ir_free(&ir);
    return pt_ok();
}

void pt_model_graph_free(pt_model_graph **graph)
{
    if (graph && *graph) {
        outline *o = (outline *)*graph;
        pt_ir_free(&o->ir);
        pt_free(o->layers);
        pt_free(o->kinds);
        pt_free(o);
        *graph = NULL;
    }
}
