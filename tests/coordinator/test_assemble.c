#include "coordinator/assemble/assemble.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIDE = 320, TILE = 128, OVERLAP = 64, CREDIT = 7, OBJECTS = 40 };

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
        PT_TRY(pt_instance_list_push(out, &instance));
    }
    return pt_ok();
}

/* A worker that answers in a seeded order of its own and fails as told. */
typedef struct worker {
    pthread_t thread;
    pt_link *link;
    unsigned seed;
    int64_t bad;   /* tile, or -1 */
    pt_code code;  /* with which it fails */
    int failures;  /* how often */
    int64_t wrong; /* tile whose reply names this one instead; -1: none */
} worker;

static void reply(worker *w, const pt_assignment *a)
{
    pt_result result = {
        .tile = a->tile, .attempt = a->attempt, .outcome = PT_TILE_DONE, .capped = a->tile == 2};
    if (a->tile == w->bad && a->attempt <= w->failures) {
        result.outcome = PT_TILE_FAILED;
        result.status = pt_error(w->code, "block %lld is broken", (long long)a->tile);
    } else if (see(a->window, &result.instances).code != PT_OK) {
        result.outcome = PT_TILE_FAILED;
        result.status = PT_NOMEM("a test");
    }
    if (a->tile == w->wrong) {
        result.tile = 1000000;
    }
    if (pt_link_reply(w->link, &result).code != PT_OK) {
        pt_result_fini(&result);
    }
}

static void *work(void *user)
{
    worker *w = user;
    pt_assignment held[CREDIT];
    int count = 0;
    int64_t fresh = 0; /* tiles that came for the first time */
    bool open = true;
    while (open || count > 0) {
        /* Holds back up to three while more are sure to come, then answers one of them by chance. */
        while (open && (count == 0 || (count < 3 && fresh < pt_grid_count(&grid)))) {
            open = pt_link_next(w->link, &held[count]).code == PT_OK;
            count += open;
            fresh += open && held[count - 1].attempt == 1;
        }
        if (count == 0) {
            break;
        }
        w->seed = w->seed * 1103515245u + 12345u;
        int pick = (int)((w->seed >> 16) % (unsigned)count);
        reply(w, &held[pick]);
        held[pick] = held[--count];
    }
    return NULL;
}

static worker good_worker(unsigned seed)
{
    return (worker){.seed = seed, .bad = -1, .wrong = -1};
}

static pt_assembler *new_assembler(void)
{
    pt_assemble_options options = pt_assemble_defaults();
    pt_assembler *assembler = NULL;
    options.credit = CREDIT;
    options.spool_dir = folder;
    options.vectorise.pixel_m = 1;
    options.vectorise.simplify = 0;
    pt_status status = pt_assembler_new(&grid, &options, &assembler);
    assert_string_equal(status.message, "");
    return assembler;
}

