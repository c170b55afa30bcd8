/* Measures the ledger: what batches and sizes of results cost, what replay and the end of a job take.
 *
 *   bench_ledger DIR [TILES]
 *
 * Makes DIR and removes its ledger again; TILES (20,000) are settled without results, a tenth of them with
 * results of 60 kB each. DIR decides which disk is measured. */
#include "coordinator/ledger/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RESULT = 60000, LARGEST_BATCH = 1000 };

typedef struct figures {
    double record, replay, resume, finish; /* seconds */
    double largest, shrunk;                /* MB: ledger before and after the end */
    int64_t replayed;
} figures;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(pt_status status)
{
    if (status.code != PT_OK) {
        fprintf(stderr, "bench_ledger: %s\n", status.message);
        exit(1);
    }
}

static pt_job_spec make_spec(void)
{
    pt_job_spec spec = {.program = pt_strdup("bench"), .group_count = 1};
    spec.groups = pt_calloc(1, sizeof *spec.groups);
    spec.groups[0].paths = pt_calloc(1, sizeof *spec.groups[0].paths);
    spec.groups[0].paths[0] = pt_strdup("scene.tif");
    spec.groups[0].path_count = 1;
    spec.groups[0].width = spec.groups[0].height = 1000000;
    spec.groups[0].range_hi[0] = spec.groups[0].range_hi[1] = spec.groups[0].range_hi[2] = 255;
    spec.grid.tile = 256;
    spec.grid.overlap = 64;
    spec.grid.lattice = 32;
    spec.engine.kind = PT_ENGINE_NULL;
    spec.engine.backend = pt_strdup("auto");
    spec.output.format = pt_strdup("GeoJSON");
    spec.output.attempts = 3;
    return spec;
}

static pt_status count(void *user, const pt_settlement *settlement)
{
    (void)settlement;
    ++*(int64_t *)user;
    return pt_ok();
}

static pt_status ignore(void *user, int64_t tile, int strikes, int lives)
{
    (void)user;
    (void)tile;
    (void)strikes;
    (void)lives;
    return pt_ok();
}

static double file_mb(const char *dir)
{
    char path[4096];
    struct stat found = {0};
    snprintf(path, sizeof path, "%s/ledger.db", dir);
    stat(path, &found);
    return (double)found.st_size / 1e6;
}

static void record(pt_ledger *ledger, int64_t tiles, size_t batch, size_t size)
{
    static uint8_t payload[RESULT];
    static pt_settlement items[LARGEST_BATCH];
    uint64_t state = 1;
    for (int64_t done = 0; done < tiles; done += (int64_t)batch) {
        for (size_t i = 0; i + 8 <= size; i += 8) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            memcpy(payload + i, &state, 8);
        }
        uint64_t digest = pt_result_digest(PT_TILE_DONE, false, payload, size);
        for (size_t i = 0; i < batch; i++) {
            items[i] = (pt_settlement){.tile = done + (int64_t)i,
                                       .outcome = PT_TILE_DONE,
                                       .attempts = 1,
                                       .worker = "node17:12345",
                                       .detections = (int64_t)size / 1000,
                                       .read_seconds = 0.01,
                                       .infer_seconds = 0.2,
                                       .digest = digest,
                                       .payload = size ? payload : NULL,
                                       .size = size};
        }
        must(pt_ledger_record(ledger, items, batch));
    }
}

static figures measure(const char *dir, int64_t tiles, size_t batch, size_t size)
{
    figures f = {0};
    pt_job_spec spec = make_spec();
    pt_ledger *ledger = NULL;
    must(pt_ledger_create(dir, &spec, true, &ledger));
    double start = now();
    record(ledger, tiles, batch, size);
    f.record = now() - start;
    pt_ledger_close(&ledger);
    f.largest = file_mb(dir);
    start = now();
    must(pt_ledger_resume(dir, &spec, &ledger));
    f.resume = now() - start;
    start = now();
    must(pt_ledger_replay(ledger, count, ignore, &f.replayed));
    f.replay = now() - start;
    start = now();
    must(pt_ledger_finish(ledger, "out.geojson", (const uint8_t[32]){0}));
    f.finish = now() - start;
    f.shrunk = file_mb(dir);
    pt_ledger_close(&ledger);
    pt_job_spec_fini(&spec);
    return f;
}

static void clean(const char *dir)
{
    static const char *const names[] = {"ledger.db", "lock"};
    char path[4096];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

int main(int argc, char **argv)
{
    int64_t wanted = argc > 2 ? atoll(argv[2]) : 20000;
    if (argc < 2 || wanted < 10 * LARGEST_BATCH) {
        fprintf(stderr, "usage: bench_ledger DIR [TILES], at least %d tiles\n", 10 * LARGEST_BATCH);
        return 1;
    }
    printf(
        "batch  bytes    tiles  commits/s    tiles/s   MB/s  resume s  replay tiles/s  end s    MB -> MB\n");
    for (size_t size = 0; size <= RESULT; size += RESULT) {
        for (size_t batch = 1; batch <= LARGEST_BATCH; batch *= 10) {
            int64_t tiles = batch == 1 || size ? wanted / 10 : wanted;
            figures f = measure(argv[1], tiles, batch, size);
            double n = (double)tiles;
            printf("%5zu %6zu %8lld %10.0f %10.0f %6.0f %9.3f %15.0f %6.3f %7.1f -> %.1f\n", batch, size,
                   (long long)tiles, n / (double)batch / f.record, n / f.record,
                   n * (double)size / 1e6 / f.record, f.resume, (double)f.replayed / f.replay, f.finish,
                   f.largest, f.shrunk);
        }
    }
    clean(argv[1]);
    return 0;
}
