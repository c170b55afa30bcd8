/* Reading: the same bytes whole or in pieces, validity, normalisation. */
#include "raster.h"

#include <cpl_vsi.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Tiled, with nodata here and there, so that masks and blocks matter. */
static raster patchy_raster(const char *path, GDALDataType type, bool overviews)
{
    raster r = utm_raster(path, 301, 233, 3);
    r.type = type;
    r.options[0] = "TILED=YES";
    r.options[1] = "BLOCKXSIZE=32";
    r.options[2] = "BLOCKYSIZE=48";
    GDALDatasetH dataset = raster_create(&r);
    for (int b = 1; b <= 3; b++) {
        GDALSetRasterNoDataValue(GDALGetRasterBand(dataset, b), 0);
        raster_fill(dataset, b, 40, 60, 37, 51, 0);
        raster_fill(dataset, b, 200, 10, 3, 200, 0);
        raster_fill(dataset, b, 0, 220, 150, 13, 0);
    }
    GDALClose(dataset);
    if (overviews) {
        const int factors[2] = {2, 4};
        raster_overviews(path, 2, factors);
    }
    return r;
}

static int64_t below(unsigned *seed, int64_t limit)
{
    *seed = *seed * 1664525U + 1013904223U;
    return (int64_t)(*seed >> 8) % limit;
}

/* Random windows, read one after the other by one reader, equal the same pixels of the whole. */
static void compare_windows(const pt_scene *scene, int rounds)
{
    const pt_scene_info *info = pt_scene_describe(scene);
    pt_rect all = {0, 0, info->width, info->height};
    pt_window whole = scene_read(scene, all), part = {0};
    pt_scene_reader *reader = NULL;
    assert_int_equal(pt_scene_reader_open(scene, &reader).code, PT_OK);
    unsigned seed = 7;
    for (int i = 0; i < rounds; i++) {
        int64_t w = 1 + below(&seed, i % 4 ? all.w : 3), h = 1 + below(&seed, i % 4 ? all.h : 3);
        w = w > all.w ? all.w : w;
        h = h > all.h ? all.h : h;
        pt_rect rect = {below(&seed, all.w - w + 1), below(&seed, all.h - h + 1), w, h};
        assert_int_equal(pt_scene_reader_read(reader, rect, &part).code, PT_OK);
        assert_true(pt_rect_equal(part.rect, rect));
        int64_t valid = 0;
        for (int64_t y = 0; y < h; y++) {
            size_t at = (size_t)((rect.y + y) * all.w + rect.x), own = (size_t)(y * w);
            assert_memory_equal(part.rgb + 3 * own, whole.rgb + 3 * at, 3 * (size_t)w);
            assert_memory_equal(part.valid + own, whole.valid + at, (size_t)w);
            for (int64_t x = 0; x < w; x++) {
                valid += part.valid[own + (size_t)x];
            }
        }
        assert_int_equal(part.valid_count, valid);
    }
    pt_window_fini(&whole);
    pt_window_fini(&part);
    pt_scene_reader_close(&reader);
}

static void does_not_depend_on_the_window(void **state)
{
    (void)state;
    static const double gsds[] = {0.5, 0.13, 0.4, 0.57, 0.77, 1.0, 1.3, 2.7, 9.9};
    static const struct {
        const char *path;
        GDALDataType type;
        bool overviews;
    } files[] = {{"/vsimem/w8.tif", GDT_Byte, false},
                 {"/vsimem/w8o.tif", GDT_Byte, true},
                 {"/vsimem/w16o.tif", GDT_UInt16, true}};
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        raster r = patchy_raster(files[f].path, files[f].type, files[f].overviews);
        for (size_t g = 0; g < sizeof gsds / sizeof *gsds; g++) {
            pt_scene_options options = pt_scene_defaults();
            options.gsd_mode = PT_GSD_VALUE;
            options.gsd = gsds[g];
            pt_scene *scene = scene_open(r.path, &options);
            assert_true(pt_scene_describe(scene)->has_mask);
            compare_windows(scene, 24);
            pt_scene_close(&scene);
        }
        VSIUnlink(r.path);
    }
}

