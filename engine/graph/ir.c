#include "engine/graph/ir.h"

#include "tiling/base/alloc.h"

#include <string.h>

void pt_ir_free(pt_ir *ir)
{
    pt_free(ir->ops);
    pt_free(ir->values);
    *ir = (pt_ir){0};
}

pt_status pt_ir_add_value(pt_ir *ir, const pt_ir_value *value, int *out)
{
    PT_TRY(pt_grow(&ir->values, &ir->value_capacity, ir->value_count + 1, sizeof *ir->values));
    ir->values[ir->value_count] = *value;
    *out = (int)ir->value_count++;
    return pt_ok();
}

pt_status pt_ir_insert_op(pt_ir *ir, size_t at, const pt_ir_op *op)
{
    PT_TRY(pt_grow(&ir->ops, &ir->op_capacity, ir->op_count + 1, sizeof *ir->ops));
    memmove(ir->ops + at + 1, ir->ops + at, (ir->op_count - at) * sizeof *ir->ops);
    ir->ops[at] = *op;
    ir->op_count++;
    return pt_ok();
}

void pt_ir_remove_op(pt_ir *ir, size_t at)
{
    ir->op_count--;
    memmove(ir->ops + at, ir->ops + at + 1, (ir->op_count - at) * sizeof *ir->ops);
}

int pt_ir_writer(const pt_ir *ir, int value)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        if (ir->ops[i].output == value) {
            return (int)i;
        }
    }
    return -1;
}

int pt_ir_uses(const pt_ir *ir, int value)
{
    int uses = 0;
    for (size_t i = 0; i < ir->op_count; i++) {
        for (int k = 0; k < ir->ops[i].input_count; k++) {
            uses += ir->ops[i].inputs[k] == value;
        }
    }
    return uses;
}

void pt_ir_replace_uses(pt_ir *ir, int value, int by)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        for (int k = 0; k < ir->ops[i].input_count; k++) {
            if (ir->ops[i].inputs[k] == value) {
                ir->ops[i].inputs[k] = by;
            }
        }
    }
}

bool pt_op_is_dense(pt_op_kind kind)
{
    return kind == PT_OP_CONV || kind == PT_OP_DECONV || kind == PT_OP_LINEAR;
}

static pt_status infer_window(const pt_ir_op *op, const pt_ir_value *in, pt_ir_value *out)
{
    out->h = pt_window_out(in->h, op->kernel_h, op->stride, op->pad);
    out->w = pt_window_out(in->w, op->kernel_w, op->stride, op->pad);
    if (out->h < 1 || out->w < 1) {
        return pt_error(PT_E_USAGE, "layer %s: a map of %d x %d cells is smaller than its window", op->name,
                        in->w, in->h);
    }
    return pt_ok();
}

/* Maps to be added or put side by side have one size, but for a summand that is enlarged on the way. */
static pt_status check_sizes(const pt_ir *ir, const pt_ir_op *op)
{
    const pt_ir_value *out = &ir->values[op->output];
    int first = op->kind == PT_OP_ADD || op->kind == PT_OP_CONCAT ? 0 : 1;
    bool sized = first == 0 || (op->adds && !op->adds_upsampled);
    for (int k = first; sized && k < op->input_count; k++) {
        const pt_ir_value *in = &ir->values[op->inputs[k]];
        if (in->h != out->h || in->w != out->w) {
            return pt_error(PT_E_USAGE, "layer %s: %s has %d x %d cells, %d x %d are wanted", op->name,
                            in->name, in->w, in->h, out->w, out->h);
        }
    }
    return pt_ok();
}

static pt_status infer_op(pt_ir *ir, const pt_ir_op *op)
{
    pt_ir_value *out = &ir->values[op->output];
    const pt_ir_value *in = op->input_count ? &ir->values[op->inputs[0]] : out;
    switch (op->kind) {
    case PT_OP_CONV:
    case PT_OP_MAX_POOL:
        PT_TRY(infer_window(op, in, out));
        break;
    case PT_OP_DECONV:
        out->h = 2 * in->h;
        out->w = 2 * in->w;
        break;
    case PT_OP_LINEAR:
    case PT_OP_IDENTITY:
    case PT_OP_PROPOSE:
    case PT_OP_SELECT:
        out->h = out->w = 1;
        break;
    case PT_OP_UPSAMPLE:
        out->h = ir->values[op->inputs[1]].h;
        out->w = ir->values[op->inputs[1]].w;
        break;
    case PT_OP_ROI_ALIGN:
        out->h = op->kernel_h;
        out->w = op->kernel_w;
        break;
    default:
        out->h = in->h;
        out->w = in->w;
    }
    return check_sizes(ir, op);
}

