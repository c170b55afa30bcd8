/* What becomes of workers: credit, silence, stalls, what heartbeats say. */
#include "tests/coordinator/dispatch/harness.h"

static void who_leaves_is_not_blamed(void **state)
{
    (void)state;
    harness h = harness_tiles(1);
    join(&h, 1, 1);
    start(&h, 1, 0, 1);
    leave(&h, 1);
    assert_int_equal(h.actions.count, 0);
    assert_int_equal(stats_of(&h).pending, 1);
    harness_free(&h);
}

static void a_slot_has_one_worker(void **state)
{
    (void)state;
    harness h = harness_tiles(1);
    join_slot(&h, 1, 1, 77);
    start(&h, 1, 0, 1);
    join_slot(&h, 1, 1, 77); /* HELLO again */
    assert_int_equal(h.actions.count, 0);
    join_slot(&h, 2, 1, 77);
    assert_int_equal(find_action(&h, PT_ACTION_DROP, 1, -1)->reason, PT_REASON_REPLACED);
    assert_non_null(find_action(&h, PT_ACTION_STRIKE, 1, 0));
    assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 2, 0));
    assert_int_equal(stats_of(&h).workers, 1);
    harness_free(&h);
}

static void credit_is_kept_and_may_change(void **state)
{
    (void)state;
    pt_dispatch_options options = pt_dispatch_defaults();
    options.tiles = 100;
    options.hold_max = 3;
    harness h = harness_new(options);
    join(&h, 1, 2);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 2);
    beat(&h, 1, 1, 3, (pt_dispatch_held[]){{0, 1, false}, {1, 1, false}}, 2);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 1);
    result(&h, 1, 0, 1, 1, 1); /* room by credit, but what is not acknowledged counts too */
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 0);
    commit(&h, 0);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 1);
    beat(&h, 1, 1, 0, NULL, 0);
    result(&h, 1, 1, 1, 1, 1);
    commit(&h, 1);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 0);
    join(&h, 2, INT32_MAX); /* never more than hold_max */
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 3);
    harness_free(&h);
}

static void idle_workers_come_first_and_work_is_spread(void **state)
{
    (void)state;
    harness h = harness_tiles(4);
    say(&h, PT_EVENT_HOLD);
    join(&h, 1, 3);
    join(&h, 2, 3);
    join(&h, 3, 3);
    say(&h, PT_EVENT_RELEASE);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 4);
    assert_int_equal(h.actions.items[0].worker, 1);
    assert_int_equal(h.actions.items[1].worker, 2);
    assert_int_equal(h.actions.items[2].worker, 3);
    assert_int_equal(h.actions.items[3].worker, 1);
    harness_free(&h);
}

static void a_silent_worker_becomes_a_suspect_and_its_tiles_go_to_others(void **state)
{
    (void)state;
    harness h = harness_tiles(3);
    join(&h, 1, 1);
    start(&h, 1, 0, 1);
    tick(&h, 9.5);
    assert_int_equal(stats_of(&h).suspects, 0);
    tick(&h, 0.5);
    assert_int_equal(stats_of(&h).suspects, 1);
    join(&h, 2, 1);
    assert_int_equal(find_action(&h, PT_ACTION_ASSIGN, 2, 0)->attempt, 2);
    beat(&h, 1, 1, 2, (pt_dispatch_held[]){{0, 1, true}}, 1); /* it is back, with room */
    assert_int_equal(stats_of(&h).suspects, 0);
    assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 1, 1));
    result(&h, 1, 0, 1, 8, 12);
    assert_non_null(find_action(&h, PT_ACTION_COMMIT, 1, 0));
    commit(&h, 0);
    assert_non_null(find_action(&h, PT_ACTION_ACK, 1, 0));
    assert_non_null(find_action(&h, PT_ACTION_REVOKE, 2, 0));
    harness_free(&h);
}

