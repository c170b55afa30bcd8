/* Matrix tiles (AMX) for convolutions of bytes: blocks of 32 output positions by 32 output channels.
 *
 * A position's input is read where it lies: tap t of position p at a + p * a_step + taps[t], 64 channels at a
 * time. Weights are packed into tiles, so that a block reads them from beginning to end. Sums are exact. */
#ifndef PANTILE_ENGINE_KERNELS_CONV_U8_AMX_H
#define PANTILE_ENGINE_KERNELS_CONV_U8_AMX_H

#include "engine/kernels/cpu.h"
#include "engine/kernels/map.h"

enum {
    PT_AMX_ROWS = 32,    /* positions of a block */
    PT_AMX_COLUMNS = 32, /* output channels of a block */
    PT_AMX_DEPTH = 64,   /* input channels of a step */
    PT_AMX_PANEL = 2048, /* bytes of packed weights per step: 64 x 32 */
};

typedef struct pt_k_amx_block {
    const uint8_t *a;
    ptrdiff_t a_step;
    const ptrdiff_t *taps;
    int tap_count, steps; /* a step: 64 channels of all taps */
    const int8_t *b;      /* steps x taps x PT_AMX_PANEL */
    int32_t *c;           /* 32 x 32 sums, row by row; aligned to 64 bytes */
    bool add;             /* to what c holds; else c is overwritten */
} pt_k_amx_block;

/* How sums become output: backend.h's definition. Arrays have a multiple of 32 entries. */
typedef struct pt_k_amx_finish {
    const float *multiplier, *bias;
    const int32_t *offset; /* subtracted: what the zero point adds to the sum */
    pt_activation activation;
    pt_elem elem; /* of summand and output */
    pt_quant sum, out;
    float out_inverse; /* 1 / out.scale */
} pt_k_amx_finish;

/* A finished block's way out: row i of the sums goes to channels [first_channel, first_channel + channels) of
 * output pixel out[i], and adds the same channels of summand pixel summand[i]. */
typedef struct pt_k_amx_rows {
    const pt_k_amx_finish *finish;
    const int32_t *sums;            /* of a block */
    const ptrdiff_t *out, *summand; /* PT_AMX_ROWS pixels each; out -1: thrown away */
    int first_channel, channels;    /* channels: at most PT_AMX_COLUMNS */
    int pixel_channels;             /* of both maps */
    const void *summand_map;        /* NULL: none */
    void *out_map;
} pt_k_amx_rows;

typedef struct pt_k_amx {
    void (*begin)(void); /* before blocks are run on a thread, and after: a thread's tiles are its own */
    void (*end)(void);
    /* Sums a block and meanwhile finishes the rows of another (NULL: none): tiles and vectors are different
     * units, and a shallow layer's rows take as long as its sums. */
    void (*block)(const pt_k_amx_block *block, const pt_k_amx_rows *rows);
    void (*finish)(const pt_k_amx_rows *rows);
} pt_k_amx;

const pt_k_amx *pt_k_amx_for(pt_isa isa); /* NULL: this build or level has no tiles */
extern const pt_k_amx pt_k_amx_kernels;   /* only where PANTILE_HAVE_AMX */
extern const pt_k_amx pt_k_amx_emulated;  /* tests' own: the tiles in plain C, the rest in AVX-512 */

/* Weights of `outputs` rows of taps x channels, OHWI -> panels: for each 32 outputs, steps x taps panels;
 * missing outputs and channels are 0. The packed size: pt_k_amx_packed. */
size_t pt_k_amx_packed(int outputs, int taps, int channels);
void pt_k_amx_pack(const int8_t *weights, int outputs, int taps, int channels, int8_t *packed);

#endif
