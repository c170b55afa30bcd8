#include "coordinator/assemble/feed.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { GROUPS = 2, TILE = 128, OVERLAP = 64, OBJECTS = 24, TILES_MAX = 128 };

static char folder[64];
static pt_job_group groups[GROUPS] = {{.width = 320, .height = 256}, {.width = 200, .height = 500}};
static pt_job_spec spec = {
    .groups = groups, .group_count = GROUPS, .grid = {.tile = TILE, .overlap = OVERLAP, .lattice = 32}};

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/pantile-feed-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* Squares of 4 to 11 pixels that a perfect network sees in a window. */
static void see(pt_rect window, pt_instance_list *out)
{
    for (int i = 0; i < OBJECTS; i++) {
        int64_t side = 4 + i * 5 % 8;
        pt_rect box = {i % 6 * 33 + 3, i / 6 * 63 + 7, side, side};
        pt_rect seen = pt_rect_intersect(box, window);
        if (!pt_rect_is_empty(seen)) {
            pt_instance instance = {.class_id = 1 + i % 2, .score = 0.5f + 0.01f * (float)i};
            assert_int_equal(pt_mask_from_rect(seen, &instance.mask).code, PT_OK);
            assert_int_equal(pt_instance_list_push(out, &instance).code, PT_OK);
        }
    }
}

static void new_assemblers(pt_assembler **out, pt_assemble_progress *progress, void *user)
{
    for (size_t g = 0; g < GROUPS; g++) {
        pt_grid grid;
        pt_assemble_options options = pt_assemble_defaults();
        options.spool_dir = folder;
        options.vectorise.pixel_m = 1;
        options.vectorise.simplify = 0;
        options.progress = progress;
        options.user = user;
        assert_string_equal(pt_job_spec_grid(&spec, g, &grid).message, "");
        assert_string_equal(pt_assembler_new(&grid, &options, &out[g]).message, "");
    }
}

static void free_assemblers(pt_assembler **assemblers)
{
    for (size_t g = 0; g < GROUPS; g++) {
        pt_assembler_free(&assemblers[g]);
    }
}

/* What a worker found in a tile of the job, and its bytes. */
static pt_result settle(int64_t tile, uint8_t **payload, size_t *size)
{
    size_t group;
    pt_grid grid;
    int64_t index;
    pt_result result = {.tile = tile, .attempt = 1, .outcome = PT_TILE_DONE};
    pt_instance_list list = {0};
    assert_string_equal(pt_job_spec_locate(&spec, tile, &group, &grid, &index).message, "");
    see(pt_grid_window(&grid, index), &list);
    *payload = NULL;
    *size = 0;
    if (list.count > 0) {
        assert_string_equal(pt_instances_encode(&list, payload, size).message, "");
    }
    pt_instance_list_fini(&list);
    return result;
}

static pt_status put(pt_feed *feed, int64_t tile)
{
    uint8_t *payload;
    size_t size;
    pt_result result = settle(tile, &payload, &size);
    return pt_feed_put(feed, &result, payload, size);
}

static void shuffle(int64_t *order, int64_t count, unsigned seed)
{
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1103515245u + 12345u;
        int64_t j = (int64_t)(seed >> 16) % (i + 1);
        order[i] = order[j];
        order[j] = i;
    }
}

/* The bytes of all groups' features; free with free. */
static char *write_output(pt_assembler **assemblers, size_t *size)
{
    char path[128];
    const pt_georef georef = {.transform = {0, 1, 0, 0, 0, 1}};
    const char *const classes[] = {"background", "house", "shed"};
    pt_writer_options options = pt_writer_defaults();
    pt_writer *writer = NULL;
    snprintf(path, sizeof path, "%s/out.geojson", folder);
    options.class_names = classes;
    options.class_count = 3;
    assert_string_equal(pt_writer_open(path, &options, &writer).message, "");
    for (size_t g = 0; g < GROUPS; g++) {
        assert_string_equal(pt_writer_source(writer, &georef).message, "");
        assert_string_equal(pt_assembler_finish(assemblers[g]).message, "");
        assert_string_equal(pt_assembler_write(assemblers[g], writer, NULL).message, "");
    }
    assert_string_equal(pt_writer_commit(writer).message, "");
    pt_writer_close(&writer);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *bytes = malloc(1 << 20);
    *size = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    unlink(path);
    return bytes;
}

