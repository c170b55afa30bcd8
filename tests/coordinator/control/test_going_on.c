#include "coordinator/control/control.h"

#include "play.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

/* Jobs that are stopped, fail, and go on. */

/* Stopped part of the way, then on with another coordinator: nothing is computed twice. */
static void test_stopping_and_going_on(void **state)
{
    (void)state;
    job j;
    world_options options = world_defaults(17, 3);
    options.drain_at = 30;
    job_open(&j, play_folder, false);
    outcome first = play(&j, &options);
    int64_t settled = job_settled(&j);
    assert_int_equal(first.status.code, PT_E_STOPPED);
    assert_non_null(strstr(first.status.message, "--resume"));
    assert_in_range(settled, 30, job_tiles() - 1);
    assert_int_equal(first.world.computed, settled); /* what was out came back */
    assert_int_equal(first.world.acknowledged, settled);
    assert_int_equal(first.shown.dispatch.leased, 0);
    job_close(&j);

    options.drain_at = 0;
    job_open(&j, play_folder, true);
    outcome second = play(&j, &options);
    assert_string_equal(second.status.message, "");
    assert_int_equal(second.shown.resumed, settled);
    assert_int_equal(second.world.computed, job_tiles() - settled);
    assert_int_equal(second.shown.done + second.shown.empty + second.shown.outside, job_tiles());
    job_check(&j, NULL);
    job_close(&j);

    job_open(&j, play_folder, true); /* all is settled: nobody is waited for */
    options.workers = 0;
    outcome third = play(&j, &options);
    assert_string_equal(third.status.message, "");
    assert_int_equal(third.shown.resumed, job_tiles());
    job_check(&j, NULL);
    job_close(&j);
}

static void test_stopping_at_once(void **state)
{
    (void)state;
    job j;
    world_options options = world_defaults(18, 3);
    options.drain_at = 20;
    options.drain_now = true;
    job_open(&j, play_folder, false);
    outcome o = play(&j, &options);
    assert_int_equal(o.status.code, PT_E_STOPPED);
    assert_in_range(job_settled(&j), 20, job_tiles() - 1);
    assert_true(o.shown.dispatch.leased > 0);
    job_close(&j);
}

/* Again and again, anywhere: every start computes what is missing and nothing else. */
static void test_many_starts(void **state)
{
    (void)state;
    int64_t settled = 0, starts = 0, computed = 0;
    pt_status status = pt_error(PT_E_STOPPED, "not yet");
    for (; status.code == PT_E_STOPPED; starts++) {
        job j;
        world_options options = world_defaults(30 + (unsigned)starts, 1 + (int)starts % 4);
        options.lose = options.twice = 0.05;
        options.drain_at = 1 + starts % 9;
        options.drain_now = starts % 2 == 0;
        assert_true(starts < job_tiles());
        job_open(&j, play_folder, starts > 0);
        outcome o = play(&j, &options);
        status = o.status;
        computed += o.world.computed;
        assert_int_equal(o.shown.resumed, settled);
        assert_int_equal(pt_ledger_epoch(j.ledger), starts + 1);
        settled = job_settled(&j);
        assert_int_equal(o.shown.dispatch.settled, settled);
        if (status.code == PT_OK) {
            job_check(&j, NULL);
        }
        job_close(&j);
    }
    assert_string_equal(status.message, "");
    assert_true(starts > 5);
    assert_true(computed >= job_tiles());
}

/* The stitching thread may run out of it too; whoever does, the job ends, and can go on. */
static void test_out_of_memory(void **state)
{
    (void)state;
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    for (long n = 0; status.code == PT_E_NOMEM; n += 1 + n / 4) {
        job j;
        world_options options = world_defaults(31, 2);
        options.allocations = n;
        job_open(&j, play_folder, false);
        status = play(&j, &options).status;
        job_close(&j);
        options.allocations = -1;
        job_open(&j, play_folder, true);
        assert_string_equal(play(&j, &options).status.message, "");
        job_check(&j, NULL);
        job_close(&j);
        job_remove(play_folder);
    }
    assert_string_equal(status.message, "");
}

/* A worker that outlived the coordinator says what it has computed; that is taken, and not computed again. */
static void test_work_from_before_is_taken(void **state)
{
    (void)state;
    job j;
    world_options options = world_defaults(19, 2);
    options.finished_first = 4;
    job_open(&j, play_folder, false);
    job_close(&j);
    job_open(&j, play_folder, true); /* raises the epoch */
    outcome o = play(&j, &options);
    assert_string_equal(o.status.message, "");
    assert_true(o.world.hellos > 0);
    assert_int_equal(o.world.acknowledged, job_tiles());
    assert_int_equal(o.world.computed, job_tiles() - 4);
    job_check(&j, NULL);
    job_close(&j);
}

/* The same of a worker that says DRAIN at once: it gets no more, and is not turned away. */
static void test_work_of_one_that_leaves_is_taken(void **state)
{
    (void)state;
    job j;
    world_options options = world_defaults(26, 2);
    options.finished_first = 4;
    options.quirks[0] = LEAVES_WAKING;
    job_open(&j, play_folder, false);
    job_close(&j);
    job_open(&j, play_folder, true);
    outcome o = play(&j, &options);
    assert_string_equal(o.status.message, "");
    assert_int_equal(o.world.computed, job_tiles() - 4);
    assert_int_equal(o.world.ended, 1);
    job_check(&j, NULL);
    job_close(&j);
}

