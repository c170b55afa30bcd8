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
        cmocka_unit_test(samples_large_files),
        cmocka_unit_test(reads_every_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
