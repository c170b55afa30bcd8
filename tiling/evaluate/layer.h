/* Private to tiling/evaluate: vector layers as GEOS polygons in one common frame. */
#ifndef PANTILE_TILING_EVALUATE_LAYER_H
#define PANTILE_TILING_EVALUATE_LAYER_H

#include "tiling/evaluate/evaluate.h"

#define GEOS_USE_ONLY_R_API
#include <geos_c.h>
#include <ogr_srs_api.h>

typedef struct pt_shape_item {
    GEOSGeometry *geometry; /* owned; a valid, non-empty polygon or multipolygon */
    double area;            /* square degrees, or square units of a file without CRS */
    double score;           /* 1 without that attribute */
    int32_t class_id;       /* index into the classes' names */
    bool ignored;           /* less than half inside the extent */
} pt_shape_item;

typedef struct pt_names {
    char (*items)[64]; /* owned */
    size_t count, capacity;
} pt_names;

typedef struct pt_layer {
    GEOSContextHandle_t geos; /* borrowed; that of all geometries */
    pt_shape_item *items;     /* owned; in the file's order */
    size_t count, capacity;
    bool has_crs, has_classes;
    int64_t skipped; /* features that are no polygons */
} pt_layer;

/* The way from `crs` to WGS 84 longitude and latitude, to be destroyed by the caller; NULL when it is that
 * already. `path` is for the message. PT_E_INPUT. */
pt_status pt_to_wgs84(const char *path, OGRSpatialReferenceH crs, OGRCoordinateTransformationH *out);

/* The first layer with polygons of `path`. Names not yet in `names` are added. PT_E_INPUT, also for a file
 * that cannot be read to its end. */
pt_status pt_layer_read(GEOSContextHandle_t geos, const char *path, const char *class_field, pt_names *names,
                        pt_layer *out);
void pt_layer_fini(pt_layer *layer);

/* The area of a raster's footprint or of all polygons of a vector file, to be destroyed by the caller. */
pt_status pt_extent_read(GEOSContextHandle_t geos, const char *path, bool has_crs, GEOSGeometry **out);

/* Marks items of which less than half lies inside. */
pt_status pt_layer_ignore_outside(pt_layer *layer, const GEOSGeometry *extent);

/* Number of `name` in the list, adding it. */
pt_status pt_names_find(pt_names *names, const char *name, int32_t *out);

#endif
