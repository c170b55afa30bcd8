#define _LARGEFILE64_SOURCE 1 /* GDAL's VSIStatBufL is a struct stat64 */
/* What a fingerprint sees and what it does not. */
#include "raster.h"

#include <cpl_conv.h>
#include <cpl_vsi.h>
#include <gdal_utils.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct print {
    uint8_t bytes[PT_SHA256_BYTES];
} print;

static print print_of_many(const char *const *paths, size_t count)
{
    print p;
    pt_scene *scene = NULL;
    pt_scene_options options = pt_scene_defaults();
    pt_status status = pt_scene_open(paths, count, &options, &scene);
    if (status.code == PT_OK) {
        status = pt_scene_fingerprint(scene, p.bytes);
    }
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    pt_scene_close(&scene);
    return p;
}

static print print_of(const char *path)
{
    return print_of_many(&path, 1);
}

static bool same(print a, print b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

static void copy(const char *from, const char *to)
{
    VSIUnlink(to);
    assert_int_equal(CPLCopyFile(to, from), 0);
}

static void put(const char *path, vsi_l_offset at, const char *text)
{
    VSIStatBufL stat;
    VSILFILE *file = VSIFOpenL(path, VSIStatL(path, &stat) == 0 ? "rb+" : "wb");
    assert_non_null(file);
    assert_int_equal(VSIFSeekL(file, at, SEEK_SET), 0);
    assert_int_equal(VSIFWriteL(text, 1, strlen(text), file), strlen(text));
    VSIFCloseL(file);
}

/* 1.5 MB without compression: pixels from byte 8 or so on, the directory at the end or the start. */
static raster large(const char *path)
{
    raster r = utm_raster(path, 800, 630, 3);
    raster_make(&r);
    return r;
}

static void names_and_notes_do_not_matter(void **state)
{
    (void)state;
    large("/vsimem/print/a.tif");
    copy("/vsimem/print/a.tif", "/vsimem/elsewhere/b.tiff");
    print a = print_of("/vsimem/print/a.tif");
    assert_true(same(a, print_of("/vsimem/print/a.tif")));
    assert_true(same(a, print_of("/vsimem/elsewhere/b.tiff")));
    put("/vsimem/print/a.tif.aux.xml", 0, "<PAMDataset><Metadata/></PAMDataset>");
    assert_true(same(a, print_of("/vsimem/print/a.tif")));
    VSIUnlink("/vsimem/print/a.tif.aux.xml");
}

static void changes_show(void **state)
{
    (void)state;
    large("/vsimem/print/a.tif");
    print a = print_of("/vsimem/print/a.tif");
    static const vsi_l_offset places[] = {5000, 64 << 10, 1450000};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        copy("/vsimem/print/a.tif", "/vsimem/print/changed.tif");
        put("/vsimem/print/changed.tif", places[i], "\n");
        assert_false(same(a, print_of("/vsimem/print/changed.tif")));
    }
    copy("/vsimem/print/a.tif", "/vsimem/print/changed.tif");
    VSIStatBufL stat;
    assert_int_equal(VSIStatL("/vsimem/print/a.tif", &stat), 0);
    put("/vsimem/print/changed.tif", (vsi_l_offset)stat.st_size, "*"); /* GDAL still reads the same */
    assert_false(same(a, print_of("/vsimem/print/changed.tif")));
    static const int factors[] = {2};
    GDALDatasetH dataset = GDALOpen("/vsimem/print/a.tif", GA_ReadOnly); /* read only: beside the file */
    assert_int_equal(GDALBuildOverviews(dataset, "AVERAGE", 1, (int *)factors, 0, NULL, NULL, NULL), CE_None);
    GDALClose(dataset);
    assert_false(same(a, print_of("/vsimem/print/a.tif")));
    VSIUnlink("/vsimem/print/a.tif.ovr");
    assert_true(same(a, print_of("/vsimem/print/a.tif")));
}

/* Every byte of a small file counts. */
static void small_files_are_read_whole(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/print/small.tif", 60, 40, 3);
    raster_make(&r);
    print before = print_of(r.path);
    for (vsi_l_offset at = 1000; at < 3000; at += 97) {
        copy(r.path, "/vsimem/print/changed.tif");
        put("/vsimem/print/changed.tif", at, "\n");
        assert_false(same(before, print_of("/vsimem/print/changed.tif")));
    }
}

/* Fewer places, and so another print, the same each time. */
static void far_files_are_sampled_less(void **state)
{
    (void)state;
    large("/vsimem/print/a.tif");
    VSIStatBufL stat;
    assert_int_equal(VSIStatL("/vsimem/print/a.tif", &stat), 0);
    char far[200];
    snprintf(far, sizeof far, "/vsisubfile/0_%lld,/vsimem/print/a.tif", (long long)stat.st_size);
    print a = print_of(far);
    assert_true(same(a, print_of(far)));
    put("/vsimem/print/a.tif", 5000, "***");
    assert_false(same(a, print_of(far)));
}

