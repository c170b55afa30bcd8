/* The network as it is built: operators, names, shapes. */
#include "tests/engine/graph/small.h"
#include "tests/engine/model/builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static pt_ir built(const small_model *m)
{
    pt_ir ir = {0};
    assert_int_equal(pt_ir_build(m->model, &ir).code, PT_OK);
    small_check(&ir);
    assert_int_equal(ir.built, ir.op_count - 1);
    return ir;
}

/* ResNet-50 by hand: 1 + 16 * 3 + 4 convolutions with a batch norm each, 4 + 4 of the pyramid, three times
 * five of the RPN, 2 of the tiny mask head. */
static void test_resnet(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    pt_ir ir = built(&m);
    assert_int_equal(small_count(&ir, PT_OP_CONV), 53 + 8 + 15 + 2);
    assert_int_equal(small_count(&ir, PT_OP_BATCH_NORM), 53);
    assert_int_equal(small_count(&ir, PT_OP_ACTIVATE), 49 + 5 + 2 + 2 + 1);
    assert_int_equal(small_count(&ir, PT_OP_ADD), 16 + 3);
    assert_int_equal(small_count(&ir, PT_OP_UPSAMPLE), 3);
    assert_int_equal(small_count(&ir, PT_OP_MAX_POOL), 2);
    assert_int_equal(small_count(&ir, PT_OP_LINEAR), 4);
    assert_int_equal(small_count(&ir, PT_OP_CONCAT), 5 + 1);
    assert_int_equal(small_count(&ir, PT_OP_IDENTITY), 1);
    assert_int_equal(small_count(&ir, PT_OP_DECONV), 1);
    assert_int_equal(small_count(&ir, PT_OP_ROI_ALIGN), 2);
    const pt_ir_op *last = small_find(&ir, "backbone.body.layer2.0.conv3");
    assert_int_equal(last->kind, PT_OP_ACTIVATE);
    assert_int_equal(last->activation, PT_ACT_RELU);
    const pt_ir_op *strided = small_find(&ir, "backbone.body.layer2.0.conv2/conv");
    assert_int_equal(strided->stride, 2);
    assert_int_equal(strided->pad, 1);
    assert_int_equal(small_find(&ir, "backbone.body.layer2.0.downsample.0/conv")->stride, 2);
    assert_int_equal(small_find(&ir, "backbone.body.layer1.0.downsample.0/conv")->stride, 1);
    assert_string_equal(small_find(&ir, "backbone.body.layer1.0.downsample.0")->name,
                        "backbone.body.layer1.0.downsample.1");
    pt_ir_free(&ir);
    assert_null(ir.ops);
    small_model_close(&m);
}

/* Batch norms that the file has already folded are no operators. The residual is added where the tiny model's
 * widths agree: blocks 3, 5, 6, 8 to 13, 15 to 17. */
static void test_mobilenet(void **state)
{
    (void)state;
    small_model m = small_mobilenet(0), folded = small_mobilenet(BUILD_FOLDED);
    pt_ir ir = built(&m), short_ir = built(&folded);
    assert_int_equal(small_count(&ir, PT_OP_BATCH_NORM), 1 + 2 + 16 * 3);
    assert_int_equal(small_count(&short_ir, PT_OP_BATCH_NORM), 0);
    assert_int_equal(ir.op_count - short_ir.op_count, 51);
    assert_int_equal(small_count(&ir, PT_OP_ADD), 12 + 3);
    const pt_ir_op *depthwise = small_find(&ir, "backbone.body.2.conv.1.0/conv");
    assert_int_equal(depthwise->groups, ir.values[depthwise->output].channels);
    assert_int_equal(depthwise->stride, 2);
    assert_int_equal(small_find(&ir, "backbone.body.1.conv.0.0")->activation, PT_ACT_RELU6);
    assert_int_equal(small_find(&ir, "backbone.body.3.conv.2")->kind, PT_OP_ADD);
    assert_int_equal(small_find(&short_ir, "backbone.body.2.conv.2")->kind, PT_OP_CONV);
    pt_ir_free(&ir);
    pt_ir_free(&short_ir);
    small_model_close(&m);
    small_model_close(&folded);
}

static void test_marks(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    pt_ir ir = built(&m);
    int found[3] = {0};
    static const char *const names[3] = {"C", "P", "rpn"};
    for (size_t v = 0; v < ir.value_count; v++) {
        for (int i = 0; i < 3 && ir.values[v].mark; i++) {
            found[i] += strcmp(ir.values[v].mark, names[i]) == 0 ? 1 << ir.values[v].level : 0;
        }
    }
    assert_int_equal(found[0], 15); /* every level once */
    assert_int_equal(found[1], 31);
    assert_int_equal(found[2], 31);
    assert_true(ir.values[small_find(&ir, "masks")->output].result);
    assert_true(ir.values[small_find(&ir, "detections")->output].result);
    pt_ir_free(&ir);
    small_model_close(&m);
}

