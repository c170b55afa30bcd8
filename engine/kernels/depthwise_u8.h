/* Depthwise 3x3 convolutions of bytes, stride 1 or 2: versions per instruction set that compute the same
 * bits. Channels go into blocks; a block's numbers lie in an order of the version's own. */
#ifndef PANTILE_ENGINE_KERNELS_DEPTHWISE_U8_H
#define PANTILE_ENGINE_KERNELS_DEPTHWISE_U8_H

#include "engine/kernels/conv_u8.h"

enum { PT_U8_DEPTHWISE_PIXELS = 4 }; /* that are computed together */

typedef struct pt_u8_depthwise {
    int channels, stride;
    void *weights;            /* packed, all blocks */
    int32_t *start;           /* per channel, whole blocks, in the order of `place` */
    float *multiplier, *bias; /* the same */
    pt_u8_finish finish;      /* bytes, without a summand */
} pt_u8_depthwise;

typedef struct pt_u8_depthwise_kernels {
    const char *name;
    int block;           /* channels */
    size_t weight_bytes; /* of a block */
    int (*place)(int c); /* of channel c of a block */
    /* Channel `c` of a block whose weights begin at `block`; w is 3 x 3. */
    void (*pack)(const int8_t *w, int c, void *block);
    /* `pixels` of one output row, at least PT_U8_DEPTHWISE_PIXELS. rows: where the first window begins in
     * each input row; one pixel beyond the last window is read. */
    void (*row)(const pt_u8_depthwise *layer, const uint8_t *const rows[3], int pixels, uint8_t *out);
} pt_u8_depthwise_kernels;

const pt_u8_depthwise_kernels *pt_u8_depthwise_kernels_for(pt_isa isa);

#endif
