/* What a worker opens for a job, what it refuses, and that all workers see the same. */
#include "tests/engine/network/tiny.h"
#include "tests/tiling/scene/raster.h"
#include "tests/worker/fixture.h"

#include <cpl_vsi.h>
#include <fcntl.h>
#include <gdal_utils.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const scenes[] = {"/vsimem/job/a.tif", "/vsimem/job/b.tif"};
static const char truth[] = "/vsimem/job/truth.gpkg";
static char *model; /* a small network, on disk */

static int make_files(void **state)
{
    (void)state;
    fixture_scene(scenes[0], 1);
    fixture_scene(scenes[1], 2);
    fixture_truth(truth);
    char *made = tiny_model(TINY_RESNET);
    model = realpath(made, NULL);
    free(made);
    return model ? 0 : -1;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(model);
    free(model);
    return 0;
}

/* A job of the small network, whose path is below "/". */
static pt_job_spec model_spec(void)
{
    pt_job_spec spec = fixture_spec(scenes, 1, NULL);
    spec.engine.kind = PT_ENGINE_MODEL;
    spec.engine.score = 0.05;
    assert_int_equal(pt_job_spec_set_text(&spec.engine.precision, "fp32").code, PT_OK);
    assert_int_equal(pt_job_spec_set_text(&spec.engine.path, model + 1).code, PT_OK);
    assert_int_equal(pt_worker_engine_sha256(PT_ENGINE_MODEL, model, spec.engine.sha256).code, PT_OK);
    return spec;
}

static pt_worker_access everything(void)
{
    pt_worker_access access = fixture_access();
    access.root = "/";
    return access;
}

static pt_worker_job *open_job(const pt_job_spec *spec, const pt_worker_access *access)
{
    pt_worker_job *job = NULL;
    assert_string_equal(pt_worker_job_open(spec, access, &job).message, "");
    assert_string_equal(pt_worker_job_check(job).message, "");
    return job;
}

static pt_status try_group(const pt_job_spec *spec, const pt_worker_access *access)
{
    pt_worker_job *job = NULL;
    pt_scene_reader *reader = NULL;
    pt_detector *detector = NULL;
    pt_status status = pt_worker_job_open(spec, access, &job);
    if (status.code == PT_OK) {
        status = pt_worker_job_group(job, 0, &reader, &detector);
        assert_true(status.code == PT_OK || (!reader && !detector));
    }
    pt_worker_job_close(&job);
    return status;
}

static void refused(const pt_job_spec *spec, const pt_worker_access *access, const char *name,
                    const char *why)
{
    pt_status status = try_group(spec, access);
    if (status.code != PT_E_INPUT || !strstr(status.message, name) || !strstr(status.message, why)) {
        fail_msg("wanted \"%s\" and \"%s\", got %s: %s", name, why, pt_code_name(status.code),
                 status.message);
    }
}

static pt_instance_list detect(pt_worker_job *job, size_t group, pt_rect rect)
{
    pt_scene_reader *reader = NULL;
    pt_detector *detector = NULL;
    pt_window window = {0};
    pt_instance_list found = {0};
    bool capped = false;
    assert_string_equal(pt_worker_job_group(job, group, &reader, &detector).message, "");
    assert_string_equal(pt_scene_reader_read(reader, rect, &window).message, "");
    assert_string_equal(pt_detector_detect(detector, 0, &window, &found, &capped).message, "");
    pt_window_fini(&window);
    return found;
}

static void test_the_oracle(void **state)
{
    (void)state;
    pt_job_spec spec = fixture_spec(scenes, 2, truth);
    pt_worker_access access = fixture_access();
    pt_worker_job *job = open_job(&spec, &access);
    assert_string_equal(pt_worker_job_backend(job), "");
    assert_int_equal(pt_worker_job_threads(job), 1);
    assert_true(pt_worker_job_progress(job) == 0);
    for (size_t group = 0; group < 3; group++) { /* there and back */
        pt_instance_list found = detect(job, group % 2, (pt_rect){192, 192, 128, 128});
        assert_in_range(found.count, 9, 25); /* squares every 34 pixels */
        pt_instance_list_fini(&found);
    }
    pt_scene_reader *reader;
    pt_detector *detector;
    assert_int_equal(pt_worker_job_group(job, 2, &reader, &detector).code, PT_E_USAGE);
    pt_worker_job_close(&job);
    assert_null(job);
    pt_worker_job_close(&job);
    pt_job_spec_fini(&spec);
}

