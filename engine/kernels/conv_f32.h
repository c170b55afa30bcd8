/* Kernels of FP32 layers over NHWC maps, in plain C, AVX2 and AVX-512.
 *
 * Every version computes the same bits: an output is one chain of fused multiply-adds that starts from 0 and
 * runs over taps and then channels in rising order, whatever the vectors' width and however the work is cut;
 * then the bias, the summand and the activation, in this order. The Winograd transforms are written once
 * (winograd_f32_tmpl.h), one output per lane.
 *
 * Kernels validate nothing. */
#ifndef PANTILE_ENGINE_KERNELS_CONV_F32_H
#define PANTILE_ENGINE_KERNELS_CONV_F32_H

#include "engine/kernels/cpu.h"
#include "engine/kernels/map.h"
#include "engine/kernels/winograd_f32.h"

enum {
    PT_F32_PANEL = 32,    /* output channels that lie next to each other in packed weights */
    PT_F32_MAX_ROWS = 14, /* of a tile, for every version */
};

/* What becomes of finished sums. Pointers are at the tile's first column. */
typedef struct pt_f32_finish {
    const float *bias;                 /* readable up to a multiple of PT_F32_PANEL columns */
    const float *add[PT_F32_MAX_ROWS]; /* of each row; all NULL: nothing is added */
    pt_activation activation;
    float *out; /* may be where `add` is */
    size_t out_stride;
} pt_f32_finish;

/* Rows of A times one panel of packed weights: `rows` pixels by `columns` output channels. A row of A is
 * `segments` stretches of `depth` floats. */
typedef struct pt_f32_tile {
    const float *a;
    size_t a_stride;
    int segments;
    size_t segment_stride;
    size_t depth;
    const float *b;              /* segments x depth x PT_F32_PANEL, at PT_ALIGNMENT */
    int rows, columns;           /* 1 .. kernels->rows, 1 .. PT_F32_PANEL */
    float *sums;                 /* rows x columns, where sums begin and end between blocks of depth */
    size_t sums_stride;          /* whole vectors are written: columns rounded up to 16 */
    bool begin;                  /* from 0, not from `sums` */
    const pt_f32_finish *finish; /* NULL: into `sums` */
} pt_f32_tile;

/* A layer with one input channel per output channel, over one image. */
typedef struct pt_f32_depthwise {
    const float *in; /* h x w x channels */
    int h, w, channels;
    int kernel_h, kernel_w, stride, pad;
    const float *weights;  /* kernel_h x kernel_w x weights_stride */
    size_t weights_stride; /* channels rounded up to 16 */
    const float *bias;     /* as many */
    pt_activation activation;
    float *out; /* rows x out_w x channels */
    int out_w;
} pt_f32_depthwise;

/* All members are set. */
typedef struct pt_f32_kernels {
    const char *name;
    int rows; /* of the largest tile */
    void (*tile)(const pt_f32_tile *tile);
    /* Output rows [row0, row1). Channels behind the last, up to a whole vector, are read. */
    void (*depthwise)(const pt_f32_depthwise *layer, int row0, int row1);
    /* The inputs of a tile -> out[plane], planes `plane` floats apart; channels are a multiple of 16. next:
     * the inputs that are wanted after these. */
    void (*winograd_in)(const float *const pixels[PT_WINOGRAD_PLANES],
                        const float *const next[PT_WINOGRAD_PLANES], int channels, float *out, size_t plane);
    void (*winograd_out)(const pt_f32_winograd_out *tile);
} pt_f32_kernels;

/* The version for an instruction set: the widest of this build that it includes. */
const pt_f32_kernels *pt_f32_kernels_for(pt_isa isa);

#endif
