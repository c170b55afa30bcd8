/* The AMX instructions, or, with PT_AMX_EMULATED, what they do in plain C: for tests on machines without. */
#ifndef PANTILE_ENGINE_KERNELS_AMX_H
#define PANTILE_ENGINE_KERNELS_AMX_H

#include <stddef.h>
#include <stdint.h>

#ifdef PT_AMX_EMULATED
#include <string.h>

static _Thread_local uint8_t pt_amx_tiles[8][16][64];

static inline void pt_amx_load(int tile, const void *from, ptrdiff_t stride)
{
    for (int r = 0; r < 16; r++) {
        memcpy(pt_amx_tiles[tile][r], (const uint8_t *)from + r * stride, 64);
    }
}

static inline void pt_amx_store(int tile, void *to, ptrdiff_t stride)
{
    for (int r = 0; r < 16; r++) {
        memcpy((uint8_t *)to + r * stride, pt_amx_tiles[tile][r], 64);
    }
}

/* c[m][n] += sum over k of a[m][k] (unsigned) * b[k / 4][4 * n + k % 4] (signed) */
static inline void pt_amx_multiply(int c, int a, int b)
{
    for (int m = 0; m < 16; m++) {
        int32_t sums[16];
        memcpy(sums, pt_amx_tiles[c][m], sizeof sums);
        for (int n = 0; n < 16; n++) {
            for (int k = 0; k < 64; k++) {
                sums[n] += pt_amx_tiles[a][m][k] * (int8_t)pt_amx_tiles[b][k / 4][4 * n + k % 4];
            }
        }
        memcpy(pt_amx_tiles[c][m], sums, sizeof sums);
    }
}

#define PT_AMX_LOAD(tile, from, stride) pt_amx_load(tile, from, stride)
#define PT_AMX_STORE(tile, to, stride) pt_amx_store(tile, to, stride)
#define PT_AMX_ZERO(tile) memset(pt_amx_tiles[tile], 0, sizeof pt_amx_tiles[tile])
#define PT_AMX_MULTIPLY(c, a, b) pt_amx_multiply(c, a, b)
#define PT_AMX_CONFIGURE(config) ((void)(config))
#define PT_AMX_RELEASE() ((void)0)
#else
#include <immintrin.h>

#define PT_AMX_LOAD(tile, from, stride) _tile_loadd(tile, from, stride)
#define PT_AMX_STORE(tile, to, stride) _tile_stored(tile, to, stride)
#define PT_AMX_ZERO(tile) _tile_zero(tile)
#define PT_AMX_MULTIPLY(c, a, b) _tile_dpbusd(c, a, b)
#define PT_AMX_CONFIGURE(config) _tile_loadconfig(config)
#define PT_AMX_RELEASE() _tile_release()
#endif

#endif
