/* From tiles to a calibrated model file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/calibrate/calibrate.h"
#include "engine/graph/tap.h"
#include "engine/model/calibration.h"
#include "tests/engine/network/tiny.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TILES = 3 };

static tiny_image tiles[TILES];

static int make_tiles(void **state)
{
    (void)state;
    for (int i = 0; i < TILES; i++) {
        tiles[i] =
            tiny_make_image(96 + 32 * i, 128, (uint64_t)i + 1); /* sizes differ, as at a scene's edge */
    }
    return 0;
}

static int free_tiles(void **state)
{
    (void)state;
    for (int i = 0; i < TILES; i++) {
        free(tiles[i].pixels);
    }
    return 0;
}

static void good(pt_status status)
{
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
}

static pt_calibrator *looked_at(const char *model, int threads, int count)
{
    pt_calibrator *calibrator = NULL;
    good(pt_calibrator_open(model, threads, &calibrator));
    for (int i = 0; i < count; i++) {
        good(pt_calibrator_add(calibrator, &tiles[i].image));
    }
    return calibrator;
}

static void calibrate(const char *model, int threads, pt_range_method method, const char *to)
{
    pt_calibrator *calibrator = looked_at(model, threads, TILES);
    good(pt_calibrator_write(calibrator, method, "int8", to));
    pt_calibrator_close(&calibrator);
    assert_null(calibrator);
}

static void check_same_files(const char *a, const char *b)
{
    FILE *x = fopen(a, "rb"), *y = fopen(b, "rb");
    assert_true(x && y);
    int c;
    do {
        c = getc(x);
        assert_int_equal(c, getc(y));
    } while (c != EOF);
    fclose(x);
    fclose(y);
}

/* What the engine shows, looked at without histograms. */
typedef struct ends {
    float low, high;
    double sum;
    size_t pixels;
} ends;

static void watch_stem(void *user, const char *value, const pt_map *map)
{
    ends *e = user;
    if (strcmp(value, "backbone.body.0.0") != 0) {
        return;
    }
    for (size_t i = 0; i < pt_map_count(map); i++) {
        e->low = fminf(e->low, pt_map_f32(map)[i]);
        e->high = fmaxf(e->high, pt_map_f32(map)[i]);
        e->sum += i % (size_t)map->c == 0 ? (double)pt_map_f32(map)[i] : 0;
    }
    e->pixels += pt_map_pixels(map);
}

static ends seen_of_stem(const char *model)
{
    ends e = {0};
    pt_engine *engine = NULL;
    good(pt_engine_open(model, NULL, &engine));
    pt_engine_observe(engine, watch_stem, &e);
    for (int i = 0; i < TILES; i++) {
        good(pt_engine_infer(engine, &tiles[i].image, 1));
    }
    pt_engine_close(&engine);
    return e;
}

static void test_ranges_are_those_of_the_values(void **state)
{
    (void)state;
    char *model = tiny_model(TINY_MOBILENET);
    calibrate(model, 1, PT_RANGE_MINMAX, "calibrated.safetensors");
    ends e = seen_of_stem(model);
    pt_model *written = NULL;
    good(pt_model_open("calibrated.safetensors", &written));
    const pt_calibration *c = pt_model_calibration(written);
    assert_string_equal(c->method, "minmax");
    assert_string_equal(c->precision, "int8");
    assert_int_equal(c->tiles, TILES);
    assert_true(c->range_count > 60);
    const pt_range *stem = pt_calibration_find(c, "backbone.body.0.0");
    assert_true(stem->low == e.low && stem->high == e.high && stem->channels == 3);
    assert_true(fabs((double)stem->mean[0] - e.sum / (double)e.pixels) < 1e-5);
    assert_int_equal(pt_calibration_find(c, "image")->channels, 3);
    pt_model_close(&written);
    unlink("calibrated.safetensors");
    unlink(model);
    free(model);
}

/* The bytes depend on the tiles alone; a calibrated file calibrates like the one it was made of. */
static void test_same_bytes(void **state)
{
    (void)state;
    static const tiny_kind kinds[] = {TINY_MOBILENET, TINY_RESNET};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char *model = tiny_model(kinds[i]);
        calibrate(model, 1, PT_RANGE_KL, "one.safetensors");
        calibrate(model, 3, PT_RANGE_KL, "three.safetensors");
        check_same_files("one.safetensors", "three.safetensors");
        calibrate("one.safetensors", 2, PT_RANGE_KL, "one.safetensors");
        check_same_files("one.safetensors", "three.safetensors");
        unlink(model);
        free(model);
    }
    unlink("one.safetensors");
    unlink("three.safetensors");
}

