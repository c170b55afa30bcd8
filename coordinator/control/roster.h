/* Who is connected: one member per life of a worker process that was welcomed. Found by connection, by the
 * number it has with the scheduler, and by the random id of its life, each in constant time. Private to this
 * folder; not thread-safe.
 */
#ifndef PANTILE_COORDINATOR_CONTROL_ROSTER_H
#define PANTILE_COORDINATOR_CONTROL_ROSTER_H

#include "coordinator/dispatch/dispatch.h"
#include "coordinator/protocol/link.h"
#include "tiling/base/base.h"

enum { PT_BY_PEER, PT_BY_WORKER, PT_BY_INSTANCE, PT_ROSTER_INDEXES };

/* Pixels that were sent for a tile which the worker has not started yet. */
typedef struct pt_shipment {
    int64_t tile;
    size_t bytes;
} pt_shipment;

typedef struct pt_member {
    pt_peer peer;
    pt_worker worker; /* with the scheduler */
    uint8_t instance[PT_INSTANCE_ID];
    uint64_t slot; /* 0: none */
    char name[128], backend[128];
    int threads;
    bool wants_pixels;
    bool ready;    /* told to the scheduler */
    bool draining; /* asked for no more */
    bool stalled;  /* given up for standing still: the scheduler knows it no longer */
    int credit, held;
    uint64_t progress; /* as it last beat */
    double joined, heard;
    int64_t tiles;       /* settled by it */
    double tile_seconds; /* mean of its last tiles, the latest weigh most */
    pt_shipment shipments[PT_HELD_MAX];
    size_t shipment_count;
    size_t place;                              /* in the roster's list */
    struct pt_member *next[PT_ROSTER_INDEXES]; /* in the index's bucket */
} pt_member;

/* A zeroed roster is valid and empty. */
typedef struct pt_roster {
    pt_member **members; /* owned, and each */
    size_t count, capacity;
    pt_member **buckets[PT_ROSTER_INDEXES]; /* owned; a power of two each */
    size_t bucket_count;
} pt_roster;

void pt_roster_fini(pt_roster *roster);
/* All other fields of the new member are zero. PT_E_NOMEM leaves all as it was. */
pt_status pt_roster_add(pt_roster *roster, pt_peer peer, pt_worker worker, const uint8_t *instance,
                        pt_member **out);
void pt_roster_remove(pt_roster *roster, pt_member **member); /* frees it */
void pt_roster_rebind(pt_roster *roster, pt_member *member, pt_peer peer);

pt_member *pt_roster_peer(const pt_roster *roster, pt_peer peer); /* NULL: nobody, as below */
pt_member *pt_roster_worker(const pt_roster *roster, pt_worker worker);
pt_member *pt_roster_instance(const pt_roster *roster, const uint8_t *instance);
/* Another life of the same slot (not 0) than `instance`. Looks at all: for the arrival of a worker. */
pt_member *pt_roster_slot(const pt_roster *roster, uint64_t slot, const uint8_t *instance);
/* One whose backend may compute other floats than the member's: `native` gives the same bits on every CPU,
 * any other only where the whole text is the same. Looks at all, as above. */
const pt_member *pt_roster_differs(const pt_roster *roster, const pt_member *member);

#endif
