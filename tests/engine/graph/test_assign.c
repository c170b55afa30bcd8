/* The precision pass: what is stored as bytes, where conversions stand, how bytes stand for numbers. */
#include "engine/quant/quantise.h"
#include "tests/engine/graph/small.h"
#include "tests/engine/kernels/random.h"
#include "tests/engine/model/builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int by_value(const void *a, const void *b)
{
    return strcmp(((const pt_range *)a)->value, ((const pt_range *)b)->value);
}

/* A range for each value but those whose name ends in `missing` (NULL: none): from -(i + 1) to 10 (i + 1), i
 * the operator's place, the same for values of one name. */
static pt_calibration calibrate(const pt_ir *ir, const char *missing)
{
    pt_range *ranges = calloc(ir->op_count, sizeof *ranges);
    assert_non_null(ranges);
    size_t count = 0;
    for (size_t i = 0; i < ir->op_count; i++) {
        const char *name = ir->values[ir->ops[i].output].name;
        bool known = missing && strcmp(name, missing) == 0;
        for (size_t k = 0; k < count; k++) {
            known |= strcmp(ranges[k].value, name) == 0;
        }
        if (!known) {
            char *copy = strdup(name);
            assert_non_null(copy);
            ranges[count++] = (pt_range){.value = copy, .low = -(float)(i + 1), .high = 10 * (float)(i + 1)};
        }
    }
    qsort(ranges, count, sizeof *ranges, by_value);
    return (pt_calibration){.method = "minmax", .tiles = 1, .ranges = ranges, .range_count = count};
}

static void forget(pt_calibration *c)
{
    for (size_t i = 0; i < c->range_count; i++) {
        free((char *)c->ranges[i].value);
    }
    free((pt_range *)c->ranges);
}

static pt_status assign(pt_ir *ir, const char *precision, const pt_calibration *calibration, bool strict)
{
    pt_precision parsed;
    assert_int_equal(pt_precision_parse(precision, &parsed).code, PT_OK);
    return pt_ir_assign_precision(ir, &parsed, calibration, strict);
}

/* Every operator gets what it can compute. */
static void check_elems(const pt_ir *ir)
{
    small_check(ir);
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *op = &ir->ops[i];
        const pt_ir_value *out = &ir->values[op->output], *in = &ir->values[op->inputs[0]];
        bool dense = pt_op_is_dense(op->kind);
        if (dense) {
            assert_int_equal(in->elem, op->numeric == PT_INT8 ? PT_U8 : PT_F32);
            assert_true(op->numeric == PT_INT8 || out->elem == PT_F32);
            assert_true(!op->adds || ir->values[op->inputs[1]].elem == out->elem);
        } else if (op->kind == PT_OP_CONVERT) {
            assert_true(in->elem != out->elem);
        } else if (op->kind == PT_OP_ROI_ALIGN || op->kind == PT_OP_MAX_POOL || op->kind == PT_OP_IDENTITY) {
            for (int k = op->kind == PT_OP_ROI_ALIGN; k < op->input_count; k++) {
                const pt_ir_value *level = &ir->values[op->inputs[k]];
                assert_int_equal(level->elem, out->elem);
                assert_true(level->elem == PT_F32 ||
                            (level->quant.scale == out->quant.scale && level->quant.zero == out->quant.zero));
            }
        } else if (op->kind != PT_OP_INPUT) {
            assert_int_equal(out->elem, PT_F32);
            bool reads = op->kind != PT_OP_MASK_LOGITS && op->kind != PT_OP_UPSAMPLE;
            for (int k = 0; k < op->input_count && reads; k++) {
                assert_int_equal(ir->values[op->inputs[k]].elem, PT_F32);
            }
        }
        for (size_t k = i + 1; k < ir->op_count && dense; k++) { /* one layer, one quant */
            const pt_ir_op *twin = &ir->ops[k];
            if (twin->kind == op->kind && strcmp(twin->name, op->name) == 0) {
                assert_true(ir->values[twin->inputs[0]].quant.scale == in->quant.scale);
                assert_true(ir->values[twin->output].quant.scale == out->quant.scale);
            }
        }
    }
}

