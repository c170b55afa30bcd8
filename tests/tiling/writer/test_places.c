/* Where shapes land: any CRS and transform, the antimeridian and the pole, the last decimal. */
#include "formats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <gdal.h>
#include <math.h>
#include <ogr_srs_api.h>
#include <string.h>

static void test_no_crs(void **state)
{
    (void)state;
    pt_georef georef = sample_georef(0, 7, 7, 3); /* its transform is of no account */
    pt_feature feature = sample_feature(10, 20, 30.0625, 60);
    for (int format = 0; format < FORMATS; format++) {
        scratch_clear();
        write_all(path_for(format), &georef, &feature, 1);
        GDALDatasetH file;
        OGRLayerH layer = open_layer(path_for(format), &file, 1);
        OGRSpatialReferenceH crs = OGR_L_GetSpatialRef(layer);
        if (keeps_crs(format)) { /* of GeoJSON, GDAL always believes that it is in WGS 84 */
            assert_true(!crs || OSRIsLocal(crs));
        }
        OGRFeatureH f = OGR_L_GetNextFeature(layer);
        OGREnvelope e;
        OGR_G_GetEnvelope(OGR_F_GetGeometryRef(f), &e);
        assert_true(e.MinX == 10 && e.MaxY == -20 && e.MinY == -80);
        assert_true(fabs(e.MaxX - 40.0625) < 0.00051);
        assert_true(wound_right(OGR_F_GetGeometryRef(f)));
        assert_false(OGR_F_IsFieldSetAndNotNull(f, OGR_F_GetFieldIndex(f, "area_m2")));
        assert_false(OGR_F_IsFieldSetAndNotNull(f, OGR_F_GetFieldIndex(f, "perimeter_m")));
        OGR_F_Destroy(f);
        GDALClose(file);
    }
    pt_feature_fini(&feature);
}

/* South up, mirrored and turned scenes: rings are wound right all the same. */
static void test_winding_of_any_transform(void **state)
{
    (void)state;
    static const double transforms[][4] = {
        {1, 0, 0, 1}, {-1, 0, 0, -1}, {-1, 0, 0, 1}, {0.6, 0.8, -0.8, 0.6}, {0, 1, 1, 0}};
    pt_georef georef = sample_georef(32633, 500000, 5300000, 1);
    pt_feature feature = sample_feature(10, 20, 30, 60);
    for (size_t t = 0; t < sizeof transforms / sizeof *transforms; t++) {
        georef.transform[1] = transforms[t][0];
        georef.transform[2] = transforms[t][1];
        georef.transform[4] = transforms[t][2];
        georef.transform[5] = transforms[t][3];
        for (int format = 0; format < FORMATS; format++) {
            write_all(path_for(format), &georef, &feature, 1);
            GDALDatasetH file;
            OGRFeatureH f = OGR_L_GetNextFeature(open_layer(path_for(format), &file, 1));
            assert_true(wound_right(OGR_F_GetGeometryRef(f)));
            assert_true(
                fabs(OGR_F_GetFieldAsDouble(f, OGR_F_GetFieldIndex(f, "area_m2")) - 1600 / 0.99920016) < 1);
            OGR_F_Destroy(f);
            GDALClose(file);
        }
    }
    pt_feature_fini(&feature);
    sample_georef_free(&georef);
}

/* Area of the ellipsoid between two parallels and two meridians (e.g. Snyder, Map Projections, 1987, 3-12).
 */
static double zone_area(double south, double north_of_it, double width)
{
    const double a = 6378137, f = 1 / 298.257223563, e2 = f * (2 - f), e = sqrt(e2);
    double part[2], at[2] = {south, north_of_it};
    for (int i = 0; i < 2; i++) {
        double s = sin(at[i] * M_PI / 180);
        part[i] = s / (1 - e2 * s * s) + atanh(e * s) / e;
    }
    return a * a * (1 - e2) / 2 * (part[1] - part[0]) * width * M_PI / 180;
}

static void test_measures(void **state)
{
    (void)state;
    pt_georef georef = sample_georef(4326, 10, 50, 0.001);
    pt_feature feature = sample_feature(0, 0, 3, 3); /* a hole of 1 x 1 in the middle */
    double area = zone_area(49.997, 50, 0.003) - zone_area(49.998, 49.999, 0.001);
    /* Meridian and parallel arcs at 50 degrees: 111229.03 m and 71695.75 m a degree. */
    double perimeter = 2 * (0.003 + 0.001) * (111229.03 + 71697.9);
    for (int format = 0; format < FORMATS; format++) {
        write_all(path_for(format), &georef, &feature, 1);
        GDALDatasetH file;
        OGRFeatureH f = OGR_L_GetNextFeature(open_layer(path_for(format), &file, 1));
        assert_true(fabs(OGR_F_GetFieldAsDouble(f, OGR_F_GetFieldIndex(f, "area_m2")) - area) < area * 1e-6);
        assert_true(fabs(OGR_F_GetFieldAsDouble(f, OGR_F_GetFieldIndex(f, "perimeter_m")) - perimeter) <
                    perimeter * 1e-4);
        OGR_F_Destroy(f);
        GDALClose(file);
    }
    pt_feature_fini(&feature);
    sample_georef_free(&georef);
}

