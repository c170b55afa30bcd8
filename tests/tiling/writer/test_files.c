/* What lies in the folder before, while and after a file is written, and what the disk may do to it. */
#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <gdal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const outputs[] = {"out.geojson", "out.geojsonl", "out.gpkg", "out.fgb"};
enum { OUTPUTS = sizeof outputs / sizeof *outputs };

static void must_fail(pt_status status, pt_code code, const char *path)
{
    assert_int_equal(status.code, code);
    assert_non_null(strstr(status.message, path)); /* names the file */
    assert_null(strchr(status.message, '\n'));
}

static pt_writer_options options(bool overwrite)
{
    pt_writer_options o = pt_writer_defaults();
    o.overwrite = overwrite;
    return o;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

static bool holds(const char *path, const char *text)
{
    char found[100] = "";
    FILE *file = fopen(path, "r");
    found[fread(found, 1, sizeof found - 1, file)] = '\0';
    fclose(file);
    return strcmp(found, text) == 0;
}

/* Opens PATH and writes `count` features to it. */
static pt_status begin(const char *path, bool overwrite, int count, pt_writer **writer)
{
    pt_georef georef = sample_georef(32633, 500000, 5300000, 1);
    pt_writer_options o = options(overwrite);
    pt_status status = pt_writer_open(path, &o, writer);
    if (status.code == PT_OK) {
        status = pt_writer_source(*writer, &georef);
    }
    for (int i = 0; i < count && status.code == PT_OK; i++) {
        pt_feature feature = sample_feature(20 * i, 0, 9, 9);
        status = pt_writer_write(*writer, &feature);
        pt_feature_fini(&feature);
    }
    sample_georef_free(&georef);
    return status;
}

static void test_existing_file(void **state)
{
    (void)state;
    for (int k = 0; k < OUTPUTS; k++) {
        scratch_clear();
        const char *path = scratch_path(outputs[k]);
        pt_writer *writer = NULL;
        put(path, "old");
        must_fail(begin(path, false, 1, &writer), PT_E_EXISTS, path);
        assert_null(writer);
        assert_int_equal(scratch_files(), 1);

        must(begin(path, true, 1, &writer));
        assert_true(holds(path, "old"));
        pt_writer_close(&writer); /* without commit */
        assert_true(holds(path, "old"));
        assert_int_equal(scratch_files(), 1);

        must(begin(path, true, 1, &writer));
        must(pt_writer_commit(writer));
        assert_false(holds(path, "old"));
        pt_writer_close(&writer);
        assert_int_equal(scratch_files(), 1);
    }
}

/* A file that comes up while ours is being written is not replaced. */
static void test_file_comes_up(void **state)
{
    (void)state;
    for (int k = 0; k < OUTPUTS; k++) {
        scratch_clear();
        const char *path = scratch_path(outputs[k]);
        pt_writer *writer = NULL;
        must(begin(path, false, 1, &writer));
        put(path, "theirs");
        must_fail(pt_writer_commit(writer), PT_E_EXISTS, path);
        pt_writer_close(&writer);
        assert_true(holds(path, "theirs"));
        assert_int_equal(scratch_files(), 1);
    }
}

/* Two writers of one output do not disturb each other; the last one to commit stands. */
static void test_two_writers(void **state)
{
    (void)state;
    for (int k = 0; k < OUTPUTS; k++) {
        scratch_clear();
        const char *path = scratch_path(outputs[k]);
        pt_writer *first = NULL, *second = NULL;
        must(begin(path, true, 3, &first));
        must(begin(path, true, 5, &second));
        must(pt_writer_commit(second));
        must(pt_writer_commit(first));
        pt_writer_close(&first);
        pt_writer_close(&second);
        GDALDatasetH file = GDALOpenEx(path, GDAL_OF_VECTOR, NULL, NULL, NULL);
        assert_int_equal(OGR_L_GetFeatureCount(GDALDatasetGetLayer(file, 0), 1), 3);
        GDALClose(file);
        assert_int_equal(scratch_files(), 1);
    }
}

/* The leftovers of a killed process go when the output is opened again; a living one's stay. */
static void test_leftovers(void **state)
{
    (void)state;
    for (int k = 0; k < OUTPUTS; k++) {
        scratch_clear();
        const char *path = scratch_path(outputs[k]);
        pt_writer *alive = NULL, *writer = NULL;
        pid_t child = fork();
        if (child == 0) {
            pt_writer *killed = NULL;
            _exit(begin(path, false, 1, &killed).code == PT_OK ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        size_t left = scratch_files();
        assert_true(k == 3 || left >= 1); /* FlatGeobuf has no file until it is closed */
        assert_int_not_equal(access(path, F_OK), 0);
        must(begin(path, false, 1, &alive));
        must(begin(path, false, 1, &writer));
        must(pt_writer_commit(writer));
        pt_writer_close(&writer);
        assert_true(scratch_files() >= 2 || k == 3);
        pt_writer_close(&alive);
        assert_int_equal(scratch_files(), 1);
    }
}

static void test_impossible_places(void **state)
{
    (void)state;
    pt_writer *writer = NULL;
    put(scratch_path("file"), "x");
    const char *const paths[] = {"no-such-folder/out.geojson", "file/out.gpkg"};
    for (int i = 0; i < 2; i++) {
        must_fail(begin(scratch_path(paths[i]), true, 0, &writer), PT_E_WRITE, scratch_path(paths[i]));
    }
    mkdir(scratch_path("folder.fgb"), 0755);
    must_fail(begin(scratch_path("folder.fgb"), true, 0, &writer), PT_E_WRITE, "folder.fgb");
    const char *const unknown[] = {"out", "out.shp", ".geojson", "out.geojson/", "out."};
    for (int i = 0; i < 5; i++) {
        must_fail(begin(scratch_path(unknown[i]), true, 0, &writer), PT_E_USAGE, unknown[i]);
    }
    char name[400]; /* longer than names may be once the partial file's addition is there */
    snprintf(name, sizeof name, "%s/%0245d.json", scratch, 0);
    must_fail(begin(name, true, 0, &writer), PT_E_WRITE, "000");
    if (geteuid() != 0) {
        mkdir(scratch_path("closed"), 0555);
        must_fail(begin(scratch_path("closed/out.fgb"), true, 0, &writer), PT_E_WRITE, "closed");
    }
    scratch_clear();
}

/* The old database's journals must not meet the new database. */
static void test_old_journals(void **state)
{
    (void)state;
    pt_writer *writer = NULL;
    const char *path = scratch_path("out.gpkg");
    put(path, "old");
    put(scratch_path("out.gpkg-wal"), "old");
    put(scratch_path("out.gpkg-journal"), "old");
    must(begin(path, true, 1, &writer));
    must(pt_writer_commit(writer));
    pt_writer_close(&writer);
    assert_int_equal(scratch_files(), 1);
    scratch_clear();
}

/* A relative path without a folder is one in the working folder. */
static void test_relative_path(void **state)
{
    (void)state;
    char before[1000];
    pt_writer *writer = NULL;
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(scratch), 0);
    must(begin("out.json", false, 1, &writer));
    must(pt_writer_commit(writer));
    pt_writer_close(&writer);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(access(scratch_path("out.json"), F_OK), 0);
    scratch_clear();
}

/* On a disk of a few blocks each format fails with PT_E_NOSPACE, however much fits, and leaves nothing. */
static void test_full_disk(void **state)
{
    (void)state;
    mkdir(scratch_path("disk"), 0755);
    const char *disk = scratch_path("disk");
    if (mount("tmpfs", disk, "tmpfs", 0, "size=256k") != 0) {
        print_message("SKIPPED: a disk that runs full needs the right to mount (%s)\n", strerror(errno));
        rmdir(disk);
        skip();
    }
    for (int k = 0; k < OUTPUTS; k++) {
        char path[200];
        snprintf(path, sizeof path, "%s/%s", scratch, "disk/");
        strcat(path, outputs[k]);
        put(path, "old");
        int failed = 0;
        for (int count = 0; count <= 6000; count += 750) {
            pt_writer *writer = NULL;
            pt_status status = begin(path, true, count, &writer);
            if (status.code == PT_OK) {
                status = pt_writer_commit(writer);
            }
            if (status.code != PT_OK) {
                must_fail(status, PT_E_NOSPACE, outputs[k]);
                failed++;
            }
            pt_writer_close(&writer);
            if (status.code == PT_OK) {
                /* what was committed is whole */
                GDALDatasetH file = GDALOpenEx(path, GDAL_OF_VECTOR, NULL, NULL, NULL);
                assert_true(count == 0 || OGR_L_GetFeatureCount(GDALDatasetGetLayer(file, 0), 1) == count);
                if (file) {
                    GDALClose(file);
                }
                unlink(path);
                put(path, "old");
            }
            assert_true(holds(path, "old"));
        }
        assert_true(failed >= 2);
        unlink(path);
    }
    assert_int_equal(umount(disk), 0);
    scratch_clear();
}

/* ---- overlay ---- */

static void test_overlay(void **state)
{
    (void)state;
    enum { W = 60, H = 40 };
    uint8_t *rgb = malloc(W * H * 3);
    memset(rgb, 100, W * H * 3);
    pt_overlay *overlay = NULL;
    must(pt_overlay_new(rgb, W, H, 0.5, 0.5, &overlay));
    pt_feature feature = sample_feature(20, 20, 60, 30), outside = sample_feature(-500, -500, 1e6, 100);
    must(pt_overlay_draw(overlay, &feature));
    must(pt_overlay_draw(overlay, &outside));
    const char *path = scratch_path("out.png");
    must(pt_overlay_save(overlay, path, false));
    must_fail(pt_overlay_save(overlay, path, false), PT_E_EXISTS, path);
    must(pt_overlay_save(overlay, path, true));
    must_fail(pt_overlay_save(overlay, scratch_path("out.jpg"), true), PT_E_USAGE, "out.jpg");
    must_fail(pt_overlay_save(overlay, scratch_path("none/out.png"), true), PT_E_WRITE, "none");
    assert_int_equal(scratch_files(), 1);
    pt_overlay_free(&overlay);
    assert_null(overlay);
    pt_overlay_free(&overlay);

    GDALDatasetH png = GDALOpen(path, GA_ReadOnly);
    assert_int_equal(GDALGetRasterXSize(png), W);
    assert_int_equal(GDALGetRasterYSize(png), H);
    assert_int_equal(GDALDatasetRasterIO(png, GF_Read, 0, 0, W, H, rgb, W, H, GDT_Byte, 3, NULL, 3, 3 * W, 1),
                     CE_None);
    GDALClose(png);
    const struct {
        int x, y;
        uint8_t red, blue;
    } pixels[] = {{5, 30, 100, 100},  /* outside */
                  {10, 18, 255, 0},   /* on the outline */
                  {14, 14, 125, 84},  /* inside: a light fill */
                  {25, 17, 100, 100}, /* in the hole */
                  {39, 24, 255, 0}};
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++) {
        const uint8_t *p = rgb + (pixels[i].y * W + pixels[i].x) * 3;
        assert_int_equal(p[0], pixels[i].red);
        assert_int_equal(p[2], pixels[i].blue);
    }
    pt_feature_fini(&feature);
    pt_feature_fini(&outside);
    free(rgb);
    scratch_clear();
}

static void test_overlay_refuses(void **state)
{
    (void)state;
    uint8_t rgb[12] = {0};
    pt_overlay *overlay = NULL;
    assert_int_equal(pt_overlay_new(rgb, 0, 2, 1, 1, &overlay).code, PT_E_USAGE);
    assert_int_equal(pt_overlay_new(rgb, 2, 2, 0, 1, &overlay).code, PT_E_USAGE);
    pt_feature feature = sample_feature(0, 0, 2, 2);
    pt_status status = pt_error(PT_E_NOMEM, "not yet");
    int fails = 0;
    for (long n = 0; status.code != PT_OK; n++, fails++) {
        pt_alloc_fail_after(n);
        status = pt_overlay_new(rgb, 2, 2, 1, 1, &overlay);
        if (status.code == PT_OK) {
            status = pt_overlay_draw(overlay, &feature);
        }
        if (status.code == PT_OK) {
            status = pt_overlay_save(overlay, scratch_path("out.png"), true);
        }
        pt_overlay_free(&overlay);
        pt_alloc_fail_after(-1);
        assert_true(status.code == PT_OK || status.code == PT_E_NOMEM);
    }
    assert_true(fails > 4);
    pt_feature_fini(&feature);
    scratch_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_existing_file),     cmocka_unit_test(test_file_comes_up),
        cmocka_unit_test(test_two_writers),       cmocka_unit_test(test_leftovers),
        cmocka_unit_test(test_impossible_places), cmocka_unit_test(test_old_journals),
        cmocka_unit_test(test_relative_path),     cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_overlay),           cmocka_unit_test(test_overlay_refuses),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
