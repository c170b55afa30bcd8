/* pantile tune: which parts of a model may compute in bytes, by what that costs and saves on a scene. */
#include "cli/commands.h"

#include "cli/help.h"
#include "cli/outfile.h"
#include "cli/output_rows.h"
#include "cli/stop.h"
#include "cli/tune_grid.h"
#include "cli/tune_sizes.h"
#include "engine/calibrate/calibrate.h"
#include "engine/quant/precision.h"

#include <jansson.h>
#include <string.h>

enum { SETTINGS = 1 << PT_COMPONENTS, TILES = 8 };

/* Points of F1, in percent. Labels that FP32 itself has made count each of its own mistakes that changes, so
 * more of them may be lost. */
static const double tolerance_of_truth = 0.3, tolerance_of_labels = 2;

typedef struct tune_options {
    const char *output, *truth, *sizes, *method;
    pt_texts calibration_scenes;
    int64_t tiles;
    double tolerance; /* negative: by the kind of labels */
    pt_sample_options sample;
    bool overwrite, json, help;
    pt_console_options console;
} tune_options;

#define AT(member) offsetof(tune_options, member)

/* clang-format off */
static const pt_option tune_table[] = {
    {.name = "output", .letter = 'o', .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(output),
     .help = "write the model with the choice there; its own file with --overwrite [only the table is printed]"},
    PT_SAMPLE_ROWS(tune_options, sample),
    {.name = "truth", .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(truth),
     .help = "polygons of what is in the scene [what the model finds in FP32]"},
    {.name = "tiles", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(tiles), .least = 1, .most = 1000, .words = "",
     .help = "tiles to measure on, spread evenly over the scenes [8]"},
    {.name = "tolerance", .value = "P", .kind = PT_OPTION_REAL, .offset = AT(tolerance), .least = 0, .most = 100, .words = "",
     .help = "points of F1, in percent, that the choice may lose against FP32 [0.3; without --truth 2]"},
    {.name = "calibration-sizes", .value = "N,N,...", .kind = PT_OPTION_TEXT, .offset = AT(sizes), .words = "0,5,50,100",
     .help = "in place of the grid: what INT8 loses when calibrated on so many tiles; 0: on a made image"},
    {.name = "calibrate-on", .value = "FILE", .kind = PT_OPTION_TEXTS, .offset = AT(calibration_scenes),
     .help = "scene for --calibration-sizes [the scenes that are measured]; repeatable"},
    {.name = "method", .value = "NAME", .kind = PT_OPTION_TEXT, .offset = AT(method), .words = PT_SAMPLE_METHODS,
     .strict = true, .help = "of --calibration-sizes, as in pantile calibrate"},
    {.name = "json", .kind = PT_OPTION_FLAG, .offset = AT(json), .help = "print JSON"},
    PT_OUTPUT_ROWS(tune_options),
};
/* clang-format on */

static void print_rows(const pt_tune_row *rows, size_t count, const char *labels)
{
    printf("%-48s %7s %7s %9s %9s\n", labels, "F1", "AP", "ms/tile", "MiB");
    for (size_t i = 0; i < count; i++) {
        const pt_tune_row *r = &rows[i];
        printf("%-48s %7.4f %7.4f %9.1f %9.1f%s\n", r->precision, r->f1, r->ap, r->ms,
               (double)r->memory / (1 << 20),
               r->chosen   ? "  chosen"
               : r->pareto ? "  +"
                           : "");
    }
}

static pt_status print_json(const pt_tune_row *rows, size_t count, const pt_tune *tune)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const pt_tune_row *r = &rows[i];
        json_array_append_new(list,
                              json_pack("{s:s,s:f,s:f,s:f,s:I,s:b,s:b}", "setting", r->precision, "f1", r->f1,
                                        "ap", r->ap, "ms_per_tile", r->ms, "memory_bytes",
                                        (json_int_t)r->memory, "pareto", r->pareto, "chosen", r->chosen));
    }
    json_t *root = json_pack("{s:s,s:I,s:o}", "labels", tune->truth ? "truth" : "fp32", "tiles",
                             (json_int_t)tune->count, "rows", list);
    if (!root) {
        return PT_NOMEM("the table");
    }
    (void)json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
    return pt_ok();
}

/* The setting whose number has a bit for each component in bytes. */
static pt_status name_setting(int setting, char **out)
{
    pt_precision precision = {.layer_count = 0};
    char text[128];
    for (int c = 0; c < PT_COMPONENTS; c++) {
        precision.component[c] = setting >> c & 1 ? PT_INT8 : PT_FP32;
    }
    pt_precision_print(&precision, text, sizeof text);
    *out = pt_strdup(text);
    return *out ? pt_ok() : PT_NOMEM("the table");
}

static pt_status measure_grid(const pt_tune *tune, const char *model, pt_tune_row *rows)
{
    double start = pt_console_clock();
    for (int i = 0; i < SETTINGS; i++) {
        PT_TRY(name_setting(i, &rows[i].precision));
        PT_TRY(pt_tune_measure(tune, model, rows[i].precision, &rows[i]));
        pt_progress progress = {.done = (int64_t)tune->count * (i + 1),
                                .total = (int64_t)tune->count * SETTINGS,
                                .seconds = pt_console_clock() - start,
                                .workers = 1};
        pt_console_progress(&progress);
    }
    pt_console_progress_end();
    return pt_ok();
}

static pt_status write_choice(const tune_options *o, const char *model, const char *precision)
{
    if (!o->output) {
        return pt_ok();
    }
    PT_TRY(pt_calibrate_set_precision(model, precision, o->output));
    pt_console_line("%s: --precision auto computes in %s", o->output, precision);
    PT_INFO("tuned", PT_S("path", o->output), PT_S("precision", precision));
    return pt_ok();
}

