/* Every key of the description: its default, its range, and the message that names it. */
#include "tests/engine/model/refuse.h"

/* `description` in the metadata of a good tiny model. */
static void refuse_description(const char *description, const char *says)
{
    builder b = build_mobilenet(BUILD_FOLDED);
    b.description = description;
    refuse_built(&b, says);
    build_free(&b);
}

static void test_bad_values(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"format\":2}", "description: format is 2"},
        {"{\"format\":1.5}", "description: format must be a whole number"},
        {"{\"arch\":\"resnet18_fpn\"}", "description: arch must be"},
        {"{\"arch\":7}", "description: arch must be"},
        {"{\"name\":7}", "description: name must be a text"},
        {"{\"name\":\"\"}", "description: name must have 1 .. 200 bytes"},
        {"{\"name\":\"a\\u001b[2J\"}", "description: name must have"},
        {"{\"classes\":\"roof\"}", "description: classes must be a list"},
        {"{\"classes\":[\"background\"]}", "description: classes has 1 entries"},
        {"{\"classes\":[\"background\",3,\"a\"]}", "description: classes[1] must be a text"},
        {"{\"classes\":[\"background\",\"a\\n\",\"a\"]}", "description: classes[1] must have"},
        {"{\"fpn_channels\":0}", "description: fpn_channels is 0"},
        {"{\"fpn_channels\":16385}", "description: fpn_channels is 16385"},
        {"{\"bn_eps\":-1e-5}", "description: bn_eps is -1e-05"},
        {"{\"bn_eps\":2}", "description: bn_eps is 2"},
        {"{\"bn_eps\":\"0\"}", "description: bn_eps must be a number"},
        {"{\"bn_eps\":1e999}", "description is not valid JSON"},
        {"{\"taps\":[3.5]}", "description: taps[0] must be a whole number"},
        {"{\"taps\":[19]}", "description: taps[0] is 19"},
        {"{\"taps\":[]}", "description: taps has 0 entries"},
        {"{\"gsd_m\":0.2}", "description: gsd_m must be an object"},
        {"{\"gsd_m\":{\"default\":0}}", "description: gsd_m.default is 0"},
        {"{\"gsd_m\":{\"default\":null}}", "description: gsd_m.default must be a number"},
        {"{\"normalisation\":[]}", "description: normalisation must be an object"},
        {"{\"normalisation\":{\"mean\":[0,0]}}", "description: normalisation.mean has 2 entries"},
        {"{\"normalisation\":{\"mean\":[0,0,1e9]}}", "description: normalisation.mean[2] is 1e+09"},
        {"{\"normalisation\":{\"std\":[1,0,1]}}", "description: normalisation.std[1] is 0"},
        {"{\"normalisation\":{\"std\":[1,-1,1]}}", "description: normalisation.std[1] is -1"},
        {"{\"rpn\":{\"pre_nms_top_n_per_level\":0}}", "description: rpn.pre_nms_top_n_per_level is 0"},
        {"{\"rpn\":{\"pre_nms_top_n_per_level\":1e3}}", "rpn.pre_nms_top_n_per_level must be a whole number"},
        {"{\"rpn\":{\"post_nms_top_n\":10001}}", "description: rpn.post_nms_top_n is 10001"},
        {"{\"rpn\":{\"nms_thresh\":1.01}}", "description: rpn.nms_thresh is 1.01"},
        {"{\"rpn\":{\"score_thresh\":-0.1}}", "description: rpn.score_thresh is -0.1"},
        {"{\"rpn\":{\"min_box\":-1}}", "description: rpn.min_box is -1"},
        {"{\"rpn\":{\"box_coder_weights\":[1,1,1]}}", "description: rpn.box_coder_weights has 3 entries"},
        {"{\"rpn\":{\"box_coder_weights\":[1,1,1,0]}}", "description: rpn.box_coder_weights[3] is 0"},
        {"{\"rpn\":{\"anchors_per_cell\":0}}", "description: rpn.anchors_per_cell is 0"},
        {"{\"roi\":{\"box_roi_size\":65}}", "description: roi.box_roi_size is 65"},
        {"{\"roi\":{\"mask_roi_size\":0}}", "description: roi.mask_roi_size is 0"},
        {"{\"roi\":{\"sampling_ratio\":0}}", "description: roi.sampling_ratio is 0"},
        {"{\"roi\":{\"aligned\":1}}", "description: roi.aligned must be true or false"},
        {"{\"roi\":{\"canonical_size\":0}}", "description: roi.canonical_size is 0"},
        {"{\"roi\":{\"canonical_level\":-1}}", "description: roi.canonical_level is -1"},
        {"{\"roi\":{\"box_coder_weights\":\"10\"}}", "description: roi.box_coder_weights must be a list"},
        {"{\"roi\":{\"dw_dh_clip\":\"log(2)\"}}", "description: roi.dw_dh_clip must be 4.1352"},
        {"{\"roi\":{\"dw_dh_clip\":4.2}}", "description: roi.dw_dh_clip must be 4.1352"},
        {"{\"roi\":{\"mask_binarise\":0.4}}", "description: roi.mask_binarise is 0.4"},
        {"{\"roi\":{\"featmaps\":[\"0\",\"2\"]}}", "description: roi.featmaps[1] must be \"1\""},
        {"{\"roi\":{\"featmaps\":[0]}}", "description: roi.featmaps[0] must be \"0\""},
        {"{\"thresholds\":{\"score\":2}}", "description: thresholds.score is 2"},
        {"{\"thresholds\":{\"nms\":-1}}", "description: thresholds.nms is -1"},
        {"{\"thresholds\":{\"min_box\":1e6}}", "description: thresholds.min_box is 1e+06"},
        {"{\"thresholds\":{\"detections_per_image\":0}}",
         "description: thresholds.detections_per_image is 0"},
        {"{\"thresholds\":{\"recommended_export_score\":1.5}}", "thresholds.recommended_export_score is 1.5"},
        {"{\"anchors\":{\"ratios\":[]}}", "description: anchors.ratios has 0 entries"},
        {"{\"anchors\":{\"ratios\":[0]}}", "description: anchors.ratios[0] is 0"},
        {"{\"anchors\":{\"ratios\":[1,1,1,1,1,1,1,1,1]}}", "description: anchors.ratios has 9 entries"},
        {"{\"anchors\":{\"sizes_per_level\":[16]}}", "description: anchors.sizes_per_level has 1 entries"},
        {"{\"anchors\":{\"sizes_per_level\":[16,[]]}}",
         "description: anchors.sizes_per_level[1] has 0 sizes"},
        {"{\"anchors\":{\"sizes_per_level\":[16,[1,\"2\"]]}}", "anchors.sizes_per_level[1] must be a number"},
        {"{\"anchors\":{\"sizes_per_level\":[16,-5]}}", "description: anchors.sizes_per_level[1] is -5"},
        {"{\"anchors\":{\"strides\":[4,8.0]}}", "description: anchors.strides[1] must be a whole number"},
        {"{\"name\":\"a\",\"name\":\"b\"}", "description is not valid JSON"},
        {"{\"x\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}", "description is nested 18 levels deep"},
        {"3", "description is not"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        refuse_description(cases[i][0], cases[i][1]);
    }
}

