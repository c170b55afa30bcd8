#include "engine/measure/measure.h"

#include "engine/backend/pool.h"
#include "engine/kernels/peak.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { RUNS = 12, FIRST_ROUNDS = 1024 };
static const double run_seconds =
    4e-3; /* long against a start of threads, short against other programs' turns */

double pt_measure_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct race {
    pt_peak_loop *loop;
    int threads, rounds;
    atomic_int ready;
    atomic_llong products;
} race;

/* As many tasks as threads: since each waits for all, each thread has one. */
static void run_loop(void *context, size_t task, int worker)
{
    (void)task, (void)worker;
    race *self = context;
    atomic_fetch_add(&self->ready, 1);
    while (atomic_load(&self->ready) < self->threads) {
        sched_yield(); /* there may be fewer cores than threads */
    }
    atomic_fetch_add(&self->products, self->loop(self->rounds));
}

/* Seconds. */
static double run_race(pt_pool *pool, race *self)
{
    atomic_store(&self->ready, 0);
    atomic_store(&self->products, 0);
    double start = pt_measure_clock();
    pt_pool_run(pool, (size_t)self->threads, run_loop, self);
    return pt_measure_clock() - start;
}

static double best_rate(pt_pool *pool, pt_peak_loop *loop)
{
    race self = {.loop = loop, .threads = pt_pool_threads(pool), .rounds = FIRST_ROUNDS};
    double seconds = run_race(pool, &self);
    while (seconds < run_seconds && self.rounds < PT_PEAK_ROUNDS) {
        self.rounds *= 2;
        seconds = run_race(pool, &self);
    }
    double best = 0;
    for (int i = 0; i < RUNS; i++) {
        seconds = run_race(pool, &self);
        double rate = 2.0 * (double)atomic_load(&self.products) / seconds;
        best = rate > best ? rate : best;
    }
    return best;
}

pt_status pt_measure_machine(int threads, pt_measure_peak *out)
{
    pt_pool *pool = NULL;
    PT_TRY(pt_pool_new(threads, &pool));
    pt_peak peak = pt_peak_best();
    *out = (pt_measure_peak){.f32_name = peak.f32_name,
                             .u8_name = peak.u8_name,
                             .f32 = best_rate(pool, peak.f32),
                             .u8 = best_rate(pool, peak.u8)};
    pt_pool_free(&pool);
    return pt_ok();
}

double pt_measure_peak_rss(void)
{
    static const char key[] = "VmHWM:";
    char line[256];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, sizeof key - 1) == 0) {
            (void)sscanf(line + sizeof key - 1, "%lf", &kib);
        }
    }
    if (file) {
        fclose(file);
    }
    return kib / 1024;
}
