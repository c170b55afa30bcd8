/* pantile plan: what a run would do and cost, from the tiles' states and a few tiles inferred. */
#include "cli/commands.h"

#include "cli/help.h"
#include "cli/job.h"
#include "tiling/vectorise/vectorise.h"
#include "worker/detect/detector.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum {
    CALIBRATION_TILES = 4,
    CALIBRATION_SECONDS = 20, /* no further tile is tried after as many */
    FEATURE_BYTES = 180,      /* properties and brackets of one GeoJSON feature, counted in our own output */
    VERTEX_BYTES = 25,        /* "[39.1234567,-6.1234567]," */
    KEY_BYTES = 64,           /* a spooled feature's key in memory, rounded up */
};

/* Of all scenes together. */
typedef struct estimate {
    int64_t tiles, data, empty, outside;
    double data_pixels; /* of the windows to read */
    double core_pixels; /* of their cores: what objects are counted by */
    /* measured */
    int64_t calibrated; /* tiles */
    double calibrated_core_pixels;
    double read_seconds, infer_seconds; /* of those tiles */
    double timed_pixels;
    bool warm; /* memory and threads are set up */
    int64_t objects, vertices;
    int64_t peak_bytes;
} estimate;

static int64_t peak_memory(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (int64_t)usage.ru_maxrss * 1024;
}

static bool centre_in(pt_rect core, pt_rect box)
{
    return pt_rect_contains_pixel(core, box.x + box.w / 2, box.y + box.h / 2);
}

static pt_status count_outlines(const pt_instance_list *list, pt_rect core, estimate *e)
{
    pt_vectorise_options options = pt_vectorise_defaults();
    options.pixel_m = 1;
    for (size_t i = 0; i < list->count; i++) {
        if (!centre_in(core, list->items[i].mask.box)) {
            continue;
        }
        pt_feature feature = {0};
        PT_TRY(pt_vectorise(&list->items[i], &options, &feature));
        e->objects++;
        for (size_t p = 0; p < feature.count; p++) {
            for (size_t r = 0; r < feature.polygons[p].count; r++) {
                e->vertices += (int64_t)feature.polygons[p].rings[r].count;
            }
        }
        pt_feature_fini(&feature);
    }
    return pt_ok();
}

/* One tile as a run would have it, except that the first is inferred twice, to set up memory and threads. */
static pt_status calibrate_tile(pt_scene_reader *reader, pt_detector *detector, const pt_grid *grid,
                                int64_t tile, estimate *e)
{
    pt_window window = {0};
    pt_instance_list list = {0};
    bool capped = false;
    pt_rect rect = pt_grid_window(grid, tile);
    pt_status status;
    double start = pt_console_clock();
    PT_TRY_OUT(pt_scene_reader_read(reader, rect, &window));
    e->read_seconds += pt_console_clock() - start;
    e->calibrated++;
    e->timed_pixels += (double)pt_rect_area(rect);
    e->calibrated_core_pixels += (double)pt_rect_area(pt_grid_core(grid, tile));
    if (window.valid_count == 0) {
        goto out; /* read, but not inferred */
    }
    if (!e->warm) {
        PT_TRY_OUT(pt_detector_detect(detector, tile, &window, &list, &capped));
        pt_instance_list_fini(&list);
        e->warm = true;
    }
    start = pt_console_clock();
    PT_TRY_OUT(pt_detector_detect(detector, tile, &window, &list, &capped));
    e->infer_seconds += pt_console_clock() - start;
    status = count_outlines(&list, pt_grid_core(grid, tile), e);
out:
    pt_instance_list_fini(&list);
    pt_window_fini(&window);
    return status;
}

static pt_status count_tiles(pt_scene_reader *reader, const pt_grid *grid, estimate *e, int64_t *data)
{
    *data = 0;
    for (int64_t i = 0; i < pt_grid_count(grid); i++) {
        pt_area_state state;
        PT_TRY(pt_scene_reader_state(reader, pt_grid_window(grid, i), &state));
        e->tiles++;
        if (state == PT_AREA_DATA) {
            ++*data;
            e->data++;
            e->data_pixels += (double)pt_rect_area(pt_grid_window(grid, i));
            e->core_pixels += (double)pt_rect_area(pt_grid_core(grid, i));
        } else if (state == PT_AREA_EMPTY) {
            e->empty++;
        } else {
            e->outside++;
        }
    }
    return pt_ok();
}

