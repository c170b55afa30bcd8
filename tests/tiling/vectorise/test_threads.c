/* Several threads vectorise the same objects and get the same outlines. */
#include "shapes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

enum { THREADS = 4, OBJECTS = 40, SIDE = 24 };

typedef struct task {
    const pt_instance *instances;
    pt_feature features[OBJECTS];
    bool failed;
} task;

static void *vectorise_all(void *argument)
{
    task *t = argument;
    pt_vectorise_options options = pt_vectorise_defaults();
    options.square = true;
    for (int i = 0; i < OBJECTS; i++) {
        t->failed |= pt_vectorise(&t->instances[i], &options, &t->features[i]).code != PT_OK;
    }
    return NULL;
}

static void assert_same(const pt_feature *a, const pt_feature *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t p = 0; p < a->count; p++) {
        assert_int_equal(a->polygons[p].count, b->polygons[p].count);
        for (size_t r = 0; r < a->polygons[p].count; r++) {
            const pt_ring *x = &a->polygons[p].rings[r], *y = &b->polygons[p].rings[r];
            assert_int_equal(x->count, y->count);
            assert_memory_equal(x->xy, y->xy, x->count * 2 * sizeof *x->xy);
        }
    }
}

static void test_threads(void **state)
{
    (void)state;
    uint32_t seed = 21;
    pt_instance instances[OBJECTS];
    task *tasks = calloc(THREADS, sizeof *tasks);
    pthread_t threads[THREADS];
    for (int i = 0; i < OBJECTS; i++) {
        uint8_t q[SIDE * SIDE];
        for (int k = 0; k < SIDE * SIDE; k++) {
            q[k] = (uint8_t)(next_random(&seed) % 200 + (k % SIDE > 5 ? 56 : 0));
        }
        instances[i] = instance_from_q(0, 0, SIDE, SIDE, q);
    }
    for (int t = 0; t < THREADS; t++) {
        tasks[t].instances = instances;
        assert_int_equal(pthread_create(&threads[t], NULL, vectorise_all, &tasks[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        assert_false(tasks[t].failed);
    }
    for (int t = 0; t < THREADS; t++) {
        for (int i = 0; i < OBJECTS; i++) {
            assert_true(tasks[t].features[i].count > 0);
            assert_same(&tasks[t].features[i], &tasks[0].features[i]);
        }
    }
    for (int i = 0; i < OBJECTS; i++) {
        for (int t = 0; t < THREADS; t++) {
            pt_feature_fini(&tasks[t].features[i]);
        }
        pt_instance_fini(&instances[i]);
    }
    free(tasks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
