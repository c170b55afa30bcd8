#include "cli/job.h"

#include "cli/paths.h"
#include "engine/quant/precision.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LATTICE_WITHOUT_MODEL = 64, /* the largest stride of the models that are known */
    WIDE_DETECTIONS = 1000,
};

static const char *const nameless_classes[] = {"background", "object"};

static pt_status wrong_engine(const char *text)
{
    return pt_error(PT_E_USAGE, "--engine %s: must be model, oracle:FILE, replay:DIR or null", text);
}

static pt_status parse_engine(pt_job *job)
{
    const char *text = job->options->engine;
    if (strcmp(text, "model") == 0) {
        job->kind = PT_ENGINE_MODEL;
        return pt_ok();
    }
    if (strcmp(text, "null") == 0) {
        job->kind = PT_ENGINE_NULL;
        return pt_ok();
    }
    const char *colon = strchr(text, ':');
    if (!colon || !colon[1]) {
        return wrong_engine(text);
    }
    job->argument = colon + 1;
    if (strncmp(text, "oracle:", 7) == 0) {
        job->kind = PT_ENGINE_ORACLE;
    } else if (strncmp(text, "replay:", 7) == 0) {
        job->kind = PT_ENGINE_REPLAY;
    } else {
        return wrong_engine(text);
    }
    return pt_ok();
}

static pt_status read_model(pt_job *job)
{
    if (!job->options->model) {
        return job->kind == PT_ENGINE_MODEL ? pt_paths_no_model() : pt_ok();
    }
    PT_TRY(pt_paths_model(job->options->model, &job->model_path));
    return pt_model_summary_begin(job->model_path, &job->model);
}

/* docs/decisions/0008-caps.md */
static int cap_of_detections(int64_t wanted, int models)
{
    return wanted >= 0 ? (int)wanted : models > WIDE_DETECTIONS ? models : WIDE_DETECTIONS;
}

