/* The engine alone, on machines that have no GDAL too.
 *
 *   bench_engine --model FILE [--image TILE.ppm] [OPTION]...
 *
 * is `pantile bench`, with model and tiles as files.
 *
 *   bench_engine MODEL THREADS PROCESSES ROUNDS TILE.ppm...
 *
 * gives the rate that a whole run is compared with, on tiles of a dump (pantile run --dump-tiles DIR).
 * PROCESSES processes of THREADS threads each infer all tiles ROUNDS times, side by side, as that many
 * workers would with nothing else to do. Loading and the first tile are not timed. Prints one JSON object. */
#include "engine/engine.h"
#include "cli/bench_options.h"
#include "engine/measure/measure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WIDE_DETECTIONS = 1000 }; /* as pantile run has it */

static void leave(const char *what, const char *why)
{
    fprintf(stderr, "bench_engine: %s: %s\n", what, why);
    exit(1);
}

static void need(pt_status status, const char *what)
{
    if (status.code != PT_OK) {
        leave(what, status.message);
    }
}

static pt_engine *open_engine(const char *model, int threads)
{
    pt_model_summary *summary = NULL;
    pt_engine *engine = NULL;
    pt_engine_options options = pt_engine_defaults();
    need(pt_model_summary_read(model, &summary), model);
    options.threads = threads;
    options.score_threshold = (float)summary->export_score;
    options.max_detections = WIDE_DETECTIONS;
    need(pt_engine_open(model, &options, &engine), model);
    pt_model_summary_free(&summary);
    return engine;
}

/* Says on `ready` that it is warm, starts at a byte from `go`. */
static void work(const char *model, int threads, int rounds, const pt_image *tiles, int count, int ready,
                 int go)
{
    char byte = 1;
    pt_engine *engine = open_engine(model, threads);
    for (int i = 0; i < count; i++) {
        need(pt_engine_infer(engine, &tiles[i], 1),
             "inference"); /* every size of tile plans its memory once */
    }
    if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1) {
        leave("pipe", strerror(errno));
    }
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < count; i++) {
            need(pt_engine_infer(engine, &tiles[i], 1), "inference");
        }
    }
    pt_engine_close(&engine);
}

static double run(const char *model, int threads, int processes, int rounds, const pt_image *tiles, int count)
{
    int ready[2], go[2];
    char byte = 1;
    if (pipe(ready) != 0 || pipe(go) != 0) {
        leave("pipe", strerror(errno));
    }
    for (int p = 0; p < processes; p++) {
        if (fork() == 0) {
            work(model, threads, rounds, tiles, count, ready[1], go[0]);
            exit(0);
        }
    }
    for (int p = 0; p < processes; p++) {
        if (read(ready[0], &byte, 1) != 1) {
            leave("pipe", strerror(errno));
        }
    }
    double start = pt_measure_clock();
    for (int p = 0; p < processes; p++) {
        if (write(go[1], &byte, 1) != 1) {
            leave("pipe", strerror(errno));
        }
    }
    for (int p = 0; p < processes; p++) {
        int status;
        if (wait(&status) < 0 || status != 0) {
            leave("a process", "failed");
        }
    }
    return pt_measure_clock() - start;
}

/* As the program does: see cli/main.c. */
static void restart_with_fast_blas(char **argv)
{
    const char *name;
    const char *value;
    if (pt_engine_blas_core_fix(&name, &value) && setenv(name, value, 0) == 0) {
        execv("/proc/self/exe", argv);
    }
}

static int bench(int argc, char **argv)
{
    pt_command command = {.name = "bench", .options = pt_bench_table, .option_count = PT_BENCH_OPTIONS};
    pt_bench_options options = pt_bench_defaults();
    pt_texts rest = {0};
    need(pt_options_parse(&command, argc, argv, &options, &rest), "options");
    if (!options.model || rest.count > 0 || options.help) {
        leave("usage",
              "bench_engine --model FILE [--image TILE.ppm] [OPTION]...; options as of pantile bench");
    }
    pt_image *images = calloc(options.images.count + 1, sizeof *images);
    for (size_t i = 0; images && i < options.images.count; i++) {
        need(pt_measure_image_read(options.images.items[i], &images[i]), "an image");
    }
    need(pt_bench_measure(&options, options.model, images, images ? options.images.count : 0), options.model);
    for (size_t i = 0; images && i < options.images.count; i++) {
        pt_measure_image_free(&images[i]);
    }
    free(images);
    pt_texts_fini(&options.images);
    return 0;
}

int main(int argc, char **argv)
{
    restart_with_fast_blas(argv);
    if (argc > 1 && argv[1][0] == '-') {
        return bench(argc, argv);
    }
    if (argc < 6 || atoi(argv[2]) < 1 || atoi(argv[3]) < 1 || atoi(argv[4]) < 1) {
        fprintf(stderr, "usage: bench_engine MODEL THREADS PROCESSES ROUNDS TILE.ppm...\n");
        return 1;
    }
    int threads = atoi(argv[2]), processes = atoi(argv[3]), rounds = atoi(argv[4]), count = argc - 5;
    pt_image *tiles = calloc((size_t)count, sizeof *tiles);
    if (!tiles) {
        leave("tiles", "out of memory");
    }
    double pixels = 0;
    for (int i = 0; i < count; i++) {
        need(pt_measure_image_read(argv[5 + i], &tiles[i]), "a tile");
        pixels += (double)tiles[i].width * tiles[i].height;
    }
    double seconds = run(argv[1], threads, processes, rounds, tiles, count);
    double all = (double)processes * rounds;
    printf(
        "{\"threads\": %d, \"processes\": %d, \"tiles\": %d, \"seconds\": %.3f, \"seconds_per_tile\": %.4f, "
        "\"mpx_per_s\": %.4f}\n",
        threads, processes, count, seconds, seconds / (all * count), all * pixels / 1e6 / seconds);
    for (int i = 0; i < count; i++) {
        pt_measure_image_free(&tiles[i]);
    }
    free(tiles);
    return 0;
}
