/* Files that are missing, cut, damaged or of the wrong kind: one line that names the file and the remedy. */
#include "raster.h"

#include <cpl_vsi.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static raster photo(const char *path)
{
    return (raster){.path = path,
                    .width = 600,
                    .height = 400,
                    .bands = 3,
                    .epsg = 32633,
                    .transform = {500000, 0.5, 0, 5000000, 0, -0.5},
                    .options = {"TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64", NULL}};
}

static long size_of(const char *path)
{
    VSILFILE *file = VSIFOpenL(path, "rb");
    assert_non_null(file);
    VSIFSeekL(file, 0, SEEK_END);
    long size = (long)VSIFTellL(file);
    VSIFCloseL(file);
    return size;
}

static void cut(const char *path, long bytes)
{
    VSILFILE *file = VSIFOpenL(path, "r+b");
    assert_non_null(file);
    assert_int_equal(VSIFTruncateL(file, (vsi_l_offset)bytes), 0);
    VSIFCloseL(file);
}

static void write_bytes(const char *path, long at, const void *bytes, size_t count)
{
    VSILFILE *file = VSIFOpenL(path, at ? "r+b" : "wb");
    assert_non_null(file);
    VSIFSeekL(file, (vsi_l_offset)at, SEEK_SET);
    assert_int_equal(VSIFWriteL(bytes, 1, count, file), count);
    VSIFCloseL(file);
}

static void refuses_what_is_no_raster(void **state)
{
    (void)state;
    GDALAllRegister();
    assert_status(try_open("/vsimem/nowhere.tif", NULL), PT_E_INPUT, "/vsimem/nowhere.tif", "no such file");
    assert_status(try_open("/tmp", NULL), PT_E_INPUT, "/tmp", "folder");
    write_bytes("/vsimem/text.tif", 0, "this is no picture at all\n", 26);
    assert_status(try_open("/vsimem/text.tif", NULL), PT_E_INPUT, "text.tif", "not a raster file");
    write_bytes("/vsimem/stub.tif", 0, "II*\0\10\0\0\0", 8);
    assert_status(try_open("/vsimem/stub.tif", NULL), PT_E_INPUT, "stub.tif", "cut short");
    write_bytes("/vsimem/grid.asc", 0, "ncols 1\nnrows 1\nxllcorner 0\nyllcorner 0\ncellsize 1\n1\n", 52);
    assert_status(try_open("/vsimem/grid.asc", NULL), PT_E_INPUT, "grid.asc", "--driver AAIGrid");
}

static void refuses_complex_numbers(void **state)
{
    (void)state;
    raster r = photo("/vsimem/complex.tif");
    r.type = GDT_CFloat32;
    raster_make(&r);
    assert_status(try_open(r.path, NULL), PT_E_UNSUPPORTED, "complex.tif", "gdal_translate");
}

static void refuses_a_file_cut_short(void **state)
{
    (void)state;
    raster r = photo("/vsimem/cut.tif");
    for (int i = 0; i < 3; i++) {
        r.options[3] = i == 0 ? "COMPRESS=NONE" : i == 1 ? "COMPRESS=DEFLATE" : "INTERLEAVE=BAND";
        raster_make(&r);
        long size = size_of(r.path);
        assert_int_equal(try_open(r.path, NULL).code, PT_OK);
        cut(r.path, size / 2);
        assert_status(try_open(r.path, NULL), PT_E_INPUT, "cut.tif: cut short", "download it again");
        raster_make(&r);
        cut(r.path, size - 1);
        pt_status status = try_open(r.path, NULL);
        assert_int_equal(status.code, PT_E_INPUT);
    }
}

