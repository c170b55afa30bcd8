/* What coordinator and worker say to each other, and the wire they say it over.
 *
 * The coordinator assigns tiles and takes results; a worker takes tiles and replies. Today's only link is a bounded
 * in-process queue; links between processes fill the same table. A link closes from either side: then next and take
 * return PT_E_STOPPED once what was sent before is drained.
 *
 * Life cycle: pt_link_new_local(capacity, &link) -> both sides use it -> pt_link_close (either side, any number of
 * times) -> threads joined -> pt_link_free.
 */
#ifndef PANTILE_COORDINATOR_PROTOCOL_LINK_H
#define PANTILE_COORDINATOR_PROTOCOL_LINK_H

#include "tiling/base/base.h"
#include "tiling/instance/instance.h"

typedef struct pt_assignment {
    int64_t tile; /* grid index */
    pt_rect window;
    int attempt; /* 1, 2, ... */
} pt_assignment;

typedef enum pt_tile_outcome {
    PT_TILE_DONE,    /* inferred; instances may be none */
    PT_TILE_EMPTY,   /* no valid pixel: not inferred */
    PT_TILE_OUTSIDE, /* outside the area of interest: not read */
    PT_TILE_FAILED,  /* `status` says why */
} pt_tile_outcome;

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

/* Each member may be called by its side's thread(s) at any time before free; each may block until there is room, an item
 * or the close; none is called with a lock held. */
typedef struct pt_link_vtable {
    pt_status (*assign)(pt_link *link, const pt_assignment *assignment); /* coordinator */
    pt_status (*take)(pt_link *link, pt_result *out);                    /* coordinator; caller owns *out */
    pt_status (*next)(pt_link *link, pt_assignment *out);                /* worker */
    pt_status (*reply)(pt_link *link, pt_result *result);                /* worker; takes on success */
    void (*no_more)(pt_link *link);  /* coordinator: no assignment will follow; next then returns PT_E_STOPPED once drained */
    void (*close)(pt_link *link);    /* either: wakes everybody, drops what is queued */
    void (*free)(pt_link *link);     /* after all threads are done with it */
} pt_link_vtable;

struct pt_link {
    const pt_link_vtable *vtable;
};

pt_status pt_link_new_local(size_t credit, pt_link **out);
void pt_link_free(pt_link **link);

#endif
