/* The same tests for every format, on files that OGR reads back. */
#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <gdal.h>
#include <math.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {"background", "building", "a \"quoted\\\" fi\xc3\xa9ld"};
static const char *const endings[] = {"geojson", "json", "geojsonl", "geojsons", "ndjson", "gpkg", "fgb"};
enum { FORMATS = sizeof endings / sizeof *endings };

static bool keeps_crs(int format)
{
    return format >= 5;
}

static pt_writer_options options(bool overwrite)
{
    pt_writer_options o = pt_writer_defaults();
    o.overwrite = overwrite;
    o.class_names = names;
    o.class_count = 3;
    return o;
}

static void must(pt_status status)
{
    assert_string_equal(status.message, "");
    assert_int_equal(status.code, PT_OK);
}

static const char *path_for(int format)
{
    char name[32];
    snprintf(name, sizeof name, "out.%s", endings[format]);
    return scratch_path(name);
}

static void write_all(const char *path, const pt_georef *georef, const pt_feature *features, size_t count)
{
    pt_writer_options o = options(true);
    pt_writer *writer = NULL;
    unlink(path);
    must(pt_writer_open(path, &o, &writer));
    if (georef) {
        must(pt_writer_source(writer, georef));
    }
    for (size_t i = 0; i < count; i++) {
        must(pt_writer_write(writer, &features[i]));
    }
    assert_int_equal(pt_writer_count(writer), count);
    assert_int_not_equal(access(path, F_OK), 0);
    must(pt_writer_commit(writer));
    pt_writer_close(&writer);
    assert_null(writer);
    assert_int_equal(access(path, F_OK), 0);
}

/* Where the pixel (px, py) of the UTM test scene lies in EPSG:32633 and in degrees. */
static const double east = 500000, north = 5300000;

static void check_feature(OGRFeatureH f, int format, const pt_feature *from)
{
    assert_string_equal(OGR_F_GetFieldAsString(f, OGR_F_GetFieldIndex(f, "class")), names[from->class_id]);
    double score = OGR_F_GetFieldAsDouble(f, OGR_F_GetFieldIndex(f, "score"));
    assert_true(fabs(score - from->score_q / 65535.0) <= 0.00005001);
    assert_int_equal(OGR_F_GetFieldAsInteger(f, OGR_F_GetFieldIndex(f, "tiles")), from->tiles);
    assert_int_equal(OGR_F_GetFieldAsInteger(f, OGR_F_GetFieldIndex(f, "merged")), from->merged);
    assert_int_equal(OGR_F_GetFieldAsInteger(f, OGR_F_GetFieldIndex(f, "truncated")), from->truncated);
    OGRGeometryH g = OGR_F_GetGeometryRef(f);
    assert_true(OGR_G_IsValid(g));
    assert_true(wound_right(g));
    OGRwkbGeometryType type = wkbFlatten(OGR_G_GetGeometryType(g));
    assert_int_equal(type, keeps_crs(format) || from->count > 1 ? wkbMultiPolygon : wkbPolygon);
    OGREnvelope e;
    OGR_G_GetEnvelope(g, &e);
    const pt_ring *ring = &from->polygons[0].rings[0];
    double x = east + ring->xy[0] * 0.5, y = north - ring->xy[1] * 0.5; /* the upper left corner */
    if (keeps_crs(format)) {
        assert_true(fabs(e.MinX - x) < 1e-6 && fabs(e.MaxY - y) < 1e-6);
    } else {
        /* On the central meridian of zone 33 a metre east is about a metre of longitude. */
        double lon = 15 + (x - 500000) / (111320 * cos(47.85 * M_PI / 180));
        assert_true(fabs(e.MinX - lon) < 2e-4 && fabs(e.MaxY - 47.853) < 2e-2);
    }
    double scale = 0.5 * 0.5 / (0.9996 * 0.9996), area = 0;
    for (size_t p = 0; p < from->count; p++) {
        for (size_t r = 0; r < from->polygons[p].count; r++) {
            const double *xy = from->polygons[p].rings[r].xy;
            area += fabs((xy[4] - xy[0]) * (xy[5] - xy[1])) * scale * (r ? -1 : 1);
        }
    }
    double written = OGR_F_GetFieldAsDouble(f, OGR_F_GetFieldIndex(f, "area_m2"));
    assert_true(fabs(written - area) < area * 1e-4 + 0.01);
}