static void reads_native_pixels(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/native.tif", 70, 50, 3);
    raster_make(&r);
    pt_scene *scene = scene_open(r.path, NULL);
    pt_window window = scene_read(scene, (pt_rect){13, 7, 40, 31});
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

/* Halving averages 2 x 2 pixels exactly. */
static void averages_when_shrinking(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/half.tif", 40, 40, 3);
    raster_make(&r);
    pt_scene_options options = pt_scene_defaults();
    options.model_gsd = 1;
    pt_scene *scene = scene_open(r.path, &options);
    assert_int_equal(pt_scene_describe(scene)->width, 20);
    pt_window window = scene_read(scene, (pt_rect){0, 0, 20, 20});
    for (int y = 0; y < 20; y++) {
        for (int x = 0; x < 20; x++) {
            double sum = 0;
            for (int i = 0; i < 4; i++) {
                sum += raster_pattern(1, 2 * x + i % 2, 2 * y + i / 2);
            }
            assert_true(fabs(window.rgb[3 * (y * 20 + x)] - sum / 4) <= 0.51);
        }
    }
    pt_window_fini(&window);
    pt_scene_close(&scene);
}

static void interpolates_when_enlarging(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/large.tif", 50, 50, 3);
    r.value = raster_ramp;
    raster_make(&r);
    pt_scene_options options = pt_scene_defaults();
    options.gsd_mode = PT_GSD_VALUE;
    options.gsd = 0.1;
    pt_scene *scene = scene_open(r.path, &options);
    const pt_scene_info *info = pt_scene_describe(scene);
    assert_int_equal(info->width, 250);
    pt_window window = scene_read(scene, (pt_rect){0, 0, 250, 250});
    for (int x = 5; x < 245; x++) {
        double expected = 2 * ((x + 0.5) * info->scale_x - 0.5);
        assert_true(fabs(window.rgb[3 * (100 * 250 + x)] - expected) <= 0.51);
        assert_int_equal(window.rgb[3 * (100 * 250 + x) + 2], 7);
    }
    pt_window_fini(&window);
    pt_scene_close(&scene);
}

static void assert_validity(const char *path, const pt_scene_options *options, pt_rect hole)
{
    pt_scene *scene = scene_open(path, options);
    const pt_scene_info *info = pt_scene_describe(scene);
    pt_rect all = {0, 0, info->width, info->height};
    pt_window window = scene_read(scene, all);
    for (int64_t y = 0; y < all.h; y++) {
        for (int64_t x = 0; x < all.w; x++) {
            bool inside = pt_rect_contains_pixel(hole, x, y);
            size_t i = (size_t)(y * all.w + x);
            assert_int_equal(window.valid[i], !inside);
            if (inside) {
                assert_int_equal(window.rgb[3 * i], options ? options->fill[0] : 124);
            }
        }
    }
    assert_int_equal(window.valid_count, pt_rect_area(all) - pt_rect_area(hole));
    pt_window_fini(&window);
    pt_scene_close(&scene);
}

static void honours_nodata(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/nodata.tif", 30, 20, 3);
    GDALDatasetH dataset = raster_create(&r);
    for (int b = 1; b <= 3; b++) {
        GDALSetRasterNoDataValue(GDALGetRasterBand(dataset, b), 0);
        raster_fill(dataset, b, 4, 5, 6, 7, 0);
    }
    raster_fill(dataset, 2, 20, 10, 3, 3, 0); /* one dark band of three is no hole */
    GDALClose(dataset);
    pt_scene_options options = pt_scene_defaults();
    options.fill[0] = 77;
    assert_validity(r.path, &options, (pt_rect){4, 5, 6, 7});
}

static void honours_alpha(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/alpha.tif", 30, 20, 4);
    r.options[0] = "PHOTOMETRIC=RGB";
    r.options[1] = "ALPHA=YES";
    GDALDatasetH dataset = raster_create(&r);
    raster_fill(dataset, 4, 9, 1, 10, 2, 0);
    GDALClose(dataset);
    assert_validity(r.path, NULL, (pt_rect){9, 1, 10, 2});
}

static void honours_mask_bands(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/mask.tif", 64, 64, 3);
    GDALDatasetH dataset = raster_create(&r);
    assert_int_equal(GDALCreateDatasetMaskBand(dataset, GMF_PER_DATASET), CE_None);
    GDALRasterBandH mask = GDALGetMaskBand(GDALGetRasterBand(dataset, 1));
    double on = 255, off = 0;
    assert_int_equal(GDALRasterIO(mask, GF_Write, 0, 0, 64, 64, &on, 1, 1, GDT_Float64, 0, 0), CE_None);
    assert_int_equal(GDALRasterIO(mask, GF_Write, 8, 8, 16, 16, &off, 1, 1, GDT_Float64, 0, 0), CE_None);
    GDALClose(dataset);
    assert_validity(r.path, NULL, (pt_rect){8, 8, 16, 16});
    pt_scene_options options = pt_scene_defaults();
    options.model_gsd = 2;
    assert_validity(r.path, &options, (pt_rect){2, 2, 4, 4});
    const int factors[1] = {2};
    raster_overviews(r.path, 1, factors);
    assert_validity(r.path, &options, (pt_rect){2, 2, 4, 4});
}

static void honours_unwritten_blocks(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/sparse.tif", 128, 128, 3);
    r.blank = true;
    r.options[0] = "TILED=YES";
    r.options[1] = "BLOCKXSIZE=32";
    r.options[2] = "BLOCKYSIZE=32";
    r.options[3] = "SPARSE_OK=TRUE";
    GDALDatasetH dataset = raster_create(&r);
    for (int b = 1; b <= 3; b++) {
        raster_fill(dataset, b, 0, 0, 128, 64, 90);
        raster_fill(dataset, b, 0, 64, 64, 64, 91);
    }
    GDALClose(dataset);
    assert_validity(r.path, NULL, (pt_rect){64, 64, 64, 64});
    pt_scene *scene = scene_open(r.path, NULL);
    pt_scene_reader *reader = NULL;
    pt_area_state area = PT_AREA_OUTSIDE;
    assert_int_equal(pt_scene_reader_open(scene, &reader).code, PT_OK);
    assert_int_equal(pt_scene_reader_state(reader, (pt_rect){70, 70, 20, 30}, &area).code, PT_OK);
    assert_int_equal(area, PT_AREA_EMPTY);
    assert_int_equal(pt_scene_reader_state(reader, (pt_rect){60, 70, 20, 30}, &area).code, PT_OK);
    assert_int_equal(area, PT_AREA_DATA);
    pt_scene_reader_close(&reader);
    pt_scene_close(&scene);
}

static double hole_of_nan(int band, int x, int y)
{
    return x >= 10 && x < 14 && y >= 2 && y < 9 ? NAN : x == 0 && y == 0 ? 1e30 : band + x * 0.25 + y;
}

static void honours_nan(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/nan.tif", 30, 20, 3);
    r.type = GDT_Float32;
    r.value = hole_of_nan;
    raster_make(&r);
    assert_validity(r.path, NULL, (pt_rect){10, 2, 4, 7});
    pt_scene *scene = scene_open(r.path, NULL);
    assert_true(pt_scene_describe(scene)->range_hi[0] < 30);
    pt_scene_close(&scene);
}

typedef struct job {
    const pt_scene *scene;
    const pt_window *whole;
    int failures;
} job;

static void *read_rows(void *user)
{
    job *j = user;
    pt_scene_reader *reader = NULL;
    pt_window window = {0};
    j->failures += pt_scene_reader_open(j->scene, &reader).code != PT_OK;
    for (int64_t y = 0; reader && y + 16 <= j->whole->rect.h; y += 16) {
        pt_rect rect = {0, y, j->whole->rect.w, 16};
        j->failures += pt_scene_reader_read(reader, rect, &window).code != PT_OK ||
                       memcmp(window.rgb, j->whole->rgb + 3 * y * rect.w, (size_t)(3 * 16 * rect.w)) != 0;
    }
    pt_window_fini(&window);
    pt_scene_reader_close(&reader);
    return NULL;
}

static void reads_from_several_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    raster r = patchy_raster("/vsimem/threads.tif", GDT_Byte, true);
    pt_scene_options options = pt_scene_defaults();
    options.model_gsd = 0.8;
    pt_scene *scene = scene_open(r.path, &options);
    const pt_scene_info *info = pt_scene_describe(scene);
    pt_window whole = scene_read(scene, (pt_rect){0, 0, info->width, info->height});
    job jobs[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (job){scene, &whole, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, read_rows, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].failures, 0);
    }
    pt_window_fini(&whole);
    pt_scene_close(&scene);
}

