#include "engine/ops/nms.h"

#include "engine/kernels/kernels.h"
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
    float *x0 = space->columns;
    float *y0 = x0 + count, *x1 = y0 + count, *y1 = x1 + count, *area = y1 + count;
    for (size_t i = 0; i < count; i++) {
        x0[i] = boxes[i].x0;
        y0[i] = boxes[i].y0;
        x1[i] = boxes[i].x1;
        y1[i] = boxes[i].y1;
        area[i] = (boxes[i].x1 - boxes[i].x0) * (boxes[i].y1 - boxes[i].y0);
        space->suppressed[i] = 0;
    }
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!space->suppressed[i]) {
            kept[n++] = (uint32_t)i;
            pt_k_suppress(i, count, x0, y0, x1, y1, area, threshold, space->suppressed);
        }
    }
    return n;
}