static void a_silent_worker_expires(void **state)
{
    (void)state;
    harness h = harness_tiles(2);
    join(&h, 1, 2);
    start(&h, 1, 0, 1);
    tick(&h, 59.9);
    assert_int_equal(stats_of(&h).workers, 1);
    tick(&h, 0.1);
    assert_int_equal(find_action(&h, PT_ACTION_DROP, 1, -1)->reason, PT_REASON_EXPIRED);
    assert_int_equal(count_of(&h, PT_ACTION_STRIKE), 1);
    assert_int_equal(stats_of(&h).workers, 0);
    assert_true(pt_dispatch_deadline(h.dispatch) > 1e100);
    result(&h, 1, 0, 1, 8, 1); /* nobody that we know: it must join again */
    assert_int_equal(h.actions.count, 0);
    join(&h, 1, 2);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 2);
    harness_free(&h);
}

static void long_tiles_give_more_time(void **state)
{
    (void)state;
    harness h = harness_tiles(10);
    join(&h, 1, 1);
    for (int64_t tile = 0; tile < 5; tile++) {
        assert_true(stats_of(&h).p95_seconds == 0);
        result(&h, 1, tile, 1, 1, 40);
    }
    assert_true(stats_of(&h).p95_seconds == 40);
    tick(&h, 119);
    assert_int_equal(stats_of(&h).workers, 1);
    tick(&h, 1.5);
    assert_int_equal(stats_of(&h).workers, 0);
    harness_free(&h);
}

static void a_worker_that_does_not_move_is_treated_as_silent(void **state)
{
    (void)state;
    harness h = harness_tiles(2);
    join(&h, 1, 2);
    start(&h, 1, 0, 1);
    pt_dispatch_held held[] = {{0, 1, true}, {1, 1, false}};
    for (int i = 0; i < 30; i++) {
        beat(&h, 1, 1, 2, held, 2);
        tick(&h, 2);
    }
    assert_int_equal(stats_of(&h).suspects, 1); /* after 60 s, however it beats */
    join(&h, 2, 2);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 2);
    beat(&h, 1, 2, 2, held, 2);
    assert_int_equal(stats_of(&h).suspects, 0); /* it moves again */
    size_t dropped = 0;
    for (int i = 0; i < 60 && !dropped; i++) {
        beat(&h, 1, 2, 2, held, 2);
        beat(&h, 2, (uint64_t)i, 2, held, 2);
        tick(&h, 2);
        dropped = count_of(&h, PT_ACTION_DROP);
    }
    assert_int_equal(find_action(&h, PT_ACTION_DROP, 1, -1)->reason, PT_REASON_STALLED);
    assert_int_equal(stats_of(&h).workers, 1);
    harness_free(&h);
}

static void an_idle_worker_need_not_move(void **state)
{
    (void)state;
    harness h = harness_tiles(1);
    join(&h, 1, 1);
    for (int i = 0; i < 100; i++) {
        beat(&h, 1, 1, 1, (pt_dispatch_held[]){{0, 1, false}}, 1);
        tick(&h, 2);
    }
    assert_int_equal(stats_of(&h).suspects, 0);
    harness_free(&h);
}

static void a_lost_assignment_is_sent_again(void **state)
{
    (void)state;
    harness h = harness_tiles(2);
    join(&h, 1, 2);
    pt_dispatch_held held[] = {{1, 1, false}};
    tick(&h, 4);
    beat(&h, 1, 1, 2, held, 1);
    assert_int_equal(h.actions.count, 0);
    tick(&h, 2);
    beat(&h, 1, 1, 2, held, 1);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 1);
    assert_int_equal(find_action(&h, PT_ACTION_ASSIGN, 1, 0)->attempt, 1);
    tick(&h, 2);
    beat(&h, 1, 1, 2, held, 1); /* not at every heartbeat */
    assert_int_equal(h.actions.count, 0);
    assert_int_equal(stats_of(&h).assigned, 2);
    for (int i = 0; i < 2; i++) {
        tick(&h, 5);
        beat(&h, 1, 1, 2, held, 1);
        assert_int_equal(find_action(&h, PT_ACTION_ASSIGN, 1, 0)->attempt, 1);
    }
    tick(&h, 5); /* nor for ever: it does not want this attempt */
    beat(&h, 1, 1, 2, held, 1);
    assert_int_equal(find_action(&h, PT_ACTION_REVOKE, 1, 0)->attempt, 1);
    assert_int_equal(find_action(&h, PT_ACTION_ASSIGN, 1, 0)->attempt, 2);
    harness_free(&h);
}

