/* pantile bench: how fast a model runs on this machine, and against what the machine can do. */
#include "cli/bench_options.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/help.h"
#include "cli/paths.h"
#include "engine/measure/measure.h"
#include "tiling/scene/scene.h"
#include "worker/detect/detector.h"

#include <string.h>

enum { IMAGE_SIDE_MAX = 16384 }; /* pixels; the engine's limit */

/* The whole raster, or no more of its upper left than a square of `size`. */
static pt_status choose_area(const pt_scene_info *info, int64_t size, pt_rect *out)
{
    int64_t most = size > 0 ? size : IMAGE_SIDE_MAX;
    if (size == 0 && (info->width > most || info->height > most)) {
        return pt_error(PT_E_USAGE, "%s: %lld x %lld pixels are too many for one image; cut it with --size",
                        info->path, (long long)info->width, (long long)info->height);
    }
    *out =
        (pt_rect){0, 0, info->width < most ? info->width : most, info->height < most ? info->height : most};
    return pt_ok();
}

static pt_status read_raster(const char *path, int64_t size, pt_image *out)
{
    pt_scene_options options = pt_scene_defaults();
    options.gsd_mode = PT_GSD_NATIVE;
    options.plain = true;
    pt_scene *scene = NULL;
    pt_scene_reader *reader = NULL;
    pt_window window = {0};
    pt_status status;
    PT_TRY_OUT(pt_scene_open(&path, 1, &options, &scene));
    pt_rect area;
    PT_TRY_OUT(choose_area(pt_scene_describe(scene), size, &area));
    PT_TRY_OUT(pt_scene_reader_open(scene, &reader));
    PT_TRY_OUT(pt_scene_reader_read(reader, area, &window));
    *out = pt_detector_image(&window);
    window.rgb = NULL; /* the image has it */
out:
    pt_window_fini(&window);
    pt_scene_reader_close(&reader);
    pt_scene_close(&scene);
    return status;
}

static pt_status read_image(const char *path, int64_t size, pt_image *out)
{
    size_t length = strlen(path);
    bool ppm = length > 4 && strcmp(path + length - 4, ".ppm") == 0;
    return ppm ? pt_measure_image_read(path, out) : read_raster(path, size, out);
}

static pt_status work(const pt_bench_options *options)
{
    if (!options->model) {
        return pt_paths_no_model();
    }
    size_t count = options->images.count;
    char *model = NULL;
    pt_image *images = pt_calloc(count + 1, sizeof *images);
    if (!images) {
        return PT_NOMEM("the list of images");
    }
    pt_status status;
    PT_TRY_OUT(pt_paths_model(options->model, &model));
    for (size_t i = 0; i < count; i++) {
        PT_TRY_OUT(read_image(options->images.items[i], options->size, &images[i]));
    }
    PT_TRY_OUT(pt_bench_measure(options, model, images, count));
out:
    for (size_t i = 0; i < count; i++) {
        pt_measure_image_free(&images[i]);
    }
    pt_free(images);
    pt_free(model);
    return status;
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    pt_bench_options options = pt_bench_defaults();
    pt_texts rest = {0};
    pt_status status = pt_options_parse(command, argc, argv, &options, &rest);
    if (status.code == PT_OK && options.help) {
        pt_help_command(stdout, command, false);
    } else if (status.code == PT_OK && rest.count > 0) {
        status = pt_error(PT_E_USAGE, "%s: pantile bench takes options alone; images go by --image",
                          rest.items[0]);
    } else if (status.code == PT_OK) {
        status = work(&options);
    }
    pt_texts_fini(&rest);
    pt_texts_fini(&options.images);
    return pt_finish(command, status);
}

const pt_command pt_command_bench = {
    .name = "bench",
    .arguments = "--model FILE [OPTION]...",
    .summary = "measures a model on this machine, against the machine's own peak",
    .detail = "Measures a model on this machine: time of a tile, rates, memory, and the share of what the "
              "machine can do at the most, which loops in registers measure just before. Floating-point and "
              "byte operations are counted alike, two for a multiplication and an addition. Each component's "
              "and layer's times are taken apart from the tiles'.",
    .example = "pantile bench --model buildings_mnv2_fpn --threads 2 --layers",
    .options = pt_bench_table,
    .option_count = PT_BENCH_OPTIONS,
    .reads_only = true,
    .run = run_command};
