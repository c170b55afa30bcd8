/* Shared by the wire (world.c) and the workers (actors.c) of tests. */
#ifndef PANTILE_TESTS_COORDINATOR_CONTROL_ACTORS_H
#define PANTILE_TESTS_COORDINATOR_CONTROL_ACTORS_H

#include "world.h"

#include <stdatomic.h>

#define FAR 1e18 /* a time that never comes */

enum { PARCELS = 1 << 14 };

typedef struct parcel {
    double at;
    uint64_t order; /* breaks ties, so that a sender's messages keep their order */
    bool to_hub;
    pt_peer peer;
    uint8_t *bytes;
    size_t size;
} parcel;

typedef struct holding {
    int64_t tile;
    int attempt;
    bool started, finished;
    double repeat; /* finished: when its result is sent again */
} holding;

typedef enum stage { SEEKS, OPENS, KNOWS, WORKS, GONE } stage;

typedef struct actor {
    stage stage;
    pt_peer peer;
    quirk quirk;
    uint8_t instance[PT_INSTANCE_ID], slot[PT_SLOT_ID];
    uint64_t job, progress;
    uint32_t epoch;
    uint8_t job_hash[32];
    double hello, opened, beat, heard, done; /* times; done: of the tile at work, FAR: none */
    holding held[PT_HELD_MAX];
    int count, computing; /* computing: index, -1 */
    bool draining, quirk_done;
    double reborn; /* FAR: never */
} actor;

typedef struct world {
    pt_hub hub; /* first: the control sees this */
    world_options options;
    pt_control *control;
    unsigned seed;
    double now;
    pt_peer next_peer;
    uint8_t next_life;
    actor actors[WORLD_WORKERS];
    parcel parcels[PARCELS];
    size_t count;
    uint64_t next_order;
    double last_at[2][4 * WORLD_WORKERS]; /* per direction and peer, so that order holds */
    int lost[PT_MSG_TYPES];
    pt_peer expelled[WORLD_WORKERS];
    atomic_bool woken;
    long left, since; /* allocations; and how many there were when the world was left */
    pt_link_stats stats;
    world_report report;
} world;

unsigned draw(world *w); /* 24 bits of the seed's */
void transmit(world *w, bool to_hub, pt_peer peer, const pt_message *message);

void be_born(world *w, actor *a);
void hear(world *w, actor *a, const pt_message *m);
double due_of(const world *w, const actor *a); /* when it acts next, if nobody speaks to it */
void act(world *w, actor *a);                  /* whatever is due now */
/* As after a restart of the coordinator: everything is open, and some results are on hand. */
void finish_before(world *w, actor *a);
static inline double earliest(double a, double b)
{
    return a < b ? a : b;
}

#endif
