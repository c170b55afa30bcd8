/* The rules of coordinator/dispatch/dispatch.h, one test each; simulator.c plays them all at once. */
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
    harness h = harness_tiles(1);
    join(&h, 1, 1);
    join(&h, 2, 1);
    give_up(&h, 1, 0, 1, true, false);
    assert_non_null(find_action(&h, PT_ACTION_ACK, 1, 0));
    assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 2, 0));
    give_up(&h, 1, 0, 1, true, false); /* the same again: counted once */
    give_up(&h, 2, 0, 2, true, false);
    assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 1, 0));
    leave(&h, 2);
    give_up(&h, 1, 0, 3, true, false);
    assert_int_equal(find_action(&h, PT_ACTION_QUARANTINE, 1, 0)->reason, PT_REASON_FAILED);
    assert_null(find_action(&h, PT_ACTION_ACK, 1, 0));
    commit(&h, 0);
    assert_non_null(find_action(&h, PT_ACTION_ACK, 1, 0));
    assert_int_equal(count_of(&h, PT_ACTION_DRAINED), 1);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
