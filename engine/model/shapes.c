/* Walks the architecture: finds every tensor that it needs by name, checks it against its neighbours, and
 * completes the configuration from the shapes. What no part asked for is named as unknown. */
#include "engine/model/internal.h"

#include <stdarg.h>
#include <stdio.h>

bool pt_walk_has(const pt_walk *walk, const char *name)
{
    return pt_model_find(walk->model, name) != NULL;
}

static void shape_text(char *out, size_t size, int dims, const int64_t *shape)
{
    size_t at = 0;
    for (int i = 0; i < dims && at < size; i++) {
        const char *comma = i ? ", " : "";
        int wrote = shape[i] < 0 ? snprintf(out + at, size - at, "%sany", comma)
                                 : snprintf(out + at, size - at, "%s%lld", comma, (long long)shape[i]);
        at += (size_t)wrote;
    }
    if (at == 0) {
        out[0] = '\0';
    }
}

pt_status pt_walk_tensor(pt_walk *walk, const char *name, int dims, const int64_t *shape,
                         const pt_tensor **out)
{
    const pt_tensor *tensor = pt_model_find(walk->model, name);
    if (!tensor) {
        return pt_error(PT_E_INPUT, "tensor %s: missing", name);
    }
    bool same = tensor->dims == dims;
    for (int i = 0; same && i < dims; i++) {
        same = shape[i] < 0 ? tensor->shape[i] <= PT_MODEL_MAX_CHANNELS : tensor->shape[i] == shape[i];
    }
    if (!same) {
        char found[96], wanted[96];
        shape_text(found, sizeof found, tensor->dims, tensor->shape);
        shape_text(wanted, sizeof wanted, dims, shape);
        return pt_error(PT_E_INPUT, "tensor %s: has shape [%s], [%s] was expected (any: 1 .. %d)", name,
                        found, wanted, PT_MODEL_MAX_CHANNELS);
    }
    walk->used[tensor - walk->model->tensors] = true;
    if (out) {
        *out = tensor;
    }
    return pt_ok();
}

static pt_status expect(pt_walk *walk, const char *module, const char *part, int dims, const int64_t *shape,
                        const pt_tensor **out)
{
    char name[PT_TENSOR_NAME_MAX + 1];
    snprintf(name, sizeof name, "%s.%s", module, part);
    return pt_walk_tensor(walk, name, dims, shape, out);
}

static bool has_part(const pt_walk *walk, const char *module, const char *part)
{
    char name[PT_TENSOR_NAME_MAX + 1];
    snprintf(name, sizeof name, "%s.%s", module, part);
    return pt_walk_has(walk, name);
}

pt_status pt_walk_conv(pt_walk *walk, const char *conv, const char *bn, int out, int in, int k,
                       int *out_channels)
{
    static const char *const parts[4] = {"weight", "bias", "running_mean", "running_var"};
    const pt_tensor *weight;
    PT_TRY(expect(walk, conv, "weight", 4, (int64_t[]){out, in, k, k}, &weight));
    bool normed = bn && has_part(walk, bn, "weight");
    if (!normed || has_part(walk, conv, "bias")) {
        PT_TRY(expect(walk, conv, "bias", 1, weight->shape, NULL));
    }
    for (int i = 0; normed && i < 4; i++) {
        PT_TRY(expect(walk, bn, parts[i], 1, weight->shape, NULL));
    }
    if (out_channels) {
        *out_channels = (int)weight->shape[0];
    }
    return pt_ok();
}

/* `module`.weight of (out, in), -1 for any, with its bias. */
static pt_status walk_linear(pt_walk *walk, const char *module, int64_t out, int64_t in, int *out_count)
{
    const pt_tensor *weight;
    PT_TRY(expect(walk, module, "weight", 2, (int64_t[]){out, in}, &weight));
    PT_TRY(expect(walk, module, "bias", 1, weight->shape, NULL));
    if (out_count) {
        *out_count = (int)weight->shape[0];
    }
    return pt_ok();
}

/* How many of a numbered family of modules there are, from 0 up without a gap, at most `limit`. */
static int count_modules(const pt_walk *walk, const char *prefix, int limit)
{
    char name[PT_TENSOR_NAME_MAX + 1];
    int count = 0;
    for (; count < limit; count++) {
        snprintf(name, sizeof name, "%s.%d.0.weight", prefix, count);
        if (!pt_walk_has(walk, name)) {
            break;
        }
    }
    return count;
}

/* The backbone output with torchvision's index `index`, or -1. */
static int output_with_index(const pt_walk *walk, int index)
{
    for (int i = 0; i < walk->output_count; i++) {
        if (walk->output_index[i] == index) {
            return i;
        }
    }
    return -1;
}

/* The FPN's inputs as stated: they must exist and rise. */
static pt_status check_stated_taps(const pt_walk *walk)
{
    const pt_model_config *c = walk->config;
    for (int i = 0; i < c->tap_count; i++) {
        if (output_with_index(walk, c->taps[i]) < 0 || (i > 0 && c->taps[i] <= c->taps[i - 1])) {
            return pt_error(PT_E_INPUT,
                            "description: taps[%d] is %d, must name a backbone block, in rising order", i,
                            c->taps[i]);
        }
    }
    return pt_ok();
}

