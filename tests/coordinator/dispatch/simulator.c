/* Plays the scheduler through seeded jobs: simulator JOBS [FIRST_SEED]. A failure names its seed; the same
 * seed alone, `simulator 1 SEED`, plays it again. */
#include "tests/coordinator/dispatch/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool need(const char *what, int64_t count)
{
    printf("  %-34s %12" PRId64 "\n", what, count);
    return count > 0;
}

/* A simulator in which something never happens proves nothing about it. */
static bool everything_happened(const sim_totals *t)
{
    static const char *const actions[] = {"assigned", "revoked", "committed", "acknowledged", "quarantined",
                                          "strikes",  "dropped", "alarms",    "drained"};
    bool all = true;
    for (int i = 0; i <= PT_ACTION_DRAINED; i++) {
        all &= need(actions[i], t->actions[i]);
    }
    all &= need("dropped: expired", t->reasons[PT_REASON_EXPIRED]);
    all &= need("dropped: stalled", t->reasons[PT_REASON_STALLED]);
    all &= need("dropped: replaced", t->reasons[PT_REASON_REPLACED]);
    all &= need("second runs", t->speculated) & need("results too late", t->wasted);
    all &= need("tried again", t->retries);
    all &= need("worker crashes", t->crashes) & need("workers frozen or cut off", t->frozen);
    all &= need("compute threads stuck", t->wedged);
    all &= need("messages lost", t->dropped_messages) & need("messages doubled", t->doubled_messages);
    all &= need("coordinator restarts", t->restarts) & need("commits not acknowledged", t->torn);
    all &= need("holds", t->holds) & need("drains", t->drains) & need("steps without memory", t->nomem);
    return all;
}

static int play_all(uint64_t first, int64_t jobs, bool trace)
{
    sim_totals totals = {.trace = trace};
    for (int64_t i = 0; i < jobs; i++) {
        sim_conditions c;
        char error[256];
        double seconds;
        uint64_t seed = first + (uint64_t)i;
        sim_job_draw(seed, &c);
        if (!sim_job_run(seed, &c, NULL, true, &totals, &seconds, error)) {
            printf("seed %" PRIu64 ": at %.3f s: %s\nplay it again: simulator 1 %" PRIu64 " trace\n", seed,
                   seconds, error, seed);
            return 1;
        }
    }
    printf("%" PRId64 " jobs from seed %" PRIu64 ", %" PRId64 " steps: %" PRId64 " tiles settled, %" PRId64
           " of them quarantined, none lost, none twice\n",
           totals.jobs, first, totals.steps, totals.settled, totals.quarantined);
    bool all = everything_happened(&totals);
    printf("nearest to its time limit: seed %" PRIu64 ", at %.0f%% of it\n", totals.longest_seed,
           100 * totals.longest);
    if (!all && jobs >= 10000) {
        printf("something never happened\n");
        return 1;
    }
    return 0;
}

enum { TAIL_RUNS = 21 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Prints how long the same jobs take: median, least and most, and the second runs of each on average. */
static bool time_jobs(const char *what, sim_conditions c, double factor)
{
    double seconds[TAIL_RUNS];
    sim_totals totals = {0};
    pt_dispatch_options options = pt_dispatch_defaults();
    options.speculate_factor = factor;
    for (uint64_t seed = 0; seed < TAIL_RUNS; seed++) {
        char error[256];
        if (!sim_job_run(seed, &c, &options, false, &totals, &seconds[seed], error)) {
            printf("seed %" PRIu64 ": %s\n", seed, error);
            return false;
        }
    }
    qsort(seconds, TAIL_RUNS, sizeof *seconds, by_value);
    printf("  %-42s %4g %8.1f %8.1f %8.1f %8.1f %8.1f\n", what, factor, seconds[TAIL_RUNS / 2], seconds[0],
           seconds[TAIL_RUNS - 1], (double)totals.speculated / TAIL_RUNS, (double)totals.wasted / TAIL_RUNS);
    return true;
}

static int play_tail(void)
{
    const sim_conditions even = {.tiles = 1600,
                                 .slots = 32,
                                 .credit = 2,
                                 .seconds = 1,
                                 .spread = 0.5,
                                 .slow = 1,
                                 .notice = 1,
                                 .limit = 1e6};
    sim_conditions slow = even, silent = even;
    slow.slow = 10;
    silent.silent = 45;
    printf("%" PRId64 " tiles of %g s, %d workers of credit %d: %g s of work for each; %d runs\n", even.tiles,
           even.seconds, even.slots, even.credit, (double)even.tiles * even.seconds / even.slots, TAIL_RUNS);
    printf("  %-42s %4s %8s %8s %8s %8s %8s\n", "seconds until all is settled", "x", "median", "least",
           "most", "second", "wasted");
    bool good = true;
    for (int factor = 0; factor <= 3 && good; factor++) {
        good = time_jobs("all alike", even, factor) && time_jobs("one ten times slower", slow, factor) &&
               time_jobs("one silent from 45 s on", silent, factor);
    }
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "tail") == 0) {
        return play_tail();
    }
    int64_t jobs = argc > 1 ? strtoll(argv[1], NULL, 10) : 0;
    if (jobs < 1 || argc > 4) {
        fprintf(stderr, "usage: simulator JOBS [FIRST_SEED [trace]] | simulator tail\n");
        return 2;
    }
    return play_all(argc > 2 ? strtoull(argv[2], NULL, 10) : 1, jobs, argc > 3);
}
