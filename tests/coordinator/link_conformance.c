#include "tests/coordinator/link_conformance.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static link_factory *make; /* of the run */

static pt_link *new_link(size_t credit)
{
    pt_link *link = NULL;
    assert_int_equal(make(credit, &link).code, PT_OK);
    assert_non_null(link);
    return link;
}

static pt_assignment tile_number(int64_t tile)
{
    return (pt_assignment){.tile = tile, .window = {tile * 10, tile, 5, 7}, .attempt = 1};
}

/* A result that owns memory: who loses it is found by the leak checker. */
static pt_result result_of(int64_t tile)
{
    pt_result result = {.tile = tile, .attempt = 2, .outcome = PT_TILE_DONE, .capped = true};
    pt_instance instance = {.class_id = 3, .score = 0.5f};
    assert_int_equal(pt_mask_from_rect((pt_rect){tile, 2, 3, 4}, &instance.mask).code, PT_OK);
    assert_int_equal(pt_instance_list_push(&result.instances, &instance).code, PT_OK);
    return result;
}

static void test_carries_both_ways(void **state)
{
    (void)state;
    pt_link *link = new_link(4);
    pt_assignment sent = tile_number(7);
    pt_assignment got;
    assert_int_equal(pt_link_assign(link, &sent).code, PT_OK);
    assert_int_equal(pt_link_next(link, &got).code, PT_OK);
    assert_int_equal(got.tile, 7);
    assert_int_equal(got.attempt, 1);
    assert_true(pt_rect_equal(got.window, sent.window));

    pt_result reply = result_of(7);
    pt_result taken = {0};
    assert_int_equal(pt_link_reply(link, &reply).code, PT_OK);
    assert_int_equal(reply.instances.count, 0); /* was taken */
    assert_int_equal(pt_link_take(link, &taken).code, PT_OK);
    assert_int_equal(taken.tile, 7);
    assert_int_equal(taken.attempt, 2);
    assert_true(taken.capped);
    assert_int_equal(taken.instances.count, 1);
    assert_int_equal(taken.instances.items[0].class_id, 3);
    assert_int_equal(taken.instances.items[0].mask.area, 12);
    pt_result_fini(&taken);
    pt_link_free(&link);
    assert_null(link);
}

static void test_carries_a_failure(void **state)
{
    (void)state;
    pt_link *link = new_link(1);
    pt_result reply = {
        .tile = 3, .outcome = PT_TILE_FAILED, .status = pt_error(PT_E_READ, "block 5 is broken")};
    pt_result taken = {0};
    assert_int_equal(pt_link_reply(link, &reply).code, PT_OK);
    assert_int_equal(pt_link_take(link, &taken).code, PT_OK);
    assert_int_equal(taken.outcome, PT_TILE_FAILED);
    assert_int_equal(taken.status.code, PT_E_READ);
    assert_string_equal(taken.status.message, "block 5 is broken");
    pt_result_fini(&taken);
    pt_link_free(&link);
}

static void test_keeps_the_order(void **state)
{
    (void)state;
    enum { N = 8 };
    pt_link *link = new_link(N);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            pt_assignment a = tile_number(i);
            assert_int_equal(pt_link_assign(link, &a).code, PT_OK);
        }
        for (int i = 0; i < N; i++) {
            pt_assignment a;
            assert_int_equal(pt_link_next(link, &a).code, PT_OK);
            assert_int_equal(a.tile, i);
        }
    }
    pt_link_free(&link);
}

static void test_no_more_drains(void **state)
{
    (void)state;
    pt_link *link = new_link(4);
    pt_assignment a = tile_number(1);
    pt_assignment got;
    assert_int_equal(pt_link_assign(link, &a).code, PT_OK);
    pt_link_no_more(link);
    assert_int_equal(pt_link_assign(link, &a).code, PT_E_STOPPED);
    assert_int_equal(pt_link_next(link, &got).code, PT_OK);
    assert_int_equal(pt_link_next(link, &got).code, PT_E_STOPPED);
    /* Results still pass. */
    pt_result reply = result_of(1);
    pt_result taken = {0};
    assert_int_equal(pt_link_reply(link, &reply).code, PT_OK);
    assert_int_equal(pt_link_take(link, &taken).code, PT_OK);
    pt_result_fini(&taken);
    pt_link_free(&link);
}

static void test_close_drops_and_stops(void **state)
{
    (void)state;
    pt_link *link = new_link(4);
    pt_assignment a = tile_number(1);
    pt_assignment got;
    pt_result queued = result_of(1);
    pt_result kept = result_of(2);
    pt_result taken = {0};
    assert_int_equal(pt_link_assign(link, &a).code, PT_OK);
    assert_int_equal(pt_link_reply(link, &queued).code, PT_OK);
    pt_link_close(link);
    pt_link_close(link);
    assert_int_equal(pt_link_assign(link, &a).code, PT_E_STOPPED);
    assert_int_equal(pt_link_next(link, &got).code, PT_E_STOPPED);
    assert_int_equal(pt_link_take(link, &taken).code, PT_E_STOPPED);
    assert_int_equal(pt_link_reply(link, &kept).code, PT_E_STOPPED);
    assert_int_equal(kept.instances.count, 1); /* the caller keeps what was not taken */
    pt_result_fini(&kept);
    pt_link_free(&link);
}

