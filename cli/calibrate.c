/* pantile calibrate: looks at a model's activations on tiles of a scene and writes them into its file. */
#include "cli/commands.h"

#include "cli/help.h"
#include "cli/outfile.h"
#include "cli/sample.h"
#include "engine/calibrate/calibrate.h"

#include <string.h>

enum { STRIDE = 64 };

typedef struct calibrate_options {
    const char *model, *output, *method, *gsd, *aoi;
    int64_t tiles, tile, threads;
    pt_texts scenes, drivers;
    pt_reals bands, range, bbox;
    bool overwrite, help;
    pt_console_options console;
} calibrate_options;

#define AT(member) offsetof(calibrate_options, member)

/* clang-format off */
static const pt_option calibrate_table[] = {
    {.name = "output", .letter = 'o', .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(output),
     .help = "model file to write (required); the model's own with --overwrite"},
    {.name = "model", .letter = 'm', .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(model),
     .help = "model file (.safetensors), or the name of a bundled one (required)"},
    {.name = "scene", .letter = 's', .value = "FILE", .kind = PT_OPTION_TEXTS, .offset = AT(scenes),
     .help = "scene like those that the model will see (required); repeatable"},
    {.name = "tiles", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(tiles), .least = 1, .most = 1000000, .words = "",
     .help = "tiles to look at, spread evenly over the scenes; all of them when there are fewer [100]"},
    {.name = "method", .value = "NAME", .kind = PT_OPTION_TEXT, .offset = AT(method), .words = "kl percentile minmax",
     .strict = true, .help = "how ranges are chosen from what was seen [kl]"},
    {.name = "tile", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(tile), .least = 2 * STRIDE, .most = 16384, .words = "",
     .help = "side of a tile, scene pixels [1024]"},
    {.name = "gsd", .value = "G", .kind = PT_OPTION_TEXT, .offset = AT(gsd), .words = "auto native",
     .help = "metres per pixel at which the scene is read: auto, native or a number [auto]"},
    {.name = "bands", .value = "R,G,B", .kind = PT_OPTION_REALS, .offset = AT(bands), .least = 1, .most = 65535, .count = 3,
     .words = "", .help = "bands to read as red, green, blue, from 1 [what the file says, else 1,2,3]"},
    {.name = "range", .value = "LO,HI", .kind = PT_OPTION_REALS, .offset = AT(range), .least = -1e30, .most = 1e30, .count = 2,
     .words = "", .help = "values that become black and white [8-bit as it is; else percentiles 2 and 98]"},
    {.name = "aoi", .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(aoi),
     .help = "look at what lies in these polygons alone"},
    {.name = "bbox", .value = "X0,Y0,X1,Y1", .kind = PT_OPTION_REALS, .offset = AT(bbox), .least = -1e30, .most = 1e30,
     .count = 4, .words = "", .help = "the same for a rectangle in the scene's coordinates"},
    {.name = "threads", .letter = 't', .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(threads), .least = 1,
     .most = 1024, .words = "", .help = "threads [all cores]"},
    {.name = "driver", .value = "NAME", .kind = PT_OPTION_TEXTS, .offset = AT(drivers), .words = "",
     .help = "allow one more GDAL driver (GTiff, COG, VRT, JP2OpenJPEG, PNG, JPEG are); repeatable"},
    {.name = "overwrite", .kind = PT_OPTION_FLAG, .offset = AT(overwrite), .help = "replace an output that exists"},
    {.name = "quiet", .letter = 'q', .kind = PT_OPTION_FLAG, .offset = AT(console.quiet),
     .help = "warnings and errors alone"},
    {.name = "log", .value = "FORMAT", .kind = PT_OPTION_TEXT, .offset = AT(console.log), .words = "text json",
     .strict = true, .help = "text, or json: one JSON object a line on standard error [text]"},
    {.name = "verbose", .letter = 'v', .kind = PT_OPTION_COUNT, .offset = AT(console.verbose),
     .help = "say more; twice: everything"},
    {.name = "help", .letter = 'h', .kind = PT_OPTION_FLAG, .offset = AT(help), .help = "print the help and leave"},
};
/* clang-format on */

typedef struct calibrate_run {
    pt_calibrator *calibrator;
    pt_progress progress;
    double start; /* seconds */
} calibrate_run;

static pt_status take_tile(void *user, const pt_window *window, int64_t index, int64_t wanted)
{
    calibrate_run *self = user;
    pt_image image = {.rgb = window->rgb,
                      .width = (int)window->rect.w,
                      .height = (int)window->rect.h,
                      .row_stride = (ptrdiff_t)window->rect.w * 3};
    PT_TRY(pt_calibrator_add(self->calibrator, &image));
    self->progress.done = index + 1;
    self->progress.total = wanted;
    self->progress.objects = pt_calibrator_objects(self->calibrator);
    self->progress.seconds = pt_console_clock() - self->start;
    self->progress.pixels += (double)pt_rect_area(window->rect);
    pt_console_progress(&self->progress);
    return pt_ok();
}

