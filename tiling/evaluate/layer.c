#include "tiling/evaluate/layer.h"

#include "tiling/base/geojson.h"

#include <cpl_conv.h>
#include <gdal.h>
#include <math.h>
#include <ogr_api.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <string.h>

pt_status pt_names_find(pt_names *names, const char *name, int32_t *out)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strncmp(names->items[i], name, sizeof names->items[i] - 1) == 0) {
            *out = (int32_t)i;
            return pt_ok();
        }
    }
    PT_TRY(pt_grow(&names->items, &names->capacity, names->count + 1, sizeof *names->items));
    snprintf(names->items[names->count], sizeof *names->items, "%s", name);
    *out = (int32_t)names->count++;
    return pt_ok();
}

/* What reading one file needs. */
typedef struct reader {
    GEOSContextHandle_t geos;
    const char *path;
    GDALDatasetH file;
    OGRLayerH layer;
    bool has_crs;
    OGRCoordinateTransformationH to_wgs84; /* NULL: none needed */
} reader;

static pt_status gdal_failed(const char *path, const char *what)
{
    const char *reason = CPLGetLastErrorMsg();
    return pt_error(PT_E_INPUT, "%s: %s%s%s", path, what, reason[0] ? ": " : "", reason);
}

static OGRSpatialReferenceH new_wgs84(void)
{
    OGRSpatialReferenceH wgs84 = OSRNewSpatialReference(NULL);
    if (wgs84 && OSRImportFromEPSG(wgs84, 4326) != OGRERR_NONE) {
        OSRDestroySpatialReference(wgs84);
        return NULL;
    }
    OSRSetAxisMappingStrategy(wgs84, OAMS_TRADITIONAL_GIS_ORDER);
    return wgs84;
}

pt_status pt_to_wgs84(const char *path, OGRSpatialReferenceH crs, OGRCoordinateTransformationH *out)
{
    OGRSpatialReferenceH from = OSRClone(crs), wgs84 = new_wgs84();
    pt_status status = pt_ok();
    if (!from || !wgs84) {
        status = gdal_failed(path, "PROJ does not know WGS 84; is its database (proj.db) installed?");
        goto out;
    }
    OSRSetAxisMappingStrategy(from, OAMS_TRADITIONAL_GIS_ORDER);
    if (OSRIsSame(from, wgs84)) {
        *out = NULL;
        goto out;
    }
    OGRCoordinateTransformationH made = OCTNewCoordinateTransformation(from, wgs84);
    if (made) {
        *out = made;
    } else {
        status = gdal_failed(path, "no way from its coordinate reference system to WGS 84");
    }
out:
    OSRDestroySpatialReference(from);
    OSRDestroySpatialReference(wgs84);
    return status;
}

static bool is_geojson_without_crs(const reader *r)
{
    return strcmp(GDALGetDriverShortName(GDALGetDatasetDriver(r->file)), "GeoJSON") == 0 &&
           pt_geojson_has_null_crs(r->path);
}

/* GeoPackage has a local CRS for pixels and names of its own for "undefined". */
static bool is_no_crs(OGRSpatialReferenceH crs)
{
    const char *name = crs ? OSRGetName(crs) : NULL;
    return !crs || OSRIsLocal(crs) || (name && strncmp(name, "Undefined ", 10) == 0);
}

static pt_status connect(reader *r, OGRSpatialReferenceH crs)
{
    r->has_crs = !is_no_crs(crs) && !is_geojson_without_crs(r);
    return r->has_crs ? pt_to_wgs84(r->path, crs, &r->to_wgs84) : pt_ok();
}

static bool may_hold_polygons(OGRLayerH layer)
{
    OGRwkbGeometryType type = wkbFlatten(OGR_L_GetGeomType(layer));
    return type == wkbUnknown || type == wkbGeometryCollection || OGR_GT_IsSurface(type) ||
           OGR_GT_IsSubClassOf(type, wkbMultiSurface);
}

