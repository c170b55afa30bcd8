/* The rules one by one on two tiles, what is refused, failures, and memory. */
#include "support.h"

/* Two tiles of 100 pixels side by side that share the columns 60 to 99; the cores meet at column 80. */
static pt_grid two_tiles(void)
{
    pt_grid grid;
    expect_ok(pt_grid_init(160, 100, 100, 40, 1, &grid));
    assert_int_equal(pt_grid_count(&grid), 2);
    return grid;
}

static tiles empty_tiles(const pt_grid *grid)
{
    truth none = {0};
    return oracle_tiles(&none, grid);
}

static pt_instance *put_rect(tiles *t, int64_t tile, pt_rect rect, float score)
{
    pt_instance d = {.class_id = 1, .score = score};
    expect_ok(pt_mask_from_rect(rect, &d.mask));
    expect_ok(pt_instance_list_push(&t->lists[tile], &d));
    return &t->lists[tile].items[t->lists[tile].count - 1];
}

/* The mask's own value at each of its pixels. */
static void give_prob(pt_instance *d, pt_rect box, uint8_t q)
{
    d->prob = (pt_prob){box, pt_alloc((size_t)box.h, (size_t)box.w)};
    assert_non_null(d->prob.q);
    memset(d->prob.q, q, (size_t)pt_rect_area(box));
}

static results stitch(tiles *t)
{
    results r = stitch_all(t, pt_stitch_defaults(), NULL);
    tiles_fini(t);
    return r;
}

static void expect_one(results *r, pt_rect box, float score, int tiles_used)
{
    assert_int_equal(r->count, 1);
    assert_true(pt_rect_equal(r->items[0].instance.mask.box, box));
    assert_true(r->items[0].instance.score == score);
    assert_int_equal(r->items[0].tiles, tiles_used);
    assert_int_equal(r->items[0].merged, tiles_used > 1);
    assert_int_equal(r->items[0].anchor_x, box.x + box.w / 2);
    assert_int_equal(r->items[0].anchor_y, box.y + box.h / 2);
    results_fini(r);
}

static void the_owner_of_the_centre_gives_the_mask(void **state)
{
    (void)state;
    pt_grid grid = two_tiles();
    tiles t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){82, 10, 10, 10}, 0.9f);
    put_rect(&t, 1, (pt_rect){83, 10, 10, 10}, 0.5f);
    results r = stitch(&t);
    expect_one(&r, (pt_rect){83, 10, 10, 10}, 0.5f, 1);
}

static void jitter_at_the_core_gives_exactly_one(void **state)
{
    (void)state;
    pt_grid grid = two_tiles();
    /* Each tile places the centre in the other's core. */
    tiles t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){76, 10, 10, 10}, 0.9f);
    put_rect(&t, 1, (pt_rect){74, 10, 10, 10}, 0.8f);
    results r = stitch(&t);
    expect_one(&r, (pt_rect){74, 10, 10, 10}, 0.8f, 1);
    /* So far apart that they do not agree, yet the same thing by the share of the smaller one. */
    t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){77, 10, 10, 10}, 0.9f);
    put_rect(&t, 1, (pt_rect){73, 10, 10, 10}, 0.8f);
    r = stitch(&t);
    expect_one(&r, (pt_rect){77, 10, 10, 10}, 0.9f, 1);
}

static void what_its_owner_missed_is_dropped(void **state)
{
    (void)state;
    pt_grid grid = two_tiles();
    tiles t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){82, 10, 10, 10}, 0.9f);
    results r = stitch(&t);
    assert_int_equal(r.count, 0);
    assert_int_equal(r.stats.dropped_not_owner, 1);
    results_fini(&r);
    /* A failed tile missed nothing. */
    t = empty_tiles(&grid);
    t.unseen[1] = true;
    put_rect(&t, 0, (pt_rect){82, 10, 10, 10}, 0.9f);
    r = stitch(&t);
    expect_one(&r, (pt_rect){82, 10, 10, 10}, 0.9f, 1);
    /* Nor did one whose window cannot hold the object: this one begins left of it. */
    t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){55, 10, 40, 20}, 0.9f);
    put_rect(&t, 0, (pt_rect){68, 50, 27, 20}, 0.9f);
    r = stitch(&t);
    expect_one(&r, (pt_rect){55, 10, 40, 20}, 0.9f, 1);
}

