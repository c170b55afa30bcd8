/* Images side by side, what the engine says of itself, and who may watch. */
#include "engine/engine.h"
#include "engine/graph/tap.h"
#include "tests/engine/network/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *model;

static int make_model(void **state)
{
    (void)state;
    model = tiny_model(TINY_MOBILENET);
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    unlink(model);
    free(model);
    return 0;
}

static pt_engine *open_streams(int threads, int streams)
{
    pt_engine_options options = pt_engine_defaults();
    options.threads = threads;
    options.streams = streams;
    options.score_threshold = .05f;
    options.max_detections = 20;
    pt_engine *engine = NULL;
    pt_status status = pt_engine_open(model, &options, &engine);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    return engine;
}

/* Any number of streams gives the bytes of one, for batches smaller and larger than it. */
static void test_streams_give_the_same_bytes(void **state)
{
    (void)state;
    enum { IMAGES = 5 };
    tiny_image t[IMAGES];
    pt_image batch[IMAGES];
    for (int i = 0; i < IMAGES; i++) {
        t[i] = tiny_make_image(75, 50, 20 + (uint64_t)i);
        batch[i] = t[i].image;
    }
    pt_engine *one = open_streams(2, 1);
    assert_int_equal(pt_engine_streams(one), 1);
    for (int streams = 2; streams <= 3; streams++) {
        pt_engine *many = open_streams(2, streams);
        assert_int_equal(pt_engine_streams(many), streams);
        assert_int_equal(pt_engine_threads(many), streams); /* each has one at least */
        for (size_t count = 1; count <= IMAGES; count += 2) {
            assert_int_equal(pt_engine_infer(one, batch, count).code, PT_OK);
            assert_int_equal(pt_engine_infer(many, batch, count).code, PT_OK);
            tiny_assert_same(one, many, count);
        }
        pt_engine_close(&many);
    }
    pt_engine_close(&one);
    for (int i = 0; i < IMAGES; i++) {
        free(t[i].pixels);
    }
}

static void test_bad_options(void **state)
{
    (void)state;
    pt_engine *engine = NULL;
    pt_engine_options options = pt_engine_defaults();
    options.streams = -1;
    assert_int_equal(pt_engine_open(model, &options, &engine).code, PT_E_USAGE);
    options.streams = 100000;
    assert_int_equal(pt_engine_open(model, &options, &engine).code, PT_E_USAGE);
    options = pt_engine_defaults();
    options.precision = "int4";
    assert_int_equal(pt_engine_open(model, &options, &engine).code, PT_E_USAGE);
    options.precision = "int8"; /* the model is not calibrated */
    pt_status status = pt_engine_open(model, &options, &engine);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, "pantile calibrate"));
    assert_null(engine);
}

static const pt_layer_report *find_layer(const pt_layer_report *layers, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(layers[i].name, name) == 0) {
            return &layers[i];
        }
    }
    fail_msg("no layer is named %s", name);
    return NULL;
}

static void test_layers(void **state)
{
    (void)state;
    pt_engine *engine = open_streams(1, 1);
    assert_string_equal(pt_engine_precision(engine), "fp32");
    const pt_layer_report *layers;
    size_t count, found;
    assert_int_equal(pt_engine_layers(engine, &layers, &count).code, PT_E_USAGE);
    tiny_image t = tiny_make_image(75, 50, 30);
    pt_engine_time_layers(engine, true);
    pt_image batch[2] = {t.image, t.image};
    assert_int_equal(pt_engine_infer(engine, batch, 2).code, PT_OK);
    assert_int_equal(pt_engine_layers(engine, &layers, &count).code, PT_OK);
    const pt_detection *items;
    assert_int_equal(pt_engine_detections(engine, 1, &items, &found).code, PT_OK);
    double flops = 0;
    for (size_t i = 0; i < count; i++) {
        flops += layers[i].flops;
        assert_true(layers[i].runs >= 2 && layers[i].seconds >= 0);
        assert_true(layers[i].h > 0 && layers[i].w > 0 && layers[i].c > 0);
        assert_true(strlen(layers[i].kind) > 0 && strlen(layers[i].component) > 0);
    }
    assert_true(flops > 1e6);
    assert_string_equal(layers[0].kind, "image");
    assert_int_equal(layers[0].w, 96); /* padded */
    const pt_layer_report *stem = find_layer(layers, count, "backbone.body.0.0");
    assert_string_equal(stem->kind, "conv 3x3");
    assert_true(stem->h == 32 && stem->w == 48 && stem->weight_bytes > 0);
    assert_string_equal(stem->component, "backbone");
    const pt_layer_report *logits = find_layer(layers, count, "roi_heads.mask_predictor.mask_fcn_logits");
    assert_true(logits->n == (int)found && found > 0);
    pt_engine_time_layers(engine, false);
    assert_int_equal(pt_engine_infer(engine, &t.image, 1).code, PT_OK);
    assert_int_equal(pt_engine_layers(engine, &layers, &count).code, PT_OK);
    assert_true(layers[0].runs == 0);
    free(t.pixels);
    pt_engine_close(&engine);
}

