/* What becomes of tiles. */
#include "tests/worker/loop/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const scenes[] = {"/vsimem/loop/a.tif", "/vsimem/loop/b.tif"};
static const char truth[] = "/vsimem/loop/truth.gpkg";
static pt_job_spec spec, null_spec, both_spec;
static pt_grid grid;

static int make_jobs(void **state)
{
    (void)state;
    fixture_scene(scenes[0], 1);
    fixture_scene(scenes[1], 2);
    fixture_truth(truth);
    spec = fixture_spec(scenes, 1, truth);
    null_spec = fixture_spec(scenes, 1, NULL);
    both_spec = fixture_spec(scenes, 2, truth);
    return pt_job_spec_grid(&spec, 0, &grid).code == PT_OK ? 0 : -1;
}

static int free_jobs(void **state)
{
    (void)state;
    pt_job_spec_fini(&spec);
    pt_job_spec_fini(&null_spec);
    pt_job_spec_fini(&both_spec);
    return 0;
}

static void start(stage *s, const pt_job_spec *job, const char *faults)
{
    if (faults) {
        setenv("PANTILE_TEST_FAULTS", faults, 1);
    } else {
        unsetenv("PANTILE_TEST_FAULTS");
    }
    stage_open(s, job);
    stage_start(s);
}

static bool is_blank(pt_rect window)
{
    return window.x + window.w <= FIXTURE_SIDE / 2 && window.y + window.h <= FIXTURE_SIDE / 2;
}

/* A tile that has pixels and lies far from the blank quarter. */
static int64_t busy_tile(int64_t n)
{
    return pt_grid_count(&grid) - 1 - n;
}

/* All tiles of the job, never more than the credit out; the digests of what was found, by tile. */
static void run_all(const pt_job_spec *job, int credit, uint64_t *digests)
{
    stage s;
    unsetenv("PANTILE_TEST_FAULTS");
    stage_open(&s, job);
    s.options.credit = credit;
    stage_start(&s);
    assert_int_equal(stage_welcome(&s), credit);
    int64_t tiles = pt_job_spec_tiles(job), next = 0, back = 0;
    while (back < tiles) {
        for (; next < tiles && next - back < credit; next++) {
            stage_say_tile(&s, PT_MSG_ASSIGN, next, 1);
        }
        stage_expect_started(&s, back, 1); /* in the order in which they were assigned */
        pt_message m = stage_expect(&s, PT_MSG_RESULT);
        pt_result *r = &m.as.result.result;
        pt_rect window = pt_grid_window(&grid, back % pt_grid_count(&grid));
        assert_int_equal(r->tile, back);
        assert_int_equal(r->outcome, is_blank(window) ? PT_TILE_EMPTY : PT_TILE_DONE);
        assert_true(r->read_seconds >= 0 && r->infer_seconds >= 0);
        if (m.as.result.payload) {
            assert_int_equal(
                pt_instances_decode(m.as.result.payload, m.as.result.size, window, &r->instances).code,
                PT_OK);
            assert_true(r->instances.count > 0);
        }
        digests[back++] = pt_result_digest(r->outcome, r->capped, m.as.result.payload, m.as.result.size);
        stage_say_tile(&s, PT_MSG_ACK, r->tile, 1);
        pt_message_fini(&m);
    }
    stage_bye(&s);
}

static void test_every_tile_is_answered_the_same_way(void **state)
{
    (void)state;
    int64_t tiles = pt_job_spec_tiles(&spec), distinct = 0;
    uint64_t *one = calloc((size_t)tiles, sizeof *one), *many = calloc((size_t)tiles, sizeof *many);
    run_all(&spec, 1, one);
    run_all(&spec, 8, many);
    assert_memory_equal(one, many, (size_t)tiles * sizeof *one);
    uint64_t nothing = pt_result_digest(PT_TILE_EMPTY, false, NULL, 0);
    for (int64_t i = 0; i < tiles; i++) {
        distinct += one[i] != nothing;
    }
    assert_int_equal(distinct, tiles - 16); /* 4 x 4 windows lie in the blank quarter */
    free(one);
    free(many);
}

