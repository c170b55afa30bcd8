/* Private to tiling/writer: OGR geometries that are valid as they will stand in the file. */
#ifndef PANTILE_TILING_WRITER_SHAPE_H
#define PANTILE_TILING_WRITER_SHAPE_H

#include "tiling/writer/ground.h"

typedef struct pt_shape_rules {
    bool spherical; /* degrees: cut at the antimeridian */
    int decimals;   /* round coordinates to so many decimals; negative: leave them */
} pt_shape_rules;

/* A new multipolygon (owned by the caller) with the feature's rings at `points`: valid after rounding,
 * exteriors counter-clockwise, holes clockwise. *out is NULL when rounding leaves nothing. */
pt_status pt_shape_make(const pt_feature *feature, const pt_points *points, const pt_shape_rules *rules,
                        OGRGeometryH *out);

/* The value of x in units of the last decimal. */
int64_t pt_shape_units(double x, int decimals);

#endif
