/* Whole networks when memory runs out: at any allocation of opening and of inferring it is said, nothing is
 * lost, and the engine goes on. Arguments: the folder of the bundled models. */
#include "engine/calibrate/calibrate.h"
#include "engine/engine.h"
#include "tests/engine/network/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *models;

static pt_engine_options options_of(const char *precision, int streams)
{
    pt_engine_options options = pt_engine_defaults();
    options.threads = streams;
    options.streams = streams;
    options.precision = precision;
    options.score_threshold = .01f;
    options.max_proposals = 50;
    options.max_detections = 20;
    return options;
}

static pt_engine *open_engine(const char *path, const pt_engine_options *options)
{
    pt_engine *engine = NULL;
    pt_status status = pt_engine_open(path, options, &engine);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    return engine;
}

/* Every step-th allocation of an opening fails, and all after it; how many there are. */
static long open_without_memory(const char *path, const pt_engine_options *options, long step)
{
    pt_engine *engine = NULL;
    long before = pt_alloc_count();
    engine = open_engine(path, options);
    long count = pt_alloc_count() - before;
    pt_engine_close(&engine);
    for (long n = 0; n < count; n += step) {
        pt_alloc_fail_after(n);
        pt_status status = pt_engine_open(path, options, &engine);
        pt_alloc_fail_after(-1);
        assert_int_equal(status.code, PT_E_NOMEM);
        assert_null(engine);
    }
    return count;
}

/* Each try is of a size that the engine has not seen and that is larger than those before it, so that all of
 * its memory is asked for anew; then the same image again, with memory. */
static long infer_without_memory(const char *path, const pt_engine_options *options, size_t batch)
{
    pt_engine *engine = open_engine(path, options), *reference = open_engine(path, options);
    pt_image images[2];
    const pt_detection *items;
    size_t count;
    long n = 0;
    for (bool enough = false; !enough; n++) {
        tiny_image t = tiny_make_image(60 + 32 * (int)n, 50, (uint64_t)n + 1);
        images[0] = images[1] = t.image;
        pt_alloc_fail_after(n);
        pt_status status = pt_engine_infer(engine, images, batch);
        pt_alloc_fail_after(-1);
        enough = status.code == PT_OK;
        assert_true(enough || status.code == PT_E_NOMEM);
        assert_int_equal(pt_engine_detections(engine, 0, &items, &count).code, enough ? PT_OK : PT_E_USAGE);
        assert_int_equal(pt_engine_infer(engine, images, batch).code, PT_OK);
        assert_int_equal(pt_engine_infer(reference, images, batch).code, PT_OK);
        tiny_assert_same(engine, reference, batch);
        free(t.pixels);
    }
    pt_engine_close(&engine);
    pt_engine_close(&reference);
    return n;
}

static void calibrate(const char *path)
{
    pt_calibrator *calibrator = NULL;
    tiny_image t = tiny_make_image(96, 64, 1);
    assert_int_equal(pt_calibrator_open(path, 1, &calibrator).code, PT_OK);
    assert_int_equal(pt_calibrator_add(calibrator, &t.image).code, PT_OK);
    assert_int_equal(pt_calibrator_write(calibrator, PT_RANGE_MINMAX, "int8", path).code, PT_OK);
    pt_calibrator_close(&calibrator);
    free(t.pixels);
}

static void test_small_networks(void **state)
{
    (void)state;
    char *path = tiny_model(TINY_MOBILENET);
    pt_engine_options options = options_of("fp32", 1);
    assert_true(open_without_memory(path, &options, 1) > 100);
    assert_true(infer_without_memory(path, &options, 1) > 3);
    calibrate(path);
    options = options_of("int8", 2);
    assert_true(open_without_memory(path, &options, 7) > 1000);
    assert_true(infer_without_memory(path, &options, 2) > 6);
    unlink(path);
    free(path);
}

static void test_bundled_model(void **state)
{
    (void)state;
    char path[1024];
    snprintf(path, sizeof path, "%s/buildings_mnv2_fpn.safetensors", models);
    pt_engine_options options = options_of("auto", 1);
    assert_true(open_without_memory(path, &options, 53) >
                500); /* a prime: no kind of allocation is passed over */
    assert_true(infer_without_memory(path, &options, 1) > 3);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    models = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_networks),
        cmocka_unit_test(test_bundled_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
