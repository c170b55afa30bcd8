/* The engine's face: life cycle, bad arguments, memory, threads. Arguments: the folder of the bundled models.
 */
#include "engine/engine.h"
#include "engine/graph/tap.h"
#include "tests/engine/network/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *models;

static pt_engine *open_with(const char *path, int threads, float score, int most)
{
    pt_engine_options options = pt_engine_defaults();
    options.threads = threads;
    options.score_threshold = score;
    options.max_detections = most;
    pt_engine *engine = NULL;
    pt_status status = pt_engine_open(path, &options, &engine);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    return engine;
}

static const char *bundled(char *path, size_t size)
{
    snprintf(path, size, "%s/buildings_mnv2_fpn.safetensors", models);
    return path;
}

/* Everything that the last call found, as bytes to compare. */
typedef struct harvest {
    unsigned char *bytes;
    size_t size;
} harvest;

static harvest reap(const pt_engine *engine, size_t image)
{
    const pt_detection *items;
    size_t count;
    assert_int_equal(pt_engine_detections(engine, image, &items, &count).code, PT_OK);
    size_t side = (size_t)pt_engine_model(engine)->mask_size,
           each = 6 * sizeof(float) + side * side * sizeof(float);
    harvest h = {calloc(count + 1, each), count * each};
    assert_non_null(h.bytes);
    for (size_t i = 0; i < count; i++) {
        float head[6] = {items[i].x0, items[i].y0,    items[i].x1,
                         items[i].y1, items[i].score, (float)items[i].class_id};
        memcpy(h.bytes + i * each, head, sizeof head);
        memcpy(h.bytes + i * each + sizeof head, items[i].mask, side * side * sizeof(float));
    }
    return h;
}

static void assert_same(harvest a, harvest b)
{
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.bytes, b.bytes, a.size);
}

static void test_what_comes_out(void **state)
{
    (void)state;
    char *path = tiny_model(TINY_MOBILENET);
    pt_engine *engine = open_with(path, 2, .1f, 7);
    const pt_model_summary *model = pt_engine_model(engine);
    assert_string_equal(model->architecture, "mobilenet_v2_fpn");
    assert_int_equal(model->class_count, 3);
    assert_int_equal(pt_engine_threads(engine), 2);
    pt_engine_options options = pt_engine_defaults();
    options.backend = "portable";
    pt_engine *other = NULL;
    assert_int_equal(pt_engine_open(path, &options, &other).code, PT_OK);
    assert_non_null(strstr(pt_engine_backend(other), "portable (OpenBLAS "));
    pt_engine_close(&other);
    tiny_image t = tiny_make_image(90, 61, 1);
    assert_int_equal(pt_engine_infer(engine, &t.image, 1).code, PT_OK);
    const pt_detection *items;
    size_t count;
    assert_int_equal(pt_engine_detections(engine, 0, &items, &count).code, PT_OK);
    assert_true(count > 0 && count <= 7);
    for (size_t i = 0; i < count; i++) {
        const pt_detection *d = &items[i];
        assert_true(d->score > .1f && d->score <= 1 && (i == 0 || d->score <= items[i - 1].score));
        assert_true(d->x0 >= 0 && d->y0 >= 0 && d->x0 < d->x1 && d->y0 < d->y1 && d->x1 <= 90 && d->y1 <= 61);
        assert_in_range(d->class_id, 1, 2);
        for (int k = 0; k < model->mask_size * model->mask_size; k++) {
            assert_true(d->mask[k] >= 0 && d->mask[k] <= 1);
        }
    }
    assert_int_equal(pt_engine_last_caps(engine).detections, count == 7);
    pt_engine_close(&engine);
    assert_null(engine);
    pt_engine_close(&engine);
    free(t.pixels);
    unlink(path);
    free(path);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    pt_engine *engine = NULL;
    assert_int_equal(pt_engine_open(NULL, NULL, &engine).code, PT_E_USAGE);
    pt_status status = pt_engine_open("/nowhere/model.safetensors", NULL, &engine);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, "/nowhere/model.safetensors"));
    char *path = tiny_model(TINY_RESNET);
    pt_engine_options options = pt_engine_defaults();
    options.backend = "abacus";
    assert_int_equal(pt_engine_open(path, &options, &engine).code, PT_E_USAGE);
    assert_int_equal(pt_engine_check_backend("abacus", false).code, PT_E_USAGE);
    assert_int_equal(pt_engine_check_backend("abacus", true).code, PT_E_USAGE);
    assert_int_equal(pt_engine_check_backend(NULL, true).code, PT_OK);
    assert_int_equal(pt_engine_check_backend("portable", true).code, PT_OK);
    assert_int_equal(pt_engine_check_backend("onednn", false).code, PT_OK);
    options.backend = "onednn"; /* which not every build has */
    assert_int_equal(pt_engine_check_backend("onednn", true).code,
                     pt_engine_open(path, &options, &engine).code);
    pt_engine_close(&engine);
    options = pt_engine_defaults();
    options.threads = -3;
    assert_int_equal(pt_engine_open(path, &options, &engine).code, PT_E_USAGE);
    options = pt_engine_defaults();
    options.max_detections = -1;
    assert_int_equal(pt_engine_open(path, &options, &engine).code, PT_E_USAGE);
    options = pt_engine_defaults();
    options.max_proposals = -1;
    assert_int_equal(pt_engine_open(path, &options, &engine).code, PT_E_USAGE);
    options = pt_engine_defaults();
    options.score_threshold = 1.5f;
    assert_int_equal(pt_engine_open(path, &options, &engine).code, PT_E_USAGE);
    options.score_threshold = NAN;
    assert_int_equal(pt_engine_open(path, &options, &engine).code, PT_E_USAGE);
    assert_null(engine);
    unlink(path);
    free(path);
}

