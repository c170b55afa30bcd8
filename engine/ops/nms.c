#include "engine/ops/nms.h"

#include "engine/kernels/regions.h"
#include "tiling/base/alloc.h"

pt_status pt_nms_space_reserve(pt_nms_space *space, size_t count)
{
    if (count <= space->capacity && space->columns) {
        return pt_ok();
    }
    float *columns = count > SIZE_MAX / 5 ? NULL : pt_alloc_aligned(5 * count, sizeof *columns);
    if (!columns) {
        return PT_NOMEM("non-maximum suppression");
    }
    pt_nms_space_fini(space);
    *space = (pt_nms_space){columns, count};
    return pt_ok();
}

void pt_nms_space_fini(pt_nms_space *space)
{
    pt_free(space->columns);
    *space = (pt_nms_space){0};
}

size_t pt_nms(pt_nms_space *space, const pt_box *boxes, size_t count, float threshold, uint32_t *kept)
{
    const pt_region_kernels *kernels = pt_region_kernels_best();
    float *x0 = space->columns;
    const pt_box_columns so_far = {x0, x0 + count, x0 + 2 * count, x0 + 3 * count, x0 + 4 * count};
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        pt_box b = boxes[i];
        const pt_k_box box = {b.x0, b.y0, b.x1, b.y1, (b.x1 - b.x0) * (b.y1 - b.y0)};
        if (kernels->overlaps(&so_far, n, &box, threshold)) {
            continue;
        }
        so_far.x0[n] = box.x0;
        so_far.y0[n] = box.y0;
        so_far.x1[n] = box.x1;
        so_far.y1[n] = box.y1;
        so_far.area[n] = box.area;
        kept[n++] = (uint32_t)i;
    }
    return n;
}
