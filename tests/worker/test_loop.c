#include "tests/tiling/scene/raster.h"
#include "tiling/grid/grid.h"
#include "worker/loop/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 320, TILE = 64, OVERLAP = 32 };

/* Finds one object, the window itself; fails for one tile; hits a cap in another. */
typedef struct fake {
    pt_detector base;
    int64_t bad, capped;
    int64_t calls;
} fake;

static pt_status fake_detect(pt_detector *detector, int64_t tile, const pt_window *window,
                             pt_instance_list *out, bool *capped)
{
    fake *f = (fake *)detector;
    pt_instance instance = {.class_id = 1, .score = 1};
    f->calls++;
    if (tile == f->bad) {
        return pt_error(PT_E_TILE, "tile %lld is poison", (long long)tile);
    }
    *capped = tile == f->capped;
    pt_status status = pt_mask_from_rect(window->rect, &instance.mask);
    return status.code == PT_OK ? pt_instance_list_push(out, &instance) : status;
}

static void fake_close(pt_detector *detector)
{
    (void)detector;
}

static const pt_detector_vtable fake_vtable = {.detect = fake_detect, .close = fake_close};

static fake new_fake(void)
{
    return (fake){.base = {&fake_vtable}, .bad = -1, .capped = -1};
}

static pt_scene *scene;
static pt_grid grid;

/* The upper left quarter is nodata. */
static double quarter(int band, int x, int y)
{
    return x < SIDE / 2 && y < SIDE / 2 ? 0 : 1 + (x * 3 + y * 5 + band) % 200;
}

static int open_scene(void **state)
{
    (void)state;
    raster r = {.path = "/vsimem/loop.tif", .width = SIDE, .height = SIDE, .bands = 3, .value = quarter};
    GDALDatasetH dataset = raster_create(&r);
    for (int b = 1; b <= 3; b++) {
        GDALSetRasterNoDataValue(GDALGetRasterBand(dataset, b), 0);
    }
    GDALClose(dataset);
    pt_scene_options options = pt_scene_defaults();
    options.gsd_mode = PT_GSD_NATIVE;
    scene = scene_open(r.path, &options);
    return pt_grid_init(SIDE, SIDE, TILE, OVERLAP, 32, &grid).code == PT_OK ? 0 : -1;
}

static int close_scene(void **state)
{
    (void)state;
    pt_scene_close(&scene);
    return 0;
}

typedef struct job {
    pthread_t thread;
    pt_detector *detector;
    pt_link *link;
    pt_status status;
} job;

static void *work(void *user)
{
    job *j = user;
    j->status = pt_worker_run(scene, j->detector, j->link);
    return NULL;
}

static void start(job *j, pt_detector *detector, pt_link *link)
{
    *j = (job){.detector = detector, .link = link};
    assert_int_equal(pthread_create(&j->thread, NULL, work, j), 0);
}

static void finish(job *j)
{
    pthread_join(j->thread, NULL);
    assert_string_equal(j->status.message, "");
}

static void assign(pt_link *link, int64_t tile)
{
    pt_assignment a = {.tile = tile, .window = pt_grid_window(&grid, tile), .attempt = 1};
    assert_int_equal(pt_link_assign(link, &a).code, PT_OK);
}

static void test_answers_every_tile(void **state)
{
    (void)state;
    enum { WORKERS = 3 };
    fake fakes[WORKERS];
    job jobs[WORKERS];
    pt_link *link = NULL;
    int64_t tiles = pt_grid_count(&grid);
    size_t credit = 12;
    int64_t done = 0;
    int64_t empty = 0;
    assert_int_equal(pt_link_new_local(credit, &link).code, PT_OK);
    for (int i = 0; i < WORKERS; i++) {
        fakes[i] = new_fake();
        fakes[i].capped = tiles - 1;
        start(&jobs[i], &fakes[i].base, link);
    }
    int64_t next = 0;
    for (size_t out = 0; done + empty < tiles; out--) {
        for (; out < credit && next < tiles; out++) {
            assign(link, next++);
        }
        pt_result result = {0};
        assert_int_equal(pt_link_take(link, &result).code, PT_OK);
        pt_rect window = pt_grid_window(&grid, result.tile);
        bool blank = window.x + window.w <= SIDE / 2 && window.y + window.h <= SIDE / 2;
        assert_int_equal(result.outcome, blank ? PT_TILE_EMPTY : PT_TILE_DONE);
        assert_int_equal(result.attempt, 1);
        assert_int_equal(result.capped, result.tile == tiles - 1);
        assert_int_equal(result.instances.count, blank ? 0 : 1);
        if (!blank) {
            assert_true(pt_rect_equal(result.instances.items[0].mask.box, window));
        }
        done += !blank;
        empty += blank;
        pt_result_fini(&result);
    }
    pt_link_no_more(link);
    int64_t calls = 0;
    for (int i = 0; i < WORKERS; i++) {
        finish(&jobs[i]);
        calls += fakes[i].calls;
    }
    assert_int_equal(calls, done); /* empty tiles were not inferred */
    assert_true(empty > 0);
    pt_link_free(&link);
}