static const pt_ir_value *value(const pt_ir *ir, const char *name)
{
    return &ir->values[small_find(ir, name)->output];
}

static void test_shapes(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    pt_ir ir = built(&m);
    assert_int_equal(pt_ir_infer_shapes(&ir, 100, 61, 30, 7).code, PT_OK);
    assert_int_equal(value(&ir, "image")->w, 128); /* padded */
    assert_int_equal(value(&ir, "image")->h, 64);
    assert_int_equal(value(&ir, "backbone.body.maxpool")->w, 32);
    assert_int_equal(value(&ir, "backbone.body.layer4.2.conv3")->h, 2);
    assert_int_equal(value(&ir, "backbone.fpn.inner_blocks.0.0")->h, 16);
    assert_int_equal(value(&ir, "backbone.fpn.pool")->w, 2);
    assert_int_equal(value(&ir, "roi_heads.mask_roi_pool")->h, 2);
    assert_int_equal(value(&ir, "masks")->h, 4);
    assert_int_equal(value(&ir, "masks")->channels, 1);
    assert_int_equal(value(&ir, "roi_heads.box_head.flatten")->channels, 24);
    /* The first convolution: 7 x 7 x 3 products for each of 2 channels of 32 x 64 pixels. */
    assert_true(pt_ir_flops(&ir, small_find(&ir, "backbone.body.conv1/conv")) == 2. * 147 * 2 * 32 * 64);
    assert_true(pt_ir_weight_bytes(&ir, small_find(&ir, "backbone.body.conv1/conv")) == 4 * (147 * 2 + 2));
    /* 24 inputs, 7 outputs, 30 regions; the same from features that are not flattened. */
    assert_true(pt_ir_flops(&ir, small_find(&ir, "roi_heads.box_head.fc6/linear")) == 2. * 24 * 7 * 30);
    assert_int_equal(pt_pass_drop_identities(&ir).code, PT_OK);
    assert_true(pt_ir_flops(&ir, small_find(&ir, "roi_heads.box_head.fc6/linear")) == 2. * 24 * 7 * 30);
    /* 5 channels in; 5 out at 4 x 4 of 7 detections; 4 * 5 rows of 5 weights and as many biases. */
    const pt_ir_op *deconv = small_find(&ir, "roi_heads.mask_predictor.conv5_mask/deconv");
    assert_true(pt_ir_flops(&ir, deconv) == 2. * 5 * 5 * 16 * 7);
    assert_true(pt_ir_weight_bytes(&ir, deconv) == 4 * (100 + 20));
    assert_true(pt_ir_weight_bytes(&ir, small_find(&ir, "roi_heads.mask_predictor.mask_fcn_logits")) ==
                4 * (15 + 3));
    assert_true(pt_ir_activation_bytes(&ir, deconv) == 4 * 7 * 5 * (4 + 16));
    assert_int_equal(pt_ir_infer_shapes(&ir, 0, 5, 1, 1).code, PT_E_USAGE);
    assert_int_equal(pt_ir_infer_shapes(&ir, 5, 5, -1, 1).code, PT_E_USAGE);
    pt_ir_free(&ir);
    small_model_close(&m);
}

static void test_bad_shapes(void **state)
{
    (void)state;
    pt_ir ir = {0};
    int image = small_input(&ir, 3), a = small_conv(&ir, "a", image, 4), b = small_conv(&ir, "b", image, 4);
    small_op(&ir, PT_OP_ADD, "sum", a, b);
    assert_int_equal(pt_ir_infer_shapes(&ir, 32, 32, 0, 0).code, PT_OK);
    small_find(&ir, "b")->stride = 2;
    pt_status status = pt_ir_infer_shapes(&ir, 32, 32, 0, 0);
    assert_int_equal(status.code, PT_E_USAGE);
    assert_non_null(strstr(status.message, "sum"));
    small_find(&ir, "a")->kernel_h = 40;
    status = pt_ir_infer_shapes(&ir, 32, 32, 0, 0);
    assert_int_equal(status.code, PT_E_USAGE);
    assert_non_null(strstr(status.message, "layer a"));
    pt_ir_free(&ir);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    pt_ir ir = {0};
    int n = 0;
    for (pt_status status = {.code = PT_E_NOMEM}; status.code != PT_OK; n++) {
        pt_alloc_fail_after(n);
        status = pt_ir_build(m.model, &ir);
        pt_alloc_fail_after(-1);
        assert_true(status.code == PT_OK || (status.code == PT_E_NOMEM && !ir.ops));
    }
    assert_true(n > 4);
    pt_ir_free(&ir);
    small_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resnet),     cmocka_unit_test(test_mobilenet),
        cmocka_unit_test(test_marks),      cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_bad_shapes), cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
