#include "engine/graph/lower.h"

#include "tiling/base/alloc.h"

#include <string.h>

typedef struct lowering {
    const pt_ir *ir;
    const pt_model *model;
    pt_backend *backend;
    pt_parts *parts;
    int image;    /* the value */
    int *numbers; /* of the IR's values in their graphs */
    int *layers;  /* of the IR's operators */
} lowering;

static pt_graph **graph_of(const lowering *l, int value)
{
    pt_graph **const graphs[PT_DOMAINS] = {&l->parts->image, &l->parts->box, &l->parts->mask};
    return graphs[l->ir->values[value].domain];
}

static int number(const lowering *l, const pt_ir_op *op, int input)
{
    return l->numbers[op->inputs[input]];
}

static pt_node_name name_of(const lowering *l, const pt_ir_op *op)
{
    return (pt_node_name){l->ir->values[op->output].name, op->component};
}

/* The prepared layer of an operator: its own, or that of an earlier one with the same weights. */
static pt_status prepare(lowering *l, size_t index, pt_graph *graph)
{
    const pt_ir_op *op = &l->ir->ops[index];
    for (size_t i = 0; i < index; i++) {
        const pt_ir_op *twin = &l->ir->ops[i];
        if (twin->kind == op->kind && strcmp(twin->name, op->name) == 0) {
            l->layers[index] = l->layers[i];
            return pt_ok();
        }
    }
    pt_conv_spec spec;
    pt_conv_weights weights = {0};
    pt_conv *conv;
    PT_TRY(pt_lower_weights(l->ir, op, l->model, l->backend->pool, &spec, &weights));
    if (spec.in_elem == PT_U8 && op->inputs[0] == l->image) {
        memcpy(l->parts->rule.outside, spec.outside, sizeof spec.outside);
    }
    pt_status status = l->backend->ops->conv_new(l->backend, &spec, &weights, &conv);
    return status.code == PT_OK ? pt_graph_layer(graph, conv, &spec, &l->layers[index])
                                : pt_context(status, "layer %s", op->name);
}

static pt_status lower_dense(lowering *l, size_t index, pt_graph *graph, int *out)
{
    const pt_ir_op *op = &l->ir->ops[index];
    const pt_ir_value *in = &l->ir->values[op->inputs[0]];
    int at = number(l, op, 0);
    PT_TRY(prepare(l, index, graph));
    if (op->kind == PT_OP_LINEAR && in->h * in->w > 1) {
        pt_node_name flat = {"roi_heads.box_head.flatten", op->component};
        PT_TRY(pt_graph_flatten(graph, flat, at, &at));
    }
    return pt_graph_conv(graph, name_of(l, op), l->layers[index], at, op->adds ? number(l, op, 1) : -1, out);
}

static pt_status lower_norm(lowering *l, const pt_ir_op *op, pt_graph *graph, int *out)
{
    size_t channels = (size_t)l->ir->values[op->output].channels;
    float *scale = pt_alloc_aligned(channels, sizeof *scale),
          *shift = pt_alloc_aligned(channels, sizeof *shift);
    pt_status status =
        scale && shift ? pt_model_load_norm(l->model, op->name, channels, scale, shift) : PT_NOMEM(op->name);
    if (status.code != PT_OK) {
        pt_free(scale);
        pt_free(shift);
        return status;
    }
    return pt_graph_affine(graph, name_of(l, op), number(l, op, 0), scale, shift, out);
}

static pt_status lower_input(lowering *l, int value, int *out)
{
    const pt_ir_value *v = &l->ir->values[value];
    return pt_graph_input(*graph_of(l, value), v->name, v->channels, v->elem, v->quant, out);
}

/* The regions' features are a head's input; the levels that they are drawn from live until then. */
static pt_status lower_roi_align(lowering *l, const pt_ir_op *op, int *out)
{
    bool box = l->ir->values[op->output].domain == PT_DOMAIN_PROPOSALS;
    for (int k = 1; k < op->input_count; k++) {
        int level = number(l, op, k);
        (box ? l->parts->box_levels : l->parts->mask_levels)[k - 1] = level;
        pt_graph_keep(l->parts->image, level, box ? PT_STEP_BOXES : PT_STEP_MASKS);
    }
    PT_TRY(lower_input(l, op->output, out));
    *(box ? &l->parts->box_in : &l->parts->mask_in) = *out;
    return pt_ok();
}

static void lower_propose(lowering *l, const pt_ir_op *op)
{
    for (int k = 0; k < op->input_count; k++) {
        l->parts->rpn[k] = number(l, op, k);
        pt_graph_keep(l->parts->image, l->parts->rpn[k], PT_STEP_PROPOSALS);
    }
}