static void test_bad_images(void **state)
{
    (void)state;
    char *path = tiny_model(TINY_RESNET);
    pt_engine *engine = open_with(path, 1, -1, 0);
    tiny_image t = tiny_make_image(40, 30, 2);
    const pt_detection *items;
    size_t count;
    assert_int_equal(pt_engine_detections(engine, 0, &items, &count).code, PT_E_USAGE);
    assert_int_equal(pt_engine_infer(engine, NULL, 1).code, PT_E_USAGE);
    pt_image bad[2] = {t.image, t.image};
    bad[0].width = 0;
    assert_int_equal(pt_engine_infer(engine, bad, 1).code, PT_E_USAGE);
    bad[0] = t.image;
    bad[0].height = 20000;
    assert_int_equal(pt_engine_infer(engine, bad, 1).code, PT_E_USAGE);
    bad[0] = t.image;
    bad[0].rgb = NULL;
    assert_int_equal(pt_engine_infer(engine, bad, 1).code, PT_E_USAGE);
    bad[0] = t.image;
    bad[0].row_stride = 119;
    assert_int_equal(pt_engine_infer(engine, bad, 1).code, PT_E_USAGE);
    bad[0] = t.image;
    bad[1].height = 29;
    assert_int_equal(pt_engine_infer(engine, bad, 2).code, PT_E_USAGE);
    assert_int_equal(pt_engine_infer(engine, &t.image, 1).code, PT_OK);
    assert_int_equal(pt_engine_detections(engine, 1, &items, &count).code, PT_E_USAGE);
    assert_int_equal(pt_engine_detections(engine, 0, &items, &count).code, PT_OK);
    assert_int_equal(pt_engine_infer(engine, bad, 2).code, PT_E_USAGE);
    assert_int_equal(pt_engine_detections(engine, 0, &items, &count).code, PT_E_USAGE); /* none are left */
    assert_int_equal(pt_engine_infer(engine, &t.image, 1).code, PT_OK);
    assert_int_equal(pt_engine_infer(engine, NULL, 0).code, PT_OK);
    assert_int_equal(pt_engine_detections(engine, 0, &items, &count).code, PT_E_USAGE);
    pt_engine_close(&engine);
    free(t.pixels);
    unlink(path);
    free(path);
}

static void test_every_size(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {1, 200}, {33, 2}, {64, 64}, {97, 31}, {32, 33}};
    for (int kind = TINY_MOBILENET; kind <= TINY_EXPLODING; kind++) {
        char *path = tiny_model((tiny_kind)kind);
        pt_engine *engine = open_with(path, 2, -1, 0);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            tiny_image t = tiny_make_image(sizes[i][0], sizes[i][1], 3);
            assert_int_equal(pt_engine_infer(engine, &t.image, 1).code, PT_OK);
            const pt_detection *items;
            size_t count;
            assert_int_equal(pt_engine_detections(engine, 0, &items, &count).code, PT_OK);
            free(t.pixels);
        }
        pt_engine_close(&engine);
        unlink(path);
        free(path);
    }
}