/* Without a feed or bytes: what must come out. */
static char *expected_output(size_t *size)
{
    pt_assembler *assemblers[GROUPS];
    new_assemblers(assemblers, NULL, NULL);
    for (size_t g = 0; g < GROUPS; g++) {
        pt_grid grid;
        assert_int_equal(pt_job_spec_grid(&spec, g, &grid).code, PT_OK);
        for (int64_t tile = 0; tile < pt_grid_count(&grid); tile++) {
            pt_result result = {.tile = tile, .attempt = 1, .outcome = PT_TILE_DONE};
            see(pt_grid_window(&grid, tile), &result.instances);
            assert_int_equal(pt_assembler_add(assemblers[g], &result).code, PT_OK);
            pt_instance_list_fini(&result.instances);
        }
    }
    char *bytes = write_output(assemblers, size);
    free_assemblers(assemblers);
    return bytes;
}

static void test_any_order_gives_the_same_bytes(void **state)
{
    (void)state;
    size_t wanted_size;
    char *wanted = expected_output(&wanted_size);
    int64_t count = pt_job_spec_tiles(&spec);
    assert_in_range(count, GROUPS, TILES_MAX);
    for (unsigned seed = 1; seed <= 6; seed++) {
        int64_t order[TILES_MAX];
        pt_assembler *assemblers[GROUPS];
        pt_feed *feed = NULL;
        shuffle(order, count, seed);
        new_assemblers(assemblers, NULL, NULL);
        assert_string_equal(pt_feed_new(&spec, assemblers, 1 << 20, &feed).message, "");
        for (int64_t i = 0; i < count; i++) {
            assert_string_equal(put(feed, order[i]).message, "");
        }
        assert_string_equal(pt_feed_finish(feed).message, "");
        assert_int_equal(pt_feed_bytes(feed), 0);
        size_t size;
        char *bytes = write_output(assemblers, &size);
        assert_int_equal(size, wanted_size);
        assert_memory_equal(bytes, wanted, size);
        free(bytes);
        pt_feed_free(&feed);
        assert_null(feed);
        free_assemblers(assemblers);
    }
    free(wanted);
}

/* An assembler that stops at its first tile until told to go on. */
typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
} gate;

static void pass_gate(void *user, const pt_assemble_report *report)
{
    gate *g = user;
    (void)report;
    pthread_mutex_lock(&g->lock);
    while (!g->open) {
        pthread_cond_wait(&g->changed, &g->lock);
    }
    pthread_mutex_unlock(&g->lock);
}

