/* Layers on bytes of the native backend. All sums are exact, so every implementation gives the same bits. */
#ifndef PANTILE_ENGINE_BACKEND_NATIVE_NATIVE_U8_H
#define PANTILE_ENGINE_BACKEND_NATIVE_NATIVE_U8_H

#include "engine/backend/native/internal.h"
#include "engine/kernels/conv_u8.h"

enum { PT_U8_MAX_TAPS = 64 }; /* of a kernel; 7 x 7 is the largest in use */

pt_native_new pt_native_u8_new;       /* picks one of these; PT_E_UNSUPPORTED beyond PT_U8_MAX_TAPS */
pt_native_new pt_native_u8_dense_new; /* any stride and groups */
pt_native_new pt_native_u8_depthwise_new;

bool pt_native_u8_depthwise_suits(const pt_conv_spec *spec); /* 3x3 with one channel per group, to bytes */
pt_u8_finish pt_u8_finish_of(const pt_conv_spec *spec, const pt_conv_weights *weights);

/* Output channels that are computed together. */
typedef struct pt_u8_block {
    int channel, channels; /* the first, and how many of the vectors' lanes are in use */
    int vectors;
    int in_channel;   /* its group's first input channel */
    size_t weights;   /* where its packed weights begin, bytes */
    size_t constants; /* where its start, multiplier and bias begin, elements */
} pt_u8_block;

typedef struct pt_u8_dense {
    pt_conv base;
    const pt_u8_kernels *kernels;
    pt_u8_finish finish;
    int run_count, run_steps; /* of a window: runs of elements next to each other, and the steps of each */
    size_t step_bytes;        /* of packed weights: of one step of one vector */
    int block_count;
    pt_u8_block *blocks;
    void *weights;
    int32_t *start;
    float *multiplier, *bias; /* per channel of a block, 0 where there is none */
    size_t packed_bytes;      /* of all of this */
} pt_u8_dense;

/* native_u8_run.c */
pt_status pt_u8_dense_reserve(const pt_conv *conv, pt_native *native, int n, int h, int w);
void pt_u8_dense_run(const pt_conv *conv, pt_native *native, const pt_map *in, const pt_map *summand,
                     pt_map *out);

#endif