static pt_status open_engine(const pt_job *job, pt_engine **out)
{
    pt_engine_options options = pt_engine_defaults();
    options.threads = (int)job->options->threads;
    options.score_threshold = (float)job->score;
    options.max_proposals = job->proposals;
    options.max_detections = job->detections;
    options.precision = job->precision;
    options.backend = job->options->backend;
    PT_TRY(pt_engine_open(job->model_path, &options, out));
    if (!pt_console_is_json()) {
        pt_console_line("engine  %s, %d thread%s", pt_engine_backend(*out), pt_engine_threads(*out),
                        pt_engine_threads(*out) == 1 ? "" : "s");
    }
    return pt_ok();
}

/* What a worker would open; *engine is opened for a model alone. */
static pt_status open_detector(const pt_job *job, const pt_scene *scene, pt_engine **engine,
                               pt_detector **out)
{
    const pt_scene_info *info = pt_scene_describe(scene);
    pt_rect whole = {0, 0, info->width, info->height};
    switch (job->kind) {
    case PT_ENGINE_MODEL:
        PT_TRY(open_engine(job, engine));
        return pt_detector_new_engine(*engine, whole, out);
    case PT_ENGINE_ORACLE:
        return pt_detector_new_oracle(job->argument, scene, out);
    case PT_ENGINE_REPLAY:
        return pt_detector_new_replay(job->argument, whole, job->score, out);
    case PT_ENGINE_NULL:
        break;
    }
    return pt_error(PT_E_USAGE, "--engine null finds nothing, so there is nothing to measure");
}

/* Data tiles spread evenly over the scene, as no part of it speaks for the rest; fewer where one takes long.
 */
static pt_status calibrate(const pt_job *job, const pt_scene *scene, pt_scene_reader *reader,
                           const pt_grid *grid, int64_t data, estimate *e)
{
    pt_engine *engine = NULL;
    pt_detector *detector = NULL;
    int64_t wanted = data < CALIBRATION_TILES ? data : CALIBRATION_TILES;
    int64_t seen = 0; /* data tiles */
    double start = pt_console_clock();
    pt_status status;
    PT_TRY_OUT(open_detector(job, scene, &engine, &detector));
    for (int64_t i = 0; i < pt_grid_count(grid) && e->calibrated < wanted; i++) {
        pt_area_state state;
        PT_TRY_OUT(pt_scene_reader_state(reader, pt_grid_window(grid, i), &state));
        /* The k-th of n stands in the middle of the k-th n-th of the tiles. */
        if (state != PT_AREA_DATA || seen++ != (2 * e->calibrated + 1) * data / (2 * wanted)) {
            continue;
        }
        PT_TRY_OUT(calibrate_tile(reader, detector, grid, i, e));
        if (pt_console_clock() - start > CALIBRATION_SECONDS) {
            break;
        }
    }
out:
    pt_detector_free(&detector);
    pt_engine_close(&engine);
    return status;
}

static pt_status plan_scene(const pt_job *job, size_t group, estimate *e)
{
    pt_scene *scene = NULL;
    pt_scene_reader *reader = NULL;
    pt_grid grid;
    int64_t data;
    pt_status status;
    PT_TRY_OUT(pt_job_open_scene(job, group, &scene, &grid));
    pt_job_say_scene(pt_scene_describe(scene), &grid);
    PT_TRY_OUT(pt_scene_reader_open(scene, &reader));
    PT_TRY_OUT(count_tiles(reader, &grid, e, &data));
    if (data > 0 && e->calibrated == 0) { /* the first scene speaks for all */
        pt_console_line("trying %d of %lld tiles to measure speed ...",
                        data < CALIBRATION_TILES ? (int)data : CALIBRATION_TILES, (long long)data);
        PT_TRY_OUT(calibrate(job, scene, reader, &grid, data, e));
    }
out:
    pt_scene_reader_close(&reader);
    pt_scene_close(&scene);
    return status;
}

