/* The model's description: JSON -> pt_description. Keys, defaults and limits: docs/model-format.md. */
#include "engine/model/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FORMAT_VERSION = 1 };

static const double box_clip = 4.135166556742356; /* log(1000 / 16), torchvision's bound on dw and dh */

static void set_defaults(pt_description *d)
{
    static const double mean[3] = {0.485, 0.456, 0.406}, std[3] = {0.229, 0.224, 0.225};
    static const float ratios[3] = {0.5F, 1.0F, 2.0F}, head[4] = {10, 10, 5, 5};
    pt_model_config *c = &d->config;
    memcpy(c->mean, mean, sizeof mean);
    memcpy(c->std, std, sizeof std);
    c->bn_eps = 1e-5F;
    memcpy(c->anchor_ratios, ratios, sizeof ratios);
    c->anchor_ratio_count = 3;
    c->rpn_pre_nms = c->rpn_post_nms = 1000;
    c->rpn_nms_threshold = 0.7F;
    c->rpn_min_size = 1e-3F;
    for (int i = 0; i < 4; i++) {
        c->rpn_box_weights[i] = 1;
        c->box_weights[i] = head[i];
    }
    c->box_roi_size = 7;
    c->mask_roi_size = 14;
    c->sampling_ratio = 2;
    c->canonical_size = 224;
    c->canonical_level = 4;
    c->score_threshold = 0.05F;
    c->nms_threshold = 0.5F;
    c->min_box_size = 1e-2F;
    c->max_detections = 100;
    d->export_score = 0.5;
}