static void test_methods_nest(void **state)
{
    (void)state;
    char *model = tiny_model(TINY_RESNET);
    pt_calibrator *calibrator = looked_at(model, 1, TILES);
    pt_model *wide = NULL, *narrow = NULL;
    good(pt_calibrator_write(calibrator, PT_RANGE_MINMAX, "int8", "wide.safetensors"));
    good(pt_model_open("wide.safetensors", &wide));
    for (int method = PT_RANGE_PERCENTILE; method <= PT_RANGE_MSE; method++) {
        good(
            pt_calibrator_write(calibrator, (pt_range_method)method, "int8,mask=fp32", "narrow.safetensors"));
        good(pt_model_open("narrow.safetensors", &narrow));
        const pt_calibration *all = pt_model_calibration(wide), *less = pt_model_calibration(narrow);
        assert_string_equal(less->precision, "int8,mask=fp32");
        assert_int_equal(less->range_count, pt_calibrator_values(calibrator));
        int narrower = 0;
        for (size_t i = 0; i < less->range_count; i++) {
            assert_true(less->ranges[i].low >= all->ranges[i].low);
            assert_true(less->ranges[i].high <= all->ranges[i].high);
            narrower += less->ranges[i].high < all->ranges[i].high;
        }
        assert_true(narrower > 0);
        pt_model_close(&narrow);
    }
    pt_model_close(&wide);
    pt_calibrator_close(&calibrator);
    unlink("wide.safetensors");
    unlink("narrow.safetensors");
    unlink(model);
    free(model);
}

/* Activations that overflow leave what is finite behind, and a file that can be read. */
static void test_overflow(void **state)
{
    (void)state;
    char *model = tiny_model(TINY_EXPLODING);
    calibrate(model, 1, PT_RANGE_KL, "overflow.safetensors");
    pt_model *written = NULL;
    good(pt_model_open("overflow.safetensors", &written));
    pt_model_close(&written);
    unlink("overflow.safetensors");
    unlink(model);
    free(model);
}

static void test_refusals(void **state)
{
    (void)state;
    char *model = tiny_model(TINY_RESNET);
    pt_calibrator *calibrator = NULL;
    assert_int_equal(pt_calibrator_open(NULL, 1, &calibrator).code, PT_E_USAGE);
    assert_int_equal(pt_calibrator_open("no_such.safetensors", 1, &calibrator).code, PT_E_INPUT);
    assert_null(calibrator);
    good(pt_calibrator_open(model, 1, &calibrator));
    assert_string_equal(pt_calibrator_model(calibrator)->name, "tiny");
    assert_int_equal(pt_calibrator_write(calibrator, PT_RANGE_KL, "int8", "out.safetensors").code,
                     PT_E_USAGE);
    pt_image none = tiles[0].image;
    none.width = 0;
    assert_int_equal(pt_calibrator_add(calibrator, &none).code, PT_E_USAGE);
    good(pt_calibrator_add(calibrator, &tiles[0].image)); /* goes on after it */
    assert_int_equal(pt_calibrator_write(calibrator, PT_RANGE_KL, "int4", "out.safetensors").code,
                     PT_E_USAGE);
    assert_int_equal(pt_calibrator_write(calibrator, PT_RANGE_KL, "int8", "no/folder").code, PT_E_WRITE);
    assert_int_not_equal(access("out.safetensors", F_OK), 0);
    pt_calibrator_close(&calibrator);
    pt_calibrator_close(&calibrator);
    unlink(model);
    free(model);
}

static pt_status calibrate_once(const char *model)
{
    pt_calibrator *calibrator = NULL;
    PT_TRY(pt_calibrator_open(model, 1, &calibrator));
    pt_status status = pt_calibrator_add(calibrator, &tiles[0].image);
    if (status.code == PT_OK) {
        status = pt_calibrator_write(calibrator, PT_RANGE_MINMAX, "int8", "memory.safetensors");
    }
    pt_calibrator_close(&calibrator);
    return status;
}

/* Wherever memory runs out it is said; every seventh place, as there are very many. */
static void test_no_memory(void **state)
{
    (void)state;
    char *model = tiny_model(TINY_RESNET);
    bool done = false;
    for (long n = 0; !done; n += 7) {
        pt_alloc_fail_after(n);
        pt_status status = calibrate_once(model);
        pt_alloc_fail_after(-1);
        done = status.code == PT_OK;
        assert_true(done || status.code == PT_E_NOMEM);
        assert_true(done == (access("memory.safetensors", F_OK) == 0));
    }
    unlink("memory.safetensors");
    unlink(model);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_are_those_of_the_values),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_methods_nest),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_tiles, free_tiles);
}
