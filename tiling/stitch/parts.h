/* Private to tiling/stitch: what the stitcher remembers and how its files share the work.
 *
 *   tiles.c      which tiles were added, and the detections of those that still miss a neighbour
 *   detection.c  checks, order and the relation of two detections
 *   component.c  components of agreeing detections, contacts between them
 *   resolve.c    a closed component -> candidates for objects: joining, ownership
 *   vote.c       a group of detections -> one mask
 *   duplicate.c  candidates that meet: which of them become objects
 *   stitch.c     the public functions and the lock
 *
 * The way of a detection: its tile is added; it meets the detections of the tiles already there; those it
 * agrees with form its *component*. A tile is *surrounded* once all tiles whose windows meet its own were
 * added; a component all of whose tiles are surrounded can grow no more and is *resolved* into candidates. A
 * candidate is *settled* once every component that its own one is in contact with is resolved too; then its
 * fate depends only on better candidates.
 */
#ifndef PANTILE_TILING_STITCH_PARTS_H
#define PANTILE_TILING_STITCH_PARTS_H

#include "tiling/stitch/stitch.h"

#include <pthread.h>

/* Shares are compared as integers: 1.0 is SHARE_ONE. */
enum { SHARE_ONE = 65536 };

typedef struct pt_component pt_component;
typedef struct pt_candidate pt_candidate;
typedef struct pt_detection pt_detection;

/* Two detections of one class and different tiles whose masks share a pixel; each of the two owns one. */
typedef struct pt_contact {
    pt_detection *other;
    int64_t
        agreement;   /* IoU inside the overlap in SHARE_ONE; 0 when below the threshold: they do not agree */
    bool same_thing; /* they do not agree, but share enough of the smaller one to be duplicates */
    struct pt_contact *next;
} pt_contact;

struct pt_detection {
    pt_instance instance;
    int64_t tile;
    pt_rect window; /* of the tile */
    size_t order;   /* among the tile's detections, by content */
    uint16_t score_q;
    bool cut;
    pt_contact *contacts;
    pt_component *component;
    pt_detection *next;      /* in its component */
    size_t slot;             /* while its component is resolved: its place there */
    pt_candidate *candidate; /* once resolved: what it became a part of; NULL when it was dropped */
    pt_detection *next_part; /* in its candidate */
};

typedef struct pt_rival {
    pt_candidate *other;
    bool worse; /* it is a duplicate of ours, and ours is better */
    struct pt_rival *next;
} pt_rival;

struct pt_candidate {
    pt_object object;
    int rank; /* 0: complete and in its owner's hands, 1: kept for lack of a better one */
    uint16_t score_q;
    pt_component *component;
    pt_detection *parts; /* all of its group, also those whose masks were not used; ordered by tile */
    pt_rival *rivals;    /* candidates it was compared with */
    size_t undecided;    /* better duplicates of it that are still undecided */
    bool settled, suppressed;
    pt_candidate *next;      /* in its component */
    pt_candidate *next_work; /* in a list of those to decide */
};

struct pt_component {
    pt_detection *members, *last;
    size_t count;
    size_t open; /* members whose tile is not surrounded */
    bool resolved;
    size_t pending; /* once resolved: contacts with components that are not */
    pt_candidate *candidates;
    size_t undecided;
    pt_component *previous, *next; /* in the stitcher */
    pt_component *next_work;       /* in a list of those to resolve or to settle */
    bool listed;                   /* is in such a list */
};

/* A tile that is not surrounded and has detections. */
typedef struct pt_waiting_tile {
    int64_t tile;
    int64_t missing; /* neighbours that were not added */
    pt_detection **detections;
    size_t count;
    struct pt_waiting_tile *next; /* in its bucket */
} pt_waiting_tile;

typedef struct pt_tile_book {
    uint8_t *state; /* pt_tile_state of every tile */
    pt_waiting_tile **buckets;
    size_t bucket_count; /* a power of two */
    size_t waiting;
} pt_tile_book;

typedef enum pt_tile_state { PT_TILE_MISSING, PT_TILE_SEEN, PT_TILE_UNSEEN } pt_tile_state;

/* Objects on their way to the sink. */
typedef struct pt_outbox {
    pt_object *items;
    size_t count, capacity;
} pt_outbox;

struct pt_stitcher {
    pt_grid grid;
    int64_t agreement, duplicate; /* in SHARE_ONE */
    int64_t edge; /* at most the overlap, so that what is cut reaches into a neighbour's window */
    pt_object_sink *sink;
    void *user;
    pthread_mutex_t sink_lock;
    pthread_mutex_t lock; /* guards all below */
    pt_status failure;    /* the first one; nothing is done after it */
    pt_tile_book book;
    pt_component *components;
    pt_component *to_resolve; /* closed ones */
    pt_component *to_settle;
    pt_outbox outbox;
    pt_stitch_stats stats;
};

/* tiles.c */
pt_status pt_tile_book_init(const pt_grid *grid, pt_tile_book *out);
void pt_tile_book_fini(pt_tile_book *book); /* the detections belong to their components */
pt_waiting_tile *pt_tile_book_find(const pt_tile_book *book, int64_t tile);
pt_status pt_tile_book_insert(pt_tile_book *book, pt_waiting_tile *tile); /* takes on success */
void pt_tile_book_remove(pt_tile_book *book, int64_t tile);               /* frees it */
void pt_waiting_tile_free(pt_waiting_tile *tile);

/* detection.c */
/* Whether a box comes within `edge` pixels of a side of a window, or of the rectangle around several, that is
 * not the scene's edge. */
bool pt_box_is_cut(const pt_grid *grid, pt_rect window, pt_rect box, int64_t edge);
pt_status pt_instances_check(const pt_grid *grid, int64_t tile, const pt_instance_list *list);
/* Total order by content: what compares equal is equal. For qsort over pt_instance. */
int pt_instance_compare(const void *a, const void *b);
int pt_mask_compare(const pt_mask *a, const pt_mask *b);
/* Whether `part` is at least `share` of `whole`; exact for all areas. */
bool pt_is_share(int64_t part, int64_t whole, int64_t share);
/* The centre pixel of a box that is not empty. */
int64_t pt_centre_x(pt_rect box);
int64_t pt_centre_y(pt_rect box);

/* component.c */
/* Takes the instance on success; the detection is owned by its new component. */
pt_status pt_component_new(pt_stitcher *s, int64_t tile, size_t order, pt_instance *instance,
                           pt_detection **out);
void pt_component_free(pt_stitcher *s, pt_component *component);
/* Notes what two detections of different tiles have to do with each other. */
pt_status pt_component_meet(pt_stitcher *s, pt_detection *a, pt_detection *b);
void pt_component_list(pt_component **list, pt_component *component);
pt_component *pt_component_unlist(pt_component **list);

/* resolve.c */
pt_status pt_component_resolve(pt_stitcher *s, pt_component *component);

/* vote.c */
/* Fills mask and prob of *out; the mask is empty when no pixel has a majority. */
pt_status pt_vote(const pt_grid *grid, const pt_detection *const *parts, size_t count, pt_instance *out);

/* duplicate.c */
/* Compares the candidates of a component that was just resolved with those they are in contact with. */
pt_status pt_component_compare(pt_stitcher *s, pt_component *component);
/* Decides what can be decided in a component all of whose contacts are resolved; frees it when all is
 * decided. */
pt_status pt_component_settle(pt_stitcher *s, pt_component *component);
void pt_candidate_free(pt_candidate *candidate);

#endif