static void *wait_for_assignment(void *link)
{
    pt_assignment got;
    return pt_link_next(link, &got).code == PT_E_STOPPED ? link : NULL;
}

static void *wait_for_result(void *link)
{
    pt_result got = {0};
    return pt_link_take(link, &got).code == PT_E_STOPPED ? link : NULL;
}

static void *fill_assignments(void *link)
{
    pt_status status = pt_ok();
    for (int i = 0; status.code == PT_OK; i++) {
        pt_assignment a = tile_number(i);
        status = pt_link_assign(link, &a);
    }
    return status.code == PT_E_STOPPED ? link : NULL;
}

static void *fill_results(void *link)
{
    pt_status status = pt_ok();
    while (status.code == PT_OK) {
        pt_result result = {.tile = 1, .outcome = PT_TILE_EMPTY};
        status = pt_link_reply(link, &result);
    }
    return status.code == PT_E_STOPPED ? link : NULL;
}

/* Whoever waits, on either side, is woken by the close. */
static void test_close_wakes_everybody(void **state)
{
    (void)state;
    void *(*waiters[])(void *) = {wait_for_assignment, wait_for_result, fill_assignments, fill_results};
    for (size_t i = 0; i < sizeof waiters / sizeof *waiters; i++) {
        pthread_t thread;
        void *woken = NULL;
        pt_link *link = new_link(2);
        assert_int_equal(pthread_create(&thread, NULL, waiters[i], link), 0);
        pt_link_close(link);
        assert_int_equal(pthread_join(thread, &woken), 0);
        assert_ptr_equal(woken, link);
        pt_link_free(&link);
    }
}

typedef struct worker {
    pthread_t thread;
    pt_link *link;
    int64_t served;
} worker;

static void *serve(void *user)
{
    worker *w = user;
    pt_assignment a;
    while (pt_link_next(w->link, &a).code == PT_OK) {
        pt_result result = {.tile = a.tile, .attempt = a.attempt, .outcome = PT_TILE_DONE};
        pt_instance instance = {.class_id = 1};
        if (pt_mask_from_rect(a.window, &instance.mask).code != PT_OK ||
            pt_instance_list_push(&result.instances, &instance).code != PT_OK ||
            pt_link_reply(w->link, &result).code != PT_OK) {
            break;
        }
        w->served++;
    }
    return NULL;
}

/* Every tile comes back exactly once, however many workers share the link and however small it is. */
static void test_many_workers_lose_nothing(void **state)
{
    (void)state;
    enum { TILES = 500, WORKERS = 4 };
    size_t credits[] = {1, 3, 16};
    for (size_t c = 0; c < sizeof credits / sizeof *credits; c++) {
        pt_link *link = new_link(credits[c]);
        worker workers[WORKERS];
        int seen[TILES] = {0};
        for (int i = 0; i < WORKERS; i++) {
            workers[i] = (worker){.link = link};
            assert_int_equal(pthread_create(&workers[i].thread, NULL, serve, &workers[i]), 0);
        }
        size_t out = 0;
        int64_t next = 0;
        for (int done = 0; done < TILES; done++) {
            for (; out < credits[c] && next < TILES; next++, out++) {
                pt_assignment a = tile_number(next);
                assert_int_equal(pt_link_assign(link, &a).code, PT_OK);
            }
            pt_result result = {0};
            assert_int_equal(pt_link_take(link, &result).code, PT_OK);
            assert_int_equal(result.instances.items[0].mask.box.x, result.tile * 10);
            seen[result.tile]++;
            pt_result_fini(&result);
            out--;
        }
        pt_link_no_more(link);
        int64_t served = 0;
        for (int i = 0; i < WORKERS; i++) {
            pthread_join(workers[i].thread, NULL);
            served += workers[i].served;
        }
        assert_int_equal(served, TILES);
        for (int i = 0; i < TILES; i++) {
            assert_int_equal(seen[i], 1);
        }
        pt_link_free(&link);
    }
}

static void test_bad_credit(void **state)
{
    (void)state;
    pt_link *link = NULL;
    assert_int_equal(make(0, &link).code, PT_E_USAGE);
    assert_null(link);
    pt_link_free(&link);
    pt_link_free(NULL);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    for (long n = 0; status.code == PT_E_NOMEM; n++) {
        pt_link *link = NULL;
        pt_alloc_fail_after(n);
        status = make(3, &link);
        pt_alloc_fail_after(-1);
        assert_true((link != NULL) == (status.code == PT_OK));
        pt_link_free(&link);
    }
    assert_int_equal(status.code, PT_OK);
}

int link_conformance(const char *name, link_factory *factory)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_carries_both_ways),
        cmocka_unit_test(test_carries_a_failure),
        cmocka_unit_test(test_keeps_the_order),
        cmocka_unit_test(test_no_more_drains),
        cmocka_unit_test(test_close_drops_and_stops),
        cmocka_unit_test(test_close_wakes_everybody),
        cmocka_unit_test(test_bad_credit),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_many_workers_lose_nothing),
    };
    make = factory;
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