static raster piece(const char *path, int x, int seed)
{
    raster r = utm_raster(path, 90, 70, 3);
    r.transform[0] += 0.5 * x;
    raster_make(&r);
    GDALDatasetH dataset = GDALOpen(path, GA_Update);
    raster_fill(dataset, 1, 0, 0, 5, 5, seed);
    GDALClose(dataset);
    return r;
}

static void mosaics_are_their_parts_in_order(void **state)
{
    (void)state;
    piece("/vsimem/print/left.tif", 0, 1);
    piece("/vsimem/print/right.tif", 90, 2);
    const char *const paths[] = {"/vsimem/print/left.tif", "/vsimem/print/right.tif"};
    const char *const turned[] = {"/vsimem/print/right.tif", "/vsimem/print/left.tif"};
    print a = print_of_many(paths, 2);
    assert_true(same(a, print_of_many(paths, 2)));
    assert_false(same(a, print_of_many(turned, 2)));
    assert_false(same(a, print_of(paths[0])));
    piece("/vsimem/print/right.tif", 90, 3);
    assert_false(same(a, print_of_many(paths, 2)));
}

static void make_vrt(const char *path, const char *const *files, int count)
{
    GDALDatasetH dataset = GDALBuildVRT(path, count, NULL, files, NULL, NULL);
    assert_non_null(dataset);
    GDALClose(dataset);
}

static void vrts_are_followed(void **state)
{
    (void)state;
    const char *const files[] = {"/vsimem/print/left.tif", "/vsimem/print/right.tif"};
    const char *const inner[] = {"/vsimem/print/inner.vrt"};
    piece(files[0], 0, 1);
    piece(files[1], 90, 2);
    make_vrt("/vsimem/print/inner.vrt", files, 2);
    make_vrt("/vsimem/print/outer.vrt", inner, 1);
    print a = print_of("/vsimem/print/inner.vrt"), b = print_of("/vsimem/print/outer.vrt");
    /* The same files, with relative names, elsewhere. */
    copy("/vsimem/print/left.tif", "/vsimem/moved/left.tif");
    copy("/vsimem/print/right.tif", "/vsimem/moved/right.tif");
    copy("/vsimem/print/inner.vrt", "/vsimem/moved/inner.vrt");
    copy("/vsimem/print/outer.vrt", "/vsimem/moved/outer.vrt");
    assert_true(same(a, print_of("/vsimem/moved/inner.vrt")));
    assert_true(same(b, print_of("/vsimem/moved/outer.vrt")));
    piece(files[1], 90, 3);
    assert_false(same(a, print_of("/vsimem/print/inner.vrt")));
    assert_false(same(b, print_of("/vsimem/print/outer.vrt")));
}

static void a_file_that_went_away_is_named(void **state)
{
    (void)state;
    piece("/vsimem/print/gone.tif", 0, 1);
    pt_scene *scene = scene_open("/vsimem/print/gone.tif", NULL);
    uint8_t digest[PT_SHA256_BYTES] = {9};
    VSIUnlink("/vsimem/print/gone.tif");
    assert_status(pt_scene_fingerprint(scene, digest), PT_E_INPUT, "/vsimem/print/gone.tif",
                  "check the path");
    assert_int_equal(digest[0], 9);
    pt_scene_close(&scene);
}