static pt_status run(pt_assembler *assembler, worker *w)
{
    assert_int_equal(pt_link_new_local(CREDIT, &w->link).code, PT_OK);
    assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
    pt_status status = pt_assembler_run(assembler, w->link);
    if (status.code != PT_OK) {
        pt_link_close(w->link);
    }
    pthread_join(w->thread, NULL);
    pt_link_free(&w->link);
    return status;
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
        worker w = good_worker(seed);
        assert_string_equal(run(assembler, &w).message, "");
        const pt_assemble_report *r = pt_assembler_report(assembler);
        assert_int_equal(r->tiles, pt_grid_count(&grid));
        assert_int_equal(r->done, r->tiles);
        assert_int_equal(r->capped, 1);
        assert_int_equal(r->objects, OBJECTS);
        assert_int_equal(r->failed + r->empty + r->outside + r->retries, 0);
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

static void test_reading_is_tried_three_times(void **state)
{
    (void)state;
    pt_assembler *assembler = new_assembler();
    worker w = good_worker(3);
    w.bad = 4;
    w.code = PT_E_READ;
    w.failures = 2;
    assert_string_equal(run(assembler, &w).message, "");
    const pt_assemble_report *r = pt_assembler_report(assembler);
    assert_int_equal(r->retries, 2);
    assert_int_equal(r->failed, 0);
    assert_int_equal(r->objects, OBJECTS);
    pt_assembler_free(&assembler);
}

static void test_a_failed_tile_is_named(void **state)
{
    (void)state;
    for (int poison = 0; poison < 2; poison++) {
        pt_assembler *assembler = new_assembler();
        worker w = good_worker(3);
        w.bad = 4;
        w.code = poison ? PT_E_TILE : PT_E_READ;
        w.failures = 100;
        assert_string_equal(run(assembler, &w).message, "");
        const pt_assemble_report *r = pt_assembler_report(assembler);
        assert_int_equal(r->retries, poison ? 0 : 2);
        assert_int_equal(r->failed, 1);
        assert_int_equal(r->done, r->tiles - 1);
        assert_int_equal(r->failed_named, 1);
        assert_int_equal(r->failed_tiles[0].tile, 4);
        assert_int_equal(r->failed_tiles[0].attempts, poison ? 1 : 3);
        assert_true(pt_rect_equal(r->failed_tiles[0].window, pt_grid_window(&grid, 4)));
        assert_string_equal(r->failed_tiles[0].reason, "block 4 is broken");
        /* What it alone saw whole is lost, or comes in pieces from its neighbours. */
        assert_in_range(r->objects, OBJECTS - 5, OBJECTS + 5);
        pt_assembler_free(&assembler);
    }
}

static void test_other_failures_end_the_job(void **state)
{
    (void)state;
    pt_code codes[] = {PT_E_NOMEM, PT_E_NOSPACE, PT_E_INTERNAL, PT_E_INPUT, PT_E_WRITE};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        pt_assembler *assembler = new_assembler();
        worker w = good_worker(3);
        w.bad = 4;
        w.code = codes[i];
        w.failures = 1;
        pt_status status = run(assembler, &w);
        assert_int_equal(status.code, codes[i]);
        assert_string_equal(status.message, "block 4 is broken");
        pt_assembler_free(&assembler);
    }
}

static void test_an_unknown_tile_is_refused(void **state)
{
    (void)state;
    pt_assembler *assembler = new_assembler();
    worker w = good_worker(3);
    w.wrong = 3;
    assert_int_equal(run(assembler, &w).code, PT_E_INTERNAL);
    pt_assembler_free(&assembler);
}

static void test_a_closed_link_stops(void **state)
{
    (void)state;
    pt_assembler *assembler = new_assembler();
    pt_link *link = NULL;
    assert_int_equal(pt_link_new_local(CREDIT, &link).code, PT_OK);
    pt_link_close(link);
    assert_int_equal(pt_assembler_run(assembler, link).code, PT_E_STOPPED);
    pt_link_free(&link);
    pt_assembler_free(&assembler);
}

static void test_bad_options(void **state)
{
    (void)state;
    pt_assembler *assembler = NULL;
    pt_assemble_options options = pt_assemble_defaults();
    options.spool_dir = folder;
    options.credit = 0;
    assert_int_equal(pt_assembler_new(&grid, &options, &assembler).code, PT_E_USAGE);
    options.credit = 1;
    options.attempts = 0;
    assert_int_equal(pt_assembler_new(&grid, &options, &assembler).code, PT_E_USAGE);
    options.attempts = 1;
    options.spool_dir = "no/such/folder";
    assert_int_equal(pt_assembler_new(&grid, &options, &assembler).code, PT_E_WRITE);
    assert_null(assembler);
    pt_assembler_free(&assembler);
    pt_assembler_free(NULL);
}

