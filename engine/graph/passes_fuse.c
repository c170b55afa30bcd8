/* Passes that move work into the layer that writes what the work is done on. */
#include "engine/graph/passes.h"

#include <string.h>

/* Whether `value` is nobody's business but its readers': it may vanish into a larger operator. */
static bool is_private(const pt_ir *ir, int value)
{
    return !ir->values[value].result && !ir->values[value].mark;
}

/* The dense operator that writes `value` and could do more with it before it is stored; NULL: none. */
static pt_ir_op *extendable(pt_ir *ir, int value, int uses)
{
    int at = pt_ir_writer(ir, value);
    if (at < 0 || !is_private(ir, value) || pt_ir_uses(ir, value) != uses) {
        return NULL;
    }
    pt_ir_op *op = &ir->ops[at];
    return pt_op_is_dense(op->kind) && op->activation == PT_ACT_NONE ? op : NULL;
}

/* `op` does the work of the operator at `into` as well: it takes that one's place, where all that both read
 * is known, and writes what that one wrote. */
static void absorb(pt_ir *ir, pt_ir_op *op, size_t into)
{
    pt_ir_op merged = *op;
    merged.output = ir->ops[into].output;
    merged.fused += ir->ops[into].fused;
    ir->ops[into] = merged;
    pt_ir_remove_op(ir, (size_t)(op - ir->ops));
}

pt_status pt_pass_fold_norms(pt_ir *ir)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *norm = &ir->ops[i];
        pt_ir_op *op = norm->kind == PT_OP_BATCH_NORM ? extendable(ir, norm->inputs[0], 1) : NULL;
        if (op && op->kind == PT_OP_CONV && !op->adds && !op->norm[0]) {
            memcpy(op->norm, norm->name, sizeof op->norm);
            absorb(ir, op, i);
            i--;
        }
    }
    return pt_ok();
}

pt_status pt_pass_fuse_upsamples(pt_ir *ir)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *add = &ir->ops[i];
        int writer = add->kind == PT_OP_ADD ? pt_ir_writer(ir, add->inputs[1]) : -1;
        if (writer < 0 || ir->ops[writer].kind != PT_OP_UPSAMPLE) {
            continue;
        }
        const pt_ir_op *upsample = &ir->ops[writer];
        int lateral = add->inputs[0], enlarged = upsample->output;
        if (upsample->inputs[1] != lateral || pt_ir_uses(ir, enlarged) != 1 || !is_private(ir, enlarged)) {
            continue;
        }
        /* The lateral map is read twice: as a summand, and for its size. */
        pt_ir_op *op = extendable(ir, lateral, 2);
        if (!op || op->kind != PT_OP_CONV || op->adds) {
            continue;
        }
        op->adds = op->adds_upsampled = true;
        op->inputs[1] = upsample->inputs[0];
        op->input_count = 2;
        op->fused += upsample->fused;
        absorb(ir, op, i);
        pt_ir_remove_op(ir, (size_t)pt_ir_writer(ir, enlarged));
        i -= 2;
    }
    return pt_ok();
}

pt_status pt_pass_fuse_adds(pt_ir *ir)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *add = &ir->ops[i];
        if (add->kind != PT_OP_ADD) {
            continue;
        }
        /* Of two convolutions the later one: it moves the least. */
        pt_ir_op *best = NULL;
        int summand = -1;
        for (int k = 0; k < 2; k++) {
            pt_ir_op *op = extendable(ir, add->inputs[k], 1);
            if (op && op->kind == PT_OP_CONV && !op->adds && (!best || op > best)) {
                best = op;
                summand = add->inputs[1 - k];
            }
        }
        if (best) {
            best->adds = true;
            best->inputs[1] = summand;
            best->input_count = 2;
            absorb(ir, best, i);
            i--;
        }
    }
    return pt_ok();
}

pt_status pt_pass_fuse_activations(pt_ir *ir)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *activate = &ir->ops[i];
        pt_ir_op *op = activate->kind == PT_OP_ACTIVATE ? extendable(ir, activate->inputs[0], 1) : NULL;
        if (op) {
            op->activation = activate->activation;
            absorb(ir, op, i);
            i--;
        }
    }
    return pt_ok();
}

/* Whether two layers are one with more outputs. */
static bool alike(const pt_ir_op *a, const pt_ir_op *b)
{
    return a->kind == b->kind && a->kind != PT_OP_DECONV && a->inputs[0] == b->inputs[0] &&
           a->kernel_h == b->kernel_h && a->kernel_w == b->kernel_w && a->stride == b->stride &&
           a->pad == b->pad && a->groups == 1 && b->groups == 1 && a->activation == b->activation &&
           !a->adds && !b->adds && !a->norm[0] && !b->norm[0] && !a->with[0] && !b->with[0];
}

static pt_ir_op *part(pt_ir *ir, int value)
{
    int at = pt_ir_writer(ir, value);
    bool free = at >= 0 && is_private(ir, value) && pt_ir_uses(ir, value) == 1;
    return free && pt_op_is_dense(ir->ops[at].kind) ? &ir->ops[at] : NULL;
}

pt_status pt_pass_merge_concats(pt_ir *ir)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *concat = &ir->ops[i];
        if (concat->kind != PT_OP_CONCAT || concat->input_count != 2) {
            continue;
        }
        pt_ir_op *first = part(ir, concat->inputs[0]), *second = part(ir, concat->inputs[1]);
        if (!first || !second || first == second || !alike(first, second)) {
            continue;
        }
        int gone = second->output;
        memcpy(first->with, second->name, sizeof first->with);
        first->fused += second->fused;
        absorb(ir, first, i);
        pt_ir_remove_op(ir, (size_t)pt_ir_writer(ir, gone));
        i -= 2;
    }
    return pt_ok();
}
