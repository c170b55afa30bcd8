/* Instances of overlapping tiles -> objects, each exactly once.
 *
 * Feed every tile of the grid once, in any order, from any threads: objects come out through a callback as
 * soon as no missing tile can change them. What comes out is a function of the set of detections alone; the
 * order in which it comes out is not, so whoever writes sorts: by the tile that owns the anchor, anchor,
 * score_q, box, spans, which is total up to equal objects.
 *
 * The rules, in this order (docs/decisions/0002-stitching.md says why):
 *   - A detection is *cut* when its mask's box comes within options.edge pixels of a window side that has a
 *     neighbour; otherwise it is *whole*.
 *   - Two detections of one class and different tiles *agree* when the IoU of their masks inside the overlap
 * of their windows is at least options.agreement. Pairs that agree are joined, best first, never two of a
 * tile.
 *   - A group with a whole detection whose window holds all that the group's others saw is that detection
 * alone, unmerged. Several: the one of the tile whose core holds the centre of the best one's box; none
 * there: the best. It is dropped when that owner saw nothing of it although its window holds all of it.
 *   - Any other group of two or more is voted on per pixel; the nearer a pixel is to a window's seam, the
 * less that window's opinion counts.
 *   - If that mask, or a cut detection that agrees with no other, ends at the rim of the windows that saw it,
 * it is a piece: kept only when the tile whose core holds the centre of its box is one of those that saw it.
 *   - Of two objects whose overlap covers options.duplicate of the smaller one, the worse is dropped. Pixels
 * that one and the same tile gave to both do not count: there the network itself saw two objects.
 *
 * Life cycle:
 *   pt_stitcher_new(&grid, pt_stitch_defaults(), emit, user, &stitcher)
 *   pt_stitcher_add(stitcher, tile, &list)       for every tile, also for the empty, skipped and failed ones
 *   pt_stitcher_finish(stitcher)                 all tiles were added: PT_E_INTERNAL names the first missing
 * one pt_stitcher_free(&stitcher)
 */
#ifndef PANTILE_TILING_STITCH_STITCH_H
#define PANTILE_TILING_STITCH_STITCH_H

#include "tiling/grid/grid.h"
#include "tiling/instance/instance.h"

typedef struct pt_stitcher pt_stitcher;

typedef struct pt_stitch_options {
    double agreement; /* IoU inside the shared overlap from which two detections are one object; 0 < a <= 1 */
    double duplicate; /* a finished object that overlaps a better one of other tiles by this share of the
                         smaller area or more is dropped; > 0, and > 1 keeps all */
    int64_t edge; /* a mask less than this many pixels from a window side that has a neighbour counts as cut
                     there; >= 1, which means touching; more than the overlap counts as the overlap */
} pt_stitch_options;

pt_stitch_options pt_stitch_defaults(void); /* 0.5, 0.5, 4 */

/* A finished object: one tile's mask and probabilities as they were, or the vote per pixel of several tiles
 * with the weighted mean of their probabilities where all had them. Merged objects whose box has more than
 * 2^26 pixels come without probabilities. */
typedef struct pt_object {
    pt_instance
        instance;  /* score: of the tile whose mask it is, the best part's when merged; truncated: any part */
    int32_t tiles; /* tiles whose detections went into the mask */
    bool merged;   /* more than one */
    int64_t anchor_x; /* the centre pixel of the mask's box, scene coordinates */
    int64_t anchor_y;
} pt_object;

void pt_object_fini(pt_object *object);

/* Called from within pt_stitcher_add, never by two threads at once; the stitcher's state is not locked
 * meanwhile, so pt_stitcher_stats may be called but not pt_stitcher_add. May move the object's arrays away
 * (zero what it takes); the stitcher frees what is left. A failure stops the stitcher: it is returned by the
 * call that ran into it and by all later ones. */
typedef pt_status pt_object_sink(void *user, pt_object *object);

/* `grid` is copied. Tiles up to 2^20 pixels a side. */
pt_status pt_stitcher_new(const pt_grid *grid, pt_stitch_options options, pt_object_sink *sink, void *user,
                          pt_stitcher **out);

/* Takes the list's contents (the list is empty afterwards), also on failure. Masks must lie inside the tile's
 * window. NULL instead of a list means that nobody looked at the tile (it failed): its silence then drops no
 * neighbour's detection, as an empty list's does. Adding a tile twice is PT_E_INTERNAL. Thread-safe. */
pt_status pt_stitcher_add(pt_stitcher *stitcher, int64_t tile, pt_instance_list *instances);

/* After all calls of pt_stitcher_add have returned. */
pt_status pt_stitcher_finish(pt_stitcher *stitcher);
void pt_stitcher_free(pt_stitcher **stitcher);

/* For reports: detections waiting for neighbours now, and the most there ever were. */
typedef struct pt_stitch_stats {
    int64_t waiting, waiting_peak;
    int64_t detections;                                          /* added */
    int64_t objects;                                             /* given to the sink */
    int64_t merged;                                              /* of these, voted from several tiles */
    int64_t dropped_not_owner, dropped_duplicate, dropped_empty; /* empty: a vote that left no pixel */
} pt_stitch_stats;
pt_stitch_stats pt_stitcher_stats(pt_stitcher *stitcher);

#endif
