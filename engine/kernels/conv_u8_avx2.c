/* AVX2 has no exact product of bytes (vpmaddubsw saturates), so bytes are widened to 16 bits when they are
 * copied, and vpmaddwd adds two products of them, in each of 8 lanes, to 32 bits. A lane is an output
 * channel.
 *
 * Of 16 registers, 12 hold a tile of 6 pixels x 2 vectors. */
#include "engine/kernels/conv_u8_versions.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 8, GROUP = 2, PIXELS = 6 };

#define UNROLL _Pragma("GCC unroll 16")

static inline __m256i broadcast(const int16_t *two)
{
    int32_t x;
    memcpy(&x, two, sizeof x);
    return _mm256_set1_epi32(x);
}

static int place(int vectors, pt_elem out_elem, int c)
{
    (void)vectors, (void)out_elem;
    return c;
}

static inline __attribute__((always_inline)) void sum_tile(const pt_u8_tile *tile, const int P, const int V)
{
    __m256i sums[PIXELS][2];
    UNROLL for (int p = 0; p < P; p++)
    {
        UNROLL for (int v = 0; v < V; v++)
        {
            const int32_t *from = tile->start ? tile->start + LANES * v : tile->sums + LANES * (p * V + v);
            sums[p][v] = _mm256_loadu_si256((const __m256i *)from);
        }
    }
    ptrdiff_t step = tile->step;
    const int16_t *weights = tile->weights;
    for (int s = 0; s < tile->steps; s++, weights += 16 * V) {
        const int16_t *a = (const int16_t *)tile->in + tile->offsets[s], *b = a + 3 * step;
        __m256i w[2];
        UNROLL for (int v = 0; v < V; v++)
        {
            w[v] = _mm256_load_si256((const __m256i *)(weights + 16 * v));
        }
        UNROLL for (int p = 0; p < P; p++)
        {
            __m256i x = broadcast((p < 3 ? a : b) + p % 3 * step);
            UNROLL for (int v = 0; v < V; v++)
            {
                sums[p][v] = _mm256_add_epi32(sums[p][v], _mm256_madd_epi16(x, w[v]));
            }
        }
    }
    UNROLL for (int p = 0; p < P; p++)
    {
        UNROLL for (int v = 0; v < V; v++)
        {
            _mm256_store_si256((__m256i *)(tile->sums + LANES * (p * V + v)), sums[p][v]);
        }
    }
}

#define TILE(P, V)                                                                                           \
    static void sum_##P##x##V(const pt_u8_tile *tile)                                                        \
    {                                                                                                        \
        sum_tile(tile, P, V);                                                                                \
    }
#define TILES(V) TILE(1, V) TILE(2, V) TILE(3, V) TILE(4, V) TILE(5, V) TILE(6, V)
TILES(1)
TILES(2)

typedef void sum_function(const pt_u8_tile *tile);
#define NAMES(V) sum_1x##V, sum_2x##V, sum_3x##V, sum_4x##V, sum_5x##V, sum_6x##V
static sum_function *const sums_of[2][PIXELS] = {{NAMES(1)}, {NAMES(2)}};

static inline __m256 scaled(const pt_u8_tile *o, const int32_t *sums, int at)
{
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_load_si256((const __m256i *)(sums + at))),
                           _mm256_loadu_ps(o->multiplier + at), _mm256_loadu_ps(o->bias + at));
}

static void finish_u8(const pt_u8_tile *o, int vectors)
{
    const pt_u8_finish *finish = o->finish;
    __m256 inverse = _mm256_set1_ps(finish->inverse), sum_scale = _mm256_set1_ps(finish->sum.scale);
    __m256 low = _mm256_set1_ps(finish->low), high = _mm256_set1_ps(finish->high);
    __m256i zero = _mm256_set1_epi32(finish->zero), sum_zero = _mm256_set1_epi32(finish->sum.zero);
    for (int p = 0; p < o->pixels; p++) {
        uint8_t *out = (uint8_t *)o->out + p * o->out_step;
        const uint8_t *summand = finish->add ? (const uint8_t *)o->summand + o->summand_at[p] : NULL;
        for (int at = 0; at < LANES * vectors && at < o->channels; at += LANES) {
            __m256 y = scaled(o, o->sums + LANES * vectors * p, at);
            if (summand) {
                __m256i s = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(summand + at)));
                y = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(s, sum_zero)), sum_scale, y);
            }
            __m256 t = _mm256_max_ps(_mm256_min_ps(_mm256_mul_ps(y, inverse), high), low);
            __m256i q = _mm256_add_epi32(_mm256_cvtps_epi32(t), zero);
            __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
            uint8_t bytes[16];
            _mm_storeu_si128((__m128i *)bytes, _mm_packus_epi16(words, words));
            if (o->channels - at >= LANES) {
                memcpy(out + at, bytes, LANES);
            } else {
                memcpy(out + at, bytes, (size_t)(o->channels - at));
            }
        }
    }
}

static void finish_f32(const pt_u8_tile *o, int vectors)
{
    const pt_u8_finish *finish = o->finish;
    __m256 low = _mm256_set1_ps(finish->activation == PT_ACT_NONE ? -__builtin_inff() : 0.0f);
    __m256 high = _mm256_set1_ps(finish->activation == PT_ACT_RELU6 ? 6.0f : __builtin_inff());
    for (int p = 0; p < o->pixels; p++) {
        float *out = (float *)o->out + p * o->out_step;
        const float *summand = finish->add ? (const float *)o->summand + o->summand_at[p] : NULL;
        for (int at = 0; at < LANES * vectors && at < o->channels; at += LANES) {
            float s[LANES] = {0}, y8[LANES];
            size_t n = (size_t)(o->channels - at < LANES ? o->channels - at : LANES) * sizeof *s;
            __m256 y = scaled(o, o->sums + LANES * vectors * p, at);
            if (summand) {
                memcpy(s, summand + at, n);
                y = _mm256_add_ps(y, _mm256_loadu_ps(s));
            }
            _mm256_storeu_ps(y8, _mm256_min_ps(_mm256_max_ps(y, low), high));
            memcpy(out + at, y8, n);
        }
    }
}

static void run(const pt_u8_tile *tile, int vectors)
{
    sums_of[vectors - 1][tile->pixels - 1](tile);
    if (tile->unfinished) {
        return;
    }
    if (tile->finish->out_elem == PT_U8) {
        finish_u8(tile, vectors);
    } else {
        finish_f32(tile, vectors);
    }
}

const pt_u8_kernels pt_u8_kernels_avx2 = {
    .name = "avx2",
    .lanes = LANES,
    .max_vectors = 2,
    .max_pixels = {PIXELS, PIXELS},
    .group = GROUP,
    .wide = true,
    .place = place,
    .run = run,
};
