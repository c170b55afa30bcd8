/* The scheduler's state, private to this folder.
 *
 * A tile costs two bytes (its word). While it is out, settling, or carries a history (failures, strikes), it
 * has a record; each worker that holds it has a lease on it. Records, leases and workers live in pools and
 * name each other by index, so that pools can grow.
 *
 * Everything that an event may need is reserved before anything is changed (reserve.c); from there on nothing
 * can fail.
 */
#ifndef PANTILE_COORDINATOR_DISPATCH_INTERNAL_H
#define PANTILE_COORDINATOR_DISPATCH_INTERNAL_H

#include "coordinator/dispatch/dispatch.h"
#include "coordinator/dispatch/heap.h"
#include "coordinator/dispatch/map.h"

/* A tile's word: its state, and above it 14 bits of the digest of what was committed: enough to notice a
 * result that differs in all but one of 16,384 cases. */
enum {
    PT_WORD_PENDING = 0, /* never touched */
    PT_WORD_NOTED = 1,   /* has a record */
    PT_WORD_DONE = 2,
    PT_WORD_QUARANTINED = 3,
    PT_WORD_STATE = 3,
};

enum {
    PT_WINDOW = 256,     /* durations that the 95th percentile is taken of */
    PT_WINDOW_LEAST = 5, /* and before which it is not known */
};

#define PT_FAR 1e300 /* a time that never comes */

typedef struct pt_link_pair {
    uint32_t next, before;
} pt_link_pair;

typedef struct pt_list {
    uint32_t first, last;
} pt_list;

/* The last durations, as they came and in order. */
typedef struct pt_durations {
    double ring[PT_WINDOW], sorted[PT_WINDOW];
    size_t count, next;
} pt_durations;

typedef struct pt_record {
    int64_t tile;
    int64_t place;                       /* in the order; -1: the cursor has not come to it */
    uint64_t digest;                     /* settling: of the result on its way */
    pt_worker by;                        /* settling: who is acknowledged; 0: nobody */
    pt_worker avoid;                     /* failed it last */
    pt_worker struck;                    /* by whose life the last strike came */
    double since;                        /* when it last began to wait for its only good lease */
    uint32_t leases;                     /* first of its leases; PT_NONE */
    pt_link_pair slow;                   /* in the list of those that may run a second time */
    uint32_t lease_count, good, started; /* leases: all, unanswered ones of workers that are heard, started */
    int attempts, by_attempt, failures, strikes, lives;
    int waits;                        /* in a list of those: 0: none, 1: not started yet, 2: started */
    bool in_use, settling, condemned; /* condemned: settling as quarantined */
} pt_record;

typedef struct pt_lease {
    int64_t tile;
    int attempt;
    uint32_t worker, record; /* record PT_NONE: the tile was settled without it, the worker still computes */
    uint32_t record_next;
    pt_link_pair of_worker;
    int repeats;  /* assignments sent again since the worker last showed that it has it */
    double seen;  /* when it did, or it was sent */
    double since; /* assigned */
    bool in_use, started, answered;
} pt_lease;

typedef struct pt_worker_state {
    pt_worker id;
    uint64_t slot, progress;
    double heard, moved; /* last word; last progress */
    uint32_t leases;     /* first of its leases */
    int credit, held, answered, started, stale;
    int room;           /* tiles that it can be given */
    int list;           /* 0: none, 1: holds nothing, 2: holds something and wants more */
    pt_link_pair ready; /* in that list */
    bool in_use, suspect;
    bool busy;  /* says that it has started something, which need not be a tile that is still wanted */
    bool fresh; /* has not said yet what it brings */
} pt_worker_state;

struct pt_dispatch {
    pt_dispatch_options options;
    double now;
    pt_dispatch_actions *out; /* during a step */
    size_t budget;            /* tiles that may still go out in this step */
    size_t doomed;            /* tiles that come condemned from an earlier life */
    bool more;                /* the budget ended before the tiles did */
    bool hold, draining, drained;

    uint16_t *words;     /* owned; one per tile */
    int64_t first, next; /* places: the first that is not settled; the first never looked at */
    int64_t leased, settling, done, quarantined;

    pt_record *records; /* owned pools */
    pt_lease *leases;
    pt_worker_state *workers;
    size_t record_capacity, lease_capacity, worker_capacity;
    size_t record_top, lease_top, worker_top; /* never used from here on */
    uint32_t record_free, lease_free, worker_free;
    size_t record_count, lease_count, worker_count;

    pt_map by_tile, by_id, by_slot;
    pt_heap again;    /* records that need a lease, by place */
    pt_heap timers;   /* workers, by when they must be looked at */
    pt_list ready[2]; /* workers with room: those that hold nothing, then the others; longest wait first */
    pt_list slow[2];  /* records with one good lease, not started and started, oldest first */
    size_t room;      /* of all workers */
    int64_t suspects, able; /* able: workers that are heard and take tiles at all */

    pt_durations computing; /* of a tile, as its worker says */
    pt_durations away;      /* from its assignment to its result, as seen here: waiting and messages too */

    pt_dispatch_stats stats; /* the running counts among them */
};

