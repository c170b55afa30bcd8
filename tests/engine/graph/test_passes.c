/* Each pass alone on a few operators, what it must leave alone, and all of them on whole networks. */
#include "tests/engine/graph/small.h"
#include "tests/engine/model/builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void run(pt_ir *ir, pt_status (*pass)(pt_ir *ir))
{
    assert_int_equal(pass(ir).code, PT_OK);
    small_check(ir);
    size_t before = ir->op_count;
    assert_int_equal(pass(ir).code, PT_OK); /* a second time there is nothing left to do */
    assert_int_equal(ir->op_count, before);
}

static void test_identities(void **state)
{
    (void)state;
    pt_ir ir = {0};
    int image = small_input(&ir, 3), a = small_op(&ir, PT_OP_IDENTITY, "a", image, -1);
    int b = small_op(&ir, PT_OP_IDENTITY, "b", a, -1);
    small_result(&ir, small_conv(&ir, "conv", b, 4));
    small_result(&ir, small_op(&ir, PT_OP_IDENTITY, "seen", image, -1));
    run(&ir, pt_pass_drop_identities);
    assert_int_equal(ir.op_count, 3);
    assert_int_equal(small_find(&ir, "conv")->inputs[0], image);
    assert_int_equal(small_find(&ir, "seen")->kind, PT_OP_IDENTITY); /* somebody outside reads it */
    pt_ir_free(&ir);
}

static void test_norms(void **state)
{
    (void)state;
    pt_ir ir = {0};
    int image = small_input(&ir, 3), a = small_conv(&ir, "a", image, 4), b = small_conv(&ir, "b", image, 4);
    int folded = small_op(&ir, PT_OP_BATCH_NORM, "bn", a, -1);
    int kept = small_op(&ir, PT_OP_BATCH_NORM, "other", b, -1);
    small_result(&ir, small_op(&ir, PT_OP_ADD, "sum", folded, kept));
    small_result(&ir, b); /* and so its own numbers are needed */
    run(&ir, pt_pass_fold_norms);
    const pt_ir_op *op = small_find(&ir, "bn");
    assert_int_equal(op->kind, PT_OP_CONV);
    assert_string_equal(op->name, "a");
    assert_string_equal(op->norm, "bn");
    assert_int_equal(op->fused, 2);
    assert_int_equal(small_find(&ir, "other")->kind, PT_OP_BATCH_NORM);
    pt_ir_free(&ir);
}

static void test_upsamples(void **state)
{
    (void)state;
    pt_ir ir = {0};
    int image = small_input(&ir, 3), top = small_conv(&ir, "top", image, 4);
    int side = small_conv(&ir, "side", image, 4), large = small_op(&ir, PT_OP_UPSAMPLE, "large", top, side);
    small_result(&ir, small_op(&ir, PT_OP_ADD, "sum", side, large));
    run(&ir, pt_pass_fuse_upsamples);
    assert_int_equal(ir.op_count, 3);
    const pt_ir_op *op = small_find(&ir, "sum");
    assert_true(op->kind == PT_OP_CONV && op->adds && op->adds_upsampled);
    assert_int_equal(op->inputs[0], image);
    assert_int_equal(op->inputs[1], top);
    assert_int_equal(op->fused, 3);
    pt_ir_free(&ir);

    /* Not where the enlarged map has another reader. */
    image = small_input(&ir, 3), top = small_conv(&ir, "top", image, 4);
    side = small_conv(&ir, "side", image, 4), large = small_op(&ir, PT_OP_UPSAMPLE, "large", top, side);
    small_result(&ir, small_op(&ir, PT_OP_ADD, "sum", side, large));
    small_result(&ir, small_conv(&ir, "more", large, 4));
    run(&ir, pt_pass_fuse_upsamples);
    assert_int_equal(ir.op_count, 6);
    pt_ir_free(&ir);
}

