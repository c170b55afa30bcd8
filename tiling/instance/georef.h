/* Where scene pixels lie on the ground: an affine transform and a CRS, as plain data (no GDAL types). */
#ifndef PANTILE_TILING_INSTANCE_GEOREF_H
#define PANTILE_TILING_INSTANCE_GEOREF_H

#include "tiling/base/base.h"

typedef struct pt_georef {
    /* CRS x = t[0] + t[1] * px + t[2] * py, CRS y = t[3] + t[4] * px + t[5] * py, where (px, py) are
     * continuous scene pixels (after resampling), (0, 0) the outer corner of the first pixel. */
    double transform[6];
    char *wkt; /* owned; WKT2 of the CRS; NULL or empty: no CRS, output is in pixels */
} pt_georef;

#endif
