/* With a bad detector: the result follows the rules, and neither the order nor the threads in which tiles
 * come show. */
#include "reference.h"

#include <pthread.h>

static tiles random_tiles(uint64_t seed, int64_t side, int shapes)
{
    seed_random(seed);
    truth t =
        random_truth(10 + random_to(side), 10 + random_to(side), 1 + (int)random_to(shapes), chance(70));
    int64_t tile = 12 + random_to(40);
    pt_grid grid;
    expect_ok(pt_grid_init(t.width, t.height, tile, 1 + random_to(tile * 2 / 3), 1, &grid));
    tiles seen = noisy_tiles(&t, &grid, chance(50));
    truth_fini(&t);
    return seen;
}

static pt_stitch_options random_options(void)
{
    return (pt_stitch_options){.agreement = (double)(1 + random_to(10)) / 10,
                               .duplicate = (double)(1 + random_to(12)) / 10,
                               .edge = 1 + random_to(6)};
}

static void the_rules_are_followed(void **state)
{
    (void)state;
    pt_stitch_stats sum = {0};
    for (uint64_t n = 0; n < 1200; n++) {
        tiles seen = random_tiles(n, 60, 10);
        pt_stitch_options options = chance(50) ? pt_stitch_defaults() : random_options();
        results expected = reference_stitch(&seen, options);
        results found = stitch_all(&seen, options, NULL);
        if (!results_equal(&expected, &found)) {
            fail_msg("seed %llu: %zu objects, the rules give %zu", (unsigned long long)n, found.count,
                     expected.count);
        }
        sum.objects += found.stats.objects;
        sum.merged += found.stats.merged;
        sum.dropped_duplicate += found.stats.dropped_duplicate;
        sum.dropped_not_owner += found.stats.dropped_not_owner;
        results_fini(&expected);
        results_fini(&found);
        tiles_fini(&seen);
    }
    /* The scenes bring out every rule. */
    assert_true(sum.objects > 1000 && sum.merged > 100);
    assert_true(sum.dropped_duplicate > 100 && sum.dropped_not_owner > 100);
}

/* The instances of each tile in another order. */
static void shuffle_lists(tiles *t)
{
    for (int64_t i = 0; i < pt_grid_count(&t->grid); i++) {
        pt_instance_list *list = &t->lists[i];
        for (size_t k = 0; k < list->count; k++) {
            size_t other = (size_t)random_to((int64_t)k + 1);
            pt_instance moved = list->items[k];
            list->items[k] = list->items[other];
            list->items[other] = moved;
        }
    }
}

static void the_order_does_not_show(void **state)
{
    (void)state;
    for (uint64_t n = 5000; n < 5060; n++) {
        tiles seen = random_tiles(n, 250, 25);
        results expected = stitch_all(&seen, pt_stitch_defaults(), NULL);
        for (int k = 0; k < 5; k++) {
            int64_t *order = shuffled(pt_grid_count(&seen.grid));
            shuffle_lists(&seen);
            results found = stitch_all(&seen, pt_stitch_defaults(), order);
            assert_true(results_equal(&expected, &found));
            assert_int_equal(expected.stats.dropped_duplicate, found.stats.dropped_duplicate);
            assert_int_equal(expected.stats.dropped_not_owner, found.stats.dropped_not_owner);
            results_fini(&found);
            free(order);
        }
        results_fini(&expected);
        tiles_fini(&seen);
    }
}

typedef struct job {
    pt_stitcher *stitcher;
    tiles *tiles;
    const int64_t *order;
    int64_t first, step;
    pt_status status;
} job;

static void *work(void *user)
{
    job *j = user;
    j->status = pt_ok();
    for (int64_t i = j->first; i < pt_grid_count(&j->tiles->grid) && j->status.code == PT_OK; i += j->step) {
        int64_t tile = j->order[i];
        bool unseen = j->tiles->unseen[tile];
        j->status = pt_stitcher_add(j->stitcher, tile, unseen ? NULL : &j->tiles->lists[tile]);
    }
    return NULL;
}

static results stitch_threaded(const tiles *seen, int threads)
{
    results r = {0};
    tiles copy = tiles_copy(seen);
    int64_t *order = shuffled(pt_grid_count(&seen->grid));
    pt_stitcher *stitcher;
    pthread_t ids[8];
    job jobs[8];
    expect_ok(pt_stitcher_new(&seen->grid, pt_stitch_defaults(), collect, &r, &stitcher));
    for (int i = 0; i < threads; i++) {
        jobs[i] = (job){stitcher, &copy, order, i, threads, pt_ok()};
        assert_int_equal(pthread_create(&ids[i], NULL, work, &jobs[i]), 0);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        expect_ok(jobs[i].status);
    }
    expect_ok(pt_stitcher_finish(stitcher));
    pt_stitcher_free(&stitcher);
    free(order);
    tiles_fini(&copy);
    results_sort(&r);
    return r;
}