/* Values that are fine alone and disagree with the tensors. */
static void test_disagreements(void **state)
{
    (void)state;
#define ROI "\"roi\":{\"box_roi_size\":2,\"mask_roi_size\":2"
    static const char *const cases[][2] = {
        {"{}", "tensor roi_heads.box_head.fc6.weight: has shape [7, 24], [any, 294] was expected"},
        {"{" ROI "},\"arch\":\"resnet50_fpn\"}", "description: arch differs"},
        {"{" ROI "},\"classes\":[\"background\",\"roof\"]}",
         "number of classes, background included, is 2, the tensors make it 3"},
        {"{" ROI "},\"taps\":[3,6,13,18]}", "description: taps[3] is 18, must name a backbone block"},
        {"{" ROI "},\"fpn_channels\":128}", "description: fpn_channels is 128, the tensors make it 6"},
        {"{" ROI "},\"rpn\":{\"anchors_per_cell\":4}}", "rpn.anchors_per_cell is 4, the tensors make it 3"},
        {"{" ROI ",\"mask_size\":28}}", "is 28, the tensors make it 4"},
        {"{" ROI ",\"featmaps\":[\"0\",\"1\",\"2\",\"3\",\"4\"]}}", "length of roi.featmaps"},
        {"{" ROI "},\"anchors\":{\"strides\":[4,8,16,32]}}",
         "length of anchors.strides is 4, the tensors make it 5"},
        {"{" ROI "},\"anchors\":{\"strides\":[4,8,16,32,32]}}",
         "anchors.strides[4] is 32, the tensors make it 64"},
        {"{" ROI "},\"anchors\":{\"sizes_per_level\":[16,32]}}", "length of anchors.sizes_per_level is 2"},
        {"{" ROI "},\"anchors\":{\"sizes_per_level\":[1,2,4,8,[8,9]]}}",
         "anchors of level 4: 2 sizes x 3 ratios"},
        {"{" ROI "},\"anchors\":{\"ratios\":[1]}}", "anchors of level 0: 1 sizes x 1 ratios"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        refuse_description(cases[i][0], cases[i][1]);
    }
}

static void test_values_arrive(void **state)
{
    (void)state;
    static const char description[] =
        "{\"format\":\"a remark\",\"unknown\":{\"x\":[1]},\"arch\":\"mobilenet_v2_fpn\",\"bn_eps\":0.001," ROI
        ",\"sampling_ratio\":4,\"aligned\":true,\"canonical_size\":112,\"canonical_level\":3,\"featmaps\":["
        "\"0\",\"1\"],"
        "\"box_coder_weights\":[1,2,3,4],\"dw_dh_clip\":\"log(1000/"
        "16)\",\"mask_size\":4,\"mask_binarise\":0.5},"
        "\"rpn\":{\"pre_nms_top_n_per_level\":11,\"post_nms_top_n\":12,\"nms_thresh\":0.25,\"score_thresh\":"
        "0.5,"
        "\"min_box\":2,\"box_coder_weights\":[4,3,2,1]},\"normalisation\":{\"mean\":[0,0.5,1],\"std\":[1,2,3]"
        "},"
        "\"thresholds\":{\"score\":0.75,\"nms\":0.25,\"detections_per_image\":13,\"min_box\":3},"
        "\"anchors\":{\"ratios\":[1],\"sizes_per_level\":[[1,2,3],[4,5,6],[7,8,9],[10,11,12],[13,14,15]],"
        "\"strides\":[4,8,16,32,64]}}";
    builder b = build_mobilenet(BUILD_FOLDED);
    b.description = description;
    uint8_t *bytes;
    pt_model *model = accept_built(&b, &bytes);
    const pt_model_config *c = pt_model_get_config(model);
    assert_true(c->bn_eps == 0.001F);
    assert_int_equal(c->sampling_ratio, 4);
    assert_true(c->aligned);
    assert_true(c->canonical_size == 112 && c->canonical_level == 3);
    assert_int_equal(c->roi_level_count, 2);
    assert_true(c->box_weights[3] == 4 && c->rpn_box_weights[0] == 4);
    assert_int_equal(c->rpn_pre_nms, 11);
    assert_int_equal(c->rpn_post_nms, 12);
    assert_true(c->rpn_nms_threshold == 0.25F && c->rpn_score_threshold == 0.5F && c->rpn_min_size == 2);
    assert_true(c->mean[1] == 0.5 && c->std[2] == 3);
    assert_true(c->score_threshold == 0.75F && c->nms_threshold == 0.25F && c->min_box_size == 3);
    assert_int_equal(c->max_detections, 13);
    assert_int_equal(c->anchor_size_count[4], 3);
    assert_int_equal(c->anchor_ratio_count, 1);
    assert_true(c->anchor_sizes[3][2] == 12);
    const pt_model_summary *s = pt_model_get_summary(model);
    assert_string_equal(s->name, "good"); /* after the file */
    assert_string_equal(s->class_names[0], "background");
    assert_string_equal(s->class_names[2], "class_2");
    assert_true(s->gsd == 0 && s->export_score == 0.5);
    pt_model_close(&model);
    free(bytes);
    build_free(&b);
}

static void test_sidecar(void **state)
{
    (void)state;
    builder b = build_mobilenet(BUILD_FOLDED);
    b.description = NULL;
    size_t size;
    uint8_t *bytes = build_bytes(&b, &size);
    refuse(bytes, size, NULL, "has no description in its metadata (tools/import_torchvision.py writes one)");
    refuse(bytes, size, "", "description is not valid JSON");
    char *huge = malloc((1 << 20) + 2);
    memset(huge, ' ', (1 << 20) + 1);
    huge[(1 << 20) + 1] = '\0';
    refuse(bytes, size, huge, "exceeds 1048576 bytes");
    free(huge);
    pt_model *model = NULL;
    assert_int_equal(pt_model_open_memory("m", bytes, size, build_description, &model).code, PT_OK);
    pt_model_close(&model);
    free(bytes);

    b.description = build_description; /* the metadata goes before a sidecar */
    bytes = build_bytes(&b, &size);
    assert_int_equal(pt_model_open_memory("m", bytes, size, "nonsense", &model).code, PT_OK);
    pt_model_close(&model);
    free(bytes);
    build_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_disagreements),
        cmocka_unit_test(test_values_arrive),
        cmocka_unit_test(test_sidecar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
