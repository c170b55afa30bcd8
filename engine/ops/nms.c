#include "engine/ops/nms.h"

#include "engine/kernels/regions.h"
#include "tiling/base/alloc.h"

pt_status pt_nms_space_reserve(pt_nms_space *space, size_t count)
{
    if (count <= space->capacity && space->columns) {
        return pt_ok();
    }
    float *columns = count > SIZE_MAX / 5 ? NULL : pt_alloc_aligned(5 * count, sizeof *columns);
    uint8_t *suppressed = pt_alloc(count, 1);
    if (!columns || !suppressed) {
        pt_free(columns);
        pt_free(suppressed);
        return PT_NOMEM("non-maximum suppression");
    }
    pt_nms_space_fini(space);
    *space = (pt_nms_space){.columns = columns, .suppressed = suppressed, .capacity = count};
    return pt_ok();
}

void pt_nms_space_fini(pt_nms_space *space)
{
    pt_free(space->columns);
    pt_free(space->suppressed);
    *space = (pt_nms_space){0};
}

size_t pt_nms(pt_nms_space *space, const pt_box *boxes, size_t count, float threshold, uint32_t *kept)
{
    const pt_region_kernels *kernels = pt_region_kernels_for(pt_isa_best());
    float *x0 = space->columns;
    pt_box_columns columns = {x0, x0 + count, x0 + 2 * count, x0 + 3 * count, x0 + 4 * count};
    for (size_t i = 0; i < count; i++) {
        columns.x0[i] = boxes[i].x0;
        columns.y0[i] = boxes[i].y0;
        columns.x1[i] = boxes[i].x1;
        columns.y1[i] = boxes[i].y1;
        columns.area[i] = (boxes[i].x1 - boxes[i].x0) * (boxes[i].y1 - boxes[i].y0);
        space->suppressed[i] = 0;
    }
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!space->suppressed[i]) {
            kept[n++] = (uint32_t)i;
            kernels->suppress(&columns, i, count, threshold, space->suppressed);
        }
    }
    return n;
}
