/* Winograd's F(4x4, 3x3) at the points 0, +-1/sqrt(2), +-sqrt(2) and infinity: 4x4 outputs of a 3x3 window
 * cost 36 products for each pair of channels instead of 144.
 *
 * The usual points 0, +-1, +-2 make twice the error: 1.9e-6 against 9.5e-7 (relative L2 against double, 256
 * channels, where direct sums in float make 6.6e-7), because their powers lie further apart. */
#ifndef PANTILE_ENGINE_KERNELS_WINOGRAD_F32_H
#define PANTILE_ENGINE_KERNELS_WINOGRAD_F32_H

#include "engine/kernels/map.h"

enum {
    PT_WINOGRAD_TILE = 4,                                       /* outputs on a side */
    PT_WINOGRAD_PATCH = 6,                                      /* inputs on a side */
    PT_WINOGRAD_PLANES = PT_WINOGRAD_PATCH * PT_WINOGRAD_PATCH, /* products */
    PT_WINOGRAD_PIXELS = PT_WINOGRAD_TILE * PT_WINOGRAD_TILE,
};

/* The points a and b, their powers, and a^2 + b^2; a * b is 1. */
#define PT_WINOGRAD_A 0.70710678118654752440f
#define PT_WINOGRAD_B 1.41421356237309504880f
#define PT_WINOGRAD_A2 0.5f
#define PT_WINOGRAD_B2 2.0f
#define PT_WINOGRAD_A3 0.35355339059327376220f
#define PT_WINOGRAD_B3 2.82842712474619009760f
#define PT_WINOGRAD_SUM 2.5f

/* What becomes of a tile's sums. Pointers are at the first of the channels. */
typedef struct pt_f32_winograd_out {
    const float *sums; /* of this tile; the next plane's lie `plane` floats behind */
    size_t plane;
    int channels;                          /* a multiple of 16 */
    float *out[PT_WINOGRAD_PIXELS];        /* each output pixel, NULL beyond the map */
    const float *next[PT_WINOGRAD_PIXELS]; /* the output pixels that are wanted after these; only a hint */
    const float *add[PT_WINOGRAD_PIXELS];  /* the summand's pixels; all NULL: nothing is added */
    const float *bias;
    pt_activation activation;
} pt_f32_winograd_out;

/* One input channel's 3x3 weights to PT_WINOGRAD_PLANES, in double and rounded once. */
void pt_f32_winograd_weights(const float weights[9], float out[PT_WINOGRAD_PLANES]);

#endif
