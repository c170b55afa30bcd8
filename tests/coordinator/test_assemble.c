#include "coordinator/assemble/assemble.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIDE = 320, TILE = 128, OVERLAP = 64, OBJECTS = 40 };

static char folder[64];
static pt_grid grid;

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/pantile-assemble-XXXXXX");
    return mkdtemp(folder) && pt_grid_init(SIDE, SIDE, TILE, OVERLAP, 32, &grid).code == PT_OK ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* A square of 4 to 11 pixels, each apart from the others. */
static pt_rect object_box(int i)
{
    int64_t side = 4 + i * 5 % 8;
    return (pt_rect){(i % 8) * 40 + 3 + i % 5, (i / 8) * 60 + 7, side, side};
}

/* What a perfect network sees in a window. */
static pt_status see(pt_rect window, pt_instance_list *out)
{
    for (int i = 0; i < OBJECTS; i++) {
        pt_rect seen = pt_rect_intersect(object_box(i), window);
        pt_instance instance = {.class_id = 1 + i % 2, .score = 0.5f + 0.01f * (float)i};
        if (pt_rect_is_empty(seen)) {
            continue;
        }
        PT_TRY(pt_mask_from_rect(seen, &instance.mask));
        pt_status status = pt_instance_list_push(out, &instance);
        if (status.code != PT_OK) {
            pt_instance_fini(&instance);
            return status;
        }
    }
    return pt_ok();
}

static pt_assembler *new_assembler(void)
{
    pt_assemble_options options = pt_assemble_defaults();
    pt_assembler *assembler = NULL;
    options.spool_dir = folder;
    options.vectorise.pixel_m = 1;
    options.vectorise.simplify = 0;
    pt_status status = pt_assembler_new(&grid, &options, &assembler);
    assert_string_equal(status.message, "");
    return assembler;
}

/* A tile as a worker would have settled it; `broken` fails. */
static pt_status add(pt_assembler *assembler, int64_t tile, bool broken)
{
    pt_result result = {.tile = tile, .attempt = 1, .outcome = PT_TILE_DONE, .capped = tile == 2};
    pt_status status = pt_ok();
    if (broken) {
        result.outcome = PT_TILE_FAILED;
        result.attempt = 3;
        result.status = pt_error(PT_E_READ, "block %lld is broken", (long long)tile);
    } else {
        status = see(pt_grid_window(&grid, tile), &result.instances);
    }
    if (status.code == PT_OK) {
        status = pt_assembler_add(assembler, &result);
    }
    pt_instance_list_fini(&result.instances);
    return status;
}

/* All tiles in an order of the seed; tile `broken` fails, -1: none. */
static void run(pt_assembler *assembler, unsigned seed, int64_t broken)
{
    int64_t order[64];
    int64_t count = pt_grid_count(&grid);
    assert_in_range(count, 9, 64);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1103515245u + 12345u;
        int64_t j = (int64_t)(seed >> 16) % (i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (int64_t i = 0; i < count; i++) {
        assert_string_equal(add(assembler, order[i], order[i] == broken).message, "");
    }
    assert_string_equal(pt_assembler_finish(assembler).message, "");
}

/* The bytes of the output; free with free. */
static char *write_output(pt_assembler *assembler, size_t *size)
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
    assert_string_equal(pt_writer_source(writer, &georef).message, "");
    assert_string_equal(pt_assembler_write(assembler, writer, NULL).message, "");
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

static void test_any_order_gives_the_same_bytes(void **state)
{
    (void)state;
    char *first = NULL;
    size_t first_size = 0;
    for (unsigned seed = 1; seed <= 8; seed++) {
        pt_assembler *assembler = new_assembler();
        run(assembler, seed, -1);
        const pt_assemble_report *r = pt_assembler_report(assembler);
        assert_int_equal(r->tiles, pt_grid_count(&grid));
        assert_int_equal(r->done, r->tiles);
        assert_int_equal(r->capped, 1);
        assert_int_equal(r->objects, OBJECTS);
        assert_int_equal(r->failed + r->empty + r->outside, 0);
        size_t size;
        char *bytes = write_output(assembler, &size);
        if (!first) {
            first = bytes;
            first_size = size;
        } else {
            assert_int_equal(size, first_size);
            assert_memory_equal(bytes, first, size);
            free(bytes);
        }
        pt_assembler_free(&assembler);
    }
    free(first);
}

static void test_a_failed_tile_is_named(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 4; seed++) {
        pt_assembler *assembler = new_assembler();
        run(assembler, seed, 4);
        const pt_assemble_report *r = pt_assembler_report(assembler);
        assert_int_equal(r->failed, 1);
        assert_int_equal(r->done, r->tiles - 1);
        assert_int_equal(r->failed_named, 1);
        assert_int_equal(r->failed_tiles[0].tile, 4);
        assert_int_equal(r->failed_tiles[0].attempts, 3);
        assert_true(pt_rect_equal(r->failed_tiles[0].window, pt_grid_window(&grid, 4)));
        assert_string_equal(r->failed_tiles[0].reason, "block 4 is broken");
        /* What it alone saw whole is lost, or comes in pieces from its neighbours. */
        assert_in_range(r->objects, OBJECTS - 5, OBJECTS + 5);
        pt_assembler_free(&assembler);
    }
}

