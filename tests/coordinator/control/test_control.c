#include "coordinator/control/control.h"

#include "play.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Whole jobs with faults of the wire and of workers. */

static void test_a_whole_job(void **state)
{
    (void)state;
    world_options options = world_defaults(1, 3);
    outcome o = play_whole(&options);
    assert_int_equal(o.world.computed, job_tiles());
    assert_int_equal(o.world.acknowledged, job_tiles());
    assert_int_equal(o.world.ended, 3);
    assert_int_equal(o.world.hellos, 0);
    assert_int_equal(o.shown.joined_workers, 3);
    assert_int_equal(o.shown.lost_workers + o.shown.refused_workers + o.shown.duplicates + o.shown.strays, 0);
    assert_int_equal(o.shown.resumed + o.shown.failed, 0);
    assert_true(o.shown.done > 0 && o.shown.empty > 0 && o.shown.outside > 0);
    assert_true(o.shown.detections > 0 && o.shown.pixels > 0);
    assert_in_range(o.shown.commits, 1, job_tiles());
    assert_int_equal(o.shown.dispatch.retries + o.shown.dispatch.alarms, 0);
}

static void test_seeds_settle_the_same(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 12; seed++) {
        world_options options = world_defaults(seed, 1 + (int)seed % 7);
        options.lose = 0.1;
        options.twice = 0.1;
        options.late = 0.3;
        outcome o = play_whole(&options);
        assert_int_equal(o.shown.dispatch.alarms, 0);
    }
}

/* The first few of each type are lost: what the protocol repeats, it repeats. */
static void test_any_type_may_be_lost(void **state)
{
    (void)state;
    for (int type = 1; type < PT_MSG_TYPES; type++) {
        world_options options = world_defaults((unsigned)type, 2);
        options.lose_first[type] = 5;
        play_whole(&options);
    }
}

static void test_dead_workers_are_replaced(void **state)
{
    (void)state;
    world_options options = world_defaults(3, 4);
    options.quirks[0] = options.quirks[2] = DIES;
    outcome o = play_whole(&options);
    assert_int_equal(o.shown.lost_workers, 2);
    assert_int_equal(o.shown.joined_workers, 6);
    assert_true(o.shown.dispatch.retries > 0);
    assert_true(o.world.now < 20); /* well before anybody expires */
}

/* Nobody comes in their place: their tiles go on when they are suspected. */
static void test_vanished_workers(void **state)
{
    (void)state;
    world_options options = world_defaults(4, 4);
    options.quirks[1] = options.quirks[3] = VANISHES;
    play_whole(&options);
}

static void test_a_worker_that_stands_still(void **state)
{
    (void)state;
    world_options options = world_defaults(5, 2);
    options.quirks[1] = FREEZES;
    pt_control_options control = pt_control_defaults();
    control.dispatch.stall_after = control.dispatch.suspect_after = 3;
    control.dispatch.expire_after = 5;
    control.dispatch.speculate_factor = 0;
    job j;
    job_open(&j, play_folder, false);
    outcome o = play_with(&j, &options, &control);
    assert_string_equal(o.status.message, "");
    job_check(&j, NULL);
    job_close(&j);
    assert_int_equal(o.shown.lost_workers, 1);
    assert_int_equal(o.shown.dispatch.strikes, 0); /* another had done its tile by then */
    assert_int_equal(o.world.hellos, 0);           /* its heartbeats do not bring it back */
}

/* It comes back when it moves, with its result. */
static void test_a_worker_that_moves_again(void **state)
{
    (void)state;
    world_options options = world_defaults(25, 2);
    options.quirks[1] = THAWS;
    pt_control_options control = pt_control_defaults();
    control.dispatch.stall_after = control.dispatch.suspect_after = 3;
    control.dispatch.expire_after = 5;
    control.dispatch.speculate_factor = 0;
    job j;
    job_open(&j, play_folder, false);
    outcome o = play_with(&j, &options, &control);
    assert_string_equal(o.status.message, "");
    job_check(&j, NULL);
    job_close(&j);
    assert_int_equal(o.shown.lost_workers, 1);
    assert_int_equal(o.shown.joined_workers, 3);
    assert_true(o.world.hellos > 0);
    assert_int_equal(o.shown.dispatch.alarms, 0);
}

static void test_a_worker_that_leaves(void **state)
{
    (void)state;
    world_options options = world_defaults(6, 3);
    options.quirks[0] = LEAVES;
    outcome o = play_whole(&options);
    assert_int_equal(o.shown.lost_workers, 0);
    assert_int_equal(o.shown.dispatch.strikes, 0);
    assert_int_equal(o.world.ended, 2);
}

/* It never was a member, and is told all the same that the job is over. */
static void test_a_worker_that_comes_too_late(void **state)
{
    (void)state;
    world_options options = world_defaults(8, 3);
    options.quirks[2] = LATE;
    outcome o = play_whole(&options);
    assert_int_equal(o.shown.joined_workers, 2);
    assert_int_equal(o.world.ended, 3);
}

