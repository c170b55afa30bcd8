#include "tiling/scene/internal.h"

#include "tiling/base/geojson.h"

#include <cpl_conv.h>
#include <cpl_error.h>
#include <math.h>
#include <string.h>

/* Vector files: OGR geometries become shapes in scene pixels. */

typedef struct loader {
    const char *path;
    double to_pixels[6]; /* CRS (or pixels, y up) to scene pixels */
    bool densify;
    bool null_crs; /* a GeoJSON that says it has no CRS, whatever GDAL thinks */
    OGRSpatialReferenceH target;
    OGRCoordinateTransformationH transformation; /* of the layer; NULL: none needed */
    pt_shapes *shapes;
    int64_t object;
    bool lost; /* a geometry could not be transformed */
    pt_shape_point *points;
    size_t capacity;
} loader;

static pt_status add_ring(loader *l, OGRGeometryH ring)
{
    int n = OGR_G_GetPointCount(ring);
    PT_TRY(pt_grow(&l->points, &l->capacity, (size_t)n + 1, sizeof *l->points));
    const double *t = l->to_pixels;
    for (int i = 0; i < n; i++) {
        double x = OGR_G_GetX(ring, i), y = OGR_G_GetY(ring, i);
        l->points[i] = (pt_shape_point){t[0] + t[1] * x + t[2] * y, t[3] + t[4] * x + t[5] * y};
        if (!isfinite(l->points[i].x) || !isfinite(l->points[i].y)) {
            l->lost = true;
            return pt_ok();
        }
    }
    return pt_shapes_add_ring(l->shapes, l->points, (size_t)n);
}

/* Polygons at any depth of collections; points and lines have no area and are passed over. */
static pt_status add_geometry(loader *l, OGRGeometryH geometry, int32_t class_id)
{
    OGRwkbGeometryType type = wkbFlatten(OGR_G_GetGeometryType(geometry));
    int parts = OGR_G_GetGeometryCount(geometry);
    if (type == wkbPolygon || type == wkbTriangle) {
        size_t first = l->shapes->ring_count;
        for (int i = 0; i < parts; i++) {
            PT_TRY(add_ring(l, OGR_G_GetGeometryRef(geometry, i)));
        }
        return pt_shapes_end_polygon(l->shapes, first, l->object, class_id);
    }
    for (int i = 0; type != wkbLineString && i < parts; i++) {
        PT_TRY(add_geometry(l, OGR_G_GetGeometryRef(geometry, i), class_id));
    }
    return pt_ok();
}

static void densify(OGRGeometryH geometry)
{
    enum { STEPS = 64 }; /* edges of a 100 km square then stray from the true curve by metres at most */
    OGREnvelope box;
    OGR_G_GetEnvelope(geometry, &box);
    double side = fmax(box.MaxX - box.MinX, box.MaxY - box.MinY);
    if (side > 0 && isfinite(side)) {
        OGR_G_Segmentize(geometry, side / STEPS);
    }
}

static pt_status add_feature(loader *l, OGRFeatureH feature, int class_field)
{
    OGRGeometryH own = OGR_F_GetGeometryRef(feature);
    l->object++;
    if (!own || OGR_G_IsEmpty(own)) {
        return pt_ok();
    }
    int32_t class_id = 1;
    if (class_field >= 0 && OGR_F_IsFieldSetAndNotNull(feature, class_field)) {
        class_id = OGR_F_GetFieldAsInteger(feature, class_field);
    }
    OGRGeometryH geometry = OGR_G_GetLinearGeometry(own, 0, NULL);
    if (!geometry) {
        l->lost = true;
        return pt_ok();
    }
    if (l->transformation) {
        if (l->densify) {
            densify(geometry);
        }
        if (OGR_G_Transform(geometry, l->transformation) != OGRERR_NONE) {
            OGR_G_DestroyGeometry(geometry);
            l->lost = true;
            return pt_ok();
        }
    }
    pt_status status = add_geometry(l, geometry, class_id);
    OGR_G_DestroyGeometry(geometry);
    return status;
}

/* The way from the layer's CRS to the scene's. */
static pt_status find_transformation(loader *l, OGRLayerH layer)
{
    OGRSpatialReferenceH own = OGR_L_GetSpatialRef(layer);
    if (l->null_crs || pt_gsd_is_no_crs(own)) {
        own = NULL;
    }
    l->transformation = NULL;
    if (!l->target || !own) {
        if (l->target || own) {
            PT_WARN(l->target ? "has no CRS; its coordinates are taken to be in the scene's"
                              : "the scene has no CRS; the coordinates are taken to be its pixels, y negated",
                    PT_S("file", l->path));
        }
        return pt_ok();
    }
    OGRSpatialReferenceH source = OSRClone(own);
    OSRSetAxisMappingStrategy(source, OAMS_TRADITIONAL_GIS_ORDER);
    pt_status status = pt_ok();
    const char *const loosely[] = {"IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES", NULL};
    if (!OSRIsSameEx(source, l->target, loosely)) {
        l->transformation = OCTNewCoordinateTransformation(source, l->target);
        if (!l->transformation) {
            status = pt_error(PT_E_INPUT,
                              "%s: cannot be brought to the scene's CRS; reproject it with ogr2ogr "
                              "-t_srs",
                              l->path);
        }
    }
    OSRDestroySpatialReference(source);
    return status;
}