static pt_status inner_channels(pt_walk *walk, int level, int *channels)
{
    char name[PT_TENSOR_NAME_MAX + 1];
    const pt_tensor *weight;
    snprintf(name, sizeof name, "backbone.fpn.inner_blocks.%d.0.weight", level);
    PT_TRY(pt_walk_tensor(walk, name, 4, (int64_t[]){-1, -1, 1, 1}, &weight));
    *channels = (int)weight->shape[1];
    return pt_ok();
}

/* Where the description is silent: the first ends of stages whose widths are the FPN's inputs, in order. */
static pt_status find_taps(pt_walk *walk, int taps)
{
    int output = 0;
    for (int i = 0; i < taps; i++) {
        int channels;
        PT_TRY(inner_channels(walk, i, &channels));
        while (output < walk->output_count &&
               !(walk->output_ends_stage[output] && walk->output_channels[output] == channels)) {
            output++;
        }
        if (output == walk->output_count) {
            return pt_error(
                PT_E_INPUT,
                "tensor backbone.fpn.inner_blocks.%d.0.weight: its %d inputs fit no end of a backbone stage; "
                "name the FPN's inputs by taps in the description",
                i, channels);
        }
        walk->config->taps[i] = walk->output_index[output++];
    }
    walk->config->tap_count = taps;
    return pt_ok();
}

static pt_status walk_fpn(pt_walk *walk)
{
    pt_model_config *c = walk->config;
    int taps = count_modules(walk, "backbone.fpn.inner_blocks", PT_MODEL_MAX_LEVELS);
    if (taps < 1 || taps >= PT_MODEL_MAX_LEVELS) {
        return pt_error(PT_E_INPUT,
                        "tensors backbone.fpn.inner_blocks.N.0.weight: there are %d, must be 1 .. %d", taps,
                        PT_MODEL_MAX_LEVELS - 1);
    }
    if (c->tap_count != 0 && c->tap_count != taps) {
        return pt_error(PT_E_INPUT, "description: taps has %d entries, the FPN has %d inputs", c->tap_count,
                        taps);
    }
    PT_TRY(c->tap_count ? check_stated_taps(walk) : find_taps(walk, taps));
    for (int i = 0; i < taps; i++) {
        char name[PT_TENSOR_NAME_MAX + 1];
        c->tap_channels[i] = walk->output_channels[output_with_index(walk, c->taps[i])];
        snprintf(name, sizeof name, "backbone.fpn.inner_blocks.%d.0", i);
        PT_TRY(pt_walk_conv(walk, name, NULL, i ? c->fpn_channels : -1, c->tap_channels[i], 1,
                            &c->fpn_channels));
        snprintf(name, sizeof name, "backbone.fpn.layer_blocks.%d.0", i);
        PT_TRY(pt_walk_conv(walk, name, NULL, c->fpn_channels, c->fpn_channels, 3, NULL));
    }
    c->level_count = taps + 1;
    return pt_ok();
}

static pt_status walk_rpn(pt_walk *walk)
{
    pt_model_config *c = walk->config;
    int f = c->fpn_channels;
    c->rpn_conv_count = count_modules(walk, "rpn.head.conv", 8);
    for (int i = 0; i < c->rpn_conv_count || i == 0; i++) {
        char name[PT_TENSOR_NAME_MAX + 1];
        snprintf(name, sizeof name, "rpn.head.conv.%d.0", i);
        PT_TRY(pt_walk_conv(walk, name, NULL, f, f, 3, NULL));
    }
    PT_TRY(pt_walk_conv(walk, "rpn.head.cls_logits", NULL, -1, f, 1, &c->anchors_per_cell));
    return pt_walk_conv(walk, "rpn.head.bbox_pred", NULL, 4 * c->anchors_per_cell, f, 1, NULL);
}

static pt_status walk_heads(pt_walk *walk)
{
    pt_model_config *c = walk->config;
    int64_t inputs = (int64_t)c->fpn_channels * c->box_roi_size * c->box_roi_size;
    PT_TRY(walk_linear(walk, "roi_heads.box_head.fc6", -1, inputs, &c->box_fc));
    PT_TRY(walk_linear(walk, "roi_heads.box_head.fc7", c->box_fc, c->box_fc, NULL));
    PT_TRY(walk_linear(walk, "roi_heads.box_predictor.cls_score", -1, c->box_fc, &c->class_count));
    if (c->class_count < 2 || c->class_count > PT_MODEL_MAX_CLASSES) {
        return pt_error(PT_E_INPUT,
                        "tensor roi_heads.box_predictor.cls_score.weight: %d classes, must be 2 .. %d",
                        c->class_count, PT_MODEL_MAX_CLASSES);
    }
    PT_TRY(
        walk_linear(walk, "roi_heads.box_predictor.bbox_pred", (int64_t)4 * c->class_count, c->box_fc, NULL));
    c->mask_conv_count = count_modules(walk, "roi_heads.mask_head", 16);
    for (int i = 0; i < c->mask_conv_count || i == 0; i++) {
        char name[PT_TENSOR_NAME_MAX + 1];
        snprintf(name, sizeof name, "roi_heads.mask_head.%d.0", i);
        PT_TRY(pt_walk_conv(walk, name, NULL, i ? c->mask_channels : -1,
                            i ? c->mask_channels : c->fpn_channels, 3, &c->mask_channels));
    }
    PT_TRY(pt_walk_conv(walk, "roi_heads.mask_predictor.conv5_mask", NULL, c->mask_channels, c->mask_channels,
                        2, NULL));
    c->mask_size = 2 * c->mask_roi_size;
    return pt_walk_conv(walk, "roi_heads.mask_predictor.mask_fcn_logits", NULL, c->class_count,
                        c->mask_channels, 1, NULL);
}

