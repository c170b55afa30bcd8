/* A world for the scheduler, from a seed: workers that crash, hang, stall and lie, a network that loses,
 * doubles and reorders, a coordinator that dies between commit and acknowledgement, a ledger that survives.
 *
 * Everything happens in simulated seconds, in the order of one queue; the same seed plays the same job.
 * What the scheduler does is checked against what really happened, which it cannot see:
 *   - no tile is committed twice, and every tile ends done or quarantined, never both
 *   - a result is acknowledged only when the ledger has it
 *   - strikes come from lives that really started the tile and were lost; quarantine needs enough of them, or
 *     failures that were really reported
 *   - workers are dropped only when silent, without progress or replaced for as long as the options say
 *   - nothing new goes out on hold, while draining, out of order or beyond the reach
 *   - the job ends within a bound as long as one worker keeps coming back
 */
#ifndef PANTILE_TESTS_COORDINATOR_DISPATCH_SIM_H
#define PANTILE_TESTS_COORDINATOR_DISPATCH_SIM_H

#include "coordinator/dispatch/dispatch.h"

#include <stdint.h>

enum { SIM_HELD = 16, SIM_SLOTS = 64, SIM_LIVES = 512 };

typedef enum sim_nature {
    TILE_GOOD,
    TILE_POISON,   /* kills whoever computes it */
    TILE_STUCK,    /* whoever computes it never ends */
    TILE_FAILS,    /* always, retryable */
    TILE_FLAKY,    /* fails every other time */
    TILE_HOPELESS, /* always, and says so */
    TILE_GREEDY,   /* out of memory, every time: blamed */
    TILE_NATURES
} sim_nature;

/* Drawn from the seed once per job. */
typedef struct sim_conditions {
    int64_t tiles;
    int slots, credit;
    double seconds;              /* a tile on a worker of speed 1 */
    double spread;               /* of that, relative */
    double slow;                 /* how many times slower slot 0 is */
    double drop, twice, delay;   /* chances; seconds at most */
    double crash, freeze, wedge; /* chances per tile computed */
    double forge;                /* chance of a result that differs */
    double leave;                /* chance of a goodbye per heartbeat */
    double lost;                 /* chance that a slot stays empty after a crash */
    double notice;               /* chance that a supervisor tells of a death */
    bool slots_known;            /* workers say in which slot they are */
    double kill_after;           /* a supervisor kills what is wedged; 0: never */
    double commit;               /* seconds at most */
    int restarts, holds;         /* of the coordinator; of dispatch */
    double drain;                /* when; 0: never */
    double nomem;                /* chance per step that memory runs out */
    double quiet;                /* from then on nothing goes wrong by chance */
    double limit;                /* when the job must have ended */
    double silent;               /* from then on slot 0 says and does nothing; 0: never */
} sim_conditions;

typedef enum sim_kind {
    SIM_TO_COORDINATOR,
    SIM_TO_WORKER,
    SIM_BEAT,
    SIM_COMPUTED, /* the compute thread is done with its tile, well or not */
    SIM_KILLED,   /* by its supervisor */
    SIM_SPAWN,
    SIM_NOTICE, /* a supervisor tells of a death */
    SIM_COMMITTED,
    SIM_TICK,
    SIM_CRASH, /* of the coordinator */
    SIM_RESTART,
    SIM_HOLD,
    SIM_RELEASE,
    SIM_DRAIN,
} sim_kind;

typedef enum sim_type {
    SAY_HELLO,
    SAY_WELCOME,
    SAY_AGAIN, /* who are you? */
    SAY_ASSIGN,
    SAY_STARTED,
    SAY_RESULT,
    SAY_FAILED,
    SAY_BEAT,
    SAY_ACK,
    SAY_REVOKE,
    SAY_BYE,
} sim_type;

typedef struct sim_message {
    sim_type type;
    uint32_t epoch;
    int credit;
    int64_t tile;
    int attempt;
    uint64_t digest, progress;
    double seconds;
    bool retryable, blame;
    pt_dispatch_held held[SIM_HELD];
    size_t held_count;
} sim_message;

typedef struct sim_event {
    double time;
    uint64_t order; /* of being put: ties */
    sim_kind kind;
    int slot;
    uint32_t life; /* of the worker; of the coordinator for its own events: the epoch */
    int64_t tile;
    sim_message message;
} sim_event;