static void a_piece_of_a_whole_object_is_not_another(void **state)
{
    (void)state;
    pt_grid grid = two_tiles();
    tiles t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){40, 10, 50, 20}, 0.7f);
    put_rect(&t, 1, (pt_rect){60, 10, 31, 20}, 0.9f);
    results r = stitch(&t);
    expect_one(&r, (pt_rect){40, 10, 50, 20}, 0.7f, 1);
}

static void pieces_cut_at_the_seam_are_merged(void **state)
{
    (void)state;
    pt_grid grid = two_tiles();
    tiles t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){20, 10, 80, 20}, 0.7f)->truncated = true;
    put_rect(&t, 1, (pt_rect){60, 10, 80, 20}, 0.9f);
    results r = stitch(&t);
    assert_true(r.items[0].instance.truncated);
    assert_int_equal(r.stats.merged, 1);
    expect_one(&r, (pt_rect){20, 10, 120, 20}, 0.9f, 2);
}

static void the_nearer_window_wins_the_vote(void **state)
{
    (void)state;
    pt_grid grid = two_tiles();
    tiles t = empty_tiles(&grid);
    /* Tile 0 sees rows 10 to 29, tile 1 rows 12 to 31: each is right on its own side of column 80. */
    put_rect(&t, 0, (pt_rect){20, 10, 80, 20}, 0.9f);
    put_rect(&t, 1, (pt_rect){60, 12, 80, 20}, 0.9f);
    results r = stitch(&t);
    assert_int_equal(r.count, 1);
    const pt_mask *mask = &r.items[0].instance.mask;
    assert_int_equal(pt_mask_area_in(mask, (pt_rect){0, 10, 160, 2}), 2 * 59); /* columns 20 to 78 */
    assert_int_equal(pt_mask_area_in(mask, (pt_rect){0, 30, 160, 2}), 2 * 59); /* columns 81 to 139 */
    results_fini(&r);
}

static void probabilities_are_averaged(void **state)
{
    (void)state;
    pt_grid grid = two_tiles();
    for (int with = 1; with <= 2; with++) {
        tiles t = empty_tiles(&grid);
        give_prob(put_rect(&t, 0, (pt_rect){20, 10, 80, 20}, 0.9f), (pt_rect){19, 9, 81, 22}, 200);
        pt_instance *other = put_rect(&t, 1, (pt_rect){60, 10, 80, 20}, 0.9f);
        if (with == 2) {
            give_prob(other, (pt_rect){60, 9, 81, 22}, 240);
        }
        results r = stitch(&t);
        assert_int_equal(r.count, 1);
        const pt_prob *prob = &r.items[0].instance.prob;
        if (with == 1) { /* not all parts have some */
            assert_null(prob->q);
            results_fini(&r);
            continue;
        }
        assert_true(pt_rect_equal(prob->box, (pt_rect){19, 9, 122, 22}));
        const uint8_t *row = prob->q + 5 * prob->box.w - 19;
        assert_int_equal(row[30], 200);
        assert_int_equal(row[130], 240);
        assert_int_equal(row[99], (1 * 200 + 20 * 240) / 21);
        assert_int_equal(row[79], (20 * 200 + 20 * 240) / 40);
        assert_int_equal(row[60], (20 * 200 + 1 * 240) / 21);
        assert_int_equal(prob->q[0], PT_PROB_HALF - 1); /* outside the masks never above half */
        results_fini(&r);
    }
}

static void other_classes_do_not_meet(void **state)
{
    (void)state;
    pt_grid grid = two_tiles();
    tiles t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){70, 10, 9, 10}, 0.9f);
    put_rect(&t, 1, (pt_rect){71, 10, 20, 10}, 0.9f)->class_id = 2;
    results r = stitch(&t);
    assert_int_equal(r.count, 2);
    results_fini(&r);
}

static void duplicates_of_other_tiles_are_dropped(void **state)
{
    (void)state;
    pt_grid grid = two_tiles();
    /* One object for tile 0, two for tile 1: whoever is surer is believed. */
    tiles t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){64, 10, 30, 10}, 0.9f);
    put_rect(&t, 1, (pt_rect){64, 10, 14, 10}, 0.6f);
    put_rect(&t, 1, (pt_rect){80, 10, 14, 10}, 0.8f);
    results r = stitch(&t);
    assert_int_equal(r.stats.dropped_duplicate, 2);
    expect_one(&r, (pt_rect){64, 10, 30, 10}, 0.9f, 1);
    t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){64, 10, 30, 10}, 0.7f);
    put_rect(&t, 1, (pt_rect){64, 10, 14, 10}, 0.6f);
    put_rect(&t, 1, (pt_rect){80, 10, 14, 10}, 0.8f);
    r = stitch(&t);
    assert_int_equal(r.count, 2);
    assert_true(r.items[0].instance.score == 0.6f && r.items[1].instance.score == 0.8f);
    results_fini(&r);
    /* The same two of one tile are that tile's business. */
    t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){10, 10, 30, 10}, 0.9f);
    put_rect(&t, 0, (pt_rect){10, 10, 14, 10}, 0.6f);
    r = stitch(&t);
    assert_int_equal(r.count, 2);
    results_fini(&r);
}