static void test_memory_use(void **state)
{
    (void)state;
    pt_engine *one = open_streams(1, 1), *two = open_streams(2, 2);
    pt_engine_memory before = pt_engine_memory_use(one);
    assert_true(before.weights > 0 && before.arena == 0 && before.unshared == 0);
    tiny_image t = tiny_make_image(75, 50, 30);
    pt_image batch[2] = {t.image, t.image};
    assert_int_equal(pt_engine_infer(one, batch, 2).code, PT_OK);
    assert_int_equal(pt_engine_infer(two, batch, 2).code, PT_OK);
    pt_engine_memory use = pt_engine_memory_use(one), both = pt_engine_memory_use(two);
    assert_true(use.arena > 0 && use.arena < use.unshared && use.plan_seconds > 0);
    assert_true(use.operators >= use.layers - 6 && use.layers > 50); /* six steps are no operators */
    assert_true(both.weights == use.weights && both.arena == 2 * use.arena);
    free(t.pixels);
    pt_engine_close(&one);
    pt_engine_close(&two);
}

static void test_progress_of_streams(void **state)
{
    (void)state;
    pt_engine *one = open_streams(1, 1), *two = open_streams(2, 2);
    tiny_image t = tiny_make_image(75, 50, 30);
    pt_image batch[4] = {t.image, t.image, t.image, t.image};
    assert_int_equal(pt_engine_infer(one, batch, 4).code, PT_OK);
    assert_int_equal(pt_engine_infer(two, batch, 4).code, PT_OK);
    assert_true(pt_engine_progress(one) > 0 && pt_engine_progress(one) == pt_engine_progress(two));
    free(t.pixels);
    pt_engine_close(&one);
    pt_engine_close(&two);
}

typedef struct seen {
    int images, answers, masks;
} seen;

static void observe(void *user, const char *value, const pt_map *map)
{
    seen *s = user;
    assert_true(map->data && map->n >= 0);
    s->images += strcmp(value, "image") == 0;
    s->answers += strcmp(value, "roi_heads.box_head.fc7") == 0;
    s->masks += strcmp(value, "roi_heads.mask_predictor.conv5_mask") == 0;
}

/* The first stream computes everything while somebody watches. */
static void test_observer(void **state)
{
    (void)state;
    pt_engine *engine = open_streams(2, 2);
    tiny_image t = tiny_make_image(75, 50, 30);
    pt_image batch[4] = {t.image, t.image, t.image, t.image};
    seen s = {0};
    pt_engine_observe(engine, observe, &s);
    assert_int_equal(pt_engine_infer(engine, batch, 4).code, PT_OK);
    assert_true(s.images == 4 && s.answers == 4 && s.masks == 4);
    pt_engine_observe(engine, NULL, NULL);
    assert_int_equal(pt_engine_infer(engine, batch, 4).code, PT_OK);
    assert_true(s.images == 4);
    free(t.pixels);
    pt_engine_close(&engine);
}

/* No proposals, then: no head runs, nothing is found. */
static void test_nothing_proposed(void **state)
{
    (void)state;
    char *path = tiny_model(TINY_BLIND);
    pt_engine *engine = NULL;
    assert_int_equal(pt_engine_open(path, NULL, &engine).code, PT_OK);
    tiny_image t = tiny_make_image(75, 50, 30);
    assert_int_equal(pt_engine_infer(engine, &t.image, 1).code, PT_OK);
    const pt_detection *items;
    const pt_layer_report *layers;
    size_t count;
    assert_int_equal(pt_engine_detections(engine, 0, &items, &count).code, PT_OK);
    assert_int_equal(count, 0);
    assert_int_equal(pt_engine_layers(engine, &layers, &count).code, PT_OK);
    const pt_layer_report *fc7 = find_layer(layers, count, "roi_heads.box_head.fc7");
    assert_true(fc7->n == 0 && fc7->flops == 0 && fc7->weight_bytes > 0);
    free(t.pixels);
    pt_engine_close(&engine);
    unlink(path);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_give_the_same_bytes),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_memory_use),
        cmocka_unit_test(test_progress_of_streams),
        cmocka_unit_test(test_observer),
        cmocka_unit_test(test_nothing_proposed),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
