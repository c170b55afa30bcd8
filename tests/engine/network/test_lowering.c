/* The whole network as the passes leave it, against the network without them; and in bytes against floats,
 * with ranges that are learned here. */
#include "engine/backend/backend.h"
#include "engine/graph/tap.h"
#include "engine/model/calibration.h"
#include "tests/engine/network/tables.h"
#include "tests/engine/network/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static pt_engine *open_backend(const char *path, const char *precision, const char *without,
                               const char *backend)
{
    pt_engine_options options = pt_engine_defaults();
    options.threads = 1;
    options.backend = backend;
    options.precision = precision;
    options.without_passes = without;
    options.score_threshold = .02f;
    pt_engine *engine = NULL;
    pt_status status = pt_engine_open(path, &options, &engine);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    return engine;
}

static pt_engine *open_engine(const char *path, const char *precision, const char *without)
{
    return open_backend(path, precision, without, "portable");
}

static void keep(void *user, const pt_tap_view *view)
{
    tables_add(user, 0, view->name, view->level, view->data, view->rows, view->columns);
}

/* What the network's parts say of an image, and its detections. */
typedef struct outcome {
    tables seen;
    pt_detection *items;
    size_t count;
} outcome;

static outcome infer(pt_engine *engine, const pt_image *image)
{
    outcome o = {0};
    const pt_detection *items;
    pt_engine_set_tap(engine, keep, &o.seen);
    assert_int_equal(pt_engine_infer(engine, image, 1).code, PT_OK);
    assert_int_equal(pt_engine_detections(engine, 0, &items, &o.count).code, PT_OK);
    o.items = calloc(o.count + 1, sizeof *o.items);
    assert_non_null(o.items);
    memcpy(o.items, items, o.count * sizeof *items);
    pt_engine_set_tap(engine, NULL, NULL);
    return o;
}

static void forget(outcome *o)
{
    tables_free(&o->seen);
    free(o->items);
}

/* The largest relative error of the maps called `name`. */
static double map_error(const outcome *a, const outcome *b, const char *name)
{
    double worst = 0;
    int found = 0;
    for (size_t i = 0; i < a->seen.count; i++) {
        const table *t = &a->seen.items[i];
        if (strcmp(t->name, name) == 0) {
            const table *other = tables_find(&b->seen, 0, name, t->level);
            assert_true(other && other->rows == t->rows && other->columns == t->columns);
            double error = relative_l2(other->data, t->data, t->rows * t->columns);
            worst = error > worst ? error : worst;
            found++;
        }
    }
    assert_true(found > 0);
    return worst;
}

static void assert_same_detections(const outcome *a, const outcome *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const pt_detection *d = &a->items[i], *e = &b->items[i];
        assert_int_equal(d->class_id, e->class_id);
        assert_true(fabsf(d->score - e->score) < 1e-4f && fabsf(d->x0 - e->x0) < .01f &&
                    fabsf(d->y0 - e->y0) < .01f && fabsf(d->x1 - e->x1) < .01f &&
                    fabsf(d->y1 - e->y1) < .01f);
    }
}

/* Each pass may be left out, and all: the same numbers within ROUNDING, more operators. */
static void test_left_out(void **state)
{
    (void)state;
    static const char *const without[] = {"identity",   "norm",   "upsample", "add",
                                          "activation", "concat", "dead",     "all"};
    tiny_image t = tiny_make_image(96, 70, 21);
    for (int kind = TINY_MOBILENET; kind <= TINY_RESNET; kind++) {
        char *path = tiny_model((tiny_kind)kind);
        pt_engine *engine = open_engine(path, "fp32", NULL);
        outcome wanted = infer(engine, &t.image);
        pt_engine_memory memory = pt_engine_memory_use(engine);
        assert_true(wanted.count > 0 && memory.layers < memory.operators);
        pt_engine_close(&engine);
        for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
            engine = open_engine(path, "fp32", without[i]);
            outcome got = infer(engine, &t.image);
            static const char *const maps[] = {"C", "P", "rpn"};
            for (int m = 0; m < 3; m++) {
                double error = map_error(&wanted, &got, maps[m]);
                if (!(error < 1e-5)) {
                    fail_msg("without %s: %s differs by %g", without[i], maps[m], error);
                }
            }
            assert_same_detections(&wanted, &got);
            pt_engine_memory other = pt_engine_memory_use(engine);
            assert_int_equal(other.operators, memory.operators);
            assert_true(strcmp(without[i], "all") != 0 || other.layers == memory.operators);
            forget(&got);
            pt_engine_close(&engine);
        }
        forget(&wanted);
        unlink(path);
        free(path);
    }
    free(t.pixels);
}

/* Ranges and means of the values that the observer is shown. */
enum { MOST_VALUES = 256, MOST_CHANNELS = 64 };
typedef struct learned {
    pt_range ranges[MOST_VALUES];
    float means[MOST_VALUES][MOST_CHANNELS];
    double cells[MOST_VALUES];
    size_t count;
} learned;

static void learn(void *user, const char *value, const pt_map *map)
{
    learned *l = user;
    size_t at = 0;
    while (at < l->count && strcmp(l->ranges[at].value, value) != 0) {
        at++;
    }
    assert_true(at < MOST_VALUES && map->c <= MOST_CHANNELS && map->elem == PT_F32);
    if (at == l->count) {
        char *copy = strdup(value);
        assert_non_null(copy);
        l->ranges[l->count++] = (pt_range){.value = copy, .mean = l->means[at], .channels = map->c};
    }
    const float *data = pt_map_f32(map);
    for (size_t p = 0; p < pt_map_pixels(map); p++) {
        l->cells[at]++;
        for (int c = 0; c < map->c; c++) {
            float x = data[p * (size_t)map->c + (size_t)c];
            l->ranges[at].low = fminf(l->ranges[at].low, x);
            l->ranges[at].high = fmaxf(l->ranges[at].high, x);
            l->means[at][c] += (float)((double)(x - l->means[at][c]) / l->cells[at]);
        }
    }
}