typedef struct sim_tile {
    sim_nature nature;
    int64_t place;
    /* The ledger, which survives. */
    bool settled, quarantined;
    uint64_t digest;
    int strikes, lives;
    /* What this life of the coordinator has been told and has done. */
    bool handed, settling;
    bool settling_quarantined;
    uint64_t settling_digest;
    uint32_t by;      /* settling: whose result it is; 0: nobody's */
    uint64_t told[8]; /* failures: life and attempt */
    int told_failures;
    bool told_hopeless;
    /* The truth. */
    int computed, deaths;
} sim_tile;

typedef struct sim_held {
    int64_t tile;
    int attempt;
    bool started, answered;
    bool failed, retryable, blame; /* what was answered */
    uint64_t digest;
    double seconds;
} sim_held;

typedef struct sim_worker {
    uint32_t life; /* 0: empty */
    bool welcomed, wedged;
    bool gone; /* the slot stays empty */
    uint32_t epoch;
    uint64_t progress;
    double frozen, cut, speed; /* until when it stands still; until when nothing reaches it */
    int computing;             /* index into held, -1 */
    double since;              /* of computing */
    sim_held held[SIM_HELD];
    size_t held_count;
} sim_worker;

/* What the coordinator knows of a life of a worker: the scheduler's caller keeps it. */
typedef struct sim_life {
    int slot;
    bool joined;
    double heard, moved; /* last message, last progress */
    uint64_t progress;
} sim_life;

typedef struct sim_totals {
    int64_t jobs, steps, settled, quarantined, natures[TILE_NATURES];
    int64_t crashes, frozen, wedged, dropped_messages, doubled_messages, restarts, torn, holds, drains, nomem;
    int64_t actions[PT_ACTION_DRAINED + 1], reasons[PT_REASON_REPLACED + 1];
    int64_t speculated, wasted, retries;
    bool trace;
    double longest; /* the end, relative to the limit, and whose seed */
    uint64_t longest_seed;
} sim_totals;

typedef struct sim {
    sim_conditions c;
    uint64_t random;
    double now;
    bool check, ended, calm_tiles; /* calm_tiles: no tile takes its worker with it */
    double limit;
    char error[256]; /* empty: all is well */
    /* the queue */
    sim_event *events;
    uint32_t *heap, *spare;
    size_t event_capacity, event_top, heap_count, spare_count;
    uint64_t order;
    /* the world */
    sim_tile *tiles;
    int64_t *order_of; /* place -> tile */
    uint8_t *begun;    /* life * tiles + tile: really started, and told so or not */
    sim_worker workers[SIM_SLOTS];
    sim_life lives[SIM_LIVES];
    uint32_t life_count;
    uint16_t *acked; /* life * tiles + tile: attempt that the worker has had acknowledged */
    uint16_t *given; /* life * tiles + tile: attempt last assigned by this life of the coordinator */
    int64_t settled_count;
    /* the coordinator */
    pt_dispatch_options options;
    pt_dispatch *dispatch; /* NULL: down */
    pt_dispatch_actions actions;
    uint32_t epoch;
    bool hold, draining, drained;
    double tick_at, last_tick, p95_most;
    int64_t same_time;
    sim_totals *totals;
} sim;

/* sim_queue.c */
double sim_chance(sim *s); /* 0 .. 1 */
bool sim_happens(sim *s, double probability);
int64_t sim_below(sim *s, int64_t n);
void sim_fail(sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_put(sim *s, double delay, sim_event event);
void sim_put_at(sim *s, double time, sim_event event);
bool sim_next(sim *s, sim_event *out);
void sim_send(sim *s, bool to_worker, uint32_t life, const sim_message *message);

/* sim_worker.c */
void sim_worker_spawn(sim *s, int slot);
void sim_worker_event(sim *s, const sim_event *event);

/* sim_coordinator.c */
void sim_coordinator_start(sim *s);
void sim_coordinator_crash(sim *s);
void sim_coordinator_event(sim *s, const sim_event *event);

/* sim_actions.c */
void sim_actions_apply(sim *s, const pt_dispatch_event *event);

/* sim_trace.c */
void sim_trace(const sim *s, const pt_dispatch_event *event);

/* sim_job.c */
void sim_job_draw(uint64_t seed, sim_conditions *c);
/* True: all is well. Else *error says what is not. `check`: pt_dispatch_check after every step. */
bool sim_job_run(uint64_t seed, const sim_conditions *c, const pt_dispatch_options *options, bool check,
                 sim_totals *totals, double *seconds, char error[256]);

#endif
