/* Depthwise 3x3 convolutions of bytes, stride 1 or 2: versions per instruction set that compute the same
 * bits. Channels go into blocks; a block's numbers lie in an order of the version's own. */
#ifndef PANTILE_ENGINE_KERNELS_DEPTHWISE_U8_H
#define PANTILE_ENGINE_KERNELS_DEPTHWISE_U8_H

#include "engine/kernels/conv_u8.h"

enum {
    PT_U8_DEPTHWISE_PIXELS = 4,    /* that are computed together */
    PT_U8_DEPTHWISE_CHANNELS = 64, /* of a slice: what of a pixel fits a cache line */
    PT_U8_DEPTHWISE_COLUMNS = 10,  /* of input that the pixels of a group read at stride 2, and one more */
};

typedef struct pt_u8_depthwise {
    int channels, stride;
    void *weights;            /* packed, all blocks */
    int32_t *start;           /* per channel, whole blocks, in the order of `place` */
    float *multiplier, *bias; /* the same */
    pt_u8_finish finish;      /* bytes, without a summand */
} pt_u8_depthwise;

/* Pixels of one output row whose windows lie inside the map, and of them one slice of channels. */
typedef struct pt_u8_depthwise_row {
    int first;              /* the slice's first channel, a multiple of PT_U8_DEPTHWISE_CHANNELS */
    const uint8_t *rows[3]; /* where the first window begins in each input row, at channel `first` */
    ptrdiff_t step;         /* bytes from one input pixel to the next */
    ptrdiff_t pitch;        /* bytes from an input row to the next, which may be fetched ahead */
    int pixels;             /* at least PT_U8_DEPTHWISE_PIXELS */
    uint8_t *out;           /* the first pixel, at channel `first` */
    ptrdiff_t out_step;     /* bytes from one output pixel to the next */
} pt_u8_depthwise_row;

/* PT_U8_DEPTHWISE_PIXELS pixels side by side whose windows lie anywhere. */
typedef struct pt_u8_depthwise_group {
    int first;
    const uint8_t *in[3][PT_U8_DEPTHWISE_COLUMNS]; /* the windows' input pixels, at channel `first` */
    uint8_t *out;
    ptrdiff_t out_step;
} pt_u8_depthwise_group;

typedef struct pt_u8_depthwise_kernels {
    const char *name;
    int block;           /* channels */
    int twice;           /* a block with so many channels or fewer has each again so many later; 0: never */
    size_t weight_bytes; /* of a block */
    int (*place)(int c); /* of channel c of a block */
    /* Channel `c` of a block whose weights begin at `block`; w is 3 x 3. */
    void (*pack)(const int8_t *w, int c, void *block);
    /* Both read one pixel beyond the last window, and of each pixel a whole slice. */
    void (*row)(const pt_u8_depthwise *layer, const pt_u8_depthwise_row *row);
    void (*group)(const pt_u8_depthwise *layer, const pt_u8_depthwise_group *group);
} pt_u8_depthwise_kernels;

const pt_u8_depthwise_kernels *pt_u8_depthwise_kernels_for(pt_isa isa);

#endif