static pt_status tune_grid(const tune_options *o, const pt_tune *tune, const char *model)
{
    pt_tune_row rows[SETTINGS] = {{0}};
    double tolerance = o->tolerance >= 0 ? o->tolerance : o->truth ? tolerance_of_truth : tolerance_of_labels;
    pt_status status;
    PT_TRY_OUT(measure_grid(tune, model, rows));
    PT_TRY_OUT(pt_stop_check());
    pt_tune_choose(rows, SETTINGS, tolerance / 100);
    PT_TRY_OUT(write_choice(o, model, pt_tune_chosen(rows, SETTINGS)->precision));
    if (o->json) {
        status = print_json(rows, SETTINGS, tune);
    } else {
        print_rows(rows, SETTINGS, o->truth ? "precision (against the truth)" : "precision (against FP32)");
    }
out:
    pt_console_progress_end();
    for (int i = 0; i < SETTINGS; i++) {
        pt_free(rows[i].precision);
    }
    return status;
}

static pt_status tune_sizes(const tune_options *o, const pt_tune *tune, const char *model)
{
    pt_sample_options scenes = o->sample;
    pt_tune_row *rows = NULL;
    size_t count = 0;
    if (o->calibration_scenes.count > 0) {
        scenes.scenes = o->calibration_scenes;
    }
    pt_status status = pt_tune_sizes(tune, model, &scenes, o->sizes, o->method, &rows, &count);
    if (status.code == PT_OK && o->json) {
        status = print_json(rows, count, tune);
    } else if (status.code == PT_OK) {
        print_rows(rows, count,
                   o->truth ? "INT8 by tiles (against the truth)" : "INT8 by tiles (against FP32)");
    }
    for (size_t i = 0; i < count; i++) {
        pt_free(rows[i].precision);
    }
    pt_free(rows);
    return status;
}

/* Where nothing is to be found, every setting finds all of it, and the choice would be chance. */
static pt_status check_labels(const tune_options *o, const pt_tune *tune)
{
    size_t objects = 0;
    for (size_t i = 0; i < tune->count; i++) {
        objects += tune->tiles[i].truth.count;
    }
    if (objects > 0) {
        return pt_ok();
    }
    return o->truth
               ? pt_error(PT_E_INPUT, "%s: no polygon in the tiles that are measured; name the truth of %s",
                          o->truth, o->sample.scenes.items[0])
               : pt_error(PT_E_INPUT,
                          "%s: the model finds nothing in it to measure by; name a scene with objects or "
                          "add --truth",
                          o->sample.scenes.items[0]);
}

static pt_status tune_job(const tune_options *o, const pt_job *job)
{
    pt_tune tune = {.truth = o->truth, .export_score = job->score, .threads = (int)o->sample.threads};
    pt_status status;
    if (!o->sizes && !job->model->calibration) {
        return pt_error(PT_E_INPUT, "%s: is not calibrated; see pantile calibrate --help", job->model_path);
    }
    PT_TRY_OUT(pt_sample_tiles(job, o->tiles, pt_tune_take, &tune));
    if (!o->truth) {
        PT_TRY_OUT(pt_tune_label(&tune, job->model_path));
    }
    PT_TRY_OUT(check_labels(o, &tune));
    status = o->sizes ? tune_sizes(o, &tune, job->model_path) : tune_grid(o, &tune, job->model_path);
out:
    pt_tune_fini(&tune);
    return status;
}

static pt_status work(const tune_options *o, const pt_texts *arguments)
{
    PT_TRY(pt_sample_no_arguments(arguments));
    if (o->output && o->sizes) {
        return pt_error(PT_E_USAGE,
                        "--calibration-sizes chooses nothing; leave out -o or --calibration-sizes");
    }
    if (!o->sizes && (o->method || o->calibration_scenes.count > 0)) {
        return pt_error(PT_E_USAGE,
                        "%s is of --calibration-sizes; add that, or calibrate by pantile calibrate",
                        o->method ? "--method" : "--calibrate-on");
    }
    if (o->output) {
        PT_TRY(pt_outfile_check(o->output, o->overwrite));
        PT_TRY(pt_outfile_apart(o->output, o->truth));
    }
    pt_run_options run;
    pt_job job;
    PT_TRY(pt_sample_job(&o->sample, o->output, &run, &job));
    pt_status status = tune_job(o, &job);
    pt_job_close(&job);
    return status;
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    tune_options options = {.tiles = TILES, .tolerance = -1, .sample = pt_sample_defaults()};
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
    pt_texts_fini(&options.calibration_scenes);
    pt_sample_options_fini(&options.sample);
    return code;
}

const pt_command pt_command_tune = {
    .name = "tune",
    .arguments = "--model FILE --scene FILE [-o FILE] [OPTION]...",
    .summary = "measures which parts of a calibrated model may compute in 8 bits",
    .detail =
        "Measures every setting of 8 bits or FP32 for backbone, FPN, RPN, box head and mask head on tiles of "
        "a "
        "scene: F1 and AP of masks, time and memory. Rows marked by + are beaten by no other in both F1 and "
        "time; chosen is the fastest that loses no more F1 than --tolerance. The choice goes into the model "
        "file, as what --precision auto means.",
    .example = "pantile tune --model town.int8.safetensors --scene other.tif --truth other.geojson -o "
               "town.int8.safetensors --overwrite",
    .options = tune_table,
    .option_count = sizeof tune_table / sizeof *tune_table,
    .run = run_command};