/* How scenes are read is `pantile run`'s business: its own options and job do it here too. */
static pt_run_options reading_options(const calibrate_options *o)
{
    pt_run_options run = pt_run_defaults();
    run.model = o->model;
    run.scenes = o->scenes;
    run.drivers = o->drivers;
    run.bands = o->bands;
    run.range = o->range;
    run.bbox = o->bbox;
    run.aoi = o->aoi;
    run.gsd = o->gsd;
    run.tile = o->tile;
    /* As a run's of its tile, in multiples of the stride that all known models have. */
    run.overlap = o->tile / 4 > STRIDE ? o->tile / 4 / STRIDE * STRIDE : STRIDE;
    return run;
}

static pt_status calibrate(const pt_job *job, const calibrate_options *o)
{
    calibrate_run self = {.start = pt_console_clock(), .progress = {.workers = 1}};
    pt_range_method method = PT_RANGE_KL;
    pt_status status;
    pt_range_method_find(o->method, &method); /* the option's table lets no other word through */
    PT_TRY_OUT(pt_calibrator_open(job->model_path, (int)o->threads, &self.calibrator));
    PT_TRY_OUT(pt_sample_tiles(job, o->tiles, take_tile, &self));
    pt_console_progress_end();
    PT_TRY_OUT(pt_calibrator_write(self.calibrator, method, "int8", o->output));
    if (self.progress.objects == 0) {
        PT_WARN("nothing was found in the tiles, so the mask head stays in FP32; name a scene with objects "
                "in it");
    }
    pt_console_line("%s: ranges of %zu values by %s from %lld tile%s; --precision auto computes in int8",
                    o->output, pt_calibrator_values(self.calibrator), o->method,
                    (long long)self.progress.done, self.progress.done == 1 ? "" : "s");
    PT_INFO("calibrated", PT_S("path", o->output), PT_S("method", o->method),
            PT_I("tiles", self.progress.done), PT_I("values", pt_calibrator_values(self.calibrator)),
            PT_I("objects", self.progress.objects));
out:
    pt_console_progress_end();
    pt_calibrator_close(&self.calibrator);
    return status;
}

static pt_status work(const calibrate_options *o, const pt_texts *arguments)
{
    if (arguments->count > 0) {
        return pt_error(PT_E_USAGE, "%s: what is this? scenes are named by --scene", arguments->items[0]);
    }
    if (o->scenes.count == 0) {
        return pt_error(PT_E_USAGE, "no scene named; add --scene FILE");
    }
    if (!o->output) {
        return pt_error(PT_E_USAGE, "no output named; add -o FILE.safetensors");
    }
    for (size_t i = 0; i < o->scenes.count; i++) {
        PT_TRY(pt_outfile_apart(o->output, o->scenes.items[i]));
    }
    PT_TRY(pt_outfile_check(o->output, o->overwrite));
    pt_run_options run = reading_options(o);
    pt_job job;
    PT_TRY(pt_job_open(&run, &job));
    pt_status status = calibrate(&job, o);
    pt_job_close(&job);
    return status;
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    calibrate_options options = {.method = "kl", .gsd = "auto", .tiles = 100, .tile = 1024};
    pt_texts arguments = {0};
    pt_status status = pt_options_parse(command, argc, argv, &options, &arguments);
    if (status.code == PT_OK && options.help) {
        pt_help_command(stdout, command, false);
    } else if (status.code == PT_OK) {
        pt_console_setup(&options.console);
        status = work(&options, &arguments);
    }
    int code = pt_finish(command, status);
    pt_texts_fini(&arguments);
    pt_texts_fini(&options.scenes);
    pt_texts_fini(&options.drivers);
    return code;
}

const pt_command pt_command_calibrate = {
    .name = "calibrate",
    .arguments = "--model FILE --scene FILE -o FILE [OPTION]...",
    .summary = "prepares a model to compute in 8 bits, on tiles of a scene",
    .detail =
        "Runs a model in FP32 on tiles of a scene, read as `pantile run` reads them, and writes a copy of "
        "its "
        "file that also holds the ranges of its activations; the weights stay as they are. What has such "
        "ranges can compute in 8 bits (--precision int8), and does so by default. Calibrate on a scene like "
        "those that the model will see; the same input gives the same bytes.",
    .example = "pantile calibrate --model buildings_mnv2_fpn --scene town.tif -o town.int8.safetensors",
    .options = calibrate_table,
    .option_count = sizeof calibrate_table / sizeof *calibrate_table,
    .run = run_command};
