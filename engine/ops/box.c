#include "engine/ops/box.h"

#include "engine/kernels/exp.h"

#include <math.h>

enum {
    DIGITS =
        256,  /* of a radix sort's pass: four of them; larger ones spend more on counters than they save */
    FEW = 40, /* keys for which insertion is faster */
};

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

static void insert_each(uint64_t *keys, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        uint64_t key = keys[i];
        size_t at = i;
        for (; at > 0 && keys[at - 1] >> 32 > key >> 32; at--) {
            keys[at] = keys[at - 1];
        }
        keys[at] = key;
    }
}

/* One pass: by the 8 bits from `shift` on, stable. */
static void distribute(const uint64_t *from, uint64_t *to, size_t count, int shift)
{
    uint32_t starts[DIGITS] = {0}, sum = 0;
    for (size_t i = 0; i < count; i++) {
        starts[from[i] >> shift & (DIGITS - 1)]++;
    }
    for (size_t d = 0; d < DIGITS; d++) {
        uint32_t n = starts[d];
        starts[d] = sum;
        sum += n;
    }
    for (size_t i = 0; i < count; i++) {
        to[starts[from[i] >> shift & (DIGITS - 1)]++] = from[i];
    }
}

void pt_rank_sort(uint64_t *keys, uint64_t *spare, size_t count)
{
    if (count <= FEW) {
        insert_each(keys, count);
        return;
    }
    distribute(keys, spare, count, 32);
    distribute(spare, keys, count, 40);
    distribute(keys, spare, count, 48);
    distribute(spare, keys, count, 56);
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