static void layers_have_the_digest_of_their_bytes(void **state)
{
    (void)state;
    uint8_t digest[PT_SHA256_BYTES];
    char hex[PT_SHA256_HEX];
    VSIUnlink("/vsimem/print/layer.geojson");
    put("/vsimem/print/layer.geojson", 0, "abc");
    assert_int_equal(pt_scene_layer_sha256("/vsimem/print/layer.geojson", digest).code, PT_OK);
    pt_sha256_hex(digest, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_status(pt_scene_layer_sha256("/vsimem/print/none", digest), PT_E_INPUT, "/vsimem/print/none",
                  "check the path");
    pt_alloc_fail_after(0);
    pt_status status = pt_scene_layer_sha256("/vsimem/print/layer.geojson", digest);
    pt_alloc_fail_after(-1);
    assert_int_equal(status.code, PT_E_NOMEM);
}

typedef struct names {
    char text[400];
} names;

static pt_status add_name(void *user, const char *name)
{
    names *n = user;
    strcat(strcat(n->text, name), " ");
    return strstr(name, "right") ? pt_error(PT_E_STOPPED, "enough") : pt_ok();
}

static void files_are_listed_in_order(void **state)
{
    (void)state;
    const char *const paths[] = {"/vsimem/print/left.tif", "/vsimem/print/right.tif"};
    piece(paths[0], 0, 1);
    piece(paths[1], 90, 2);
    const char *const inner[] = {"/vsimem/print/left.tif"};
    make_vrt("/vsimem/print/one.vrt", inner, 1);
    names n = {""};
    pt_scene *scene = scene_open("/vsimem/print/right.tif", NULL);
    assert_int_equal(pt_scene_files(scene, add_name, &n).code, PT_E_STOPPED);
    assert_string_equal(n.text, "/vsimem/print/right.tif ");
    pt_scene_close(&scene);
    scene = scene_open("/vsimem/print/one.vrt", NULL);
    n.text[0] = '\0';
    assert_int_equal(pt_scene_files(scene, add_name, &n).code, PT_OK);
    assert_string_equal(n.text, "/vsimem/print/one.vrt /vsimem/print/left.tif ");
    pt_scene_close(&scene);
}

static void put_text(const char *path, const char *text)
{
    VSILFILE *file = VSIFOpenL(path, "wb");
    assert_non_null(file);
    assert_int_equal(VSIFWriteL(text, 1, strlen(text), file), strlen(text));
    VSIFCloseL(file);
}

/* A mask band's file, which GDAL does not list, and one that is chosen by a prefix. */
static const char hiding[] =
    "<VRTDataset rasterXSize='100' rasterYSize='100'><VRTRasterBand dataType='Byte' band='1'><SimpleSource>"
    "<SourceFilename>GTIFF_DIR:1:/vsimem/print/left.tif</SourceFilename></SimpleSource></"
    "VRTRasterBand><MaskBand>"
    "<VRTRasterBand dataType='Byte'><SimpleSource><SourceFilename "
    "relativeToVRT='1'>right.tif</SourceFilename>"
    "</SimpleSource></VRTRasterBand></MaskBand></VRTDataset>";

static void names_in_vrts_are_told(void **state)
{
    (void)state;
    piece("/vsimem/print/left.tif", 0, 1);
    piece("/vsimem/print/right.tif", 90, 2);
    put_text("/vsimem/print/hiding.vrt", hiding);
    put_text("/vsimem/print/around.vrt",
             "<VRTDataset><SourceFilename relativeToVRT='1'>hiding.vrt</SourceFilename></VRTDataset>");
    names n = {""};
    assert_int_equal(pt_scene_named("/vsimem/print/around.vrt", add_name, &n).code, PT_E_STOPPED);
    assert_string_equal(n.text, "/vsimem/print/hiding.vrt /vsimem/print/right.tif ");
    n.text[0] = '\0';
    assert_int_equal(pt_scene_named("/vsimem/print/left.tif", add_name, &n).code, PT_OK);
    assert_int_equal(pt_scene_named("/vsimem/print/nowhere.tif", add_name, &n).code, PT_OK);
    assert_string_equal(n.text, "");
    put_text("/vsimem/print/broken.vrt", "<VRTDataset><oh");
    assert_int_equal(pt_scene_named("/vsimem/print/broken.vrt", add_name, &n).code, PT_E_INPUT);
    put_text("/vsimem/print/round.vrt",
             "<VRTDataset><SourceFilename relativeToVRT='1'>round.vrt</SourceFilename>"
             "</VRTDataset>");
    assert_int_equal(pt_scene_named("/vsimem/print/round.vrt", add_name, &n).code, PT_E_INPUT);
    for (long after = 0;; after++) {
        pt_alloc_fail_after(after);
        n.text[0] = '\0';
        pt_status status = pt_scene_named("/vsimem/print/around.vrt", add_name, &n);
        pt_alloc_fail_after(-1);
        if (status.code == PT_E_STOPPED) {
            assert_true(after > 3);
            break;
        }
        assert_int_equal(status.code, PT_E_NOMEM);
    }
}

static void hidden_changes_show(void **state)
{
    (void)state;
    piece("/vsimem/print/left.tif", 0, 1);
    piece("/vsimem/print/right.tif", 0, 2);
    put_text("/vsimem/print/hiding.vrt", hiding);
    print a = print_of("/vsimem/print/hiding.vrt");
    piece("/vsimem/print/right.tif", 0, 3);
    print b = print_of("/vsimem/print/hiding.vrt");
    assert_false(same(a, b));
    piece("/vsimem/print/left.tif", 0, 4);
    assert_false(same(b, print_of("/vsimem/print/hiding.vrt")));
}

static void out_of_memory(void **state)
{
    (void)state;
    piece("/vsimem/print/left.tif", 0, 1);
    pt_scene *scene = scene_open("/vsimem/print/left.tif", NULL);
    uint8_t digest[PT_SHA256_BYTES];
    pt_status status;
    long n = 0;
    do {
        pt_alloc_fail_after(n++);
        status = pt_scene_fingerprint(scene, digest);
        pt_alloc_fail_after(-1);
        assert_true(status.code == PT_OK || status.code == PT_E_NOMEM);
    } while (status.code != PT_OK);
    assert_true(n > 3);
    pt_scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_notes_do_not_matter),
        cmocka_unit_test(changes_show),
        cmocka_unit_test(small_files_are_read_whole),
        cmocka_unit_test(far_files_are_sampled_less),
        cmocka_unit_test(mosaics_are_their_parts_in_order),
        cmocka_unit_test(vrts_are_followed),
        cmocka_unit_test(a_file_that_went_away_is_named),
        cmocka_unit_test(layers_have_the_digest_of_their_bytes),
        cmocka_unit_test(files_are_listed_in_order),
        cmocka_unit_test(names_in_vrts_are_told),
        cmocka_unit_test(hidden_changes_show),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