pt_status pt_ir_infer_shapes(pt_ir *ir, int width, int height, int proposals, int detections)
{
    if (width < 1 || height < 1 || proposals < 0 || detections < 0) {
        return pt_error(PT_E_USAGE, "an image of %d x %d pixels has no shapes", width, height);
    }
    ir->counts[PT_DOMAIN_IMAGE] = 1;
    ir->counts[PT_DOMAIN_PROPOSALS] = proposals;
    ir->counts[PT_DOMAIN_DETECTIONS] = detections;
    for (size_t i = 0; i < ir->op_count; i++) {
        pt_ir_op *op = &ir->ops[i];
        if (op->kind == PT_OP_INPUT) {
            ir->values[op->output].h = (height + PT_IR_PADDING - 1) / PT_IR_PADDING * PT_IR_PADDING;
            ir->values[op->output].w = (width + PT_IR_PADDING - 1) / PT_IR_PADDING * PT_IR_PADDING;
        } else {
            PT_TRY(infer_op(ir, op));
        }
    }
    return pt_ok();
}

static double elements(const pt_ir *ir, int value)
{
    const pt_ir_value *v = &ir->values[value];
    return (double)ir->counts[v->domain] * (double)v->h * (double)v->w * (double)v->channels;
}

/* Weights that make one output. */
static double weights_per_output(const pt_ir *ir, const pt_ir_op *op)
{
    const pt_ir_value *in = &ir->values[op->inputs[0]];
    switch (op->kind) {
    case PT_OP_CONV:
        return (double)op->kernel_h * (double)op->kernel_w * (double)(in->channels / op->groups);
    case PT_OP_LINEAR:
        return (double)in->h * (double)in->w * (double)in->channels;
    case PT_OP_DECONV: /* each output cell is one product; the four positions have weights of their own */
    case PT_OP_MASK_LOGITS:
        return (double)in->channels;
    default:
        return 0;
    }
}

double pt_ir_flops(const pt_ir *ir, const pt_ir_op *op)
{
    return op->input_count ? 2 * elements(ir, op->output) * weights_per_output(ir, op) : 0;
}

size_t pt_ir_weight_bytes(const pt_ir *ir, const pt_ir_op *op)
{
    if (op->kind == PT_OP_BATCH_NORM) {
        return 2 * sizeof(float) * (size_t)ir->values[op->output].channels;
    }
    if (!pt_op_is_dense(op->kind) && op->kind != PT_OP_MASK_LOGITS) {
        return 0;
    }
    /* Of mask logits `groups` is the number of classes: one row of weights each. */
    size_t outputs =
        op->kind == PT_OP_MASK_LOGITS ? (size_t)op->groups : (size_t)ir->values[op->output].channels;
    outputs *= op->kind == PT_OP_DECONV ? 4 : 1;
    size_t weights = outputs * (size_t)weights_per_output(ir, op);
    return op->numeric == PT_INT8 ? weights + 2 * sizeof(float) * outputs
                                  : sizeof(float) * (weights + outputs);
}

size_t pt_ir_activation_bytes(const pt_ir *ir, const pt_ir_op *op)
{
    double bytes = elements(ir, op->output) * (double)pt_elem_size(ir->values[op->output].elem);
    for (int k = 0; k < op->input_count; k++) {
        /* An upsampling takes no more than the size of its second input. */
        if (op->kind != PT_OP_UPSAMPLE || k == 0) {
            bytes += elements(ir, op->inputs[k]) * (double)pt_elem_size(ir->values[op->inputs[k]].elem);
        }
    }
    return (size_t)bytes;
}
