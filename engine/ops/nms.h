/* Greedy non-maximum suppression, exact: a box falls when its IoU with a kept box of higher rank is above the
 * threshold. The caller gives boxes of one class (or level) in falling order of score. */
#ifndef PANTILE_ENGINE_OPS_NMS_H
#define PANTILE_ENGINE_OPS_NMS_H

#include "engine/ops/box.h"
#include "tiling/base/status.h"

/* Scratch; grows only. Zero-initialise, then reserve. */
typedef struct pt_nms_space {
    float *columns; /* 5 columns: the kept boxes */
    size_t capacity;
} pt_nms_space;

pt_status pt_nms_space_reserve(pt_nms_space *space, size_t count);
void pt_nms_space_fini(pt_nms_space *space);

/* Writes the indices of the kept boxes, in order, and returns how many. count <= the space's capacity. */
size_t pt_nms(pt_nms_space *space, const pt_box *boxes, size_t count, float threshold, uint32_t *kept);

#endif