static void test_the_network(void **state)
{
    (void)state;
    pt_job_spec spec = model_spec();
    pt_worker_access access = everything();
    pt_worker_job *job = open_job(&spec, &access);
    assert_memory_equal(pt_worker_job_sha256(job), spec.engine.sha256, PT_SHA256_BYTES);
    assert_non_null(strstr(pt_worker_job_backend(job), "("));
    assert_int_equal(pt_worker_job_threads(job), 1);
    pt_instance_list found = detect(job, 0, (pt_rect){192, 192, 64, 64});
    assert_true(pt_worker_job_progress(job) > 50);
    pt_instance_list_fini(&found);
    pt_worker_job_close(&job);
    pt_job_spec_fini(&spec);
}

/* One that was prepared ahead is the job's, or is not. */
static void test_the_network_ahead(void **state)
{
    (void)state;
    pt_job_spec spec = model_spec();
    for (int other = 0; other < 2; other++) {
        pt_worker_access access = everything();
        pt_engine_options options = pt_engine_defaults();
        options.threads = access.threads;
        options.score_threshold = other ? 0.5f : (float)spec.engine.score;
        options.max_detections = spec.engine.detections;
        options.max_proposals = spec.engine.proposals;
        options.precision = "fp32";
        assert_int_equal(pt_ahead_start(model, &options, &access.ahead).code, PT_OK);
        pt_worker_job *job = open_job(&spec, &access);
        assert_string_equal(pt_worker_job_check(job).message, "");
        pt_instance_list found = detect(job, 0, (pt_rect){192, 192, 64, 64});
        pt_instance_list_fini(&found);
        pt_worker_job_close(&job);
        pt_ahead_free(&access.ahead);
    }
    pt_worker_access access = everything();
    pt_engine_options options = pt_engine_defaults();
    assert_int_equal(pt_ahead_start(model, &options, &access.ahead).code, PT_OK);
    spec.groups[0].width++; /* the scene, which is opened before the engine is waited for, is another */
    assert_non_null(strstr(try_group(&spec, &access).message, "is not the job's scene"));
    pt_ahead_free(&access.ahead);
    pt_job_spec_fini(&spec);
}

/* The same file at a place of the worker's own; and another one. */
static void test_an_own_model(void **state)
{
    (void)state;
    pt_job_spec spec = model_spec();
    pt_worker_access access = everything();
    access.root = "/proc"; /* where the spec's path leads nowhere */
    refused(&spec, &access, "model", "see --root");
    access.model = model;
    assert_string_equal(try_group(&spec, &access).message, "");
    char *other = tiny_model(TINY_MOBILENET);
    access.model = other;
    pt_worker_job *job = NULL;
    assert_string_equal(pt_worker_job_open(&spec, &access, &job).message, "");
    pt_status status = pt_worker_job_check(job);
    char here[PT_SHA256_HEX], wanted[PT_SHA256_HEX];
    pt_sha256_hex(pt_worker_job_sha256(job), here);
    pt_sha256_hex(spec.engine.sha256, wanted);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, other));
    assert_non_null(strstr(status.message, here));
    assert_non_null(strstr(status.message, wanted));
    pt_worker_job_close(&job);
    unlink(other);
    free(other);
    pt_job_spec_fini(&spec);
}

static void test_a_backend_that_is_not_here(void **state)
{
    (void)state;
    pt_job_spec spec = model_spec();
    pt_worker_access access = everything();
    assert_int_equal(pt_job_spec_set_text(&spec.engine.backend, "portable").code, PT_OK);
    pt_worker_job *job = open_job(&spec, &access);
    assert_non_null(strstr(pt_worker_job_backend(job), "portable"));
    pt_worker_job_close(&job);
    assert_int_equal(pt_job_spec_set_text(&spec.engine.backend, "abacus").code, PT_OK);
    pt_status status = pt_worker_job_open(&spec, &access, &job);
    assert_int_equal(status.code, PT_E_USAGE);
    assert_null(job);
    assert_non_null(strstr(status.message, "abacus"));
    assert_non_null(strstr(status.message, "--backend auto"));
    pt_job_spec_fini(&spec);
}

