/* What becomes of tiles: order, results, failures, strikes, second runs, hold and drain; simulator.c plays
 * all rules at once. */
#include "tests/coordinator/dispatch/harness.h"

static void tiles_go_out_in_order_and_settle(void **state)
{
    (void)state;
    harness h = harness_tiles(3);
    join(&h, 5, 2);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 2);
    assert_int_equal(h.actions.items[0].tile, 0);
    assert_int_equal(h.actions.items[1].tile, 1);
    assert_int_equal(h.actions.items[1].attempt, 1);
    start(&h, 5, 0, 1);
    assert_int_equal(h.actions.count, 0);
    result(&h, 5, 0, 1, 99, 1);
    const pt_dispatch_action *a = find_action(&h, PT_ACTION_COMMIT, 5, 0);
    assert_non_null(a);
    assert_null(find_action(&h, PT_ACTION_ACK, 5, 0)); /* not before the ledger has it */
    assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 5, 2));
    commit(&h, 0);
    assert_non_null(find_action(&h, PT_ACTION_ACK, 5, 0));
    finish(&h, 5, 1, 1);
    finish(&h, 5, 2, 1);
    assert_int_equal(count_of(&h, PT_ACTION_DRAINED), 1);
    pt_dispatch_stats s = stats_of(&h);
    assert_int_equal(s.settled, 3);
    assert_int_equal(s.quarantined, 0);
    assert_int_equal(s.assigned, 3);
    assert_int_equal(s.retries, 0);
    harness_free(&h);
}

static void unknown_things_are_harmless(void **state)
{
    (void)state;
    harness h = harness_tiles(2);
    join(&h, 0, 2); /* nobody */
    assert_int_equal(stats_of(&h).workers, 0);
    result(&h, 9, 0, 1, 1, 1);
    start(&h, 9, 0, 1);
    leave(&h, 9);
    join(&h, 1, 1);
    result(&h, 1, -1, 1, 1, 1);
    result(&h, 1, 2, 1, 1, 1);
    start(&h, 1, 1, 1);
    commit(&h, 0);
    commit(&h, 17);
    assert_int_equal(h.actions.count, 0);
    give_up(&h, 1, 1, 1, true, false); /* never assigned: forget it */
    assert_non_null(find_action(&h, PT_ACTION_ACK, 1, 1));
    assert_int_equal(stats_of(&h).leased, 1);
    harness_free(&h);
}

static void a_dead_worker_gives_back_its_tiles(void **state)
{
    (void)state;
    harness h = harness_tiles(4);
    join(&h, 1, 2);
    join(&h, 2, 1);
    start(&h, 1, 0, 1);
    die(&h, 1);
    const pt_dispatch_action *a = find_action(&h, PT_ACTION_STRIKE, 1, 0);
    assert_non_null(a); /* the one that it had started */
    assert_int_equal(a->strikes, 1);
    assert_int_equal(a->lives, 1);
    assert_int_equal(count_of(&h, PT_ACTION_STRIKE), 1);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 0); /* worker 2 is full */
    join(&h, 3, 2);                                      /* lowest places first */
    assert_int_equal(find_action(&h, PT_ACTION_ASSIGN, 3, 0)->attempt, 2);
    assert_int_equal(find_action(&h, PT_ACTION_ASSIGN, 3, 1)->attempt, 2);
    assert_int_equal(stats_of(&h).retries, 2);
    harness_free(&h);
}

static void a_poison_tile_is_quarantined_after_three_deaths(void **state)
{
    (void)state;
    harness h = harness_tiles(2);
    for (int death = 1; death <= 3; death++) {
        join(&h, (pt_worker)death, 1);
        assert_non_null(find_action(&h, PT_ACTION_ASSIGN, (pt_worker)death, 0));
        start(&h, (pt_worker)death, 0, death);
        die(&h, (pt_worker)death);
        assert_int_equal(find_action(&h, PT_ACTION_STRIKE, 0, 0)->strikes, death);
    }
    const pt_dispatch_action *a = find_action(&h, PT_ACTION_QUARANTINE, 0, 0);
    assert_non_null(a);
    assert_int_equal(a->reason, PT_REASON_DEATHS);
    assert_int_equal(a->strikes, 3);
    assert_int_equal(a->lives, 3);
    commit(&h, 0);
    join(&h, 4, 1);
    finish(&h, 4, 1, 1);
    assert_int_equal(count_of(&h, PT_ACTION_DRAINED), 1);
    assert_int_equal(stats_of(&h).quarantined, 1);
    assert_int_equal(stats_of(&h).settled, 2);
    harness_free(&h);
}