static void check_longitudes(OGRGeometryH g, double lowest)
{
    for (int i = 0; i < OGR_G_GetGeometryCount(g); i++) {
        OGREnvelope e;
        OGR_G_GetEnvelope(OGR_G_GetGeometryRef(g, i), &e);
        assert_true(e.MinX >= -180 && e.MaxX <= 180 && e.MinY >= -90 && e.MaxY <= 90);
        assert_true(e.MaxX - e.MinX < 1);
        assert_true(fabs(e.MinX) >= lowest);
    }
}

/* Scenes across the 180th meridian, in CRSs that do not mind. */
static void test_antimeridian(void **state)
{
    (void)state;
    static const struct {
        int epsg;
        double x, y, pixel;
    } scenes[] = {{32660, 833978, 10000, 10},
                  {32601, 166021, 10000, 10},
                  {3832, 3339584, 10000, 10},
                  {4326, 179.999, 10, 1e-4},
                  {4326, -180.001, 10, 1e-4}};
    for (size_t k = 0; k < sizeof scenes / sizeof *scenes; k++) {
        pt_georef georef = sample_georef(scenes[k].epsg, scenes[k].x, scenes[k].y, scenes[k].pixel);
        pt_feature feature = sample_feature(-60, -10, 120, 20);
        for (int format = 0; format < 3; format += 2) {
            write_all(path_for(format), &georef, &feature, 1);
            GDALDatasetH file;
            OGRFeatureH f = OGR_L_GetNextFeature(open_layer(path_for(format), &file, 1));
            OGRGeometryH g = OGR_F_GetGeometryRef(f);
            assert_int_equal(wkbFlatten(OGR_G_GetGeometryType(g)), wkbMultiPolygon);
            assert_true(OGR_G_GetGeometryCount(g) >= 2);
            assert_true(OGR_G_IsValid(g));
            assert_true(wound_right(g));
            check_longitudes(g, 179.9);
            double area = OGR_F_GetFieldAsDouble(f, OGR_F_GetFieldIndex(f, "area_m2"));
            double square_metre = 1 / (111319.5 * 110574.3); /* in square degrees, near the equator */
            assert_true(fabs(OGR_G_Area(g) / square_metre / area - 1) < 0.03);
            OGR_F_Destroy(f);
            GDALClose(file);
        }
        pt_feature_fini(&feature);
        sample_georef_free(&georef);
    }
}

/* Around the South Pole: all longitudes, down to -90. */
static void test_pole(void **state)
{
    (void)state;
    pt_georef georef = sample_georef(3031, 0, 0, 10);
    pt_feature feature = {.class_id = 1, .tiles = 1};
    const double xy[] = {-10, -10, -10, 11, 12, 10, 10, -9, -10, -10};
    sample_add_ring(&feature, 0, xy, 5);
    write_all(scratch_path("out.geojson"), &georef, &feature, 1);
    GDALDatasetH file;
    OGRFeatureH f = OGR_L_GetNextFeature(open_layer(scratch_path("out.geojson"), &file, 1));
    OGRGeometryH g = OGR_F_GetGeometryRef(f);
    assert_true(OGR_G_IsValid(g));
    assert_true(wound_right(g));
    OGREnvelope e;
    OGR_G_GetEnvelope(g, &e);
    assert_true(e.MinX == -180 && e.MaxX == 180 && e.MinY == -90 && e.MaxY < -89.99);
    double area = OGR_F_GetFieldAsDouble(f, OGR_F_GetFieldIndex(f, "area_m2"));
    assert_true(fabs(area / (100 * 430) - 1) < 0.1); /* 3031 is true to scale at 71 degrees south */
    OGR_F_Destroy(f);
    GDALClose(file);
    pt_feature_fini(&feature);
    sample_georef_free(&georef);
}