static void test_adds(void **state)
{
    (void)state;
    pt_ir ir = {0};
    int image = small_input(&ir, 4), a = small_conv(&ir, "a", image, 4), b = small_conv(&ir, "b", image, 4);
    int sum = small_op(&ir, PT_OP_ADD, "sum", b, a), acted = small_op(&ir, PT_OP_ACTIVATE, "act", sum, -1);
    int c = small_conv(&ir, "c", acted, 4), twice = small_op(&ir, PT_OP_ADD, "twice", c, c);
    small_result(&ir, small_op(&ir, PT_OP_ADD, "images", image, twice));
    run(&ir, pt_pass_fuse_adds);
    const pt_ir_op *op = small_find(&ir, "sum");
    assert_true(op->kind == PT_OP_CONV && op->adds && !op->adds_upsampled);
    assert_string_equal(op->name, "b"); /* the later of the two */
    assert_int_equal(op->inputs[1], a);
    assert_int_equal(small_find(&ir, "twice")->kind, PT_OP_ADD); /* a map that is added to itself */
    assert_int_equal(small_find(&ir, "images")->kind, PT_OP_ADD);
    pt_ir_free(&ir);

    /* An activation before the addition keeps the two apart. */
    image = small_input(&ir, 4), a = small_conv(&ir, "a", image, 4);
    acted = small_op(&ir, PT_OP_ACTIVATE, "act", a, -1);
    small_result(&ir, small_op(&ir, PT_OP_ADD, "sum", acted, image));
    run(&ir, pt_pass_fuse_activations);
    run(&ir, pt_pass_fuse_adds);
    assert_int_equal(small_find(&ir, "act")->kind, PT_OP_CONV);
    assert_int_equal(small_find(&ir, "sum")->kind, PT_OP_ADD);
    pt_ir_free(&ir);
}

static void test_activations(void **state)
{
    (void)state;
    pt_ir ir = {0};
    int image = small_input(&ir, 3), a = small_conv(&ir, "a", image, 4), b = small_conv(&ir, "b", a, 4);
    ir.values[a].mark = "C"; /* tests look at it */
    int first = small_op(&ir, PT_OP_ACTIVATE, "first", a, -1),
        second = small_op(&ir, PT_OP_ACTIVATE, "second", b, -1);
    small_result(&ir, small_op(&ir, PT_OP_ADD, "sum", first, second));
    run(&ir, pt_pass_fuse_activations);
    assert_int_equal(small_find(&ir, "first")->kind, PT_OP_ACTIVATE);
    const pt_ir_op *op = small_find(&ir, "second");
    assert_int_equal(op->kind, PT_OP_CONV);
    assert_int_equal(op->activation, PT_ACT_RELU);
    pt_ir_free(&ir);
}

static void test_concats(void **state)
{
    (void)state;
    pt_ir ir = {0};
    int image = small_input(&ir, 3), a = small_conv(&ir, "a", image, 4), b = small_conv(&ir, "b", image, 6);
    int both = small_op(&ir, PT_OP_CONCAT, "both", a, b), c = small_conv(&ir, "c", both, 2);
    int d = small_conv(&ir, "d", both, 2), e = small_conv(&ir, "e", c, 2);
    small_result(&ir, small_op(&ir, PT_OP_CONCAT, "seen", c, d));  /* c has another reader */
    small_result(&ir, small_op(&ir, PT_OP_CONCAT, "apart", d, e)); /* of different inputs */
    run(&ir, pt_pass_merge_concats);
    const pt_ir_op *op = small_find(&ir, "both");
    assert_string_equal(op->name, "a");
    assert_string_equal(op->with, "b");
    assert_int_equal(ir.values[op->output].channels, 10);
    assert_int_equal(op->fused, 3);
    assert_int_equal(small_find(&ir, "seen")->kind, PT_OP_CONCAT);
    assert_int_equal(small_find(&ir, "apart")->kind, PT_OP_CONCAT);
    pt_ir_free(&ir);
}

static void test_dead(void **state)
{
    (void)state;
    pt_ir ir = {0};
    int image = small_input(&ir, 3), a = small_conv(&ir, "a", image, 4);
    int b = small_conv(&ir, "b", a, 4), c = small_conv(&ir, "c", b, 4);
    small_op(&ir, PT_OP_ADD, "sum", b, c);
    small_result(&ir, a);
    run(&ir, pt_pass_drop_dead);
    assert_int_equal(ir.op_count, 2);
    pt_ir_free(&ir);
}

static int fused_in_all(const pt_ir *ir)
{
    int sum = 0;
    for (size_t i = 0; i < ir->op_count; i++) {
        sum += ir->ops[i].kind == PT_OP_INPUT ? 0 : ir->ops[i].fused;
    }
    return sum;
}

