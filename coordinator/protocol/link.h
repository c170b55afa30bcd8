/* What coordinator and worker say to each other, and the wire they say it over.
 *
 * The coordinator assigns tiles and takes results; a worker takes tiles and replies. Today's only link is a
 * bounded in-process queue; links between processes fill the same table. Any number of worker threads may
 * share one link.
 *
 * Two ways to end: no_more lets the workers finish what was assigned, after which next returns PT_E_STOPPED;
 * close ends at once from either side, drops what is queued, and makes every other call return PT_E_STOPPED.
 *
 * Life cycle: pt_link_new_local(credit, &link) -> both sides use it -> pt_link_close (either side, any number
 * of times) -> threads joined -> pt_link_free.
 */
#ifndef PANTILE_COORDINATOR_PROTOCOL_LINK_H
#define PANTILE_COORDINATOR_PROTOCOL_LINK_H

#include "tiling/base/base.h"
#include "tiling/instance/instance.h"

typedef struct pt_assignment {
    int64_t tile;   /* grid index */
    pt_rect window; /* scene pixels */
    int attempt;    /* 1, 2, ... */
} pt_assignment;

typedef enum pt_tile_outcome {
    PT_TILE_DONE,    /* inferred; instances may be none */
    PT_TILE_EMPTY,   /* no valid pixel: not inferred */
    PT_TILE_OUTSIDE, /* outside the area of interest: not read */
    PT_TILE_FAILED,  /* `status` says why */
} pt_tile_outcome;

/* A zeroed result is valid and empty. */
typedef struct pt_result {
    int64_t tile;
    int attempt;
    pt_tile_outcome outcome;
    pt_status status;           /* of a failed tile */
    pt_instance_list instances; /* owned; scene pixels */
    bool capped;                /* a cap on proposals or detections was hit */
    double read_seconds, infer_seconds;
} pt_result;

void pt_result_fini(pt_result *result);

typedef struct pt_link pt_link;

/* Each member may be called by its side's thread(s) at any time before free; none is called with a lock held.
 */
typedef struct pt_link_vtable {
    /* Coordinator. Blocks while `credit` assignments wait for a worker. */
    pt_status (*assign)(pt_link *link, const pt_assignment *assignment);
    /* Coordinator. Blocks until there is a result; the caller owns *out. */
    pt_status (*take)(pt_link *link, pt_result *out);
    /* Worker. Blocks until there is an assignment; PT_E_STOPPED: none will come. */
    pt_status (*next)(pt_link *link, pt_assignment *out);
    /* Worker. Takes the result's contents (zeroes *result) on success; on failure the caller keeps them.
     * Blocks while `credit` results wait to be taken. */
    pt_status (*reply)(pt_link *link, pt_result *result);
    void (*no_more)(pt_link *link); /* coordinator: no assignment will follow */
    void (*close)(pt_link *link);   /* either, any number of times */
    void (*free)(pt_link *link);    /* after all threads are done with it */
} pt_link_vtable;

struct pt_link {
    const pt_link_vtable *vtable;
};

/* `credit`: how many items each direction holds, 1 or more (PT_E_USAGE). A coordinator that never has more
 * than `credit` tiles out (assigned, not taken) is never blocked by assign. */
pt_status pt_link_new_local(size_t credit, pt_link **out);

pt_status pt_link_assign(pt_link *link, const pt_assignment *assignment);
pt_status pt_link_take(pt_link *link, pt_result *out);
pt_status pt_link_next(pt_link *link, pt_assignment *out);
pt_status pt_link_reply(pt_link *link, pt_result *result);
void pt_link_no_more(pt_link *link);
void pt_link_close(pt_link *link);
void pt_link_free(pt_link **link);

#endif