static void one_tile_never_gives_two_parts(void **state)
{
    (void)state;
    pt_grid grid = two_tiles();
    tiles t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){20, 10, 80, 10}, 0.9f);
    put_rect(&t, 0, (pt_rect){20, 20, 80, 10}, 0.9f);
    put_rect(&t, 1, (pt_rect){60, 10, 80, 20}, 0.9f);
    results r = stitch(&t);
    assert_int_equal(r.count, 2);
    assert_int_equal(r.items[0].tiles + r.items[1].tiles, 3);
    results_fini(&r);
}

/* Two tiles above each other agree on what their common right side left of an object. */
static void agreed_pieces_are_pieces_all_the_same(void **state)
{
    (void)state;
    pt_grid grid;
    expect_ok(pt_grid_init(160, 160, 100, 40, 1, &grid));
    assert_int_equal(pt_grid_count(&grid), 4);
    tiles t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){90, 70, 10, 20}, 0.9f);
    put_rect(&t, 2, (pt_rect){90, 70, 10, 20}, 0.9f);
    put_rect(&t, 1, (pt_rect){96, 70, 40, 20}, 0.5f);
    put_rect(&t, 3, (pt_rect){96, 70, 40, 20}, 0.6f);
    results r = stitch(&t);
    assert_int_equal(r.stats.dropped_not_owner, 1);
    expect_one(&r, (pt_rect){96, 70, 40, 20}, 0.6f, 1);
    /* In the core of those who saw it, it stays when there is nothing better. */
    t = empty_tiles(&grid);
    put_rect(&t, 0, (pt_rect){50, 70, 50, 20}, 0.9f);
    put_rect(&t, 2, (pt_rect){50, 70, 50, 20}, 0.8f);
    r = stitch(&t);
    expect_one(&r, (pt_rect){50, 70, 50, 20}, 0.9f, 2);
}

static void huge_merged_objects_go_without_probabilities(void **state)
{
    (void)state;
    pt_grid grid;
    expect_ok(pt_grid_init(8200, 8200, 1024, 256, 1, &grid));
    tiles t = empty_tiles(&grid);
    for (int64_t i = 0; i < pt_grid_count(&grid); i++) {
        pt_rect w = pt_grid_window(&grid, i);
        if (w.x == 0 || w.y == 0) { /* an L along two sides of the scene */
            pt_rect bar = w.x == 0 ? (pt_rect){0, w.y, 3, w.h} : (pt_rect){w.x, 0, w.w, 3};
            pt_instance *d = put_rect(&t, i, bar, 1);
            if (i == 0) {
                uint8_t *bytes = calloc((size_t)(w.w * w.h), 1);
                assert_non_null(bytes);
                memset(bytes, 1, (size_t)w.w * 3);
                pt_mask_paint(&d->mask, w, bytes, w.w, 1);
                pt_mask_fini(&d->mask);
                expect_ok(pt_mask_from_bytes(w, bytes, w.w, 1, &d->mask));
                free(bytes);
            }
            give_prob(d, d->mask.box, 200);
        }
    }
    results r = stitch(&t);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.items[0].instance.mask.area, 3 * 8200 * 2 - 9);
    assert_null(r.items[0].instance.prob.q);
    results_fini(&r);
}

static void small_objects_leave_soon(void **state)
{
    (void)state;
    pt_grid grid;
    expect_ok(pt_grid_init(1500, 20000, 256, 64, 32, &grid));
    tiles t = empty_tiles(&grid);
    int64_t *in_row = calloc((size_t)grid.rows, sizeof *in_row);
    assert_non_null(in_row);
    int64_t truth_count = 0;
    for (int64_t y = 5; y + 40 < 20000; y += 50) {
        for (int64_t x = 5; x + 40 < 1500; x += 50, truth_count++) {
            pt_rect rect = {x, y, 10 + random_to(30), 10 + random_to(30)};
            pt_grid_range range = pt_grid_touching(&grid, rect);
            for (int64_t row = range.row0; row < range.row1; row++) {
                for (int64_t col = range.col0; col < range.col1; col++, in_row[row]++) {
                    int64_t tile = pt_grid_index(&grid, col, row);
                    put_rect(&t, tile, pt_rect_intersect(rect, pt_grid_window(&grid, tile)), 1);
                }
            }
        }
    }
    int64_t most = 0;
    for (int64_t row = 0; row < grid.rows; row++) {
        most = in_row[row] > most ? in_row[row] : most;
    }
    results r = stitch(&t);
    assert_int_equal(r.count, truth_count);
    assert_true(r.stats.waiting_peak <= 4 * most);
    assert_true(r.stats.detections > 20 * most);
    results_fini(&r);
    free(in_row);
}

