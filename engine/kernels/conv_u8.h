/* The inner loops of dense INT8 convolutions, in versions per instruction set that compute the same bits.
 *
 * Output channels are cut into blocks of a few vectors, output pixels of one row into tiles. A version adds
 * up a tile's products with one block's weights, exactly, in 32 bits, and makes the output of the sums.
 *
 * A window is read in steps of `group` elements that lie next to each other in the input, at `offsets` from
 * the window's beginning: along the rows of the kernel, which are runs of elements in a map of this layout.
 * Where a run's length is no multiple of `group`, the weights of its last step end in zeros and what is read
 * there does not matter.
 *
 * Packed weights of a block: step, channel (in the order of `place`), `group` elements. */
#ifndef PANTILE_ENGINE_KERNELS_CONV_U8_H
#define PANTILE_ENGINE_KERNELS_CONV_U8_H

#include "engine/kernels/cpu.h"
#include "engine/kernels/map.h"

enum {
    PT_U8_MAX_VECTORS = 4, /* of a block */
    PT_U8_MAX_PIXELS = 14, /* of a tile */
    PT_U8_MAX_SUMS = 448,  /* of a tile: pixels * channels of the block, the most of any version */
};

/* How sums become output; backend.h has the definition. */
typedef struct pt_u8_finish {
    pt_elem out_elem;
    pt_activation activation;
    bool add;
    pt_quant sum;    /* of a U8 summand */
    int zero;        /* the output's */
    float inverse;   /* 1 / the output's scale */
    float low, high; /* U8: between which y * inverse is held; see pt_u8_finish_limits */
    bool saturates;  /* instructions that saturate to 16 bits and to bytes do the same */
} pt_u8_finish;

/* One tile of one block. Elements of the input are bytes, or 16-bit integers where the version is `wide`. */
typedef struct pt_u8_tile {
    const void *in;         /* the first pixel's window */
    ptrdiff_t step;         /* elements from one pixel's window to the next's */
    const int32_t *offsets; /* of the steps, elements */
    int steps;
    int pixels;
    const void *weights;
    const int32_t *start; /* per channel of the block, in the order of `place`; NULL: `sums` go on */
    int32_t *sums;        /* pixels x channels of the block, at PT_ALIGNMENT */
    bool unfinished;      /* leave the sums; what follows is not used */

    const pt_u8_finish *finish;
    const float *multiplier, *bias; /* as start */
    void *out;                      /* the first pixel's first channel of the block */
    ptrdiff_t out_step;             /* elements from pixel to pixel */
    const void *summand;
    const ptrdiff_t *summand_at; /* per pixel: elements from `summand`; of a layer that adds */
    int channels;                /* that exist; the block may have more */
} pt_u8_tile;

typedef struct pt_u8_kernels {
    const char *name;
    int lanes;                         /* channels of a vector */
    int max_vectors;                   /* of a block */
    int max_pixels[PT_U8_MAX_VECTORS]; /* of a tile, by the block's vectors - 1 */
    int group;                         /* input elements that a step takes from each pixel */
    bool wide;                         /* input and weights are 16-bit integers */
    /* Where channel `c` of a block lies among its sums, weights, multipliers. */
    int (*place)(int vectors, pt_elem out_elem, int c);
    void (*run)(const pt_u8_tile *tile, int vectors); /* sums is scratch unless the tile is in parts */
} pt_u8_kernels;

const pt_u8_kernels *pt_u8_kernels_for(pt_isa isa);

/* Sets low, high and saturates; `largest` is at least |y|. The clamps of the activation and of the byte
 * commute with the product and with rounding, because both are monotonic and the byte's limits are integers,
 * so one clamp before rounding does for both. */
void pt_u8_finish_limits(pt_u8_finish *finish, float largest);

#endif