/* Everything in bytes: no conversion at all, the image as it comes, the last layers' answers as floats. */
static void test_all_bytes(void **state)
{
    (void)state;
    small_model models[2] = {small_resnet(0), small_mobilenet(0)};
    static const char *const pyramid[] = {"backbone.fpn.layer_blocks.0.0", "backbone.fpn.layer_blocks.1.0",
                                          "backbone.fpn.layer_blocks.2.0", "backbone.fpn.layer_blocks.3.0"};
    for (int i = 0; i < 2; i++) {
        pt_ir ir = small_network(&models[i], NULL);
        pt_calibration c = calibrate(&ir, NULL);
        assert_int_equal(assign(&ir, "int8", &c, true).code, PT_OK);
        check_elems(&ir);
        assert_int_equal(small_count(&ir, PT_OP_CONVERT), 0);
        const pt_ir_value *image = &ir.values[small_find(&ir, "image")->output];
        assert_true(image->elem == PT_U8 && image->channels == 4 && image->quant.scale == 1 &&
                    image->quant.zero == 0);
        assert_int_equal(ir.values[small_find(&ir, "rpn.head")->output].elem, PT_F32);
        assert_int_equal(ir.values[small_find(&ir, "roi_heads.box_predictor")->output].elem, PT_F32);
        assert_int_equal(ir.values[small_find(&ir, "roi_heads.box_roi_pool")->output].elem, PT_U8);
        /* The pyramid's levels have the union of their ranges. */
        float low = 0, high = 0;
        for (int l = 0; l < 4; l++) {
            const pt_range *range = pt_calibration_find(&c, pyramid[l]);
            low = range->low < low ? range->low : low;
            high = range->high > high ? range->high : high;
        }
        pt_quant wanted = pt_quant_of_range(low, high);
        for (int l = 0; l < 4; l++) {
            pt_quant quant = ir.values[small_find(&ir, pyramid[l])->output].quant;
            assert_true(quant.scale == wanted.scale && quant.zero == wanted.zero);
        }
        /* Behind an activation there is nothing below 0, nor behind a ReLU6 anything above 6. */
        const pt_ir_value *acts =
            &ir.values[small_find(&ir, i ? "backbone.body.2.conv.0.0" : "backbone.body.layer1.0.conv1")
                           ->output];
        assert_int_equal(acts->quant.zero, 0);
        assert_true(i == 0 || acts->quant.scale == 6.0f / 255);
        forget(&c);
        pt_ir_free(&ir);
        small_model_close(&models[i]);
    }
}

static int conversions(const small_model *m, const char *without, const char *precision)
{
    pt_ir ir = small_network(m, without);
    pt_calibration c = calibrate(&ir, NULL);
    pt_status status = assign(&ir, precision, &c, true);
    if (status.code != PT_OK) {
        fail_msg("%s: %s", precision, status.message);
    }
    check_elems(&ir);
    int count = small_count(&ir, PT_OP_CONVERT);
    forget(&c);
    pt_ir_free(&ir);
    return count;
}

/* As few conversions as there can be, counted by hand. */
static void test_conversions(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    assert_int_equal(conversions(&m, NULL, "fp32"), 0);
    assert_int_equal(conversions(&m, NULL, "int8,backbone.body.conv1=fp32"), 1);
    assert_int_equal(conversions(&m, NULL, "int8,rpn.head=fp32"), 0); /* the layer before writes floats */
    assert_int_equal(conversions(&m, NULL, "int8,rpn.head.bbox_pred=fp32"), 0); /* the same layer */
    assert_int_equal(conversions(&m, NULL, "int8,roi_heads.box_predictor=fp32"), 0);
    assert_int_equal(conversions(&m, NULL, "int8,mask=fp32"), 1); /* the regions */
    /* C2 .. C4 have other readers, C5 a summand in bytes. */
    assert_int_equal(conversions(&m, NULL, "fp32,backbone=int8"), 4);
    assert_int_equal(conversions(&m, NULL, "int8,backbone=fp32"), 4);
    assert_int_equal(conversions(&m, NULL, "int8,rpn=fp32"),
                     2); /* the pyramid as floats, the regions of two heads */
    assert_int_equal(conversions(&m, NULL, "fp32,rpn=int8,box=int8,mask=int8"),
                     4); /* the pyramid, and its pool after */
    assert_int_equal(conversions(&m, NULL, "fp32,box=int8"), 1);
    small_model_close(&m);
}

