/* The coordinator's state, private to this folder.
 *
 * One pass: what the hub has is taken (receive.c), each message becomes events of the scheduler, whose
 * actions are performed at once (act.c) but for those that must be durable first. These wait in the batch
 * (batch.c), which ends the pass in one transaction; only then are they acknowledged and fed to the
 * stitching.
 */
#ifndef PANTILE_COORDINATOR_CONTROL_INTERNAL_H
#define PANTILE_COORDINATOR_CONTROL_INTERNAL_H

#include "coordinator/control/control.h"
#include "coordinator/control/roster.h"
#include "coordinator/control/ship.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    PT_PASS_MESSAGES = 1024,  /* taken before what they caused is written down */
    PT_MEMBERS_MAX = 1 << 17, /* far more than one hub can serve; bounds what HELLOs can allocate */
};
#define PT_PASS_SECONDS 0.005  /* the same in time */
#define PT_PUBLISH_SECONDS 0.1 /* between two snapshots, while there is anything new */
#define PT_JOB_SECONDS 0.5 /* between two copies of the job for one connection; workers ask once a second */
#define PT_FAREWELL_SECONDS 1.0 /* for workers to answer BYE */
#define PT_LATE_SECONDS 20.0    /* for workers that are expected and have not come yet */

/* On its way to the ledger. */
typedef struct pt_pending {
    pt_member *member; /* NULL: gone, or nobody */
    char worker[128];
    int attempts; /* on the tile so far */
    uint64_t digest;
    int64_t detections;
    pt_result result; /* without instances */
    uint8_t *payload; /* owned */
    size_t size;
} pt_pending;

typedef struct pt_batch {
    pt_pending *items; /* owned */
    size_t count, capacity;
} pt_batch;

/* The message at hand, for actions that belong to it. */
typedef struct pt_at_hand {
    pt_result *result; /* NULL: none */
    uint8_t **payload; /* moves away when the result is taken */
    size_t size;
    uint64_t digest;
    int64_t detections;
} pt_at_hand;

/* Has the job and is no member yet. */
typedef struct pt_invited {
    pt_peer peer;
    double sent; /* when it got the job last; -INFINITY: never */
} pt_invited;

struct pt_control {
    pt_hub *hub; /* borrowed, as the next two */
    pt_ledger *ledger;
    pt_feed *feed;
    pt_control_options options;
    const pt_job_spec *spec; /* the ledger's */
    uint8_t *spec_bytes;     /* owned; as workers get it */
    size_t spec_size;
    uint8_t hash[32];
    uint64_t job;
    uint32_t epoch;
    int64_t tiles;
    double (*clock)(void *user); /* seconds, never back; tests put their own here */
    void *clock_user;

    pt_dispatch *dispatch;
    pt_dispatch_actions actions;
    pt_roster roster;
    pt_worker next_worker;
    pt_invited
        *invited; /* owned; have the job and are no members yet: they too are to hear when it is over */
    size_t invited_count, invited_capacity;
    pt_ship *ship; /* NULL: no pixels */
    pt_batch batch, spare;
    pt_settlement *settlements; /* owned; as many as a batch ever had items */
    size_t settlement_capacity;
    uint8_t *settled; /* owned; one bit per tile */

    size_t stalled; /* members that are */
    double began, now, idle_since, published;
    bool news;                   /* since the last snapshot */
    bool mixed;                  /* workers' backends, and that was said */
    int draining;                /* 0, 1: lets workers finish, 2: now */
    bool held, drained;          /* told to the scheduler; told by it */
    pt_control_snapshot numbers; /* kept up while it runs; workers and parts' figures only when published */

    atomic_int drain;
    pthread_mutex_t lock;
    pt_status failure;         /* under the lock: pt_control_fail's */
    pt_control_snapshot shown; /* under the lock */
};

static inline bool pt_control_settled(const pt_control *c, int64_t tile)
{
    return c->settled[tile / 8] >> tile % 8 & 1;
}

/* replay.c */
pt_status pt_control_replay(pt_control *c);

/* receive.c */
pt_status pt_control_receive(pt_control *c, pt_peer peer, pt_message *message);
/* `message` with the job and epoch filled in. */
pt_status pt_control_send(pt_control *c, pt_peer peer, pt_message *message);
pt_status pt_control_say(pt_control *c, pt_peer peer, pt_message_type type);
pt_status pt_control_bye(pt_control *c, pt_peer peer, const char *why);

/* hello.c */
/* Notes who is to hear when the job is over without being a member. */
pt_status pt_control_invite(pt_control *c, pt_peer peer);
bool pt_control_is_invited(const pt_control *c, pt_peer peer);
pt_status pt_control_hello(pt_control *c, pt_peer peer, const pt_hello *hello);

/* reply.c: RESULT and FAILED of a member. */
pt_status pt_control_result(pt_control *c, pt_member *member, pt_message *message);
pt_status pt_control_failed(pt_control *c, pt_member *member, pt_message *message);
bool pt_control_is_of_tile(pt_code code);
pt_status pt_control_tile_failed(pt_control *c, pt_worker worker, pt_result *result);

/* act.c: an event for the scheduler, and what it wants done. */
pt_status pt_control_step(pt_control *c, pt_dispatch_event event, pt_at_hand at_hand);
pt_status pt_control_event(pt_control *c, pt_dispatch_event event); /* with nothing at hand */

/* batch.c */
pt_status pt_batch_add(pt_batch *batch, pt_pending *item); /* takes the payload */
void pt_batch_forget(pt_batch *batch, const pt_member *member);
void pt_batch_fini(pt_batch *batch);
pt_status pt_control_commit(pt_control *c);
/* A settled tile, from now or from before: counted, and marked. */
void pt_control_count(pt_control *c, const pt_result *result, int64_t detections);

/* members.c */
pt_status pt_control_welcome(pt_control *c, pt_peer peer, const pt_hello *hello);
/* Forgets a member; the scheduler must have heard of it. */
void pt_control_forget(pt_control *c, pt_member **member);
/* The same after telling the scheduler LEFT or DIED. */
pt_status pt_control_lose(pt_control *c, pt_member **member, pt_dispatch_event_kind how);
/* It broke the rules of the protocol. */
pt_status pt_control_expel(pt_control *c, pt_member **member, const char *why);
uint64_t pt_control_slot(const uint8_t *slot);

/* pixels.c */
pt_status pt_control_ship(pt_control *c, pt_member *member, int64_t tile, int attempt);
pt_status pt_control_shipped(pt_control *c);                             /* sends what has been read */
void pt_control_arrived(pt_control *c, pt_member *member, int64_t tile); /* its pixels take no room now */
void pt_control_unship(pt_control *c, pt_member *member, int64_t tile);  /* negative: all of the member's */

/* snapshot.c */
void pt_control_publish(pt_control *c); /* what pt_control_look shows from now on */

/* farewell.c: says BYE to all, waits for their answers. */
void pt_control_farewell(pt_control *c, const char *why);

#endif
