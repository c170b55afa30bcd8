/* Several files as one scene, groups, and what VRTs hide. */
#include "raster.h"

#include <cpl_vsi.h>
#include <gdal_utils.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { W = 150, H = 110 };

static double offset_x, offset_y; /* of the piece that is being written */

static double world(int band, int x, int y)
{
    return raster_pattern(band, x + (int)offset_x, y + (int)offset_y);
}

/* A piece of one large pattern. */
static raster make_piece(const char *path, int x, int y, int w, int h, int bands)
{
    raster r = {.path = path,
                .width = w,
                .height = h,
                .bands = bands,
                .epsg = 32633,
                .value = world,
                .transform = {500000 + 0.5 * x, 0.5, 0, 5000000 - 0.5 * y, 0, -0.5}};
    offset_x = x;
    offset_y = y;
    GDALDatasetH dataset = raster_create(&r);
    if (bands == 4) {
        GDALSetRasterColorInterpretation(GDALGetRasterBand(dataset, 4), GCI_AlphaBand);
    }
    GDALClose(dataset);
    return r;
}

static pt_scene *open_several(const char *const *paths, size_t count, const pt_scene_options *options)
{
    pt_scene *scene = NULL;
    pt_scene_options defaults = pt_scene_defaults();
    pt_status status = pt_scene_open(paths, count, options ? options : &defaults, &scene);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    return scene;
}

static pt_window read_all(const pt_scene *scene)
{
    const pt_scene_info *info = pt_scene_describe(scene);
    return scene_read(scene, (pt_rect){0, 0, info->width, info->height});
}

static void equals_the_whole(void **state)
{
    (void)state;
    make_piece("/vsimem/whole.tif", 0, 0, W, H, 3);
    make_piece("/vsimem/a.tif", 0, 0, 61, 47, 3);
    make_piece("/vsimem/b.tif", 55, 0, W - 55, 47, 3); /* overlaps a */
    make_piece("/vsimem/c.tif", 0, 47, W, H - 47, 3);
    const char *const paths[3] = {"/vsimem/c.tif", "/vsimem/b.tif", "/vsimem/a.tif"};
    for (int i = 0; i < 2; i++) {
        pt_scene_options options = pt_scene_defaults();
        options.model_gsd = i ? 1.3 : 0.5;
        pt_scene *whole = scene_open("/vsimem/whole.tif", &options);
        pt_scene *parts = open_several(paths, 3, &options);
        const pt_scene_info *a = pt_scene_describe(whole), *b = pt_scene_describe(parts);
        assert_int_equal(a->width, b->width);
        assert_int_equal(a->height, b->height);
        assert_memory_equal(a->georef.transform, b->georef.transform, sizeof a->georef.transform);
        assert_string_equal(b->path, "/vsimem/c.tif");
        pt_window x = read_all(whole), y = read_all(parts);
        assert_int_equal(x.valid_count, y.valid_count);
        assert_memory_equal(x.rgb, y.rgb, (size_t)(3 * a->width * a->height));
        pt_window_fini(&x);
        pt_window_fini(&y);
        pt_scene_close(&whole);
        pt_scene_close(&parts);
    }
}

static void knows_its_gaps(void **state)
{
    (void)state;
    make_piece("/vsimem/a.tif", 0, 0, 61, 47, 3);
    make_piece("/vsimem/far.tif", 300, 203, 40, 40, 3);
    const char *const paths[2] = {"/vsimem/a.tif", "/vsimem/far.tif"};
    pt_scene *scene = open_several(paths, 2, NULL);
    pt_window window = read_all(scene);
    assert_int_equal(window.valid_count, 61 * 47 + 40 * 40);
    assert_int_equal(window.valid[46 * 340 + 60], 1);
    assert_int_equal(window.valid[46 * 340 + 61], 0);
    assert_int_equal(window.rgb[3 * (46 * 340 + 61)], 124);
    pt_window_fini(&window);
    pt_scene_reader *reader = NULL;
    pt_area_state area;
    assert_int_equal(pt_scene_reader_open(scene, &reader).code, PT_OK);
    assert_int_equal(pt_scene_reader_state(reader, (pt_rect){61, 0, 100, 100}, &area).code, PT_OK);
    assert_int_equal(area, PT_AREA_EMPTY);
    assert_int_equal(pt_scene_reader_state(reader, (pt_rect){60, 0, 100, 100}, &area).code, PT_OK);
    assert_int_equal(area, PT_AREA_DATA);
    pt_scene_reader_close(&reader);
    pt_scene_close(&scene);
}

