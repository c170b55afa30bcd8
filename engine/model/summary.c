#include "engine/model/internal.h"
#include "tiling/base/sha256.h"

#include <stdio.h>
#include <string.h>

static const char *dtype_name(const pt_model *model)
{
    static const char *const names[] = {"F32", "F16", "BF16"};
    for (size_t i = 1; i < model->tensor_count; i++) {
        if (model->tensors[i].dtype != model->tensors[0].dtype) {
            return "mixed";
        }
    }
    return names[model->tensors[0].dtype];
}

/* The base name without its last ending. */
static pt_status name_after_file(pt_model *model)
{
    const char *slash = strrchr(model->path, '/');
    const char *base = slash ? slash + 1 : model->path;
    const char *dot = strrchr(base, '.');
    size_t length = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    model->description.name =
        pt_asprintf("%.*s", (int)(length < PT_MODEL_MAX_NAME ? length : PT_MODEL_MAX_NAME), base);
    return model->description.name ? pt_ok() : PT_NOMEM("the model's name");
}

static pt_status number_classes(pt_description *d)
{
    int count = d->config.class_count;
    d->class_names = pt_calloc((size_t)count, sizeof *d->class_names);
    if (!d->class_names) {
        return PT_NOMEM("the model's class names");
    }
    d->class_name_count = count;
    for (int i = 0; i < count; i++) {
        d->class_names[i] = i ? pt_asprintf("class_%d", i) : pt_strdup("background");
        if (!d->class_names[i]) {
            return PT_NOMEM("the model's class names");
        }
    }
    return pt_ok();
}

/* Part by part, so that the file never lies in memory as a whole. */
static void digest_file(const pt_model *model, char hex[PT_SHA256_HEX])
{
    enum { PART = 4 << 20 };
    pt_sha256 sha;
    pt_sha256_init(&sha);
    for (size_t at = 0; at < model->size; at += PART) {
        size_t left = model->size - at;
        pt_sha256_update(&sha, model->bytes + at, left < PART ? left : PART);
        pt_model_release_pages(model);
    }
    uint8_t digest[PT_SHA256_BYTES];
    pt_sha256_final(&sha, digest);
    pt_sha256_hex(digest, hex);
}

pt_status pt_model_fill_summary(pt_model *model)
{
    static const char *const archs[] = {"resnet50_fpn", "resnet101_fpn", "mobilenet_v2_fpn"};
    pt_description *d = &model->description;
    const pt_model_config *c = &d->config;
    pt_model_summary *s = &model->summary;
    if (!d->name) {
        PT_TRY(name_after_file(model));
    }
    if (!d->class_names) {
        PT_TRY(number_classes(d));
    }
    *s = (pt_model_summary){
        .name = d->name,
        .architecture = archs[c->arch],
        .dtype = dtype_name(model),
        .class_count = c->class_count,
        .class_names = (const char *const *)d->class_names,
        .fpn_channels = c->fpn_channels,
        .level_count = c->level_count,
        .stride = c->strides[c->level_count - 1],
        .mask_size = c->mask_size,
        .gsd = d->gsd,
        .score_threshold = (double)c->score_threshold,
        .nms_threshold = (double)c->nms_threshold,
        .export_score = d->export_score,
        .max_detections = c->max_detections,
        .rpn_pre_nms = c->rpn_pre_nms,
        .rpn_post_nms = c->rpn_post_nms,
        .rpn_nms_threshold = (double)c->rpn_nms_threshold,
        .calibration = model->calibrated ? model->calibration.method : NULL,
        .calibration_tiles = model->calibrated ? model->calibration.tiles : 0,
        .precision = model->calibrated ? model->calibration.precision : "fp32",
    };
    memcpy(s->mean, c->mean, sizeof s->mean);
    memcpy(s->std, c->std, sizeof s->std);
    for (size_t i = 0; i < model->tensor_count; i++) {
        s->parameters += (int64_t)model->tensors[i].count;
    }
    if (!model->undigested) {
        digest_file(model, s->sha256);
    }
    return pt_ok();
}

/* What pt_model_summary_read hands out: the summary first, then the model whose texts it points to. */
typedef struct summary_owner {
    pt_model_summary summary;
    pt_model *model;
} summary_owner;

pt_status pt_model_summary_begin(const char *model_path, pt_model_summary **out)
{
    summary_owner *owner = pt_calloc(1, sizeof *owner);
    if (!owner) {
        return PT_NOMEM("the model's summary");
    }
    pt_status status = pt_model_open_undigested(model_path, &owner->model);
    if (status.code != PT_OK) {
        pt_free(owner);
        return status;
    }
    owner->summary = *pt_model_get_summary(owner->model);
    *out = &owner->summary;
    return status;
}

const pt_model *pt_model_of_summary(const pt_model_summary *summary)
{
    return ((const summary_owner *)summary)->model;
}

void pt_model_summary_digest(pt_model_summary *summary)
{
    digest_file(((summary_owner *)summary)->model, summary->sha256);
}

pt_status pt_model_summary_read(const char *model_path, pt_model_summary **out)
{
    pt_model_summary *summary = NULL;
    PT_TRY(pt_model_summary_begin(model_path, &summary));
    pt_model_summary_digest(summary);
    *out = summary;
    return pt_ok();
}

void pt_model_summary_free(pt_model_summary **summary)
{
    if (summary && *summary) {
        summary_owner *owner = (summary_owner *)*summary;
        pt_model_close(&owner->model);
        pt_free(owner);
        *summary = NULL;
    }
}
