/* The engine alone on tiles of a dump (pantile run --dump-tiles DIR): the rate that a whole run is compared
 * with.
 *
 *   bench_engine MODEL THREADS PROCESSES ROUNDS TILE.ppm...
 *
 * PROCESSES processes of THREADS threads each infer all tiles ROUNDS times, side by side, as that many
 * workers would with nothing else to do. Loading and the first tile are not timed. Prints one JSON object. */
#include "engine/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WIDE_DETECTIONS = 1000 }; /* as pantile run has it */

typedef struct tile {
    uint8_t *rgb; /* owned */
    int width, height;
} tile;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void leave(const char *what, const char *why)
{
    fprintf(stderr, "bench_engine: %s: %s\n", what, why);
    exit(1);
}

static tile read_tile(const char *path)
{
    tile t = {0};
    FILE *file = fopen(path, "rb");
    if (!file) {
        leave(path, strerror(errno));
    }
    if (fscanf(file, "P6 %d %d 255", &t.width, &t.height) != 2 || t.width < 1 || t.height < 1 ||
        fgetc(file) == EOF) {
        leave(path, "not a PPM of pantile run --dump-tiles");
    }
    size_t size = (size_t)t.width * (size_t)t.height * 3;
    t.rgb = malloc(size);
    if (!t.rgb || fread(t.rgb, 1, size, file) != size) {
        leave(path, "cut short");
    }
    fclose(file);
    return t;
}

static void infer(pt_engine *engine, const tile *t)
{
    pt_image image = {
        .rgb = t->rgb, .width = t->width, .height = t->height, .row_stride = (ptrdiff_t)t->width * 3};
    pt_status status = pt_engine_infer(engine, &image, 1);
    if (status.code != PT_OK) {
        leave("inference", status.message);
    }
}

static pt_engine *open_engine(const char *model, int threads)
{
    pt_model_summary *summary = NULL;
    pt_engine *engine = NULL;
    pt_engine_options options = pt_engine_defaults();
    pt_status status = pt_model_summary_read(model, &summary);
    if (status.code == PT_OK) {
        options.threads = threads;
        options.score_threshold = (float)summary->export_score;
        options.max_detections = WIDE_DETECTIONS;
        status = pt_engine_open(model, &options, &engine);
    }
    if (status.code != PT_OK) {
        leave(model, status.message);
    }
    pt_model_summary_free(&summary);
    return engine;
}

/* Says on `ready` that it is warm, starts at a byte from `go`. */
static void work(const char *model, int threads, int rounds, const tile *tiles, int count, int ready, int go)
{
    char byte = 1;
    pt_engine *engine = open_engine(model, threads);
    for (int i = 0; i < count; i++) {
        infer(engine, &tiles[i]); /* every size of tile plans its memory once */
    }
    if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1) {
        leave("pipe", strerror(errno));
    }
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < count; i++) {
            infer(engine, &tiles[i]);
        }
    }
    pt_engine_close(&engine);
}

static double run(const char *model, int threads, int processes, int rounds, const tile *tiles, int count)
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
    double start = now();
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
    return now() - start;
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

int main(int argc, char **argv)
{
    restart_with_fast_blas(argv);
    if (argc < 6 || atoi(argv[2]) < 1 || atoi(argv[3]) < 1 || atoi(argv[4]) < 1) {
        fprintf(stderr, "usage: bench_engine MODEL THREADS PROCESSES ROUNDS TILE.ppm...\n");
        return 1;
    }
    int threads = atoi(argv[2]), processes = atoi(argv[3]), rounds = atoi(argv[4]), count = argc - 5;
    tile *tiles = calloc((size_t)count, sizeof *tiles);
    if (!tiles) {
        leave("tiles", "out of memory");
    }
    double pixels = 0;
    for (int i = 0; i < count; i++) {
        tiles[i] = read_tile(argv[5 + i]);
        pixels += (double)tiles[i].width * tiles[i].height;
    }
    double seconds = run(argv[1], threads, processes, rounds, tiles, count);
    double all = (double)processes * rounds;
    printf(
        "{\"threads\": %d, \"processes\": %d, \"tiles\": %d, \"seconds\": %.3f, \"seconds_per_tile\": %.4f, "
        "\"mpx_per_s\": %.4f}\n",
        threads, processes, count, seconds, seconds / (all * count), all * pixels / 1e6 / seconds);
    for (int i = 0; i < count; i++) {
        free(tiles[i].rgb);
    }
    free(tiles);
    return 0;
}