static pt_status differs(const char *key, int stated, int found)
{
    return pt_error(PT_E_INPUT, "description: %s is %d, the tensors make it %d", key, stated, found);
}

static pt_status complete_levels(pt_walk *walk)
{
    pt_description *d = walk->description;
    pt_model_config *c = walk->config;
    int levels = c->level_count, stride = 0;
    if (d->strides_levels && d->strides_levels != levels) {
        return differs("the length of anchors.strides", d->strides_levels, levels);
    }
    for (int i = 0; i < levels; i++) {
        stride = i < c->tap_count ? walk->output_stride[output_with_index(walk, c->taps[i])] : 2 * stride;
        if (d->strides_levels && c->strides[i] != stride) {
            char key[32];
            snprintf(key, sizeof key, "anchors.strides[%d]", i);
            return differs(key, c->strides[i], stride);
        }
        c->strides[i] = stride;
    }
    if (d->roi_levels > c->tap_count) {
        return differs("the length of roi.featmaps, at most the FPN's inputs,", d->roi_levels, c->tap_count);
    }
    c->roi_level_count = d->roi_levels ? d->roi_levels : c->tap_count;
    return pt_ok();
}

static pt_status complete_anchors(pt_walk *walk)
{
    const pt_description *d = walk->description;
    pt_model_config *c = walk->config;
    int levels = c->level_count;
    if (d->sizes_levels && d->sizes_levels != levels) {
        return differs("the length of anchors.sizes_per_level", d->sizes_levels, levels);
    }
    for (int i = 0; i < levels; i++) {
        if (!d->sizes_levels) { /* torchvision's 32 .. 512 for five levels, continued either way */
            c->anchor_size_count[i] = 1;
            c->anchor_sizes[i][0] = (float)(32 << i);
        }
        if (c->anchor_size_count[i] * c->anchor_ratio_count != c->anchors_per_cell) {
            return pt_error(
                PT_E_INPUT,
                "description: anchors of level %d: %d sizes x %d ratios, tensor rpn.head.cls_logits.weight "
                "has %d outputs",
                i, c->anchor_size_count[i], c->anchor_ratio_count, c->anchors_per_cell);
        }
    }
    return pt_ok();
}

static pt_status check_stated(const pt_walk *walk)
{
    const pt_description *d = walk->description;
    const pt_model_config *c = walk->config;
    if (d->fpn_channels && d->fpn_channels != c->fpn_channels) {
        return differs("fpn_channels", d->fpn_channels, c->fpn_channels);
    }
    if (d->anchors_per_cell && d->anchors_per_cell != c->anchors_per_cell) {
        return differs("rpn.anchors_per_cell", d->anchors_per_cell, c->anchors_per_cell);
    }
    if (d->mask_size && d->mask_size != c->mask_size) {
        return differs("roi.mask_size, twice roi.mask_roi_size,", d->mask_size, c->mask_size);
    }
    if (d->class_name_count && d->class_name_count != c->class_count) {
        return differs("the number of classes, background included,", d->class_name_count, c->class_count);
    }
    return pt_ok();
}

static pt_status check_unknown(const pt_walk *walk)
{
    for (size_t i = 0; i < walk->model->tensor_count; i++) {
        if (!walk->used[i]) {
            return pt_error(
                PT_E_INPUT,
                "tensor %s: unknown; Mask R-CNN with torchvision's first version of the heads is supported",
                walk->model->tensors[i].name);
        }
    }
    return pt_ok();
}

pt_status pt_model_check_shapes(pt_model *model)
{
    pt_walk walk = {.model = model, .description = &model->description, .config = &model->description.config};
    pt_status status;
    walk.used = pt_calloc(model->tensor_count, sizeof *walk.used);
    if (!walk.used) {
        return PT_NOMEM("the check of the model's tensors");
    }
    PT_TRY_OUT(pt_walk_backbone(&walk));
    PT_TRY_OUT(walk_fpn(&walk));
    PT_TRY_OUT(walk_rpn(&walk));
    PT_TRY_OUT(walk_heads(&walk));
    PT_TRY_OUT(complete_levels(&walk));
    PT_TRY_OUT(complete_anchors(&walk));
    PT_TRY_OUT(check_stated(&walk));
    PT_TRY_OUT(check_unknown(&walk));
out:
    pt_free(walk.used);
    return status;
}