/* Every combination of components, also with passes left out, whose operators know floats alone. */
static void test_combinations(void **state)
{
    (void)state;
    small_model m = small_mobilenet(0);
    static const char *const without[] = {NULL,           "norm",        "activation,identity",
                                          "add,upsample", "concat,dead", "all"};
    for (int mix = 0; mix < 1 << PT_COMPONENTS; mix++) {
        char text[96];
        int at = snprintf(text, sizeof text, "fp32");
        for (int i = 0; i < PT_COMPONENTS; i++) {
            at += snprintf(text + at, sizeof text - (size_t)at, ",%s=%s", pt_component_name((pt_component)i),
                           mix >> i & 1 ? "int8" : "fp32");
        }
        conversions(&m, without[mix % 6], text);
        conversions(&m, without[(mix / 6) % 6], text);
    }
    small_model_close(&m);
}

/* Maps enter a pooling in the form that makes the conversion the smaller one. */
static void test_conversion_behind_pooling(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    pt_ir ir = small_network(&m, NULL);
    pt_calibration c = calibrate(&ir, NULL);
    assert_int_equal(assign(&ir, "int8,backbone.body.conv1=fp32", &c, true).code, PT_OK);
    const pt_ir_op *convert = small_find(&ir, "backbone.body.maxpool/u8");
    assert_int_equal(convert->kind, PT_OP_CONVERT);
    /* Its range is that of what was pooled. */
    pt_quant wanted = pt_quant_of_range(0, pt_calibration_find(&c, "backbone.body.conv1")->high);
    assert_true(ir.values[convert->output].quant.scale == wanted.scale);
    forget(&c);
    pt_ir_free(&ir);
    small_model_close(&m);
}

