/* The coverage layer, read back by GDAL. test_coverage SCENE */
#include "coordinator/assemble/coverage.h"
#include "tiling/scene/scene.h"

#include <gdal.h>
#include <math.h>
#include <ogr_api.h>
#include <ogr_srs_api.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *example;
static char folder[64], path[100];

static int set_up(void **state)
{
    (void)state;
    GDALAllRegister();
    strcpy(folder, "/tmp/pantile-coverage-XXXXXX");
    if (!mkdtemp(folder)) {
        return 1;
    }
    snprintf(path, sizeof path, "%s/cov.geojson", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pt_alloc_fail_after(-1);
    unlink(path);
    return rmdir(folder); /* nothing else is left in it */
}

static void must(pt_status status)
{
    assert_string_equal(status.message, "");
    assert_int_equal(status.code, PT_OK);
}

static pt_job_spec spec_of(int64_t width, int64_t height, size_t groups)
{
    pt_job_spec spec = {.group_count = groups};
    spec.groups = pt_calloc(groups, sizeof *spec.groups);
    for (size_t g = 0; g < groups; g++) {
        spec.groups[g].width = width;
        spec.groups[g].height = height;
    }
    spec.grid.tile = 128;
    spec.grid.overlap = 32;
    spec.grid.lattice = 32;
    return spec;
}

static pt_coverage_tile tile_of(int64_t tile)
{
    static const char *const reasons[] = {"block \"7\" cannot be read", "no UTF-8: \xff\xfe, a bell: \a"};
    pt_tile_outcome outcome = (pt_tile_outcome)(tile % 4);
    return (pt_coverage_tile){.tile = tile,
                              .outcome = outcome,
                              .attempts = 1 + (int)(tile % 3),
                              .worker = tile % 2 ? "host:17" : "gdansk\xc5\x84:18",
                              .reason = outcome == PT_TILE_FAILED ? reasons[tile / 4 % 2] : NULL,
                              .seconds = 0.0004 + 0.25 * (double)tile,
                              .detections = tile * 3};
}

static pt_status write_all(const pt_job_spec *spec, const pt_georef *const *georefs, bool overwrite)
{
    pt_coverage *coverage = NULL;
    pt_status status = pt_coverage_open(path, overwrite, spec, georefs, &coverage);
    int64_t tiles = pt_job_spec_tiles(spec);
    for (int64_t tile = 0; tile < tiles && status.code == PT_OK; tile++) {
        pt_coverage_tile t = tile_of(tile);
        status = pt_coverage_add(coverage, &t);
    }
    if (status.code == PT_OK) {
        status = pt_coverage_commit(coverage);
    }
    pt_coverage_close(&coverage);
    assert_null(coverage);
    return status;
}

static void check_properties(OGRFeatureH feature, const pt_coverage_tile *t, int group)
{
    static const char *const states[] = {"done", "empty", "outside", "quarantined"};
    static const char *const names[] = {"tile",     "group",   "state",      "worker",
                                        "attempts", "seconds", "detections", "reason"};
    for (int i = 0; i < 8; i++) {
        assert_int_equal(OGR_F_GetFieldIndex(feature, names[i]), i);
    }
    assert_int_equal(OGR_F_GetFieldAsInteger64(feature, 0), t->tile);
    assert_int_equal(OGR_F_GetFieldAsInteger(feature, 1), group);
    assert_string_equal(OGR_F_GetFieldAsString(feature, 2), states[t->outcome]);
    assert_string_equal(OGR_F_GetFieldAsString(feature, 3), t->worker);
    assert_int_equal(OGR_F_GetFieldAsInteger(feature, 4), t->attempts);
    assert_true(fabs(OGR_F_GetFieldAsDouble(feature, 5) - 0.25 * (double)t->tile) < 1e-9);
    assert_int_equal(OGR_F_GetFieldAsInteger64(feature, 6), t->detections);
    if (!t->reason) {
        assert_true(OGR_F_IsFieldNull(feature, 7));
    } else if (strchr(t->reason, '"')) {
        assert_string_equal(OGR_F_GetFieldAsString(feature, 7), t->reason);
    } else {
        assert_string_equal(OGR_F_GetFieldAsString(feature, 7), "no UTF-8: ??, a bell: \a");
    }
}

/* Counter-clockwise, closed, valid. */
static void check_shape(OGRGeometryH polygon)
{
    assert_int_equal(wkbFlatten(OGR_G_GetGeometryType(polygon)), wkbPolygon);
    assert_true(OGR_G_IsValid(polygon));
    OGRGeometryH ring = OGR_G_GetGeometryRef(polygon, 0);
    double twice = 0;
    for (int i = 0; i + 1 < OGR_G_GetPointCount(ring); i++) {
        double x0 = OGR_G_GetX(ring, 0), y0 = OGR_G_GetY(ring, 0);
        twice += (OGR_G_GetX(ring, i) - x0) * (OGR_G_GetY(ring, i + 1) - y0) -
                 (OGR_G_GetX(ring, i + 1) - x0) * (OGR_G_GetY(ring, i) - y0);
    }
    assert_true(twice > 0);
}

/* Reads all tiles of `spec` back, in order; their area as drawn. */
static double check_layer(const pt_job_spec *spec, OGREnvelope *extent)
{
    double area = 0;
    GDALDatasetH file = GDALOpenEx(path, GDAL_OF_VECTOR | GDAL_OF_VERBOSE_ERROR, NULL, NULL, NULL);
    assert_non_null(file);
    OGRLayerH layer = GDALDatasetGetLayer(file, 0);
    int64_t tiles = pt_job_spec_tiles(spec), each = tiles / (int64_t)spec->group_count;
    assert_int_equal(OGR_L_GetFeatureCount(layer, 1), tiles);
    OGR_L_GetExtent(layer, extent, 1);
    for (int64_t tile = 0; tile < tiles; tile++) {
        OGRFeatureH feature = OGR_L_GetNextFeature(layer);
        pt_coverage_tile t = tile_of(tile);
        check_properties(feature, &t, (int)(tile / each));
        check_shape(OGR_F_GetGeometryRef(feature));
        area += OGR_G_Area(OGR_F_GetGeometryRef(feature));
        OGR_F_Destroy(feature);
    }
    GDALClose(file);
    return area;
}

/* Cores partition the scene, so their areas add up to its own. */
static void test_example_scene(void **state)
{
    (void)state;
    pt_scene_options options = pt_scene_defaults();
    options.gsd_mode = PT_GSD_NATIVE;
    pt_scene *scene = NULL;
    must(pt_scene_open(&example, 1, &options, &scene));
    const pt_scene_info *info = pt_scene_describe(scene);
    pt_job_spec spec = spec_of(info->native_width, info->native_height, 1);
    const pt_georef *georef = &info->georef;
    must(write_all(&spec, &georef, false));

    OGREnvelope extent;
    double area = check_layer(&spec, &extent);
    double width = extent.MaxX - extent.MinX, height = extent.MaxY - extent.MinY;
    assert_true(extent.MinX > 39 && extent.MaxX < 40 && extent.MinY > -7 && extent.MaxY < -5); /* Zanzibar */
    assert_true(fabs(area / (width * height) - 1) < 0.03); /* UTM's north is almost true there */
    pt_job_spec_fini(&spec);
    pt_scene_close(&scene);
}

/* Pixels, y up, 3 decimals. */
static void test_without_crs(void **state)
{
    (void)state;
    pt_georef georef = {.transform = {0, 1, 0, 0, 0, 1}};
    const pt_georef *georefs[] = {&georef, &georef};
    pt_job_spec spec = spec_of(300, 200, 2);
    must(write_all(&spec, georefs, false));
    OGREnvelope extent;
    double area = check_layer(&spec, &extent);
    assert_true(area == 2 * 300 * 200);
    assert_true(extent.MinX == 0 && extent.MaxX == 300 && extent.MinY == -200 && extent.MaxY == 0);
    char head[60] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(fgets(head, sizeof head, file));
    fclose(file);
    assert_non_null(strstr(head, "\"crs\":null"));
    pt_job_spec_fini(&spec);
}

static char *wkt_of(int epsg)
{
    OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
    char *wkt = NULL;
    assert_int_equal(OSRImportFromEPSG(crs, epsg), OGRERR_NONE);
    OSRExportToWktEx(crs, &wkt, (const char *const[]){"FORMAT=WKT2_2019", NULL});
    OSRDestroySpatialReference(crs);
    return wkt;
}

/* Tiles over the antimeridian are cut there. */
static void test_antimeridian(void **state)
{
    (void)state;
    pt_georef georef = {.transform = {179.9, 0.001, 0, 10, 0, -0.001}, .wkt = wkt_of(4326)};
    const pt_georef *georefs[] = {&georef};
    pt_job_spec spec = spec_of(200, 100, 1); /* two tiles; the first reaches beyond 180 degrees */
    must(write_all(&spec, georefs, false));
    GDALDatasetH file = GDALOpenEx(path, GDAL_OF_VECTOR, NULL, NULL, NULL);
    OGRLayerH layer = GDALDatasetGetLayer(file, 0);
    OGRFeatureH first = OGR_L_GetNextFeature(layer);
    OGRGeometryH shape = OGR_F_GetGeometryRef(first);
    assert_int_equal(wkbFlatten(OGR_G_GetGeometryType(shape)), wkbMultiPolygon);
    assert_int_equal(OGR_G_GetGeometryCount(shape), 2);
    assert_true(fabs(OGR_G_Area(shape) - 0.112 * 0.1) < 1e-9); /* the first core has 112 columns */
    OGR_F_Destroy(first);
    GDALClose(file);
    free(georef.wkt);
    pt_job_spec_fini(&spec);
}

/* A tile that lies nowhere on the ground stands there all the same. */
static void test_nowhere(void **state)
{
    (void)state;
    /* UTM, 1e9 m north of the equator: far beyond the pole. */
    pt_georef georef = {.transform = {0, 1e7, 0, 1e9, 0, -1e7}, .wkt = wkt_of(32633)};
    const pt_georef *georefs[] = {&georef};
    pt_job_spec spec = spec_of(100, 100, 1);
    must(write_all(&spec, georefs, false));
    GDALDatasetH file = GDALOpenEx(path, GDAL_OF_VECTOR, NULL, NULL, NULL);
    OGRFeatureH first = OGR_L_GetNextFeature(GDALDatasetGetLayer(file, 0));
    assert_non_null(first);
    assert_null(OGR_F_GetGeometryRef(first));
    assert_string_equal(OGR_F_GetFieldAsString(first, OGR_F_GetFieldIndex(first, "state")), "done");
    OGR_F_Destroy(first);
    GDALClose(file);
    free(georef.wkt);
    pt_job_spec_fini(&spec);
}

static void test_existing_file(void **state)
{
    (void)state;
    pt_georef georef = {.transform = {0, 1, 0, 0, 0, 1}};
    const pt_georef *georefs[] = {&georef};
    pt_job_spec spec = spec_of(100, 100, 1);
    must(write_all(&spec, georefs, false));
    assert_int_equal(write_all(&spec, georefs, false).code, PT_E_EXISTS);
    must(write_all(&spec, georefs, true));
    pt_coverage *coverage = NULL;
    unlink(path);
    must(pt_coverage_open(path, false, &spec, georefs, &coverage));
    pt_coverage_close(&coverage); /* without commit there is nothing */
    assert_int_equal(access(path, F_OK), -1);
    pt_job_spec_fini(&spec);
}

static void test_refusals(void **state)
{
    (void)state;
    pt_georef georef = {.transform = {0, 1, 0, 0, 0, 1}};
    const pt_georef *georefs[] = {&georef};
    pt_job_spec spec = spec_of(300, 300, 1);
    pt_coverage *coverage = NULL;
    assert_int_equal(pt_coverage_check("cov.gpkg").code, PT_E_USAGE);
    assert_int_equal(pt_coverage_check("cov").code, PT_E_USAGE);
    must(pt_coverage_check("cov.geojsonl"));
    assert_int_equal(pt_coverage_open("/tmp/cov.gpkg", false, &spec, georefs, &coverage).code, PT_E_USAGE);
    assert_int_equal(pt_coverage_open("/no/such/cov.json", false, &spec, georefs, &coverage).code,
                     PT_E_WRITE);
    assert_null(coverage);
    must(pt_coverage_open(path, false, &spec, georefs, &coverage));
    pt_coverage_tile t = tile_of(3);
    must(pt_coverage_add(coverage, &t));
    assert_int_equal(pt_coverage_add(coverage, &t).code, PT_E_INTERNAL); /* twice */
    t = tile_of(2);
    assert_int_equal(pt_coverage_add(coverage, &t).code, PT_E_INTERNAL); /* out of order */
    t = tile_of(pt_job_spec_tiles(&spec));
    assert_int_equal(pt_coverage_add(coverage, &t).code, PT_E_INPUT);
    t = tile_of(5);
    t.outcome = (pt_tile_outcome)9;
    assert_int_equal(pt_coverage_add(coverage, &t).code, PT_E_INTERNAL);
    pt_coverage_close(&coverage);
    pt_job_spec_fini(&spec);
}

static void test_no_memory(void **state)
{
    (void)state;
    pt_georef georef = {.transform = {0, 1, 0, 0, 0, 1}};
    const pt_georef *georefs[] = {&georef};
    pt_job_spec spec = spec_of(100, 100, 1);
    long n = 0;
    for (pt_status status = pt_error(PT_E_NOMEM, "not yet"); status.code != PT_OK; n++) {
        assert_int_equal(status.code, PT_E_NOMEM);
        assert_int_equal(access(path, F_OK), -1);
        pt_alloc_fail_after(n);
        status = write_all(&spec, georefs, false);
        pt_alloc_fail_after(-1);
    }
    assert_true(n > 5);
    pt_job_spec_fini(&spec);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s SCENE\n", argv[0]);
        return 1;
    }
    example = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_example_scene, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_crs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_antimeridian, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nowhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_existing_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
