#include "cli/report.h"

#include "cli/outfile.h"

#include <jansson.h>
#include <string.h>

static pt_status no_memory(void)
{
    return PT_NOMEM("the report");
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
                     (json_int_t)r->tiles, "pixels", (json_int_t)r->pixels, "done", (json_int_t)r->done,
                     "empty", (json_int_t)r->empty, "outside", (json_int_t)r->outside, "failed",
                     (json_int_t)r->failed, "capped", (json_int_t)r->capped, "detections",
                     (json_int_t)r->stitch.detections, "objects", (json_int_t)r->objects, "merged",
                     (json_int_t)r->stitch.merged, "too_small", (json_int_t)r->dropped, "too_large",
                     (json_int_t)r->too_large, "waiting_peak", (json_int_t)r->stitch.waiting_peak,
                     "read_seconds", r->read_seconds, "infer_seconds", r->infer_seconds);
}

/* Of the whole job; scenes do not know who had to try again. */
static json_t *total_counts(const pt_report_facts *f)
{
    json_t *object = counts(f->totals);
    json_object_set_new(object, "retries", json_integer((json_int_t)f->control->dispatch.retries));
    json_object_set_new(object, "quarantined", json_integer((json_int_t)f->totals->failed));
    json_object_set_new(object, "resumed", json_integer((json_int_t)f->control->resumed));
    return object;
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

static json_t *scene(const pt_job *job, const pt_run_group *group)
{
    char crs[128];
    const pt_scene_info *info = pt_scene_describe(group->scene);
    const pt_assemble_report *result = pt_assembler_report(group->assembler);
    pt_job_crs_name(info, crs, sizeof crs);
    double native_gsd[2] = {info->native_gsd_x, info->native_gsd_y};
    return json_pack("{s:o,s:s,s:s,s:o,s:[I,I],s:[I,I],s:o,s:f,s:[i,i,i],s:o,s:o,s:I,s:I,s:[i,i,i],s:o,s:o}",
                     "path", text(info->path), "driver", info->driver, "type", info->type, "crs", text(crs),
                     "native_size", (json_int_t)info->native_width, (json_int_t)info->native_height, "size",
                     (json_int_t)info->width, (json_int_t)info->height, "native_gsd", reals(native_gsd, 2),
                     "gsd", info->gsd, "bands", info->bands[0], info->bands[1], info->bands[2], "range_lo",
                     reals(info->range_lo, 3), "range_hi", reals(info->range_hi, 3), "tile",
                     (json_int_t)group->grid.tile, "overlap", (json_int_t)group->grid.overlap, "fill",
                     job->fill[0], job->fill[1], job->fill[2], "counts", counts(result), "failed_tiles",
                     failed_tiles(result));
}

static json_t *scenes(const pt_report_facts *f)
{
    json_t *array = json_array();
    for (size_t g = 0; g < f->scenes->count; g++) {
        json_array_append_new(array, scene(f->job, &f->scenes->groups[g]));
    }
    return array;
}

/* Adds a tile to its worker's entry, made when first met. */
static pt_status add_tile(void *user, const pt_settlement *s)
{
    json_t *workers = user;
    const char *name = s->worker && *s->worker ? s->worker : "nobody";
    json_t *entry = json_object_get(workers, name);
    if (!entry) {
        entry = json_pack("{s:I,s:f,s:f}", "tiles", (json_int_t)0, "read_seconds", 0.0, "infer_seconds", 0.0);
        if (!entry || json_object_set_new(workers, name, entry) != 0) {
            return no_memory();
        }
    }
    json_t *tiles = json_object_get(entry, "tiles");
    json_t *read = json_object_get(entry, "read_seconds");
    json_t *infer = json_object_get(entry, "infer_seconds");
    json_integer_set(tiles, json_integer_value(tiles) + 1);
    json_real_set(read, json_real_value(read) + s->read_seconds);
    json_real_set(infer, json_real_value(infer) + s->infer_seconds);
    return pt_ok();
}

static json_t *control(const pt_control_snapshot *c)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:I,s:I,s:I,s:I}", "workers_joined",
                     (json_int_t)c->joined_workers, "workers_lost", (json_int_t)c->lost_workers,
                     "workers_refused", (json_int_t)c->refused_workers, "assigned",
                     (json_int_t)c->dispatch.assigned, "speculated", (json_int_t)c->dispatch.speculated,
                     "wasted", (json_int_t)c->dispatch.wasted, "duplicates", (json_int_t)c->duplicates,
                     "strikes", (json_int_t)c->dispatch.strikes, "alarms", (json_int_t)c->dispatch.alarms,
                     "commits", (json_int_t)c->commits, "commit_seconds", c->ledger_seconds, "messages_sent",
                     (json_int_t)c->link.sent, "messages_received", (json_int_t)c->link.received,
                     "peers_expelled", (json_int_t)c->link.expelled, "peers_denied",
                     (json_int_t)c->link.denied);
}

static json_t *model(const pt_job *job)
{
    if (!job->model) {
        return json_null();
    }
    return json_pack("{s:o,s:s,s:s,s:f}", "name", text(job->model->name), "architecture",
                     job->model->architecture, "sha256", job->model->sha256, "gsd", job->model->gsd);
}

static json_t *build(const pt_report_facts *f, json_t *workers)
{
    const pt_run_options *o = f->job->options;
    return json_pack("{s:s,s:o,s:s,s:s?,s:o,s:i,s:o,s:f,s:f,s:f,s:b,s:o,s:o,s:O,s:f,s:o}", "pantile",
                     PANTILE_VERSION, "model", model(f->job), "engine", o->engine, "precision",
                     f->job->precision, "backend", text(f->backend[0] ? f->backend : NULL), "threads",
                     f->threads, "output", text(o->output), "score", f->job->score, "min_area", o->min_area,
                     "simplify", o->simplify, "square", o->square, "counts", total_counts(f), "control",
                     control(f->control), "workers", workers, "seconds", f->seconds, "scenes", scenes(f));
}

static pt_status save(const pt_report_facts *facts, const json_t *root)
{
    pt_outfile file;
    PT_TRY(pt_outfile_open(facts->job->options->report, facts->replace, &file));
    /* A failed write stays in the stream's error flag, which commit reads. */
    (void)json_dumpf(root, file.stream, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    fputc('\n', file.stream);
    pt_status status = pt_outfile_commit(&file);
    pt_outfile_close(&file);
    return status;
}

pt_status pt_report_write(const pt_report_facts *facts)
{
    if (!facts->job->options->report) {
        return pt_ok();
    }
    json_t *workers = json_object();
    json_t *root = NULL;
    pt_status status = workers ? pt_ledger_list(facts->ledger, add_tile, workers) : no_memory();
    if (status.code == PT_OK) {
        root = build(facts, workers);
        status = root ? save(facts, root) : no_memory();
    }
    json_decref(workers);
    json_decref(root);
    return status;
}
