/* From sums to bytes with AVX-512, for the files that are built for it. */
#ifndef PANTILE_ENGINE_KERNELS_U8_VNNI_H
#define PANTILE_ENGINE_KERNELS_U8_VNNI_H

#include "engine/kernels/conv_u8.h"

#include <immintrin.h>

#define PT_UNROLL _Pragma("GCC unroll 16")

/* Where channel c of 64 lies among four vectors of 32-bit numbers that pt_vnni_pack is to bring into order:
 * packing works within 128-bit lanes. */
static inline int pt_vnni_place(int c)
{
    return c / 4 % 4 * 16 + c / 16 * 4 + c % 4;
}

typedef struct pt_vnni_limits {
    __m512 inverse, low, high, sum_scale, sum_zero;
    __m512i zero; /* in 16 or 32 bits, as it is needed */
} pt_vnni_limits;

static inline pt_vnni_limits pt_vnni_limits_of(const pt_u8_finish *finish, __m512i zero)
{
    return (pt_vnni_limits){_mm512_set1_ps(finish->inverse),
                            _mm512_set1_ps(finish->low),
                            _mm512_set1_ps(finish->high),
                            _mm512_set1_ps(finish->sum.scale),
                            _mm512_set1_ps((float)finish->sum.zero),
                            zero};
}

/* Integers before the zero point is added. */
static inline __m512i pt_vnni_rounded(const pt_vnni_limits *l, __m512 y)
{
    __m512 t = _mm512_mul_ps(y, l->inverse);
    return _mm512_cvtps_epi32(_mm512_max_ps(_mm512_min_ps(t, l->high), l->low));
}

/* 64 bytes in the order of their channels; l->zero in 16 bits. */
static inline __m512i pt_vnni_pack(const pt_vnni_limits *l, const __m512 y[4])
{
    __m512i low = _mm512_packs_epi32(pt_vnni_rounded(l, y[0]), pt_vnni_rounded(l, y[1]));
    __m512i high = _mm512_packs_epi32(pt_vnni_rounded(l, y[2]), pt_vnni_rounded(l, y[3]));
    return _mm512_packus_epi16(_mm512_add_epi16(low, l->zero), _mm512_add_epi16(high, l->zero));
}

#endif