/* A batch is its images one by one, rows may be far apart, and an earlier size leaves no trace. */
static void test_batches_and_strides(void **state)
{
    (void)state;
    char *path = tiny_model(TINY_MOBILENET);
    pt_engine *engine = open_with(path, 2, .05f, 20), *other = open_with(path, 1, .05f, 20);
    tiny_image a = tiny_make_image(75, 50, 4), b = tiny_make_image(75, 50, 5),
               c = tiny_make_image(140, 33, 6);
    pt_image batch[3] = {a.image, b.image, a.image};
    assert_int_equal(pt_engine_infer(other, &c.image, 1).code, PT_OK);
    assert_int_equal(pt_engine_infer(engine, batch, 3).code, PT_OK);
    uint8_t *wide = calloc(50, 1000);
    assert_non_null(wide);
    for (int y = 0; y < 50; y++) {
        memcpy(wide + 1000 * y, b.pixels + 225 * y, 225);
    }
    pt_image strided = {wide, 75, 50, 1000};
    assert_int_equal(pt_engine_infer(other, &strided, 1).code, PT_OK);
    harvest first = reap(engine, 0), second = reap(engine, 1), third = reap(engine, 2),
            alone = reap(other, 0);
    assert_same(first, third);
    assert_same(second, alone);
    free(first.bytes);
    free(second.bytes);
    free(third.bytes);
    free(alone.bytes);
    free(wide);
    free(a.pixels);
    free(b.pixels);
    free(c.pixels);
    pt_engine_close(&engine);
    pt_engine_close(&other);
    unlink(path);
    free(path);
}

static void test_threads_give_the_same_bytes(void **state)
{
    (void)state;
    char path[1024];
    tiny_image t = tiny_make_image(300, 220, 7);
    harvest first = {0};
    for (int threads = 1; threads <= 3; threads++) {
        pt_engine *engine = open_with(bundled(path, sizeof path), threads, .01f, 50);
        assert_int_equal(pt_engine_infer(engine, &t.image, 1).code, PT_OK);
        harvest h = reap(engine, 0);
        assert_true(h.size > 0);
        if (threads == 1) {
            first = h;
        } else {
            assert_same(first, h);
            free(h.bytes);
        }
        pt_engine_close(&engine);
    }
    free(first.bytes);
    free(t.pixels);
}

/* After the first call of a size nothing is allocated, also when sizes take turns, nor for smaller batches.
 */
static void test_nothing_is_allocated_per_tile(void **state)
{
    (void)state;
    char *path = tiny_model(TINY_RESNET);
    pt_engine *engine = open_with(path, 2, -1, 0);
    tiny_image large = tiny_make_image(128, 96, 8), small = tiny_make_image(60, 70, 9);
    pt_image batch[2] = {large.image, large.image};
    assert_int_equal(pt_engine_infer(engine, &small.image, 1).code, PT_OK);
    assert_int_equal(pt_engine_infer(engine, batch, 2).code, PT_OK);
    long before = pt_alloc_count();
    assert_int_equal(pt_engine_infer(engine, batch, 2).code, PT_OK);
    assert_int_equal(pt_engine_infer(engine, &small.image, 1).code, PT_OK);
    assert_int_equal(pt_engine_infer(engine, &large.image, 1).code, PT_OK);
    assert_int_equal(pt_alloc_count(), before);
    pt_engine_close(&engine);
    free(large.pixels);
    free(small.pixels);
    unlink(path);
    free(path);
}

static void ignore_line(void *user, pt_log_level level, const char *line)
{
    int *warnings = user;
    *warnings += level == PT_LOG_WARN && strstr(line, "OPENBLAS_CORETYPE") != NULL;
}

