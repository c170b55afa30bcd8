#include "engine/kernels/conv_f32_isa.h"

#include <immintrin.h>

typedef __m256 vf;

static inline vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x);
}

static inline __m256i lanes_below(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vf vf_load_first(const float *p, int n)
{
    return _mm256_maskload_ps(p, lanes_below(n));
}

static inline void vf_store_first(float *p, vf x, int n)
{
    _mm256_maskstore_ps(p, lanes_below(n), x);
}

static inline void prefetch(const float *p)
{
    _mm_prefetch((const char *)p, _MM_HINT_T0);
}

static inline void prefetch_write(const float *p)
{
    __builtin_prefetch(p, 1);
}

static inline vf vf_set1(float x)
{
    return _mm256_set1_ps(x);
}

static inline vf vf_zero(void)
{
    return _mm256_setzero_ps();
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

static inline vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

static inline vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

enum { WIDTH = 8, ROWS = 6, VECTORS = 2 };

#include "engine/kernels/conv_f32_tmpl.h"
#include "engine/kernels/depthwise_f32_tmpl.h"
#include "engine/kernels/winograd_f32_tmpl.h"

TILE_OF(1)
TILE_OF(2)
TILE_OF(3)
TILE_OF(4)
TILE_OF(5)
TILE_OF(6)

static void tile_any(const pt_f32_tile *t)
{
    static tile_part *const wide[ROWS] = {tile_wide_1, tile_wide_2, tile_wide_3,
                                          tile_wide_4, tile_wide_5, tile_wide_6};
    static tile_part *const narrow[ROWS] = {tile_narrow_1, tile_narrow_2, tile_narrow_3,
                                            tile_narrow_4, tile_narrow_5, tile_narrow_6};
    tile_by(t, wide[t->rows - 1], narrow[t->rows - 1]);
}

const pt_f32_kernels pt_f32_kernels_avx2 = {
    .name = "avx2",
    .rows = ROWS,
    .tile = tile_any,
    .depthwise = depthwise_any,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
};
