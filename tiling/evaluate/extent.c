#include "tiling/evaluate/layer.h"

#include <cpl_conv.h>
#include <gdal.h>
#include <string.h>

enum { SIDE = 20, EDGE = 4 * SIDE + 1 }; /* points a raster's edge is transformed at */

/* The union of a vector file's polygons. */
static pt_status union_of(GEOSContextHandle_t geos, const char *path, bool has_crs, GEOSGeometry **out)
{
    pt_names names = {0};
    pt_layer layer = {0};
    GEOSGeometry **parts = NULL;
    pt_status status;
    PT_TRY_OUT(pt_layer_read(geos, path, NULL, &names, &layer));
    if (layer.count == 0 || layer.has_crs != has_crs) {
        status = pt_error(PT_E_INPUT, "%s: %s, so it cannot bound the comparison", path,
                          layer.count == 0 ? "it holds no polygons"
                          : has_crs        ? "it has no coordinate reference system"
                                           : "it has a coordinate reference system and the layers have none");
        goto out;
    }
    parts = pt_alloc(layer.count, sizeof *parts);
    if (!parts) {
        status = PT_NOMEM("an extent");
        goto out;
    }
    for (size_t i = 0; i < layer.count; i++) {
        parts[i] = layer.items[i].geometry;
    }
    /* The collection takes the polygons. */
    GEOSGeometry *all =
        GEOSGeom_createCollection_r(geos, GEOS_GEOMETRYCOLLECTION, parts, (unsigned)layer.count);
    layer.count = 0;
    *out = all ? GEOSUnaryUnion_r(geos, all) : NULL;
    GEOSGeom_destroy_r(geos, all);
    if (!*out) {
        status = pt_error(PT_E_INPUT, "%s: its polygons cannot be joined to an extent", path);
    }
out:
    pt_free(parts);
    pt_free(names.items);
    pt_layer_fini(&layer);
    return status;
}

static void edge_points(GDALDatasetH raster, bool has_crs, double *x, double *y)
{
    double t[6], w = GDALGetRasterXSize(raster), h = GDALGetRasterYSize(raster);
    const double corner_x[] = {0, w, w, 0, 0}, corner_y[] = {0, 0, h, h, 0};
    if (!has_crs || GDALGetGeoTransform(raster, t) != CE_None) {
        memcpy(t, (const double[]){0, 1, 0, 0, 0, -1},
               sizeof t); /* pixels, y negated, as the writer has them */
    }
    for (int i = 0; i < EDGE; i++) {
        int side = i / SIDE < 4 ? i / SIDE : 3;
        double part = (double)(i - side * SIDE) / SIDE;
        double px = corner_x[side] + part * (corner_x[side + 1] - corner_x[side]);
        double py = corner_y[side] + part * (corner_y[side + 1] - corner_y[side]);
        x[i] = t[0] + t[1] * px + t[2] * py;
        y[i] = t[3] + t[4] * px + t[5] * py;
    }
    x[EDGE - 1] = x[0];
    y[EDGE - 1] = y[0];
}

/* Brings the edge to WGS 84. */
static pt_status to_degrees(const char *path, OGRSpatialReferenceH crs, double *x, double *y)
{
    if (!crs) {
        return pt_error(PT_E_INPUT,
                        "%s: it has no coordinate reference system, so it cannot bound the comparison", path);
    }
    OGRCoordinateTransformationH by;
    PT_TRY(pt_to_wgs84(path, crs, &by));
    bool placed = !by || OCTTransform(by, EDGE, x, y, NULL);
    OCTDestroyCoordinateTransformation(by);
    return placed ? pt_ok()
                  : pt_error(PT_E_INPUT,
                             "%s: its edge lies where its coordinate reference system is not defined", path);
}

static pt_status footprint_of(GEOSContextHandle_t geos, const char *path, bool has_crs, GEOSGeometry **out)
{
    double x[EDGE], y[EDGE];
    GDALDatasetH raster = GDALOpenEx(path, GDAL_OF_RASTER | GDAL_OF_READONLY, NULL, NULL, NULL);
    if (!raster) {
        return pt_error(PT_E_INPUT, "%s: cannot be opened as a vector or raster file: %s", path,
                        CPLGetLastErrorMsg());
    }
    OGRSpatialReferenceH crs = GDALGetSpatialRef(raster);
    edge_points(raster, has_crs, x, y);
    pt_status status = has_crs ? to_degrees(path, crs, x, y) : pt_ok();
    GDALClose(raster);
    PT_TRY(status);
    GEOSCoordSequence *points = GEOSCoordSeq_copyFromArrays_r(geos, x, y, NULL, NULL, EDGE);
    GEOSGeometry *ring = points ? GEOSGeom_createLinearRing_r(geos, points) : NULL;
    *out = ring ? GEOSGeom_createPolygon_r(geos, ring, NULL, 0) : NULL;
    return *out ? pt_ok() : PT_NOMEM("an extent");
}

pt_status pt_extent_read(GEOSContextHandle_t geos, const char *path, bool has_crs, GEOSGeometry **out)
{
    GEOSGeometry *extent = NULL;
    GDALDatasetH vector = GDALOpenEx(path, GDAL_OF_VECTOR | GDAL_OF_READONLY, NULL, NULL, NULL);
    if (vector) {
        GDALClose(vector);
        PT_TRY(union_of(geos, path, has_crs, &extent));
    } else {
        PT_TRY(footprint_of(geos, path, has_crs, &extent));
    }
    *out = extent;
    return pt_ok();
}
