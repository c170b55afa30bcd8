/* The scheduler's edges: options, what an earlier life left, memory, its own tables. */
#include "coordinator/dispatch/heap.h"
#include "coordinator/dispatch/map.h"
#include "tests/coordinator/dispatch/harness.h"

#include <math.h>

static void assert_refused(pt_dispatch_options options, const char *because)
{
    pt_dispatch *dispatch = NULL;
    pt_status status = pt_dispatch_new(&options, &dispatch);
    assert_int_equal(status.code, PT_E_USAGE);
    assert_non_null(strstr(status.message, because));
    assert_null(dispatch);
}

static void options_are_checked(void **state)
{
    (void)state;
    pt_dispatch_options good = pt_dispatch_defaults();
    assert_refused(good, "at least one tile"); /* tiles have no default */
    good.tiles = 1;
    pt_dispatch_options bad = good;
    bad.ahead = -1;
    assert_refused(bad, "reach");
    bad = good;
    bad.attempts = 0;
    assert_refused(bad, "attempts");
    bad = good;
    bad.strikes = 0;
    assert_refused(bad, "strikes");
    bad = good;
    bad.hold_max = 0;
    assert_refused(bad, "held");
    bad = good;
    bad.suspect_after = NAN;
    assert_refused(bad, "times");
    bad = good;
    bad.expire_after = bad.suspect_after / 2;
    assert_refused(bad, "expires");
    bad = good;
    bad.resend_after = 0;
    assert_refused(bad, "times");
    bad = good;
    bad.stall_after = INFINITY;
    assert_refused(bad, "times");
    bad = good;
    bad.speculate_factor = -1;
    assert_refused(bad, "speculation");
}

static void what_the_ledger_has_is_not_run_again(void **state)
{
    (void)state;
    harness h = harness_tiles(4);
    assert_int_equal(pt_dispatch_settled_before(h.dispatch, 0, 55, false).code, PT_OK);
    assert_int_equal(pt_dispatch_struck_before(h.dispatch, 2, 1, 1).code, PT_OK);
    assert_int_equal(pt_dispatch_settled_before(h.dispatch, 2, 0, true).code, PT_OK);
    assert_int_equal(pt_dispatch_settled_before(h.dispatch, 2, 0, true).code, PT_E_USAGE);
    assert_int_equal(pt_dispatch_settled_before(h.dispatch, 4, 0, false).code, PT_E_USAGE);
    assert_int_equal(pt_dispatch_struck_before(h.dispatch, 0, 1, 1).code, PT_E_USAGE);
    assert_int_equal(pt_dispatch_struck_before(h.dispatch, -1, 1, 1).code, PT_E_USAGE);
    assert_int_equal(pt_dispatch_struck_before(h.dispatch, 3, 1, 2).code, PT_E_USAGE);
    join(&h, 1, 9);
    assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 2);
    assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 1, 1));
    assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 1, 3));
    result(&h, 1, 0, 1, 55, 1);
    assert_non_null(find_action(&h, PT_ACTION_ACK, 1, 0));
    result(&h, 1, 0, 1, 56, 1);
    assert_non_null(find_action(&h, PT_ACTION_ALARM, 1, 0));
    result(&h, 1, 2, 1, 1, 1); /* quarantined for good: acknowledged, no alarm */
    assert_int_equal(h.actions.count, 1);
    assert_non_null(find_action(&h, PT_ACTION_ACK, 1, 2));
    assert_int_equal(stats_of(&h).quarantined, 1);
    harness_free(&h);
}

static void everything_settled_before_ends_at_once(void **state)
{
    (void)state;
    harness h = harness_tiles(1);
    assert_int_equal(pt_dispatch_settled_before(h.dispatch, 0, 1, false).code, PT_OK);
    tick(&h, 0);
    assert_int_equal(count_of(&h, PT_ACTION_DRAINED), 1);
    tick(&h, 1);
    assert_int_equal(h.actions.count, 0);
    harness_free(&h);
}

static void strikes_outlive_the_coordinator(void **state)
{
    (void)state;
    harness h = harness_tiles(2);
    assert_int_equal(pt_dispatch_struck_before(h.dispatch, 0, 3, 2).code, PT_OK); /* not written any more */
    assert_int_equal(pt_dispatch_struck_before(h.dispatch, 1, 2, 2).code, PT_OK);
    join(&h, 1, 2);
    assert_int_equal(find_action(&h, PT_ACTION_QUARANTINE, 0, 0)->reason, PT_REASON_DEATHS);
    assert_non_null(find_action(&h, PT_ACTION_ASSIGN, 1, 1));
    start(&h, 1, 1, 1);
    die(&h, 1);
    assert_int_equal(find_action(&h, PT_ACTION_QUARANTINE, 0, 1)->strikes, 3);
    harness_free(&h);
}

static void many_may_expire_at_once(void **state)
{
    (void)state;
    harness h = harness_tiles(300);
    for (pt_worker worker = 1; worker <= 300; worker++) {
        join(&h, worker, 1);
        start(&h, worker, (int64_t)worker - 1, 1);
    }
    h.now += 100;
    pt_dispatch_actions_fini(&h.actions);
    step(&h, (pt_dispatch_event){.kind = PT_EVENT_TICK});
    assert_int_equal(count_of(&h, PT_ACTION_DROP), 300);
    assert_int_equal(count_of(&h, PT_ACTION_STRIKE), 300);
    assert_int_equal(stats_of(&h).pending, 300);
    harness_free(&h);
}