/* The first twenty that come are named, by tile in the end; all are counted. */
static void test_many_failed_tiles(void **state)
{
    (void)state;
    pt_grid large;
    pt_assembler *assembler = NULL;
    pt_assemble_options options = pt_assemble_defaults();
    options.spool_dir = folder;
    assert_int_equal(pt_grid_init(640, 640, 128, 64, 32, &large).code, PT_OK);
    assert_int_equal(pt_assembler_new(&large, &options, &assembler).code, PT_OK);
    int64_t count = pt_grid_count(&large);
    assert_true(count > PT_FAILED_TILES_NAMED);
    for (int64_t tile = count - 1; tile >= 0; tile--) {
        assert_string_equal(add(assembler, tile, true).message, "");
    }
    assert_string_equal(pt_assembler_finish(assembler).message, "");
    const pt_assemble_report *r = pt_assembler_report(assembler);
    assert_int_equal(r->failed, count);
    assert_int_equal(r->failed_named, PT_FAILED_TILES_NAMED);
    for (int i = 0; i < PT_FAILED_TILES_NAMED; i++) {
        assert_int_equal(r->failed_tiles[i].tile, count - PT_FAILED_TILES_NAMED + i);
    }
    pt_assembler_free(&assembler);
}

static void count_call(void *user, const pt_assemble_report *report)
{
    int64_t *calls = user;
    (*calls)++;
    assert_int_equal(report->done + report->failed + report->empty + report->outside, *calls);
}

static void test_outcomes_are_counted(void **state)
{
    (void)state;
    pt_assembler *assembler = NULL;
    int64_t calls = 0;
    pt_assemble_options options = pt_assemble_defaults();
    options.spool_dir = folder;
    options.progress = count_call;
    options.user = &calls;
    assert_int_equal(pt_assembler_new(&grid, &options, &assembler).code, PT_OK);
    int64_t count = pt_grid_count(&grid);
    for (int64_t tile = 0; tile < count; tile++) {
        pt_result result = {.tile = tile,
                            .attempt = 1,
                            .outcome = tile == 0   ? PT_TILE_EMPTY
                                       : tile == 1 ? PT_TILE_OUTSIDE
                                                   : PT_TILE_DONE,
                            .read_seconds = 0.5,
                            .infer_seconds = 0.25};
        assert_string_equal(pt_assembler_add(assembler, &result).message, "");
    }
    assert_string_equal(pt_assembler_finish(assembler).message, "");
    const pt_assemble_report *r = pt_assembler_report(assembler);
    int64_t pixels = 0;
    for (int64_t tile = 2; tile < count; tile++) {
        pixels += pt_rect_area(pt_grid_window(&grid, tile));
    }
    assert_int_equal(calls, count);
    assert_int_equal(r->empty, 1);
    assert_int_equal(r->outside, 1);
    assert_int_equal(r->done, count - 2);
    assert_int_equal(r->pixels, pixels);
    assert_true(r->read_seconds == 0.5 * (double)count);
    assert_true(r->infer_seconds == 0.25 * (double)count);
    pt_assembler_free(&assembler);
}

