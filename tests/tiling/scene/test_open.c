/* What opening tells: bands, type, ground size, grid, CRS. */
#include "raster.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const double utm[6] = {500000, 0.5, 0, 5000000, 0, -0.5};

static void describes_a_plain_file(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/plain.tif", 100, 60, 3);
    raster_make(&r);
    pt_scene *scene = scene_open(r.path, NULL);
    const pt_scene_info *info = pt_scene_describe(scene);
    assert_string_equal(info->path, r.path);
    assert_string_equal(info->driver, "GTiff");
    assert_string_equal(info->type, "Byte");
    assert_int_equal(info->native_width, 100);
    assert_int_equal(info->height, 60);
    assert_int_equal(info->band_count, 3);
    assert_int_equal(info->bands[2], 3);
    assert_true(info->has_crs);
    assert_false(info->has_mask);
    /* UTM's scale on the central meridian is 0.9996: the ground is larger than the map. */
    assert_true(fabs(info->native_gsd_x - 0.5 / 0.9996) < 1e-4);
    assert_true(fabs(info->native_gsd_y - 0.5 / 0.9996) < 1e-4);
    assert_true(info->scale_x == 1 && info->scale_y == 1);
    assert_memory_equal(info->georef.transform, utm, sizeof utm);
    assert_non_null(strstr(info->georef.wkt, "PROJCRS"));
    assert_true(pt_rect_equal(info->area, (pt_rect){0, 0, 100, 60}));
    pt_scene_close(&scene);
    pt_scene_close(&scene);
}

static void measures_the_ground(void **state)
{
    (void)state;
    /* At 60 degrees north a degree of longitude is half as long as one of latitude, and EPSG:3857 doubles
     * both. */
    raster degrees = {.path = "/vsimem/degrees.tif",
                      .width = 100,
                      .height = 100,
                      .bands = 3,
                      .epsg = 4326,
                      .transform = {10, 1e-5, 0, 60 + 50e-5, 0, -1e-5}};
    raster_make(&degrees);
    pt_scene *scene = scene_open(degrees.path, NULL);
    const pt_scene_info *info = pt_scene_describe(scene);
    assert_true(fabs(info->native_gsd_x - 0.5580) <
                1e-3); /* 111412.8 cos(60) - 93.5 cos(180) + ... m a degree */
    assert_true(fabs(info->native_gsd_y - 1.1141) < 1e-3);
    pt_scene_close(&scene);

    raster mercator = {.path = "/vsimem/mercator.tif",
                       .width = 100,
                       .height = 100,
                       .bands = 3,
                       .epsg = 3857,
                       .transform = {1113194.9, 1, 0, 8399737.9, 0, -1}};
    raster_make(&mercator);
    scene = scene_open(mercator.path, NULL);
    info = pt_scene_describe(scene);
    assert_true(fabs(info->native_gsd_x - 0.5) < 0.005);
    assert_true(fabs(info->native_gsd_y - 0.5) < 0.005);
    pt_scene_close(&scene);
}

static void settles_the_grid(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/grid.tif", 1000, 600, 3);
    raster_make(&r);
    pt_scene_options options = pt_scene_defaults();
    options.model_gsd = 0.52; /* within 10% of 0.5002: as it is */
    pt_scene *scene = scene_open(r.path, &options);
    assert_int_equal(pt_scene_describe(scene)->width, 1000);
    pt_scene_close(&scene);

    options.model_gsd = 1.5;
    scene = scene_open(r.path, &options);
    const pt_scene_info *info = pt_scene_describe(scene);
    assert_int_equal(info->width, 333); /* 1000 * 0.5002 / 1.5 = 333.47 */
    assert_int_equal(info->height, 200);
    assert_true(info->scale_x == 1000.0 / 333 && info->scale_y == 3.0);
    assert_true(fabs(info->gsd - 1.5) < 0.002);
    /* The corners stay where they are: the mapping is exactly affine. */
    const double *t = info->georef.transform;
    assert_true(fabs(t[0] + 333 * t[1] - (utm[0] + 1000 * utm[1])) < 1e-6);
    assert_true(fabs(t[3] + 200 * t[5] - (utm[3] + 600 * utm[5])) < 1e-6);
    pt_scene_close(&scene);

    options.gsd_mode = PT_GSD_NATIVE;
    scene = scene_open(r.path, &options);
    assert_int_equal(pt_scene_describe(scene)->width, 1000);
    pt_scene_close(&scene);

    options.gsd_mode = PT_GSD_VALUE;
    options.gsd = 1e9; /* coarser than the scene is wide */
    scene = scene_open(r.path, &options);
    assert_int_equal(pt_scene_describe(scene)->width, 1);
    pt_window window = scene_read(scene, (pt_rect){0, 0, 1, 1});
    assert_int_equal(window.valid_count, 1);
    pt_window_fini(&window);
    pt_scene_close(&scene);

    options.gsd = 0;
    assert_status(try_open(r.path, &options), PT_E_USAGE, "GSD of 0", "positive");
    options.gsd = NAN;
    assert_status(try_open(r.path, &options), PT_E_USAGE, "GSD", "positive");
    options.gsd = 1e-9;
    assert_status(try_open(r.path, &options), PT_E_INPUT, "grid.tif", "coarser --gsd");
}