/* A transparent corner of the upper file shows the lower one. */
static void lets_lower_files_through(void **state)
{
    (void)state;
    make_piece("/vsimem/low.tif", 0, 0, 60, 60, 4);
    make_piece("/vsimem/high.tif", 30, 30, 60, 60, 4);
    GDALDatasetH dataset = GDALOpen("/vsimem/high.tif", GA_Update);
    raster_fill(dataset, 4, 0, 0, 20, 20, 0);
    raster_fill(dataset, 4, 50, 50, 10, 10, 0);
    for (int b = 1; b <= 3; b++) {
        raster_fill(dataset, b, 0, 0, 20, 20, 0);
    }
    GDALClose(dataset);
    const char *const paths[2] = {"/vsimem/low.tif", "/vsimem/high.tif"};
    pt_scene *scene = open_several(paths, 2, NULL);
    pt_window window = read_all(scene);
    assert_int_equal(window.valid[35 * 90 + 35], 1);
    assert_int_equal(window.rgb[3 * (35 * 90 + 35)], raster_pattern(1, 35, 35));
    assert_int_equal(window.valid[85 * 90 + 85], 0);
    assert_int_equal(window.valid[10 * 90 + 80], 0);
    assert_int_equal(window.valid_count, 60 * 60 + 60 * 60 - 30 * 30 - 10 * 10);
    pt_window_fini(&window);
    pt_scene_close(&scene);
}

/* One file with a mask beside one without. */
static void joins_masks(void **state)
{
    (void)state;
    make_piece("/vsimem/left.tif", 0, 0, 40, 40, 3);
    make_piece("/vsimem/right.tif", 40, 0, 40, 40, 3);
    GDALDatasetH dataset = GDALOpen("/vsimem/right.tif", GA_Update);
    assert_int_equal(GDALCreateDatasetMaskBand(dataset, GMF_PER_DATASET), CE_None);
    double on = 255;
    assert_int_equal(GDALRasterIO(GDALGetMaskBand(GDALGetRasterBand(dataset, 1)), GF_Write, 0, 0, 40, 30, &on,
                                  1, 1, GDT_Float64, 0, 0),
                     CE_None);
    GDALClose(dataset);
    const char *const paths[2] = {"/vsimem/left.tif", "/vsimem/right.tif"};
    pt_scene *scene = open_several(paths, 2, NULL);
    assert_true(pt_scene_describe(scene)->has_mask);
    pt_window window = read_all(scene);
    assert_int_equal(window.valid_count, 40 * 40 + 40 * 30);
    assert_int_equal(window.valid[39 * 80 + 39], 1);
    assert_int_equal(window.valid[30 * 80 + 40], 0);
    pt_window_fini(&window);
    pt_scene_close(&scene);
    VSIUnlink("/vsimem/right.tif.msk");
}

static void joins_nodata_and_palettes(void **state)
{
    (void)state;
    static const char *const paths[2] = {"/vsimem/pal0.tif", "/vsimem/pal1.tif"};
    const GDALColorEntry entries[3] = {{0, 0, 0, 255}, {255, 0, 10, 255}, {3, 4, 250, 255}};
    for (int i = 0; i < 2; i++) {
        raster r = {.path = paths[i],
                    .width = 20,
                    .height = 20,
                    .bands = 1,
                    .epsg = 32633,
                    .blank = true,
                    .transform = {500000 + 10 * i, 0.5, 0, 5000000, 0, -0.5},
                    .options = {"PHOTOMETRIC=PALETTE"}};
        GDALDatasetH dataset = raster_create(&r);
        GDALColorTableH table = GDALCreateColorTable(GPI_RGB);
        for (int k = 0; k < 3; k++) {
            GDALSetColorEntry(table, k, &entries[k]);
        }
        GDALSetRasterColorTable(GDALGetRasterBand(dataset, 1), table);
        GDALDestroyColorTable(table);
        GDALSetRasterNoDataValue(GDALGetRasterBand(dataset, 1), 0);
        raster_fill(dataset, 1, 0, 0, 20, 10, i + 1);
        raster_fill(dataset, 1, 0, 10, 20, 10, 0);
        GDALClose(dataset);
    }
    pt_scene *scene = open_several(paths, 2, NULL);
    pt_window window = read_all(scene);
    assert_int_equal(window.rect.w, 40);
    assert_int_equal(window.valid_count, 400);
    assert_memory_equal(window.rgb, ((const uint8_t[3]){255, 0, 10}), 3);
    assert_memory_equal(window.rgb + 3 * 39, ((const uint8_t[3]){3, 4, 250}), 3);
    pt_window_fini(&window);
    pt_scene_close(&scene);
}

