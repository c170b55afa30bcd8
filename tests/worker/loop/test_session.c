/* How a worker keeps, loses and finds its coordinator. */
#include "tests/worker/loop/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const char *const scenes[] = {"/vsimem/session/a.tif"};
static const char truth[] = "/vsimem/session/truth.gpkg";
static pt_job_spec spec, null_spec;

static int make_jobs(void **state)
{
    (void)state;
    fixture_scene(scenes[0], 1);
    fixture_truth(truth);
    spec = fixture_spec(scenes, 1, truth);
    null_spec = fixture_spec(scenes, 1, NULL);
    return 0;
}

static int free_jobs(void **state)
{
    (void)state;
    pt_job_spec_fini(&spec);
    pt_job_spec_fini(&null_spec);
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

static void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* HELLO until somebody answers, each time the same. */
static void test_hello_is_repeated(void **state)
{
    (void)state;
    stage s;
    start(&s, &null_spec, NULL);
    pt_message first = stage_expect(&s, PT_MSG_HELLO), again = stage_expect(&s, PT_MSG_HELLO);
    assert_memory_equal(first.as.hello.instance, again.as.hello.instance, PT_INSTANCE_ID);
    static const uint8_t zero[PT_INSTANCE_ID];
    assert_memory_not_equal(first.as.hello.instance, zero, PT_INSTANCE_ID);
    assert_string_equal(first.as.hello.program, PANTILE_VERSION);
    assert_false(first.as.hello.wants_pixels || first.as.hello.has_engine_sha256);
    stage_welcome(&s);
    stage_bye(&s);
}

static void test_heartbeats_tell_what_is_held(void **state)
{
    (void)state;
    stage s;
    start(&s, &null_spec, "slow@3:1.5");
    int credit = stage_welcome(&s);
    stage_expect_beat(&s); /* at once, so that a new coordinator knows */
    assert_int_equal(s.beat.held_count, 0);
    assert_int_equal(s.beat.credit, credit);
    uint64_t idle = s.beat.progress;
    stage_say_tile(&s, PT_MSG_ASSIGN, 3, 1);
    stage_say_tile(&s, PT_MSG_ASSIGN, 4, 2);
    stage_expect_started(&s, 3, 1);
    do {
        stage_expect_beat(&s);
    } while (s.beat.held_count < 2);
    assert_true(s.beat.progress > idle);
    for (size_t i = 0; i < 2; i++) {
        bool first = s.beat.held[i].tile == 3;
        assert_int_equal(s.beat.held[i].started, first);
        assert_int_equal(s.beat.held[i].attempt, first ? 1 : 2);
    }
    uint64_t during = s.beat.progress;
    stage_expect_beat(&s);
    assert_true(s.beat.progress == during); /* nothing moves in a tile that sleeps */
    pt_message m = stage_expect(&s, PT_MSG_RESULT);
    pt_message_fini(&m);
    assert_int_equal(stage_expect_tile(&s, 4, 2), PT_TILE_DONE);
    stage_say_tile(&s, PT_MSG_ACK, 3, 1);
    do {
        stage_expect_beat(&s);
    } while (s.beat.held_count != 1);
    assert_true(stage_lists(&s, 4));
    assert_true(s.beat.progress > during);
    stage_bye(&s);
}

static void test_results_are_repeated_until_acknowledged(void **state)
{
    (void)state;
    stage s;
    start(&s, &spec, NULL);
    stage_welcome(&s);
    stage_say_tile(&s, PT_MSG_ASSIGN, 80, 1);
    stage_expect_started(&s, 80, 1);
    pt_message first = stage_expect(&s, PT_MSG_RESULT), again = stage_expect(&s, PT_MSG_RESULT);
    assert_int_equal(first.as.result.size, again.as.result.size);
    assert_memory_equal(first.as.result.payload, again.as.result.payload, first.as.result.size);
    pt_message_fini(&first);
    pt_message_fini(&again);
    stage_say_tile(&s, PT_MSG_ACK, 80, 1);
    do {
        stage_expect_beat(&s);
    } while (s.beat.held_count > 0);
    stage_bye(&s);
}

/* Whom the coordinator does not know says HELLO, keeps what it has, and repeats it. */
static void test_a_restarted_coordinator(void **state)
{
    (void)state;
    stage s;
    start(&s, &spec, "slow@78:1");
    stage_welcome(&s);
    stage_say_tile(&s, PT_MSG_ASSIGN, 80, 1);
    assert_int_equal(stage_expect_tile(&s, 80, 1), PT_TILE_DONE);
    stage_say_tile(&s, PT_MSG_ASSIGN, 78, 1);
    stage_expect_started(&s, 78, 1);
    s.epoch = 4;
    stage_say_type(&s, PT_MSG_HELLO);
    pt_message hello = stage_expect(&s, PT_MSG_HELLO);
    assert_true(hello.as.hello.opened);
    stage_say_type(&s, PT_MSG_WELCOME);
    pt_message ready = stage_expect(&s, PT_MSG_READY);
    assert_true(ready.epoch == 4 && ready.job == s.job);
    assert_int_equal(stage_expect_tile(&s, 80, 1), PT_TILE_DONE);
    assert_int_equal(stage_expect_tile(&s, 78, 1), PT_TILE_DONE);
    /* The one before it is not listened to any more. */
    s.epoch = 3;
    stage_say_tile(&s, PT_MSG_ACK, 80, 1);
    stage_say_tile(&s, PT_MSG_ASSIGN, 79, 1);
    stage_say_type(&s, PT_MSG_BYE);
    s.epoch = 4;
    stage_say_tile(&s, PT_MSG_ASSIGN, 77, 1);
    assert_int_equal(stage_expect_tile(&s, 77, 1), PT_TILE_DONE);
    stage_expect_beat(&s);
    assert_true(stage_lists(&s, 80) && !stage_lists(&s, 79));
    stage_bye(&s);
}

/* A dead connection looks open: the worker makes a new one. */
static void test_silence(void **state)
{
    (void)state;
    stage s;
    start(&s, &null_spec, NULL);
    stage_welcome(&s);
    stage_say_tile(&s, PT_MSG_ASSIGN, 5, 1);
    assert_int_equal(stage_expect_tile(&s, 5, 1), PT_TILE_DONE);
    s.deaf = true;
    pt_peer before = s.peer;
    pt_message m = stage_hear(&s);
    while (m.type == PT_MSG_RESULT) { /* repeated meanwhile */
        pt_message_fini(&m);
        m = stage_hear(&s);
    }
    assert_int_equal(m.type, PT_MSG_HELLO);
    assert_true(s.peer != before);
    assert_true(m.as.hello.opened);
    s.deaf = false;
    stage_say_type(&s, PT_MSG_WELCOME);
    do { /* HELLO may have been repeated */
        m = stage_hear(&s);
    } while (m.type == PT_MSG_HELLO);
    assert_int_equal(m.type, PT_MSG_READY);
    assert_int_equal(stage_expect_tile(&s, 5, 1), PT_TILE_DONE);
    stage_bye(&s);
}

static void test_nobody_there(void **state)
{
    (void)state;
    stage s;
    stage_open(&s, &null_spec);
    s.options.coordinator_timeout = 1.5;
    stage_start(&s);
    stage_join(&s);
    assert_int_equal(s.how, PT_WORKER_LOST);
    assert_int_equal(s.status.code, PT_E_STOPPED);
}

static void test_refused(void **state)
{
    (void)state;
    stage s;
    start(&s, &null_spec, NULL);
    stage_expect(&s, PT_MSG_HELLO);
    pt_message message = {.type = PT_MSG_REFUSED};
    strcpy(message.as.refused, "too old, install 9.9");
    stage_say(&s, &message);
    stage_join(&s);
    assert_int_equal(s.how, PT_WORKER_REFUSED);
    assert_int_equal(s.status.code, PT_E_INPUT);
    assert_non_null(strstr(s.status.message, "too old, install 9.9"));
}

/* The digest that was found is told, and not worked with even when nobody minds. */
static void test_another_engine_file(void **state)
{
    (void)state;
    stage s;
    pt_job_spec other = fixture_spec(scenes, 1, truth);
    other.engine.sha256[0] ^= 1;
    start(&s, &other, NULL);
    stage_expect(&s, PT_MSG_HELLO);
    stage_say_job(&s);
    pt_message hello = stage_expect(&s, PT_MSG_HELLO);
    while (!hello.as.hello.opened) {
        hello = stage_expect(&s, PT_MSG_HELLO);
    }
    assert_memory_equal(hello.as.hello.engine_sha256, spec.engine.sha256, PT_SHA256_BYTES);
    stage_say_type(&s, PT_MSG_WELCOME);
    pt_message bye = stage_hear(&s);
    while (bye.type == PT_MSG_HELLO) {
        bye = stage_hear(&s);
    }
    assert_int_equal(bye.type, PT_MSG_BYE);
    stage_join(&s);
    assert_int_equal(s.how, PT_WORKER_REFUSED);
    char was[PT_SHA256_HEX], is[PT_SHA256_HEX];
    pt_sha256_hex(spec.engine.sha256, was);
    pt_sha256_hex(other.engine.sha256, is);
    assert_non_null(strstr(s.status.message, was));
    assert_non_null(strstr(s.status.message, is));
    pt_job_spec_fini(&other);
}

/* Says why, and goes. */
static void expect_bye(const pt_job_spec *job, const char *why)
{
    stage s;
    start(&s, job, NULL);
    stage_expect(&s, PT_MSG_HELLO);
    stage_say_job(&s);
    pt_message bye = stage_expect(&s, PT_MSG_BYE);
    assert_true(bye.as.bye[0] != '\0');
    stage_join(&s);
    assert_int_equal(s.how, PT_WORKER_REFUSED);
    assert_int_equal(s.status.code, PT_E_INPUT);
    if (!strstr(s.status.message, why)) {
        fail_msg("%s", s.status.message);
    }
}

static void test_files_that_are_not_the_jobs(void **state)
{
    (void)state;
    pt_job_spec other = fixture_spec(scenes, 1, truth);
    other.groups[0].fingerprint[5] ^= 1;
    expect_bye(&other, "fingerprint");
    other.groups[0].fingerprint[5] ^= 1;
    other.groups[0].width += 32;
    expect_bye(&other, "352 x 320 at the coordinator");
    other.groups[0].width -= 32;
    assert_int_equal(pt_job_spec_set_text(&other.groups[0].paths[0], "etc/passwd").code, PT_OK);
    expect_bye(&other, "see --root");
    pt_job_spec_fini(&other);
}

static void test_a_job_that_is_none(void **state)
{
    (void)state;
    stage s;
    start(&s, &null_spec, NULL);
    stage_expect(&s, PT_MSG_HELLO);
    pt_message message = {.type = PT_MSG_JOB};
    uint8_t garbage[40] = {1, 2, 3};
    message.as.job.spec = garbage;
    message.as.job.size = sizeof garbage;
    message.as.job.heartbeat_seconds = 1;
    stage_say(&s, &message);
    stage_expect(&s, PT_MSG_BYE);
    stage_join(&s);
    assert_int_equal(s.how, PT_WORKER_REFUSED);
    assert_non_null(strstr(s.status.message, "the job that the coordinator sent"));
}

static void test_another_job_at_the_address(void **state)
{
    (void)state;
    stage s;
    start(&s, &null_spec, NULL);
    stage_welcome(&s);
    s.job ^= 1;
    stage_say_tile(&s, PT_MSG_ASSIGN, 1, 1); /* is nothing to it */
    stage_say_type(&s, PT_MSG_HELLO);
    stage_expect(&s, PT_MSG_BYE);
    stage_join(&s);
    assert_int_equal(s.how, PT_WORKER_FAILED);
    assert_non_null(strstr(s.status.message, "another job"));
}

/* What has begun is finished, the rest is given back. */
static void drain_with(bool by_coordinator)
{
    stage s;
    start(&s, &spec, "slow@78:1");
    stage_welcome(&s);
    for (int64_t tile = 78; tile > 74; tile--) {
        stage_say_tile(&s, PT_MSG_ASSIGN, tile, 1);
    }
    stage_expect_started(&s, 78, 1);
    if (by_coordinator) {
        stage_say_type(&s, PT_MSG_DRAIN);
    } else {
        atomic_store(&s.drain, 1);
        pt_end_wake(s.end);
        stage_expect(&s, PT_MSG_DRAIN);
    }
    do {
        stage_expect_beat(&s);
    } while (s.beat.held_count > 1);
    assert_true(stage_lists(&s, 78));
    stage_say_tile(&s, PT_MSG_ASSIGN, 70, 1); /* came too late */
    pt_message m = stage_expect(&s, PT_MSG_RESULT);
    assert_int_equal(m.as.result.result.tile, 78);
    pt_message_fini(&m);
    stage_say_tile(&s, PT_MSG_ACK, 78, 1);
    stage_expect(&s, PT_MSG_BYE);
    stage_say_type(&s, PT_MSG_HELLO); /* from a coordinator that has forgotten it by now */
    stage_say_type(&s, PT_MSG_WELCOME);
    stage_say_type(&s, PT_MSG_BYE);
    stage_expect_silence(&s);
    assert_string_equal(s.status.message, "");
    assert_int_equal(s.how, PT_WORKER_BYE);
}

static void test_drains(void **state)
{
    (void)state;
    drain_with(true);
    drain_with(false);
    /* Before there is a job, and without an answer to its BYE. */
    stage s;
    stage_open(&s, &spec);
    atomic_store(&s.drain, 1);
    stage_start(&s);
    stage_join(&s);
    assert_int_equal(s.how, PT_WORKER_BYE);
}

/* `alive` grows while the worker is idle or at work, not while a tile stands still. */
static void test_alive(void **state)
{
    (void)state;
    stage s;
    setenv("PANTILE_TEST_FAULTS", "slow@3:5", 1);
    stage_open(&s, &null_spec);
    s.options.stall_seconds = 0.5;
    stage_start(&s);
    stage_welcome(&s);
    unsigned long idle = atomic_load(&s.alive);
    while (atomic_load(&s.alive) < idle + 2) {
        stage_expect_beat(&s);
    }
    stage_say_tile(&s, PT_MSG_ASSIGN, 3, 1);
    stage_expect_started(&s, 3, 1);
    sleep_ms(1500);
    unsigned long stalled = atomic_load(&s.alive);
    sleep_ms(2500);
    assert_int_equal(atomic_load(&s.alive), stalled);
    pt_message m = stage_expect(&s, PT_MSG_RESULT);
    pt_message_fini(&m);
    assert_true(atomic_load(&s.settled) == 0);
    stage_say_tile(&s, PT_MSG_ACK, 3, 1);
    while (atomic_load(&s.settled) == 0) {
        stage_expect_beat(&s);
    }
    assert_true(atomic_load(&s.alive) > stalled);
    stage_bye(&s);
}

/* Windows that are read ahead, as others take over what lies behind a tile that stands still, are no
 * progress. */
static void test_reading_ahead_is_no_sign_of_life(void **state)
{
    (void)state;
    stage s;
    setenv("PANTILE_TEST_FAULTS", "slow@3:5", 1);
    stage_open(&s, &spec);
    s.options.stall_seconds = 0.5;
    stage_start(&s);
    stage_welcome(&s);
    stage_say_tile(&s, PT_MSG_ASSIGN, 3, 1);
    stage_expect_started(&s, 3, 1);
    sleep_ms(1500);
    unsigned long stalled = atomic_load(&s.alive);
    for (int64_t tile = 4; tile < 9; tile++) {
        stage_say_tile(&s, PT_MSG_ASSIGN, tile, 1);
        sleep_ms(400);
        stage_say_tile(&s, PT_MSG_REVOKE, tile, 1);
    }
    assert_int_equal(atomic_load(&s.alive), stalled);
    pt_message m = stage_expect(&s, PT_MSG_RESULT);
    pt_message_fini(&m);
    stage_say_tile(&s, PT_MSG_ACK, 3, 1);
    stage_bye(&s);
}

static void test_bad_options(void **state)
{
    (void)state;
    pt_hub *hub = NULL;
    pt_end *end = NULL;
    assert_int_equal(pt_hub_open_local(&hub).code, PT_OK);
    assert_int_equal(pt_end_open_local(hub, &end).code, PT_OK);
    pt_status status;
    pt_worker_options bad = pt_worker_defaults();
    bad.credit = PT_HELD_MAX + 1;
    assert_int_equal(pt_worker_run(end, &bad, &status), PT_WORKER_FAILED);
    assert_int_equal(status.code, PT_E_USAGE);
    bad = pt_worker_defaults();
    bad.heartbeat_seconds = 0;
    assert_int_equal(pt_worker_run(end, &bad, &status), PT_WORKER_FAILED);
    assert_int_equal(status.code, PT_E_USAGE);
    bad = pt_worker_defaults();
    bad.access.model = "/vsimem/no/such.model";
    assert_int_equal(pt_worker_run(end, &bad, &status), PT_WORKER_FAILED);
    assert_int_equal(status.code, PT_E_INPUT);
    bad = pt_worker_defaults();
    for (long n = 0; n < 2; n++) { /* the worker itself; its first message */
        pt_alloc_fail_after(n);
        assert_int_equal(pt_worker_run(end, &bad, &status), PT_WORKER_FAILED);
        pt_alloc_fail_after(-1);
        assert_int_equal(status.code, PT_E_NOMEM);
    }
    pt_end_close(&end);
    pt_hub_close(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_is_repeated),
        cmocka_unit_test(test_heartbeats_tell_what_is_held),
        cmocka_unit_test(test_results_are_repeated_until_acknowledged),
        cmocka_unit_test(test_a_restarted_coordinator),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_another_engine_file),
        cmocka_unit_test(test_files_that_are_not_the_jobs),
        cmocka_unit_test(test_a_job_that_is_none),
        cmocka_unit_test(test_another_job_at_the_address),
        cmocka_unit_test(test_drains),
        cmocka_unit_test(test_alive),
        cmocka_unit_test(test_reading_ahead_is_no_sign_of_life),
        cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests(tests, make_jobs, free_jobs);
}
