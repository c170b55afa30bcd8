/* From tensors to a configuration: what is accepted, and which tensor is named when something does not fit.
 */
#include "tests/engine/model/refuse.h"

#include <math.h>

static void check_common(const pt_model *model)
{
    const pt_model_config *c = pt_model_get_config(model);
    const pt_model_summary *s = pt_model_get_summary(model);
    static const int strides[] = {4, 8, 16, 32, 64};
    assert_int_equal(c->level_count, 5);
    assert_int_equal(c->tap_count, 4);
    assert_int_equal(c->roi_level_count, 4);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(c->strides[i], strides[i]);
        assert_int_equal(c->anchor_size_count[i], 1);
        assert_true(c->anchor_sizes[i][0] == (float)(32 << i));
    }
    assert_int_equal(c->fpn_channels, 6);
    assert_int_equal(c->anchors_per_cell, 3);
    assert_int_equal(c->rpn_conv_count, 1);
    assert_int_equal(c->box_fc, 7);
    assert_int_equal(c->class_count, 3);
    assert_int_equal(c->mask_conv_count, 2);
    assert_int_equal(c->mask_channels, 5);
    assert_int_equal(c->mask_size, 4);
    assert_true(c->bn_eps == 1e-5F);
    assert_int_equal(c->max_detections, 100);
    assert_string_equal(s->name, "tiny");
    assert_int_equal(s->class_count, 3);
    assert_string_equal(s->class_names[2], "field");
    assert_true(s->gsd == 0.25 && s->export_score == 0.4);
    assert_int_equal(s->stride, 64);
    assert_int_equal(strlen(s->sha256), 64);
}

static void accept(builder b, pt_arch arch, const char *name, const int taps[4])
{
    uint8_t *bytes;
    pt_model *model = accept_built(&b, &bytes);
    check_common(model);
    const pt_model_config *c = pt_model_get_config(model);
    assert_int_equal(c->arch, arch);
    assert_string_equal(pt_model_get_summary(model)->architecture, name);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(c->taps[i], taps[i]);
    }
    int64_t parameters = 0;
    for (size_t i = 0; i < pt_model_tensor_count(model); i++) {
        const pt_tensor *t = pt_model_tensor_at(model, i);
        assert_ptr_equal(pt_model_find(model, t->name), t);
        assert_null(strstr(t->name, "num_batches_tracked"));
        parameters += (int64_t)t->count;
    }
    assert_null(pt_model_tensor_at(model, pt_model_tensor_count(model)));
    assert_int_equal(pt_model_get_summary(model)->parameters, parameters);
    assert_non_null(pt_model_find(model, "roi_heads.mask_head.1.0.weight"));
    assert_non_null(pt_model_find(model, "backbone.fpn.layer_blocks.3.0.bias"));
    assert_non_null(pt_model_find(model, "rpn.head.conv.0.0.bias"));
    assert_null(pt_model_find(model, "roi_heads.mask_head.2.0.weight"));
    pt_model_close(&model);
    assert_null(model);
    free(bytes);
    build_free(&b);
}

static void test_accepts_all_spellings(void **state)
{
    (void)state;
    static const int layers[4] = {1, 2, 3, 4}, blocks[4] = {3, 6, 13, 17};
    for (int flags = 0; flags < 8; flags++) {
        accept(build_resnet(6, flags), PT_ARCH_RESNET50, "resnet50_fpn", layers);
        accept(build_mobilenet(flags), PT_ARCH_MOBILENET_V2, "mobilenet_v2_fpn", blocks);
    }
    accept(build_resnet(23, BUILD_COUNTERS), PT_ARCH_RESNET101, "resnet101_fpn", layers);
}

static void test_dtypes(void **state)
{
    (void)state;
    static const char *const dtypes[] = {"F32", "F16", "BF16", "mixed"};
    for (int d = 0; d < 4; d++) {
        builder b = build_mobilenet(BUILD_FOLDED);
        for (size_t i = 0; i < b.count; i++) {
            strcpy(b.tensors[i].dtype, dtypes[d < 3 ? d : (int)(i % 3)]);
        }
        uint8_t *bytes;
        pt_model *model = accept_built(&b, &bytes);
        assert_string_equal(pt_model_get_summary(model)->dtype, dtypes[d]);
        const build_tensor *built = build_find(&b, "rpn.head.bbox_pred.weight");
        const pt_tensor *read = pt_model_find(model, "rpn.head.bbox_pred.weight");
        float values[12 * 6];
        assert_int_equal(read->count, sizeof values / sizeof *values);
        pt_tensor_to_float(read, values);
        assert_memory_equal(values, built->values, sizeof values);
        pt_model_close(&model);
        free(bytes);
        build_free(&b);
    }
}