static void large_grids_are_light(void **state)
{
    (void)state;
    pt_grid grid;
    pt_stitcher *stitcher;
    results r = {0};
    expect_ok(pt_grid_init(200000, 200000, 1024, 256, 32, &grid));
    expect_ok(pt_stitcher_new(&grid, pt_stitch_defaults(), collect, &r, &stitcher));
    pt_rect bar = {199000, 500, 40, 150000};
    for (int64_t i = 0; i < pt_grid_count(&grid); i++) {
        pt_instance_list list = {0};
        pt_instance d = {.class_id = 1, .score = 1};
        expect_ok(pt_mask_from_rect(pt_rect_intersect(bar, pt_grid_window(&grid, i)), &d.mask));
        if (d.mask.count > 0) {
            expect_ok(pt_instance_list_push(&list, &d));
        }
        expect_ok(pt_stitcher_add(stitcher, i, &list));
    }
    expect_ok(pt_stitcher_finish(stitcher));
    pt_stitcher_free(&stitcher);
    assert_int_equal(r.count, 1);
    assert_true(pt_rect_equal(r.items[0].instance.mask.box, bar));
    assert_int_equal(r.items[0].instance.mask.area, bar.w * bar.h);
    results_fini(&r);
}

static void expect_refused_options(pt_stitch_options options, int64_t tile, const char *says)
{
    pt_grid grid;
    results r = {0};
    pt_stitcher *stitcher = (pt_stitcher *)&r;
    expect_ok(pt_grid_init(tile + 10, 10, tile, 1, 1, &grid));
    pt_status status = pt_stitcher_new(&grid, options, collect, &r, &stitcher);
    assert_int_equal(status.code, PT_E_USAGE);
    assert_non_null(strstr(status.message, says));
    assert_ptr_equal(stitcher, &r);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    expect_refused_options((pt_stitch_options){0, 0.5, 4}, 100, "agreement of 0");
    expect_refused_options((pt_stitch_options){1.01, 0.5, 4}, 100, "agreement of 1.01");
    expect_refused_options((pt_stitch_options){0.5, 0, 4}, 100, "duplicate share of 0");
    expect_refused_options((pt_stitch_options){0.5, 0.5, 0}, 100, "edge of 0");
    expect_refused_options(pt_stitch_defaults(), (1 << 20) + 1, "tiles of 1048577");
}

static void expect_refused(pt_instance instance, const char *says)
{
    pt_grid grid = two_tiles();
    results r = {0};
    pt_stitcher *stitcher;
    pt_instance_list list = {0};
    expect_ok(pt_stitcher_new(&grid, pt_stitch_defaults(), collect, &r, &stitcher));
    expect_ok(pt_instance_list_push(&list, &instance));
    pt_status status = pt_stitcher_add(stitcher, 1, &list);
    assert_int_equal(status.code, PT_E_INTERNAL);
    assert_non_null(strstr(status.message, says));
    assert_non_null(strstr(status.message, "tile 1"));
    assert_int_equal(list.count, 0);
    pt_stitcher_free(&stitcher);
}

static pt_instance instance_of(pt_rect rect)
{
    pt_instance d = {.class_id = 1, .score = 1};
    expect_ok(pt_mask_from_rect(rect, &d.mask));
    return d;
}

static void bad_detections_are_refused(void **state)
{
    (void)state;
    pt_instance d = instance_of((pt_rect){59, 0, 10, 10});
    expect_refused(d, "outside the tile's window");
    d = instance_of((pt_rect){60, 0, 0, 0});
    expect_refused(d, "empty mask");
    d = instance_of((pt_rect){60, 0, 10, 10});
    d.class_id = 0;
    expect_refused(d, "no class");
    d = instance_of((pt_rect){60, 0, 10, 10});
    d.score = 1.5f;
    expect_refused(d, "score");
    d = instance_of((pt_rect){60, 0, 10, 10});
    give_prob(&d, (pt_rect){60, 0, 9, 10}, 200);
    expect_refused(d, "do not cover");
}

