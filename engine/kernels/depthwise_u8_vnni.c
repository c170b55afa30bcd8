/* vpdpbusd with the three taps of a row and a zero as its four bytes: unpacking brings four neighbouring
 * pixels' bytes of a channel next to each other. Pixels 0 .. 3 give the window of output 0 against the
 * weights (w0, w1, w2, 0) and that of output 1 against (0, w0, w1, w2); so six pixels give four outputs, or
 * two of stride 2. Unpacking scatters 64 channels over four vectors just as packing the results gathers them.
 */
#include "engine/kernels/depthwise_u8_versions.h"
#include "engine/kernels/u8_vnni.h"

#include <string.h>

enum { BLOCK = 64, ROW_BYTES = 2 * 4 * BLOCK };

static int place(int c)
{
    return pt_vnni_place(4, c);
}

/* Per row: four vectors of (w0, w1, w2, 0), four of (0, w0, w1, w2). */
static void pack(const int8_t *w, int c, void *block)
{
    for (int y = 0; y < 3; y++) {
        int8_t *plain = (int8_t *)block + y * ROW_BYTES + 4 * place(c), *shifted = plain + 4 * BLOCK;
        memcpy(plain, w + 3 * y, 3);
        memcpy(shifted + 1, w + 3 * y, 3);
    }
}

/* The bytes of pixels a, b next to each other, then those of two pairs. */
static inline void interleave(const __m512i ab[2], const __m512i cd[2], __m512i out[4])
{
    out[0] = _mm512_unpacklo_epi16(ab[0], cd[0]);
    out[1] = _mm512_unpackhi_epi16(ab[0], cd[0]);
    out[2] = _mm512_unpacklo_epi16(ab[1], cd[1]);
    out[3] = _mm512_unpackhi_epi16(ab[1], cd[1]);
}

static inline void load_pair(const uint8_t *at, ptrdiff_t channels, __m512i pair[2])
{
    __m512i a = _mm512_loadu_si512(at), b = _mm512_loadu_si512(at + channels);
    pair[0] = _mm512_unpacklo_epi8(a, b);
    pair[1] = _mm512_unpackhi_epi8(a, b);
}

/* Four outputs of stride 1, or two of stride 2, for 64 channels. */
static inline __attribute__((always_inline)) void sum_six(const uint8_t *const rows[3], ptrdiff_t at,
                                                          ptrdiff_t channels, const int8_t *weights,
                                                          const int stride, __m512i sums[4][4])
{
    PT_UNROLL for (int y = 0; y < 3; y++)
    {
        __m512i pairs[3][2], quads[2][4];
        PT_UNROLL for (int i = 0; i < 3; i++)
        {
            load_pair(rows[y] + at + 2 * i * channels, channels, pairs[i]);
        }
        interleave(pairs[0], pairs[1], quads[0]);
        interleave(pairs[1], pairs[2], quads[1]);
        PT_UNROLL for (int v = 0; v < 4; v++)
        {
            __m512i w = _mm512_load_si512(weights + y * ROW_BYTES + 64 * v);
            if (stride == 2) {
                sums[0][v] = _mm512_dpbusd_epi32(sums[0][v], quads[0][v], w);
                sums[1][v] = _mm512_dpbusd_epi32(sums[1][v], quads[1][v], w);
                continue;
            }
            __m512i shifted = _mm512_load_si512(weights + y * ROW_BYTES + 4 * BLOCK + 64 * v);
            sums[0][v] = _mm512_dpbusd_epi32(sums[0][v], quads[0][v], w);
            sums[1][v] = _mm512_dpbusd_epi32(sums[1][v], quads[0][v], shifted);
            sums[2][v] = _mm512_dpbusd_epi32(sums[2][v], quads[1][v], w);
            sums[3][v] = _mm512_dpbusd_epi32(sums[3][v], quads[1][v], shifted);
        }
    }
}

static inline __attribute__((always_inline)) __m512i bytes(const pt_u8_depthwise *layer,
                                                           const pt_vnni_limits *l, int first,
                                                           const __m512i sums[4], const bool saturates)
{
    __m512i q[4];
    PT_UNROLL for (int v = 0; v < 4; v++)
    {
        __m512 y =
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[v]), _mm512_loadu_ps(layer->multiplier + first + 16 * v),
                            _mm512_loadu_ps(layer->bias + first + 16 * v));
        q[v] = pt_vnni_rounded(l, y, saturates);
    }
    return pt_vnni_pack(l, q, 4);
}

static inline __attribute__((always_inline)) void block_row(const pt_u8_depthwise *layer,
                                                            const uint8_t *const rows[3], int block,
                                                            int pixels, const int stride,
                                                            const bool saturates, uint8_t *out)
{
    const int step = stride == 1 ? 4 : 2;
    pt_vnni_limits l = pt_vnni_limits_of(&layer->finish);
    ptrdiff_t channels = layer->channels;
    int first = BLOCK * block, left = layer->channels - first;
    __mmask64 mask = left < BLOCK ? ((__mmask64)1 << left) - 1 : ~(__mmask64)0;
    const int8_t *weights = (const int8_t *)layer->weights + (size_t)block * 3 * ROW_BYTES;
    for (int p = 0; p < pixels; p += step) {
        p = p > pixels - step ? pixels - step : p;
        __m512i sums[4][4];
        PT_UNROLL for (int i = 0; i < step; i++)
        {
            PT_UNROLL for (int v = 0; v < 4; v++)
            {
                sums[i][v] = _mm512_loadu_si512(layer->start + first + 16 * v);
            }
        }
        sum_six(rows, p * stride * channels + first, channels, weights, stride, sums);
        PT_UNROLL for (int i = 0; i < step; i++)
        {
            uint8_t *to = out + (p + i) * channels + first;
            __m512i q = bytes(layer, &l, first, sums[i], saturates);
            if (left >= BLOCK) {
                _mm512_storeu_si512(to, q);
            } else {
                _mm512_mask_storeu_epi8(to, mask, q);
            }
        }
    }
}

static void row(const pt_u8_depthwise *layer, const uint8_t *const rows[3], int pixels, uint8_t *out)
{
    for (int block = 0; BLOCK * block < layer->channels; block++) {
        if (layer->stride == 1 && layer->finish.saturates) {
            block_row(layer, rows, block, pixels, 1, true, out);
        } else if (layer->stride == 1) {
            block_row(layer, rows, block, pixels, 1, false, out);
        } else if (layer->finish.saturates) {
            block_row(layer, rows, block, pixels, 2, true, out);
        } else {
            block_row(layer, rows, block, pixels, 2, false, out);
        }
    }
}

const pt_u8_depthwise_kernels pt_u8_depthwise_kernels_vnni = {
    .name = "vnni", .block = BLOCK, .weight_bytes = 3 * ROW_BYTES, .place = place, .pack = pack, .row = row};
