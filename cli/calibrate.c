/* pantile calibrate: looks at a model's activations on tiles of a scene and writes them into its file. */
#include "cli/commands.h"

#include "cli/help.h"
#include "cli/outfile.h"
#include "cli/output_rows.h"
#include "cli/sample.h"
#include "cli/stop.h"
#include "engine/calibrate/calibrate.h"
#include "worker/detect/detector.h"

#include <string.h>

typedef struct calibrate_options {
    const char *output, *method;
    int64_t tiles;
    pt_sample_options sample;
    bool overwrite, help;
    pt_console_options console;
} calibrate_options;

#define AT(member) offsetof(calibrate_options, member)

/* clang-format off */
static const pt_option calibrate_table[] = {
    {.name = "output", .letter = 'o', .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(output),
     .help = "model file to write (required); the model's own with --overwrite"},
    PT_SAMPLE_ROWS(calibrate_options, sample),
    {.name = "tiles", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(tiles), .least = 1, .most = 1000000, .words = "",
     .help = "tiles to look at, spread evenly over the scenes; all of them when there are fewer [100]"},
    {.name = "method", .value = "NAME", .kind = PT_OPTION_TEXT, .offset = AT(method), .words = PT_SAMPLE_METHODS,
     .strict = true, .help = "how ranges are chosen from what was seen [mse]"},
    PT_OUTPUT_ROWS(calibrate_options),
};
/* clang-format on */

typedef struct calibrate_run {
    pt_calibrator *calibrator;
    pt_progress progress;
    double start; /* seconds */
} calibrate_run;

static pt_status take_tile(void *user, const pt_sample *sample)
{
    calibrate_run *self = user;
    pt_image image = pt_detector_image(sample->window);
    PT_TRY(pt_calibrator_add(self->calibrator, &image));
    self->progress.done = sample->index + 1;
    self->progress.total = sample->wanted;
    self->progress.objects = pt_calibrator_objects(self->calibrator);
    self->progress.seconds = pt_console_clock() - self->start;
    self->progress.pixels += (double)pt_rect_area(sample->window->rect);
    pt_console_progress(&self->progress);
    return pt_ok();
}

static pt_status calibrate(const pt_job *job, const calibrate_options *o)
{
    calibrate_run self = {.start = pt_console_clock(), .progress = {.workers = 1}};
    pt_range_method method = PT_RANGE_DEFAULT;
    pt_status status;
    pt_range_method_find(o->method, &method); /* the option's table lets no other word through */
    PT_TRY_OUT(pt_calibrator_open(job->model_path, (int)o->sample.threads, &self.calibrator));
    PT_TRY_OUT(pt_sample_tiles(job, o->tiles, take_tile, &self));
    pt_console_progress_end();
    PT_TRY_OUT(pt_stop_check());
    const char *precision = pt_calibrator_precision(self.calibrator);
    PT_TRY_OUT(pt_calibrator_write(self.calibrator, method, precision, o->output));
    if (self.progress.objects == 0) {
        PT_WARN("nothing was found in the tiles, so the mask head stays in FP32; name a scene with objects "
                "in it");
    }
    pt_console_line("%s: ranges of %zu values by %s from %lld tile%s; --precision auto computes in %s",
                    o->output, pt_calibrator_values(self.calibrator), o->method,
                    (long long)self.progress.done, self.progress.done == 1 ? "" : "s", precision);
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
    PT_TRY(pt_sample_no_arguments(arguments));
    if (!o->output) {
        return pt_error(PT_E_USAGE, "no output named; add -o FILE.safetensors");
    }
    pt_run_options run;
    pt_job job;
    PT_TRY(pt_outfile_check(o->output, o->overwrite));
    PT_TRY(pt_sample_job(&o->sample, o->output, &run, &job));
    pt_status status = calibrate(&job, o);
    pt_job_close(&job);
    return status;
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    calibrate_options options = {
        .method = pt_range_method_name(PT_RANGE_DEFAULT), .tiles = 100, .sample = pt_sample_defaults()};
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
    pt_sample_options_fini(&options.sample);
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
