/* The job as a value: what workers open, what the ledger compares. */
#include "cli/run_scenes.h"

#include "worker/job/worker_job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static pt_status copy_text(const char *text, char **out)
{
    *out = pt_strdup(text);
    return *out ? pt_ok() : PT_NOMEM("the job's description");
}

static pt_status resolve(const char *path, char **out)
{
    char *real = realpath(path, NULL);
    if (!real) {
        return errno == ENOMEM
                   ? PT_NOMEM("a path")
                   : pt_error(PT_E_INPUT, "%s: workers cannot find it: %s", path, strerror(errno));
    }
    pt_status status = copy_text(real, out);
    free(real); /* realpath's own */
    return status;
}

/* The absolute name, of folders that are no links; of the last part even if it is one: what lies beside a
 * file (overviews, a world file) goes by the name that was given, not by the name of what it links to. */
static pt_status name_of(const char *path, char **out)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return resolve(path, out);
    }
    char *real = NULL;
    char *folder = slash ? pt_asprintf("%.*s/", (int)(slash - path), path) : pt_strdup(".");
    pt_status status = folder ? resolve(folder, &real) : PT_NOMEM("a path");
    pt_free(folder);
    PT_TRY(status);
    *out = pt_asprintf("%s/%s", strcmp(real, "/") == 0 ? "" : real, name);
    pt_free(real);
    return *out ? pt_ok() : PT_NOMEM("a path");
}

/* What follows the root in a name below it; NULL for others. */
static const char *after_root(const char *name, const char *root)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    return strncmp(name, root, length) == 0 && name[length] == '/' && name[length + 1] ? name + length + 1
                                                                                       : NULL;
}

static pt_status below_root(const char *path, const char *root, char **out)
{
    char *base = NULL, *name = NULL, *real = NULL;
    pt_status status;
    size_t before = pt_scene_before_file(path);
    const char *file = path + before;
    base = realpath(root, NULL);
    if (!base) {
        status =
            pt_error(PT_E_INPUT, "--root %s: %s; name a folder that holds all inputs", root, strerror(errno));
        goto out;
    }
    PT_TRY_OUT(resolve(file, &real));
    PT_TRY_OUT(name_of(file, &name));
    if (!after_root(name, base)) {
        status = pt_error(PT_E_USAGE,
                          "%s lies outside --root %s; name a root that holds all inputs, or copy it there",
                          file, root);
    } else if (!after_root(real, base)) {
        status = pt_error(PT_E_USAGE, "%s leads to %s, outside --root %s; name a root that holds all inputs",
                          file, real, root);
    } else {
        *out = pt_asprintf("%.*s%s", (int)before, path, after_root(name, base));
        status = *out ? pt_ok() : PT_NOMEM("the job's description");
    }
out:
    free(base); /* realpath's own */
    pt_free(name);
    pt_free(real);
    return status;
}

/* Workers look below their own --root for what lies below ours here. URLs are the same for all. */
static pt_status describe_path(const char *path, const char *root, char **out)
{
    if (strncmp(path + pt_scene_before_file(path), "/vsi", 4) == 0) {
        return copy_text(path, out);
    }
    if (strncasecmp(path, "http://", 7) == 0 || strncasecmp(path, "https://", 8) == 0) {
        *out = pt_asprintf("/vsicurl/%s", path); /* as pt_scene_open takes it */
        return *out ? pt_ok() : PT_NOMEM("the job's description");
    }
    return below_root(path, root, out);
}

static pt_status describe_group(const pt_job *job, const pt_run_group *group, size_t index, pt_job_group *out)
{
    const pt_scene_info *info = pt_scene_describe(group->scene);
    const char **paths = NULL;
    size_t count;
    PT_TRY(pt_job_paths(job, index, &paths, &count));
    pt_status status = pt_ok();
    out->paths = pt_calloc(count, sizeof *out->paths);
    if (!out->paths) {
        status = PT_NOMEM("the job's description");
    }
    for (size_t i = 0; status.code == PT_OK && i < count; i++) {
        status = describe_path(paths[i], job->options->root, &out->paths[i]);
        out->path_count += status.code == PT_OK;
    }
    pt_free(paths);
    PT_TRY(status);
    out->width = info->width;
    out->height = info->height;
    memcpy(out->range_lo, info->range_lo, sizeof out->range_lo);
    memcpy(out->range_hi, info->range_hi, sizeof out->range_hi);
    return pt_scene_fingerprint(group->scene, out->fingerprint);
}

static pt_status describe_groups(const pt_job *job, const pt_run_group *groups, pt_job_spec *spec)
{
    spec->groups = pt_calloc(job->group_count, sizeof *spec->groups);
    if (!spec->groups) {
        return PT_NOMEM("the job's description");
    }
    spec->group_count = job->group_count;
    for (size_t g = 0; g < job->group_count; g++) {
        PT_TRY(describe_group(job, &groups[g], g, &spec->groups[g]));
    }
    return pt_ok();
}

