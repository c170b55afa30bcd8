#include "cli/report.h"

#include "cli/outfile.h"

#include <jansson.h>
#include <string.h>

struct pt_report {
    json_t *scenes;
};

static pt_status no_memory(void)
{
    return PT_NOMEM("the report");
}

pt_status pt_report_new(pt_report **out)
{
    pt_report *report = pt_calloc(1, sizeof *report);
    json_t *scenes = json_array();
    if (!report || !scenes) {
        pt_free(report);
        json_decref(scenes);
        return no_memory();
    }
    report->scenes = scenes;
    *out = report;
    return pt_ok();
}

void pt_report_free(pt_report **report)
{
    if (report && *report) {
        json_decref((*report)->scenes);
        pt_free(*report);
        *report = NULL;
    }
}

static json_t *reals(const double *values, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(array, json_real(values[i]));
    }
    return array;
}

/* File names may be no UTF-8: then null. */
static json_t *text(const char *value)
{
    json_t *string = value ? json_string(value) : NULL;
    return string ? string : json_null();
}

static json_t *counts(const pt_assemble_report *r)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f}", "tiles",
                     (json_int_t)r->tiles, "done", (json_int_t)r->done, "empty", (json_int_t)r->empty,
                     "outside", (json_int_t)r->outside, "failed", (json_int_t)r->failed, "retries",
                     (json_int_t)r->retries, "capped", (json_int_t)r->capped, "detections",
                     (json_int_t)r->stitch.detections, "objects", (json_int_t)r->objects, "merged",
                     (json_int_t)r->stitch.merged, "too_small", (json_int_t)r->dropped, "too_large",
                     (json_int_t)r->too_large, "waiting_peak", (json_int_t)r->stitch.waiting_peak,
                     "read_seconds", r->read_seconds, "infer_seconds", r->infer_seconds);
}

static json_t *failed_tiles(const pt_assemble_report *r)
{
    json_t *array = json_array();
    for (int i = 0; i < r->failed_named; i++) {
        const pt_failed_tile *f = &r->failed_tiles[i];
        json_array_append_new(array, json_pack("{s:I,s:[I,I,I,I],s:i,s:o}", "tile", (json_int_t)f->tile,
                                               "window", (json_int_t)f->window.x, (json_int_t)f->window.y,
                                               (json_int_t)f->window.w, (json_int_t)f->window.h, "attempts",
                                               f->attempts, "reason", text(f->reason)));
    }
    return array;
}

pt_status pt_report_scene(pt_report *report, const pt_job *job, const pt_scene_info *info,
                          const pt_grid *grid, const pt_assemble_report *result)
{
    char crs[128];
    if (!report) {
        return pt_ok();
    }
    pt_job_crs_name(info, crs, sizeof crs);
    double native_gsd[2] = {info->native_gsd_x, info->native_gsd_y};
    json_t *scene =
        json_pack("{s:o,s:s,s:s,s:o,s:[I,I],s:[I,I],s:o,s:f,s:[i,i,i],s:o,s:o,s:I,s:I,s:[i,i,i],s:o,s:o}",
                  "path", text(info->path), "driver", info->driver, "type", info->type, "crs", text(crs),
                  "native_size", (json_int_t)info->native_width, (json_int_t)info->native_height, "size",
                  (json_int_t)info->width, (json_int_t)info->height, "native_gsd", reals(native_gsd, 2),
                  "gsd", info->gsd, "bands", info->bands[0], info->bands[1], info->bands[2], "range_lo",
                  reals(info->range_lo, 3), "range_hi", reals(info->range_hi, 3), "tile",
                  (json_int_t)grid->tile, "overlap", (json_int_t)grid->overlap, "fill", job->fill[0],
                  job->fill[1], job->fill[2], "counts", counts(result), "failed_tiles", failed_tiles(result));
    return json_array_append_new(report->scenes, scene) == 0 ? pt_ok() : no_memory();
}

static json_t *model(const pt_job *job)
{
    if (!job->model) {
        return json_null();
    }
    return json_pack("{s:o,s:s,s:s,s:f}", "name", text(job->model->name), "architecture",
                     job->model->architecture, "sha256", job->model->sha256, "gsd", job->model->gsd);
}

static json_t *build(const pt_report *report, const pt_job *job, const pt_assemble_report *totals,
                     double seconds)
{
    const pt_run_options *o = job->options;
    return json_pack("{s:s,s:o,s:s,s:o,s:i,s:o,s:f,s:f,s:f,s:b,s:o,s:f,s:O}", "pantile", PANTILE_VERSION,
                     "model", model(job), "engine", o->engine, "backend",
                     job->engine ? text(pt_engine_backend(job->engine)) : json_null(), "threads",
                     job->threads, "output", text(o->output), "score", job->score, "min_area", o->min_area,
                     "simplify", o->simplify, "square", o->square, "counts", counts(totals), "seconds",
                     seconds, "scenes", report->scenes);
}

pt_status pt_report_write(pt_report *report, const pt_job *job, const pt_assemble_report *totals,
                          double seconds)
{
    if (!report) {
        return pt_ok();
    }
    pt_outfile file;
    json_t *root = build(report, job, totals, seconds);
    if (!root) {
        return no_memory();
    }
    pt_status status = pt_outfile_open(job->options->report, job->options->overwrite, &file);
    if (status.code == PT_OK) {
        /* A failed write stays in the stream's error flag, which commit reads. */
        (void)json_dumpf(root, file.stream, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
        fputc('\n', file.stream);
        status = pt_outfile_commit(&file);
        pt_outfile_close(&file);
    }
    json_decref(root);
    return status;
}