static void test_pixels_by_message(void **state)
{
    (void)state;
    pt_scene_reader *reader = (pt_scene_reader *)1;
    pt_detector *detector = NULL;
    pt_job_spec spec = model_spec();
    assert_int_equal(pt_job_spec_set_text(&spec.groups[0].paths[0], "not/here.tif").code, PT_OK);
    pt_worker_access access = everything();
    access.no_scene = true;
    pt_worker_job *job = open_job(&spec, &access);
    assert_string_equal(pt_worker_job_group(job, 0, &reader, &detector).message, "");
    assert_null(reader);
    assert_non_null(detector);
    pt_worker_job_close(&job);
    pt_job_spec_fini(&spec);
    spec = fixture_spec(scenes, 1, truth);
    pt_status status = try_group(&spec, &access);
    assert_int_equal(status.code, PT_E_UNSUPPORTED);
    assert_non_null(strstr(status.message, "--no-scene"));
    pt_job_spec_fini(&spec);
}

static void test_another_scene(void **state)
{
    (void)state;
    pt_job_spec spec = fixture_spec(scenes, 1, truth);
    pt_worker_access access = fixture_access();
    char here[PT_SHA256_HEX], wanted[PT_SHA256_HEX];
    pt_sha256_hex(spec.groups[0].fingerprint, here);
    spec.groups[0].fingerprint[31] ^= 1;
    pt_sha256_hex(spec.groups[0].fingerprint, wanted);
    refused(&spec, &access, scenes[0], here);
    refused(&spec, &access, scenes[0], wanted);
    spec.groups[0].fingerprint[31] ^= 1;
    spec.groups[0].height = 300;
    refused(&spec, &access, scenes[0], "320 x 320 pixels here, 320 x 300 at the coordinator");
    spec.groups[0].height = 320;
    access.url_count = 0;
    refused(&spec, &access, truth, "no address that this worker allows");
    pt_job_spec_fini(&spec);
}

/* The coordinator's range is taken: sampling would give another for a scene of 16 bits. */
static void test_the_range_is_given(void **state)
{
    (void)state;
    raster r = utm_raster("/vsimem/job/wide.tif", FIXTURE_SIDE, FIXTURE_SIDE, 3);
    r.type = GDT_UInt16;
    r.value = raster_ramp;
    raster_make(&r);
    const char *const path[] = {r.path};
    pt_job_spec spec = fixture_spec(path, 1, truth);
    double lo = spec.groups[0].range_lo[0], hi = spec.groups[0].range_hi[0];
    assert_true(lo > 0 && hi < 640); /* percentiles of 2 * column */
    spec.groups[0].range_lo[0] = 0;
    spec.groups[0].range_hi[0] = 510;
    pt_worker_access access = fixture_access();
    pt_worker_job *job = open_job(&spec, &access);
    pt_scene_reader *reader;
    pt_detector *detector;
    pt_window window = {0};
    assert_string_equal(pt_worker_job_group(job, 0, &reader, &detector).message, "");
    assert_int_equal(pt_scene_reader_read(reader, (pt_rect){100, 0, 1, 1}, &window).code, PT_OK);
    assert_int_equal(window.rgb[0], 100);
    pt_window_fini(&window);
    pt_worker_job_close(&job);
    pt_job_spec_fini(&spec);
}

static void test_the_area_of_interest(void **state)
{
    (void)state;
    pt_job_spec spec = fixture_spec(scenes, 1, truth);
    pt_worker_access access = fixture_access();
    assert_int_equal(pt_job_spec_set_text(&spec.scene.aoi, truth).code, PT_OK);
    refused(&spec, &access, truth, "is not the job's area of interest");
    assert_int_equal(pt_scene_layer_sha256(truth, spec.scene.aoi_sha256).code, PT_OK);
    pt_worker_job *job = open_job(&spec, &access);
    pt_scene_reader *reader;
    pt_detector *detector;
    pt_area_state area;
    assert_string_equal(pt_worker_job_group(job, 0, &reader, &detector).message, "");
    assert_int_equal(pt_scene_reader_state(reader, (pt_rect){0, 0, 3, 3}, &area).code, PT_OK);
    assert_int_equal(area, PT_AREA_OUTSIDE); /* the first square begins at 4, 4 */
    pt_worker_job_close(&job);
    pt_job_spec_fini(&spec);
}