static pt_status describe_drivers(const pt_texts *drivers, pt_job_spec *spec)
{
    spec->scene.drivers = pt_calloc(drivers->count, sizeof *spec->scene.drivers);
    if (!spec->scene.drivers) {
        return PT_NOMEM("the job's description");
    }
    for (size_t i = 0; i < drivers->count; i++) {
        PT_TRY(copy_text(drivers->items[i], &spec->scene.drivers[i]));
        spec->scene.driver_count++;
    }
    return pt_ok();
}

static pt_status describe_reading(const pt_job *job, pt_job_spec *spec)
{
    pt_scene_options s;
    PT_TRY(pt_job_scene_options(job, &s));
    for (int i = 0; i < 3; i++) {
        spec->scene.bands[i] = s.bands[i];
        spec->scene.fill[i] = s.fill[i];
    }
    spec->scene.gsd_mode = (int32_t)s.gsd_mode;
    spec->scene.gsd = s.gsd;
    spec->scene.model_gsd = s.model_gsd;
    spec->scene.has_bbox = s.has_bbox;
    memcpy(spec->scene.bbox, s.bbox, sizeof spec->scene.bbox);
    spec->scene.has_range = s.has_range;
    spec->scene.range_lo = s.has_range ? s.range_lo : 0;
    spec->scene.range_hi = s.has_range ? s.range_hi : 0;
    spec->scene.strict = s.strict;
    PT_TRY(describe_drivers(&job->options->drivers, spec));
    if (s.aoi) {
        PT_TRY(describe_path(s.aoi, job->options->root, &spec->scene.aoi));
        PT_TRY(pt_scene_layer_sha256(s.aoi, spec->scene.aoi_sha256));
    }
    return pt_ok();
}

static pt_status describe_engine(const pt_job *job, pt_job_spec *spec)
{
    const char *path = job->kind == PT_ENGINE_MODEL ? job->model_path : job->argument;
    spec->engine.kind = job->kind;
    spec->engine.score = job->score;
    spec->engine.detections = job->detections;
    spec->engine.proposals = job->proposals;
    PT_TRY(copy_text(job->options->backend, &spec->engine.backend));
    PT_TRY(pt_job_spec_set_text(&spec->engine.precision, job->precision));
    if (job->kind == PT_ENGINE_NULL) {
        return pt_ok();
    }
    PT_TRY(describe_path(path, job->options->root, &spec->engine.path));
    if (job->kind == PT_ENGINE_MODEL) { /* as it was when it was read */
        pt_sha256_of_hex(job->model->sha256, spec->engine.sha256);
        return pt_ok();
    }
    return pt_worker_engine_sha256(job->kind, path, spec->engine.sha256);
}

static const char *format_of(const char *output)
{
    static const char *const formats[][2] = {{".gpkg", "GPKG"},
                                             {".fgb", "FlatGeobuf"},
                                             {".geojsonl", "GeoJSONSeq"},
                                             {".geojsons", "GeoJSONSeq"},
                                             {".ndjson", "GeoJSONSeq"}};
    const char *dot = strrchr(output, '.');
    for (size_t i = 0; dot && i < sizeof formats / sizeof *formats; i++) {
        if (strcasecmp(dot, formats[i][0]) == 0) {
            return formats[i][1];
        }
    }
    return "GeoJSON";
}

static pt_status describe_output(const pt_job *job, pt_job_spec *spec)
{
    const pt_run_options *o = job->options;
    spec->output.min_area = o->min_area;
    spec->output.simplify = o->simplify;
    spec->output.square = o->square;
    spec->output.attempts = PT_RUN_ATTEMPTS;
    spec->output.quarantine = strcmp(o->on_read_error, "quarantine") == 0;
    return copy_text(format_of(o->output), &spec->output.format);
}

pt_status pt_run_spec_make(const pt_job *job, const pt_run_group *groups, pt_job_spec *out)
{
    pt_job_spec spec = {0};
    pt_status status;
    PT_TRY_OUT(copy_text(PANTILE_VERSION, &spec.program));
    PT_TRY_OUT(describe_groups(job, groups, &spec));
    PT_TRY_OUT(describe_reading(job, &spec));
    spec.grid.tile = job->options->tile;
    spec.grid.overlap = job->options->overlap;
    spec.grid.lattice = job->lattice;
    PT_TRY_OUT(describe_engine(job, &spec));
    PT_TRY_OUT(describe_output(job, &spec));
    *out = spec;
    return status;
out:
    pt_job_spec_fini(&spec);
    return status;
}
