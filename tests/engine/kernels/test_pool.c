/* The pool: every task once, its writes seen by the caller, whether the helpers were awake, asleep or late.
 */
#include "engine/backend/pool.h"
#include "tiling/base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { MOST = 5000 };

typedef struct job {
    int runs[MOST]; /* plain memory: the pool alone orders what threads do */
    int scratch[8]; /* by worker: two tasks of one worker never overlap */
    int uneven;
} job;

static void run_task(void *context, size_t task, int worker)
{
    job *j = context;
    int before = j->scratch[worker]++;
    volatile int spin = j->uneven && task % 7 == 0 ? 20000 : 1;
    while (spin > 0) {
        spin = spin - 1;
    }
    j->runs[task]++;
    assert_int_equal(j->scratch[worker], before + 1);
}

static void nap(long microseconds)
{
    struct timespec t = {0, 1000 * microseconds};
    nanosleep(&t, NULL);
}

static void check_pool(int threads)
{
    pt_pool *pool = NULL;
    job *j = calloc(1, sizeof *j);
    assert_non_null(j);
    assert_int_equal(pt_pool_new(threads, &pool).code, PT_OK);
    assert_int_equal(pt_pool_threads(pool), threads);
    const size_t sizes[] = {0, 1, 2, 3, 16, 17, 100, 1000, MOST};
    int wanted[MOST] = {0};
    for (int round = 0; round < 180; round++) {
        size_t n = sizes[round % 9];
        j->uneven = round % 2;
        pt_pool_run(pool, n, run_task, j);
        for (size_t i = 0; i < n; i++) {
            wanted[i]++;
        }
        assert_memory_equal(j->runs, wanted, sizeof wanted);
        if (round % 30 == 7) {
            nap(300); /* helpers fall asleep */
        }
    }
    pt_pool_free(&pool);
    assert_null(pool);
    pt_pool_free(&pool);
    free(j);
}

static void test_tasks(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 8; threads++) { /* more than there are CPUs, on most machines of CI */
        check_pool(threads);
    }
}

/* Short jobs one after the other, without a pause: helpers come late, or into the next one. */
static void test_short_jobs(void **state)
{
    (void)state;
    for (int threads = 2; threads <= 4; threads++) {
        pt_pool *pool = NULL;
        job *j = calloc(1, sizeof *j);
        assert_non_null(j);
        assert_int_equal(pt_pool_new(threads, &pool).code, PT_OK);
        for (int round = 1; round <= 5000; round++) {
            pt_pool_run(pool, 4, run_task, j);
            assert_true(j->runs[0] == round && j->runs[1] == round && j->runs[2] == round &&
                        j->runs[3] == round);
        }
        pt_pool_free(&pool);
        free(j);
    }
}

/* Freed at once, and after a rest: no helper is forgotten. */
static void test_ends(void **state)
{
    (void)state;
    for (int round = 0; round < 40; round++) {
        pt_pool *pool = NULL;
        assert_int_equal(pt_pool_new(1 + round % 4, &pool).code, PT_OK);
        nap(round % 2 ? 200 : 0);
        pt_pool_free(&pool);
    }
}

static void test_failures(void **state)
{
    (void)state;
    pt_pool *pool = NULL;
    assert_int_equal(pt_pool_new(0, &pool).code, PT_E_USAGE);
    for (long n = 0; n < 2; n++) {
        pt_alloc_fail_after(n);
        assert_int_equal(pt_pool_new(2, &pool).code, PT_E_NOMEM);
        pt_alloc_fail_after(-1);
    }
    assert_null(pool);
    assert_true(pt_cpu_count() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_short_jobs),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