static void a_heartbeat_stands_in_for_a_lost_start(void **state)
{
    (void)state;
    harness h = harness_tiles(1);
    join(&h, 1, 1);
    beat(&h, 1, 1, 1, (pt_dispatch_held[]){{0, 1, true}}, 1);
    die(&h, 1);
    assert_int_equal(count_of(&h, PT_ACTION_STRIKE), 1);
    harness_free(&h);
}

static void a_worker_keeps_the_tiles_that_it_brings(void **state)
{
    (void)state;
    harness h = harness_tiles(4);
    say(&h, PT_EVENT_HOLD);
    join(&h, 1, 2);
    pt_dispatch_held held[] = {{3, 2, true}, {9, 1, true}, {-1, 1, true}, {2, 0, true}, {2, INT32_MAX, true}};
    beat(&h, 1, 1, 2, held, 5);
    assert_int_equal(stats_of(&h).leased, 1);
    say(&h, PT_EVENT_RELEASE);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 1);
    join(&h, 2, 4);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 2); /* not tile 3 */
    die(&h, 1);
    assert_non_null(find_action(&h, PT_ACTION_STRIKE, 1, 3));
    assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 2, 0));
    assert_int_equal(find_action(&h, PT_ACTION_ASSIGN, 2, 3)->attempt, 3);
    harness_free(&h);
}

static void a_lease_is_for_the_attempt_that_the_worker_has(void **state)
{
    (void)state;
    harness h = harness_tiles(1);
    join(&h, 1, 1);
    join(&h, 2, 1);
    beat(&h, 1, 1, 1, (pt_dispatch_held[]){{0, 6, true}}, 1); /* of an earlier life of the coordinator */
    give_up(&h, 1, 0, 6, true, false);
    assert_int_equal(find_action(&h, PT_ACTION_ASSIGN, 2, 0)->attempt, 7);
    harness_free(&h);
}

static void what_is_settled_is_revoked_when_listed(void **state)
{
    (void)state;
    harness h = harness_tiles(1);
    join(&h, 1, 1);
    finish(&h, 1, 0, 1);
    join(&h, 2, 1);
    beat(&h, 2, 1, 1, (pt_dispatch_held[]){{0, 1, false}}, 1);
    assert_non_null(find_action(&h, PT_ACTION_REVOKE, 2, 0));
    harness_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_leaves_is_not_blamed),
        cmocka_unit_test(a_slot_has_one_worker),
        cmocka_unit_test(credit_is_kept_and_may_change),
        cmocka_unit_test(idle_workers_come_first_and_work_is_spread),
        cmocka_unit_test(a_silent_worker_becomes_a_suspect_and_its_tiles_go_to_others),
        cmocka_unit_test(a_silent_worker_expires),
        cmocka_unit_test(long_tiles_give_more_time),
        cmocka_unit_test(a_worker_that_does_not_move_is_treated_as_silent),
        cmocka_unit_test(an_idle_worker_need_not_move),
        cmocka_unit_test(a_lost_assignment_is_sent_again),
        cmocka_unit_test(a_heartbeat_stands_in_for_a_lost_start),
        cmocka_unit_test(a_worker_keeps_the_tiles_that_it_brings),
        cmocka_unit_test(a_lease_is_for_the_attempt_that_the_worker_has),
        cmocka_unit_test(what_is_settled_is_revoked_when_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