static void follows_rotation(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/rotated.tif", 64, 32, 3);
    const double rotated[6] = {500000,  0.4, 0.3,
                               5000000, 0.3, -0.4}; /* 0.5 m pixels turned by 36.9 degrees */
    memcpy(r.transform, rotated, sizeof rotated);
    raster_make(&r);
    pt_scene *scene = scene_open(r.path, NULL);
    const pt_scene_info *info = pt_scene_describe(scene);
    assert_true(info->has_crs);
    assert_true(fabs(info->native_gsd_x - 0.5 / 0.9996) < 1e-4);
    assert_memory_equal(info->georef.transform, rotated, sizeof rotated);
    pt_scene_close(&scene);
}

static void needs_no_crs(void **state)
{
    (void)state;
    raster r = {.path = "/vsimem/nocrs.tif", .width = 1, .height = 1, .bands = 1};
    raster_make(&r);
    pt_scene_options options = pt_scene_defaults();
    options.model_gsd = 0.2;
    pt_scene *scene = scene_open(r.path, &options);
    const pt_scene_info *info = pt_scene_describe(scene);
    const double pixels[6] = {0, 1, 0, 0, 0, 1};
    assert_false(info->has_crs);
    assert_memory_equal(info->georef.transform, pixels, sizeof pixels);
    assert_true(info->gsd == 0 && info->width == 1 && info->height == 1);
    pt_window window = scene_read(scene, (pt_rect){0, 0, 1, 1});
    assert_int_equal(window.valid_count, 1);
    pt_window_fini(&window);
    pt_scene_close(&scene);

    options.gsd_mode = PT_GSD_VALUE;
    options.gsd = 0.3;
    assert_status(try_open(r.path, &options), PT_E_INPUT, "nocrs.tif", "--gsd native");
    options = pt_scene_defaults();
    options.require_crs = true;
    assert_status(try_open(r.path, &options), PT_E_INPUT, "nocrs.tif", "gdal_edit.py -a_srs");
}

/* Control points do not make an affine transform. */
static void warns_of_control_points(void **state)
{
    (void)state;
    raster r = {.path = "/vsimem/gcps.tif", .width = 20, .height = 20, .bands = 1};
    GDALDatasetH dataset = raster_create(&r);
    GDAL_GCP points[3];
    GDALInitGCPs(3, points);
    for (int i = 0; i < 3; i++) {
        points[i].dfGCPPixel = i == 1 ? 20 : 0;
        points[i].dfGCPLine = i == 2 ? 20 : 0;
        points[i].dfGCPX = 10 + points[i].dfGCPPixel;
        points[i].dfGCPY = 50 - points[i].dfGCPLine;
    }
    assert_int_equal(GDALSetGCPs(dataset, 3, points, ""), CE_None);
    GDALClose(dataset);
    GDALDeinitGCPs(3, points);
    pt_scene_options options = pt_scene_defaults();
    pt_scene *scene = scene_open(r.path, &options);
    assert_false(pt_scene_describe(scene)->has_crs);
    pt_scene_close(&scene);
    options.require_crs = true;
    assert_status(try_open(r.path, &options), PT_E_INPUT, "gcps.tif", "--require-crs");
}

static void chooses_bands(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/bands.tif", 8, 8, 5);
    GDALDatasetH dataset = raster_create(&r);
    GDALSetRasterColorInterpretation(GDALGetRasterBand(dataset, 1), GCI_Undefined);
    GDALSetRasterColorInterpretation(GDALGetRasterBand(dataset, 2), GCI_BlueBand);
    GDALSetRasterColorInterpretation(GDALGetRasterBand(dataset, 3), GCI_GreenBand);
    GDALSetRasterColorInterpretation(GDALGetRasterBand(dataset, 4), GCI_RedBand);
    GDALClose(dataset);
    pt_scene_options options = pt_scene_defaults();
    pt_scene *scene = scene_open(r.path, &options);
    assert_int_equal(pt_scene_describe(scene)->bands[0], 4);
    assert_int_equal(pt_scene_describe(scene)->bands[2], 2);
    pt_scene_close(&scene);

    options.bands[0] = 5;
    options.bands[1] = 1;
    options.bands[2] = 1;
    scene = scene_open(r.path, &options);
    pt_window window = scene_read(scene, (pt_rect){3, 2, 1, 1});
    assert_int_equal(window.rgb[0], raster_pattern(5, 3, 2));
    assert_int_equal(window.rgb[2], raster_pattern(1, 3, 2));
    pt_window_fini(&window);
    pt_scene_close(&scene);

    options.bands[1] = 6;
    assert_status(try_open(r.path, &options), PT_E_INPUT, "no band 6", "--bands");
    options.bands[1] = -1;
    assert_status(try_open(r.path, &options), PT_E_INPUT, "no band -1", "--bands");
}

