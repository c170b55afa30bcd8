/* What the templates *_tmpl.h are made of, in AVX-512: vectors of 16 floats or 64 bytes. `_n` versions touch
 * the first n elements alone (0 < n < lanes); loads set the others to 0. vf_max and vf_min give the second
 * operand where either is not a number, as the C code's a > b ? a : b. vf_fma rounds a * b + c once. */
#ifndef PANTILE_ENGINE_KERNELS_VEC_AVX512_H
#define PANTILE_ENGINE_KERNELS_VEC_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define VEC_NAME(name) name##_avx512

typedef __m512 vf;
typedef __m512i vb;
enum { VF_LANES = 16, VB_LANES = 64 };

static inline __mmask16 vf_first(int n)
{
    return (__mmask16)((1u << n) - 1);
}

static inline vf vf_set(float v)
{
    return _mm512_set1_ps(v);
}

static inline vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline vf vf_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps(vf_first(n), p);
}

static inline void vf_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}

static inline void vf_store_n(float *p, int n, vf v)
{
    _mm512_mask_storeu_ps(p, vf_first(n), v);
}

static inline vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}

static inline vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}

static inline vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}

static inline vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

static inline vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

/* One bit per lane; false where either is not a number. */
static inline unsigned vf_greater(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}

static inline unsigned vf_at_least(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ);
}

static inline vf vf_zero_where_less(vf v, vf a, vf b)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ), v);
}

static inline vf vf_pick_where_greater(vf otherwise, vf v, vf a, vf b)
{
    return _mm512_mask_mov_ps(otherwise, _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), v);
}

/* 2^n for the integer in each lane, -126 .. 127. */
static inline vf vf_power(__m512i n)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
}

/* v * 2^n where n is the integer in the low bits of shifted, less those of base; in two factors. */
static inline vf vf_scale(vf v, vf shifted, vf base)
{
    __m512i n = _mm512_sub_epi32(_mm512_castps_si512(shifted), _mm512_castps_si512(base));
    __m512i half = _mm512_srai_epi32(n, 1);
    return vf_mul(vf_mul(v, vf_power(half)), vf_power(_mm512_sub_epi32(n, half)));
}

static inline vf vf_of_bytes(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

static inline vf vf_of_bytes_n(const uint8_t *p, int n)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(vf_first(n), p)));
}

/* rint, then the integer `zero` is added; the sums are 0 .. 255. */
static inline __m128i vf_to_bytes(vf v, int zero)
{
    return _mm512_cvtepi32_epi8(_mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(zero)));
}

static inline void vf_store_bytes(uint8_t *p, vf v, int zero)
{
    _mm_storeu_si128((__m128i *)(void *)p, vf_to_bytes(v, zero));
}

static inline void vf_store_bytes_n(uint8_t *p, int n, vf v, int zero)
{
    _mm_mask_storeu_epi8(p, vf_first(n), vf_to_bytes(v, zero));
}

/* floor, within 0 .. 255. */
static inline void vf_store_whole_bytes(uint8_t *p, vf v)
{
    v = vf_min(vf_max(v, vf_set(0)), vf_set(255));
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(v)));
}

/* Sixteen partial sums. */
typedef struct vf_sums {
    __m512 all;
} vf_sums;

static inline vf_sums vf_sums_zero(void)
{
    return (vf_sums){_mm512_setzero_ps()};
}

/* Adds x * w for 16 elements, for `n` of them where n < 16. */
static inline void vf_sums_add(vf_sums *sums, const float *x, const float *w)
{
    sums->all = vf_add(sums->all, vf_mul(vf_load(w), vf_load(x)));
}

static inline void vf_sums_add_n(vf_sums *sums, const float *x, const float *w, int n)
{
    sums->all = vf_add(sums->all, vf_mul(vf_load_n(w, n), vf_load_n(x, n)));
}

static inline void vf_sums_add_bytes(vf_sums *sums, const uint8_t *x, int zero, const float *w)
{
    vf v = vf_sub(vf_of_bytes(x), vf_set((float)zero));
    sums->all = vf_add(sums->all, vf_mul(vf_load(w), v));
}

static inline void vf_sums_add_bytes_n(vf_sums *sums, const uint8_t *x, int zero, const float *w, int n)
{
    vf v = vf_sub(vf_of_bytes_n(x, n), vf_set((float)zero));
    sums->all = vf_add(sums->all, vf_mul(vf_load_n(w, n), v));
}

/* j += j + 8, + 4, + 2, + 1 */
static inline float vf_sums_fold(const vf_sums *sums)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sums->all), _mm512_extractf32x8_ps(sums->all, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline vb vb_load(const uint8_t *p)
{
    return _mm512_loadu_si512(p);
}

static inline void vb_store(uint8_t *p, vb v)
{
    _mm512_storeu_si512(p, v);
}

static inline vb vb_max(vb a, vb b)
{
    return _mm512_max_epu8(a, b);
}

/* The pixels of 3 * VF_LANES bytes, each as four bytes of which the last is 0. */
static inline vb vb_spread_rgb(const uint8_t *p)
{
    const __m512i quarters = _mm512_setr_epi32(0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11);
    const __m128i spread = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    __m512i packed = _mm512_maskz_loadu_epi8(0xffffffffffffu, p);
    return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(quarters, packed), _mm512_broadcast_i32x4(spread));
}

/* Pairs of bytes: a0 b0 a1 b1 ..; which of them are low and which high is what vb_narrow puts in order again.
 */
static inline vb vb_pair_low(vb a, vb b)
{
    return _mm512_unpacklo_epi8(a, b);
}

static inline vb vb_pair_high(vb a, vb b)
{
    return _mm512_unpackhi_epi8(a, b);
}

/* In each 16 bits the sum of the two products of bytes with signed bytes; it must fit. */
static inline vb vb_dot_pairs(vb bytes, vb weights)
{
    return _mm512_maddubs_epi16(bytes, weights);
}

static inline vb vb_set_pairs(int sixteen_bits)
{
    return _mm512_set1_epi16((short)sixteen_bits);
}

static inline vb vb_add_16(vb a, vb b)
{
    return _mm512_add_epi16(a, b);
}

static inline vb vb_shift_16(vb v, int right)
{
    return _mm512_srli_epi16(v, (unsigned)right);
}

static inline vb vb_and(vb a, vb b)
{
    return _mm512_and_si512(a, b);
}

/* The low bytes of what began as low and high pairs; all are 0 .. 255. */
static inline vb vb_narrow(vb low, vb high)
{
    return _mm512_packus_epi16(low, high);
}

#endif
