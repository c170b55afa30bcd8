/* Kernels of the detection half on NHWC maps: RoIAlign, suppression, the mask head's last layer.
 *
 * One table of functions per instruction set, filled from the plain C one upwards. Every version gives the
 * same bits: each multiplication and addition is rounded, in the order stated here. */
#ifndef PANTILE_ENGINE_KERNELS_REGIONS_H
#define PANTILE_ENGINE_KERNELS_REGIONS_H

#include "engine/kernels/cpu.h"
#include "engine/kernels/map.h"

/* Where one axis of a region reads: output cell i is the weighted sum of the map's rows (or columns)
 * index[i * most .. + count[i]). Bilinear weights are products of one factor per axis, and so is the mean
 * over a cell's samples. Neighbours that several samples of a cell share are listed once. */
typedef struct pt_roi_axis {
    int32_t *index; /* rising within a cell */
    float *weight;
    uint16_t *count; /* 0 .. most */
    int most;        /* 2 * samples */
} pt_roi_axis;

/* A region that begins at `start` and has `side` output cells `bin` wide, both in cells of a map of `size`,
 * as torchvision's roi_align samples it. Source: He et al., Mask R-CNN, section 3; bilinear, cell centres at
 * integers. */
void pt_k_roi_axis(float start, float bin, int side, int samples, int size, pt_roi_axis *axis);

/* One pixel of the map that goes into an output cell. */
typedef struct pt_roi_tap {
    size_t offset; /* elements from the map's begin to the pixel's first channel */
    union {
        float real;    /* of maps of floats */
        int32_t whole; /* of maps of bytes: 0 .. PT_ROI_ONE, together at most that */
    } weight;
} pt_roi_tap;

enum { PT_ROI_ONE = 2048 /* stands for 1: sums of bytes then fit into two times 16 bits */ };

typedef struct pt_k_box {
    float x0, y0, x1, y1, area;
} pt_k_box;

/* The same as columns. */
typedef struct pt_box_columns {
    float *x0, *y0, *x1, *y1, *area;
} pt_box_columns;

typedef struct pt_region_kernels {
    /* out[c] = the sum of weight * map[offset + c] in the order of the taps. */
    void (*roi_f32)(const float *map, const pt_roi_tap *taps, int count, int channels, float *out);
    /* out[c] = (the sum of weight * map[offset + c], plus rest * zero, plus PT_ROI_ONE / 2) / PT_ROI_ONE,
     * floored: integers, exact. The weights and rest sum to PT_ROI_ONE. The list has room for one tap more.
     */
    void (*roi_u8)(const uint8_t *map, pt_roi_tap *taps, int count, int channels, int rest, int zero,
                   uint8_t *out);

    /* Whether the IoU with any of `count` boxes is above the threshold; with one of them it is
     * inter / (its area + the box's area - inter). */
    bool (*overlaps)(const pt_box_columns *boxes, size_t count, const pt_k_box *box, float threshold);

    /* sums[p] = the dot product of `channels` weights with those of pixel p of `count`, which lie `stride`
     * elements apart: 16 partial sums, of the channels that are equal modulo 16, then sum j += sum j + 8, +
     * 4,
     * + 2, + 1. Bytes enter as (float)(q - zero). */
    void (*dot_f32)(const float *pixels, size_t count, size_t stride, const float *weights, int channels,
                    float *sums);
    void (*dot_u8)(const uint8_t *pixels, size_t count, size_t stride, int zero, const float *weights,
                   int channels, float *sums);
} pt_region_kernels;

/* The best for an instruction set that this CPU must have. */
pt_region_kernels pt_region_kernels_for(pt_isa isa);
/* Those of pt_isa_best(). Thread-safe; constant. */
const pt_region_kernels *pt_region_kernels_best(void);

/* Private to regions*.c: overwrite what they have a version of. */
void pt_region_kernels_fill_avx2(pt_region_kernels *kernels);
void pt_region_kernels_fill_avx512(pt_region_kernels *kernels);

#endif
