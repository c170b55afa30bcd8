/* The mask head's end: from the transposed convolution's output to one grid of logits per detection. */
#ifndef PANTILE_ENGINE_OPS_MASK_LOGITS_H
#define PANTILE_ENGINE_OPS_MASK_LOGITS_H

#include "engine/backend/pool.h"
#include "engine/kernels/map.h"

/* expanded: n regions of side x side cells with 4 * channels channels, F32 or U8: the 2x2 transposed
 * convolution at stride 2 as a 1x1 one, sub-position (dy, dx) = (k / 2, k % 2) of cell (r, i) in channels
 * [k * channels, (k + 1) * channels). Pixel (2r + dy, 2i + dx) of logits[region] is the dot product of its
 * channels with weights[class], plus bias[class]. logits: n * (2 * side)^2. */
void pt_op_mask_logits(pt_pool *pool, const pt_map *expanded, const int *class_ids, const float *weights,
                       const float *bias, float *logits);
void pt_op_sigmoid(pt_pool *pool, float *values, size_t count);

#endif