static pt_status lower_logits(lowering *l, const pt_ir_op *op)
{
    l->parts->mask_out = number(l, op, 0);
    pt_graph_keep(l->parts->mask, l->parts->mask_out, PT_STEP_MASKS);
    PT_TRY(pt_lower_floats(l->model, op->name, "weight", &l->parts->logits_weights));
    return pt_lower_floats(l->model, op->name, "bias", &l->parts->logits_bias);
}

/* The operators between values of one graph. */
static pt_status lower_node(lowering *l, size_t index, int *out)
{
    const pt_ir_op *op = &l->ir->ops[index];
    const pt_ir_value *v = &l->ir->values[op->output];
    pt_graph *graph = *graph_of(l, op->output);
    pt_node_name name = name_of(l, op);
    int in = number(l, op, 0), parts[PT_IR_MAX_INPUTS];
    switch (op->kind) {
    case PT_OP_BATCH_NORM:
        return lower_norm(l, op, graph, out);
    case PT_OP_ACTIVATE:
        return pt_graph_activate(graph, name, in, op->activation, out);
    case PT_OP_ADD:
        return pt_graph_add(graph, name, in, number(l, op, 1), out);
    case PT_OP_MAX_POOL:
        return pt_graph_max_pool(graph, name, in, op->kernel_h, op->stride, op->pad, out);
    case PT_OP_UPSAMPLE:
        return pt_graph_upsample(graph, name, in, number(l, op, 1), out);
    case PT_OP_CONCAT:
        for (int k = 0; k < op->input_count; k++) {
            parts[k] = number(l, op, k);
        }
        return pt_graph_concat(graph, name, parts, op->input_count, out);
    case PT_OP_IDENTITY:
        return pt_graph_flatten(graph, name, in, out);
    case PT_OP_CONVERT:
        return pt_graph_convert(graph, name, in, v->elem, v->quant, out);
    default:
        return lower_dense(l, index, graph, out);
    }
}

/* An operator becomes a node, or one of the detector's steps between the graphs. */
static pt_status lower_op(lowering *l, size_t index)
{
    const pt_ir_op *op = &l->ir->ops[index];
    const pt_ir_value *v = &l->ir->values[op->output];
    int *out = &l->numbers[op->output];
    switch (op->kind) {
    case PT_OP_INPUT:
        PT_TRY(lower_input(l, op->output, out));
        l->parts->input = *out;
        l->image = op->output;
        break;
    case PT_OP_PROPOSE:
        lower_propose(l, op);
        break;
    case PT_OP_ROI_ALIGN:
        PT_TRY(lower_roi_align(l, op, out));
        break;
    case PT_OP_SELECT:
        l->parts->box_out = number(l, op, 0);
        pt_graph_keep(l->parts->box, l->parts->box_out, PT_STEP_BOXES);
        break;
    case PT_OP_MASK_LOGITS:
        PT_TRY(lower_logits(l, op));
        break;
    case PT_OP_SIGMOID: /* of the logits, in place */
        break;
    default:
        PT_TRY(lower_node(l, index, out));
        if (v->mark) {
            pt_graph_mark(*graph_of(l, op->output), *out, v->mark, v->level);
        }
    }
    return pt_ok();
}

/* In the order of torchvision: byte / 255, minus mean, by std, each step in single precision. */
static void fill_table(const pt_model_config *config, pt_image_rule *rule)
{
    for (int c = 0; c < 3; c++) {
        float mean = (float)config->mean[c], std = (float)config->std[c];
        for (int v = 0; v < 256; v++) {
            rule->table[c][v] = ((float)v / 255.0f - mean) / std;
        }
    }
}

pt_status pt_lower(const pt_ir *ir, const pt_model *model, pt_backend *backend, pt_parts *parts)
{
    lowering l = {.ir = ir, .model = model, .backend = backend, .parts = parts};
    pt_status status;
    l.numbers = pt_calloc(ir->value_count, sizeof *l.numbers);
    l.layers = pt_calloc(ir->op_count, sizeof *l.layers);
    if (!l.numbers || !l.layers) {
        status = PT_NOMEM("the network");
        goto out;
    }
    parts->operators = ir->built;
    parts->layers = (int)ir->op_count - 1;
    fill_table(pt_model_get_config(model), &parts->rule);
    PT_TRY_OUT(pt_graph_new(backend, &parts->image));
    PT_TRY_OUT(pt_graph_new(backend, &parts->box));
    PT_TRY_OUT(pt_graph_new(backend, &parts->mask));
    for (size_t i = 0; i < ir->op_count; i++) {
        PT_TRY_OUT(lower_op(&l, i));
    }
out:
    pt_free(l.numbers);
    pt_free(l.layers);
    return status;
}
