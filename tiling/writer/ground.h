/* Private to tiling/writer: from scene pixels to the ground, and what is measured there. */
#ifndef PANTILE_TILING_WRITER_GROUND_H
#define PANTILE_TILING_WRITER_GROUND_H

#include "tiling/instance/feature.h"
#include "tiling/instance/georef.h"
#include "tiling/writer/capture.h"

#include <ogr_api.h>
#include <ogr_srs_api.h>

/* Where a scene lies, and the way from there to a target CRS. */
typedef struct pt_ground {
    double affine[6];
    OGRSpatialReferenceH crs;               /* owned; NULL: no CRS, coordinates are pixels with y negated */
    OGRCoordinateTransformationH to_wgs84;  /* owned; NULL: is WGS 84 already, or no CRS */
    OGRCoordinateTransformationH to_target; /* owned; NULL: `crs` is the target */
} pt_ground;

/* A feature's points in its polygons' order, all rings in a row; the closing points are there. */
typedef struct pt_points {
    double *x, *y; /* owned */
    size_t count;
} pt_points;

/* `target` NULL: the scene's own CRS. */
pt_status pt_ground_init(const pt_georef *georef, OGRSpatialReferenceH target, pt_ground *out);
void pt_ground_fini(pt_ground *ground);

/* Longitude / latitude in degrees for WGS 84; without CRS pixels, y negated. */
pt_status pt_ground_wgs84(const pt_ground *ground, const pt_feature *feature, pt_points *out);
pt_status pt_ground_target(const pt_ground *ground, const pt_feature *feature, pt_points *out);
void pt_points_fini(pt_points *points);

/* On the WGS 84 ellipsoid: area without holes in m2, length of all rings, holes' too, in m. */
void pt_ground_measure(const pt_feature *feature, const pt_points *degrees, double *area, double *perimeter);

/* A new WGS 84 with longitude first; NULL when out of memory or PROJ finds no data. */
OGRSpatialReferenceH pt_ground_new_wgs84(void);

#endif