static void test_a_new_connection_keeps_leases(void **state)
{
    (void)state;
    world_options options = world_defaults(7, 2);
    options.quirks[0] = options.quirks[1] = RECONNECTS;
    outcome o = play_whole(&options);
    assert_int_equal(o.shown.joined_workers, 2);
    assert_int_equal(o.shown.lost_workers, 0);
    assert_int_equal(o.shown.dispatch.retries, 0);
    assert_int_equal(o.world.computed, job_tiles());
}

/* Half a minute without a word on all lines; all are back a moment later, with what they had computed. */
static void test_a_network_cut(void **state)
{
    (void)state;
    world_options options = world_defaults(8, 3);
    options.cut_from = 1.5;
    options.cut_until = 31.5;
    outcome o = play_whole(&options);
    assert_int_equal(o.shown.lost_workers, 0);
    assert_in_range(o.world.computed, job_tiles(), job_tiles() + 3 * 2); /* not more than was out */
}

/* So long that they are given up; they say HELLO again when asked, and work on. */
static void test_a_long_network_cut(void **state)
{
    (void)state;
    world_options options = world_defaults(9, 3);
    options.cut_from = 1.5;
    options.cut_until = 100;
    outcome o = play_whole(&options);
    assert_int_equal(o.shown.lost_workers, 3);
    assert_int_equal(o.shown.joined_workers, 6);
    assert_true(o.world.now > 100);
}

static void test_who_is_refused(void **state)
{
    (void)state;
    const struct {
        quirk quirk;
        const char *words[2];
    } cases[] = {{WRONG_MODEL, {"SHA-256 0707070", "job's model file"}},
                 {WRONG_PROGRAM, {"pantile 0.9", "same version"}},
                 {WRONG_JOB, {"has opened the job", "start it again"}},
                 {BLIND, {"--ship-pixels", "--root"}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world_options options = world_defaults(10, 2);
        options.quirks[1] = cases[i].quirk;
        outcome o = play_whole(&options);
        assert_int_equal(o.world.refused, 1);
        assert_int_equal(o.shown.refused_workers, 1);
        assert_int_equal(o.shown.joined_workers, 1);
        assert_non_null(strstr(o.world.refusal, cases[i].words[0]));
        assert_non_null(strstr(o.world.refusal, cases[i].words[1]));
    }
}

static void test_who_is_dropped(void **state)
{
    (void)state;
    const quirk quirks[] = {LIES, WANDERS, MEDDLES, NAMELESS};
    for (size_t i = 0; i < sizeof quirks / sizeof *quirks; i++) {
        world_options options = world_defaults(11, 3);
        options.quirks[1] = quirks[i];
        outcome o = play_whole(&options);
        assert_true(o.world.expelled > 0);
    }
    world_options options = world_defaults(11, 2);
    options.quirks[1] = STRANGER;
    outcome o = play_whole(&options);
    assert_int_equal(o.world.expelled, 0);
    assert_true(o.shown.strays > 0);
}

/* A job may be long: it is not sent as often as it is asked for. */
static void test_one_that_asks_without_end(void **state)
{
    (void)state;
    world_options options = world_defaults(18, 2);
    options.quirks[1] = IMPATIENT;
    outcome o = play_whole(&options);
    assert_in_range(o.world.jobs, 2, 10);
    assert_int_equal(o.shown.joined_workers, 2);
}

static void test_a_contradiction_is_noticed(void **state)
{
    (void)state;
    world_options options = world_defaults(12, 2);
    options.quirks[0] = CONTRADICTS;
    outcome o = play_whole(&options);
    assert_int_equal(o.shown.dispatch.alarms, 1);
    assert_int_equal(o.shown.duplicates, 1);
}

static void test_a_poison_tile(void **state)
{
    (void)state;
    const int64_t failed[] = {30, -1};
    world_options options = world_defaults(13, 3);
    options.poison = 30;
    job j;
    job_open(&j, play_folder, false);
    outcome o = play(&j, &options);
    assert_string_equal(o.status.message, "");
    job_check(&j, failed);
    job_close(&j);
    assert_int_equal(o.shown.failed, 1);
    assert_int_equal(o.shown.dispatch.strikes, 3);
    assert_int_equal(o.shown.lost_workers, 3);
}

/* Tile 5 reads the third time, 6 never, 7 is beyond hope, 8 does not fit in memory twice. */
static pt_status troubles(int64_t tile, int attempt)
{
    if (tile == 5 && attempt < 3) {
        return pt_error(PT_E_READ, "block 5 is broken");
    }
    if (tile == 6) {
        return pt_error(PT_E_READ, "block 6 is broken");
    }
    if (tile == 7) {
        return pt_error(PT_E_TILE, "tile 7 has no end");
    }
    return tile == 8 && attempt < 3 ? pt_error(PT_E_NOMEM, "out of memory for tile 8") : pt_ok();
}

static pt_status find_reasons(void *user, const pt_settlement *s)
{
    int *found = user;
    if (s->tile == 5 || s->tile == 8) {
        assert_int_equal(s->outcome, PT_TILE_DONE);
        assert_int_equal(s->attempts, 3);
        found[0]++;
    }
    if (s->tile == 6) {
        assert_string_equal(s->reason, "block 6 is broken");
        assert_int_equal(s->attempts, 3);
        found[1]++;
    }
    if (s->tile == 7) {
        assert_string_equal(s->reason, "tile 7 has no end");
        assert_int_equal(s->attempts, 1);
        found[2]++;
    }
    return pt_ok();
}

static void test_tiles_that_fail(void **state)
{
    (void)state;
    const int64_t failed[] = {6, 7, -1};
    int found[3] = {0};
    world_options options = world_defaults(14, 3);
    options.story = troubles;
    job j;
    job_open(&j, play_folder, false);
    outcome o = play(&j, &options);
    assert_string_equal(o.status.message, "");
    assert_string_equal(pt_ledger_list(j.ledger, find_reasons, found).message, "");
    assert_int_equal(found[0], 2);
    assert_int_equal(found[1] + found[2], 2);
    job_check(&j, failed);
    job_close(&j);
    assert_int_equal(o.shown.failed, 2);
    assert_int_equal(o.shown.dispatch.retries, 2 + 2 + 2);
    assert_int_equal(o.shown.dispatch.strikes, 2);
}

static void test_failing_tiles_fail_the_job(void **state)
{
    (void)state;
    world_options options = world_defaults(15, 3);
    pt_control_options control = pt_control_defaults();
    options.story = troubles;
    control.quarantine = false;
    job j;
    job_open(&j, play_folder, false);
    outcome o = play_with(&j, &options, &control);
    assert_int_equal(o.status.code, PT_E_TILE);
    assert_string_equal(o.status.message, "tile 7: tile 7 has no end");
    assert_int_equal(o.world.ended, 3);
    assert_true(job_settled(&j) < job_tiles());
    job_close(&j);
}

static pt_code fatal_code;

static pt_status fatal(int64_t tile, int attempt)
{
    (void)attempt;
    return tile == 9 ? pt_error(fatal_code, "the device is on fire") : pt_ok();
}

static void test_other_failures_end_the_job(void **state)
{
    (void)state;
    const pt_code codes[] = {PT_E_INTERNAL, PT_E_INPUT, PT_E_NOSPACE, PT_E_WRITE, PT_E_UNSUPPORTED};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        world_options options = world_defaults(16, 2);
        options.story = fatal;
        fatal_code = codes[i];
        job j;
        job_open(&j, play_folder, false);
        outcome o = play(&j, &options);
        assert_int_equal(o.status.code, codes[i]);
        assert_string_equal(o.status.message, "the device is on fire");
        job_close(&j);
        job_remove(play_folder);
    }
}