static void a_failing_tile_goes_elsewhere_and_then_to_quarantine(void **state)
{
    (void)state;
    harness h = harness_tiles(2);
    join(&h, 1, 1);
    join(&h, 2, 2);
    give_up(&h, 1, 0, 1, true, false);
    assert_non_null(find_action(&h, PT_ACTION_ACK, 1, 0));
    assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 2, 0)); /* though 1 is idle and 2 is not */
    give_up(&h, 1, 0, 1, true, false);                        /* the same again: counted once */
    give_up(&h, 2, 0, 2, true, false);
    assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 1, 0));
    leave(&h, 2);
    give_up(&h, 1, 0, 3, true, false);
    assert_int_equal(find_action(&h, PT_ACTION_QUARANTINE, 1, 0)->reason, PT_REASON_FAILED);
    assert_null(find_action(&h, PT_ACTION_ACK, 1, 0));
    commit(&h, 0);
    assert_non_null(find_action(&h, PT_ACTION_ACK, 1, 0));
    harness_free(&h);
}

static void a_hopeless_tile_is_not_tried_again(void **state)
{
    (void)state;
    harness h = harness_tiles(1);
    join(&h, 1, 1);
    join(&h, 2, 1);
    give_up(&h, 1, 0, 1, false, false);
    assert_int_equal(find_action(&h, PT_ACTION_QUARANTINE, 1, 0)->reason, PT_REASON_FAILED);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 0);
    harness_free(&h);
}

static void the_only_worker_tries_a_failed_tile_again(void **state)
{
    (void)state;
    harness h = harness_tiles(1);
    join(&h, 1, 1);
    join(&h, 2, 0); /* takes nothing: no alternative */
    give_up(&h, 1, 0, 1, true, false);
    assert_int_equal(find_action(&h, PT_ACTION_ASSIGN, 1, 0)->attempt, 2);
    harness_free(&h);
}

static void running_out_of_memory_is_a_strike_by_one_life(void **state)
{
    (void)state;
    pt_dispatch_options options = pt_dispatch_defaults();
    options.tiles = 1;
    options.attempts = 10;
    options.strikes = 2;
    harness h = harness_new(options);
    join(&h, 1, 1);
    for (int attempt = 1; attempt <= 3; attempt++) { /* one life is not enough to condemn it */
        start(&h, 1, 0, attempt);
        give_up(&h, 1, 0, attempt, true, true);
        assert_int_equal(find_action(&h, PT_ACTION_STRIKE, 1, 0)->lives, 1);
        assert_int_equal(find_action(&h, PT_ACTION_STRIKE, 1, 0)->strikes, attempt);
        assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 1, 0));
    }
    die(&h, 1);
    join(&h, 2, 1);
    start(&h, 2, 0, 5);
    die(&h, 2);
    assert_int_equal(find_action(&h, PT_ACTION_QUARANTINE, 0, 0)->reason, PT_REASON_DEATHS);
    harness_free(&h);
}

static void a_tile_that_another_still_runs_is_not_condemned(void **state)
{
    (void)state;
    pt_dispatch_options options = pt_dispatch_defaults();
    options.tiles = 1;
    options.attempts = 1;
    harness h = harness_new(options);
    join(&h, 1, 1);
    start(&h, 1, 0, 1);
    tick(&h, 10); /* 1 is a suspect */
    join(&h, 2, 1);
    assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 2, 0));
    give_up(&h, 2, 0, 2, true, false);
    assert_int_equal(count_of(&h, PT_ACTION_QUARANTINE), 0);
    result(&h, 1, 0, 1, 5, 1);
    assert_int_equal(count_of(&h, PT_ACTION_COMMIT), 1);
    commit(&h, 0);
    assert_int_equal(stats_of(&h).quarantined, 0);
    harness_free(&h);
}

static void any_result_of_an_open_tile_counts(void **state)
{
    (void)state;
    harness h = harness_tiles(3);
    join(&h, 1, 1);
    result(&h, 1, 2, 7, 1, 1); /* of an earlier life of the coordinator */
    assert_non_null(find_action(&h, PT_ACTION_COMMIT, 1, 2));
    commit(&h, 2);
    assert_int_equal(find_action(&h, PT_ACTION_ACK, 1, 2)->attempt, 7);
    assert_int_equal(stats_of(&h).settled, 1);
    harness_free(&h);
}

