/* The same tests for every format, on files that OGR reads back. */
#include "formats.h"

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

/* Where the pixel (px, py) of the UTM test scene lies in EPSG:32633 and in degrees. */
static const double east = 500000, north = 5300000;

static void check_feature(OGRFeatureH f, int format, const pt_feature *from)
{
    assert_string_equal(OGR_F_GetFieldAsString(f, OGR_F_GetFieldIndex(f, "class")),
                        class_names[from->class_id]);
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
        pt_writer_options o = format_options();
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
        pt_writer_options o = format_options();
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
    pt_writer_options o = format_options();
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
        pt_writer_options o = format_options();
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
        cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_empty),
        cmocka_unit_test(test_same_bytes),       cmocka_unit_test(test_text),
        cmocka_unit_test(test_bad_sources),      cmocka_unit_test(test_order_of_calls),
        cmocka_unit_test(test_names_of_classes), cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
