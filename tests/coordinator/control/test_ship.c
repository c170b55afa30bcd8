#include "coordinator/control/ship.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { BYTES = 100 };

/* A source that reads when it is let, and a bell. */
typedef struct stage {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int allowed, begun, ended, rung;
} stage;

static void init_stage(stage *s, int allowed)
{
    *s = (stage){.allowed = allowed};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
}

static pt_status read_window(void *user, int64_t tile, pt_assignment *assignment)
{
    stage *s = user;
    pthread_mutex_lock(&s->lock);
    s->begun++;
    pthread_cond_broadcast(&s->changed);
    while (s->ended >= s->allowed) {
        pthread_cond_wait(&s->changed, &s->lock);
    }
    s->ended++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (tile == 13) {
        return pt_error(PT_E_READ, "tile 13 is broken");
    }
    assignment->pixels = pt_calloc(BYTES, 1);
    assignment->pixel_bytes = BYTES;
    return assignment->pixels ? pt_ok() : PT_NOMEM("a test");
}

static void ring(void *user)
{
    stage *s = user;
    pthread_mutex_lock(&s->lock);
    s->rung++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void wait_for(stage *s, const int *value, int wanted)
{
    pthread_mutex_lock(&s->lock);
    while (*value < wanted) {
        pthread_cond_wait(&s->changed, &s->lock);
    }
    assert_int_equal(*value, wanted);
    pthread_mutex_unlock(&s->lock);
}

static void allow(stage *s, int count)
{
    pthread_mutex_lock(&s->lock);
    s->allowed = count;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static pt_ship *open_ship(stage *s, size_t budget)
{
    pt_ship *ship = NULL;
    assert_string_equal(pt_ship_new(read_window, s, budget, ring, s, &ship).message, "");
    return ship;
}

static void take(pt_ship *ship, pt_worker worker, int64_t tile)
{
    pt_parcel parcel = {0};
    assert_true(pt_ship_take(ship, &parcel));
    assert_int_equal(parcel.worker, worker);
    assert_int_equal(parcel.assignment.tile, tile);
    assert_int_equal(parcel.assignment.attempt, 2);
    assert_true(parcel.assignment.has_pixels == (parcel.status.code == PT_OK));
    pt_free(parcel.assignment.pixels);
}

static void ask(pt_ship *ship, pt_worker worker, int64_t tile)
{
    assert_string_equal(pt_ship_ask(ship, worker, tile, 2).message, "");
}

/* Two windows fit, then one more for each that is released. */
static void test_the_budget_holds(void **state)
{
    (void)state;
    stage s;
    pt_parcel none;
    init_stage(&s, 100);
    pt_ship *ship = open_ship(&s, BYTES + 1);
    for (int64_t tile = 0; tile < 5; tile++) {
        ask(ship, 1, tile);
        ask(ship, 1, tile); /* heard already */
    }
    wait_for(&s, &s.rung, 2);
    take(ship, 1, 0);
    take(ship, 1, 1);
    assert_false(pt_ship_take(ship, &none));
    for (int64_t tile = 2; tile < 5; tile++) {
        pt_ship_release(ship, BYTES);
        wait_for(&s, &s.rung, (int)tile + 1);
        assert_int_equal(s.begun, (int)tile + 1);
        take(ship, 1, tile);
    }
    pt_ship_free(&ship);
    assert_null(ship);
    pt_ship_free(&ship);
    pt_ship_free(NULL);
    assert_int_equal(s.begun, 5);
}

static void test_failures_come_out(void **state)
{
    (void)state;
    stage s;
    pt_parcel parcel = {0};
    init_stage(&s, 100);
    pt_ship *ship = open_ship(&s, 1);
    ask(ship, 1, 13);
    ask(ship, 2, 14);
    wait_for(&s, &s.rung, 2); /* a failure takes no room */
    assert_true(pt_ship_take(ship, &parcel));
    assert_int_equal(parcel.status.code, PT_E_READ);
    assert_int_equal(parcel.assignment.tile, 13);
    assert_null(parcel.assignment.pixels);
    take(ship, 2, 14);
    pt_ship_free(&ship);
}

/* Waiting, while it is read, and when it is ready. */
static void test_cancelling(void **state)
{
    (void)state;
    stage s;
    pt_parcel none;
    init_stage(&s, 0);
    pt_ship *ship = open_ship(&s, 10 * BYTES);
    for (int64_t tile = 0; tile < 4; tile++) {
        ask(ship, 1 + (pt_worker)tile % 2, tile);
    }
    wait_for(&s, &s.begun, 1);
    pt_ship_cancel(ship, 1, 0); /* is being read */
    pt_ship_cancel(ship, 2, 3); /* waits */
    pt_ship_cancel(ship, 2, 77);
    ask(ship, 1, 0); /* wanted after all */
    allow(&s, 100);
    wait_for(&s, &s.rung, 3);
    take(ship, 2, 1);
    pt_ship_cancel(ship, 1, -1); /* ready: tiles 2 and 0 */
    assert_false(pt_ship_take(ship, &none));
    pt_ship_free(&ship);
    assert_int_equal(s.begun, 4);
}

/* What is cancelled makes room; what is left at the end is dropped. */
static void test_cancelled_pixels_make_room(void **state)
{
    (void)state;
    stage s;
    init_stage(&s, 100);
    pt_ship *ship = open_ship(&s, 1);
    ask(ship, 1, 0);
    wait_for(&s, &s.rung, 1);
    ask(ship, 2, 1);
    pt_ship_cancel(ship, 1, 0);
    wait_for(&s, &s.rung, 2);
    ask(ship, 2, 2);
    pt_ship_free(&ship);
}

static void test_bad_budget_and_out_of_memory(void **state)
{
    (void)state;
    stage s;
    pt_ship *ship = NULL;
    init_stage(&s, 0);
    assert_int_equal(pt_ship_new(read_window, &s, 0, ring, &s, &ship).code, PT_E_USAGE);
    pt_alloc_fail_after(0);
    pt_status status = pt_ship_new(read_window, &s, 1, ring, &s, &ship);
    pt_alloc_fail_after(-1);
    assert_int_equal(status.code, PT_E_NOMEM);
    assert_null(ship);
    ship = open_ship(&s, 1);
    pt_alloc_fail_after(0);
    status = pt_ship_ask(ship, 1, 1, 1);
    pt_alloc_fail_after(-1);
    assert_int_equal(status.code, PT_E_NOMEM);
    pt_ship_free(&ship);
    assert_int_equal(s.begun, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_budget_holds),
        cmocka_unit_test(test_failures_come_out),
        cmocka_unit_test(test_cancelling),
        cmocka_unit_test(test_cancelled_pixels_make_room),
        cmocka_unit_test(test_bad_budget_and_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