static int by_value(const void *a, const void *b)
{
    return strcmp(((const pt_range *)a)->value, ((const pt_range *)b)->value);
}

/* Calibrates the model at `path` in place, on these images. */
static void calibrate(const char *path, const tiny_image *images, int count)
{
    learned *l = calloc(1, sizeof *l);
    assert_non_null(l);
    pt_engine *engine = open_engine(path, "fp32", NULL);
    pt_engine_observe(engine, learn, l);
    for (int i = 0; i < count; i++) {
        assert_int_equal(pt_engine_infer(engine, &images[i].image, 1).code, PT_OK);
    }
    pt_engine_close(&engine);
    qsort(l->ranges, l->count, sizeof *l->ranges, by_value);
    pt_calibration calibration = {.method = "minmax",
                                  .tiles = count,
                                  .precision = "int8",
                                  .ranges = l->ranges,
                                  .range_count = l->count};
    pt_status status = pt_model_write_calibrated(path, &calibration, path);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    for (size_t i = 0; i < l->count; i++) {
        free((char *)l->ranges[i].value);
    }
    free(l);
}

/* A precision, and how far the maps may be from those in floats: by rounding where only floats are before
 * them. */
#define ROUNDING 1e-5

typedef struct mix {
    const char *precision;
    double c, p, rpn;
} mix;

/* Measured: up to 0.045 with bytes everywhere. */
static void test_bytes(void **state)
{
    (void)state;
    static const mix mixes[] = {
        {"int8", .08, .08, .08},
        {"int8,mask=fp32,rpn.head.conv.0.0=fp32", .08, .08, .08},
        {"int8,rpn=fp32", .08, .08, .08},
        {"int8,backbone=fp32", ROUNDING, .08, .08},
        {"fp32,rpn=int8,box=int8", ROUNDING, .08, .08}, /* P6, pooled from converted P5 */
        {"fp32,box=int8", ROUNDING, ROUNDING, ROUNDING}};
    tiny_image images[2] = {tiny_make_image(96, 70, 22), tiny_make_image(128, 64, 23)};
    for (int kind = TINY_MOBILENET; kind <= TINY_RESNET; kind++) {
        char *path = tiny_model((tiny_kind)kind);
        calibrate(path, images, 2);
        pt_engine *engine = open_engine(path, "fp32", NULL);
        outcome wanted = infer(engine, &images[0].image);
        pt_engine_close(&engine);
        for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++) {
            engine = open_engine(path, mixes[i].precision, i % 2 ? "add,activation" : NULL);
            outcome got = infer(engine, &images[0].image);
            double c = map_error(&wanted, &got, "C"), p = map_error(&wanted, &got, "P"),
                   rpn = map_error(&wanted, &got, "rpn");
            if (!(c <= mixes[i].c && p <= mixes[i].p && rpn <= mixes[i].rpn)) {
                fail_msg("%s: C differs by %g, P by %g, the RPN by %g", mixes[i].precision, c, p, rpn);
            }
            assert_true(got.count > 0);
            forget(&got);
            pt_engine_close(&engine);
        }
        forget(&wanted);
        unlink(path);
        free(path);
    }
    free(images[0].pixels);
    free(images[1].pixels);
}

static void assert_same_tables(const tables *a, const tables *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const table *t = &a->items[i], *u = &b->items[i];
        assert_string_equal(t->name, u->name);
        assert_true(t->rows == u->rows && t->columns == u->columns);
        if (memcmp(t->data, u->data, t->rows * t->columns * sizeof *t->data) != 0) {
            fail_msg("%s %d: backends differ", t->name, t->level);
        }
    }
}

/* In bytes every backend computes the same numbers, to the last bit: backbone to masks. */
static void test_backends_agree(void **state)
{
    (void)state;
    tiny_image t = tiny_make_image(90, 70, 24);
    for (int kind = TINY_MOBILENET; kind <= TINY_RESNET; kind++) {
        char *path = tiny_model((tiny_kind)kind);
        calibrate(path, &t, 1);
        pt_engine *engine = open_engine(path, "auto", NULL); /* which the file says is int8 */
        assert_string_equal(pt_engine_precision(engine), "int8");
        outcome wanted = infer(engine, &t.image);
        pt_engine_close(&engine);
        for (const char *const *name = pt_backend_names(); *name; name++) {
            engine = open_backend(path, "int8", NULL, *name);
            outcome got = infer(engine, &t.image);
            assert_same_tables(&wanted.seen, &got.seen);
            forget(&got);
            pt_engine_close(&engine);
        }
        forget(&wanted);
        unlink(path);
        free(path);
    }
    free(t.pixels);
}

static void test_not_calibrated(void **state)
{
    (void)state;
    char *path = tiny_model(TINY_MOBILENET);
    pt_engine_options options = pt_engine_defaults();
    options.precision = "int8";
    pt_engine *engine = NULL;
    pt_status status = pt_engine_open(path, &options, &engine);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, "pantile calibrate"));
    options.precision = "auto";
    assert_int_equal(pt_engine_open(path, &options, &engine).code, PT_OK);
    assert_string_equal(pt_engine_precision(engine), "fp32");
    pt_engine_close(&engine);
    options.without_passes = "abacus";
    assert_int_equal(pt_engine_open(path, &options, &engine).code, PT_E_USAGE);
    unlink(path);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_backends_agree),
        cmocka_unit_test(test_not_calibrated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