/* torchvision's features[18] may be there, as a tap or behind the last one; blocks behind it too. */
static void test_mobilenet_taps(void **state)
{
    (void)state;
    builder b = build_mobilenet(BUILD_FOLDED);
    build_add(&b, "backbone.body.18.0.weight", 4, 9, 5, 1, 1);
    build_add(&b, "backbone.body.18.0.bias", 1, 9, 0, 0, 0);
    uint8_t *bytes;
    pt_model *model = accept_built(&b, &bytes);
    assert_int_equal(pt_model_get_config(model)->taps[3], 17);
    pt_model_close(&model);
    free(bytes);

    build_remove(&b, "backbone.fpn.inner_blocks.3.0.weight");
    build_add(&b, "backbone.fpn.inner_blocks.3.0.weight", 4, 6, 9, 1, 1);
    model = accept_built(&b, &bytes);
    assert_int_equal(pt_model_get_config(model)->taps[3], 18);
    assert_int_equal(pt_model_get_config(model)->tap_channels[3], 9);
    assert_int_equal(pt_model_get_config(model)->strides[3], 32);
    pt_model_close(&model);
    free(bytes);

    b.description = "{\"roi\":{\"box_roi_size\":2},\"taps\":[2,6,13,18]}"; /* block 2 is as wide as block 3 */
    model = accept_built(&b, &bytes);
    assert_int_equal(pt_model_get_config(model)->taps[0], 2);
    assert_int_equal(pt_model_get_config(model)->strides[0], 4);
    pt_model_close(&model);
    free(bytes);

    b.description = "{\"roi\":{\"box_roi_size\":2},\"taps\":[3,6,13,17]}";
    refuse_built(
        &b, "tensor backbone.fpn.inner_blocks.3.0.weight: has shape [6, 9, 1, 1], [6, 5, 1, 1] was expected");
    b.description = "{\"roi\":{\"box_roi_size\":2},\"taps\":[3,6,6,17]}";
    refuse_built(&b, "description: taps[2] is 6");
    b.description = "{\"roi\":{\"box_roi_size\":2},\"taps\":[3,6,13]}";
    refuse_built(&b, "description: taps has 3 entries, the FPN has 4");
    b.description = build_description;
    build_find(&b, "backbone.fpn.inner_blocks.1.0.weight")->shape[1] = 1;
    refuse_built(&b,
                 "tensor backbone.fpn.inner_blocks.1.0.weight: its 1 inputs fit no end of a backbone stage");
    build_free(&b);
}

/* Each tensor in turn is taken away: the message names it (or the tensor that only made sense with it). */
static void test_each_missing(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        builder whole = kind ? build_mobilenet(0) : build_mobilenet(BUILD_FOLDED);
        for (size_t i = 0; i < whole.count; i++) {
            builder b = build_mobilenet(kind ? 0 : BUILD_FOLDED);
            build_remove(&b, whole.tensors[i].name);
            refuse_built(&b, "tensor");
            build_free(&b);
        }
        build_free(&whole);
    }
}

static void refuse_without(builder b, const char *name, const char *says)
{
    build_remove(&b, name);
    refuse_built(&b, says);
    build_free(&b);
}

static void test_missing(void **state)
{
    (void)state;
    refuse_without(build_resnet(6, 0), "backbone.body.conv1.weight", "not a Mask R-CNN of a supported");
    refuse_without(build_resnet(6, 0), "backbone.body.bn1.running_var",
                   "tensor backbone.body.bn1.running_var: missing");
    refuse_without(build_resnet(6, BUILD_FOLDED), "backbone.body.layer2.1.conv3.bias",
                   "tensor backbone.body.layer2.1.conv3.bias: missing");
    refuse_without(build_resnet(6, 0), "backbone.body.layer4.0.downsample.0.weight",
                   "layer4.0.downsample.0.weight: missing");
    refuse_without(build_resnet(6, 0), "roi_heads.box_head.fc6.weight",
                   "tensor roi_heads.box_head.fc6.weight: missing");
    refuse_without(build_resnet(6, 0), "roi_heads.mask_head.0.0.weight",
                   "roi_heads.mask_head.0.0.weight: missing");
    refuse_without(build_resnet(6, BUILD_OLD_NAMES), "rpn.head.conv.weight",
                   "tensor rpn.head.conv.0.0.weight: missing");
    refuse_without(build_resnet(6, 0), "roi_heads.mask_predictor.mask_fcn_logits.bias",
                   "mask_fcn_logits.bias: missing");
}

static void refuse_with(builder b, const char *name, int64_t count, const char *says)
{
    build_add(&b, name, 1, count, 0, 0, 0);
    refuse_built(&b, says);
    build_free(&b);
}

static void test_unknown(void **state)
{
    (void)state;
    refuse_with(build_resnet(6, 0), "backbone.body.fc.weight", 4, "tensor backbone.body.fc.weight: unknown");
    refuse_with(build_resnet(6, 0), "roi_heads.box_head.0.1.weight", 4,
                "roi_heads.box_head.0.1.weight: unknown");
    refuse_with(build_resnet(7, 0), "x", 4, "tensors backbone.body.layer3.N: 7 blocks");
    refuse_with(build_mobilenet(0), "backbone.body.19.0.weight", 4,
                "tensor backbone.body.19.0.weight: unknown");
    refuse_with(build_resnet(6, BUILD_OLD_NAMES), "rpn.head.conv.0.0.weight", 4,
                "tensor rpn.head.conv.0.0.weight: present under its old name and its new one");
    char name[129];
    memset(name, 'a', 128);
    name[128] = '\0';
    refuse_with(build_resnet(6, 0), name, 4, "printable ASCII");
}