/* Cut inside the list of its blocks, a file looks as if none was ever written: zeros without end. */
static void refuses_a_file_cut_in_its_head(void **state)
{
    (void)state;
    raster r = photo("/vsimem/whole.tif");
    raster_make(&r);
    GDALDatasetH from = GDALOpen(r.path, GA_ReadOnly);
    GDALDatasetH whole =
        GDALCreateCopy(GDALGetDriverByName("COG"), "/vsimem/cog.tif", from, FALSE, NULL, NULL, NULL);
    assert_non_null(whole);
    GDALClose(whole);
    GDALClose(from);
    uint8_t head[2000];
    VSILFILE *file = VSIFOpenL("/vsimem/cog.tif", "rb");
    assert_int_equal(VSIFReadL(head, 1, sizeof head, file), sizeof head);
    VSIFCloseL(file);
    for (size_t bytes = sizeof head; bytes > 0; bytes--) {
        write_bytes("/vsimem/head.tif", 0, head, bytes);
        assert_status(try_open("/vsimem/head.tif", NULL), PT_E_INPUT, "head.tif", "");
    }
}

/* The overviews that a coarse read uses lie elsewhere in the file. */
static void checks_the_overviews_in_use(void **state)
{
    (void)state;
    raster r = photo("/vsimem/ovr.tif");
    const int factors[1] = {2};
    raster_make(&r);
    long before = size_of(r.path);
    raster_overviews(r.path, 1, factors);
    long after = size_of(r.path);
    assert_true(after > before);
    pt_scene_options options = pt_scene_defaults();
    options.model_gsd = 1.0;
    assert_int_equal(try_open(r.path, &options).code, PT_OK);
    cut(r.path, after - 1000);
    assert_status(try_open(r.path, &options), PT_E_INPUT, "cut short", "download it again");
}

static pt_status read_whole(const pt_scene *scene)
{
    const pt_scene_info *info = pt_scene_describe(scene);
    pt_scene_reader *reader = NULL;
    pt_window window = {0};
    pt_status status = pt_scene_reader_open(scene, &reader);
    if (status.code == PT_OK) {
        status = pt_scene_reader_read(reader, (pt_rect){0, 0, info->width, info->height}, &window);
    }
    pt_window_fini(&window);
    pt_scene_reader_close(&reader);
    return status;
}

/* Cut after it was opened: the read fails, it never gives zeros. */
static void fails_the_read_of_a_lost_block(void **state)
{
    (void)state;
    raster r = photo("/vsimem/lost.tif");
    raster_make(&r);
    pt_scene *scene = scene_open(r.path, NULL);
    assert_int_equal(read_whole(scene).code, PT_OK);
    cut(r.path, size_of(r.path) / 2);
    pt_status status = read_whole(scene);
    assert_status(status, PT_E_READ, "lost.tif", "column 0, row 0");
    VSIUnlink(r.path);
    assert_status(read_whole(scene), PT_E_INPUT, "lost.tif", "no such file");
    raster other = photo("/vsimem/lost.tif");
    other.width = 500;
    raster_make(&other);
    assert_status(read_whole(scene), PT_E_INPUT, "lost.tif", "has changed");
    pt_scene_close(&scene);
}

/* The same behind a VRT. */
static void fails_the_read_behind_a_mosaic(void **state)
{
    (void)state;
    raster a = photo("/vsimem/ma.tif"), b = photo("/vsimem/mb.tif");
    b.transform[0] += 300;
    raster_make(&a);
    raster_make(&b);
    const char *const paths[2] = {a.path, b.path};
    pt_scene_options options = pt_scene_defaults();
    pt_scene *scene = NULL;
    assert_int_equal(pt_scene_open(paths, 2, &options, &scene).code, PT_OK);
    assert_int_equal(read_whole(scene).code, PT_OK);
    long size = size_of(b.path);
    cut(b.path, size / 2);
    assert_int_equal(read_whole(scene).code, PT_E_READ);
    VSIUnlink(b.path);
    assert_int_equal(read_whole(scene).code, PT_E_READ);
    pt_scene_close(&scene);
    raster_make(&b);
    cut(b.path, size / 2);
    assert_status(pt_scene_open(paths, 2, &options, &scene), PT_E_INPUT, "mb.tif", "cut short");
}