/* The same where the one before had committed all of it, but its ACKs got lost. */
static void test_results_of_before_are_acknowledged(void **state)
{
    (void)state;
    job j;
    world_options options = world_defaults(20, 2);
    options.drain_at = 30;
    job_open(&j, play_folder, false);
    play(&j, &options);
    job_close(&j);
    options.drain_at = 0;
    options.finished_first = 4;
    job_open(&j, play_folder, true);
    outcome o = play(&j, &options);
    assert_string_equal(o.status.message, "");
    assert_int_equal(o.shown.duplicates, 4);
    assert_int_equal(o.shown.dispatch.alarms, 0);
    job_check(&j, NULL);
    job_close(&j);
}

static void test_nobody_comes(void **state)
{
    (void)state;
    job j;
    world_options options = world_defaults(21, 1);
    pt_control_options control = pt_control_defaults();
    options.quirks[0] = VANISHES;
    options.moment = 0.2;
    control.idle_limit = 3000;
    job_open(&j, play_folder, false);
    outcome o = play_with(&j, &options, &control);
    assert_int_equal(o.status.code, PT_E_STOPPED);
    assert_non_null(strstr(o.status.message, "3000 seconds"));
    assert_in_range((int)o.world.now, 3000, 3003);
    assert_in_range(o.world.receives, 1, 30); /* sleeps meanwhile */
    job_close(&j);
}

static void test_a_lost_job(void **state)
{
    (void)state;
    job j;
    world_options options = world_defaults(22, 1);
    pt_control_options defaults = pt_control_defaults();
    pt_control *control = NULL;
    pt_hub *hub = world_new(&options);
    job_open(&j, play_folder, false);
    assert_string_equal(pt_control_new(hub, j.ledger, j.feed, &defaults, &control).message, "");
    pt_control_fail(control, pt_error(PT_E_INTERNAL, "all workers died 5 times"));
    pt_control_fail(control, pt_error(PT_E_INPUT, "too late to be heard"));
    assert_string_equal(world_run(hub, control).message, "all workers died 5 times");
    pt_control_free(&control);
    pt_control_free(&control);
    pt_control_free(NULL);
    world_free(&hub);
    job_close(&j);
}

static void test_a_full_ledger(void **state)
{
    (void)state;
    job j;
    world_options options = world_defaults(23, 2);
    if (mkdir(play_folder, 0700) != 0 || mount("none", play_folder, "tmpfs", 0, "size=256k") != 0) {
        print_message("SKIPPED: a disk that runs full needs the right to mount\n");
        skip();
    }
    job_open(&j, play_folder, false);
    outcome o = play(&j, &options);
    int64_t settled = job_settled(&j);
    job_close(&j);
    umount(play_folder);
    assert_int_equal(o.status.code, PT_E_NOSPACE);
    assert_non_null(strstr(o.status.message, play_folder));
    assert_true(o.world.acknowledged <= settled);
    assert_true(settled < job_tiles());
}

static void test_bad_options(void **state)
{
    (void)state;
    job j;
    world_options options = world_defaults(24, 1);
    pt_hub *hub = world_new(&options);
    pt_control *control = NULL;
    job_open(&j, play_folder, false);
    pt_control_options bad = pt_control_defaults();
    bad.heartbeat_seconds = 0;
    assert_int_equal(pt_control_new(hub, j.ledger, j.feed, &bad, &control).code, PT_E_USAGE);
    bad = pt_control_defaults();
    bad.idle_limit = -1;
    assert_int_equal(pt_control_new(hub, j.ledger, j.feed, &bad, &control).code, PT_E_USAGE);
    bad = pt_control_defaults();
    bad.dispatch.attempts = 0;
    assert_int_equal(pt_control_new(hub, j.ledger, j.feed, &bad, &control).code, PT_E_USAGE);
    assert_null(control);
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    for (long n = 0; status.code == PT_E_NOMEM; n++) {
        assert_null(control);
        bad = pt_control_defaults();
        pt_alloc_fail_after(n);
        status = pt_control_new(hub, j.ledger, j.feed, &bad, &control);
        pt_alloc_fail_after(-1);
    }
    assert_string_equal(status.message, "");
    pt_control_free(&control);
    world_free(&hub);
    job_close(&j);
}

/* Its results are in the output and no more in the ledger: to go on would write an empty one. */
static void test_a_job_that_is_done(void **state)
{
    (void)state;
    job j;
    const uint8_t sha256[32] = {1};
    world_options options = world_defaults(27, 2);
    pt_control_options defaults = pt_control_defaults();
    pt_hub *hub = world_new(&options);
    pt_control *control = NULL;
    job_open(&j, play_folder, false);
    assert_string_equal(play(&j, &options).status.message, "");
    assert_string_equal(pt_ledger_finish(j.ledger, "out.geojson", sha256).message, "");
    assert_int_equal(pt_control_new(hub, j.ledger, j.feed, &defaults, &control).code, PT_E_EXISTS);
    assert_null(control);
    world_free(&hub);
    job_close(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_work_of_one_that_leaves_is_taken, play_clear),
        cmocka_unit_test_teardown(test_stopping_and_going_on, play_clear),
        cmocka_unit_test_teardown(test_stopping_at_once, play_clear),
        cmocka_unit_test_teardown(test_many_starts, play_clear),
        cmocka_unit_test_teardown(test_out_of_memory, play_clear),
        cmocka_unit_test_teardown(test_work_from_before_is_taken, play_clear),
        cmocka_unit_test_teardown(test_results_of_before_are_acknowledged, play_clear),
        cmocka_unit_test_teardown(test_nobody_comes, play_clear),
        cmocka_unit_test_teardown(test_a_lost_job, play_clear),
        cmocka_unit_test_teardown(test_a_full_ledger, play_clear),
        cmocka_unit_test_teardown(test_bad_options, play_clear),
        cmocka_unit_test_teardown(test_a_job_that_is_done, play_clear),
    };
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    return cmocka_run_group_tests(tests, play_begin, play_end);
}