/* Valid shapes whose necks are thinner than the last decimal: as written they are valid too. */
static void test_valid_after_rounding(void **state)
{
    (void)state;
    uint32_t seed = 1;
    pt_georef georef = sample_georef(4326, 10, 50, 1e-7);
    pt_writer_options o = format_options();
    pt_writer *writer = NULL;
    must(pt_writer_open(scratch_path("out.geojson"), &o, &writer));
    must(pt_writer_source(writer, &georef));
    for (int round = 0; round < 400; round++) {
        enum { TEETH = 12 };
        double xy[2 * (4 * TEETH + 4)];
        int n = 0;
        double left = 0, bottom = 0.9;
        /* a comb with teeth and gaps of a fraction of the last decimal, seen from all sides */
        for (int i = 0; i < TEETH; i++) {
            double random[4];
            for (int k = 0; k < 4; k++) {
                seed = seed * 1664525u + 1013904223u;
                random[k] = (seed >> 8) / 16777216.0;
            }
            double gap = 0.05 + random[0], tooth = 0.05 + random[1];
            const double add[] = {
                left,         bottom, left, -random[2] * 6 - 0.5, left + tooth, -random[3] * 6 - 0.5,
                left + tooth, bottom};
            memcpy(xy + 2 * n, add, sizeof add);
            n += 4;
            left += tooth + gap;
        }
        const double end[] = {left, bottom, left, 3, 0, 3, 0, bottom};
        memcpy(xy + 2 * n, end, sizeof end);
        n += 4;
        double angle = round * 0.7, c = cos(angle), s = sin(angle);
        for (int i = 0; i < n; i++) {
            double x = xy[2 * i], y = xy[2 * i + 1];
            xy[2 * i] = x * c - y * s + round * 40;
            xy[2 * i + 1] = x * s + y * c;
        }
        pt_feature feature = {.class_id = 1, .tiles = 1};
        sample_add_ring(&feature, 0, xy, (size_t)n);
        must(pt_writer_write(writer, &feature));
        pt_feature_fini(&feature);
    }
    must(pt_writer_commit(writer));
    pt_writer_close(&writer);
    GDALDatasetH file;
    OGRLayerH layer = open_layer(scratch_path("out.geojson"), &file, 400);
    for (OGRFeatureH f = OGR_L_GetNextFeature(layer); f; f = OGR_L_GetNextFeature(layer)) {
        assert_true(OGR_G_IsValid(OGR_F_GetGeometryRef(f)));
        assert_true(wound_right(OGR_F_GetGeometryRef(f)));
        assert_true(OGR_G_Area(OGR_F_GetGeometryRef(f)) > 1e-13);
        OGR_F_Destroy(f);
    }
    GDALClose(file);
    sample_georef_free(&georef);
}

/* What is smaller than the last decimal is left out and takes no id. */
static void test_vanishing(void **state)
{
    (void)state;
    pt_georef georef = sample_georef(4326, 10, 50, 1e-9);
    pt_feature tiny = sample_pair(10, 10, 3, 3), large = sample_feature(0, 0, 3e6, 3e6);
    pt_writer_options o = format_options();
    pt_writer *writer = NULL;
    must(pt_writer_open(scratch_path("out.geojson"), &o, &writer));
    must(pt_writer_source(writer, &georef));
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    must(pt_writer_write(writer, &tiny));
    pt_log_setup(PT_LOG_INFO, PT_LOG_TEXT);
    must(pt_writer_write(writer, &(pt_feature){.class_id = 1}));
    assert_int_equal(pt_writer_count(writer), 0);
    must(pt_writer_write(writer, &large));
    assert_int_equal(pt_writer_count(writer), 1);
    must(pt_writer_commit(writer));
    pt_writer_close(&writer);
    pt_feature_fini(&tiny);
    pt_feature_fini(&large);
    sample_georef_free(&georef);
}

/* Scenes of several CRSs in one file: each lands where it is. */
static void test_several_sources(void **state)
{
    (void)state;
    pt_georef utm = sample_georef(32633, 500000, 5300000, 1),
              web = sample_georef(3857, 1669792.36, 6081000, 1);
    pt_feature feature = sample_feature(10, 20, 30, 60);
    for (int format = 0; format < FORMATS; format++) {
        pt_writer_options o = format_options();
        pt_writer *writer = NULL;
        must(pt_writer_open(path_for(format), &o, &writer));
        must(pt_writer_source(writer, &utm));
        must(pt_writer_write(writer, &feature));
        must(pt_writer_source(writer, &web));
        must(pt_writer_write(writer, &feature));
        must(pt_writer_source(writer, &utm));
        must(pt_writer_write(writer, &feature));
        must(pt_writer_commit(writer));
        pt_writer_close(&writer);
        GDALDatasetH file;
        OGRLayerH layer = open_layer(path_for(format), &file, 3);
        OGREnvelope e;
        for (OGRFeatureH f = OGR_L_GetNextFeature(layer); f; f = OGR_L_GetNextFeature(layer)) {
            OGR_G_GetEnvelope(OGR_F_GetGeometryRef(f), &e);
            double x = keeps_crs(format) ? e.MinX : 500000 + (e.MinX - 15) * 74800;
            assert_true(fabs(x - 500010) < 15);
            OGR_F_Destroy(f);
        }
        GDALClose(file);
        pt_georef none = sample_georef(0, 0, 0, 1);
        must(pt_writer_open(path_for(format), &o, &writer));
        must(pt_writer_source(writer, &utm));
        assert_int_equal(pt_writer_source(writer, &none).code, PT_E_INPUT);
        assert_int_equal(pt_writer_commit(writer).code, PT_E_INPUT);
        pt_writer_close(&writer);
    }
    pt_feature_fini(&feature);
    sample_georef_free(&utm);
    sample_georef_free(&web);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_crs),    cmocka_unit_test(test_winding_of_any_transform),
        cmocka_unit_test(test_measures),  cmocka_unit_test(test_antimeridian),
        cmocka_unit_test(test_pole),      cmocka_unit_test(test_valid_after_rounding),
        cmocka_unit_test(test_vanishing), cmocka_unit_test(test_several_sources),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