/* Every operator of the unfused network is in one of those that are left, but for the identity that went. */
static void test_networks(void **state)
{
    (void)state;
    small_model models[3] = {small_resnet(0), small_mobilenet(0), small_mobilenet(BUILD_FOLDED)};
    /* input, convolutions of the backbone (and its pool), pyramid with its pool, two a level of the RPN,
     * propose, box head with select, mask head of the tiny models */
    static const size_t layers[3] = {1 + 54 + 9 + 10 + 1 + 5 + 6, 1 + 51 + 9 + 10 + 1 + 5 + 6,
                                     1 + 51 + 9 + 10 + 1 + 5 + 6};
    for (int i = 0; i < 3; i++) {
        pt_ir ir = small_network(&models[i], NULL);
        small_check(&ir);
        assert_int_equal(ir.op_count, layers[i]);
        assert_int_equal(fused_in_all(&ir), ir.built - 1);
        for (size_t k = 0; k < ir.op_count; k++) {
            assert_null(strchr(ir.values[ir.ops[k].output].name, '/')); /* whole layers alone are left */
        }
        pt_ir_free(&ir);
        small_model_close(&models[i]);
    }
}

/* Whatever is left out, the rest works, and the same work is done. */
static void test_left_out(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    pt_ir full = small_network(&m, "all");
    assert_int_equal(full.op_count - 1, full.built);
    assert_int_equal(pt_ir_infer_shapes(&full, 64, 64, 10, 5).code, PT_OK);
    double flops = 0;
    for (size_t k = 0; k < full.op_count; k++) {
        flops += pt_ir_flops(&full, &full.ops[k]);
    }
    pt_ir best = small_network(&m, NULL);
    size_t count, least = best.op_count;
    pt_ir_free(&best);
    const pt_pass *passes = pt_passes(&count);
    for (unsigned left_out = 0; left_out < 1U << count; left_out++) {
        char names[128] = "";
        for (size_t i = 0; i < count; i++) {
            if (left_out >> i & 1) {
                strcat(strcat(names, names[0] ? "," : ""), passes[i].name);
            }
        }
        pt_ir ir = small_network(&m, names);
        small_check(&ir);
        assert_int_equal(pt_ir_infer_shapes(&ir, 64, 64, 10, 5).code, PT_OK);
        double sum = 0;
        for (size_t k = 0; k < ir.op_count; k++) {
            sum += pt_ir_flops(&ir, &ir.ops[k]);
        }
        assert_true(sum == flops);
        /* Each but the last, which finds nothing here, takes operators away. */
        assert_true((left_out & ((1U << (count - 1)) - 1)) ? ir.op_count > least : ir.op_count == least);
        pt_ir_free(&ir);
    }
    pt_ir_free(&full);
    small_model_close(&m);
}

/* Blocks behind the last that the pyramid reads are in the file, but not in the network. */
static void test_blocks_after_the_last_tap(void **state)
{
    (void)state;
    builder b = build_mobilenet(BUILD_FOLDED);
    b.description = "{\"taps\":[3,6,13,14],\"roi\":{\"box_roi_size\":2,\"mask_roi_size\":2}}";
    small_model m = {0};
    size_t size;
    m.bytes = build_bytes(&b, &size);
    build_free(&b);
    assert_int_equal(pt_model_open_memory("small", m.bytes, size, NULL, &m.model).code, PT_OK);
    pt_ir ir = small_network(&m, NULL), with_dead = small_network(&m, "dead");
    assert_int_equal(with_dead.op_count - ir.op_count, 9); /* blocks 15, 16, 17 */
    assert_int_equal(pt_ir_writer(&ir, small_find(&with_dead, "backbone.body.17.conv.2")->output), -1);
    pt_ir_free(&ir);
    pt_ir_free(&with_dead);
    small_model_close(&m);
}

static void test_names(void **state)
{
    (void)state;
    small_model m = small_mobilenet(0);
    pt_ir ir = small_network(&m, "");
    static const char *const bad[] = {"fold", "norm,,add", "norms", "alle", "norm,abacus", ","};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pt_status status = pt_ir_run_passes(&ir, bad[i]);
        assert_int_equal(status.code, PT_E_USAGE);
        assert_non_null(strstr(status.message, "activation"));
    }
    size_t count;
    const pt_pass *passes = pt_passes(&count);
    pt_status status = pt_ir_run_passes(&ir, "abacus");
    for (size_t i = 0; i < count; i++) {
        assert_non_null(strstr(status.message, passes[i].name)); /* all of them are listed */
    }
    pt_ir_free(&ir);
    small_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identities),  cmocka_unit_test(test_norms),
        cmocka_unit_test(test_upsamples),   cmocka_unit_test(test_adds),
        cmocka_unit_test(test_activations), cmocka_unit_test(test_concats),
        cmocka_unit_test(test_dead),        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_left_out),    cmocka_unit_test(test_blocks_after_the_last_tap),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
