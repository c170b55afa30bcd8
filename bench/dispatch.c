/* Measures the scheduler alone: no sockets, no ledger, every worker answers at once.
 *
 *   bench_dispatch [TILES [WORKERS [CREDIT]]]
 *
 * Prints microseconds of CPU time per event and per tile (STARTED, RESULT, COMMITTED each, a heartbeat of
 * every worker per simulated 2 s) and the memory that the scheduler took, for TILES (1,250,000) tiles. */
#include "coordinator/dispatch/dispatch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

typedef struct bench {
    pt_dispatch *dispatch;
    pt_dispatch_actions actions;
    pt_dispatch_action *out; /* assigned and not answered: a ring */
    size_t first, count, size;
    int64_t events;
    double now;
} bench;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void step(bench *b, pt_dispatch_event event)
{
    b->actions.count = 0;
    pt_status status = pt_dispatch_step(b->dispatch, &event, b->now, &b->actions);
    if (status.code != PT_OK) {
        fprintf(stderr, "bench_dispatch: %s\n", status.message);
        exit(1);
    }
    b->events++;
    for (size_t i = 0; i < b->actions.count; i++) {
        if (b->actions.items[i].kind == PT_ACTION_ASSIGN) {
            b->out[(b->first + b->count++) % b->size] = b->actions.items[i];
        }
    }
}

static void beat_all(bench *b, int workers, int credit)
{
    for (int w = 1; w <= workers; w++) {
        step(b, (pt_dispatch_event){.kind = PT_EVENT_HEARTBEAT,
                                    .worker = (pt_worker)w,
                                    .credit = credit,
                                    .progress = (uint64_t)b->events});
    }
}

static void run(bench *b, int workers, int credit)
{
    for (int w = 1; w <= workers; w++) {
        step(b, (pt_dispatch_event){
                    .kind = PT_EVENT_JOINED, .worker = (pt_worker)w, .credit = credit, .slot = (uint64_t)w});
    }
    for (int64_t answered = 0; b->count > 0; answered++) {
        pt_dispatch_action a = b->out[b->first];
        b->first = (b->first + 1) % b->size;
        b->count--;
        pt_dispatch_event event = {.worker = a.worker,
                                   .tile = a.tile,
                                   .attempt = a.attempt,
                                   .digest = (uint64_t)a.tile,
                                   .seconds = 0.5 + 0.001 * (double)(a.tile % 997)};
        event.kind = PT_EVENT_STARTED;
        step(b, event);
        event.kind = PT_EVENT_RESULT;
        step(b, event);
        event.kind = PT_EVENT_COMMITTED;
        step(b, event);
        b->now += 0.00005; /* 20,000 tiles a second: none is out for so long that it is sent again */
        if (answered % 40000 == 39999) {
            step(b, (pt_dispatch_event){.kind = PT_EVENT_TICK});
            beat_all(b, workers, credit);
        }
    }
}

int main(int argc, char **argv)
{
    pt_dispatch_options options = pt_dispatch_defaults();
    options.tiles = argc > 1 ? strtoll(argv[1], NULL, 10) : 1250000;
    int workers = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1000;
    int credit = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 2;
    bench b = {.size = (size_t)workers * (size_t)credit + 1};
    b.out = malloc(b.size * sizeof *b.out);
    long before = peak_kib();
    pt_status status = pt_dispatch_new(&options, &b.dispatch);
    if (!b.out || status.code != PT_OK) {
        fprintf(stderr, "bench_dispatch: %s\n", status.message);
        return 1;
    }
    double begin = seconds();
    run(&b, workers, credit);
    double took = seconds() - begin;
    pt_dispatch_stats stats = pt_dispatch_describe(b.dispatch);
    printf("%" PRId64 " tiles, %d workers, credit %d: %.3f us an event, %.3f us a tile, %ld KiB\n",
           stats.settled, workers, credit, took / (double)b.events * 1e6, took / (double)stats.settled * 1e6,
           peak_kib() - before);
    pt_dispatch_free(&b.dispatch);
    pt_dispatch_actions_fini(&b.actions);
    free(b.out);
    return 0;
}
