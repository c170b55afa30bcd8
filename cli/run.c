/* pantile run: the main job on this machine. */
#include "cli/commands.h"

#include "cli/crew.h"
#include "cli/help.h"
#include "cli/outfile.h"
#include "cli/paths.h"
#include "cli/report.h"
#include "cli/stop.h"
#include "coordinator/assemble/assemble.h"

#include <string.h>

enum {
    CREDIT_PER_WORKER = 4, /* one inferred, two read, one waiting */
    OVERLAY_SIDE = 2048,   /* pixels: sharp on a screen, some MB */
};

typedef struct run {
    pt_run_options options;
    pt_job job;
    pt_writer *writer;
    pt_report *report;     /* NULL: none wanted */
    pt_overlay **overlays; /* one per group; saved once the output is there */
    pt_assemble_report totals;
    double start, scene_start; /* seconds */
} run;

static void show_progress(void *user, const pt_assemble_report *r)
{
    const run *self = user;
    pt_progress p = {.done = r->done + r->empty + r->outside + r->failed,
                     .total = r->tiles,
                     .objects = r->objects,
                     .seconds = pt_console_clock() - self->scene_start,
                     .pixels = (double)r->pixels};
    pt_console_progress(&p);
}

static void close_link(void *link)
{
    pt_link_close(link);
}

/* All tiles of the scene: workers on one end of the link, the assembler on this. */
static pt_status process(const pt_job *job, const pt_scene *scene, pt_assembler *assembler, size_t credit)
{
    pt_link *link = NULL;
    pt_crew *crew = NULL;
    PT_TRY(pt_link_new_local(credit, &link));
    pt_status status = pt_crew_start(job, scene, link, pt_job_workers(job), &crew);
    if (status.code == PT_OK) {
        pt_stop_call(close_link, link);
        status = pt_assembler_run(assembler, link);
        if (status.code != PT_OK) {
            pt_link_close(link);
        }
        pt_status worker = pt_crew_join(&crew);
        pt_stop_call(NULL, NULL);
        /* A link closed by a worker or a signal says nothing of the cause. */
        if (status.code == PT_E_STOPPED) {
            status = worker.code != PT_OK ? worker : pt_stop_check();
        }
        if (status.code == PT_OK) {
            status = pt_stop_check();
        }
    }
    pt_link_free(&link);
    return status;
}

static pt_status new_assembler(run *self, const pt_scene_info *info, const pt_grid *grid, size_t credit,
                               pt_assembler **out)
{
    char *folder = NULL;
    PT_TRY(pt_paths_folder(self->options.output, &folder));
    pt_assemble_options options = pt_assemble_defaults();
    options.credit = credit;
    options.spool_dir = folder;
    options.vectorise.pixel_m = info->gsd > 0 ? info->gsd : 1;
    double width = info->native_gsd_x * info->scale_x, height = info->native_gsd_y * info->scale_y;
    options.vectorise.aspect = width > 0 && height > 0 ? height / width : 1;
    options.vectorise.min_area = self->options.min_area;
    options.vectorise.simplify = self->options.simplify;
    options.vectorise.square = self->options.square;
    options.progress = show_progress;
    options.user = self;
    pt_status status = pt_assembler_new(grid, &options, out);
    pt_free(folder);
    return status;
}

static pt_status new_overlay(const run *self, const pt_scene *scene, pt_overlay **out)
{
    uint8_t *rgb = NULL;
    int width;
    int height;
    if (!self->options.overlay) {
        return pt_ok();
    }
    PT_TRY(pt_scene_preview(scene, OVERLAY_SIDE, &rgb, &width, &height));
    const pt_scene_info *info = pt_scene_describe(scene);
    pt_status status = pt_overlay_new(rgb, width, height, (double)width / (double)info->width,
                                      (double)height / (double)info->height, out);
    pt_free(rgb);
    return status;
}

