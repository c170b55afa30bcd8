/* pantile detect: the engine alone on plain images, COCO results. */
#include "cli/commands.h"

#include "cli/coco.h"
#include "cli/console.h"
#include "cli/help.h"
#include "cli/outfile.h"
#include "cli/output_rows.h"
#include "cli/paths.h"
#include "cli/stop.h"
#include "engine/engine.h"
#include "tiling/scene/scene.h"
#include "worker/detect/detector.h"

#include <jansson.h>
#include <string.h>

enum { IMAGE_SIDE_MAX = 16384 }; /* pixels; the engine's limit */

typedef struct detect_options {
    const char *model, *output, *precision, *backend;
    int64_t threads;
    pt_texts drivers;
    bool overwrite, help;
    pt_console_options console;
} detect_options;

#define AT(member) offsetof(detect_options, member)

/* clang-format off */
static const pt_option detect_table[] = {
    {.name = "output", .letter = 'o', .value = "JSON", .kind = PT_OPTION_TEXT, .offset = AT(output),
     .help = "file to write (required)"},
    {.name = "model", .letter = 'm', .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(model),
     .help = "model file (.safetensors), or the name of a bundled one (required)"},
    {.name = "threads", .letter = 't', .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(threads), .least = 1,
     .most = 1024, .words = "", .help = "threads [all cores]"},
    {.name = "precision", .value = "WHAT", .kind = PT_OPTION_TEXT, .offset = AT(precision), .words = "auto fp32 int8",
     .help = "fp32; int8, of a calibrated model; a list such as int8,mask=fp32; auto, the model's own [auto]"},
    {.name = "backend", .value = "NAME", .kind = PT_OPTION_TEXT, .offset = AT(backend), .words = "auto native onednn portable",
     .help = "what computes the network's layers (docs/engine.md) [auto: the fastest here]"},
    {.name = "driver", .value = "NAME", .kind = PT_OPTION_TEXTS, .offset = AT(drivers), .words = "",
     .help = "allow one more GDAL driver (GTiff, COG, VRT, JP2OpenJPEG, PNG, JPEG are); repeatable"},
    PT_OUTPUT_ROWS(detect_options),
};
/* clang-format on */

typedef struct detect_run {
    detect_options options;
    pt_texts images;
    pt_engine *engine;
    pt_outfile file;
    int64_t count; /* detections written */
    float *probabilities;
    uint8_t *bytes;
    size_t probability_capacity, byte_capacity;
    pt_coco_text rle;
} detect_run;

/* The mask cut at one half, as COCO's compressed runs. */
static pt_status encode_mask(detect_run *self, const pt_detection *d, int width, int height)
{
    int side = pt_engine_model(self->engine)->mask_size;
    pt_rect area = pt_engine_paste_area(d, side, width, height);
    size_t pixels = (size_t)pt_rect_area(area);
    PT_TRY(pt_grow(&self->probabilities, &self->probability_capacity, pixels, sizeof *self->probabilities));
    PT_TRY(pt_grow(&self->bytes, &self->byte_capacity, pixels, 1));
    pt_engine_paste_mask(d, side, area, self->probabilities);
    for (size_t i = 0; i < pixels; i++) {
        self->bytes[i] = self->probabilities[i] > 0.5f;
    }
    return pt_coco_encode(width, height, area, self->bytes, &self->rle);
}

static json_t *file_name(const char *path)
{
    json_t *text = json_string(path);
    return text ? text : json_null(); /* a name may be no UTF-8 */
}

