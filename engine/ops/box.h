/* Boxes and the order of scores. Coordinates are pixels of the image: corners, continuous. */
#ifndef PANTILE_ENGINE_OPS_BOX_H
#define PANTILE_ENGINE_OPS_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct pt_box {
    float x0, y0, x1, y1;
} pt_box;

/* A box from an anchor or proposal and the network's answer (dx, dy, dw, dh) / weights; growth is limited to
 * 1000 / 16 times. Source: Girshick et al., R-CNN, appendix C, with the limit that torchvision and Detectron
 * share. */
pt_box pt_box_decode(pt_box from, const float delta[4], const float weights[4]);

static inline float pt_clampf(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

static inline pt_box pt_box_clip(pt_box b, float width, float height)
{
    return (pt_box){pt_clampf(b.x0, 0, width), pt_clampf(b.y0, 0, height), pt_clampf(b.x1, 0, width),
                    pt_clampf(b.y1, 0, height)};
}

/* False for a side under min_size and for a box that is not a number. */
static inline bool pt_box_is_large(pt_box b, float min_size)
{
    return b.x1 - b.x0 >= min_size && b.y1 - b.y0 >= min_size;
}

/* Grows with the float; a NaN lies beyond the infinity of its sign. */
static inline uint32_t pt_float_order(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* Ascending keys are falling scores; equal scores keep the order of their index. */
static inline uint64_t pt_rank_key(float score, uint32_t index)
{
    return (uint64_t)~pt_float_order(score) << 32 | index;
}

static inline uint32_t pt_rank_index(uint64_t key)
{
    return (uint32_t)key;
}

/* By the rank alone: equal scores keep their order. spare: room for as many keys; count < 2^32. */
void pt_rank_sort(uint64_t *keys, uint64_t *spare, size_t count);

/* Anchors of one cell, centred on the origin and rounded half to even: ratio by ratio (height / width),
 * within it size by size. `out` holds ratio_count * size_count boxes. */
void pt_anchors_of_cell(const float *sizes, int size_count, const float *ratios, int ratio_count,
                        pt_box *out);

#endif
