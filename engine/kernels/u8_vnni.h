/* From sums to bytes with AVX-512, for the files that are built for it. */
#ifndef PANTILE_ENGINE_KERNELS_U8_VNNI_H
#define PANTILE_ENGINE_KERNELS_U8_VNNI_H

#include "engine/kernels/conv_u8.h"

#include <immintrin.h>

#define PT_UNROLL _Pragma("GCC unroll 16")

/* Where channel c of a block of 1 to 4 vectors of 32-bit numbers lies, so that packing, which works within
 * 128-bit lanes, leaves every lane's channels next to each other. */
static inline int pt_vnni_place(int vectors, int c)
{
    return c / 4 % vectors * 16 + c / (4 * vectors) * 4 + c % 4;
}

typedef struct pt_vnni_limits {
    __m512 inverse, low, high, sum_scale;
    __m512 sum_zero; /* 2^23 + the summand's zero point */
    __m512i zero;    /* the output's, in 16 bits */
} pt_vnni_limits;

static inline pt_vnni_limits pt_vnni_limits_of(const pt_u8_finish *finish)
{
    return (pt_vnni_limits){_mm512_set1_ps(finish->inverse),
                            _mm512_set1_ps(finish->low),
                            _mm512_set1_ps(finish->high),
                            _mm512_set1_ps(finish->sum.scale),
                            _mm512_set1_ps(0x1p23f + (float)finish->sum.zero),
                            _mm512_set1_epi16((short)finish->zero)};
}

/* Integers before the zero point is added. `saturates` as in pt_u8_finish. */
static inline __attribute__((always_inline)) __m512i pt_vnni_rounded(const pt_vnni_limits *l, __m512 y,
                                                                     const bool saturates)
{
    __m512 t = _mm512_mul_ps(y, l->inverse);
    return _mm512_cvtps_epi32(saturates ? t : _mm512_max_ps(_mm512_min_ps(t, l->high), l->low));
}

/* The bytes of `vectors` vectors of pt_vnni_rounded, lane by lane in the order of their channels; those of
 * fewer than four are followed by others, up to the lane's end. */
static inline __attribute__((always_inline)) __m512i pt_vnni_pack(const pt_vnni_limits *l, const __m512i q[4],
                                                                  const int vectors)
{
    __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(q[0], q[vectors > 1]), l->zero);
    if (vectors < 3) {
        return _mm512_packus_epi16(low, low);
    }
    __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(q[2], q[vectors - 1]), l->zero);
    return _mm512_packus_epi16(low, high);
}

#endif
