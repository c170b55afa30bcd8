/* Who does which tile, when, and what becomes of it: a pure state machine. No sockets, no clock, no files, no
 * randomness: the same events at the same times give the same actions, so that a simulator can play years.
 *
 * A tile is pending, leased (to one worker, or to two when the first is slow or silent), settling (its result
 * is on its way to the ledger) or settled (done, empty or quarantined, for good). The first result that is
 * committed wins; a later one is acknowledged when it is the same, and raises an alarm when it is not.
 *
 * Rules (docs/decisions/0011-dispatch.md says why and how the constants were found):
 *   - Tiles go out in the order of options.order, never further than options.ahead places past the first that
 *     is not settled, so that seams close early and the assembler's memory stays bounded.
 *   - A worker that dies or expires gives its tiles back. Only a tile that it had *started* takes a strike; a
 *     tile with options.strikes strikes by at least two lives of workers is quarantined.
 *   - A tile that fails with a retryable error goes out again, to another worker where there is one, until
 *     options.attempts; then it is quarantined (or fails the job: that is the caller's choice on the action).
 *   - A worker that is silent for suspect_after is given nothing, and its tiles may go to others without its
 *     losing them; after expire_after, or 3 x the 95th percentile of a tile's time when that is longer, it
 *     is dropped.
 *   - A worker whose progress stands still while it has something started is treated as silent from then on,
 *     however it beats.
 *   - When nothing is pending, a tile that has been computed for twice the 95th percentile, and a second at
 *     least, runs a second time where there is credit to spare (speculation).
 *   - Credit counts tiles without a result; with those whose results wait for the ledger a worker never has
 *     more than options.hold_max.
 *   - A result of an open tile counts whoever brings it. A worker that joins keeps the open tiles that its
 *     first heartbeat lists.
 *
 * Life cycle: pt_dispatch_new -> pt_dispatch_settled_before (resume) -> pt_dispatch_step per event ->
 * pt_dispatch_free. Not thread-safe.
 */
#ifndef PANTILE_COORDINATOR_DISPATCH_DISPATCH_H
#define PANTILE_COORDINATOR_DISPATCH_DISPATCH_H

#include "tiling/base/base.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pt_dispatch pt_dispatch;
typedef uint64_t pt_worker; /* chosen by the caller, one per life of a worker process; 0 is nobody */

/* Place 0 .. tiles - 1 -> tile; a permutation. NULL: as they are numbered. */
typedef int64_t pt_dispatch_order(const void *user, int64_t place);

typedef struct pt_dispatch_options {
    int64_t tiles;
    pt_dispatch_order *order;
    const void *user;
    int64_t ahead; /* places; 0: no bound */
    int attempts;  /* tries of a tile that reports a retryable failure */
    int strikes;   /* deaths that quarantine */
    int hold_max;  /* tiles of one worker, those whose results are here and not yet acknowledged included */
    double suspect_after, expire_after; /* seconds of silence */
    double stall_after;      /* seconds without progress on a started tile; or 3 x p95 when that is longer */
    double resend_after;     /* seconds until an assignment that no heartbeat lists is sent again */
    double speculate_factor; /* times p95; 0: never */
} pt_dispatch_options;

pt_dispatch_options pt_dispatch_defaults(void); /* 3 attempts, 3 strikes, 64, 10 s, 60 s, 60 s, 5 s, 2 */

typedef enum pt_dispatch_event_kind {
    PT_EVENT_TICK,      /* time has passed */
    PT_EVENT_JOINED,    /* worker, slot, credit */
    PT_EVENT_STARTED,   /* worker, tile, attempt */
    PT_EVENT_RESULT,    /* worker, tile, attempt, digest, seconds */
    PT_EVENT_FAILED,    /* worker, tile, attempt, retryable, blame */
    PT_EVENT_HEARTBEAT, /* worker, progress, credit, held */
    PT_EVENT_LEFT,      /* worker: said goodbye; nobody is blamed */
    PT_EVENT_DIED,      /* worker: known to be dead */
    PT_EVENT_COMMITTED, /* tile: the ledger has it; follows each COMMIT or QUARANTINE action */
    PT_EVENT_HOLD,      /* nothing new goes out: the assembler or the disk does not keep up */
    PT_EVENT_RELEASE,   /* after HOLD */
    PT_EVENT_DRAIN,     /* nothing new goes out any more, for good; what runs may finish */
} pt_dispatch_event_kind;

typedef struct pt_dispatch_held {
    int64_t tile;
    int attempt;
    bool started;
} pt_dispatch_held;