static void test_blas_warning(void **state)
{
    (void)state;
    char *path = tiny_model(TINY_MOBILENET);
    int warnings = 0;
    pt_log_to(ignore_line, &warnings);
    const char *name = NULL, *value = NULL;
    bool wanted = pt_engine_blas_core_fix(&name, &value);
    pt_engine *engine = open_with(path, 1, -1, 0);
    pt_engine_close(&engine);
    assert_int_equal(warnings, wanted);
    if (wanted) {
        assert_string_equal(name, "OPENBLAS_CORETYPE");
        assert_non_null(value);
        setenv(name, value, 1); /* as the restarted program has it */
        assert_false(pt_engine_blas_core_fix(&name, &value));
        unsetenv(name);
    }
    pt_log_to(NULL, NULL);
    unlink(path);
    free(path);
}

typedef struct seen {
    int calls;
    size_t proposals;
} seen;

static void look(void *user, const pt_tap_view *view)
{
    seen *s = user;
    s->calls++;
    if (strcmp(view->name, "proposals") == 0) {
        s->proposals = view->rows;
    }
}

static void test_tap(void **state)
{
    (void)state;
    char *path = tiny_model(TINY_RESNET);
    pt_engine *engine = open_with(path, 1, -1, 0);
    tiny_image t = tiny_make_image(64, 64, 11);
    seen s = {0};
    pt_engine_set_tap(engine, look, &s);
    assert_int_equal(pt_engine_infer(engine, &t.image, 1).code, PT_OK);
    assert_int_equal(s.calls, 4 + 5 + 5 + 3);
    assert_true(s.proposals > 0);
    pt_engine_set_tap(engine, NULL, NULL);
    assert_int_equal(pt_engine_infer(engine, &t.image, 1).code, PT_OK);
    assert_int_equal(s.calls, 4 + 5 + 5 + 3);
    pt_engine_close(&engine);
    free(t.pixels);
    unlink(path);
    free(path);
}

typedef struct pace {
    const pt_engine *engine;
    uint64_t last;
    bool grew;
} pace;

static void watch_progress(void *user, const pt_tap_view *view)
{
    pace *p = user;
    (void)view;
    uint64_t now = pt_engine_progress(p->engine);
    p->grew = p->grew && now >= p->last;
    p->last = now;
}

static void test_progress(void **state)
{
    (void)state;
    char *path = tiny_model(TINY_RESNET);
    pt_engine *engine = open_with(path, 1, -1, 0);
    tiny_image t = tiny_make_image(64, 64, 11);
    pace p = {engine, 0, true};
    assert_true(pt_engine_progress(engine) == 0);
    pt_engine_set_tap(engine, watch_progress, &p);
    assert_int_equal(pt_engine_infer(engine, &t.image, 1).code, PT_OK);
    uint64_t whole = pt_engine_progress(engine);
    assert_true(p.grew && p.last > 53); /* a ResNet-50 has as many convolutions in its backbone alone */
    assert_int_equal(pt_engine_infer(engine, &t.image, 1).code, PT_OK);
    assert_true(pt_engine_progress(engine) == 2 * whole); /* the same work once more */
    pt_engine_close(&engine);
    free(t.pixels);
    unlink(path);
    free(path);
}

static void test_proposal_cap(void **state)
{
    (void)state;
    char *path = tiny_model(TINY_RESNET);
    tiny_image t = tiny_make_image(64, 64, 11);
    size_t before = 0;
    for (int cap = 0; cap < 6; cap += 5) { /* the model's own, then 5 */
        pt_engine_options options = pt_engine_defaults();
        options.max_proposals = cap;
        pt_engine *engine = NULL;
        assert_int_equal(pt_engine_open(path, &options, &engine).code, PT_OK);
        seen s = {0};
        pt_engine_set_tap(engine, look, &s);
        assert_int_equal(pt_engine_infer(engine, &t.image, 1).code, PT_OK);
        if (cap == 0) {
            before = s.proposals;
        } else {
            assert_true(before > 5);
            assert_int_equal(s.proposals, 5);
        }
        pt_engine_close(&engine);
    }
    free(t.pixels);
    unlink(path);
    free(path);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    models = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_comes_out),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_bad_images),
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_batches_and_strides),
        cmocka_unit_test(test_threads_give_the_same_bytes),
        cmocka_unit_test(test_nothing_is_allocated_per_tile),
        cmocka_unit_test(test_blas_warning),
        cmocka_unit_test(test_tap),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_proposal_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