static pt_status add_layer(loader *l, OGRLayerH layer, const pt_gdal_log *log)
{
    PT_TRY(find_transformation(l, layer));
    int class_field = OGR_FD_GetFieldIndex(OGR_L_GetLayerDefn(layer), "class_id");
    pt_status status = pt_ok();
    OGRFeatureH feature;
    OGR_L_ResetReading(layer);
    while (status.code == PT_OK && (feature = OGR_L_GetNextFeature(layer)) != NULL) {
        status = add_feature(l, feature, class_field);
        OGR_F_Destroy(feature);
    }
    OCTDestroyCoordinateTransformation(l->transformation);
    l->transformation = NULL;
    if (status.code == PT_OK && log->failures > 0 && !l->lost) {
        status = pt_error(PT_E_INPUT, "%s: cannot be read to its end: %s", l->path, log->failure);
    }
    return status;
}

/* Formats that are their own file and no more: others name databases, servers and other files, which a worker
 * would open outside its root. */
static pt_status open_vector(const char *path, GDALDatasetH *out)
{
    static const char *const drivers[] = {"GPKG",           "GeoJSON", "GeoJSONSeq", "FlatGeobuf",
                                          "ESRI Shapefile", "KML",     NULL};
    char *name = pt_gdal_name(path);
    if (!name) {
        return PT_NOMEM("a file name");
    }
    GDALDatasetH dataset = GDALOpenEx(name, GDAL_OF_VECTOR | GDAL_OF_READONLY, drivers, NULL, NULL);
    bool is_folder = false;
    uint64_t bytes = 0;
    bool missing = pt_gdal_is_local(name) && !pt_gdal_stat(name, &is_folder, &bytes);
    pt_free(name);
    if (!dataset) {
        return missing ? pt_error(PT_E_INPUT, "%s: no such file; check the path", path)
                       : pt_error(PT_E_INPUT,
                                  "%s: not a vector file; GeoPackage, GeoJSON, FlatGeobuf, Shapefile "
                                  "and KML are read; ogr2ogr turns others into these",
                                  path);
    }
    *out = dataset;
    return pt_ok();
}

static pt_status add_layers(loader *l, const pt_georef *georef, GDALDatasetH dataset, const pt_gdal_log *log)
{
    const char *driver = GDALGetDriverShortName(GDALGetDatasetDriver(dataset));
    l->null_crs = strcmp(driver, "GeoJSON") == 0 && pt_geojson_has_null_crs(l->path);
    if (georef->wkt && georef->wkt[0]) {
        l->target = OSRNewSpatialReference(georef->wkt);
        if (!l->target) {
            return pt_error(PT_E_INTERNAL, "the scene's CRS cannot be read back");
        }
        OSRSetAxisMappingStrategy(l->target, OAMS_TRADITIONAL_GIS_ORDER);
    }
    for (int i = 0; i < GDALDatasetGetLayerCount(dataset); i++) {
        PT_TRY(add_layer(l, GDALDatasetGetLayer(dataset, i), log));
    }
    return pt_ok();
}

pt_status pt_shapes_load(const char *path, const pt_georef *georef, bool densify_edges, pt_shapes *shapes)
{
    loader l = {.path = path, .densify = densify_edges, .shapes = shapes};
    if (!pt_affine_invert(georef->transform, l.to_pixels)) {
        return pt_error(PT_E_INTERNAL, "the scene's transform cannot be inverted");
    }
    if (!georef->wkt || !georef->wkt[0]) {
        l.to_pixels[2] = -l.to_pixels[2]; /* y as the writer has it */
        l.to_pixels[5] = -l.to_pixels[5];
    }
    pt_gdal_start();
    pt_gdal_log log;
    pt_gdal_watch(&log);
    GDALDatasetH dataset = NULL;
    pt_status status = open_vector(path, &dataset);
    if (status.code == PT_OK) {
        status = add_layers(&l, georef, dataset, &log);
        GDALClose(dataset);
    }
    OSRDestroySpatialReference(l.target);
    pt_gdal_unwatch();
    pt_free(l.points);
    if (status.code == PT_OK && l.lost) {
        PT_WARN("some shapes cannot be placed in the scene's CRS and are left out", PT_S("file", path),
                PT_S("message", log.failure));
    }
    if (status.code != PT_OK) {
        pt_shapes_fini(shapes);
    }
    return status;
}