/* A damaged JPEG block gives a warning at most: --strict makes it an error. */
static void warnings_fail_under_strict(void **state)
{
    (void)state;
    raster r = photo("/vsimem/jpeg.tif");
    r.options[3] = "COMPRESS=JPEG";
    r.options[4] = "PHOTOMETRIC=YCBCR";
    raster_make(&r);
    static const unsigned char junk[4] = {0xff, 0xd0, 0x12, 0x34}; /* a restart marker where none is due */
    long size = size_of(r.path);
    for (int i = 1; i < 8; i++) {
        write_bytes(r.path, size / 8 * i, junk, sizeof junk);
    }
    pt_scene_options options = pt_scene_defaults();
    pt_scene *scene = scene_open(r.path, &options);
    assert_int_equal(read_whole(scene).code, PT_OK); /* wrong pixels, and a warning in the log */
    pt_scene_close(&scene);
    options.strict = true;
    scene = scene_open(r.path, &options);
    assert_status(read_whole(scene), PT_E_TILE, "jpeg.tif", "--strict");
    pt_scene_close(&scene);
}

/* Decoders that make up what is missing, and warn once, do not get through. */
static void refuses_cut_pictures(void **state)
{
    (void)state;
    raster r = photo("/vsimem/picture.tif");
    raster_make(&r);
    static const char *const drivers[3] = {"JPEG", "PNG", "JP2OpenJPEG"};
    for (int i = 0; i < 3; i++) {
        GDALDatasetH from = GDALOpen(r.path, GA_ReadOnly);
        GDALDatasetH to =
            GDALCreateCopy(GDALGetDriverByName(drivers[i]), "/vsimem/picture", from, FALSE, NULL, NULL, NULL);
        assert_non_null(to);
        GDALClose(to);
        GDALClose(from);
        pt_scene *scene = scene_open("/vsimem/picture", NULL);
        assert_string_equal(pt_scene_describe(scene)->driver, drivers[i]);
        assert_int_equal(read_whole(scene).code, PT_OK);
        cut("/vsimem/picture", size_of("/vsimem/picture") / 2);
        /* A second try by the same reader must not meet what the first left in the cache. */
        pt_scene_reader *reader = NULL;
        pt_window window = {0};
        assert_int_equal(pt_scene_reader_open(scene, &reader).code, PT_OK);
        for (int try = 0; try < 3; try++) {
            pt_status status = pt_scene_reader_read(reader, (pt_rect){0, 390, 600, 10}, &window);
            assert_status(status, PT_E_READ, "/vsimem/picture", "row 390");
        }
        pt_window_fini(&window);
        pt_scene_reader_close(&reader);
        pt_scene_close(&scene);
        if (i == 0) {
            assert_status(try_open("/vsimem/picture", NULL), PT_E_INPUT, "cut short", "download it again");
        }
        VSIUnlink("/vsimem/picture.aux.xml");
    }
}

/* Cuts at every length: never a wrong pixel without an error. */
static void no_cut_is_silent(void **state)
{
    (void)state;
    raster r = photo("/vsimem/cuts.tif");
    r.width = 130;
    r.height = 130;
    r.options[3] = "COMPRESS=DEFLATE";
    raster_make(&r);
    long size = size_of(r.path);
    for (int i = 1; i < 60; i++) {
        raster_make(&r);
        cut(r.path, size * i / 60);
        pt_scene *scene = NULL;
        pt_scene_options options = pt_scene_defaults();
        pt_status status = pt_scene_open(&r.path, 1, &options, &scene);
        if (status.code == PT_OK) {
            status = read_whole(scene);
        }
        assert_true(status.code == PT_E_INPUT || status.code == PT_E_READ);
        pt_scene_close(&scene);
    }
}

int main(void)
{
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_no_raster),
        cmocka_unit_test(refuses_complex_numbers),
        cmocka_unit_test(refuses_a_file_cut_short),
        cmocka_unit_test(refuses_a_file_cut_in_its_head),
        cmocka_unit_test(checks_the_overviews_in_use),
        cmocka_unit_test(fails_the_read_of_a_lost_block),
        cmocka_unit_test(fails_the_read_behind_a_mosaic),
        cmocka_unit_test(warnings_fail_under_strict),
        cmocka_unit_test(no_cut_is_silent),
        cmocka_unit_test(refuses_cut_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