/* The second scene is other pixels under the same truth, so its tiles have the results of the first's. */
static void test_groups(void **state)
{
    (void)state;
    int64_t each = pt_grid_count(&grid);
    uint64_t *digests = calloc((size_t)(2 * each), sizeof *digests);
    assert_int_equal(pt_job_spec_tiles(&both_spec), 2 * each);
    run_all(&both_spec, 4, digests);
    assert_memory_equal(digests, digests + each, (size_t)each * sizeof *digests);
    free(digests);
    stage s;
    start(&s, &both_spec, NULL);
    stage_welcome(&s);
    for (int64_t i = 0; i < 6; i++) { /* back and forth */
        stage_say_tile(&s, PT_MSG_ASSIGN, i % 2 * each + each - 1 - i, 1);
    }
    for (int64_t i = 0; i < 6; i++) {
        assert_int_equal(stage_expect_tile(&s, i % 2 * each + each - 1 - i, 1), PT_TILE_DONE);
    }
    stage_bye(&s);
}

/* Reads nothing: the scene is not even there. */
static void test_the_null_engine(void **state)
{
    (void)state;
    pt_job_spec absent = fixture_spec(scenes, 1, NULL);
    assert_int_equal(pt_job_spec_set_text(&absent.groups[0].paths[0], "not/there.tif").code, PT_OK);
    stage s;
    start(&s, &absent, NULL);
    assert_int_equal(stage_welcome(&s), PT_HELD_MAX);
    for (int64_t tile = 0; tile < PT_HELD_MAX; tile++) {
        stage_say_tile(&s, PT_MSG_ASSIGN, tile, 2);
    }
    for (int64_t tile = 0; tile < PT_HELD_MAX; tile++) {
        assert_int_equal(stage_expect_tile(&s, tile, 2), PT_TILE_DONE);
    }
    stage_bye(&s);
    pt_job_spec_fini(&absent);
}

static void test_outside(void **state)
{
    (void)state;
    pt_job_spec bounded = fixture_spec(scenes, 1, truth);
    const double corner[4] = {500130, 4999840, 500160, 4999870}; /* the lower right one */
    bounded.scene.has_bbox = true;
    memcpy(bounded.scene.bbox, corner, sizeof corner);
    stage s;
    start(&s, &bounded, NULL);
    stage_welcome(&s);
    stage_say_tile(&s, PT_MSG_ASSIGN, grid.cols - 1, 1); /* upper right */
    stage_say_tile(&s, PT_MSG_ASSIGN, busy_tile(0), 1);
    assert_int_equal(stage_expect_tile(&s, grid.cols - 1, 1), PT_TILE_OUTSIDE);
    assert_int_equal(stage_expect_tile(&s, busy_tile(0), 1), PT_TILE_DONE);
    stage_bye(&s);
    pt_job_spec_fini(&bounded);
}

static void test_a_bad_tile_is_the_coordinators_affair(void **state)
{
    (void)state;
    stage s;
    start(&s, &spec, "fail@75x1,bad@74");
    stage_welcome(&s);
    for (int64_t tile = 76; tile >= 74; tile--) {
        stage_say_tile(&s, PT_MSG_ASSIGN, tile, 1);
    }
    assert_int_equal(stage_expect_tile(&s, 76, 1), PT_TILE_DONE);
    for (int64_t tile = 75; tile >= 74; tile--) {
        stage_expect_started(&s, tile, 1);
        pt_message m = stage_expect(&s, PT_MSG_FAILED);
        assert_int_equal(m.as.result.result.tile, tile);
        assert_int_equal(m.as.result.result.status.code, tile == 75 ? PT_E_READ : PT_E_TILE);
        assert_non_null(strstr(m.as.result.result.status.message, "on purpose"));
        pt_message_fini(&m);
    }
    /* Again, with the failure of one acknowledged and that of the other not. */
    stage_say_tile(&s, PT_MSG_ACK, 74, 1);
    stage_say_tile(&s, PT_MSG_ASSIGN, 74, 2);
    stage_say_tile(&s, PT_MSG_ASSIGN, 75, 2);
    assert_int_equal(stage_expect_tile(&s, 74, 2), PT_TILE_FAILED);
    assert_int_equal(stage_expect_tile(&s, 75, 2), PT_TILE_DONE);
    stage_bye(&s);
}