static void tiles_come_exactly_once(void **state)
{
    (void)state;
    pt_grid grid = two_tiles();
    results r = {0};
    pt_stitcher *stitcher;
    pt_instance_list list = {0};
    expect_ok(pt_stitcher_new(&grid, pt_stitch_defaults(), collect, &r, &stitcher));
    assert_non_null(strstr(pt_stitcher_finish(stitcher).message, "tile 0 was never"));
    expect_ok(pt_stitcher_add(stitcher, 0, &list));
    pt_status status = pt_stitcher_add(stitcher, 0, &list);
    assert_int_equal(status.code, PT_E_INTERNAL);
    assert_non_null(strstr(status.message, "tile 0 was given to the stitcher twice"));
    assert_int_equal(pt_stitcher_add(stitcher, 2, &list).code, PT_E_INTERNAL);
    assert_int_equal(pt_stitcher_add(stitcher, -1, &list).code, PT_E_INTERNAL);
    status = pt_stitcher_finish(stitcher);
    assert_int_equal(status.code, PT_E_INTERNAL);
    assert_non_null(strstr(status.message, "tile 1 was never"));
    /* None of it broke anything. */
    expect_ok(pt_stitcher_add(stitcher, 1, NULL));
    expect_ok(pt_stitcher_finish(stitcher));
    pt_stitcher_free(&stitcher);
    pt_stitcher_free(&stitcher);
}

static pt_status refuse(void *user, pt_object *object)
{
    (void)object;
    (*(int *)user)++;
    return pt_error(PT_E_NOSPACE, "the disk is full");
}

static void a_failed_sink_stops_the_stitcher(void **state)
{
    (void)state;
    pt_grid grid = two_tiles();
    tiles t = empty_tiles(&grid);
    int calls = 0;
    pt_stitcher *stitcher;
    put_rect(&t, 0, (pt_rect){5, 5, 9, 9}, 1);
    put_rect(&t, 0, (pt_rect){25, 5, 9, 9}, 1);
    expect_ok(pt_stitcher_new(&grid, pt_stitch_defaults(), refuse, &calls, &stitcher));
    expect_ok(pt_stitcher_add(stitcher, 0, &t.lists[0]));
    assert_int_equal(pt_stitcher_add(stitcher, 1, &t.lists[1]).code, PT_E_NOSPACE);
    assert_int_equal(calls, 1);
    assert_int_equal(pt_stitcher_finish(stitcher).code, PT_E_NOSPACE);
    pt_stitcher_free(&stitcher);
    tiles_fini(&t);
}

static void an_unfinished_stitcher_frees_all(void **state)
{
    (void)state;
    pt_grid grid = two_tiles();
    tiles t = empty_tiles(&grid);
    results r = {0};
    pt_stitcher *stitcher;
    give_prob(put_rect(&t, 0, (pt_rect){60, 5, 40, 9}, 1), (pt_rect){60, 5, 40, 9}, 200);
    expect_ok(pt_stitcher_new(&grid, pt_stitch_defaults(), collect, &r, &stitcher));
    expect_ok(pt_stitcher_add(stitcher, 0, &t.lists[0]));
    assert_int_equal(pt_stitcher_stats(stitcher).waiting, 1);
    pt_stitcher_free(&stitcher);
    tiles_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_owner_of_the_centre_gives_the_mask),
        cmocka_unit_test(jitter_at_the_core_gives_exactly_one),
        cmocka_unit_test(what_its_owner_missed_is_dropped),
        cmocka_unit_test(a_piece_of_a_whole_object_is_not_another),
        cmocka_unit_test(pieces_cut_at_the_seam_are_merged),
        cmocka_unit_test(the_nearer_window_wins_the_vote),
        cmocka_unit_test(probabilities_are_averaged),
        cmocka_unit_test(other_classes_do_not_meet),
        cmocka_unit_test(duplicates_of_other_tiles_are_dropped),
        cmocka_unit_test(one_tile_never_gives_two_parts),
        cmocka_unit_test(agreed_pieces_are_pieces_all_the_same),
        cmocka_unit_test(huge_merged_objects_go_without_probabilities),
        cmocka_unit_test(small_objects_leave_soon),
        cmocka_unit_test(large_grids_are_light),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(bad_detections_are_refused),
        cmocka_unit_test(tiles_come_exactly_once),
        cmocka_unit_test(a_failed_sink_stops_the_stitcher),
        cmocka_unit_test(an_unfinished_stitcher_frees_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
