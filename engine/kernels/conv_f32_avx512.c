#include "engine/kernels/conv_f32_isa.h"

#include <immintrin.h>

typedef __m512 vf;

static inline vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void vf_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}

static inline vf vf_load_first(const float *p, int n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

static inline void vf_store_first(float *p, vf x, int n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x);
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
    return _mm512_set1_ps(x);
}

static inline vf vf_zero(void)
{
    return _mm512_setzero_ps();
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

static inline vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

static inline vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

enum { WIDTH = 16, ROWS = 14, VECTORS = 2 };

#include "engine/kernels/conv_f32_tmpl.h"
#include "engine/kernels/depthwise_f32_tmpl.h"
#include "engine/kernels/winograd_f32_tmpl.h"

TILE_OF(1)
TILE_OF(2)
TILE_OF(3)
TILE_OF(4)
TILE_OF(5)
TILE_OF(6)
TILE_OF(7)
TILE_OF(8)
TILE_OF(9)
TILE_OF(10)
TILE_OF(11)
TILE_OF(12)
TILE_OF(13)
TILE_OF(14)

static void tile_any(const pt_f32_tile *t)
{
    static tile_part *const wide[ROWS] = {tile_wide_1,  tile_wide_2,  tile_wide_3,  tile_wide_4, tile_wide_5,
                                          tile_wide_6,  tile_wide_7,  tile_wide_8,  tile_wide_9, tile_wide_10,
                                          tile_wide_11, tile_wide_12, tile_wide_13, tile_wide_14};
    static tile_part *const narrow[ROWS] = {tile_narrow_1,  tile_narrow_2,  tile_narrow_3,  tile_narrow_4,
                                            tile_narrow_5,  tile_narrow_6,  tile_narrow_7,  tile_narrow_8,
                                            tile_narrow_9,  tile_narrow_10, tile_narrow_11, tile_narrow_12,
                                            tile_narrow_13, tile_narrow_14};
    tile_by(t, wide[t->rows - 1], narrow[t->rows - 1]);
}

const pt_f32_kernels pt_f32_kernels_avx512 = {
    .name = "avx512",
    .rows = ROWS,
    .tile = tile_any,
    .depthwise = depthwise_any,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
};