static void groups_what_belongs_together(void **state)
{
    (void)state;
    make_piece("/vsimem/g0.tif", 0, 0, 50, 50, 3);
    make_piece("/vsimem/g1.tif", 500, 0, 50, 50, 3);  /* far off */
    make_piece("/vsimem/g2.tif", 50, 50, 50, 50, 3);  /* touches g0's corner */
    make_piece("/vsimem/g3.tif", 80, 60, 50, 50, 4);  /* overlaps g2, but has alpha */
    make_piece("/vsimem/g4.tif", 99, 90, 401, 50, 3); /* overlaps g2 and reaches to x = 500, y = 140 */
    make_piece("/vsimem/g5.tif", 500, 50, 50, 50, 3); /* joins g1 and g4 */
    raster nowhere = {.path = "/vsimem/g6.tif", .width = 50, .height = 50, .bands = 3};
    raster_make(&nowhere);
    raster coarse = {.path = "/vsimem/g7.tif",
                     .width = 50,
                     .height = 50,
                     .bands = 3,
                     .epsg = 32633,
                     .transform = {500000, 0.6, 0, 5000000, 0, -0.6}};
    raster_make(&coarse);
    raster other = {.path = "/vsimem/g8.tif",
                    .width = 50,
                    .height = 50,
                    .bands = 3,
                    .epsg = 32634,
                    .transform = {500000, 0.5, 0, 5000000, 0, -0.5}};
    raster_make(&other);
    const char *paths[9];
    char names[9][32];
    for (int i = 0; i < 9; i++) {
        snprintf(names[i], sizeof names[i], "/vsimem/g%d.tif", i);
        paths[i] = names[i];
    }
    size_t groups[9], count = 0;
    pt_scene_options options = pt_scene_defaults();
    assert_status(pt_scene_group(paths, 9, &options, groups, &count), PT_E_INPUT, "g6.tif has none",
                  "g0.tif");
    const char *const placed[8] = {paths[0], paths[1], paths[2], paths[3],
                                   paths[4], paths[5], paths[7], paths[8]};
    assert_int_equal(pt_scene_group(placed, 8, &options, groups, &count).code, PT_OK);
    const size_t expected[8] = {0, 0, 0, 1, 0, 0, 2, 3};
    assert_memory_equal(groups, expected, sizeof expected);
    assert_int_equal(count, 4);
    const char *const unplaced[2] = {paths[6], paths[6]};
    assert_int_equal(pt_scene_group(unplaced, 2, &options, groups, &count).code, PT_OK);
    assert_int_equal(count, 2);
    pt_scene *scene = NULL;
    assert_status(pt_scene_open(&paths[6], 2, &options, &scene), PT_E_INPUT, "g6.tif", "separately");
    const char *const bands[2] = {paths[0], paths[3]}, *const sizes[2] = {paths[0], paths[7]};
    const char *const systems[2] = {paths[0], paths[8]}, *const lost[2] = {paths[0], "/vsimem/none.tif"};
    assert_status(pt_scene_open(bands, 2, &options, &scene), PT_E_INPUT, "g3.tif", "differs in bands");
    assert_status(pt_scene_open(sizes, 2, &options, &scene), PT_E_INPUT, "g7.tif", "differs in pixel size");
    assert_status(pt_scene_open(systems, 2, &options, &scene), PT_E_INPUT, "g8.tif", "differs in CRS");
    assert_status(pt_scene_open(lost, 2, &options, &scene), PT_E_INPUT, "none.tif", "no such file");
    assert_status(pt_scene_group(lost, 2, &options, groups, &count), PT_E_INPUT, "none.tif", "no such file");
    assert_status(pt_scene_group(NULL, 0, &options, groups, &count), PT_E_USAGE, "no scene", "");
}

static void write_text(const char *path, const char *text)
{
    VSILFILE *file = VSIFOpenL(path, "wb");
    assert_non_null(file);
    VSIFWriteL(text, 1, strlen(text), file);
    VSIFCloseL(file);
}

static void build_vrt(const char *path, int count, const char *const *paths)
{
    GDALDatasetH dataset = GDALBuildVRT(path, count, NULL, paths, NULL, NULL);
    assert_non_null(dataset);
    GDALClose(dataset);
}

