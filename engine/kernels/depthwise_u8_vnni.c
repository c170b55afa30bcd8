/* vpdpbusd with the three taps of a row and a zero as its four bytes: unpacking brings four neighbouring
 * pixels' bytes of a channel next to each other. Pixels 0 .. 3 give the window of output 0 against the
 * weights (w0, w1, w2, 0) and that of output 1 against (0, w0, w1, w2); so six pixels give four outputs, or
 * two of stride 2. Unpacking scatters 64 channels over four vectors just as packing the results gathers them.
 */
#include "engine/kernels/depthwise_u8_versions.h"
#include "engine/kernels/u8_vnni.h"

#include <string.h>

enum { BLOCK = PT_U8_DEPTHWISE_CHANNELS, ROW_BYTES = 2 * 4 * BLOCK };

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

static inline void load_pair(const uint8_t *const in[2], __m512i pair[2])
{
    __m512i a = _mm512_loadu_si512(in[0]), b = _mm512_loadu_si512(in[1]);
    pair[0] = _mm512_unpacklo_epi8(a, b);
    pair[1] = _mm512_unpackhi_epi8(a, b);
}

/* Six input pixels of each row: four outputs of stride 1, or two of stride 2, for 64 channels. */
static inline __attribute__((always_inline)) void
sum_six(const uint8_t *const in[3][6], const int8_t *weights, const int stride, __m512i sums[4][4])
{
    PT_UNROLL for (int y = 0; y < 3; y++)
    {
        __m512i pairs[3][2], quads[2][4];
        PT_UNROLL for (int i = 0; i < 3; i++)
        {
            load_pair(in[y] + 2 * i, pairs[i]);
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

/* What of a layer is the same for all pixels of a slice. */
typedef struct slice {
    const pt_u8_depthwise *layer;
    int first;
    const int8_t *weights;
    pt_vnni_limits limits;
    __mmask64 mask;
} slice;

static inline slice slice_of(const pt_u8_depthwise *layer, int first)
{
    int left = layer->channels - first;
    return (slice){.layer = layer,
                   .first = first,
                   .weights = (const int8_t *)layer->weights + (size_t)(first / BLOCK) * 3 * ROW_BYTES,
                   .limits = pt_vnni_limits_of(&layer->finish),
                   .mask = left < BLOCK ? ((__mmask64)1 << left) - 1 : ~(__mmask64)0};
}

/* Four outputs of stride 1, or two of stride 2. */
static inline __attribute__((always_inline)) void put_six(const slice *s, const uint8_t *const in[3][6],
                                                          uint8_t *out, ptrdiff_t out_step, const int stride,
                                                          const bool saturates)
{
    const int count = stride == 1 ? 4 : 2;
    __m512i sums[4][4];
    PT_UNROLL for (int i = 0; i < count; i++)
    {
        PT_UNROLL for (int v = 0; v < 4; v++)
        {
            sums[i][v] = _mm512_loadu_si512(s->layer->start + s->first + 16 * v);
        }
    }
    sum_six(in, s->weights, stride, sums);
    PT_UNROLL for (int i = 0; i < count; i++)
    {
        _mm512_mask_storeu_epi8(out + i * out_step, s->mask,
                                bytes(s->layer, &s->limits, s->first, sums[i], saturates));
    }
}

/* The next output row's windows read `stride` rows more: where those of pixels from `at` on lie. */
static inline __attribute__((always_inline)) void fetch(const pt_u8_depthwise_row *r, ptrdiff_t at,
                                                        const int stride)
{
    PT_UNROLL for (int y = 1; y <= stride; y++)
    {
        PT_UNROLL for (int i = 0; i < 4; i++)
        {
            __builtin_prefetch(r->rows[2] + y * r->pitch + at + i * r->step);
        }
    }
}

static inline __attribute__((always_inline)) void
run_row(const pt_u8_depthwise *layer, const pt_u8_depthwise_row *r, const int stride, const bool saturates)
{
    const int count = stride == 1 ? 4 : 2;
    slice s = slice_of(layer, r->first);
    for (int p = 0; p < r->pixels; p += count) {
        p = p > r->pixels - count ? r->pixels - count : p;
        ptrdiff_t at = p * stride * r->step;
        const uint8_t *in[3][6];
        PT_UNROLL for (int y = 0; y < 3; y++)
        {
            PT_UNROLL for (int i = 0; i < 6; i++)
            {
                in[y][i] = r->rows[y] + at + i * r->step;
            }
        }
        fetch(r, at, stride);
        put_six(&s, in, r->out + p * r->out_step, r->out_step, stride, saturates);
    }
}

static void row(const pt_u8_depthwise *layer, const pt_u8_depthwise_row *r)
{
    if (layer->stride == 1 && layer->finish.saturates) {
        run_row(layer, r, 1, true);
    } else if (layer->stride == 1) {
        run_row(layer, r, 1, false);
    } else if (layer->finish.saturates) {
        run_row(layer, r, 2, true);
    } else {
        run_row(layer, r, 2, false);
    }
}

static inline __attribute__((always_inline)) void run_group(const pt_u8_depthwise *layer,
                                                            const pt_u8_depthwise_group *g, const int stride)
{
    const int count = stride == 1 ? 4 : 2;
    slice s = slice_of(layer, g->first);
    PT_UNROLL for (int p = 0; p < PT_U8_DEPTHWISE_PIXELS; p += count)
    {
        const uint8_t *in[3][6];
        PT_UNROLL for (int y = 0; y < 3; y++)
        {
            memcpy(in[y], g->in[y] + p * stride, sizeof in[y]);
        }
        put_six(&s, in, g->out + p * g->out_step, g->out_step, stride, false);
    }
}

static void group(const pt_u8_depthwise *layer, const pt_u8_depthwise_group *g)
{
    if (layer->stride == 1) {
        run_group(layer, g, 1);
    } else {
        run_group(layer, g, 2);
    }
}

const pt_u8_depthwise_kernels pt_u8_depthwise_kernels_vnni = {.name = "vnni",
                                                              .block = BLOCK,
                                                              .weight_bytes = 3 * ROW_BYTES,
                                                              .place = place,
                                                              .pack = pack,
                                                              .row = row,
                                                              .group = group};