static void refuses_windows_outside(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/outside.tif", 20, 20, 3);
    raster_make(&r);
    pt_scene *scene = scene_open(r.path, NULL);
    pt_scene_reader *reader = NULL;
    pt_window window = {0};
    pt_area_state area;
    assert_int_equal(pt_scene_reader_open(scene, &reader).code, PT_OK);
    const pt_rect bad[] = {{0, 0, 0, 5}, {-1, 0, 5, 5}, {16, 0, 5, 5}, {0, 30, 1, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(pt_scene_reader_read(reader, bad[i], &window).code, PT_E_USAGE);
        assert_int_equal(pt_scene_reader_state(reader, bad[i], &area).code, PT_E_USAGE);
    }
    pt_window_fini(&window);
    pt_scene_reader_close(&reader);
    pt_scene_reader_close(&reader);
    pt_scene_close(&scene);
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    raster r = patchy_raster("/vsimem/memory.tif", GDT_UInt16, false);
    pt_scene_options options = pt_scene_defaults();
    options.model_gsd = 1.3;
    pt_scene *scene = scene_open(r.path, &options);
    bool done = false;
    for (long n = 0; !done; n++) {
        pt_scene_reader *reader = NULL;
        pt_window window = {0};
        uint8_t *rgb = NULL;
        int width, height;
        pt_alloc_fail_after(n);
        pt_status status = pt_scene_reader_open(scene, &reader);
        if (status.code == PT_OK) {
            status = pt_scene_reader_read(reader, (pt_rect){3, 3, 60, 50}, &window);
        }
        if (status.code == PT_OK) {
            status = pt_scene_preview(scene, 32, &rgb, &width, &height);
        }
        pt_alloc_fail_after(-1);
        done = status.code == PT_OK;
        assert_true(done || status.code == PT_E_NOMEM);
        pt_free(rgb);
        pt_window_fini(&window);
        pt_scene_reader_close(&reader);
        assert_true(n < 1000);
    }
    pt_scene_close(&scene);
}

static void shows_a_preview(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/preview.tif", 200, 100, 3);
    r.value = raster_ramp;
    raster_make(&r);
    pt_scene *scene = scene_open(r.path, NULL);
    uint8_t *rgb = NULL;
    int width = 0, height = 0;
    assert_int_equal(pt_scene_preview(scene, 50, &rgb, &width, &height).code, PT_OK);
    assert_int_equal(width, 50);
    assert_int_equal(height, 25);
    assert_int_equal(rgb[3 * (10 * 50 + 20) + 1], 83); /* rows 40 to 43, twice: mean 83 */
    pt_free(rgb);
    rgb = NULL;
    assert_int_equal(pt_scene_preview(scene, 1000, &rgb, &width, &height).code, PT_OK);
    assert_int_equal(width, 200);
    pt_free(rgb);
    assert_int_equal(pt_scene_preview(scene, 0, &rgb, &width, &height).code, PT_E_USAGE);
    pt_scene_close(&scene);
}

int main(void)
{
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_not_depend_on_the_window),
        cmocka_unit_test(reads_native_pixels),
        cmocka_unit_test(averages_when_shrinking),
        cmocka_unit_test(interpolates_when_enlarging),
        cmocka_unit_test(honours_nodata),
        cmocka_unit_test(honours_alpha),
        cmocka_unit_test(honours_mask_bands),
        cmocka_unit_test(honours_unwritten_blocks),
        cmocka_unit_test(honours_nan),
        cmocka_unit_test(reads_from_several_threads),
        cmocka_unit_test(refuses_windows_outside),
        cmocka_unit_test(survives_lack_of_memory),
        cmocka_unit_test(shows_a_preview),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