/* A repeat of what is held changes nothing; of what is done, the result is said again, under the newer
 * attempt; of what is settled, nothing is done. */
static void test_repeats_of_assignments(void **state)
{
    (void)state;
    stage s;
    int64_t a = busy_tile(0), b = busy_tile(1), c = busy_tile(2);
    start(&s, &null_spec, "slow@60:0.5"); /* so that the others wait meanwhile */
    stage_welcome(&s);
    stage_say_tile(&s, PT_MSG_ASSIGN, 60, 1);
    stage_say_tile(&s, PT_MSG_ASSIGN, a, 1);
    stage_say_tile(&s, PT_MSG_ASSIGN, a, 1);
    stage_say_tile(&s, PT_MSG_ASSIGN, b, 1);
    stage_say_tile(&s, PT_MSG_ASSIGN, b, 3);
    stage_say_tile(&s, PT_MSG_ASSIGN, b, 2);
    assert_int_equal(stage_expect_tile(&s, 60, 1), PT_TILE_DONE);
    assert_int_equal(stage_expect_tile(&s, a, 1), PT_TILE_DONE);
    assert_int_equal(stage_expect_tile(&s, b, 3), PT_TILE_DONE);
    stage_say_tile(&s, PT_MSG_ASSIGN, a, 1);
    pt_message m = stage_expect(&s, PT_MSG_RESULT);
    assert_int_equal(m.as.result.result.tile, a);
    assert_int_equal(m.as.result.result.attempt, 1);
    stage_say_tile(&s, PT_MSG_ASSIGN, a, 2);
    assert_int_equal(stage_expect_tile(&s, a, 2), PT_TILE_DONE);
    stage_say_tile(&s, PT_MSG_ACK, a, 1); /* of the first, but it is the same */
    stage_say_tile(&s, PT_MSG_ASSIGN, a, 2);
    stage_say_tile(&s, PT_MSG_ASSIGN, a, 1);
    stage_say_tile(&s, PT_MSG_ASSIGN, c, 1);
    assert_int_equal(stage_expect_tile(&s, c, 1), PT_TILE_DONE);
    stage_expect_beat(&s);
    assert_false(stage_lists(&s, a));
    assert_true(stage_lists(&s, b) && stage_lists(&s, c));
    stage_say_tile(&s, PT_MSG_ASSIGN, a, 3); /* a new attempt is new work */
    assert_int_equal(stage_expect_tile(&s, a, 3), PT_TILE_DONE);
    stage_bye(&s);
}

/* Only what has not begun can be taken back. */
static void test_revoke(void **state)
{
    (void)state;
    stage s;
    start(&s, &spec, "slow@78:1");
    stage_welcome(&s);
    int64_t later[] = {70, 71, 72};
    stage_say_tile(&s, PT_MSG_ASSIGN, 79, 1);
    assert_int_equal(stage_expect_tile(&s, 79, 1), PT_TILE_DONE);
    stage_say_tile(&s, PT_MSG_ASSIGN, 78, 1);
    for (int i = 0; i < 3; i++) {
        stage_say_tile(&s, PT_MSG_ASSIGN, later[i], 2);
    }
    stage_expect_started(&s, 78, 1);
    stage_say_tile(&s, PT_MSG_REVOKE, 78, 1);
    stage_say_tile(&s, PT_MSG_REVOKE, 79, 1);
    stage_say_tile(&s, PT_MSG_REVOKE, 70, 2);
    stage_say_tile(&s, PT_MSG_REVOKE, 71, 1); /* an attempt that is over */
    stage_say_tile(&s, PT_MSG_REVOKE, 72, 2);
    stage_say_tile(&s, PT_MSG_REVOKE, 7, 1); /* not held */
    pt_message m = stage_expect(&s, PT_MSG_RESULT);
    assert_int_equal(m.as.result.result.tile, 78);
    pt_message_fini(&m);
    assert_int_equal(stage_expect_tile(&s, 71, 2), PT_TILE_DONE);
    stage_say_tile(&s, PT_MSG_ASSIGN, 70, 3); /* what was taken back may come again */
    assert_int_equal(stage_expect_tile(&s, 70, 3), PT_TILE_DONE);
    stage_expect_beat(&s);
    assert_true(stage_lists(&s, 79) && stage_lists(&s, 78));
    assert_false(stage_lists(&s, 72));
    stage_bye(&s);
}

