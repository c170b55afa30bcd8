/* Sample types and how their values become bytes. */
#include "raster.h"

#include <cpl_vsi.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static double wide(int band, int x, int y)
{
    return 1000.0 * band + 10 * x + (y == 0 ? 50000 : 0); /* the first row is an outlier: 1% */
}

static void stretches_by_percentiles(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/wide.tif", 101, 100, 3);
    r.type = GDT_UInt16;
    r.value = wide;
    raster_make(&r);
    pt_scene *scene = scene_open(r.path, NULL);
    const pt_scene_info *info = pt_scene_describe(scene);
    for (int k = 0; k < 3; k++) {
        double lo = 1000.0 * (k + 1) + 20,
               hi = 1000.0 * (k + 1) + 990; /* 2% of columns; 98% with 1% outliers */
        assert_true(fabs(info->range_lo[k] - lo) <= 10 && fabs(info->range_hi[k] - hi) <= 10);
    }
    pt_window window = scene_read(scene, (pt_rect){0, 0, 101, 100});
    double lo = info->range_lo[1], hi = info->range_hi[1];
    for (int x = 0; x < 101; x++) {
        double v = (2000 + 10 * x - lo) * 255 / (hi - lo);
        v = v < 0 ? 0 : v > 255 ? 255 : v;
        assert_true(fabs(window.rgb[3 * (50 * 101 + x) + 1] - v) <= 0.5);
        assert_int_equal(window.rgb[3 * x], 255);
    }
    pt_window_fini(&window);
    pt_scene_close(&scene);

    pt_scene_options options = pt_scene_defaults();
    options.has_range = true;
    options.range_lo = 1000;
    options.range_hi = 2000;
    scene = scene_open(r.path, &options);
    window = scene_read(scene, (pt_rect){50, 50, 1, 1});
    assert_int_equal(window.rgb[0], 128);
    assert_int_equal(window.rgb[1], 255);
    pt_window_fini(&window);
    pt_scene_close(&scene);
    options.range_hi = 1000;
    assert_status(try_open(r.path, &options), PT_E_USAGE, "1000,1000", "lower value first");
}

/* A worker takes the range that the coordinator found; where nothing is sampled it changes nothing. */
static void takes_a_known_range(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/known.tif", 101, 100, 3);
    r.type = GDT_UInt16;
    r.value = wide;
    raster_make(&r);
    pt_scene *first = scene_open(r.path, NULL);
    const pt_scene_info *found = pt_scene_describe(first);
    pt_scene_options options = pt_scene_defaults();
    options.has_known_range = true;
    memcpy(options.known_lo, found->range_lo, sizeof options.known_lo);
    memcpy(options.known_hi, found->range_hi, sizeof options.known_hi);
    pt_scene *second = scene_open(r.path, &options);
    pt_window a = scene_read(first, (pt_rect){0, 0, 101, 100}), b = scene_read(second, a.rect);
    assert_memory_equal(a.rgb, b.rgb, 3 * 101 * 100);
    pt_window_fini(&b);
    pt_scene_close(&second);
    options.known_lo[1] = 2500;
    second = scene_open(r.path, &options);
    assert_true(pt_scene_describe(second)->range_lo[1] == 2500);
    b = scene_read(second, a.rect);
    assert_int_equal(b.rgb[3 * 5050 + 1], 0); /* 2500, column 0 of row 50 */
    assert_true(a.rgb[3 * 5080 + 1] > b.rgb[3 * 5080 + 1]);
    pt_window_fini(&a);
    pt_window_fini(&b);
    pt_scene_close(&second);
    pt_scene_close(&first);
    options.known_hi[2] = options.known_lo[2];
    assert_status(try_open(r.path, &options), PT_E_INPUT, r.path, "known range");
    raster bytes = utm_raster("/vsimem/known8.tif", 20, 20, 3);
    raster_make(&bytes);
    first = scene_open(bytes.path, &options);
    assert_true(pt_scene_describe(first)->range_lo[0] == 0 && pt_scene_describe(first)->range_hi[0] == 255);
    pt_scene_close(&first);
}

/* A file larger than the sample has its range from a lattice, and the same with any overview below it. */
static void samples_large_files(void **state)
{
    (void)state;
    raster r = {.path = "/vsimem/large16.tif",
                .width = 5000,
                .height = 300,
                .bands = 1,
                .type = GDT_Int16,
                .value = raster_ramp,
                .options = {"TILED=YES"}};
    raster_make(&r);
    pt_scene *scene = scene_open(r.path, NULL);
    const pt_scene_info *info = pt_scene_describe(scene);
    assert_true(fabs(info->range_lo[0] - 200) < 400 && fabs(info->range_hi[0] - 9800) < 700);
    pt_scene_close(&scene);
    VSIUnlink(r.path);
}

static void reads_every_type(void **state)
{
    (void)state;
    static const GDALDataType types[] = {GDT_UInt16, GDT_Int16,   GDT_UInt32,
                                         GDT_Int32,  GDT_Float32, GDT_Float64};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        raster r = utm_raster("/vsimem/type.tif", 16, 16, 3);
        r.type = types[i];
        raster_make(&r);
        pt_scene_options options = pt_scene_defaults();
        options.has_range = true;
        options.range_hi = 255;
        pt_scene *scene = scene_open(r.path, &options);
        assert_string_equal(pt_scene_describe(scene)->type, GDALGetDataTypeName(types[i]));
        pt_window window = scene_read(scene, (pt_rect){4, 5, 1, 1});
        assert_int_equal(window.rgb[1], raster_pattern(2, 4, 5));
        pt_window_fini(&window);
        pt_scene_close(&scene);
    }
}

int main(void)
{
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stretches_by_percentiles),
        cmocka_unit_test(takes_a_known_range),
        cmocka_unit_test(samples_large_files),
        cmocka_unit_test(reads_every_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
