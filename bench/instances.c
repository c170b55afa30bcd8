/* A tile from bytes to run-length masks in scene pixels, as a worker of pantile run makes them: inferring,
 * pasting, run-length coding, and keeping each mask's probabilities for its outline.
 *
 *   bench_instances MODEL PRECISION THREADS DETECTIONS ROUNDS TILE.ppm...
 *
 * All tiles (of pantile run --dump-tiles) are inferred ROUNDS times after one time that is not timed, every
 * score let through. Prints one JSON object. */
#include "engine/measure/measure.h"
#include "worker/detect/detector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void need(pt_status status, const char *what)
{
    if (status.code != PT_OK) {
        fprintf(stderr, "bench_instances: %s: %s\n", what, status.message);
        exit(1);
    }
}

static int number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || value < 1 || value > 100000) {
        need(pt_error(PT_E_USAGE, "must be a number from 1 to 100000"), text);
    }
    return (int)value;
}

static pt_engine *open_engine(char **argv)
{
    pt_engine *engine = NULL;
    pt_engine_options options = pt_engine_defaults();
    options.precision = argv[2];
    options.threads = number(argv[3]);
    options.max_detections = number(argv[4]);
    options.score_threshold = 0;
    need(pt_engine_open(argv[1], &options, &engine), argv[1]);
    return engine;
}

/* All of its pixels are valid. */
static pt_window read_window(const char *path)
{
    pt_image image = {0};
    need(pt_measure_image_read(path, &image), path);
    size_t pixels = (size_t)image.width * (size_t)image.height;
    pt_window window = {.rect = {0, 0, image.width, image.height},
                        .rgb = malloc(pixels * 3),
                        .valid = malloc(pixels),
                        .valid_count = (int64_t)pixels};
    if (!window.rgb || !window.valid) {
        need(PT_NOMEM("the tile"), path);
    }
    memcpy(window.rgb, image.rgb, pixels * 3);
    memset(window.valid, 1, pixels);
    pt_measure_image_free(&image);
    return window;
}

/* Of all threads of this process. */
static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of one tile. */
static double detect(pt_detector *detector, int64_t tile, const pt_window *window)
{
    pt_instance_list found = {0};
    bool capped = false;
    double begin = pt_measure_clock();
    need(pt_detector_detect(detector, tile, window, &found, &capped), "inference");
    double seconds = pt_measure_clock() - begin;
    pt_instance_list_fini(&found);
    return seconds;
}

/* Of the last tile, those included whose masks are empty and which are no instances. */
static size_t detections(const pt_engine *engine)
{
    const pt_detection *items;
    size_t count = 0;
    need(pt_engine_detections(engine, 0, &items, &count), "detections");
    return count;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void measure(pt_engine *engine, const pt_window *windows, size_t count, size_t rounds)
{
    pt_detector *detector = NULL;
    double *seconds = calloc(rounds * count, sizeof *seconds);
    if (!seconds) {
        need(PT_NOMEM("the times"), "tiles");
    }
    need(pt_detector_new_engine(engine, windows[0].rect, &detector), "detector");
    for (size_t i = 0; i < count; i++) {
        detect(detector, (int64_t)i, &windows[i]);
    }
    double busy = processor_seconds();
    for (size_t i = 0; i < rounds * count; i++) {
        seconds[i] = detect(detector, (int64_t)(i % count), &windows[i % count]);
    }
    busy = (processor_seconds() - busy) / (double)(rounds * count);
    qsort(seconds, rounds * count, sizeof *seconds, by_value);
    printf("{\"precision\": \"%s\", \"detections\": %zu, \"ms_per_tile\": {\"min\": %.3f, \"median\": %.3f, "
           "\"max\": %.3f}, \"cpu_ms_per_tile\": %.3f, \"peak_rss_mib\": %.1f}\n",
           pt_engine_precision(engine), detections(engine), 1e3 * seconds[0],
           1e3 * seconds[rounds * count / 2], 1e3 * seconds[rounds * count - 1], 1e3 * busy,
           pt_measure_peak_rss());
    free(seconds);
    pt_detector_free(&detector);
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fprintf(stderr, "usage: bench_instances MODEL PRECISION THREADS DETECTIONS ROUNDS TILE.ppm...\n");
        return 1;
    }
    size_t count = (size_t)(argc - 6);
    pt_engine *engine = open_engine(argv);
    pt_window *windows = calloc(count, sizeof *windows);
    if (!windows) {
        need(PT_NOMEM("the list of tiles"), "tiles");
    }
    for (size_t i = 0; i < count; i++) {
        windows[i] = read_window(argv[6 + i]);
    }
    measure(engine, windows, count, (size_t)number(argv[5]));
    for (size_t i = 0; i < count; i++) {
        free(windows[i].rgb);
        free(windows[i].valid);
    }
    free(windows);
    pt_engine_close(&engine);
    return 0;
}
