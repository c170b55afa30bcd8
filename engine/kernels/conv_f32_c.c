#include "engine/kernels/conv_f32_isa.h"

#include <math.h>

typedef float vf;

static inline vf vf_load(const float *p)
{
    return *p;
}

static inline void vf_store(float *p, vf x)
{
    *p = x;
}

/* Vectors of one lane are never read or written in part. */
static inline vf vf_load_first(const float *p, int n)
{
    (void)n;
    return *p;
}

static inline void vf_store_first(float *p, vf x, int n)
{
    (void)n;
    *p = x;
}

static inline void prefetch(const float *p)
{
    (void)p;
}

static inline void prefetch_write(const float *p)
{
    (void)p;
}

static inline vf vf_set1(float x)
{
    return x;
}

static inline vf vf_zero(void)
{
    return 0;
}

static inline vf vf_add(vf a, vf b)
{
    return a + b;
}

static inline vf vf_sub(vf a, vf b)
{
    return a - b;
}

static inline vf vf_mul(vf a, vf b)
{
    return a * b;
}

static inline vf vf_fma(vf a, vf b, vf c)
{
    return fmaf(a, b, c);
}

/* The second operand where they do not compare, as x86 has it. */
static inline vf vf_max(vf a, vf b)
{
    return a > b ? a : b;
}

static inline vf vf_min(vf a, vf b)
{
    return a < b ? a : b;
}

enum { WIDTH = 1, ROWS = 4, VECTORS = 4 };

#include "engine/kernels/conv_f32_tmpl.h"
#include "engine/kernels/depthwise_f32_tmpl.h"
#include "engine/kernels/winograd_f32_tmpl.h"

TILE_OF(1)
TILE_OF(2)
TILE_OF(3)
TILE_OF(4)

static void tile_any(const pt_f32_tile *t)
{
    static tile_part *const wide[ROWS] = {tile_wide_1, tile_wide_2, tile_wide_3, tile_wide_4};
    static tile_part *const narrow[ROWS] = {tile_narrow_1, tile_narrow_2, tile_narrow_3, tile_narrow_4};
    tile_by(t, wide[t->rows - 1], narrow[t->rows - 1]);
}

const pt_f32_kernels pt_f32_kernels_c = {
    .name = "c",
    .rows = ROWS,
    .tile = tile_any,
    .depthwise = depthwise_any,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
};
