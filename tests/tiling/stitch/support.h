/* Scenes of random shapes, what a perfect and a bad detector see of them, and a stitcher run over all tiles.
 */
#ifndef PANTILE_TESTS_TILING_STITCH_SUPPORT_H
#define PANTILE_TESTS_TILING_STITCH_SUPPORT_H

#include "tiling/stitch/stitch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void seed_random(uint64_t seed);
int64_t random_to(int64_t n); /* 0 .. n - 1 */
bool chance(int percent);

void expect_ok(pt_status status);

/* Truth: masks of objects, each connected by its pixels' eight neighbours. */
typedef struct truth {
    int64_t width, height;
    pt_mask *masks;
    size_t count;
} truth;

/* Shapes of many kinds; `disjoint`: no pixel belongs to two. */
truth random_truth(int64_t width, int64_t height, int shapes, bool disjoint);
void truth_fini(truth *t);

/* What lies inside a rectangle of a mask; empty when nothing does. */
pt_mask mask_inside(const pt_mask *mask, pt_rect rect);

/* One list per tile. */
typedef struct tiles {
    pt_grid grid;
    pt_instance_list *lists;
    bool *unseen; /* tiles that nobody looked at */
} tiles;

tiles oracle_tiles(const truth *t, const pt_grid *grid);
/* Moved, grown, shrunk, split, doubled, lost and invented detections with random scores, two classes, and
 * probabilities for all (`probs`) or for some. */
tiles noisy_tiles(const truth *t, const pt_grid *grid, bool probs);
tiles tiles_copy(const tiles *t);
void tiles_fini(tiles *t);

/* What a stitcher gave, sorted by all that an object has. */
typedef struct results {
    pt_object *items;
    size_t count, capacity;
    pt_stitch_stats stats;
} results;

pt_status collect(void *user, pt_object *object);
void results_sort(results *r);
void results_fini(results *r);
bool results_equal(const results *a, const results *b);

/* Adds a copy of every tile in the order given (NULL: by index) and expects success. */
results stitch_all(const tiles *t, pt_stitch_options options, const int64_t *order);
/* A random order of 0 .. count - 1; free it. */
int64_t *shuffled(int64_t count);

#endif