/* A VRT below the root may not lead out of it. */
static void test_what_a_vrt_names(void **state)
{
    (void)state;
    char base[] = "job-XXXXXX", real[PATH_MAX], root[PATH_MAX + 32], name[PATH_MAX + 32];
    assert_non_null(mkdtemp(base));
    assert_non_null(realpath(base, real));
    snprintf(root, sizeof root, "%s/root", real);
    mkdir(root, 0700);
    snprintf(name, sizeof name, "%s/outside.tif", real);
    raster r = utm_raster(name, 64, 64, 3);
    raster_make(&r);
    char vrt[PATH_MAX + 64];
    snprintf(vrt, sizeof vrt, "%s/scene.vrt", root);
    const char *files[] = {name};
    GDALDatasetH dataset = GDALBuildVRT(vrt, 1, NULL, files, NULL, NULL);
    assert_non_null(dataset);
    GDALClose(dataset);
    const char *const path[] = {vrt};
    pt_job_spec spec = fixture_spec(path, 1, truth);
    pt_worker_access access = fixture_access();
    access.root = root;
    assert_int_equal(pt_job_spec_set_text(&spec.groups[0].paths[0], "scene.vrt").code, PT_OK);
    refused(&spec, &access, name, "outside of this worker's root");
    access.root = real;
    assert_int_equal(pt_job_spec_set_text(&spec.groups[0].paths[0], "root/scene.vrt").code, PT_OK);
    assert_string_equal(try_group(&spec, &access).message, "");
    pt_job_spec_fini(&spec);
    unlink(vrt);
    unlink(name);
    rmdir(root);
    rmdir(real);
}

static void write_file(const char *folder, const char *name, const char *text);

