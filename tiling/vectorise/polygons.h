/* Private to tiling/vectorise: lists of polygons, their way through GEOS and back. */
#ifndef PANTILE_TILING_VECTORISE_POLYGONS_H
#define PANTILE_TILING_VECTORISE_POLYGONS_H

#include "tiling/instance/feature.h"
#include "tiling/vectorise/outline.h"

#define GEOS_USE_ONLY_R_API
#include <geos_c.h>

typedef struct pt_polygons {
    pt_polygon *items; /* owned, and all below */
    size_t count;
} pt_polygons;

void pt_polygons_fini(pt_polygons *polygons);
pt_status pt_polygons_copy(const pt_polygons *polygons, pt_polygons *out);

/* Square pixels; positive for a ring wound as feature.h wants an exterior. */
double pt_ring_area(const pt_ring *ring);

/* Groups loops into polygons, one per component. Each ring begins at a corner. */
pt_status pt_polygons_from_outline(const pt_outline *outline, pt_polygons *out);

/* Drops, in place, holes and then polygons of less than `min_area` square pixels. */
void pt_polygons_drop_small(pt_polygons *polygons, double min_area);

/* A GEOS context that keeps its first message instead of printing it. */
typedef struct pt_geos {
    GEOSContextHandle_t handle;
    char message[256];
} pt_geos;

/* `geos` must stay where it is until fini: GEOS keeps its address. */
pt_status pt_geos_init(pt_geos *geos);
void pt_geos_fini(pt_geos *geos);
/* What to return after GEOS failed to `verb`. */
pt_status pt_geos_failed(const pt_geos *geos, const char *verb);

/* A new multipolygon, to be destroyed by the caller, with the same coordinates; NULL on failure. */
GEOSGeometry *pt_polygons_to_geos(const pt_geos *geos, const pt_polygon *items, size_t count);
/* The polygons anywhere inside `geometry`, with the windings of feature.h; lines and points are left out. */
pt_status pt_polygons_from_geos(const pt_geos *geos, const GEOSGeometry *geometry, pt_polygons *out);

#endif
