/* AVX-512 VNNI: vpdpbusd adds, in each of 16 lanes, four products of bytes to a 32-bit sum, without
 * saturating. A lane is an output channel; the four bytes of a pixel are broadcast to all lanes.
 *
 * Tiles are as large as 32 registers allow: 6 pixels x 4 vectors, 9 x 3, 14 x 2, beside the weights and a
 * broadcast. All of them reach 97 to 99% of the rate of vpdpbusd alone on Zen 5 with the weights in the L2
 * cache; one vector per block reaches 88%, since every product then needs a load.
 *
 * Bytes are made of the sums while these are still in registers, by instructions that a processor can run
 * beside the next tile's products. Channels are so ordered that the packing instructions, which work within
 * 128-bit lanes, bring them back into their order. */
#include "engine/kernels/conv_u8_versions.h"
#include "engine/kernels/u8_vnni.h"

#include <string.h>

enum { LANES = 16, GROUP = 4 };

/* What a tile's sums become. */
typedef enum made { SUMS, BYTES, BYTES_PLUS_BYTES } made;

static int place(int vectors, pt_elem out_elem, int c)
{
    return out_elem == PT_U8 ? pt_vnni_place(vectors, c) : c;
}

/* Spread dword by dword, packed lanes hold bytes where pt_vnni_pack left them; and back. */
static inline __m512i spread(__m512i bytes, const int vectors)
{
    switch (vectors) {
    case 1:
        return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
                                        bytes);
    case 2:
        return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7),
                                        bytes);
    case 3:
        return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 1, 2, 0, 3, 4, 5, 3, 6, 7, 8, 6, 9, 10, 11, 9),
                                        bytes);
    default:
        return bytes;
    }
}

static inline __m512i gather(__m512i lanes, const int vectors)
{
    switch (vectors) {
    case 1:
        return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12),
                                        lanes);
    case 2:
        return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 0, 1, 4, 5, 8, 9, 12, 13),
                                        lanes);
    case 3:
        return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 0, 1, 2, 4),
                                        lanes);
    default:
        return lanes;
    }
}

static inline __attribute__((always_inline)) void store(uint8_t *out, __m512i q, int channels,
                                                        const int vectors)
{
    if (channels < LANES * vectors) {
        _mm512_mask_storeu_epi8(out, ((__mmask64)1 << channels) - 1, q);
    } else if (vectors == 4) {
        _mm512_storeu_si512(out, q);
    } else if (vectors == 1) {
        _mm_storeu_si128((__m128i *)out, _mm512_castsi512_si128(q));
    } else {
        _mm256_storeu_si256((__m256i *)out, _mm512_castsi512_si256(q));
        if (vectors == 3) {
            _mm_storeu_si128((__m128i *)(out + 32), _mm512_extracti32x4_epi32(q, 2));
        }
    }
}

/* Adds the summand's bytes to the reals of one pixel. A byte in 16 bits below 0x4b00 is the float 2^23 +
 * byte, so that one exact difference takes both 2^23 and the zero point away. */
static inline __attribute__((always_inline)) void plus_bytes(const pt_vnni_limits *l, __m512 *y,
                                                             const uint8_t *summand, const int vectors)
{
    __m512i none = _mm512_setzero_si512(), exponent = _mm512_set1_epi16(0x4b00);
    __m512i bytes = spread(_mm512_loadu_si512(summand), vectors);
    PT_UNROLL for (int v = 0; v < vectors; v++)
    {
        __m512i words = v < 2 ? _mm512_unpacklo_epi8(bytes, none) : _mm512_unpackhi_epi8(bytes, none);
        __m512i s = v % 2 ? _mm512_unpackhi_epi16(words, exponent) : _mm512_unpacklo_epi16(words, exponent);
        y[v] = _mm512_fmadd_ps(_mm512_sub_ps(_mm512_castsi512_ps(s), l->sum_zero), l->sum_scale, y[v]);
    }
}

