/* Private to tiling/vectorise: right angles. */
#ifndef PANTILE_TILING_VECTORISE_SQUARE_H
#define PANTILE_TILING_VECTORISE_SQUARE_H

#include "tiling/vectorise/polygons.h"

/* Replaces each polygon by one whose angles are right where that fits: IoU with the old one at least 0.85,
 * valid, and clear of the other polygons. Rings that do not fit stay as they are. `aspect` is a pixel's
 * height on the ground over its width: angles are right there. */
pt_status pt_square(const pt_geos *geos, double aspect, pt_polygons *polygons);

#endif