static void repeats_grey(void **state)
{
    (void)state;
    raster r =
        utm_raster("/vsimem/grey.tif", 8, 8, 2); /* grey and something else: two bands make no colours */
    raster_make(&r);
    pt_scene *scene = scene_open(r.path, NULL);
    pt_window window = scene_read(scene, (pt_rect){5, 6, 1, 1});
    for (int k = 0; k < 3; k++) {
        assert_int_equal(pt_scene_describe(scene)->bands[k], 1);
        assert_int_equal(window.rgb[k], raster_pattern(1, 5, 6));
    }
    pt_window_fini(&window);
    pt_scene_close(&scene);
}

static double column(int band, int x, int y)
{
    (void)band;
    (void)y;
    return x;
}

static void expands_palettes(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/palette.tif", 4, 4, 1);
    r.value = column;
    r.options[0] = "PHOTOMETRIC=PALETTE";
    GDALDatasetH dataset = raster_create(&r);
    GDALColorTableH table = GDALCreateColorTable(GPI_RGB);
    const GDALColorEntry entries[4] = {
        {10, 20, 30, 255}, {200, 0, 0, 255}, {0, 201, 0, 255}, {0, 0, 202, 255}};
    for (int i = 0; i < 4; i++) {
        GDALSetColorEntry(table, i, &entries[i]);
    }
    GDALSetRasterColorTable(GDALGetRasterBand(dataset, 1), table);
    GDALDestroyColorTable(table);
    GDALClose(dataset);
    pt_scene *scene = scene_open(r.path, NULL);
    pt_window window = scene_read(scene, (pt_rect){0, 1, 4, 1});
    const uint8_t expected[12] = {10, 20, 30, 200, 0, 0, 0, 201, 0, 0, 0, 202};
    assert_memory_equal(window.rgb, expected, sizeof expected);
    pt_window_fini(&window);
    pt_scene_close(&scene);
}

static void refuses_bad_arguments(void **state)
{
    (void)state;
    pt_scene_options options = pt_scene_defaults();
    pt_scene *scene = NULL;
    const char *empty = "", *path = "/vsimem/plain.tif";
    assert_status(pt_scene_open(NULL, 0, &options, &scene), PT_E_USAGE, "no scene", "at least one");
    assert_status(pt_scene_open(&empty, 1, &options, &scene), PT_E_USAGE, "empty", "path");
    assert_status(pt_scene_open(&path, 1, NULL, &scene), PT_E_USAGE, "", "");
    const char *drivers[1] = {"NoSuchDriver"};
    options.drivers = drivers;
    options.driver_count = 1;
    assert_status(pt_scene_open(&path, 1, &options, &scene), PT_E_USAGE, "NoSuchDriver",
                  "gdalinfo --formats");
    assert_null(scene);
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/memory.tif", 40, 30, 3);
    r.type = GDT_UInt16;
    raster_make(&r);
    pt_scene_options options = pt_scene_defaults();
    options.model_gsd = 1;
    options.has_bbox = true;
    memcpy(options.bbox, (double[4]){500001, 4999990, 500010, 4999999}, sizeof options.bbox);
    bool done = false;
    for (long n = 0; !done; n++) {
        pt_scene *scene = NULL;
        const char *path = r.path;
        pt_alloc_fail_after(n);
        pt_status status = pt_scene_open(&path, 1, &options, &scene);
        pt_alloc_fail_after(-1);
        done = status.code == PT_OK;
        if (!done) {
            assert_int_equal(status.code, PT_E_NOMEM);
            assert_null(scene);
        }
        pt_scene_close(&scene);
        assert_true(n < 1000);
    }
}

int main(void)
{
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes_a_plain_file),
        cmocka_unit_test(measures_the_ground),
        cmocka_unit_test(settles_the_grid),
        cmocka_unit_test(follows_rotation),
        cmocka_unit_test(needs_no_crs),
        cmocka_unit_test(warns_of_control_points),
        cmocka_unit_test(chooses_bands),
        cmocka_unit_test(repeats_grey),
        cmocka_unit_test(expands_palettes),
        cmocka_unit_test(refuses_bad_arguments),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