static uint8_t mean_byte(double mean)
{
    double value = floor(mean * 255 + 0.5);
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void take_model(pt_job *job)
{
    const pt_model_summary *m = job->model;
    job->class_names = m ? m->class_names : nameless_classes;
    job->class_count = m ? (size_t)m->class_count : 2;
    job->lattice = m ? m->stride : LATTICE_WITHOUT_MODEL;
    for (int i = 0; i < 3; i++) {
        job->fill[i] = m ? mean_byte(m->mean[i]) : 0;
    }
    job->score = job->options->score >= 0 ? job->options->score : m ? m->export_score : 0;
    job->proposals = (int)job->options->proposals;
    job->detections = m ? cap_of_detections(job->options->detections, m->max_detections) : 0;
}

/* In one spelling, as it is part of what the job is. */
static pt_status choose_precision(pt_job *job)
{
    const char *asked = job->options->precision;
    pt_precision precision;
    if (job->kind != PT_ENGINE_MODEL) {
        return pt_ok();
    }
    asked = strcmp(asked, "auto") == 0 ? job->model->precision : asked;
    PT_TRY(pt_context(pt_model_check_precision(job->model, asked), "%s", job->model_path));
    PT_TRY(pt_precision_parse(asked, &precision));
    job->precision = pt_alloc(PT_PRECISION_MAX_TEXT, 1);
    if (!job->precision) {
        return PT_NOMEM("the job's precision");
    }
    pt_precision_print(&precision, job->precision, PT_PRECISION_MAX_TEXT);
    return pt_ok();
}

/* Workers elsewhere may have what this machine has not. */
static pt_status check_backend(const pt_job *job)
{
    bool here = job->kind == PT_ENGINE_MODEL && !job->options->no_local_worker;
    return pt_context(pt_engine_check_backend(job->options->backend, here), "--backend");
}

pt_status pt_job_scene_options(const pt_job *job, pt_scene_options *out)
{
    const pt_run_options *o = job->options;
    pt_scene_options s = pt_scene_defaults();
    s.drivers = o->drivers.items;
    s.driver_count = o->drivers.count;
    for (size_t i = 0; i < o->bands.count; i++) {
        s.bands[i] = (int)o->bands.values[i];
        if ((double)s.bands[i] != o->bands.values[i]) {
            return pt_error(PT_E_USAGE, "--bands: must be whole numbers");
        }
    }
    s.has_range = o->range.count == 2;
    s.range_lo = o->range.values[0];
    s.range_hi = o->range.values[1];
    if (s.has_range && !(s.range_hi > s.range_lo)) {
        return pt_error(PT_E_USAGE, "--range: LO must be less than HI");
    }
    s.has_bbox = o->bbox.count == 4;
    memcpy(s.bbox, o->bbox.values, sizeof s.bbox);
    s.aoi = o->aoi;
    s.require_crs = o->require_crs;
    s.strict = o->strict;
    s.model_gsd = job->model ? job->model->gsd : 0;
    memcpy(s.fill, job->fill, sizeof s.fill);
    if (strcmp(o->gsd, "native") == 0) {
        s.gsd_mode = PT_GSD_NATIVE;
    } else if (strcmp(o->gsd, "auto") == 0) {
        s.gsd_mode = PT_GSD_AUTO;
    } else {
        char *end;
        s.gsd_mode = PT_GSD_VALUE;
        s.gsd = strtod(o->gsd, &end);
        if (end == o->gsd || *end || !(s.gsd > 0 && s.gsd <= 1e5)) {
            return pt_error(PT_E_USAGE, "--gsd %s: must be auto, native or metres", o->gsd);
        }
    }
    *out = s;
    return pt_ok();
}

static pt_status group_scenes(pt_job *job)
{
    const pt_texts *scenes = &job->options->scenes;
    pt_scene_options options;
    PT_TRY(pt_job_scene_options(job, &options));
    job->groups = pt_calloc(scenes->count, sizeof *job->groups);
    if (!job->groups) {
        return PT_NOMEM("the list of scenes");
    }
    if (scenes->count == 1) {
        job->group_count = 1;
        return pt_ok();
    }
    return pt_scene_group(scenes->items, scenes->count, &options, job->groups, &job->group_count);
}

pt_status pt_job_open(const pt_run_options *options, pt_job *out)
{
    pt_job job = {.options = options};
    pt_status status = parse_engine(&job);
    if (status.code == PT_OK && options->scenes.count == 0) {
        status = pt_error(PT_E_USAGE, "no scene named; see pantile help");
    }
    if (status.code == PT_OK) {
        status = read_model(&job);
    }
    if (status.code == PT_OK) {
        take_model(&job);
        status = choose_precision(&job);
    }
    if (status.code == PT_OK) {
        status = check_backend(&job);
    }
    if (status.code == PT_OK) {
        status = group_scenes(&job);
    }
    if (status.code == PT_OK && job.group_count > 1 &&
        (job.kind == PT_ENGINE_REPLAY || options->dump_tiles)) {
        status = pt_error(PT_E_USAGE,
                          "--dump-tiles and --engine replay: take one scene (or scenes that touch), "
                          "these are %zu apart",
                          job.group_count);
    }
    if (status.code == PT_OK && job.kind == PT_ENGINE_NULL && options->dump_tiles) {
        status =
            pt_error(PT_E_USAGE, "--dump-tiles writes what is read, and --engine null reads nothing; use "
                                 "--engine model, or oracle:FILE");
    }
    if (status.code != PT_OK) {
        pt_job_close(&job);
        return status;
    }
    *out = job;
    return status;
}

void pt_job_digest(pt_job *job)
{
    if (job->model) {
        pt_model_summary_digest(job->model);
    }
}

void pt_job_close(pt_job *job)
{
    pt_model_summary_free(&job->model);
    pt_free(job->model_path);
    pt_free(job->precision);
    pt_free(job->groups);
    memset(job, 0, sizeof *job);
}

pt_status pt_job_paths(const pt_job *job, size_t group, const char ***paths, size_t *count)
{
    const pt_texts *all = &job->options->scenes;
    const char **found = pt_calloc(all->count, sizeof *found);
    if (!found) {
        return PT_NOMEM("the list of scenes");
    }
    *count = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (job->groups[i] == group) {
            found[(*count)++] = all->items[i];
        }
    }
    *paths = found;
    return pt_ok();
}

pt_status pt_job_open_scene(const pt_job *job, size_t group, pt_scene **scene, pt_grid *grid)
{
    pt_scene_options options;
    const char **paths;
    size_t count;
    pt_scene *opened = NULL;
    PT_TRY(pt_job_scene_options(job, &options));
    PT_TRY(pt_job_paths(job, group, &paths, &count));
    pt_status status = pt_scene_open(paths, count, &options, &opened);
    pt_free(paths);
    if (status.code != PT_OK) {
        return status;
    }
    const pt_scene_info *info = pt_scene_describe(opened);
    status = pt_grid_init(info->width, info->height, job->options->tile, job->options->overlap, job->lattice,
                          grid);
    if (status.code != PT_OK) {
        pt_scene_close(&opened);
        return status;
    }
    *scene = opened;
    return status;
}