/* The bytes of one pixel, of numbers that stand for the block's sums. */
static inline __attribute__((always_inline)) void make_bytes(const pt_u8_tile *tile, const pt_vnni_limits *l,
                                                             int p, const __m512i *sums, const int V,
                                                             const bool add, const bool saturates)
{
    __m512 y[4];
    __m512i q[4];
    PT_UNROLL for (int v = 0; v < V; v++)
    {
        y[v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[v]), _mm512_loadu_ps(tile->multiplier + LANES * v),
                               _mm512_loadu_ps(tile->bias + LANES * v));
    }
    if (add) {
        plus_bytes(l, y, (const uint8_t *)tile->summand + tile->summand_at[p], V);
    }
    PT_UNROLL for (int v = 0; v < V; v++)
    {
        q[v] = pt_vnni_rounded(l, y[v], saturates);
    }
    store((uint8_t *)tile->out + p * tile->out_step, gather(pt_vnni_pack(l, q, V), V), tile->channels, V);
}

static inline __m512i broadcast(const uint8_t *four)
{
    int32_t x;
    memcpy(&x, four, sizeof x);
    return _mm512_set1_epi32(x);
}

/* P, V and `what` are constants wherever this is inlined, so that the sums stay in registers. Pixels are
 * addressed from three pointers, five from each, because an address takes one index register. */
static inline __attribute__((always_inline)) void run_tile(const pt_u8_tile *tile, const int P, const int V,
                                                           const made what)
{
    __m512i sums[PT_U8_MAX_PIXELS][4];
    PT_UNROLL for (int p = 0; p < P; p++)
    {
        PT_UNROLL for (int v = 0; v < V; v++)
        {
            sums[p][v] = what != SUMS || tile->start ? _mm512_loadu_si512(tile->start + LANES * v)
                                                     : _mm512_load_si512(tile->sums + LANES * (p * V + v));
            __asm__("" : "+v"(sums[p][v]));
        }
    }
    ptrdiff_t step = tile->step;
    const int8_t *weights = tile->weights;
    for (int s = 0; s < tile->steps; s++, weights += 64 * V) {
        const uint8_t *a = (const uint8_t *)tile->in + tile->offsets[s];
        const uint8_t *b = a + 5 * step, *c = b + 5 * step;
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
    }
    PT_UNROLL for (int p = 0; p < P; p++)
    {
        PT_UNROLL for (int v = 0; v < V; v++)
        {
            __asm__("" : "+v"(sums[p][v]));
        }
    }
    if (what == SUMS) {
        PT_UNROLL for (int p = 0; p < P; p++)
        {
            PT_UNROLL for (int v = 0; v < V; v++)
            {
                _mm512_store_si512(tile->sums + LANES * (p * V + v), sums[p][v]);
            }
        }
        return;
    }
    const bool add = what == BYTES_PLUS_BYTES;
    pt_vnni_limits l = pt_vnni_limits_of(tile->finish);
    /* Written out: from a loop around inlined code GCC 12 would take the sums to memory, for good. */
#define PIXEL(p)                                                                                             \
    if ((p) < P) {                                                                                           \
        make_bytes(tile, &l, p, sums[p], V, add, true);                                                      \
    }
    PIXEL(0)
    PIXEL(1)
    PIXEL(2)
    PIXEL(3)
    PIXEL(4)
    PIXEL(5)
    PIXEL(6)
    PIXEL(7)
    PIXEL(8)
    PIXEL(9)
    PIXEL(10)
    PIXEL(11)
    PIXEL(12)
    PIXEL(13)
#undef PIXEL
}

#define TILE(P, V)                                                                                           \
    static void sums_##P##x##V(const pt_u8_tile *tile)                                                       \
    {                                                                                                        \
        run_tile(tile, P, V, SUMS);                                                                          \
    }                                                                                                        \
    static void bytes_##P##x##V(const pt_u8_tile *tile)                                                      \
    {                                                                                                        \
        run_tile(tile, P, V, BYTES);                                                                         \
    }                                                                                                        \
    static void plus_##P##x##V(const pt_u8_tile *tile)                                                       \
    {                                                                                                        \
        run_tile(tile, P, V, BYTES_PLUS_BYTES);                                                              \
    }
#define TILES_TO_6(V) TILE(1, V) TILE(2, V) TILE(3, V) TILE(4, V) TILE(5, V) TILE(6, V)
#define TILES_TO_9(V) TILES_TO_6(V) TILE(7, V) TILE(8, V) TILE(9, V)
#define TILES_TO_14(V) TILES_TO_9(V) TILE(10, V) TILE(11, V) TILE(12, V) TILE(13, V) TILE(14, V)
TILES_TO_14(1)
TILES_TO_14(2)
TILES_TO_9(3)
TILES_TO_6(4)

