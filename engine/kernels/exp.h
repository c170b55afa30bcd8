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

/* exp(x) = 2^n * exp(r), n = rint(x / ln 2), |r| <= ln 2 / 2. ln 2 is split so that n * its high part is
 * exact (Cody and Waite, Software Manual for the Elementary Functions, 1980, chapter 6). */
static inline float pt_exp(float x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: a float of this size holds integers in its low bits */
    const float low = -87.33654f, high = 88.72284f;
    float y = low > x ? low : x;
    y = high < y ? high : y;
    float shifted = y * 1.44269504f + round;
    float n = shifted - round;
    float r = y - n * 0.693359375f;
    r = r + n * 2.1219444e-4f;
    /* (exp(r) - 1 - r) / r^2 with the largest relative error of exp(r) made small on |r| <= .3467 (reweighted
     * least squares): 3e-9 of it. */
    float p = 1.3814539e-3f;
    p = p * r + 8.368745e-3f;
    p = p * r + 4.166839e-2f;
    p = p * r + .16666521f;
    p = p * r + .49999994f;
    p = p * (r * r) + r + 1.0f;
    /* 2^n in two factors: n reaches 128. */
    int32_t whole = (int32_t)(pt_bits_of_float(shifted) - pt_bits_of_float(round));
    int32_t half = whole >> 1;
    p = p * pt_float_of_bits((uint32_t)(half + 127) << 23);
    p = p * pt_float_of_bits((uint32_t)(whole - half + 127) << 23);
    p = x < low ? 0.0f : p;
    return x > high ? pt_float_of_bits(0x7f800000u) : p;
}

static inline float pt_sigmoid(float x)
{
    return 1.0f / (1.0f + pt_exp(-x));
}

#endif
