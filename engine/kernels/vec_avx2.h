/* What the templates *_tmpl.h are made of, in AVX2: vectors of 8 floats or 32 bytes. See vec_avx512.h. */
#ifndef PANTILE_ENGINE_KERNELS_VEC_AVX2_H
#define PANTILE_ENGINE_KERNELS_VEC_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VEC_NAME(name) name##_avx2

typedef __m256 vf;
typedef __m256i vb;
enum { VF_LANES = 8, VB_LANES = 32 };

static inline __m256i vf_first(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vf vf_set(float v)
{
    return _mm256_set1_ps(v);
}

static inline vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline vf vf_load_n(const float *p, int n)
{
    return _mm256_maskload_ps(p, vf_first(n));
}

static inline void vf_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}

static inline void vf_store_n(float *p, int n, vf v)
{
    _mm256_maskstore_ps(p, vf_first(n), v);
}

static inline vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}

static inline vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}

static inline vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}

static inline vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

static inline vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

static inline unsigned vf_greater(vf a, vf b)
{
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ));
}

static inline unsigned vf_at_least(vf a, vf b)
{
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ));
}

static inline vf vf_zero_where_less(vf v, vf a, vf b)
{
    return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_NLT_UQ), v);
}

static inline vf vf_pick_where_greater(vf otherwise, vf v, vf a, vf b)
{
    return _mm256_blendv_ps(otherwise, v, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}

static inline vf vf_power(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

static inline vf vf_scale(vf v, vf shifted, vf base)
{
    __m256i n = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_castps_si256(base));
    __m256i half = _mm256_srai_epi32(n, 1);
    return vf_mul(vf_mul(v, vf_power(half)), vf_power(_mm256_sub_epi32(n, half)));
}

static inline vf vf_of_bytes(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

static inline vf vf_of_bytes_n(const uint8_t *p, int n)
{
    uint8_t some[VF_LANES] = {0};
    memcpy(some, p, (size_t)n);
    return vf_of_bytes(some);
}

static inline __m128i vf_to_bytes(vf v, int zero)
{
    __m256i wide = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(zero));
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    return _mm_packus_epi16(words, words);
}

static inline void vf_store_bytes(uint8_t *p, vf v, int zero)
{
    _mm_storel_epi64((__m128i *)(void *)p, vf_to_bytes(v, zero));
}

static inline void vf_store_bytes_n(uint8_t *p, int n, vf v, int zero)
{
    uint8_t all[VF_LANES];
    vf_store_bytes(all, v, zero);
    memcpy(p, all, (size_t)n);
}

static inline void vf_store_whole_bytes(uint8_t *p, vf v)
{
    vf_store_bytes(p, _mm256_floor_ps(vf_min(vf_max(v, vf_set(0)), vf_set(255))), 0);
}

typedef struct vf_sums {
    __m256 low, high;
} vf_sums;

static inline vf_sums vf_sums_zero(void)
{
    return (vf_sums){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

static inline void vf_sums_add(vf_sums *sums, const float *x, const float *w)
{
    sums->low = vf_add(sums->low, vf_mul(vf_load(w), vf_load(x)));
    sums->high = vf_add(sums->high, vf_mul(vf_load(w + 8), vf_load(x + 8)));
}

static inline void vf_sums_add_n(vf_sums *sums, const float *x, const float *w, int n)
{
    sums->low = vf_add(sums->low, vf_mul(vf_load_n(w, n), vf_load_n(x, n)));
    if (n > 8) {
        sums->high = vf_add(sums->high, vf_mul(vf_load_n(w + 8, n - 8), vf_load_n(x + 8, n - 8)));
    }
}

static inline void vf_sums_add_bytes(vf_sums *sums, const uint8_t *x, int zero, const float *w)
{
    vf z = vf_set((float)zero);
    sums->low = vf_add(sums->low, vf_mul(vf_load(w), vf_sub(vf_of_bytes(x), z)));
    sums->high = vf_add(sums->high, vf_mul(vf_load(w + 8), vf_sub(vf_of_bytes(x + 8), z)));
}

static inline void vf_sums_add_bytes_n(vf_sums *sums, const uint8_t *x, int zero, const float *w, int n)
{
    uint8_t some[16] = {0};
    float weights[16] = {0};
    memcpy(some, x, (size_t)n);
    memcpy(weights, w, (size_t)n * sizeof *w);
    vf_sums_add_bytes(sums, some, zero, weights);
}

static inline float vf_sums_fold(const vf_sums *sums)
{
    __m256 eight = _mm256_add_ps(sums->low, sums->high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline vb vb_load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

static inline void vb_store(uint8_t *p, vb v)
{
    _mm256_storeu_si256((__m256i *)(void *)p, v);
}

static inline vb vb_max(vb a, vb b)
{
    return _mm256_max_epu8(a, b);
}

static inline vb vb_spread_rgb(const uint8_t *p)
{
    const __m128i spread = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    const __m128i later = _mm_setr_epi8(4, 5, 6, -1, 7, 8, 9, -1, 10, 11, 12, -1, 13, 14, 15, -1);
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(p + 8));
    return _mm256_set_m128i(_mm_shuffle_epi8(high, later), _mm_shuffle_epi8(low, spread));
}

static inline vb vb_pair_low(vb a, vb b)
{
    return _mm256_unpacklo_epi8(a, b);
}

static inline vb vb_pair_high(vb a, vb b)
{
    return _mm256_unpackhi_epi8(a, b);
}

static inline vb vb_dot_pairs(vb bytes, vb weights)
{
    return _mm256_maddubs_epi16(bytes, weights);
}

static inline vb vb_set_pairs(int sixteen_bits)
{
    return _mm256_set1_epi16((short)sixteen_bits);
}

static inline vb vb_add_16(vb a, vb b)
{
    return _mm256_add_epi16(a, b);
}

static inline vb vb_shift_16(vb v, int right)
{
    return _mm256_srli_epi16(v, right);
}

static inline vb vb_and(vb a, vb b)
{
    return _mm256_and_si256(a, b);
}

static inline vb vb_narrow(vb low, vb high)
{
    return _mm256_packus_epi16(low, high);
}

#endif