static void open_gate(gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->open = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

static void count_call(void *user)
{
    atomic_fetch_add((atomic_int *)user, 1);
}

static void wait_for(atomic_int *value, int wanted)
{
    for (int i = 0; i < 30000 && atomic_load(value) < wanted; i++) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    assert_int_equal(atomic_load(value), wanted);
}

static void test_full_until_half_is_worked_off(void **state)
{
    (void)state;
    gate g = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    atomic_int calls = 0;
    pt_assembler *assemblers[GROUPS];
    pt_feed *feed = NULL;
    new_assemblers(assemblers, pass_gate, &g);
    assert_string_equal(pt_feed_new(&spec, assemblers, 4000, &feed).message, "");
    pt_feed_notify(feed, count_call, &calls);
    assert_false(pt_feed_full(feed));
    int64_t tile = 0;
    for (; !pt_feed_full(feed); tile++) {
        assert_true(tile < pt_job_spec_tiles(&spec));
        assert_true(pt_feed_bytes(feed) < 4000);
        assert_string_equal(put(feed, tile).message, "");
    }
    assert_true(pt_feed_bytes(feed) >= 4000);
    assert_string_equal(put(feed, tile).message, ""); /* never refused */
    assert_int_equal(atomic_load(&calls), 0);
    open_gate(&g);
    wait_for(&calls, 1);
    assert_false(pt_feed_full(feed));
    assert_string_equal(pt_feed_finish(feed).message, "");
    assert_int_equal(pt_feed_bytes(feed), 0);
    assert_int_equal(pt_assembler_report(assemblers[0])->done, tile + 1);
    pt_feed_free(&feed);
    free_assemblers(assemblers);
}

static void test_a_failure_is_told(void **state)
{
    (void)state;
    atomic_int calls = 0;
    pt_assembler *assemblers[GROUPS];
    pt_feed *feed = NULL;
    new_assemblers(assemblers, NULL, NULL);
    assert_string_equal(pt_feed_new(&spec, assemblers, 1 << 20, &feed).message, "");
    pt_feed_notify(feed, count_call, &calls);
    assert_int_equal(pt_feed_state(feed).code, PT_OK);
    assert_string_equal(put(feed, 3).message, "");
    assert_string_equal(put(feed, 3).message, ""); /* twice: a bug that the stitcher notices */
    wait_for(&calls, 1);
    assert_int_equal(pt_feed_state(feed).code, PT_E_INTERNAL);
    assert_int_equal(put(feed, 4).code, PT_E_INTERNAL);
    assert_int_equal(pt_feed_finish(feed).code, PT_E_INTERNAL);
    pt_feed_free(&feed);
    free_assemblers(assemblers);
}

static void test_bad_tiles_and_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        pt_assembler *assemblers[GROUPS];
        pt_feed *feed = NULL;
        pt_result result = {.tile = i == 0 ? pt_job_spec_tiles(&spec) : 1, .outcome = PT_TILE_DONE};
        uint8_t *payload = pt_alloc(5, 1);
        memset(payload, 0xff, 5);
        new_assemblers(assemblers, NULL, NULL);
        assert_string_equal(pt_feed_new(&spec, assemblers, 1, &feed).message, "");
        assert_string_equal(pt_feed_put(feed, &result, payload, 5).message, "");
        assert_int_equal(pt_feed_finish(feed).code, PT_E_INPUT);
        pt_feed_free(&feed);
        free_assemblers(assemblers);
    }
}

static void test_free_drops_what_waits(void **state)
{
    (void)state;
    gate g = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    pt_assembler *assemblers[GROUPS];
    pt_feed *feed = NULL;
    new_assemblers(assemblers, pass_gate, &g);
    assert_string_equal(pt_feed_new(&spec, assemblers, 1 << 20, &feed).message, "");
    for (int64_t tile = 0; tile < pt_job_spec_tiles(&spec); tile++) {
        assert_string_equal(put(feed, tile).message, "");
    }
    open_gate(&g);
    pt_feed_free(&feed);
    pt_feed_free(&feed);
    pt_feed_free(NULL);
    free_assemblers(assemblers);
}

static void test_bad_limit_and_out_of_memory(void **state)
{
    (void)state;
    pt_assembler *assemblers[GROUPS];
    pt_feed *feed = NULL;
    new_assemblers(assemblers, NULL, NULL);
    assert_int_equal(pt_feed_new(&spec, assemblers, 0, &feed).code, PT_E_USAGE);
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    for (long n = 0; status.code == PT_E_NOMEM; n++) {
        assert_null(feed);
        pt_alloc_fail_after(n);
        status = pt_feed_new(&spec, assemblers, 1, &feed);
        pt_alloc_fail_after(-1);
    }
    assert_string_equal(status.message, "");
    uint8_t *payload;
    size_t size;
    pt_result result = settle(0, &payload, &size);
    pt_alloc_fail_after(0);
    status = pt_feed_put(feed, &result, payload, size);
    pt_alloc_fail_after(-1);
    assert_int_equal(status.code, PT_E_NOMEM);
    assert_int_equal(pt_feed_bytes(feed), 0);
    pt_feed_free(&feed);
    free_assemblers(assemblers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order_gives_the_same_bytes),
        cmocka_unit_test(test_full_until_half_is_worked_off),
        cmocka_unit_test(test_a_failure_is_told),
        cmocka_unit_test(test_bad_tiles_and_bytes),
        cmocka_unit_test(test_free_drops_what_waits),
        cmocka_unit_test(test_bad_limit_and_out_of_memory),
    };
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
