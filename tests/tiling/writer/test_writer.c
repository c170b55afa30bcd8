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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
