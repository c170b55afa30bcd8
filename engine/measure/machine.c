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

static double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct race {
    pt_peak_loop *loop;
    int threads, rounds;
    atomic_int ready;
    double *rates; /* operations a second, by task */
} race;

/* As many tasks as threads: since each waits for all, each thread has one. The thread's own time counts, so
 * that other programs' turns do not. */
static void run_loop(void *context, size_t task, int worker)
{
    (void)worker;
    race *self = context;
    atomic_fetch_add(&self->ready, 1);
    while (atomic_load(&self->ready) < self->threads) {
        sched_yield(); /* there may be fewer cores than threads */
    }
    double start = thread_seconds();
    int64_t products = self->loop(self->rounds);
    self->rates[task] = 2.0 * (double)products / (thread_seconds() - start);
}

/* Of all threads at once, as far as there are cores for them. */
static double run_race(pt_pool *pool, race *self)
{
    atomic_store(&self->ready, 0);
    pt_pool_run(pool, (size_t)self->threads, run_loop, self);
    double sum = 0;
    for (int i = 0; i < self->threads; i++) {
        sum += self->rates[i];
    }
    int cores = pt_cpu_count();
    return cores < self->threads ? sum * cores / self->threads : sum;
}

static double best_rate(pt_pool *pool, pt_peak_loop *loop, double *rates)
{
    race self = {.loop = loop, .threads = pt_pool_threads(pool), .rounds = FIRST_ROUNDS, .rates = rates};
    double start, seconds = 0;
    while (seconds < run_seconds && self.rounds < PT_PEAK_ROUNDS) {
        self.rounds *= 2;
        start = thread_seconds();
        (void)loop(self.rounds);
        seconds = thread_seconds() - start;
    }
    double best = 0;
    for (int i = 0; i < RUNS; i++) {
        double rate = run_race(pool, &self);
        best = rate > best ? rate : best;
    }
    return best;
}

pt_status pt_measure_machine(int threads, pt_measure_peak *out)
{
    pt_pool *pool = NULL;
    PT_TRY(pt_pool_new(threads, &pool));
    double *rates = pt_calloc((size_t)threads, sizeof *rates);
    if (!rates) {
        pt_pool_free(&pool);
        return PT_NOMEM("the machine's peak");
    }
    pt_peak peak = pt_peak_best();
    *out = (pt_measure_peak){.f32_name = peak.f32_name,
                             .u8_name = peak.u8_name,
                             .f32 = best_rate(pool, peak.f32, rates),
                             .u8 = best_rate(pool, peak.u8, rates)};
    pt_free(rates);
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
