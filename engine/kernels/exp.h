/* exp in single precision, the same bits on every machine, where libm's differ from version to version.
 *
 * Within one unit in the last place of the exact value (tested against double on a dense grid); 0 below
 * -87.33, infinity above 88.72; a NaN stays one. Multiplications and additions only, each rounded, so that
 * vector versions of the same steps give the same bits. */
#ifndef PANTILE_ENGINE_KERNELS_EXP_H
#define PANTILE_ENGINE_KERNELS_EXP_H

#include <stdint.h>
#include <string.h>

static inline float pt_float_of_bits(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline uint32_t pt_bits_of_float(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* rint for |v| < 2^22, ties to even, without a call of libm's. */
static inline float pt_rint_small(float v)
{
    return (v + 12582912.0f) - 12582912.0f;
}

/* exp(x) = 2^n * exp(r), n = rint(x / ln 2), |r| <= ln 2 / 2. ln 2 is split so that n * its high part is
 * exact (Cody and Waite, Software Manual for the Elementary Functions, 1980, chapter 6). A float as large as
 * PT_EXP_ROUND, 1.5 * 2^23, holds an integer in its low bits. C2 .. C6 fit (exp(r) - 1 - r) / r^2 so that the
 * largest relative error of exp(r) on |r| <= .3467 is small, 3e-9 (reweighted least squares). */
#define PT_EXP_LOW (-87.33654f)
#define PT_EXP_HIGH 88.72284f
#define PT_EXP_ROUND 12582912.0f
#define PT_EXP_PER_LN2 1.44269504f
#define PT_EXP_LN2_HIGH .693359375f
#define PT_EXP_LN2_LESS 2.1219444e-4f
#define PT_EXP_C2 .49999994f
#define PT_EXP_C3 .16666521f
#define PT_EXP_C4 4.166839e-2f
#define PT_EXP_C5 8.368745e-3f
#define PT_EXP_C6 1.3814539e-3f

static inline float pt_exp(float x)
{
    float y = PT_EXP_LOW > x ? PT_EXP_LOW : x;
    y = PT_EXP_HIGH < y ? PT_EXP_HIGH : y;
    float shifted = y * PT_EXP_PER_LN2 + PT_EXP_ROUND;
    float n = shifted - PT_EXP_ROUND;
    float r = y - n * PT_EXP_LN2_HIGH;
    r = r + n * PT_EXP_LN2_LESS;
    float p = PT_EXP_C6;
    p = p * r + PT_EXP_C5;
    p = p * r + PT_EXP_C4;
    p = p * r + PT_EXP_C3;
    p = p * r + PT_EXP_C2;
    p = p * (r * r) + r + 1.0f;
    /* 2^n in two factors: n reaches 128. */
    int32_t whole = (int32_t)(pt_bits_of_float(shifted) - pt_bits_of_float(PT_EXP_ROUND));
    int32_t half = whole >> 1;
    p = p * pt_float_of_bits((uint32_t)(half + 127) << 23);
    p = p * pt_float_of_bits((uint32_t)(whole - half + 127) << 23);
    p = x < PT_EXP_LOW ? 0.0f : p;
    return x > PT_EXP_HIGH ? pt_float_of_bits(0x7f800000u) : p;
}

static inline float pt_sigmoid(float x)
{
    return 1.0f / (1.0f + pt_exp(-x));
}

#endif