/* A user's VRT of a VRT, with a gap, and a file with never-written blocks. */
static void sees_through_vrts(void **state)
{
    (void)state;
    raster r = {.path = "/vsimem/holes.tif",
                .width = 128,
                .height = 64,
                .bands = 3,
                .epsg = 32633,
                .blank = true,
                .transform = {500000, 0.5, 0, 5000000, 0, -0.5},
                .options = {"TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32", "SPARSE_OK=TRUE"}};
    GDALDatasetH dataset = raster_create(&r);
    for (int b = 1; b <= 3; b++) {
        raster_fill(dataset, b, 0, 0, 32, 64, 9);
        raster_fill(dataset, b, 64, 0, 64, 64, 9);
    }
    GDALClose(dataset);
    make_piece("/vsimem/solid.tif", 100, 80, 50, 50, 3);
    const char *const files[2] = {"/vsimem/holes.tif", "/vsimem/solid.tif"}, *const inner[1] = {
                                                                                 "/vsimem/in.vrt"};
    build_vrt("/vsimem/in.vrt", 2, files);
    build_vrt("/vsimem/out.vrt", 1, inner);
    for (int i = 0; i < 2; i++) {
        pt_scene *scene = scene_open(i ? "/vsimem/out.vrt" : "/vsimem/in.vrt", NULL);
        pt_window window = read_all(scene);
        assert_int_equal(window.rect.w, 150);
        assert_int_equal(window.rect.h, 130);
        assert_int_equal(window.valid_count, 128 * 64 - 32 * 64 + 50 * 50);
        assert_int_equal(window.valid[10 * 150 + 32], 0);
        assert_int_equal(window.valid[10 * 150 + 64], 1);
        pt_window_fini(&window);
        pt_scene_reader *reader = NULL;
        pt_area_state area;
        assert_int_equal(pt_scene_reader_open(scene, &reader).code, PT_OK);
        assert_int_equal(pt_scene_reader_state(reader, (pt_rect){32, 0, 32, 64}, &area).code, PT_OK);
        assert_int_equal(area, PT_AREA_EMPTY);
        assert_int_equal(pt_scene_reader_state(reader, (pt_rect){32, 0, 33, 64}, &area).code, PT_OK);
        assert_int_equal(area, PT_AREA_DATA);
        pt_scene_reader_close(&reader);
        pt_scene_close(&scene);
    }
}

static void checks_the_files_behind(void **state)
{
    (void)state;
    make_piece("/vsimem/behind.tif", 0, 0, 40, 40, 3);
    const char *const files[1] = {"/vsimem/behind.tif"};
    build_vrt("/vsimem/behind.vrt", 1, files);
    VSIUnlink("/vsimem/behind.tif");
    assert_status(try_open("/vsimem/behind.vrt", NULL), PT_E_INPUT, "behind.tif", "no such file");

    /* A driver outside the allow-list does not come in through a VRT. */
    write_text("/vsimem/secret.asc", "ncols 2\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2\n3 4\n");
    write_text("/vsimem/sneaky.vrt",
               "<VRTDataset rasterXSize=\"2\" rasterYSize=\"2\"><VRTRasterBand dataType=\"Byte\" band=\"1\">"
               "<SimpleSource><SourceFilename relativeToVRT=\"1\">secret.asc</SourceFilename><SourceBand>1"
               "</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>");
    assert_status(try_open("/vsimem/sneaky.vrt", NULL), PT_E_INPUT, "secret.asc", "--driver AAIGrid");
    pt_scene_options options = pt_scene_defaults();
    const char *drivers[1] = {"AAIGrid"};
    options.drivers = drivers;
    options.driver_count = 1;
    assert_int_equal(try_open("/vsimem/sneaky.vrt", &options).code, PT_OK);

    write_text("/vsimem/empty.vrt", "<VRTDataset rasterXSize=\"2\" rasterYSize=\"2\"></VRTDataset>");
    assert_status(try_open("/vsimem/empty.vrt", NULL), PT_E_INPUT, "empty.vrt", "no bands");
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    make_piece("/vsimem/m0.tif", 0, 0, 40, 40, 3);
    make_piece("/vsimem/m1.tif", 40, 0, 40, 40, 3);
    const char *const paths[2] = {"/vsimem/m0.tif", "/vsimem/m1.tif"};
    pt_scene_options options = pt_scene_defaults();
    bool done = false;
    for (long n = 0; !done; n++) {
        pt_scene *scene = NULL;
        size_t groups[2], count = 0;
        pt_alloc_fail_after(n);
        pt_status status = pt_scene_group(paths, 2, &options, groups, &count);
        if (status.code == PT_OK) {
            status = pt_scene_open(paths, 2, &options, &scene);
        }
        pt_alloc_fail_after(-1);
        done = status.code == PT_OK;
        assert_true(done || status.code == PT_E_NOMEM);
        pt_scene_close(&scene);
        assert_true(n < 1000);
    }
}

int main(void)
{
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_whole),          cmocka_unit_test(knows_its_gaps),
        cmocka_unit_test(lets_lower_files_through),  cmocka_unit_test(joins_masks),
        cmocka_unit_test(joins_nodata_and_palettes), cmocka_unit_test(groups_what_belongs_together),
        cmocka_unit_test(sees_through_vrts),         cmocka_unit_test(checks_the_files_behind),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
