/* Passes that take operators out. */
#include "engine/graph/passes.h"

pt_status pt_pass_drop_identities(pt_ir *ir)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *op = &ir->ops[i];
        const pt_ir_value *out = &ir->values[op->output];
        if (op->kind == PT_OP_IDENTITY && !out->result && !out->mark) {
            pt_ir_replace_uses(ir, op->output, op->inputs[0]);
            pt_ir_remove_op(ir, i--);
        }
    }
    return pt_ok();
}

/* From the end, so that what only the dead read dies in the same round. */
pt_status pt_pass_drop_dead(pt_ir *ir)
{
    for (size_t i = ir->op_count; i-- > 0;) {
        const pt_ir_op *op = &ir->ops[i];
        if (op->kind != PT_OP_INPUT && !ir->values[op->output].result && pt_ir_uses(ir, op->output) == 0) {
            pt_ir_remove_op(ir, i);
        }
    }
    return pt_ok();
}