static void threads_do_not_show(void **state)
{
    (void)state;
    for (uint64_t n = 7000; n < 7010; n++) {
        tiles seen = random_tiles(n, 250, 25);
        results expected = stitch_all(&seen, pt_stitch_defaults(), NULL);
        for (int threads = 1; threads <= 8; threads++) {
            results found = stitch_threaded(&seen, threads);
            assert_true(results_equal(&expected, &found));
            results_fini(&found);
        }
        results_fini(&expected);
        tiles_fini(&seen);
    }
}

/* A tile's own detections never overlap here, so any overlap of two objects is one of different tiles. */
static tiles disjoint_tiles(uint64_t seed)
{
    seed_random(seed);
    truth t = random_truth(120, 120, 20, true);
    pt_grid grid;
    expect_ok(pt_grid_init(120, 120, 30 + random_to(30), 8 + random_to(20), 1, &grid));
    tiles seen = oracle_tiles(&t, &grid);
    for (int64_t i = 0; i < pt_grid_count(&grid); i++) {
        /* Each tile sees all things of its own shifted alike. */
        int64_t dx = random_to(9) - 4;
        int64_t dy = random_to(9) - 4;
        pt_instance_list_fini(&seen.lists[i]);
        for (size_t k = 0; k < t.count; k++) {
            pt_mask moved;
            expect_ok(pt_mask_copy(&t.masks[k], &moved));
            moved.box = pt_rect_shift(moved.box, dx, dy);
            pt_instance d = {.class_id = 1, .score = (float)random_to(100) / 100};
            d.mask = mask_inside(&moved, pt_grid_window(&grid, i));
            pt_mask_fini(&moved);
            if (d.mask.count > 0 && !chance(10)) {
                expect_ok(pt_instance_list_push(&seen.lists[i], &d));
            }
            pt_instance_fini(&d);
        }
    }
    truth_fini(&t);
    return seen;
}

static void no_two_objects_cover_each_other(void **state)
{
    (void)state;
    for (uint64_t n = 9000; n < 9040; n++) {
        tiles seen = disjoint_tiles(n);
        results r = stitch_all(&seen, pt_stitch_defaults(), NULL);
        assert_true(r.count > 0);
        for (size_t i = 0; i < r.count; i++) {
            for (size_t k = 0; k < i; k++) {
                const pt_mask *a = &r.items[i].instance.mask;
                const pt_mask *b = &r.items[k].instance.mask;
                int64_t smaller = a->area < b->area ? a->area : b->area;
                assert_true(2 * pt_mask_intersection_in(a, b, a->box) < smaller);
            }
        }
        results_fini(&r);
        tiles_fini(&seen);
    }
}

static pt_code stitch_with_failure(const tiles *seen, long fail_after, results *r)
{
    tiles copy = tiles_copy(seen);
    pt_stitcher *stitcher = NULL;
    pt_alloc_fail_after(fail_after);
    pt_status status = pt_stitcher_new(&seen->grid, pt_stitch_defaults(), collect, r, &stitcher);
    for (int64_t i = 0; i < pt_grid_count(&seen->grid) && status.code == PT_OK; i++) {
        status = pt_stitcher_add(stitcher, i, copy.unseen[i] ? NULL : &copy.lists[i]);
    }
    pt_alloc_fail_after(-1);
    if (stitcher && status.code != PT_OK) {
        /* It stays failed. */
        assert_int_equal(pt_stitcher_add(stitcher, pt_grid_count(&seen->grid) - 1, NULL).code, PT_E_NOMEM);
        assert_int_equal(pt_stitcher_finish(stitcher).code, PT_E_NOMEM);
    }
    pt_stitcher_free(&stitcher);
    tiles_fini(&copy);
    return status.code;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (uint64_t n = 11; n < 14; n++) {
        tiles seen = random_tiles(n, 60, 8);
        pt_code code = PT_E_NOMEM;
        long after = 0;
        for (; code != PT_OK; after++) {
            results r = {0};
            code = stitch_with_failure(&seen, after, &r);
            assert_true(code == PT_OK || code == PT_E_NOMEM);
            results_fini(&r);
        }
        assert_true(after > 20);
        tiles_fini(&seen);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rules_are_followed),    cmocka_unit_test(the_order_does_not_show),
        cmocka_unit_test(threads_do_not_show),       cmocka_unit_test(no_two_objects_cover_each_other),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