static pt_status write_detection(detect_run *self, const pt_detection *d, size_t image, int width, int height)
{
    PT_TRY(encode_mask(self, d, width, height));
    json_t *item = json_pack(
        "{s:I,s:o,s:i,s:[f,f,f,f],s:f,s:{s:[i,i],s:s%}}", "image_id", (json_int_t)image + 1, "file_name",
        file_name(self->images.items[image]), "category_id", d->class_id, "bbox", (double)d->x0,
        (double)d->y0, (double)(d->x1 - d->x0), (double)(d->y1 - d->y0), "score", (double)d->score,
        "segmentation", "size", height, width, "counts", self->rle.text, self->rle.length);
    if (!item) {
        return PT_NOMEM("a detection");
    }
    fputs(self->count++ > 0 ? ",\n " : "\n ", self->file.stream);
    /* A failed write stays in the stream's error flag, which commit reads. Nine digits give back every float.
     */
    (void)json_dumpf(item, self->file.stream, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(item);
    return pt_ok();
}

static pt_status infer(detect_run *self, size_t image, const pt_window *window)
{
    pt_image pixels = pt_detector_image(window);
    const pt_detection *items;
    size_t count;
    PT_TRY(pt_engine_infer(self->engine, &pixels, 1));
    PT_TRY(pt_engine_detections(self->engine, 0, &items, &count));
    for (size_t i = 0; i < count; i++) {
        PT_TRY(write_detection(self, &items[i], image, pixels.width, pixels.height));
    }
    pt_console_line("%s: %d x %d px, %zu detections", self->images.items[image], pixels.width, pixels.height,
                    count);
    PT_INFO("image", PT_S("path", self->images.items[image]), PT_I("width", pixels.width),
            PT_I("height", pixels.height), PT_I("detections", count));
    return pt_ok();
}

static pt_status detect_image(detect_run *self, size_t image)
{
    pt_scene_options options = pt_scene_defaults();
    options.gsd_mode = PT_GSD_NATIVE;
    options.plain = true;
    options.drivers = self->options.drivers.items;
    options.driver_count = self->options.drivers.count;
    pt_scene *scene = NULL;
    pt_scene_reader *reader = NULL;
    pt_window window = {0};
    pt_status status;
    PT_TRY_OUT(pt_stop_check());
    PT_TRY_OUT(pt_scene_open(&self->images.items[image], 1, &options, &scene));
    const pt_scene_info *info = pt_scene_describe(scene);
    if (info->width > IMAGE_SIDE_MAX || info->height > IMAGE_SIDE_MAX) {
        status = pt_error(PT_E_INPUT, "%s: %lld x %lld pixels are too many for one image; use pantile run",
                          info->path, (long long)info->width, (long long)info->height);
        goto out;
    }
    PT_TRY_OUT(pt_scene_reader_open(scene, &reader));
    PT_TRY_OUT(pt_scene_reader_read(reader, (pt_rect){0, 0, info->width, info->height}, &window));
    PT_TRY_OUT(infer(self, image, &window));
out:
    pt_window_fini(&window);
    pt_scene_reader_close(&reader);
    pt_scene_close(&scene);
    return status;
}

static pt_status open_engine(detect_run *self)
{
    if (!self->options.model) {
        return pt_paths_no_model();
    }
    char *path = NULL;
    PT_TRY(pt_paths_model(self->options.model, &path));
    pt_engine_options options = pt_engine_defaults();
    options.threads = (int)self->options.threads;
    options.score_threshold = -1;
    options.precision = self->options.precision;
    options.backend = self->options.backend;
    pt_status status = pt_engine_open(path, &options, &self->engine);
    pt_free(path);
    return status;
}

static pt_status work(detect_run *self)
{
    if (self->images.count == 0) {
        return pt_error(PT_E_USAGE, "no image named; see pantile detect --help");
    }
    if (!self->options.output) {
        return pt_error(PT_E_USAGE, "no output named; add -o FILE.json");
    }
    for (size_t i = 0; i < self->images.count; i++) {
        PT_TRY(pt_outfile_apart(self->options.output, self->images.items[i]));
    }
    PT_TRY(pt_outfile_apart(self->options.output, self->options.model));
    PT_TRY(pt_outfile_open(self->options.output, self->options.overwrite, &self->file));
    PT_TRY(open_engine(self));
    fputc('[', self->file.stream);
    for (size_t i = 0; i < self->images.count; i++) {
        PT_TRY(detect_image(self, i));
    }
    fputs(self->count > 0 ? "\n]\n" : "]\n", self->file.stream);
    return pt_outfile_commit(&self->file);
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    detect_run self = {.count = 0};
    pt_status status = pt_options_parse(command, argc, argv, &self.options, &self.images);
    if (status.code == PT_OK && self.options.help) {
        pt_help_command(stdout, command, false);
    } else if (status.code == PT_OK) {
        pt_console_setup(&self.options.console);
        status = work(&self);
    }
    int code = pt_finish(command, status);
    pt_outfile_close(&self.file);
    pt_engine_close(&self.engine);
    pt_coco_text_fini(&self.rle);
    pt_free(self.probabilities);
    pt_free(self.bytes);
    pt_texts_fini(&self.images);
    pt_texts_fini(&self.options.drivers);
    return code;
}

const pt_command pt_command_detect = {
    .name = "detect",
    .arguments = "IMAGE... -o JSON --model FILE [OPTION]...",
    .summary = "runs a model on plain images as they are and writes COCO results",
    .detail =
        "Runs a model on plain images as they are: no tiling, no resampling, every detection that the "
        "model's own "
        "thresholds let through. Writes a list in COCO's results format: image_id (1, 2, ... by position), "
        "file_name, category_id, bbox as x, y, width, height, score, and the mask as compressed RLE.",
    .example = "pantile detect street.png -o detections.json --model buildings_mnv2_fpn",
    .options = detect_table,
    .option_count = sizeof detect_table / sizeof *detect_table,
    .run = run_command};