/* A list of exactly `count` numbers; untouched when missing. */
static pt_status read_numbers(const pt_json_group *group, const char *key, size_t count, double low,
                              double high, double *out)
{
    const json_t *list;
    PT_TRY(pt_json_list(group, key, count, count, &list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        PT_TRY(pt_json_entry_number(group, key, i, json_array_get(list, i), low, high, &out[i]));
    }
    return pt_ok();
}

static pt_status read_box_weights(const pt_json_group *group, float out[4])
{
    double wide[4] = {(double)out[0], (double)out[1], (double)out[2], (double)out[3]};
    PT_TRY(read_numbers(group, "box_coder_weights", 4, 1e-3, 1e6, wide));
    for (int i = 0; i < 4; i++) {
        out[i] = (float)wide[i];
    }
    return pt_ok();
}

static pt_status read_normalisation(const json_t *root, pt_model_config *c)
{
    pt_json_group group;
    PT_TRY(pt_json_group_get(root, "normalisation", &group));
    PT_TRY(read_numbers(&group, "mean", 3, -1000, 1000, c->mean));
    return read_numbers(&group, "std", 3, 1e-6, 1e6, c->std);
}

static pt_status read_rpn(const json_t *root, pt_description *d)
{
    pt_model_config *c = &d->config;
    pt_json_group group;
    PT_TRY(pt_json_group_get(root, "rpn", &group));
    PT_TRY(pt_json_int(&group, "pre_nms_top_n_per_level", 1, PT_MODEL_MAX_TOP, &c->rpn_pre_nms));
    PT_TRY(pt_json_int(&group, "post_nms_top_n", 1, PT_MODEL_MAX_TOP, &c->rpn_post_nms));
    PT_TRY(pt_json_float(&group, "nms_thresh", 0, 1, &c->rpn_nms_threshold));
    PT_TRY(pt_json_float(&group, "score_thresh", 0, 1, &c->rpn_score_threshold));
    PT_TRY(pt_json_float(&group, "min_box", 0, 1e4, &c->rpn_min_size));
    PT_TRY(pt_json_int(&group, "anchors_per_cell", 1, PT_MODEL_MAX_SIZES * PT_MODEL_MAX_RATIOS,
                       &d->anchors_per_cell));
    return read_box_weights(&group, c->rpn_box_weights);
}

/* Constants of torchvision that the engine does not vary: stated or not, they must be these. */
static pt_status check_fixed(const pt_json_group *roi)
{
    const json_t *clip = json_object_get(roi->object, "dw_dh_clip");
    bool clip_text = json_is_string(clip) && strcmp(json_string_value(clip), "log(1000/16)") == 0;
    bool clip_number = json_is_number(clip) && fabs(json_number_value(clip) - box_clip) < 1e-3;
    if (clip && !clip_text && !clip_number) {
        return pt_error(PT_E_INPUT, "description: roi.dw_dh_clip must be %.4f, torchvision's log(1000/16)",
                        box_clip);
    }
    double binarise = 0.5;
    return pt_json_number(roi, "mask_binarise", 0.5, 0.5, &binarise);
}

/* torchvision names the maps "0", "1", ..: the first of the FPN's. */
static pt_status read_featmaps(const pt_json_group *roi, pt_description *d)
{
    const json_t *list;
    PT_TRY(pt_json_list(roi, "featmaps", 1, PT_MODEL_MAX_LEVELS - 1, &list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        char wanted[4];
        snprintf(wanted, sizeof wanted, "%d", (int)i);
        if (!name || strcmp(name, wanted) != 0) {
            return pt_error(PT_E_INPUT, "description: roi.featmaps[%zu] must be \"%s\"", i, wanted);
        }
    }
    d->roi_levels = (int)json_array_size(list);
    return pt_ok();
}

static pt_status read_roi(const json_t *root, pt_description *d)
{
    pt_model_config *c = &d->config;
    pt_json_group group;
    PT_TRY(pt_json_group_get(root, "roi", &group));
    PT_TRY(pt_json_int(&group, "box_roi_size", 1, 64, &c->box_roi_size));
    PT_TRY(pt_json_int(&group, "mask_roi_size", 1, 64, &c->mask_roi_size));
    PT_TRY(pt_json_int(&group, "sampling_ratio", 1, 16, &c->sampling_ratio));
    PT_TRY(pt_json_bool(&group, "aligned", &c->aligned));
    PT_TRY(pt_json_float(&group, "canonical_size", 1, 1e5, &c->canonical_size));
    PT_TRY(pt_json_int(&group, "canonical_level", 0, 16, &c->canonical_level));
    PT_TRY(pt_json_int(&group, "mask_size", 2, 128, &d->mask_size));
    PT_TRY(read_featmaps(&group, d));
    PT_TRY(check_fixed(&group));
    return read_box_weights(&group, c->box_weights);
}

static pt_status read_thresholds(const json_t *root, pt_description *d)
{
    pt_model_config *c = &d->config;
    pt_json_group group;
    PT_TRY(pt_json_group_get(root, "thresholds", &group));
    PT_TRY(pt_json_float(&group, "score", 0, 1, &c->score_threshold));
    PT_TRY(pt_json_float(&group, "nms", 0, 1, &c->nms_threshold));
    PT_TRY(pt_json_float(&group, "min_box", 0, 1e4, &c->min_box_size));
    PT_TRY(pt_json_int(&group, "detections_per_image", 1, PT_MODEL_MAX_TOP, &c->max_detections));
    return pt_json_number(&group, "recommended_export_score", 0, 1, &d->export_score);
}

/* One level's anchor sizes: a number or a list of numbers. */
static pt_status read_level_sizes(const pt_json_group *group, size_t level, const json_t *entry,
                                  pt_model_config *c)
{
    static const char key[] = "sizes_per_level";
    size_t count = json_is_array(entry) ? json_array_size(entry) : 1;
    if (count < 1 || count > PT_MODEL_MAX_SIZES) {
        return pt_error(PT_E_INPUT, "description: anchors.%s[%zu] has %zu sizes, must have 1 .. %d", key,
                        level, count, PT_MODEL_MAX_SIZES);
    }
    for (size_t i = 0; i < count; i++) {
        double size;
        const json_t *number = json_is_array(entry) ? json_array_get(entry, i) : entry;
        PT_TRY(pt_json_entry_number(group, key, level, number, 1, 1e5, &size));
        c->anchor_sizes[level][i] = (float)size;
    }
    c->anchor_size_count[level] = (int)count;
    return pt_ok();
}

static pt_status read_anchors(const json_t *root, pt_description *d)
{
    pt_model_config *c = &d->config;
    pt_json_group group;
    const json_t *ratios, *sizes, *strides;
    PT_TRY(pt_json_group_get(root, "anchors", &group));
    PT_TRY(pt_json_list(&group, "ratios", 1, PT_MODEL_MAX_RATIOS, &ratios));
    PT_TRY(pt_json_list(&group, "sizes_per_level", 2, PT_MODEL_MAX_LEVELS, &sizes));
    PT_TRY(pt_json_list(&group, "strides", 2, PT_MODEL_MAX_LEVELS, &strides));
    for (size_t i = 0; i < json_array_size(ratios); i++) {
        double ratio;
        PT_TRY(pt_json_entry_number(&group, "ratios", i, json_array_get(ratios, i), 1e-2, 1e2, &ratio));
        c->anchor_ratios[i] = (float)ratio;
    }
    c->anchor_ratio_count = ratios ? (int)json_array_size(ratios) : c->anchor_ratio_count;
    for (size_t i = 0; i < json_array_size(sizes); i++) {
        PT_TRY(read_level_sizes(&group, i, json_array_get(sizes, i), c));
    }
    d->sizes_levels = (int)json_array_size(sizes);
    for (size_t i = 0; i < json_array_size(strides); i++) {
        PT_TRY(pt_json_entry_int(&group, "strides", i, json_array_get(strides, i), 1, 1024, &c->strides[i]));
    }
    d->strides_levels = (int)json_array_size(strides);
    return pt_ok();
}

static pt_status read_classes(const pt_json_group *top, pt_description *d)
{
    const json_t *classes;
    PT_TRY(pt_json_list(top, "classes", 2, PT_MODEL_MAX_CLASSES, &classes));
    if (!classes) {
        return pt_ok();
    }
    size_t count = json_array_size(classes);
    d->class_names = pt_calloc(count, sizeof *d->class_names);
    if (!d->class_names) {
        return PT_NOMEM("the model's class names");
    }
    d->class_name_count = (int)count;
    for (size_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "classes[%zu]", i);
        PT_TRY(pt_json_name(key, json_array_get(classes, i), &d->class_names[i]));
    }
    return pt_ok();
}

static pt_status read_arch(const json_t *root, pt_description *d)
{
    static const char *const names[] = {"resnet50_fpn", "resnet101_fpn", "mobilenet_v2_fpn"};
    static const pt_arch archs[] = {PT_ARCH_RESNET50, PT_ARCH_RESNET101, PT_ARCH_MOBILENET_V2};
    const json_t *arch = json_object_get(root, "arch");
    if (!arch) {
        return pt_ok();
    }
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        if (json_is_string(arch) && strcmp(json_string_value(arch), names[i]) == 0) {
            d->has_arch = true;
            d->config.arch = archs[i];
            return pt_ok();
        }
    }
    return pt_error(PT_E_INPUT, "description: arch must be resnet50_fpn, resnet101_fpn or mobilenet_v2_fpn");
}