static pt_status fatal_at_first(int64_t tile, int attempt)
{
    return attempt == 1 ? fatal(tile, attempt) : pt_ok();
}

/* One worker whose folder is another, or whose disk is full, is not the end for the others. */
static void test_a_fault_of_one_worker_is_cured_by_another(void **state)
{
    (void)state;
    world_options options = world_defaults(17, 2);
    options.story = fatal_at_first;
    fatal_code = PT_E_INPUT;
    job j;
    job_open(&j, play_folder, false);
    outcome o = play(&j, &options);
    assert_int_equal(o.status.code, PT_OK);
    job_check(&j, NULL);
    job_close(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_whole_job, play_clear),
        cmocka_unit_test_teardown(test_seeds_settle_the_same, play_clear),
        cmocka_unit_test_teardown(test_any_type_may_be_lost, play_clear),
        cmocka_unit_test_teardown(test_dead_workers_are_replaced, play_clear),
        cmocka_unit_test_teardown(test_vanished_workers, play_clear),
        cmocka_unit_test_teardown(test_a_worker_that_stands_still, play_clear),
        cmocka_unit_test_teardown(test_a_worker_that_moves_again, play_clear),
        cmocka_unit_test_teardown(test_a_worker_that_leaves, play_clear),
        cmocka_unit_test_teardown(test_a_worker_that_comes_too_late, play_clear),
        cmocka_unit_test_teardown(test_a_new_connection_keeps_leases, play_clear),
        cmocka_unit_test_teardown(test_a_network_cut, play_clear),
        cmocka_unit_test_teardown(test_a_long_network_cut, play_clear),
        cmocka_unit_test_teardown(test_who_is_refused, play_clear),
        cmocka_unit_test_teardown(test_who_is_dropped, play_clear),
        cmocka_unit_test_teardown(test_one_that_asks_without_end, play_clear),
        cmocka_unit_test_teardown(test_a_contradiction_is_noticed, play_clear),
        cmocka_unit_test_teardown(test_a_poison_tile, play_clear),
        cmocka_unit_test_teardown(test_tiles_that_fail, play_clear),
        cmocka_unit_test_teardown(test_failing_tiles_fail_the_job, play_clear),
        cmocka_unit_test_teardown(test_other_failures_end_the_job, play_clear),
        cmocka_unit_test_teardown(test_a_fault_of_one_worker_is_cured_by_another, play_clear),
    };
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    return cmocka_run_group_tests(tests, play_begin, play_end);
}