/* Every side of every tensor, one longer: refused, and the message names a tensor and both shapes, or the
 * key. */
static void test_each_side_longer(void **state)
{
    (void)state;
    builder whole = build_mobilenet(BUILD_FOLDED);
    for (size_t i = 0; i < whole.count; i++) {
        for (int d = 0; d < whole.tensors[i].dims; d++) {
            builder b = build_mobilenet(BUILD_FOLDED);
            build_tensor *t = &b.tensors[i], old = *t;
            t->shape[d]++;
            build_add(&b, old.name, t->dims, t->shape[0], t->shape[1], t->shape[2], t->shape[3]);
            free(old.values);
            *t = b.tensors[--b.count];
            refuse_built(&b, "tensor");
            build_free(&b);
        }
    }
    build_free(&whole);
}

static void refuse_shape(const char *name, int dims, int64_t n0, int64_t n1, int64_t n2, int64_t n3,
                         const char *says)
{
    builder b = build_resnet(6, 0);
    build_remove(&b, name);
    build_add(&b, name, dims, n0, n1, n2, n3);
    refuse_built(&b, says);
    build_free(&b);
}

static void test_wrong_shapes(void **state)
{
    (void)state;
    refuse_shape("roi_heads.box_head.fc6.weight", 2, 7, 25, 0, 0,
                 "tensor roi_heads.box_head.fc6.weight: has shape [7, 25], [any, 24] was expected");
    refuse_shape("roi_heads.box_predictor.bbox_pred.weight", 2, 11, 7, 0, 0,
                 "has shape [11, 7], [12, 7] was expected");
    refuse_shape("backbone.body.layer1.0.conv2.weight", 3, 1, 1, 3, 0,
                 "has shape [1, 1, 3], [any, 1, 3, 3] was expected");
    refuse_shape("backbone.body.conv1.weight", 4, 16385, 3, 7, 7,
                 "has shape [16385, 3, 7, 7], [any, 3, 7, 7]");
    refuse_shape("roi_heads.box_head.fc7.bias", 0, 0, 0, 0, 0, "fc7.bias: has shape [], [7] was expected");
    refuse_shape("rpn.head.cls_logits.weight", 4, 4, 6, 1, 1, "rpn.head.cls_logits.bias: has shape [3], [4]");
    refuse_shape("roi_heads.mask_predictor.conv5_mask.weight", 4, 5, 4, 2, 2,
                 "has shape [5, 4, 2, 2], [5, 5, 2, 2]");
}

/* Sides that depend on the number of classes, all changed together. */
static void refuse_classes(int64_t classes, const char *says)
{
    builder b = build_resnet(6, 0);
    build_remove(&b, "roi_heads.box_predictor.cls_score.weight");
    build_remove(&b, "roi_heads.box_predictor.cls_score.bias");
    build_add(&b, "roi_heads.box_predictor.cls_score.weight", 2, classes, 7, 0, 0);
    build_add(&b, "roi_heads.box_predictor.cls_score.bias", 1, classes, 0, 0, 0);
    refuse_built(&b, says);
    build_free(&b);
}

static void test_class_limits(void **state)
{
    (void)state;
    refuse_classes(1, "tensor roi_heads.box_predictor.cls_score.weight: 1 classes, must be 2 .. 4096");
    refuse_classes(4097, "4097 classes, must be 2 .. 4096");
    refuse_classes(
        4, "tensor roi_heads.box_predictor.bbox_pred.weight: has shape [12, 7], [16, 7] was expected");
}

static void test_non_finite(void **state)
{
    (void)state;
    static const char *const dtypes[] = {"F32", "F16", "BF16"};
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    for (int d = 0; d < 3; d++) {
        for (int i = 0; i < 3; i++) {
            builder b = build_mobilenet(BUILD_FOLDED);
            build_tensor *t = build_find(&b, "roi_heads.box_head.fc7.weight");
            strcpy(t->dtype, dtypes[d]);
            t->values[48] = bad[i];
            refuse_built(&b, "tensor roi_heads.box_head.fc7.weight: holds an infinity or NaN");
            build_free(&b);
        }
    }
}

static void test_wrong_dtype(void **state)
{
    (void)state;
    builder b = build_mobilenet(BUILD_FOLDED);
    strcpy(build_find(&b, "rpn.head.bbox_pred.bias")->dtype, "I64");
    refuse_built(&b, "tensor rpn.head.bbox_pred.bias: its dtype is I64, F32, F16 or BF16 is needed");
    build_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts_all_spellings),
        cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_mobilenet_taps),
        cmocka_unit_test(test_each_missing),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_each_side_longer),
        cmocka_unit_test(test_wrong_shapes),
        cmocka_unit_test(test_class_limits),
        cmocka_unit_test(test_non_finite),
        cmocka_unit_test(test_wrong_dtype),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
