#include "engine/ops/box.h"

#include "engine/kernels/exp.h"

#include <math.h>
#include <stdlib.h>

pt_box pt_box_decode(pt_box from, const float delta[4], const float weights[4])
{
    const float limit = 4.135166556742356f; /* log(1000 / 16) */
    float w = from.x1 - from.x0, h = from.y1 - from.y0;
    float cx = from.x0 + .5f * w, cy = from.y0 + .5f * h;
    float dw = delta[2] / weights[2], dh = delta[3] / weights[3];
    dw = dw > limit ? limit : dw;
    dh = dh > limit ? limit : dh;
    float px = delta[0] / weights[0] * w + cx;
    float py = delta[1] / weights[1] * h + cy;
    float half_w = .5f * (pt_exp(dw) * w);
    float half_h = .5f * (pt_exp(dh) * h);
    return (pt_box){px - half_w, py - half_h, px + half_w, py + half_h};
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void pt_rank_sort(uint64_t *keys, size_t count)
{
    qsort(keys, count, sizeof *keys, compare_keys);
}

void pt_anchors_of_cell(const float *sizes, int size_count, const float *ratios, int ratio_count, pt_box *out)
{
    for (int r = 0; r < ratio_count; r++) {
        float tall = sqrtf(ratios[r]);
        float wide = 1 / tall;
        for (int s = 0; s < size_count; s++) {
            float w = wide * sizes[s], h = tall * sizes[s];
            *out++ = (pt_box){rintf(-w / 2), rintf(-h / 2), rintf(w / 2), rintf(h / 2)};
        }
    }
}