static void time_does_not_go_back(void **state)
{
    (void)state;
    harness h = harness_tiles(1);
    h.now = 100;
    join(&h, 1, 1);
    h.now = 1;
    tick(&h, 0);
    h.now = 109;
    tick(&h, 0);
    assert_int_equal(stats_of(&h).suspects, 0);
    h.now = 110;
    tick(&h, 0);
    assert_int_equal(stats_of(&h).suspects, 1);
    harness_free(&h);
}

static void durations_that_make_no_sense_are_not_counted(void **state)
{
    (void)state;
    harness h = harness_tiles(1000);
    join(&h, 1, 1);
    const double odd[] = {-1, NAN, INFINITY, -INFINITY, 1e301};
    for (int64_t tile = 0; tile < 5; tile++) {
        result(&h, 1, tile, 1, 1, odd[tile]);
        commit(&h, tile);
    }
    assert_true(stats_of(&h).p95_seconds == 0);
    for (int64_t tile = 5; tile < 905; tile++) { /* the last 256 count: 649 .. 904 */
        result(&h, 1, tile, 1, 1, (double)tile);
        commit(&h, tile);
    }
    assert_true(stats_of(&h).p95_seconds == 649 + 244 - 1);
    harness_free(&h);
}

/* However many allocations succeed before one fails, the step has not happened, and happens afterwards. */
static void a_step_without_memory_changes_nothing(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        harness h = harness_tiles(50);
        pt_dispatch_event event = {.kind = PT_EVENT_JOINED, .worker = 1, .credit = 40};
        pt_alloc_fail_after(n);
        pt_status status = pt_dispatch_step(h.dispatch, &event, 5, &h.actions);
        pt_alloc_fail_after(-1);
        if (status.code == PT_OK) {
            assert_true(n > 3);
            harness_free(&h);
            return;
        }
        assert_int_equal(status.code, PT_E_NOMEM);
        assert_int_equal(h.actions.count, 0);
        assert_int_equal(stats_of(&h).workers, 0);
        step(&h, event);
        assert_int_equal(count_of(&h, PT_ACTION_ASSIGN), 40);
        harness_free(&h);
    }
}

static void beginning_without_memory_fails(void **state)
{
    (void)state;
    pt_dispatch_options options = pt_dispatch_defaults();
    options.tiles = 5;
    for (long n = 0; n < 2; n++) {
        pt_dispatch *dispatch = NULL;
        pt_alloc_fail_after(n);
        assert_int_equal(pt_dispatch_new(&options, &dispatch).code, PT_E_NOMEM);
        pt_alloc_fail_after(-1);
        assert_null(dispatch);
    }
    harness h = harness_new(options);
    pt_alloc_fail_after(0);
    assert_int_equal(pt_dispatch_struck_before(h.dispatch, 0, 1, 1).code, PT_E_NOMEM);
    pt_alloc_fail_after(-1);
    assert_int_equal(stats_of(&h).pending, 5);
    harness_free(&h);
}

static uint64_t seed = 99;

static uint64_t random_to(uint64_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % n;
}

static void the_map_equals_a_table(void **state)
{
    (void)state;
    enum { KEYS = 500 };
    uint32_t table[KEYS];
    memset(table, 0xff, sizeof table);
    pt_map map = {0};
    assert_int_equal(pt_map_get(&map, 3), PT_NONE);
    pt_map_remove(&map, 3);
    for (int n = 0; n < 100000; n++) {
        uint64_t key = random_to(KEYS);
        if (table[key] == PT_NONE && random_to(2)) {
            assert_int_equal(pt_map_reserve(&map, 1).code, PT_OK);
            pt_map_put(&map, key * 977, table[key] = (uint32_t)n);
        } else {
            pt_map_remove(&map, key * 977);
            table[key] = PT_NONE;
        }
        uint64_t other = random_to(KEYS);
        assert_int_equal(pt_map_get(&map, other * 977), table[other]);
    }
    pt_map_fini(&map);
}

static void the_heap_equals_a_table(void **state)
{
    (void)state;
    enum { ITEMS = 60 };
    double table[ITEMS];
    pt_heap heap = {0};
    assert_int_equal(pt_heap_reserve(&heap, ITEMS).code, PT_OK);
    for (uint32_t i = 0; i < ITEMS; i++) {
        table[i] = -1;
    }
    for (int n = 0; n < 50000; n++) {
        uint32_t item = (uint32_t)random_to(ITEMS);
        if (random_to(3)) {
            table[item] = (double)random_to(20);
            pt_heap_set(&heap, item, table[item]);
        } else {
            pt_heap_remove(&heap, item);
            table[item] = -1;
        }
        size_t count = 0;
        uint32_t least = ITEMS;
        for (uint32_t i = 0; i < ITEMS; i++) {
            assert_true(pt_heap_has(&heap, i) == (table[i] >= 0));
            count += table[i] >= 0;
            least = table[i] >= 0 && (least == ITEMS || table[i] < table[least]) ? i : least;
        }
        assert_int_equal(heap.count, count);
        assert_true(count == 0 || heap.entries[0].item == least);
    }
    pt_heap_fini(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(what_the_ledger_has_is_not_run_again),
        cmocka_unit_test(everything_settled_before_ends_at_once),
        cmocka_unit_test(strikes_outlive_the_coordinator),
        cmocka_unit_test(many_may_expire_at_once),
        cmocka_unit_test(time_does_not_go_back),
        cmocka_unit_test(durations_that_make_no_sense_are_not_counted),
        cmocka_unit_test(a_step_without_memory_changes_nothing),
        cmocka_unit_test(beginning_without_memory_fails),
        cmocka_unit_test(the_map_equals_a_table),
        cmocka_unit_test(the_heap_equals_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
