/* Instances of overlapping tiles -> objects, each exactly once.
 *
 * Feed every tile of the grid once, in any order, from any threads: objects come out through a callback as soon
 * as no missing tile can touch them. What comes out is a function of the set of detections alone (the order in
 * which it comes out is not; whoever writes sorts by the feature's anchor).
 *
 * Life cycle:
 *   pt_stitcher_new(&grid, pt_stitch_defaults(), emit, user, &stitcher)
 *   pt_stitcher_add(stitcher, tile, &list)       for every tile, also for the empty, skipped and failed ones
 *   pt_stitcher_finish(stitcher)                 all tiles were added: PT_E_INTERNAL names the first missing one
 *   pt_stitcher_free(&stitcher)
 */
#ifndef PANTILE_TILING_STITCH_STITCH_H
#define PANTILE_TILING_STITCH_STITCH_H

#include "tiling/grid/grid.h"
#include "tiling/instance/instance.h"

typedef struct pt_stitcher pt_stitcher;

typedef struct pt_stitch_options {
    double agreement; /* IoU inside the shared overlap from which two detections are one object; 0 < a <= 1 */
    double duplicate; /* a finished object that overlaps a better one of other tiles by this share of the
                         smaller area or more is dropped; > 1 keeps all */
    int64_t edge;     /* a mask this close (pixels) to a window side that has a neighbour counts as cut there */
} pt_stitch_options;

pt_stitch_options pt_stitch_defaults(void);

/* A finished object: final mask (vote per pixel), mean probabilities where every part had them. */
typedef struct pt_object {
    pt_instance instance; /* score: the best part's */
    int32_t tiles;        /* tiles that contributed */
    bool merged;          /* tiles > 1 went into the mask */
    int64_t anchor_x;     /* canonical pixel, scene coordinates */
    int64_t anchor_y;
} pt_object;

void pt_object_fini(pt_object *object);

/* Called without any lock held but never by two threads at once. May move the object's arrays away (zero what it takes);
 * the stitcher frees what is left. A failure stops the stitcher: it is returned by the call that ran into it. */
typedef pt_status pt_object_sink(void *user, pt_object *object);

/* `grid` is copied. */
pt_status pt_stitcher_new(const pt_grid *grid, pt_stitch_options options, pt_object_sink *sink, void *user,
                          pt_stitcher **out);

/* Takes the list's contents (the list is empty afterwards), also on failure. Adding a tile twice is
 * PT_E_INTERNAL. Thread-safe. */
pt_status pt_stitcher_add(pt_stitcher *stitcher, int64_t tile, pt_instance_list *instances);

pt_status pt_stitcher_finish(pt_stitcher *stitcher);
void pt_stitcher_free(pt_stitcher **stitcher);

/* For reports: detections waiting for neighbours now, and the most there ever were. */
typedef struct pt_stitch_stats {
    int64_t waiting, waiting_peak;
    int64_t detections, objects, merged, dropped_not_owner, dropped_duplicate;
} pt_stitch_stats;
pt_stitch_stats pt_stitcher_stats(pt_stitcher *stitcher);

#endif