typedef struct forecast {
    double seconds, objects, output_bytes, memory_bytes;
} forecast;

static forecast conclude(const estimate *e)
{
    forecast f = {.memory_bytes = (double)e->peak_bytes};
    if (e->calibrated == 0) {
        return f;
    }
    /* Reading and inferring overlap: the slower of both counts. */
    double slower = e->read_seconds > e->infer_seconds ? e->read_seconds : e->infer_seconds;
    f.seconds = slower / e->timed_pixels * e->data_pixels;
    f.objects = (double)e->objects / e->calibrated_core_pixels * e->core_pixels;
    double vertices = e->objects > 0 ? (double)e->vertices / (double)e->objects : 0;
    f.output_bytes = f.objects * (FEATURE_BYTES + VERTEX_BYTES * vertices);
    f.memory_bytes += f.objects * KEY_BYTES;
    return f;
}

static pt_status print_json(const estimate *e, const forecast *f)
{
    json_t *root = json_pack("{s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:f}", "tiles", (json_int_t)e->tiles,
                             "to_read", (json_int_t)e->data, "empty", (json_int_t)e->empty, "outside",
                             (json_int_t)e->outside, "calibration_tiles", (json_int_t)e->calibrated,
                             "megapixels", e->data_pixels / 1e6, "seconds", f->seconds, "memory_bytes",
                             f->memory_bytes, "objects", f->objects, "output_bytes", f->output_bytes);
    if (!root) {
        return PT_NOMEM("the plan");
    }
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
    return pt_ok();
}

static void print_table(const estimate *e, const forecast *f)
{
    printf("tiles    %lld: %lld to read (%.1f Mpx), %lld never written, %lld outside the area\n",
           (long long)e->tiles, (long long)e->data, e->data_pixels / 1e6, (long long)e->empty,
           (long long)e->outside);
    printf("memory   about %.0f MiB\n", f->memory_bytes / 1048576);
    if (e->calibrated == 0) {
        printf("time     nothing to read\n");
        return;
    }
    if (f->seconds < 120) {
        printf("time     about %.0f s\n", f->seconds);
    } else {
        printf("time     about %.0f min\n", f->seconds / 60);
    }
    printf("output   about %.0f objects, %.1f MB as GeoJSON\n", f->objects, f->output_bytes / 1e6);
    printf("measured on %lld tile%s; scenes that are not alike everywhere will differ\n",
           (long long)e->calibrated, e->calibrated == 1 ? "" : "s");
}

static pt_status work(const pt_run_options *options)
{
    pt_job job;
    estimate e = {.tiles = 0};
    PT_TRY(pt_job_open(options, &job));
    pt_job_digest(&job);
    pt_job_say_model(&job);
    pt_status status = pt_ok();
    for (size_t g = 0; status.code == PT_OK && g < job.group_count; g++) {
        status = plan_scene(&job, g, &e);
    }
    if (status.code == PT_OK) {
        e.peak_bytes = peak_memory();
        forecast f = conclude(&e);
        if (options->json) {
            status = print_json(&e, &f);
        } else {
            print_table(&e, &f);
        }
    }
    pt_job_close(&job);
    return status;
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    pt_run_options options;
    pt_status status = pt_run_options_read(command, argc, argv, &options);
    if (status.code != PT_OK) {
        return pt_finish(command, status);
    }
    options.dump_tiles = NULL;
    if (options.help) {
        pt_help_command(stdout, command, false);
    } else {
        pt_console_setup(&options.console);
        status = work(&options);
    }
    int code = pt_finish(command, status);
    pt_run_options_fini(&options);
    return code;
}

const pt_command pt_command_plan = {
    .name = "plan",
    .arguments = "SCENE... [OPTION]...",
    .summary = "says what a run would take: tiles, memory, time, size of the output",
    .detail =
        "Says what `pantile run` with the same options would take: tiles to read and to skip, memory, time "
        "and the "
        "size of the output. Infers up to four tiles spread over the scene to measure; writes nothing.",
    .example = "pantile plan scene.tif --model buildings_mnv2_fpn --aoi town.geojson",
    .options = pt_plan_option_table,
    .option_count = PT_PLAN_OPTIONS,
    .reads_only = true,
    .run = run_command};