static pt_status reader_open(GEOSContextHandle_t geos, const char *path, reader *out)
{
    reader r = {.geos = geos, .path = path};
    r.file = GDALOpenEx(path, GDAL_OF_VECTOR | GDAL_OF_READONLY, NULL, NULL, NULL);
    if (!r.file) {
        return gdal_failed(path, "cannot be opened as a vector file");
    }
    int layers = GDALDatasetGetLayerCount(r.file);
    for (int i = 0; i < layers && !r.layer; i++) {
        OGRLayerH layer = GDALDatasetGetLayer(r.file, i);
        r.layer = may_hold_polygons(layer) ? layer : NULL;
    }
    pt_status status = r.layer ? connect(&r, OGR_L_GetSpatialRef(r.layer))
                               : pt_error(PT_E_INPUT, "%s: no layer of polygons", path);
    if (status.code != PT_OK) {
        GDALClose(r.file);
        return status;
    }
    *out = r;
    return pt_ok();
}

static void reader_close(reader *r)
{
    OCTDestroyCoordinateTransformation(r->to_wgs84);
    if (r->file) {
        GDALClose(r->file);
    }
}

/* *out is NULL for what GEOS does not take, such as rings of three points. */
static pt_status geos_from_ogr(GEOSContextHandle_t geos, OGRGeometryH geometry, GEOSGeometry **out)
{
    int size = OGR_G_WkbSize(geometry);
    unsigned char *wkb = pt_alloc((size_t)size, 1);
    if (!wkb) {
        return PT_NOMEM("a polygon");
    }
    *out = OGR_G_ExportToWkb(geometry, wkbNDR, wkb) == OGRERR_NONE
               ? GEOSGeomFromWKB_buf_r(geos, wkb, (size_t)size)
               : NULL;
    pt_free(wkb);
    return pt_ok();
}

static bool is_polygonal(GEOSContextHandle_t geos, const GEOSGeometry *g)
{
    int type = GEOSGeomTypeId_r(geos, g);
    return type == GEOS_POLYGON || type == GEOS_MULTIPOLYGON;
}

/* The valid polygons of `g`, which it takes; NULL when there are none. */
static GEOSGeometry *polygons_of(GEOSContextHandle_t geos, GEOSGeometry *g)
{
    if (g && GEOSisValid_r(geos, g) != 1) {
        GEOSGeometry *made = GEOSMakeValid_r(geos, g);
        GEOSGeom_destroy_r(geos, g);
        g = made;
    }
    if (g && !is_polygonal(geos, g)) {
        /* Lines and points go: a buffer of nothing keeps areas alone. */
        GEOSGeometry *areas = GEOSBuffer_r(geos, g, 0, 8);
        GEOSGeom_destroy_r(geos, g);
        g = areas;
    }
    double area = 0;
    if (g && (GEOSisEmpty_r(geos, g) || !GEOSArea_r(geos, g, &area) || !(area > 0))) {
        GEOSGeom_destroy_r(geos, g);
        return NULL;
    }
    return g;
}

/* The feature's polygons in WGS 84, or NULL in *out for a geometry without any. */
static pt_status read_geometry(const reader *r, OGRFeatureH feature, GEOSGeometry **out)
{
    *out = NULL;
    OGRGeometryH from = OGR_F_GetGeometryRef(feature);
    OGRwkbGeometryType type = from ? wkbFlatten(OGR_G_GetGeometryType(from)) : wkbNone;
    if (type != wkbGeometryCollection && !OGR_GT_IsSurface(type) &&
        !OGR_GT_IsSubClassOf(type, wkbMultiSurface)) {
        return pt_ok();
    }
    OGRGeometryH flat = OGR_G_GetLinearGeometry(from, 0, NULL);
    if (!flat) {
        return PT_NOMEM("a polygon");
    }
    OGR_G_FlattenTo2D(flat);
    pt_status status = pt_ok();
    if (r->to_wgs84 && OGR_G_Transform(flat, r->to_wgs84) != OGRERR_NONE) {
        status =
            pt_error(PT_E_INPUT, "%s: feature %lld lies where its coordinate reference system is not defined",
                     r->path, (long long)OGR_F_GetFID(feature));
    } else {
        status = geos_from_ogr(r->geos, flat, out);
        *out = polygons_of(r->geos, *out);
    }
    OGR_G_DestroyGeometry(flat);
    return status;
}

static int find_class_field(OGRFeatureDefnH defn, const char *wanted)
{
    if (wanted) {
        return OGR_FD_GetFieldIndex(defn, wanted);
    }
    int field = OGR_FD_GetFieldIndex(defn, "class");
    return field >= 0 ? field : OGR_FD_GetFieldIndex(defn, "class_id");
}

