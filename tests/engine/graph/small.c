#include "tests/engine/graph/small.h"

#include "tests/engine/model/builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int add(pt_ir *ir, pt_ir_op op, const char *name, int channels)
{
    pt_ir_value value = {.channels = channels};
    snprintf(value.name, sizeof value.name, "%s", name);
    snprintf(op.name, sizeof op.name, "%s", name);
    op.fused = 1;
    assert_int_equal(pt_ir_add_value(ir, &value, &op.output).code, PT_OK);
    assert_int_equal(pt_ir_insert_op(ir, ir->op_count, &op).code, PT_OK);
    return op.output;
}

int small_input(pt_ir *ir, int channels)
{
    return add(ir, (pt_ir_op){.kind = PT_OP_INPUT}, "image", channels);
}

int small_conv(pt_ir *ir, const char *name, int in, int channels)
{
    pt_ir_op op = {.kind = PT_OP_CONV,
                   .inputs = {in},
                   .input_count = 1,
                   .kernel_h = 3,
                   .kernel_w = 3,
                   .stride = 1,
                   .pad = 1,
                   .groups = 1};
    return add(ir, op, name, channels);
}

int small_op(pt_ir *ir, pt_op_kind kind, const char *name, int a, int b)
{
    pt_ir_op op = {.kind = kind, .inputs = {a, b}, .input_count = b < 0 ? 1 : 2, .stride = 1};
    op.kernel_h = op.kernel_w = kind == PT_OP_ROI_ALIGN ? 7 : 1;
    op.activation = kind == PT_OP_ACTIVATE ? PT_ACT_RELU : PT_ACT_NONE;
    int channels = ir->values[a].channels;
    return add(ir, op, name, kind == PT_OP_CONCAT ? channels + ir->values[b].channels : channels);
}

void small_result(pt_ir *ir, int value)
{
    ir->values[value].result = true;
}

pt_ir_op *small_find(const pt_ir *ir, const char *value)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        if (strcmp(ir->values[ir->ops[i].output].name, value) == 0) {
            return &ir->ops[i];
        }
    }
    fail_msg("nothing writes %s", value);
    return NULL;
}

int small_count(const pt_ir *ir, pt_op_kind kind)
{
    int count = 0;
    for (size_t i = 0; i < ir->op_count; i++) {
        count += ir->ops[i].kind == kind;
    }
    return count;
}

void small_check(const pt_ir *ir)
{
    bool *written = calloc(ir->value_count + 1, sizeof *written);
    assert_non_null(written);
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *op = &ir->ops[i];
        for (int k = 0; k < op->input_count; k++) {
            if (!written[op->inputs[k]]) {
                fail_msg("%s reads %s before it is written", op->name, ir->values[op->inputs[k]].name);
            }
        }
        assert_false(written[op->output]);
        written[op->output] = true;
        assert_true(op->fused >= (op->kind != PT_OP_CONVERT));
        assert_false(op->adds_upsampled && !op->adds);
        assert_true(!op->adds || op->input_count == 2);
    }
    for (size_t v = 0; v < ir->value_count; v++) {
        assert_true(written[v] || !ir->values[v].result);
    }
    free(written);
}

static small_model open_bytes(builder b)
{
    small_model m = {0};
    size_t size;
    m.bytes = build_bytes(&b, &size);
    build_free(&b);
    pt_status status = pt_model_open_memory("small", m.bytes, size, NULL, &m.model);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    return m;
}

small_model small_resnet(int flags)
{
    return open_bytes(build_resnet(6, flags));
}

small_model small_mobilenet(int flags)
{
    return open_bytes(build_mobilenet(flags));
}

void small_model_close(small_model *m)
{
    pt_model_close(&m->model);
    free(m->bytes);
}

pt_ir small_network(const small_model *m, const char *without)
{
    pt_ir ir = {0};
    assert_int_equal(pt_ir_build(m->model, &ir).code, PT_OK);
    pt_status status = pt_ir_run_passes(&ir, without);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    return ir;
}