static void a_repeat_is_acknowledged_and_a_contradiction_raises_an_alarm(void **state)
{
    (void)state;
    harness h = harness_tiles(2);
    join(&h, 1, 1);
    start(&h, 1, 0, 1);
    result(&h, 1, 0, 1, 100, 1);
    result(&h, 1, 0, 1, 100, 1); /* before the ledger has it: nothing yet */
    assert_int_equal(h.actions.count, 0);
    commit(&h, 0);
    result(&h, 1, 0, 1, 100, 1);
    assert_int_equal(h.actions.count, 1);
    assert_non_null(find_action(&h, PT_ACTION_ACK, 1, 0));
    result(&h, 1, 0, 1, 101, 1);
    assert_non_null(find_action(&h, PT_ACTION_ALARM, 1, 0));
    assert_non_null(find_action(&h, PT_ACTION_ACK, 1, 0));
    assert_int_equal(stats_of(&h).alarms, 1);
    assert_int_equal(stats_of(&h).settled, 1);
    harness_free(&h);
}

/* Five tiles of 1 s done, the sixth runs, nothing is pending. */
static harness tail(pt_dispatch_options options)
{
    options.tiles = 6;
    harness h = harness_new(options);
    join(&h, 1, 1);
    for (int64_t tile = 0; tile < 5; tile++) {
        finish(&h, 1, tile, 1);
    }
    start(&h, 1, 5, 1);
    join(&h, 2, 1);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 0);
    return h;
}

static void a_slow_tile_runs_a_second_time(void **state)
{
    (void)state;
    harness h = tail(pt_dispatch_defaults());
    assert_true(pt_dispatch_deadline(h.dispatch) == h.now + 2);
    tick(&h, 1.9);
    assert_int_equal(h.actions.count, 0);
    tick(&h, 0.2);
    assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 2, 5));
    assert_int_equal(stats_of(&h).speculated, 1);
    assert_int_equal(stats_of(&h).retries, 0);
    join(&h, 3, 1); /* two are enough */
    tick(&h, 4);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 0);
    start(&h, 2, 5, 2);
    result(&h, 1, 5, 1, 9, 6);
    result(&h, 2, 5, 2, 10, 1); /* and differs */
    assert_non_null(find_action(&h, PT_ACTION_ALARM, 2, 5));
    commit(&h, 5);
    assert_int_equal(count_of(&h, PT_ACTION_ACK), 2);
    assert_int_equal(stats_of(&h).wasted, 1);
    assert_int_equal(count_of(&h, PT_ACTION_DRAINED), 1);
    harness_free(&h);
}

/* Tiles that are computed at once and away for 4 s wait in queues: those that have not begun are not slow. */
static void a_tile_in_a_queue_is_measured_by_queues(void **state)
{
    (void)state;
    harness h = harness_tiles(6);
    join(&h, 1, 1);
    for (int64_t tile = 0; tile < 5; tile++) {
        tick(&h, 4);
        result(&h, 1, tile, 1, 1, 0);
        commit(&h, tile);
    }
    join(&h, 2, 1);
    tick(&h, 7.9);
    assert_int_equal(stats_of(&h).speculated, 0);
    tick(&h, 0.2);
    assert_int_equal(stats_of(&h).speculated, 1);
    harness_free(&h);
}

static void the_loser_is_told_and_its_credit_comes_back(void **state)
{
    (void)state;
    harness h = tail(pt_dispatch_defaults());
    tick(&h, 3);
    result(&h, 2, 5, 2, 9, 1);
    commit(&h, 5);
    assert_non_null(find_action(&h, PT_ACTION_REVOKE, 1, 5));
    assert_int_equal(count_of(&h, PT_ACTION_DRAINED), 1); /* nobody waits for the slow one */
    result(&h, 1, 5, 1, 9, 9);
    assert_non_null(find_action(&h, PT_ACTION_ACK, 1, 5));
    assert_int_equal(stats_of(&h).wasted, 1);
    harness_free(&h);
}

static void speculation_can_be_switched_off(void **state)
{
    (void)state;
    pt_dispatch_options options = pt_dispatch_defaults();
    options.speculate_factor = 0;
    harness h = tail(options);
    tick(&h, 8);
    assert_int_equal(stats_of(&h).speculated, 0);
    harness_free(&h);
}

