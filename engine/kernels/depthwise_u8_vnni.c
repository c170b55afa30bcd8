/* vpdpbusd with the three taps of a row and a zero as its four bytes: unpacking brings four neighbouring
 * pixels' bytes of a channel next to each other. Pixels 0 .. 3 give the window of output 0 against the
 * weights (w0, w1, w2, 0) and that of output 1 against (0, w0, w1, w2); so six pixels give four outputs, or
 * two of stride 2. Unpacking scatters 64 channels over four vectors just as packing the results gathers them.
 *
 * Of a slice of 32 channels or fewer two pixels are computed side by side, one in each half of the vectors.
 */
#include "engine/kernels/depthwise_u8_versions.h"
#include "engine/kernels/u8_vnni.h"

#include <string.h>

enum { BLOCK = PT_U8_DEPTHWISE_CHANNELS, HALF = BLOCK / 2, ROW_BYTES = 2 * 4 * BLOCK };

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

/* A pixel, or `twice` half of one and half of that which lies `other` bytes later. */
static inline __attribute__((always_inline)) __m512i load(const uint8_t *in, ptrdiff_t other,
                                                          const bool twice)
{
    if (!twice) {
        return _mm512_loadu_si512(in);
    }
    __m256i low = _mm256_loadu_si256((const __m256i *)in);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), _mm256_loadu_si256((const __m256i *)(in + other)),
                              1);
}

static inline __attribute__((always_inline)) void load_pair(const uint8_t *const in[2], ptrdiff_t other,
                                                            const bool twice, __m512i pair[2])
{
    __m512i a = load(in[0], other, twice), b = load(in[1], other, twice);
    pair[0] = _mm512_unpacklo_epi8(a, b);
    pair[1] = _mm512_unpackhi_epi8(a, b);
}

/* Six input pixels of each row: four outputs of stride 1, or two of stride 2, for 64 channels. */
static inline __attribute__((always_inline)) void sum_six(const uint8_t *const in[3][6], ptrdiff_t other,
                                                          const int8_t *weights, const int stride,
                                                          const bool twice, __m512i sums[4][4])
{
    PT_UNROLL for (int y = 0; y < 3; y++)
    {
        __m512i pairs[3][2], quads[2][4];
        PT_UNROLL for (int i = 0; i < 3; i++)
        {
            load_pair(in[y] + 2 * i, other, twice, pairs[i]);
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
    ptrdiff_t other_in, other_out; /* bytes to the second pixel, where two are computed side by side */
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
                                                          const bool saturates, const bool twice)
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
    sum_six(in, s->other_in, s->weights, stride, twice, sums);
    PT_UNROLL for (int i = 0; i < count; i++)
    {
        uint8_t *to = out + i * out_step;
        __m512i q = bytes(s->layer, &s->limits, s->first, sums[i], saturates);
        if (twice) {
            const __mmask32 half = (__mmask32)s->mask;
            _mm256_mask_storeu_epi8(to, half, _mm512_castsi512_si256(q));
            _mm256_mask_storeu_epi8(to + s->other_out, half, _mm512_extracti64x4_epi64(q, 1));
        } else {
            _mm512_mask_storeu_epi8(to, s->mask, q);
        }
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

/* `twice`: the row's second half beside the first; of an odd number of pixels the middle one is made twice.
 */
static inline __attribute__((always_inline)) void run_row(const pt_u8_depthwise *layer,
                                                          const pt_u8_depthwise_row *r, const int stride,
                                                          const bool saturates, const bool twice)
{
    const int count = stride == 1 ? 4 : 2, pixels = twice ? (r->pixels + 1) / 2 : r->pixels;
    slice s = slice_of(layer, r->first);
    s.other_in = (r->pixels - pixels) * stride * r->step;
    s.other_out = (r->pixels - pixels) * r->out_step;
    for (int p = 0; p < pixels; p += count) {
        p = p > pixels - count ? pixels - count : p;
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
        if (twice) {
            fetch(r, at + s.other_in, stride);
        }
        put_six(&s, in, r->out + p * r->out_step, r->out_step, stride, saturates, twice);
    }
}

static inline __attribute__((always_inline)) void
run_row_of(const pt_u8_depthwise *layer, const pt_u8_depthwise_row *r, const int stride, const bool saturates)
{
    if (layer->channels - r->first <= HALF && r->pixels >= 2 * PT_U8_DEPTHWISE_PIXELS) {
        run_row(layer, r, stride, saturates, true);
    } else {
        run_row(layer, r, stride, saturates, false);
    }
}

static void row(const pt_u8_depthwise *layer, const pt_u8_depthwise_row *r)
{
    if (layer->stride == 1 && layer->finish.saturates) {
        run_row_of(layer, r, 1, true);
    } else if (layer->stride == 1) {
        run_row_of(layer, r, 1, false);
    } else if (layer->finish.saturates) {
        run_row_of(layer, r, 2, true);
    } else {
        run_row_of(layer, r, 2, false);
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
        put_six(&s, in, g->out + p * g->out_step, g->out_step, stride, false, false);
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
                                                              .twice = HALF,
                                                              .weight_bytes = 3 * ROW_BYTES,
                                                              .place = place,
                                                              .pack = pack,
                                                              .row = row,
                                                              .group = group};