/* By names that GDAL's list of a VRT's files leaves out. */
static void test_what_a_vrt_hides(void **state)
{
    (void)state;
    static const char *const sources[] = {
        "<MaskBand><VRTRasterBand dataType='Byte'><SimpleSource><SourceFilename>%s</SourceFilename>"
        "</SimpleSource></VRTRasterBand></MaskBand>",
        "<VRTRasterBand dataType='Byte' "
        "band='1'><SimpleSource><SourceFilename>GTIFF_DIR:1:%s</SourceFilename>"
        "</SimpleSource></VRTRasterBand>",
        "<VRTRasterBand dataType='Byte' "
        "band='1'><SimpleSource><SourceFilename>vrt://%s?bands=1</SourceFilename>"
        "</SimpleSource></VRTRasterBand>",
        "<VRTRasterBand dataType='Byte' band='1'><SimpleSource><SourceFilename>&lt;VRTDataset&gt;%s"
        "</SourceFilename></SimpleSource></VRTRasterBand>",
    };
    char base[] = "job-XXXXXX", real[PATH_MAX], root[PATH_MAX + 32], inside[PATH_MAX + 64];
    char outside[PATH_MAX + 32], named[2 * PATH_MAX], text[3 * PATH_MAX];
    assert_non_null(mkdtemp(base));
    assert_non_null(realpath(base, real));
    snprintf(root, sizeof root, "%s/root", real);
    mkdir(root, 0700);
    snprintf(inside, sizeof inside, "%s/scene.tif", root);
    snprintf(outside, sizeof outside, "%s/outside.tif", real);
    raster r = utm_raster(outside, 64, 64, 3);
    raster_make(&r);
    r = utm_raster(inside, 64, 64, 3);
    raster_make(&r);
    const char *const path[] = {inside};
    pt_job_spec spec = fixture_spec(path, 1, truth);
    pt_worker_access access = fixture_access();
    access.root = root;
    assert_int_equal(pt_job_spec_set_text(&spec.groups[0].paths[0], "outer.vrt").code, PT_OK);
    write_file(
        root, "outer.vrt",
        "<VRTDataset rasterXSize='64' rasterYSize='64'><VRTRasterBand dataType='Byte' band='1'><SimpleSource>"
        "<SourceFilename relativeToVRT='1'>inner.vrt</SourceFilename></SimpleSource></VRTRasterBand>"
        "</VRTDataset>");
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        snprintf(named, sizeof named, sources[i], outside);
        snprintf(text, sizeof text, "<VRTDataset rasterXSize='64' rasterYSize='64'>%s</VRTDataset>", named);
        write_file(root, "inner.vrt", text);
        refused(&spec, &access, "scene", i < 2 ? "outside of this worker's root" : "see --root");
    }
    pt_job_spec_fini(&spec);
    static const char *const made[] = {"root/outer.vrt", "root/inner.vrt", "root/scene.tif", "outside.tif"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        snprintf(text, sizeof text, "%s/%s", real, made[i]);
        assert_int_equal(unlink(text), 0);
    }
    rmdir(root);
    rmdir(real);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[2 * PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_digests_of_engines(void **state)
{
    (void)state;
    uint8_t a[PT_SHA256_BYTES], b[PT_SHA256_BYTES];
    static const uint8_t zero[PT_SHA256_BYTES];
    assert_int_equal(pt_worker_engine_sha256(PT_ENGINE_NULL, NULL, a).code, PT_OK);
    assert_memory_equal(a, zero, sizeof a);
    char folder[] = "replay-XXXXXX", path[PATH_MAX];
    assert_non_null(mkdtemp(folder));
    write_file(folder, "0.json", "{}");
    write_file(folder, "1.json", "{ }");
    assert_int_equal(pt_worker_engine_sha256(PT_ENGINE_REPLAY, folder, a).code, PT_OK);
    write_file(folder, "notes.txt", "not a replay");
    assert_int_equal(pt_worker_engine_sha256(PT_ENGINE_REPLAY, folder, b).code, PT_OK);
    assert_memory_equal(a, b, sizeof a);
    write_file(folder, "1.json", "{  }");
    assert_int_equal(pt_worker_engine_sha256(PT_ENGINE_REPLAY, folder, b).code, PT_OK);
    assert_memory_not_equal(a, b, sizeof a);
    pt_alloc_fail_after(0);
    pt_status status = pt_worker_engine_sha256(PT_ENGINE_REPLAY, folder, b);
    pt_alloc_fail_after(-1);
    assert_int_equal(status.code, PT_E_NOMEM);
    static const char *const names[] = {"0.json", "1.json", "notes.txt"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
    assert_int_equal(pt_worker_engine_sha256(PT_ENGINE_REPLAY, folder, b).code, PT_E_INPUT);
    assert_int_equal(pt_worker_engine_sha256(PT_ENGINE_MODEL, folder, b).code, PT_E_INPUT);
    assert_int_equal(pt_worker_engine_sha256(PT_ENGINE_ORACLE, "/vsimem/none", b).code, PT_E_INPUT);
    assert_int_equal(pt_worker_engine_sha256((pt_engine_kind)9, folder, b).code, PT_E_USAGE);
}

static void test_drivers_are_the_workers_to_allow(void **state)
{
    (void)state;
    pt_job_spec spec = fixture_spec(scenes, 1, truth);
    pt_worker_access access = fixture_access();
    assert_int_equal(pt_job_spec_add_text(&spec.scene.drivers, &spec.scene.driver_count, "WMS").code, PT_OK);
    refused(&spec, &access, "WMS", "see --driver");
    static const char *const drivers[] = {"GIF", "wms"};
    access.drivers = drivers;
    access.driver_count = 1;
    refused(&spec, &access, "WMS", "see --driver");
    access.driver_count = 2;
    assert_string_equal(try_group(&spec, &access).message, "");
    pt_job_spec_fini(&spec);
}

/* A layer in a format that only names where the layer is. */
static void test_layers_name_no_others(void **state)
{
    (void)state;
    static const char path[] = "/vsimem/job/elsewhere.vrt";
    char text[256];
    snprintf(text, sizeof text,
             "<OGRVRTDataSource><OGRVRTLayer name='t'><SrcDataSource>%s</SrcDataSource></OGRVRTLayer>"
             "</OGRVRTDataSource>",
             truth);
    VSILFILE *file = VSIFOpenL(path, "wb");
    assert_non_null(file);
    assert_int_equal(VSIFWriteL(text, 1, strlen(text), file), strlen(text));
    VSIFCloseL(file);
    pt_job_spec spec = fixture_spec(scenes, 1, path);
    pt_worker_access access = fixture_access();
    refused(&spec, &access, path, "not a vector file");
    pt_job_spec_fini(&spec);
    VSIUnlink(path);
}

/* The folder lies below the root; what a link in it leads to does not. */
static void test_links_among_replays(void **state)
{
    (void)state;
    char base[] = "job-XXXXXX", real[PATH_MAX], root[PATH_MAX + 32], path[PATH_MAX + 64];
    assert_non_null(mkdtemp(base));
    assert_non_null(realpath(base, real));
    snprintf(root, sizeof root, "%s/root", real);
    mkdir(root, 0700);
    snprintf(path, sizeof path, "%s/replay", root);
    mkdir(path, 0700);
    write_file(real, "outside.json", "{}");
    snprintf(path, sizeof path, "%s/replay/0.json", root);
    assert_int_equal(symlink("../../outside.json", path), 0);
    pt_job_spec spec = fixture_spec(scenes, 1, truth);
    spec.engine.kind = PT_ENGINE_REPLAY;
    assert_int_equal(pt_job_spec_set_text(&spec.engine.path, "replay").code, PT_OK);
    pt_worker_access access = fixture_access();
    access.root = root;
    refused(&spec, &access, "outside.json", "outside of this worker's root");
    assert_int_equal(pt_job_spec_set_text(&spec.engine.path, "root/replay").code, PT_OK);
    access.root = real;
    assert_string_equal(try_group(&spec, &access).message, "");
    pt_job_spec_fini(&spec);
    static const char *const made[] = {"root/replay/0.json", "outside.json"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        snprintf(path, sizeof path, "%s/%s", real, made[i]);
        assert_int_equal(unlink(path), 0);
    }
    snprintf(path, sizeof path, "%s/replay", root);
    rmdir(path);
    rmdir(root);
    rmdir(real);
}

/* The hooks are for engines that are none. */
static void test_faults_are_not_for_networks(void **state)
{
    (void)state;
    pt_job_spec spec = model_spec(), null_spec = fixture_spec(scenes, 1, NULL);
    pt_worker_access access = everything();
    setenv("PANTILE_TEST_FAULTS", "nonsense", 1);
    assert_string_equal(try_group(&spec, &access).message, "");
    assert_int_equal(try_group(&null_spec, &access).code, PT_E_USAGE);
    unsetenv("PANTILE_TEST_FAULTS");
    assert_string_equal(try_group(&null_spec, &access).message, "");
    pt_job_spec_fini(&spec);
    pt_job_spec_fini(&null_spec);
}

static void test_bad_arguments_and_memory(void **state)
{
    (void)state;
    pt_job_spec spec = fixture_spec(scenes, 1, truth);
    pt_worker_access access = fixture_access();
    access.threads = -1;
    assert_int_equal(try_group(&spec, &access).code, PT_E_USAGE);
    access.threads = 1;
    pt_status status;
    long n = 0;
    do {
        pt_alloc_fail_after(n++);
        status = try_group(&spec, &access);
        pt_alloc_fail_after(-1);
        assert_true(status.code == PT_OK || status.code == PT_E_NOMEM);
    } while (status.code != PT_OK);
    assert_true(n > 10);
    pt_job_spec_fini(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_oracle),
        cmocka_unit_test(test_the_network),
        cmocka_unit_test(test_the_network_ahead),
        cmocka_unit_test(test_an_own_model),
        cmocka_unit_test(test_a_backend_that_is_not_here),
        cmocka_unit_test(test_pixels_by_message),
        cmocka_unit_test(test_another_scene),
        cmocka_unit_test(test_the_range_is_given),
        cmocka_unit_test(test_the_area_of_interest),
        cmocka_unit_test(test_what_a_vrt_names),
        cmocka_unit_test(test_what_a_vrt_hides),
        cmocka_unit_test(test_drivers_are_the_workers_to_allow),
        cmocka_unit_test(test_layers_name_no_others),
        cmocka_unit_test(test_links_among_replays),
        cmocka_unit_test(test_digests_of_engines),
        cmocka_unit_test(test_faults_are_not_for_networks),
        cmocka_unit_test(test_bad_arguments_and_memory),
    };
    unsetenv("PANTILE_TEST_FAULTS");
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