typedef struct pt_dispatch_event {
    pt_dispatch_event_kind kind;
    pt_worker worker;
    uint64_t slot; /* JOINED: another worker of the same slot (not 0) is dead */
    int credit;    /* tiles it may hold, without those whose results are here */
    int64_t tile;
    int attempt;
    uint64_t digest; /* of outcome and instances: equal results have equal digests */
    double seconds;  /* RESULT: from start to end on the worker */
    bool retryable;  /* FAILED: may go better elsewhere or later */
    bool blame;      /* FAILED: the tile takes a strike (out of memory) */
    uint64_t progress;
    const pt_dispatch_held *held; /* borrowed during the step */
    size_t held_count;
} pt_dispatch_event;

typedef enum pt_dispatch_action_kind {
    PT_ACTION_ASSIGN,     /* worker, tile, attempt: send ASSIGN (also to repeat one) */
    PT_ACTION_REVOKE,     /* worker, tile, attempt: send REVOKE */
    PT_ACTION_COMMIT,     /* worker, tile, attempt: write the result at hand to the ledger; then COMMITTED */
    PT_ACTION_ACK,        /* worker, tile, attempt: send ACK */
    PT_ACTION_QUARANTINE, /* tile, attempt (how many), strikes, why; write it to the ledger; then COMMITTED */
    PT_ACTION_STRIKE,     /* tile, worker, strikes, lives: write it to the ledger, so that a restart knows */
    PT_ACTION_DROP,       /* worker: expired or stalled; forget it, send BYE */
    PT_ACTION_ALARM,      /* worker, tile: a second result differs from the committed one */
    PT_ACTION_DRAINED,    /* after DRAIN, or with all tiles settled: nothing is out any more */
} pt_dispatch_action_kind;

typedef enum pt_dispatch_reason {
    PT_REASON_NONE,
    PT_REASON_FAILED, /* the tile failed as often as it may, or said that it always will */
    PT_REASON_DEATHS, /* its workers died */
    PT_REASON_EXPIRED,
    PT_REASON_STALLED,
    PT_REASON_REPLACED, /* another worker took the slot */
} pt_dispatch_reason;

typedef struct pt_dispatch_action {
    pt_dispatch_action_kind kind;
    pt_worker worker;
    int64_t tile;
    int attempt;
    int strikes, lives; /* lives of workers that the strikes came from */
    pt_dispatch_reason reason;
} pt_dispatch_action;

typedef struct pt_dispatch_actions {
    pt_dispatch_action *items; /* owned */
    size_t count, capacity;
} pt_dispatch_actions;

void pt_dispatch_actions_fini(pt_dispatch_actions *actions);

/* PT_E_USAGE for options that make no sense; PT_E_NOMEM. A tile costs a byte or two; what is out costs more.
 */
pt_status pt_dispatch_new(const pt_dispatch_options *options, pt_dispatch **out);
void pt_dispatch_free(pt_dispatch **dispatch);

/* Before the first step: what the ledger knows. PT_E_USAGE for a tile that the job does not have, or that is
 * settled already; PT_E_NOMEM. */
pt_status pt_dispatch_settled_before(pt_dispatch *dispatch, int64_t tile, uint64_t digest, bool quarantined);
pt_status pt_dispatch_struck_before(pt_dispatch *dispatch, int64_t tile, int strikes, int lives);

/* Appends to *actions, which is best kept from step to step (set count to 0). `now`: seconds on a clock that
 * never goes back (a smaller one than before counts as the one before). Events of workers, tiles or attempts
 * that are unknown or long settled are harmless. PT_E_NOMEM leaves the state as it was before the event. */
pt_status pt_dispatch_step(pt_dispatch *dispatch, const pt_dispatch_event *event, double now,
                           pt_dispatch_actions *actions);

/* When the next TICK is due at the latest; a large number when nothing waits for time. */
double pt_dispatch_deadline(const pt_dispatch *dispatch);

typedef struct pt_dispatch_stats {
    int64_t tiles, pending, leased, settling, settled; /* the last four add up to the first */
    int64_t quarantined;                               /* of the settled */
    int64_t assigned;                                  /* ever, repeats of a lost message not counted */
    int64_t retries;            /* assignments beyond the first of a tile, speculation not counted */
    int64_t speculated, wasted; /* second runs; results that came too late */
    int64_t strikes, alarms;
    int64_t workers, suspects;
    double p95_seconds; /* of a tile; 0 before the first few */
} pt_dispatch_stats;
pt_dispatch_stats pt_dispatch_describe(const pt_dispatch *dispatch);

/* Every tile in exactly one state, every lease with a living worker, credits kept, counts right:
 * PT_E_INTERNAL says what is broken. Slow; for tests. */
pt_status pt_dispatch_check(const pt_dispatch *dispatch);

#endif