/* "format" is the version of this schema, a whole number; a text there is a remark on the tensors. */
static pt_status check_format(const pt_json_group *top)
{
    int version = FORMAT_VERSION;
    if (json_is_string(json_object_get(top->object, "format"))) {
        return pt_ok();
    }
    return pt_json_int(top, "format", FORMAT_VERSION, FORMAT_VERSION, &version);
}

static pt_status read_top(const json_t *root, pt_description *d)
{
    pt_json_group top = {"", root}, gsd;
    const json_t *name = json_object_get(root, "name"), *taps;
    PT_TRY(check_format(&top));
    PT_TRY(read_arch(root, d));
    if (name) {
        PT_TRY(pt_json_name("name", name, &d->name));
    }
    PT_TRY(read_classes(&top, d));
    PT_TRY(pt_json_int(&top, "fpn_channels", 1, PT_MODEL_MAX_CHANNELS, &d->fpn_channels));
    PT_TRY(pt_json_float(&top, "bn_eps", 0, 1, &d->config.bn_eps));
    PT_TRY(pt_json_list(&top, "taps", 1, PT_MODEL_MAX_LEVELS - 1, &taps));
    for (size_t i = 0; i < json_array_size(taps); i++) {
        PT_TRY(pt_json_entry_int(&top, "taps", i, json_array_get(taps, i), 0, 18, &d->config.taps[i]));
    }
    d->config.tap_count = (int)json_array_size(taps);
    PT_TRY(pt_json_group_get(root, "gsd_m", &gsd));
    return pt_json_number(&gsd, "default", 1e-4, 1e5, &d->gsd);
}

pt_status pt_description_read(const char *text, size_t size, pt_description *out)
{
    json_t *root = NULL;
    pt_status status;
    set_defaults(out);
    PT_TRY_OUT(pt_json_parse("description", text, size, &root));
    PT_TRY_OUT(read_top(root, out));
    PT_TRY_OUT(read_normalisation(root, &out->config));
    PT_TRY_OUT(read_rpn(root, out));
    PT_TRY_OUT(read_roi(root, out));
    PT_TRY_OUT(read_thresholds(root, out));
    PT_TRY_OUT(read_anchors(root, out));
out:
    json_decref(root);
    return status;
}

void pt_description_fini(pt_description *description)
{
    for (int i = 0; i < description->class_name_count; i++) {
        pt_free(description->class_names[i]);
    }
    pt_free(description->class_names);
    pt_free(description->name);
}