typedef void tile_function(const pt_u8_tile *tile);
#define TO_6(NAME, V) NAME##_1x##V, NAME##_2x##V, NAME##_3x##V, NAME##_4x##V, NAME##_5x##V, NAME##_6x##V
#define TO_9(NAME, V) TO_6(NAME, V), NAME##_7x##V, NAME##_8x##V, NAME##_9x##V
#define TO_14(NAME, V)                                                                                       \
    TO_9(NAME, V), NAME##_10x##V, NAME##_11x##V, NAME##_12x##V, NAME##_13x##V, NAME##_14x##V
#define ALL(NAME)                                                                                            \
    {                                                                                                        \
        {TO_14(NAME, 1)}, {TO_14(NAME, 2)}, {TO_9(NAME, 3)},                                                 \
        {                                                                                                    \
            TO_6(NAME, 4)                                                                                    \
        }                                                                                                    \
    }
/* By what is made, the block's vectors, the tile's pixels. */
static tile_function *const tiles[3][4][PT_U8_MAX_PIXELS] = {ALL(sums), ALL(bytes), ALL(plus)};

/* Sums of any range to bytes; rare. */
static void finish_u8(const pt_u8_tile *tile, int vectors)
{
    pt_vnni_limits l = pt_vnni_limits_of(tile->finish);
    for (int p = 0; p < tile->pixels; p++) {
        __m512i sums[4];
        for (int v = 0; v < vectors; v++) {
            sums[v] = _mm512_load_si512(tile->sums + LANES * (p * vectors + v));
        }
        switch (vectors) {
        case 1:
            make_bytes(tile, &l, p, sums, 1, tile->finish->add, false);
            break;
        case 2:
            make_bytes(tile, &l, p, sums, 2, tile->finish->add, false);
            break;
        case 3:
            make_bytes(tile, &l, p, sums, 3, tile->finish->add, false);
            break;
        default:
            make_bytes(tile, &l, p, sums, 4, tile->finish->add, false);
            break;
        }
    }
}

static void finish_f32(const pt_u8_tile *tile, int vectors)
{
    const pt_u8_finish *finish = tile->finish;
    __m512 low = _mm512_set1_ps(finish->activation == PT_ACT_NONE ? -__builtin_inff() : 0.0f);
    __m512 high = _mm512_set1_ps(finish->activation == PT_ACT_RELU6 ? 6.0f : __builtin_inff());
    for (int p = 0; p < tile->pixels; p++) {
        float *out = (float *)tile->out + p * tile->out_step;
        const float *summand = finish->add ? (const float *)tile->summand + tile->summand_at[p] : NULL;
        for (int at = 0; at < LANES * vectors && at < tile->channels; at += LANES) {
            int left = tile->channels - at;
            __mmask16 mask = left >= LANES ? (__mmask16)0xffff : (__mmask16)((1 << left) - 1);
            __m512i sums = _mm512_load_si512(tile->sums + LANES * vectors * p + at);
            __m512 y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), _mm512_loadu_ps(tile->multiplier + at),
                                       _mm512_loadu_ps(tile->bias + at));
            if (summand) {
                y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, summand + at));
            }
            _mm512_mask_storeu_ps(out + at, mask, _mm512_min_ps(_mm512_max_ps(y, low), high));
        }
    }
}

static void run(const pt_u8_tile *tile, int vectors)
{
    const pt_u8_finish *finish = tile->finish;
    made what = SUMS;
    if (!tile->unfinished && tile->start && finish->out_elem == PT_U8 && finish->saturates) {
        what = finish->add ? BYTES_PLUS_BYTES : BYTES;
    }
    tiles[what][vectors - 1][tile->pixels - 1](tile);
    if (what != SUMS || tile->unfinished) {
        return;
    }
    if (finish->out_elem == PT_U8) {
        finish_u8(tile, vectors);
    } else {
        finish_f32(tile, vectors);
    }
}

const pt_u8_kernels pt_u8_kernels_vnni = {
    .name = "vnni",
    .lanes = LANES,
    .max_vectors = 4,
    .max_pixels = {14, 14, 9, 6},
    .group = GROUP,
    .place = place,
    .run = run,
};