static void test_more_than_there_is_room_for(void **state)
{
    (void)state;
    stage s;
    start(&s, &null_spec, "slow@0:0.3");
    stage_welcome(&s);
    stage_say_tile(&s, PT_MSG_ASSIGN, pt_grid_count(&grid), 1); /* the job has no such tile */
    for (int64_t tile = 0; tile < PT_HELD_MAX + 5; tile++) {
        stage_say_tile(&s, PT_MSG_ASSIGN, tile, 1);
    }
    for (int64_t tile = 0; tile < PT_HELD_MAX; tile++) {
        assert_int_equal(stage_expect_tile(&s, tile, 1), PT_TILE_DONE);
    }
    stage_expect_beat(&s);
    assert_int_equal(s.beat.held_count, PT_HELD_MAX);
    assert_false(stage_lists(&s, PT_HELD_MAX));
    stage_bye(&s);
}

/* The tile is answered, the rest is given back, and a fresh process is asked for. */
static void test_out_of_memory_in_a_tile(void **state)
{
    (void)state;
    stage s;
    start(&s, &spec, "nomem@78");
    stage_welcome(&s);
    stage_say_tile(&s, PT_MSG_ASSIGN, 78, 1);
    stage_say_tile(&s, PT_MSG_ASSIGN, 77, 1);
    stage_expect_started(&s, 78, 1);
    for (int heard = 0; heard != 3;) { /* in either order */
        pt_message m = stage_hear(&s);
        assert_true(m.type == PT_MSG_FAILED || m.type == PT_MSG_DRAIN);
        heard += m.type == PT_MSG_FAILED ? 1 : 2;
        assert_int_equal(m.as.result.result.status.code, m.type == PT_MSG_FAILED ? PT_E_NOMEM : PT_OK);
        pt_message_fini(&m);
    }
    stage_say_tile(&s, PT_MSG_ACK, 78, 1);
    pt_message m = stage_expect(&s, PT_MSG_BYE);
    assert_non_null(strstr(m.as.bye, "out of memory"));
    stage_say_type(&s, PT_MSG_BYE);
    stage_join(&s);
    assert_int_equal(s.how, PT_WORKER_FAILED);
    assert_int_equal(s.status.code, PT_E_NOMEM);
}

/* Wherever the worker is when it hears BYE, it ends. */
static void test_bye_at_any_moment(void **state)
{
    (void)state;
    for (int assigned = 0; assigned < 6; assigned++) {
        stage s;
        start(&s, &spec, NULL);
        stage_welcome(&s);
        for (int i = 0; i < assigned; i++) {
            stage_say_tile(&s, PT_MSG_ASSIGN, busy_tile(i), 1);
        }
        if (assigned > 3) {
            assert_int_equal(stage_expect_tile(&s, busy_tile(0), 1), PT_TILE_DONE);
        }
        stage_bye(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_tile_is_answered_the_same_way),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_the_null_engine),
        cmocka_unit_test(test_outside),
        cmocka_unit_test(test_a_bad_tile_is_the_coordinators_affair),
        cmocka_unit_test(test_repeats_of_assignments),
        cmocka_unit_test(test_revoke),
        cmocka_unit_test(test_more_than_there_is_room_for),
        cmocka_unit_test(test_out_of_memory_in_a_tile),
        cmocka_unit_test(test_bye_at_any_moment),
    };
    return cmocka_run_group_tests(tests, make_jobs, free_jobs);
}