/* The box head's last layer computes in floats, merged or not, unless it is named. */
static void test_kept_layer(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    static const struct {
        const char *precision, *without, *value;
        pt_numeric wanted;
    } cases[] = {{"int8", NULL, "roi_heads.box_predictor", PT_FP32},
                 {"int8", "concat", "roi_heads.box_predictor.bbox_pred", PT_FP32},
                 {"int8,roi_heads.box_predictor=int8", NULL, "roi_heads.box_predictor", PT_INT8},
                 {"int8,roi_heads.box_predictor.cls_score=int8", NULL, "roi_heads.box_predictor", PT_INT8},
                 {"int8", NULL, "roi_heads.box_head.fc7", PT_INT8},
                 {"int8", NULL, "rpn.head", PT_INT8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pt_ir ir = small_network(&m, cases[i].without);
        pt_calibration c = calibrate(&ir, NULL);
        assert_int_equal(assign(&ir, cases[i].precision, &c, true).code, PT_OK);
        check_elems(&ir);
        assert_int_equal(small_find(&ir, cases[i].value)->numeric, cases[i].wanted);
        forget(&c);
        pt_ir_free(&ir);
    }
    small_model_close(&m);
}

static void test_missing_ranges(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    static const char name[] = "backbone.fpn.layer_blocks.2.0";
    for (int strict = 0; strict < 2; strict++) {
        pt_ir ir = small_network(&m, NULL);
        pt_calibration c = calibrate(&ir, name);
        pt_status status = assign(&ir, "int8", &c, strict);
        if (strict) {
            assert_int_equal(status.code, PT_E_INPUT);
            assert_non_null(strstr(status.message, name));
        } else { /* what reads the pyramid, whose levels are one set, computes in floats; the rest in bytes */
            assert_int_equal(status.code, PT_OK);
            check_elems(&ir);
            assert_int_equal(small_find(&ir, name)->numeric, PT_INT8);
            assert_int_equal(small_find(&ir, "rpn.head.conv.0.0")->numeric, PT_FP32);
            assert_int_equal(small_find(&ir, "roi_heads.mask_head.0.0")->numeric, PT_FP32);
            assert_int_equal(small_find(&ir, "roi_heads.mask_head.1.0")->numeric, PT_INT8);
            assert_int_equal(small_find(&ir, "roi_heads.box_head.fc7")->numeric, PT_INT8);
        }
        forget(&c);
        pt_ir_free(&ir);
    }
    pt_ir ir = small_network(&m, NULL);
    assert_int_equal(assign(&ir, "int8", NULL, true).code, PT_E_INPUT);
    assert_int_equal(assign(&ir, "int8", NULL, false).code, PT_OK); /* but for the first layer on the image */
    check_elems(&ir);
    pt_ir_free(&ir);
    small_model_close(&m);
}

/* A layer whose sums may exceed 32 bits stays in floats, unless bytes are asked for. */
static void test_large_sums(void **state)
{
    (void)state;
    static const char fc6[] = "roi_heads.box_head.fc6";
    small_model m = small_mobilenet(0);
    for (int strict = 0; strict < 2; strict++) {
        for (int cells = 2; cells <= 128; cells += 126) { /* a side; of 6 channels */
            pt_ir ir = small_network(&m, NULL);
            pt_calibration c = calibrate(&ir, NULL);
            int writer = pt_ir_writer(&ir, small_find(&ir, fc6)->inputs[0]);
            assert_int_equal(ir.ops[writer].kind, PT_OP_ROI_ALIGN);
            ir.ops[writer].kernel_h = ir.ops[writer].kernel_w = cells;
            assert_int_equal(assign(&ir, "int8", &c, strict).code, PT_OK);
            check_elems(&ir);
            assert_int_equal(small_find(&ir, fc6)->numeric, strict || cells == 2 ? PT_INT8 : PT_FP32);
            assert_int_equal(small_find(&ir, "roi_heads.box_head.fc7")->numeric, PT_INT8);
            forget(&c);
            pt_ir_free(&ir);
        }
    }
    small_model_close(&m);
}

static void test_unknown_layer(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    pt_ir ir = small_network(&m, NULL);
    pt_calibration c = calibrate(&ir, NULL);
    static const char *const unknown[] = {"int8,backbone.body.conv9=fp32", "fp32,proposals=int8"};
    for (int i = 0; i < 2; i++) {
        pt_status status = assign(&ir, unknown[i], &c, true);
        assert_int_equal(status.code, PT_E_USAGE);
        assert_non_null(strstr(status.message, "--graph"));
    }
    forget(&c);
    pt_ir_free(&ir);
    small_model_close(&m);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    int n = 0;
    for (pt_status status = {.code = PT_E_NOMEM}; status.code != PT_OK; n++) {
        pt_ir ir = small_network(&m, NULL);
        pt_calibration c = calibrate(&ir, NULL);
        pt_alloc_fail_after(n);
        status = assign(&ir, "int8,rpn=fp32", &c, true);
        pt_alloc_fail_after(-1);
        assert_true(status.code == PT_OK || status.code == PT_E_NOMEM);
        forget(&c);
        pt_ir_free(&ir);
    }
    assert_true(n > 8);
    small_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_bytes),           cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_combinations),        cmocka_unit_test(test_conversion_behind_pooling),
        cmocka_unit_test(test_kept_layer),          cmocka_unit_test(test_missing_ranges),
        cmocka_unit_test(test_large_sums),          cmocka_unit_test(test_unknown_layer),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