static void test_a_bad_tile_is_the_coordinators_affair(void **state)
{
    (void)state;
    fake f = new_fake();
    job j;
    pt_link *link = NULL;
    f.bad = pt_grid_count(&grid) - 2;
    assert_int_equal(pt_link_new_local(4, &link).code, PT_OK);
    start(&j, &f.base, link);
    for (int64_t tile = f.bad - 1; tile <= f.bad + 1; tile++) {
        pt_result result = {0};
        assign(link, tile);
        assert_int_equal(pt_link_take(link, &result).code, PT_OK);
        assert_int_equal(result.tile, tile);
        assert_int_equal(result.outcome, tile == f.bad ? PT_TILE_FAILED : PT_TILE_DONE);
        if (tile == f.bad) {
            assert_int_equal(result.status.code, PT_E_TILE);
            assert_non_null(strstr(result.status.message, "poison"));
        }
        pt_result_fini(&result);
    }
    pt_link_no_more(link);
    finish(&j);
    pt_link_free(&link);
}

/* A window beyond the scene is an error of reading, not the worker's end. */
static void test_unreadable_window(void **state)
{
    (void)state;
    fake f = new_fake();
    job j;
    pt_link *link = NULL;
    pt_result result = {0};
    pt_assignment beyond = {.tile = 0, .window = {SIDE, SIDE, TILE, TILE}, .attempt = 2};
    assert_int_equal(pt_link_new_local(4, &link).code, PT_OK);
    start(&j, &f.base, link);
    assert_int_equal(pt_link_assign(link, &beyond).code, PT_OK);
    assert_int_equal(pt_link_take(link, &result).code, PT_OK);
    assert_int_equal(result.outcome, PT_TILE_FAILED);
    assert_int_equal(result.attempt, 2);
    assert_int_equal(f.calls, 0);
    pt_result_fini(&result);
    pt_link_no_more(link);
    finish(&j);
    pt_link_free(&link);
}

/* Wherever the worker is when the link closes, it returns. */
static void test_close_ends_it(void **state)
{
    (void)state;
    for (int assigned = 0; assigned < 6; assigned++) {
        fake f = new_fake();
        job j;
        pt_link *link = NULL;
        assert_int_equal(pt_link_new_local(8, &link).code, PT_OK);
        start(&j, &f.base, link);
        for (int i = 0; i < assigned; i++) {
            assign(link, pt_grid_count(&grid) - 1 - i);
        }
        if (assigned > 3) {
            pt_result result = {0};
            assert_int_equal(pt_link_take(link, &result).code, PT_OK);
            pt_result_fini(&result);
        }
        pt_link_close(link);
        finish(&j);
        pt_link_free(&link);
    }
}

static void test_out_of_memory(void **state)
{
    (void)state;
    fake f = new_fake();
    pt_link *link = NULL;
    pt_assignment a;
    assert_int_equal(pt_link_new_local(1, &link).code, PT_OK);
    pt_alloc_fail_after(0);
    pt_status status = pt_worker_run(scene, &f.base, link);
    pt_alloc_fail_after(-1);
    assert_int_equal(status.code, PT_E_NOMEM);
    assert_int_equal(pt_link_next(link, &a).code, PT_E_STOPPED); /* the link was closed */
    pt_link_free(&link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_every_tile),
        cmocka_unit_test(test_a_bad_tile_is_the_coordinators_affair),
        cmocka_unit_test(test_unreadable_window),
        cmocka_unit_test(test_close_ends_it),
        cmocka_unit_test(test_out_of_memory),
    };
    GDALAllRegister();
    return cmocka_run_group_tests(tests, open_scene, close_scene);
}
