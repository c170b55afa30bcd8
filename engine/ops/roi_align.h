/* Features of regions, drawn from the level of the pyramid that fits each region's size.
 *
 * As torchvision's MultiScaleRoIAlign, but for one thing: the scale of a level is that of the padded image to
 * the map. torchvision guesses it from the unpadded size, which differs for images under 64 pixels alone. */
#ifndef PANTILE_ENGINE_OPS_ROI_ALIGN_H
#define PANTILE_ENGINE_OPS_ROI_ALIGN_H

#include "engine/backend/pool.h"
#include "engine/kernels/map.h"
#include "engine/ops/box.h"

enum { PT_PYRAMID_MAX_LEVELS = 8 };

typedef struct pt_pyramid {
    int levels;
    pt_map maps[PT_PYRAMID_MAX_LEVELS]; /* n = 1, all with the same number of channels; finest first */
    float scale[PT_PYRAMID_MAX_LEVELS]; /* cells per pixel */
    float canonical_size;               /* pixels: the side of a region that belongs to canonical_level */
    int canonical_level;                /* log2 of that level's stride */
    int sampling_ratio;                 /* samples per output cell and axis, >= 1 */
    bool aligned;                       /* half-pixel correction */
} pt_pyramid;

/* The index of the level for a region: FPN paper, equation 1. */
int pt_pyramid_level(const pt_pyramid *pyramid, pt_box box);

/* Samples points of a region along one axis, for each worker; grows only. Zero-initialise, then reserve. */
typedef struct pt_roi_space {
    uint8_t *memory;
    size_t each, total; /* bytes per worker and in all */
} pt_roi_space;

pt_status pt_roi_space_reserve(pt_roi_space *space, int sampling_ratio, int side, int workers);
void pt_roi_space_fini(pt_roi_space *space);

/* out: count x side x side x channels, of the pyramid's elem and quant (all levels share them). Of bytes, the
 * running sum of a cell's weights, in the order of pixels, is rounded to 2048ths; the sum of products is then
 * an integer, rounded to a byte (half up). So a map that is the same everywhere stays so, and even noise has
 * little more error than the last rounding alone. */
void pt_roi_align(const pt_pyramid *pyramid, pt_roi_space *space, pt_pool *pool, const pt_box *boxes,
                  size_t count, int side, pt_map *out);

#endif