static void add_totals(pt_assemble_report *to, const pt_assemble_report *r)
{
    to->tiles += r->tiles;
    to->done += r->done;
    to->empty += r->empty;
    to->outside += r->outside;
    to->failed += r->failed;
    to->failed_named += r->failed_named;
    to->retries += r->retries;
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

static pt_status run_scene(run *self, size_t group)
{
    pt_scene *scene = NULL;
    pt_assembler *assembler = NULL;
    pt_grid grid;
    pt_status status;
    PT_TRY_OUT(pt_job_open_scene(&self->job, group, &scene, &grid));
    const pt_scene_info *info = pt_scene_describe(scene);
    size_t credit = CREDIT_PER_WORKER * pt_job_workers(&self->job);
    self->scene_start = pt_console_clock();
    pt_job_say_scene(info, &grid);
    PT_TRY_OUT(pt_stop_check());
    PT_TRY_OUT(new_overlay(self, scene, &self->overlays[group]));
    if (self->options.dump_tiles) {
        PT_TRY_OUT(pt_dump_describe(self->options.dump_tiles, &grid, info->gsd, self->job.fill,
                                    self->options.overwrite));
    }
    PT_TRY_OUT(new_assembler(self, info, &grid, credit, &assembler));
    PT_TRY_OUT(process(&self->job, scene, assembler, credit));
    pt_console_progress_end();
    PT_TRY_OUT(pt_writer_source(self->writer, &info->georef));
    PT_TRY_OUT(pt_assembler_write(assembler, self->writer, self->overlays[group]));
    const pt_assemble_report *report = pt_assembler_report(assembler);
    add_totals(&self->totals, report);
    PT_TRY_OUT(pt_report_scene(self->report, &self->job, info, &grid, report));
out:
    pt_console_progress_end();
    pt_assembler_free(&assembler);
    pt_scene_close(&scene);
    return status;
}

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

static pt_status each_overlay(run *self, bool save)
{
    PT_TRY(self->options.overlay ? pt_overlay_check(self->options.overlay) : pt_ok());
    for (size_t g = 0; self->options.overlay && g < self->job.group_count; g++) {
        char *path = NULL;
        PT_TRY(overlay_path(self->options.overlay, g, &path));
        pt_status status = save ? pt_overlay_save(self->overlays[g], path, self->options.overwrite)
                                : pt_outfile_check(path, self->options.overwrite);
        pt_free(path);
        PT_TRY(status);
    }
    return pt_ok();
}

/* No output may be an input or another output. */
static pt_status check_names(const run *self)
{
    const pt_run_options *o = &self->options;
    const char *const outputs[] = {o->output, o->overlay, o->report};
    const char *const inputs[] = {o->aoi, o->config, o->model, self->job.argument};
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

/* Everything that can be refused before hours of work is. */
static pt_status prepare(run *self)
{
    const pt_run_options *o = &self->options;
    if (!o->output) {
        return pt_error(PT_E_USAGE, "no output named; add -o FILE.geojson (or .gpkg, .fgb, .geojsonl)");
    }
    PT_TRY(pt_job_open(o, &self->job));
    PT_TRY(check_names(self));
    PT_TRY(each_overlay(self, false));
    if (o->report) {
        PT_TRY(pt_outfile_check(o->report, o->overwrite));
        PT_TRY(pt_report_new(&self->report));
    }
    self->overlays = pt_calloc(self->job.group_count, sizeof(pt_overlay *));
    if (!self->overlays) {
        return PT_NOMEM("the overlays");
    }
    pt_writer_options options = pt_writer_defaults();
    options.overwrite = o->overwrite;
    options.class_names = self->job.class_names;
    options.class_count = self->job.class_count;
    PT_TRY(pt_writer_open(o->output, &options, &self->writer));
    pt_job_say_model(&self->job);
    return pt_ok();
}

static void say_summary(const run *self, double seconds)
{
    const pt_assemble_report *t = &self->totals;
    if (t->capped > 0) {
        PT_INFO("tiles filled the cap on proposals or detections: in crowded scenes higher --proposals and "
                "--detections may find more, at the price of some false ones",
                PT_I("tiles", t->capped));
    }
    if (t->failed > 0) {
        PT_WARN("tiles failed and are missing in the output", PT_I("failed", t->failed),
                PT_I("named", t->failed_named));
    }
    if (pt_console_is_json()) {
        PT_INFO("done", PT_S("output", self->options.output), PT_I("objects", t->objects),
                PT_I("tiles", t->tiles), PT_I("done", t->done), PT_I("empty", t->empty),
                PT_I("outside", t->outside), PT_I("failed", t->failed), PT_I("capped", t->capped),
                PT_F("seconds", seconds), PT_F("mpx_per_s", (double)t->pixels / 1e6 / seconds));
        return;
    }
    pt_console_line(
        "done    %lld objects, tiles: %lld done, %lld empty, %lld outside, %lld failed; %.2f Mpx/s, "
        "%.1f s; %s",
        (long long)t->objects, (long long)t->done, (long long)t->empty, (long long)t->outside,
        (long long)t->failed, (double)t->pixels / 1e6 / seconds, seconds, self->options.output);
}

static pt_status work(run *self)
{
    PT_TRY(prepare(self));
    for (size_t g = 0; g < self->job.group_count; g++) {
        PT_TRY(run_scene(self, g));
    }
    PT_TRY(pt_stop_check());
    PT_TRY(pt_writer_commit(self->writer));
    PT_TRY(each_overlay(self, true));
    double seconds = pt_console_clock() - self->start;
    PT_TRY(pt_report_write(self->report, &self->job, &self->totals, seconds));
    say_summary(self, seconds);
    return pt_ok();
}

static void clean_up(run *self)
{
    for (size_t g = 0; self->overlays && g < self->job.group_count; g++) {
        pt_overlay_free(&self->overlays[g]);
    }
    pt_free(self->overlays);
    pt_writer_close(&self->writer);
    pt_report_free(&self->report);
    pt_job_close(&self->job);
    pt_run_options_fini(&self->options);
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    enum { EXIT_FAILED_TILES = 3 };
    run self = {.start = pt_console_clock()};
    pt_status status = pt_run_options_read(command, argc, argv, &self.options);
    if (status.code != PT_OK) {
        return pt_finish(command, status);
    }
    if (self.options.help) {
        pt_help_command(stdout, command, false);
    } else {
        pt_console_setup(&self.options.console);
        status = work(&self);
    }
    int code = pt_finish(command, status);
    if (code == 0 && self.totals.failed > 0) {
        code = EXIT_FAILED_TILES;
    }
    clean_up(&self);
    return code;
}

const pt_command pt_command_run = {
    .name = "run",
    .arguments = "SCENE... -o OUT [OPTION]...",
    .summary = "finds objects in scenes and writes them as polygons",
    .detail = "Finds objects in georeferenced scenes and writes them as polygons. Scenes are any rasters "
              "that GDAL opens "
              "(also /vsicurl/ and /vsis3/ URLs); those that touch and agree in CRS and pixel size are "
              "treated as one, "
              "others one after another.",
    .example = "pantile run scene.tif -o buildings.geojson --model buildings_mnv2_fpn --overlay look.png",
    .options = pt_run_option_table,
    .option_count = PT_RUN_OPTIONS,
    .run = run_command};