/* pools.c */
pt_status pt_pools_reserve(pt_dispatch *d, size_t records, size_t leases, size_t workers);
uint32_t pt_record_take(pt_dispatch *d, int64_t tile); /* also notes it in the tile's word */
void pt_record_give(pt_dispatch *d, uint32_t record);
uint32_t pt_record_of(const pt_dispatch *d, int64_t tile); /* PT_NONE: has none */
uint32_t pt_lease_take(pt_dispatch *d);
void pt_lease_give(pt_dispatch *d, uint32_t lease);
uint32_t pt_worker_take(pt_dispatch *d, pt_worker id);
void pt_worker_give(pt_dispatch *d, uint32_t worker);
uint32_t pt_worker_of(const pt_dispatch *d, pt_worker id);
void pt_pools_fini(pt_dispatch *d);

/* reserve.c */
pt_status pt_dispatch_reserve(pt_dispatch *d, const pt_dispatch_event *event, pt_dispatch_actions *actions);
void pt_dispatch_act(pt_dispatch *d, pt_dispatch_action action);

/* tiles.c */
static inline int pt_tile_state(const pt_dispatch *d, int64_t tile)
{
    return d->words[tile] & PT_WORD_STATE;
}
static inline bool pt_tile_settled(const pt_dispatch *d, int64_t tile)
{
    return pt_tile_state(d, tile) >= PT_WORD_DONE;
}
uint16_t pt_tile_word(int state, uint64_t digest);
int64_t pt_tile_at(const pt_dispatch *d, int64_t place);
/* The next tile that nobody has looked at yet, or -1; records on the way are reviewed. */
int64_t pt_tile_peek(pt_dispatch *d);
uint32_t pt_tile_begin(pt_dispatch *d,
                       int64_t tile); /* what peek returned: gets a record, the cursor goes on */
void pt_lease_begin(pt_dispatch *d, uint32_t lease); /* starts it; its tile's age counts from here */
/* After anything about it has changed: puts it where it now belongs, quarantines it when that is due. */
void pt_record_review(pt_dispatch *d, uint32_t record);
void pt_record_settle(pt_dispatch *d, uint32_t record, const pt_dispatch_event *result);
void pt_record_commit(pt_dispatch *d, uint32_t record);
void pt_tile_close(pt_dispatch *d, int64_t tile, uint64_t digest, bool quarantined);

/* leases.c */
uint32_t pt_lease_new(pt_dispatch *d, uint32_t worker, uint32_t record, int attempt);
void pt_lease_start(pt_dispatch *d, uint32_t lease);
void pt_lease_answer(pt_dispatch *d, uint32_t lease); /* the result is here, not yet acknowledged */
void pt_lease_stale(pt_dispatch *d, uint32_t lease);  /* the tile is settled, the worker computes on */
void pt_lease_end(pt_dispatch *d, uint32_t lease);    /* the caller reviews the record */
uint32_t pt_lease_find(const pt_dispatch *d, uint32_t worker, int64_t tile); /* stale ones too */

/* workers.c */
void pt_worker_join(pt_dispatch *d, const pt_dispatch_event *event);
void pt_worker_hear(pt_dispatch *d, uint32_t worker, bool moved);
void pt_worker_refresh(pt_dispatch *d, uint32_t worker); /* after credit or leases changed */
void pt_worker_set_credit(pt_dispatch *d, uint32_t worker, int credit);
void pt_worker_remove(pt_dispatch *d, uint32_t worker, bool blame);
void pt_worker_look(pt_dispatch *d); /* suspects and drops those whose time has come */

/* heartbeat.c */
void pt_worker_beat(pt_dispatch *d, uint32_t worker, const pt_dispatch_event *event);

/* strikes.c */
void pt_record_strike(pt_dispatch *d, uint32_t record, pt_worker by);
bool pt_record_condemnable(const pt_dispatch *d, const pt_record *record);
bool pt_record_may_run(const pt_dispatch *d, const pt_record *record);
bool pt_record_may_run_twice(const pt_dispatch *d, const pt_record *record);
void pt_record_condemn(pt_dispatch *d, uint32_t record, pt_worker by, int by_attempt, pt_dispatch_reason why);

/* assign.c */
void pt_assign_all(pt_dispatch *d);
uint32_t pt_assign_find(const pt_dispatch *d, uint32_t record); /* a worker for it, or PT_NONE */
void pt_assign_to(pt_dispatch *d, uint32_t record, uint32_t worker);

/* speculate.c */
bool pt_speculate_one(pt_dispatch *d);
double pt_speculate_deadline(const pt_dispatch *d);

/* durations.c */
void pt_durations_add(pt_durations *durations, double seconds);
double pt_durations_p95(const pt_durations *durations); /* 0: not known yet */

/* lists.c: doubly linked through a pair inside the pool's items */
typedef pt_link_pair *pt_list_pair(pt_dispatch *d, uint32_t item);
void pt_list_append(pt_dispatch *d, pt_list *list, pt_list_pair *pair, uint32_t item);
void pt_list_remove(pt_dispatch *d, pt_list *list, pt_list_pair *pair, uint32_t item);

#endif
