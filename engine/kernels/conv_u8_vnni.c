/* AVX-512 VNNI: vpdpbusd adds, in each of 16 lanes, four products of bytes to a 32-bit sum, without
 * saturating. A lane is an output channel; the four bytes of a pixel are broadcast to all lanes.
 *
 * Tiles are as large as 32 registers allow: 6 pixels x 4 vectors, 9 x 3, 14 x 2, beside the weights and a
 * broadcast. All of them reach 97 to 99% of the rate of vpdpbusd alone on Zen 5 with the weights in the L2
 * cache; one vector per block reaches 88%, since every product then needs a load.
 *
 * Sums of a block of 4 vectors whose output are bytes are so ordered that the packing instructions, which
 * work within 128-bit lanes, bring 64 channels into their order. */
#include "engine/kernels/conv_u8_versions.h"
#include "engine/kernels/u8_vnni.h"

#include <string.h>

enum { LANES = 16, GROUP = 4 };

static inline __m512i broadcast(const uint8_t *four)
{
    int32_t x;
    memcpy(&x, four, sizeof x);
    return _mm512_set1_epi32(x);
}

static int place(int vectors, pt_elem out_elem, int c)
{
    return vectors == 4 && out_elem == PT_U8 ? pt_vnni_place(c) : c;
}

/* P and V are constants wherever this is inlined, so that the sums stay in registers. Pixels are addressed
 * from three pointers, five from each, because an address takes one index register. */
static inline __attribute__((always_inline)) void sum_tile(const pt_u8_tile *tile, const int P, const int V)
{
    __m512i sums[PT_U8_MAX_PIXELS][4];
    PT_UNROLL for (int p = 0; p < P; p++)
    {
        PT_UNROLL for (int v = 0; v < V; v++)
        {
            sums[p][v] = tile->start ? _mm512_loadu_si512(tile->start + LANES * v)
                                     : _mm512_load_si512(tile->sums + LANES * (p * V + v));
        }
    }
    ptrdiff_t step = tile->step;
    const int8_t *weights = tile->weights;
    for (int r = 0; r < tile->run_count; r++) {
        const uint8_t *a = (const uint8_t *)tile->in + tile->runs[r];
        const uint8_t *b = a + 5 * step, *c = b + 5 * step;
        for (int s = 0; s < tile->steps; s++) {
            __m512i w[4];
            PT_UNROLL for (int v = 0; v < V; v++)
            {
                w[v] = _mm512_load_si512(weights + 64 * v);
            }
            PT_UNROLL for (int p = 0; p < P; p++)
            {
                __m512i x = broadcast((p < 5 ? a : p < 10 ? b : c) + p % 5 * step);
                PT_UNROLL for (int v = 0; v < V; v++)
                {
                    sums[p][v] = _mm512_dpbusd_epi32(sums[p][v], x, w[v]);
                }
            }
            a += GROUP;
            b += GROUP;
            c += GROUP;
            weights += 64 * V;
        }
    }
    PT_UNROLL for (int p = 0; p < P; p++)
    {
        PT_UNROLL for (int v = 0; v < V; v++)
        {
            _mm512_store_si512(tile->sums + LANES * (p * V + v), sums[p][v]);
        }
    }
}

#define TILE(P, V)                                                                                           \
    static void sum_##P##x##V(const pt_u8_tile *tile)                                                        \
    {                                                                                                        \
        sum_tile(tile, P, V);                                                                                \
    }
#define TILES_TO_6(V) TILE(1, V) TILE(2, V) TILE(3, V) TILE(4, V) TILE(5, V) TILE(6, V)
#define TILES_TO_9(V) TILES_TO_6(V) TILE(7, V) TILE(8, V) TILE(9, V)
#define TILES_TO_14(V) TILES_TO_9(V) TILE(10, V) TILE(11, V) TILE(12, V) TILE(13, V) TILE(14, V)
TILES_TO_14(1)
TILES_TO_14(2)
TILES_TO_9(3)
TILES_TO_6(4)

    typedef void sum_function(const pt_u8_tile *tile);
#define NAMES_TO_6(V) sum_1x##V, sum_2x##V, sum_3x##V, sum_4x##V, sum_5x##V, sum_6x##V
#define NAMES_TO_9(V) NAMES_TO_6(V), sum_7x##V, sum_8x##V, sum_9x##V
#define NAMES_TO_14(V) NAMES_TO_9(V), sum_10x##V, sum_11x##V, sum_12x##V, sum_13x##V, sum_14x##V
static sum_function *const sums_of[4][PT_U8_MAX_PIXELS] = {
    {NAMES_TO_14(1)}, {NAMES_TO_14(2)}, {NAMES_TO_9(3)}, {NAMES_TO_6(4)}};

static void sum(const pt_u8_tile *tile, int vectors)
{
    sums_of[vectors - 1][tile->pixels - 1](tile);
}

static inline __m512 scaled(const pt_u8_output *o, const int32_t *sums, int at)
{
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums + at)),
                           _mm512_loadu_ps(o->multiplier + at), _mm512_loadu_ps(o->bias + at));
}

static inline __m512 plus_bytes(const pt_vnni_limits *l, __m512 y, __m512i s)
{
    return _mm512_fmadd_ps(_mm512_sub_ps(_mm512_cvtepi32_ps(s), l->sum_zero), l->sum_scale, y);
}

