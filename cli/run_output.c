#include "cli/run_output.h"

#include "cli/outfile.h"
#include "cli/stop.h"
#include "coordinator/assemble/coverage.h"

#include <string.h>

/* out.png, and out-2.png for the second group of scenes. */
static pt_status overlay_path(const char *path, size_t group, char **out)
{
    const char *dot = strrchr(path, '.');
    size_t stem = dot && !strchr(dot, '/') ? (size_t)(dot - path) : strlen(path);
    char *name =
        group == 0 ? pt_strdup(path) : pt_asprintf("%.*s-%zu%s", (int)stem, path, group + 1, path + stem);
    if (!name) {
        return PT_NOMEM("the overlay's name");
    }
    *out = name;
    return pt_ok();
}

/* scenes NULL: only checks that they could be saved. */
static pt_status each_overlay(const pt_job *job, pt_run_scenes *scenes, bool replace)
{
    const char *overlay = job->options->overlay;
    PT_TRY(overlay ? pt_overlay_check(overlay) : pt_ok());
    for (size_t g = 0; overlay && g < job->group_count; g++) {
        char *path = NULL;
        PT_TRY(overlay_path(overlay, g, &path));
        pt_status status = scenes ? pt_overlay_save(scenes->groups[g].overlay, path, replace)
                                  : pt_outfile_check(path, replace);
        pt_free(path);
        PT_TRY(status);
    }
    return pt_ok();
}

/* No output may be an input or another output. */
static pt_status check_apart(const pt_job *job)
{
    const pt_run_options *o = job->options;
    const char *const outputs[] = {o->output, o->overlay, o->report, o->coverage};
    const char *const inputs[] = {o->aoi, o->config, o->model, job->argument, o->keys, o->allow};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        for (size_t k = 0; k < i; k++) {
            PT_TRY(pt_outfile_apart(outputs[i], outputs[k]));
        }
        for (size_t k = 0; k < sizeof inputs / sizeof *inputs; k++) {
            PT_TRY(pt_outfile_apart(outputs[i], inputs[k]));
        }
        for (size_t k = 0; k < o->scenes.count; k++) {
            PT_TRY(pt_outfile_apart(outputs[i], o->scenes.items[k]));
        }
    }
    return pt_ok();
}

pt_status pt_run_output_check(const pt_job *job, bool replace)
{
    const pt_run_options *o = job->options;
    PT_TRY(check_apart(job));
    PT_TRY(each_overlay(job, NULL, replace));
    PT_TRY(o->report ? pt_outfile_check(o->report, replace) : pt_ok());
    PT_TRY(o->coverage ? pt_coverage_check(o->coverage) : pt_ok());
    return o->coverage ? pt_outfile_check(o->coverage, replace) : pt_ok();
}

pt_status pt_run_output_open(const pt_job *job, bool replace, pt_writer **out)
{
    pt_writer_options options = pt_writer_defaults();
    options.overwrite = replace;
    options.class_names = job->class_names;
    options.class_count = job->class_count;
    return pt_writer_open(job->options->output, &options, out);
}

pt_status pt_run_output_write(pt_run_scenes *scenes, pt_writer *writer)
{
    for (size_t g = 0; g < scenes->count; g++) {
        pt_run_group *group = &scenes->groups[g];
        PT_TRY(pt_stop_check());
        PT_TRY(pt_assembler_finish(group->assembler));
        PT_TRY(pt_writer_source(writer, &pt_scene_describe(group->scene)->georef));
        PT_TRY(pt_assembler_write(group->assembler, writer, group->overlay));
    }
    return pt_stop_check();
}

static pt_status add_tile(void *user, const pt_settlement *s)
{
    return pt_coverage_add(user, &(pt_coverage_tile){.tile = s->tile,
                                                     .outcome = s->outcome,
                                                     .attempts = s->attempts,
                                                     .worker = s->worker,
                                                     .reason = s->reason,
                                                     .seconds = s->read_seconds + s->infer_seconds,
                                                     .detections = s->detections});
}

static pt_status write_coverage(const pt_run_options *o, const pt_run_scenes *scenes, pt_ledger *ledger,
                                bool replace)
{
    pt_coverage *coverage = NULL;
    pt_status status = pt_ok();
    if (!o->coverage) {
        return status;
    }
    const pt_georef **georefs = pt_calloc(scenes->count, sizeof(pt_georef *));
    if (!georefs) {
        return PT_NOMEM("the coverage layer");
    }
    for (size_t g = 0; g < scenes->count; g++) {
        georefs[g] = &pt_scene_describe(scenes->groups[g].scene)->georef;
    }
    PT_TRY_OUT(pt_coverage_open(o->coverage, replace, &scenes->spec, georefs, &coverage));
    PT_TRY_OUT(pt_ledger_list(ledger, add_tile, coverage));
    PT_TRY_OUT(pt_coverage_commit(coverage));
out:
    pt_coverage_close(&coverage);
    pt_free(georefs);
    return status;
}

pt_status pt_run_output_commit(const pt_job *job, pt_run_scenes *scenes, pt_writer *writer,
                               pt_run_folder *folder, bool replace)
{
    const pt_run_options *o = job->options;
    PT_TRY(pt_run_folder_place(folder, o->output));
    PT_TRY(pt_writer_commit(writer));
    PT_TRY(each_overlay(job, scenes, replace));
    return write_coverage(o, scenes, folder->ledger, replace);
}

static void add_totals(pt_assemble_report *to, const pt_assemble_report *r)
{
    to->tiles += r->tiles;
    to->done += r->done;
    to->empty += r->empty;
    to->outside += r->outside;
    to->failed += r->failed;
    to->failed_named += r->failed_named;
    to->capped += r->capped;
    to->pixels += r->pixels;
    to->objects += r->objects;
    to->dropped += r->dropped;
    to->too_large += r->too_large;
    to->read_seconds += r->read_seconds;
    to->infer_seconds += r->infer_seconds;
    to->stitch.detections += r->stitch.detections;
    to->stitch.merged += r->stitch.merged;
    if (r->stitch.waiting_peak > to->stitch.waiting_peak) {
        to->stitch.waiting_peak = r->stitch.waiting_peak;
    }
}

void pt_run_output_totals(const pt_run_scenes *scenes, pt_assemble_report *out)
{
    memset(out, 0, sizeof *out);
    for (size_t g = 0; g < scenes->count; g++) {
        add_totals(out, pt_assembler_report(scenes->groups[g].assembler));
    }
}
