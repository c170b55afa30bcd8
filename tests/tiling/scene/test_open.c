/* What opening tells: bands, type, ground size, grid, CRS. */
#include "raster.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const double utm[6] = {500000, 0.5, 0, 5000000, 0, -0.5};

static raster utm_raster(const char *path, int w, int h, int bands)
{
    raster r = {.path = path, .width = w, .height = h, .bands = bands, .epsg = 32633};
    memcpy(r.transform, utm, sizeof utm);
    return r;
}

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

static void reads_native_pixels(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/native.tif", 70, 50, 3);
    raster_make(&r);
    pt_scene *scene = scene_open(r.path, NULL);
    pt_rect rect = {13, 7, 40, 31};
    pt_window window = scene_read(scene, rect);
    assert_int_equal(window.valid_count, 40 * 31);
    for (int y = 0; y < 31; y++) {
        for (int x = 0; x < 40; x++) {
            for (int k = 0; k < 3; k++) {
                assert_int_equal(window.rgb[3 * (y * 40 + x) + k], raster_pattern(k + 1, x + 13, y + 7));
            }
        }
    }
    pt_window_fini(&window);
    pt_scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes_a_plain_file),
        cmocka_unit_test(reads_native_pixels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
