/* A seed played again, told step by step. */
#include "tests/coordinator/dispatch/sim.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const events[] = {"tick", "joined", "started",   "result", "failed",  "heartbeat",
                                     "left", "died",   "committed", "hold",   "release", "drain"};
static const char *const actions[] = {"assign", "revoke", "commit", "ack",    "quarantine",
                                      "strike", "drop",   "alarm",  "drained"};

void sim_trace(const sim *s, const pt_dispatch_event *event)
{
    printf("%9.3f %-9s worker %" PRIu64 " tile %" PRId64 " attempt %d credit %d", s->now, events[event->kind],
           event->worker, event->tile, event->attempt, event->credit);
    for (size_t i = 0; i < event->held_count; i++) {
        printf(" %" PRId64 "/%d%s", event->held[i].tile, event->held[i].attempt,
               event->held[i].started ? "*" : "");
    }
    printf("\n");
    for (size_t i = 0; i < s->actions.count; i++) {
        const pt_dispatch_action *a = &s->actions.items[i];
        printf("            -> %-10s worker %" PRIu64 " tile %" PRId64
               " attempt %d strikes %d/%d reason %d\n",
               actions[a->kind], a->worker, a->tile, a->attempt, a->strikes, a->lives, (int)a->reason);
    }
}