static void check_schema(OGRLayerH layer, int format)
{
    static const struct {
        const char *name;
        OGRFieldType type;
        OGRFieldSubType subtype;
    } schema[] = {{"id", OFTInteger64, OFSTNone},      {"class", OFTString, OFSTNone},
                  {"score", OFTReal, OFSTNone},        {"area_m2", OFTReal, OFSTNone},
                  {"perimeter_m", OFTReal, OFSTNone},  {"tiles", OFTInteger, OFSTNone},
                  {"merged", OFTInteger, OFSTBoolean}, {"truncated", OFTInteger, OFSTBoolean}};
    OGRFeatureDefnH defn = OGR_L_GetLayerDefn(layer);
    assert_int_equal(OGR_FD_GetFieldCount(defn), 8);
    for (int i = 0; i < 8; i++) {
        OGRFieldDefnH field = OGR_FD_GetFieldDefn(defn, i);
        assert_string_equal(OGR_Fld_GetNameRef(field), schema[i].name);
        if (keeps_crs(format) || i > 0) { /* small integers of GeoJSON are read as 32 bits */
            assert_int_equal(OGR_Fld_GetType(field), schema[i].type);
            assert_int_equal(OGR_Fld_GetSubType(field), schema[i].subtype);
        }
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    pt_georef georef = sample_georef(32633, east, north, 0.5);
    pt_feature features[3] = {sample_feature(10, 20, 30, 60), sample_pair(100, 50, 12, 9),
                              sample_feature(300.25, 3.125, 7.5, 8)};
    for (int format = 0; format < FORMATS; format++) {
        scratch_clear();
        write_all(path_for(format), &georef, features, 3);
        assert_int_equal(scratch_files(), 1);
        GDALDatasetH file = GDALOpenEx(path_for(format), GDAL_OF_VECTOR, NULL, NULL, NULL);
        OGRLayerH layer = GDALDatasetGetLayer(file, 0);
        assert_int_equal(OGR_L_GetFeatureCount(layer, 1), 3);
        check_schema(layer, format);
        OGRSpatialReferenceH crs = OGR_L_GetSpatialRef(layer);
        assert_string_equal(OSRGetAuthorityCode(crs, NULL), keeps_crs(format) ? "32633" : "4326");
        int seen = 0;
        for (OGRFeatureH f = OGR_L_GetNextFeature(layer); f; f = OGR_L_GetNextFeature(layer)) {
            int64_t id = OGR_F_GetFieldAsInteger64(f, OGR_F_GetFieldIndex(f, "id"));
            assert_in_range(id, 1, 3);
            seen |= 1 << id;
            check_feature(f, format, &features[id - 1]);
            OGR_F_Destroy(f);
        }
        assert_int_equal(seen, 14);
        GDALClose(file);
    }
    for (int i = 0; i < 3; i++) {
        pt_feature_fini(&features[i]);
    }
    sample_georef_free(&georef);
}

/* The file's only layer, and its number of features. */
static OGRLayerH open_layer(const char *path, GDALDatasetH *file, int64_t count)
{
    *file = GDALOpenEx(path, GDAL_OF_VECTOR, NULL, NULL, NULL);
    assert_non_null(*file);
    OGRLayerH layer = GDALDatasetGetLayer(*file, 0);
    assert_non_null(layer);
    assert_int_equal(OGR_L_GetFeatureCount(layer, 1), count);
    return layer;
}

static void test_empty(void **state)
{
    (void)state;
    pt_georef georef = sample_georef(32633, east, north, 0.5);
    for (int format = 0; format < FORMATS; format++) {
        for (int sourced = 0; sourced < 2; sourced++) {
            scratch_clear();
            write_all(path_for(format), sourced ? &georef : NULL, NULL, 0);
            if (format >= 2 && format <= 4) {
                assert_false(same_bytes(path_for(format), path_for(format))); /* no lines: an empty file */
                continue;
            }
            GDALDatasetH file;
            OGRLayerH layer = open_layer(path_for(format), &file, 0);
            if (keeps_crs(format)) {
                check_schema(layer, format);
                assert_int_equal(wkbFlatten(OGR_L_GetGeomType(layer)), wkbMultiPolygon);
            }
            GDALClose(file);
        }
    }
    sample_georef_free(&georef);
}

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
    pt_georef georef = sample_georef(32633, east, north, 1);
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

static void test_same_bytes(void **state)
{
    (void)state;
    pt_georef georef = sample_georef(32633, east, north, 0.5);
    pt_feature features[3] = {sample_feature(10, 20, 30, 60), sample_pair(100, 50, 12, 9),
                              sample_feature(300.25, 3.125, 7.5, 8)};
    for (int format = 0; format < FORMATS; format++) {
        char kept[300];
        scratch_clear();
        write_all(path_for(format), &georef, features, 3);
        snprintf(kept, sizeof kept, "%s.kept", path_for(format));
        assert_int_equal(rename(path_for(format), kept), 0);
        if (format == 5) {
            sleep(1); /* a GeoPackage has a date in it, to the millisecond */
        }
        write_all(path_for(format), &georef, features, 3);
        assert_true(same_bytes(path_for(format), kept));
    }
    for (int i = 0; i < 3; i++) {
        pt_feature_fini(&features[i]);
    }
    sample_georef_free(&georef);
}

/* The exact text, so that no change of it goes unseen. */
static void test_text(void **state)
{
    (void)state;
    pt_georef georef = sample_georef(4326, 10, 50, 0.001);
    pt_feature feature = sample_pair(0, 0, 1, 1);
    write_all(scratch_path("out.geojson"), &georef, &feature, 1);
    char text[2000] = "";
    FILE *file = fopen(scratch_path("out.geojson"), "r");
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(
        text, "{\"type\":\"FeatureCollection\",\"features\":[\n"
              "{\"type\":\"Feature\",\"properties\":{\"id\":1,\"class\":\"a \\\"quoted\\\\\\\" "
              "fi\xc3\xa9ld\",\"score\":0.5,"
              "\"area_m2\":15949.47,\"perimeter_m\":731.7,\"tiles\":3,\"merged\":true,\"truncated\":false},"
              "\"geometry\":{\"type\":\"MultiPolygon\",\"coordinates\":["
              "[[[10,50],[10,49.999],[10.001,49.999],[10.001,50],[10,50]]],"
              "[[[10.002,50],[10.002,49.999],[10.003,49.999],[10.003,50],[10.002,50]]]]}}\n]}\n");
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
    pt_writer_options o = options(true);
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
    pt_writer_options o = options(true);
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
        pt_writer_options o = options(true);
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

static void test_bad_sources(void **state)
{
    (void)state;
    pt_georef bad[4];
    for (int i = 0; i < 4; i++) {
        bad[i] = sample_georef(32633, east, north, 1);
    }
    bad[0].transform[1] = 0;
    bad[1].transform[3] = NAN;
    free(bad[2].wkt);
    bad[2].wkt = strdup("GARBAGE[1]");
    bad[3].transform[0] = 1e12; /* nowhere in the CRS */
    pt_feature feature = sample_feature(0, 0, 9, 9);
    for (int i = 0; i < 4; i++) {
        pt_writer_options o = options(true);
        pt_writer *writer = NULL;
        must(pt_writer_open(scratch_path("out.gpkg"), &o, &writer));
        pt_status status = pt_writer_source(writer, &bad[i]);
        if (i == 3) {
            must(status);
            status = pt_writer_write(writer, &feature);
        }
        assert_int_equal(status.code, PT_E_INPUT);
        assert_int_equal(pt_writer_commit(writer).code, PT_E_INPUT);
        pt_writer_close(&writer);
        sample_georef_free(&bad[i]);
    }
    pt_feature_fini(&feature);
}

static void test_order_of_calls(void **state)
{
    (void)state;
    pt_georef georef = sample_georef(32633, east, north, 1);
    pt_feature feature = sample_feature(0, 0, 9, 9);
    for (int format = 0; format < FORMATS; format++) {
        pt_writer_options o = options(true);
        pt_writer *writer = NULL;
        must(pt_writer_open(path_for(format), &o, &writer));
        assert_int_equal(pt_writer_write(writer, &feature).code, PT_E_USAGE);
        must(pt_writer_source(writer, &georef));
        must(pt_writer_write(writer, &feature));
        must(pt_writer_commit(writer));
        assert_int_equal(pt_writer_write(writer, &feature).code, PT_E_USAGE);
        assert_int_equal(pt_writer_commit(writer).code, PT_E_USAGE);
        pt_writer_close(&writer);
        pt_writer_close(&writer);
    }
    pt_feature_fini(&feature);
    sample_georef_free(&georef);
}

static void test_names_of_classes(void **state)
{
    (void)state;
    static const char *const odd[] = {"", NULL, "\xff\xfe"};
    static const char *const expected[] = {"", "class_1", "class_2", "class_3", "class_-1"};
    pt_georef georef = sample_georef(32633, east, north, 1);
    pt_writer_options o = options(true);
    o.class_names = odd;
    pt_writer *writer = NULL;
    must(pt_writer_open(scratch_path("out.geojson"), &o, &writer));
    must(pt_writer_source(writer, &georef));
    for (int i = 0; i < 5; i++) {
        pt_feature feature = sample_feature(20 * i, 0, 9, 9);
        feature.class_id = i < 4 ? i : -1;
        must(pt_writer_write(writer, &feature));
        pt_feature_fini(&feature);
    }
    must(pt_writer_commit(writer));
    pt_writer_close(&writer);
    GDALDatasetH file;
    OGRLayerH layer = open_layer(scratch_path("out.geojson"), &file, 5);
    for (int i = 0; i < 5; i++) {
        OGRFeatureH f = OGR_L_GetNextFeature(layer);
        assert_string_equal(OGR_F_GetFieldAsString(f, OGR_F_GetFieldIndex(f, "class")), expected[i]);
        OGR_F_Destroy(f);
    }
    GDALClose(file);
    sample_georef_free(&georef);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    pt_georef georef = sample_georef(32633, east, north, 1);
    pt_feature feature = sample_feature(0, 0, 9, 9);
    for (int format = 0; format < FORMATS; format += 5) { /* text and OGR */
        scratch_clear();
        pt_writer_options o = options(true);
        bool done = false;
        int fails = 0;
        for (long n = 0; !done; n++) {
            pt_writer *writer = NULL;
            pt_alloc_fail_after(n);
            pt_status status = pt_writer_open(path_for(format), &o, &writer);
            if (status.code == PT_OK) {
                status = pt_writer_source(writer, &georef);
            }
            if (status.code == PT_OK) {
                status = pt_writer_write(writer, &feature);
            }
            if (status.code == PT_OK) {
                status = pt_writer_commit(writer);
            }
            pt_writer_close(&writer);
            pt_alloc_fail_after(-1);
            done = status.code == PT_OK;
            if (!done) {
                fails++;
                assert_int_equal(status.code, PT_E_NOMEM);
                scratch_clear(); /* a partial file's siblings cannot be looked for without memory */
            }
        }
        assert_true(fails > 8);
        assert_int_equal(scratch_files(), 1);
    }
    pt_feature_fini(&feature);
    sample_georef_free(&georef);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_no_crs),
        cmocka_unit_test(test_winding_of_any_transform),
        cmocka_unit_test(test_measures),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_antimeridian),
        cmocka_unit_test(test_pole),
        cmocka_unit_test(test_valid_after_rounding),
        cmocka_unit_test(test_vanishing),
        cmocka_unit_test(test_several_sources),
        cmocka_unit_test(test_bad_sources),
        cmocka_unit_test(test_order_of_calls),
        cmocka_unit_test(test_names_of_classes),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