static void hold_stops_and_release_goes_on(void **state)
{
    (void)state;
    harness h = harness_tiles(3);
    join(&h, 1, 1);
    say(&h, PT_EVENT_HOLD);
    result(&h, 1, 0, 1, 1, 1);
    commit(&h, 0);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 0);
    say(&h, PT_EVENT_RELEASE);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 1);
    harness_free(&h);
}

static void drain_lets_finish_what_runs(void **state)
{
    (void)state;
    harness h = harness_tiles(9);
    join(&h, 1, 2);
    say(&h, PT_EVENT_DRAIN);
    assert_int_equal(h.actions.count, 0);
    result(&h, 1, 0, 1, 1, 1);
    commit(&h, 0);
    assert_int_equal(count_of(&h, PT_ACTION_DRAINED), 0);
    tick(&h, 6);
    beat(&h, 1, 1, 2, NULL, 0); /* the second was lost on the way: not sent again */
    assert_non_null(find_action(&h, PT_ACTION_REVOKE, 1, 1));
    assert_int_equal(count_of(&h, PT_ACTION_DRAINED), 1);
    say(&h, PT_EVENT_DRAIN);
    say(&h, PT_EVENT_RELEASE);
    assert_int_equal(h.actions.count, 0);
    assert_int_equal(stats_of(&h).settled, 1);
    assert_int_equal(stats_of(&h).pending, 8);
    harness_free(&h);
}

static int64_t backwards(const void *user, int64_t place)
{
    return *(const int64_t *)user - 1 - place;
}

static void the_order_and_the_reach_are_kept(void **state)
{
    (void)state;
    pt_dispatch_options options = pt_dispatch_defaults();
    options.tiles = 10;
    options.order = backwards;
    options.user = &options.tiles;
    options.ahead = 3;
    harness h = harness_new(options);
    join(&h, 1, 64);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 3);
    assert_int_equal(h.actions.items[0].tile, 9);
    assert_int_equal(h.actions.items[2].tile, 7);
    result(&h, 1, 8, 1, 1, 1);
    commit(&h, 8);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 0); /* 9 is the front */
    result(&h, 1, 9, 1, 1, 1);
    commit(&h, 9);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 2);
    assert_int_equal(find_action(&h, PT_ACTION_ASSIGN, 1, 6)->attempt, 1);
    assert_int_equal(find_action(&h, PT_ACTION_ASSIGN, 1, 5)->attempt, 1);
    harness_free(&h);
}

static void what_comes_back_goes_out_in_order(void **state)
{
    (void)state;
    harness h = harness_tiles(6);
    join(&h, 1, 4);
    die(&h, 1);
    for (pt_worker worker = 2; worker < 8; worker++) {
        join(&h, worker, 1);
        assert_int_equal(h.actions.items[0].tile, (int64_t)worker - 2);
    }
    harness_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_go_out_in_order_and_settle),
        cmocka_unit_test(unknown_things_are_harmless),
        cmocka_unit_test(a_dead_worker_gives_back_its_tiles),
        cmocka_unit_test(a_poison_tile_is_quarantined_after_three_deaths),
        cmocka_unit_test(a_failing_tile_goes_elsewhere_and_then_to_quarantine),
        cmocka_unit_test(a_hopeless_tile_is_not_tried_again),
        cmocka_unit_test(the_only_worker_tries_a_failed_tile_again),
        cmocka_unit_test(running_out_of_memory_is_a_strike_by_one_life),
        cmocka_unit_test(a_tile_that_another_still_runs_is_not_condemned),
        cmocka_unit_test(any_result_of_an_open_tile_counts),
        cmocka_unit_test(a_repeat_is_acknowledged_and_a_contradiction_raises_an_alarm),
        cmocka_unit_test(a_slow_tile_runs_a_second_time),
        cmocka_unit_test(a_tile_in_a_queue_is_measured_by_queues),
        cmocka_unit_test(the_loser_is_told_and_its_credit_comes_back),
        cmocka_unit_test(speculation_can_be_switched_off),
        cmocka_unit_test(hold_stops_and_release_goes_on),
        cmocka_unit_test(drain_lets_finish_what_runs),
        cmocka_unit_test(the_order_and_the_reach_are_kept),
        cmocka_unit_test(what_comes_back_goes_out_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
