/* A scheduler under test, its clock, and what it did in the last step. */
#ifndef PANTILE_TESTS_COORDINATOR_DISPATCH_HARNESS_H
#define PANTILE_TESTS_COORDINATOR_DISPATCH_HARNESS_H

#include "coordinator/dispatch/dispatch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct harness {
    pt_dispatch *dispatch;
    pt_dispatch_actions actions;
    double now;
} harness;

harness harness_new(pt_dispatch_options options);
harness harness_tiles(int64_t tiles); /* with the defaults */
void harness_free(harness *h);

/* Each leaves in h->actions what the step did, and checks the scheduler. */
void step(harness *h, pt_dispatch_event event);
void tick(harness *h, double seconds); /* time passes, in as many ticks as are due */
void join(harness *h, pt_worker worker, int credit);
void join_slot(harness *h, pt_worker worker, int credit, uint64_t slot);
void start(harness *h, pt_worker worker, int64_t tile, int attempt);
void result(harness *h, pt_worker worker, int64_t tile, int attempt, uint64_t digest, double seconds);
void give_up(harness *h, pt_worker worker, int64_t tile, int attempt, bool retryable, bool blame);
void beat(harness *h, pt_worker worker, uint64_t progress, int credit, const pt_dispatch_held *held,
          size_t count);
void leave(harness *h, pt_worker worker);
void die(harness *h, pt_worker worker);
void commit(harness *h, int64_t tile);
void say(harness *h, pt_dispatch_event_kind kind);
/* start, result of 1 s, commit */
void finish(harness *h, pt_worker worker, int64_t tile, int attempt);

/* How many actions of a kind the last step did; the first of them that names worker and tile (-1, 0: any). */
size_t count_of(const harness *h, pt_dispatch_action_kind kind);
const pt_dispatch_action *find_action(const harness *h, pt_dispatch_action_kind kind, pt_worker worker,
                                      int64_t tile);
pt_dispatch_stats stats_of(const harness *h);

#endif
