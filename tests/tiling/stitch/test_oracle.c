/* With a perfect detector, what is stitched is the truth, for every tile size, overlap and edge. */
#include "support.h"

#include <stdio.h>

static int compare_masks(const void *x, const void *y)
{
    const pt_mask *a = x;
    const pt_mask *b = y;
    if (a->box.y != b->box.y) {
        return a->box.y < b->box.y ? -1 : 1;
    }
    if (a->box.x != b->box.x) {
        return a->box.x < b->box.x ? -1 : 1;
    }
    if (a->area != b->area) {
        return a->area < b->area ? -1 : 1;
    }
    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    return memcmp(a->spans, b->spans, a->count * sizeof *a->spans);
}

static void expect_truth(truth *t, const pt_grid *grid, int64_t edge, const char *what)
{
    tiles seen = oracle_tiles(t, grid);
    pt_stitch_options options = pt_stitch_defaults();
    options.edge = edge;
    int64_t *order = shuffled(pt_grid_count(grid));
    results r = stitch_all(&seen, options, order);
    pt_mask *found = calloc(r.count + 1, sizeof *found);
    assert_non_null(found);
    for (size_t i = 0; i < r.count; i++) {
        found[i] = r.items[i].instance.mask;
    }
    if (t->count > 0) {
        qsort(t->masks, t->count, sizeof *t->masks, compare_masks);
        qsort(found, r.count, sizeof *found, compare_masks);
    }
    bool equal = r.count == t->count;
    for (size_t i = 0; equal && i < r.count; i++) {
        equal = pt_mask_equal(&found[i], &t->masks[i]);
    }
    if (!equal) {
        fail_msg("%s: %lld x %lld, tile %lld, overlap %lld, edge %lld: %zu objects, truth has %zu", what,
                 (long long)grid->width, (long long)grid->height, (long long)grid->tile,
                 (long long)grid->overlap, (long long)edge, r.count, t->count);
    }
    free(found);
    free(order);
    results_fini(&r);
    tiles_fini(&seen);
}

static pt_grid random_grid(int64_t width, int64_t height)
{
    int64_t tile = 6 + random_to(60);
    int64_t overlap = 1 + random_to(tile - 1 < tile * 3 / 4 ? tile - 1 : tile * 3 / 4);
    pt_grid grid;
    expect_ok(pt_grid_init(width, height, tile, overlap, 1, &grid));
    return grid;
}

static void disjoint_shapes(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 250; n++) {
        char what[40];
        snprintf(what, sizeof what, "seed %llu", (unsigned long long)n);
        seed_random(n);
        truth t = random_truth(1 + random_to(150), 1 + random_to(150), 1 + (int)random_to(14), true);
        pt_grid grid = random_grid(t.width, t.height);
        expect_truth(&t, &grid, 1 + random_to(6), what);
        truth_fini(&t);
    }
}

/* Two objects that look the same in some overlap of two windows but differ elsewhere: nothing tells which
 * halves belong together. */
static bool is_ambiguous(const truth *t, const pt_grid *grid)
{
    for (int64_t a = 0; a < pt_grid_count(grid); a++) {
        pt_grid_range r = pt_grid_touching(grid, pt_grid_window(grid, a));
        for (int64_t k = 0; k < (r.col1 - r.col0) * (r.row1 - r.row0); k++) {
            int64_t b = pt_grid_index(grid, r.col0 + k % (r.col1 - r.col0), r.row0 + k / (r.col1 - r.col0));
            pt_rect shared = pt_rect_intersect(pt_grid_window(grid, a), pt_grid_window(grid, b));
            for (size_t p = 0; b > a && p < t->count * t->count; p++) {
                const pt_mask *x = &t->masks[p / t->count];
                const pt_mask *y = &t->masks[p % t->count];
                int64_t both = x < y ? pt_mask_intersection_in(x, y, shared) : 0;
                if (both > 0 && both == pt_mask_area_in(x, shared) && both == pt_mask_area_in(y, shared)) {
                    return true;
                }
            }
        }
    }
    return false;
}

/* Truth layers hold overlapping and nested polygons too. */
static void overlapping_shapes(void **state)
{
    (void)state;
    int compared = 0;
    for (uint64_t n = 1000; n < 1300; n++) {
        char what[40];
        snprintf(what, sizeof what, "seed %llu", (unsigned long long)n);
        seed_random(n);
        truth t = random_truth(1 + random_to(150), 1 + random_to(150), 1 + (int)random_to(6), false);
        pt_grid grid = random_grid(t.width, t.height);
        if (!is_ambiguous(&t, &grid)) {
            expect_truth(&t, &grid, 1 + random_to(6), what);
            compared++;
        }
        truth_fini(&t);
    }
    assert_true(compared > 100);
}

/* Windows that overlap by all but a few pixels meet many others. */
static void almost_full_overlaps(void **state)
{
    (void)state;
    for (uint64_t n = 2000; n < 2030; n++) {
        seed_random(n);
        truth t = random_truth(20 + random_to(20), 20 + random_to(20), 3, true);
        pt_grid grid;
        int64_t tile = 4 + random_to(8);
        expect_ok(pt_grid_init(t.width, t.height, tile, tile - 1 - random_to(2), 1, &grid));
        expect_truth(&t, &grid, 1 + random_to(3), "almost full overlap");
        truth_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disjoint_shapes),
        cmocka_unit_test(overlapping_shapes),
        cmocka_unit_test(almost_full_overlaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