static void test_tiles_must_be_those_of_the_grid(void **state)
{
    (void)state;
    int64_t bad[] = {-1, pt_grid_count(&grid), INT64_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pt_assembler *assembler = new_assembler();
        pt_result result = {.tile = bad[i], .attempt = 1, .outcome = PT_TILE_EMPTY};
        assert_int_equal(pt_assembler_add(assembler, &result).code, PT_E_INTERNAL);
        pt_assembler_free(&assembler);
    }
    pt_assembler *assembler = new_assembler();
    assert_string_equal(add(assembler, 3, false).message, "");
    assert_int_equal(add(assembler, 3, false).code, PT_E_INTERNAL);
    pt_assembler_free(&assembler);
    assembler = new_assembler();
    assert_string_equal(add(assembler, 0, false).message, "");
    assert_int_equal(pt_assembler_finish(assembler).code, PT_E_INTERNAL);
    pt_assembler_free(&assembler);
}

static void test_bad_folder(void **state)
{
    (void)state;
    pt_assembler *assembler = NULL;
    pt_assemble_options options = pt_assemble_defaults();
    options.spool_dir = "no/such/folder";
    assert_int_equal(pt_assembler_new(&grid, &options, &assembler).code, PT_E_WRITE);
    assert_null(assembler);
    pt_assembler_free(&assembler);
    pt_assembler_free(NULL);
}

static pt_status whole_life(void)
{
    pt_assemble_options options = pt_assemble_defaults();
    pt_assembler *assembler = NULL;
    options.spool_dir = folder;
    options.vectorise.pixel_m = 1;
    pt_status status = pt_assembler_new(&grid, &options, &assembler);
    for (int64_t tile = 0; status.code == PT_OK && tile < pt_grid_count(&grid); tile++) {
        status = add(assembler, tile, false);
    }
    if (status.code == PT_OK) {
        status = pt_assembler_finish(assembler);
    }
    pt_assembler_free(&assembler);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    /* Thousands of allocations: each of the first ones, then ever fewer. */
    for (long n = 0; status.code == PT_E_NOMEM; n += 1 + n / 20) {
        pt_alloc_fail_after(n);
        status = whole_life();
        pt_alloc_fail_after(-1);
    }
    assert_string_equal(status.message, "");
}

/* One object from corner to corner, whose box no outline can be drawn in, and a small one. */
static void test_giant_object(void **state)
{
    (void)state;
    pt_grid huge;
    pt_assembler *assembler = NULL;
    pt_assemble_options options = pt_assemble_defaults();
    pt_result result = {.attempt = 1, .outcome = PT_TILE_DONE};
    pt_instance giant = {.class_id = 1, .score = 0.9f}, small = {.class_id = 1, .score = 0.8f};
    pt_span *spans = pt_alloc(2, sizeof *spans);
    spans[0] = (pt_span){0, 0, 1};
    spans[1] = (pt_span){49999, 49999, 50000};
    giant.mask = (pt_mask){{0, 0, 50000, 50000}, spans, 2, 2};
    assert_int_equal(pt_mask_from_rect((pt_rect){100, 100, 9, 9}, &small.mask).code, PT_OK);
    assert_int_equal(pt_instance_list_push(&result.instances, &giant).code, PT_OK);
    assert_int_equal(pt_instance_list_push(&result.instances, &small).code, PT_OK);
    options.spool_dir = folder;
    assert_int_equal(pt_grid_init(50000, 50000, 65536, 32, 32, &huge).code, PT_OK);
    assert_int_equal(pt_assembler_new(&huge, &options, &assembler).code, PT_OK);
    assert_string_equal(pt_assembler_add(assembler, &result).message, "");
    assert_string_equal(pt_assembler_finish(assembler).message, "");
    assert_int_equal(pt_assembler_report(assembler)->objects, 1);
    assert_int_equal(pt_assembler_report(assembler)->too_large, 1);
    assert_int_equal(pt_assembler_report(assembler)->dropped, 0);
    pt_instance_list_fini(&result.instances);
    pt_assembler_free(&assembler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order_gives_the_same_bytes),
        cmocka_unit_test(test_a_failed_tile_is_named),
        cmocka_unit_test(test_many_failed_tiles),
        cmocka_unit_test(test_outcomes_are_counted),
        cmocka_unit_test(test_tiles_must_be_those_of_the_grid),
        cmocka_unit_test(test_bad_folder),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_giant_object),
    };
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
