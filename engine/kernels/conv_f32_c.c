#include "engine/kernels/conv_f32_isa.h"

#include <math.h>

typedef float vf;
enum { VF_LANES = 1 };

static inline vf vf_load(const float *p)
{
    return *p;
}

static inline void vf_store(float *p, vf x)
{
    *p = x;
}

/* Vectors of one lane are never read or written in part. */
static inline vf vf_load_n(const float *p, int n)
{
    (void)n;
    return *p;
}

static inline void vf_store_n(float *p, int n, vf x)
{
    (void)n;
    *p = x;
}

static inline vf vf_set(float x)
{
    return x;
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

enum { ROWS = 4, VECTORS = 4 };
#define EACH_ROWS(X) X(1) X(2) X(3) X(4)

#include "engine/kernels/conv_f32_tmpl.h"
#include "engine/kernels/depthwise_f32_tmpl.h"
#include "engine/kernels/winograd_f32_tmpl.h"

const pt_f32_kernels pt_f32_kernels_c = {
    .name = "c",
    .rows = ROWS,
    .tile = tile_any,
    .depthwise = depthwise_any,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
};