static pt_status add_item(const reader *r, OGRFeatureH feature, int class_field, pt_names *names,
                          pt_layer *layer)
{
    GEOSGeometry *geometry;
    PT_TRY(read_geometry(r, feature, &geometry));
    if (!geometry) {
        layer->skipped++;
        return pt_ok();
    }
    pt_shape_item item = {.geometry = geometry, .score = 1};
    GEOSArea_r(r->geos, geometry, &item.area);
    int score = OGR_F_GetFieldIndex(feature, "score");
    if (score >= 0 && OGR_F_IsFieldSetAndNotNull(feature, score)) {
        double value = OGR_F_GetFieldAsDouble(feature, score);
        item.score = isfinite(value) ? value : 0;
    }
    pt_status status = pt_ok();
    if (class_field >= 0) {
        status = pt_names_find(names, OGR_F_GetFieldAsString(feature, class_field), &item.class_id);
    }
    if (status.code == PT_OK) {
        status = pt_grow(&layer->items, &layer->capacity, layer->count + 1, sizeof *layer->items);
    }
    if (status.code != PT_OK) {
        GEOSGeom_destroy_r(r->geos, geometry);
        return status;
    }
    layer->items[layer->count++] = item;
    return pt_ok();
}

/* Drivers tell of a file that is cut or damaged through GDAL's error alone: a null feature looks like the
 * end. */
static pt_status next_feature(const reader *r, OGRFeatureH *out)
{
    CPLErrorReset();
    OGRFeatureH feature = OGR_L_GetNextFeature(r->layer);
    if (CPLGetLastErrorType() >= CE_Failure) {
        OGR_F_Destroy(feature);
        return gdal_failed(r->path, "cannot be read to its end");
    }
    *out = feature;
    return pt_ok();
}

static pt_status read_items(const reader *r, int class_field, pt_names *names, pt_layer *layer)
{
    for (;;) {
        OGRFeatureH feature = NULL;
        PT_TRY(next_feature(r, &feature));
        if (!feature) {
            return pt_ok();
        }
        pt_status status = add_item(r, feature, class_field, names, layer);
        OGR_F_Destroy(feature);
        PT_TRY(status);
    }
}

pt_status pt_layer_read(GEOSContextHandle_t geos, const char *path, const char *class_field, pt_names *names,
                        pt_layer *out)
{
    reader r = {0};
    PT_TRY(reader_open(geos, path, &r));
    int field = find_class_field(OGR_L_GetLayerDefn(r.layer), class_field);
    pt_layer layer = {.geos = geos, .has_crs = r.has_crs, .has_classes = field >= 0};
    pt_status status = read_items(&r, field, names, &layer);
    if (layer.skipped) {
        PT_WARN("features without an area are left out", PT_S("file", path), PT_I("features", layer.skipped));
    }
    reader_close(&r);
    if (status.code != PT_OK) {
        pt_layer_fini(&layer);
        return status;
    }
    *out = layer;
    return pt_ok();
}

void pt_layer_fini(pt_layer *layer)
{
    for (size_t i = 0; i < layer->count; i++) {
        GEOSGeom_destroy_r(layer->geos, layer->items[i].geometry);
    }
    pt_free(layer->items);
    *layer = (pt_layer){0};
}

pt_status pt_layer_ignore_outside(pt_layer *layer, const GEOSGeometry *extent)
{
    const GEOSPreparedGeometry *prepared = GEOSPrepare_r(layer->geos, extent);
    if (!prepared) {
        return PT_NOMEM("an extent");
    }
    pt_status status = pt_ok();
    for (size_t i = 0; i < layer->count; i++) {
        pt_shape_item *item = &layer->items[i];
        if (GEOSPreparedContains_r(layer->geos, prepared, item->geometry) == 1) {
            continue;
        }
        double inside = 0;
        GEOSGeometry *common = GEOSIntersection_r(layer->geos, extent, item->geometry);
        if (!common || !GEOSArea_r(layer->geos, common, &inside)) {
            status = pt_error(PT_E_INTERNAL, "GEOS could not cut a polygon with the extent");
        }
        GEOSGeom_destroy_r(layer->geos, common);
        item->ignored = inside < item->area / 2;
    }
    GEOSPreparedGeom_destroy_r(layer->geos, prepared);
    return status;
}