/* All replies wait in the link before the run, so that one thread allocates alone. */
static pt_link *link_with_replies(void)
{
    pt_link *link = NULL;
    int64_t tiles = pt_grid_count(&grid);
    assert_int_equal(pt_link_new_local((size_t)tiles, &link).code, PT_OK);
    for (int64_t i = 0; i < tiles; i++) {
        pt_result result = {.tile = i, .attempt = 1, .outcome = PT_TILE_DONE};
        assert_int_equal(see(pt_grid_window(&grid, i), &result.instances).code, PT_OK);
        assert_int_equal(pt_link_reply(link, &result).code, PT_OK);
    }
    return link;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    /* Thousands of allocations: each of the first ones, then ever fewer. */
    for (long n = 0; status.code == PT_E_NOMEM; n += 1 + n / 20) {
        pt_link *link = link_with_replies();
        pt_assemble_options options = pt_assemble_defaults();
        pt_assembler *assembler = NULL;
        options.credit = (size_t)pt_grid_count(&grid);
        options.spool_dir = folder;
        options.vectorise.pixel_m = 1;
        pt_alloc_fail_after(n);
        status = pt_assembler_new(&grid, &options, &assembler);
        if (status.code == PT_OK) {
            status = pt_assembler_run(assembler, link);
        }
        pt_alloc_fail_after(-1);
        pt_assembler_free(&assembler);
        pt_link_free(&link);
    }
    assert_string_equal(status.message, "");
}

/* One object from corner to corner, whose box no outline can be drawn in, and a small one. */
static void *work_giant(void *user)
{
    pt_link *link = user;
    pt_assignment a;
    while (pt_link_next(link, &a).code == PT_OK) {
        pt_result result = {.tile = a.tile, .attempt = a.attempt, .outcome = PT_TILE_DONE};
        pt_instance giant = {.class_id = 1, .score = 0.9f}, small = {.class_id = 1, .score = 0.8f};
        pt_span *spans = pt_alloc(2, sizeof *spans);
        spans[0] = (pt_span){0, 0, 1};
        spans[1] = (pt_span){49999, 49999, 50000};
        giant.mask = (pt_mask){{0, 0, 50000, 50000}, spans, 2, 2};
        assert_int_equal(pt_mask_from_rect((pt_rect){100, 100, 9, 9}, &small.mask).code, PT_OK);
        assert_int_equal(pt_instance_list_push(&result.instances, &giant).code, PT_OK);
        assert_int_equal(pt_instance_list_push(&result.instances, &small).code, PT_OK);
        assert_int_equal(pt_link_reply(link, &result).code, PT_OK);
    }
    return NULL;
}

static void test_giant_object(void **state)
{
    (void)state;
    pt_grid huge;
    pt_link *link = NULL;
    pthread_t thread;
    pt_assembler *assembler = NULL;
    pt_assemble_options options = pt_assemble_defaults();
    options.spool_dir = folder;
    assert_int_equal(pt_grid_init(50000, 50000, 65536, 32, 32, &huge).code, PT_OK);
    assert_int_equal(pt_assembler_new(&huge, &options, &assembler).code, PT_OK);
    assert_int_equal(pt_link_new_local(options.credit, &link).code, PT_OK);
    assert_int_equal(pthread_create(&thread, NULL, work_giant, link), 0);
    pt_status status = pt_assembler_run(assembler, link);
    pt_link_close(link);
    pthread_join(thread, NULL);
    pt_link_free(&link);
    assert_string_equal(status.message, "");
    assert_int_equal(pt_assembler_report(assembler)->objects, 1);
    assert_int_equal(pt_assembler_report(assembler)->too_large, 1);
    assert_int_equal(pt_assembler_report(assembler)->dropped, 0);
    pt_assembler_free(&assembler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order_gives_the_same_bytes),
        cmocka_unit_test(test_reading_is_tried_three_times),
        cmocka_unit_test(test_a_failed_tile_is_named),
        cmocka_unit_test(test_other_failures_end_the_job),
        cmocka_unit_test(test_an_unknown_tile_is_refused),
        cmocka_unit_test(test_a_closed_link_stops),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_giant_object),
    };
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