/* The inverse of the packing below: vector v holds the channels that place() gave it. */
static inline void plus_packed(const pt_vnni_limits *l, __m512 y[4], __m512i s)
{
    __m512i none = _mm512_setzero_si512();
    __m512i low = _mm512_unpacklo_epi8(s, none), high = _mm512_unpackhi_epi8(s, none);
    y[0] = plus_bytes(l, y[0], _mm512_unpacklo_epi16(low, none));
    y[1] = plus_bytes(l, y[1], _mm512_unpackhi_epi16(low, none));
    y[2] = plus_bytes(l, y[2], _mm512_unpacklo_epi16(high, none));
    y[3] = plus_bytes(l, y[3], _mm512_unpackhi_epi16(high, none));
}

static inline __attribute__((always_inline)) void bytes_of_4(const pt_vnni_limits *l, const pt_u8_output *o,
                                                             const bool add)
{
    __mmask64 mask = o->channels < 64 ? ((__mmask64)1 << o->channels) - 1 : ~(__mmask64)0;
    for (int p = 0; p < o->pixels; p++) {
        const int32_t *sums = o->sums + 64 * p;
        uint8_t *out = (uint8_t *)o->out + p * o->out_step;
        __m512 y[4];
        PT_UNROLL for (int v = 0; v < 4; v++)
        {
            y[v] = scaled(o, sums, LANES * v);
        }
        if (add) {
            plus_packed(l, y, _mm512_loadu_si512((const uint8_t *)o->summand + o->summand_at[p]));
        }
        __m512i q = pt_vnni_pack(l, y);
        if (o->channels >= 64) {
            _mm512_storeu_si512(out, q);
        } else {
            _mm512_mask_storeu_epi8(out, mask, q);
        }
    }
}

static inline __attribute__((always_inline)) void bytes_of_few(const pt_vnni_limits *l, const pt_u8_output *o,
                                                               int vectors, const bool add)
{
    for (int p = 0; p < o->pixels; p++) {
        uint8_t *out = (uint8_t *)o->out + p * o->out_step;
        const uint8_t *summand = add ? (const uint8_t *)o->summand + o->summand_at[p] : NULL;
        for (int v = 0; v < vectors; v++) {
            int at = LANES * v, left = o->channels - at;
            __m512 y = scaled(o, o->sums + LANES * vectors * p, at);
            if (add) {
                __m128i s = _mm_loadu_si128((const __m128i *)(summand + at));
                y = plus_bytes(l, y, _mm512_cvtepu8_epi32(s));
            }
            __m128i q = _mm512_cvtepi32_epi8(_mm512_add_epi32(pt_vnni_rounded(l, y), l->zero));
            if (left >= LANES) {
                _mm_storeu_si128((__m128i *)(out + at), q);
            } else {
                _mm_mask_storeu_epi8(out + at, (__mmask16)((1 << left) - 1), q);
            }
        }
    }
}

static void finish_u8(const pt_u8_finish *finish, const pt_u8_output *output, int vectors)
{
    __m512i zero = vectors == 4 ? _mm512_set1_epi16((short)finish->zero) : _mm512_set1_epi32(finish->zero);
    pt_vnni_limits l = pt_vnni_limits_of(finish, zero);
    if (vectors == 4 && finish->add) {
        bytes_of_4(&l, output, true);
    } else if (vectors == 4) {
        bytes_of_4(&l, output, false);
    } else if (finish->add) {
        bytes_of_few(&l, output, vectors, true);
    } else {
        bytes_of_few(&l, output, vectors, false);
    }
}

static void finish_f32(const pt_u8_finish *finish, const pt_u8_output *o, int vectors)
{
    float low = finish->activation == PT_ACT_NONE ? -__builtin_inff() : 0.0f;
    float high = finish->activation == PT_ACT_RELU6 ? 6.0f : __builtin_inff();
    for (int p = 0; p < o->pixels; p++) {
        float *out = (float *)o->out + p * o->out_step;
        const float *summand = finish->add ? (const float *)o->summand + o->summand_at[p] : NULL;
        for (int v = 0; v < vectors && LANES * v < o->channels; v++) {
            int at = LANES * v, left = o->channels - at;
            __mmask16 mask = left >= LANES ? (__mmask16)0xffff : (__mmask16)((1 << left) - 1);
            __m512 y = scaled(o, o->sums + LANES * vectors * p, at);
            if (summand) {
                y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, summand + at));
            }
            y = _mm512_min_ps(_mm512_max_ps(y, _mm512_set1_ps(low)), _mm512_set1_ps(high));
            _mm512_mask_storeu_ps(out + at, mask, y);
        }
    }
}

static void finish_tile(const pt_u8_finish *finish, const pt_u8_output *output, int vectors)
{
    if (finish->out_elem == PT_U8) {
        finish_u8(finish, output, vectors);
    } else {
        finish_f32(finish, output, vectors);
    }
}

const pt_u8_kernels pt_u8_kernels_vnni = {
    .name = "vnni",
    .lanes = LANES,
    .max_vectors = 4,
    .max_pixels = {14, 14, 9, 6},
    .group = GROUP,
    .place = place,
    .sum = sum,
    .finish = finish_tile,
};
