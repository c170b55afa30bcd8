/* A finished object as geometry: rings in scene pixels, ready for a writer.
 *
 * Coordinates are continuous scene pixels: x right, y down, pixel (i, j) covers [i, i+1) by [j, j+1). Rings
 * are closed (the last point equals the first). In these y-down coordinates exterior rings run so that they
 * are counter-clockwise once y is flipped to point up (the right-hand rule of RFC 7946 for north-up scenes);
 * holes run the other way. Writers reorder when a scene's transform mirrors.
 *
 * A zeroed feature is valid and empty. pt_feature_fini frees what it owns.
 */
#ifndef PANTILE_TILING_INSTANCE_FEATURE_H
#define PANTILE_TILING_INSTANCE_FEATURE_H

#include "tiling/base/base.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pt_ring {
    double *xy;   /* owned; x0, y0, x1, y1, ... */
    size_t count; /* points, first and last counted both; >= 4 */
} pt_ring;

typedef struct pt_polygon {
    pt_ring *rings; /* owned; rings[0] is the exterior, the others are holes */
    size_t count;   /* >= 1 */
} pt_polygon;

typedef struct pt_feature {
    pt_polygon *polygons; /* owned; disjoint interiors */
    size_t count;
    int32_t class_id;
    uint16_t score_q; /* pt_score_quantise of the best detection */
    int32_t tiles;    /* how many tiles contributed */
    bool merged;      /* put together from detections of more than one tile */
    bool truncated;   /* touches the scene's edge or an invalid pixel */
    int64_t anchor_x; /* canonical pixel: with it objects are ordered, row by row of tiles */
    int64_t anchor_y;
} pt_feature;

void pt_feature_fini(pt_feature *feature);

#endif
