/* vpmaddwd takes two taps at once: bytes widened to 16 bits, the pixels of both taps interleaved. The nine
 * taps and a zero make five pairs. Interleaving and packing both work within 128-bit lanes, so results are in
 * order. */
#include "engine/kernels/depthwise_u8_versions.h"

#include <immintrin.h>
#include <string.h>

enum { BLOCK = 16, PAIRS = 5, PAIR_BYTES = 2 * BLOCK * 2 };

/* Interleaving the words of 16 channels leaves 0-3 and 8-11 in one vector, 4-7 and 12-15 in the other. */
static int place(int c)
{
    return c / 4 % 2 * 8 + c / 8 * 4 + c % 4;
}

static void pack(const int8_t *w, int c, void *block)
{
    for (int i = 0; i < PAIRS; i++) {
        int16_t *to = (int16_t *)((char *)block + i * PAIR_BYTES) + 2 * place(c);
        to[0] = w[2 * i];
        to[1] = i < PAIRS - 1 ? w[2 * i + 1] : 0;
    }
}

static inline __m256i load(const uint8_t *at)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)at));
}

static inline __m256i rounded(const pt_u8_depthwise *layer, int at, __m256i sums)
{
    __m256 y = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(layer->multiplier + at),
                               _mm256_loadu_ps(layer->bias + at));
    __m256 t = _mm256_mul_ps(y, _mm256_set1_ps(layer->finish.inverse));
    t = _mm256_max_ps(_mm256_min_ps(t, _mm256_set1_ps(layer->finish.high)),
                      _mm256_set1_ps(layer->finish.low));
    return _mm256_add_epi32(_mm256_cvtps_epi32(t), _mm256_set1_epi32(layer->finish.zero));
}

/* One output pixel of 16 channels from c on, whose taps are read at in[y][x] + c - first. */
static inline void pixel(const pt_u8_depthwise *layer, int first, int c, const uint8_t *const in[9],
                         uint8_t *out)
{
    const char *weights = (const char *)layer->weights + (size_t)(c / BLOCK) * PAIRS * PAIR_BYTES;
    __m256i low = _mm256_loadu_si256((const __m256i *)(layer->start + c));
    __m256i high = _mm256_loadu_si256((const __m256i *)(layer->start + c + 8));
    int at = c - first;
    for (int i = 0; i < PAIRS; i++) {
        __m256i a = load(in[2 * i] + at),
                b = i < PAIRS - 1 ? load(in[2 * i + 1] + at) : _mm256_setzero_si256();
        const __m256i *w = (const __m256i *)(weights + i * PAIR_BYTES);
        low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), _mm256_load_si256(w)));
        high =
            _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), _mm256_load_si256(w + 1)));
    }
    __m256i words = _mm256_packs_epi32(rounded(layer, c, low), rounded(layer, c + 8, high));
    __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    uint8_t q[BLOCK];
    _mm_storeu_si128((__m128i *)q, bytes);
    memcpy(out + at, q, layer->channels - c < BLOCK ? (size_t)(layer->channels - c) : BLOCK);
}

static inline void slice(const pt_u8_depthwise *layer, int first, const uint8_t *const in[9], uint8_t *out)
{
    int end = first + PT_U8_DEPTHWISE_CHANNELS;
    end = layer->channels < end ? layer->channels : end;
    for (int c = first; c < end; c += BLOCK) {
        pixel(layer, first, c, in, out);
    }
}

static void row(const pt_u8_depthwise *layer, const pt_u8_depthwise_row *r)
{
    for (int p = 0; p < r->pixels; p++) {
        const uint8_t *in[9];
        for (int i = 0; i < 9; i++) {
            in[i] = r->rows[i / 3] + (p * layer->stride + i % 3) * r->step;
        }
        slice(layer, r->first, in, r->out + p * r->out_step);
    }
}

static void group(const pt_u8_depthwise *layer, const pt_u8_depthwise_group *g)
{
    for (int p = 0; p < PT_U8_DEPTHWISE_PIXELS; p++) {
        const uint8_t *in[9];
        for (int i = 0; i < 9; i++) {
            in[i] = g->in[i / 3][p * layer->stride + i % 3];
        }
        slice(layer, g->first, in, g->out + p * g->out_step);
    }
}

const pt_u8_depthwise_kernels pt_u8_depthwise_kernels_avx2 = {.name = "avx2",
                                                              .block = BLOCK,
                                                              .weight_bytes = PAIRS * PAIR_BYTES,
                                                              .place = place,
                                                              .pack = pack,
                                                              .row = row,
                                                              .group = group};
