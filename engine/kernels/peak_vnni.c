#include "engine/kernels/peak.h"

#include <immintrin.h>

/* 24 of 32 registers: latency 4 or 5 times 2 a cycle on every core that has these instructions. */
enum { SUMS = 24 };

/* The compiler must neither know values nor see that all sums are alike. Emits nothing. */
#define HIDE(value) __asm__("" : "+v"(value))

int64_t pt_peak_u8_vnni(int rounds)
{
    __m512i sum[SUMS], a = _mm512_set1_epi8(1), b = a;
    HIDE(a);
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) {
        sum[i] = _mm512_setzero_si512();
        HIDE(sum[i]);
    }
    for (int r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) {
            /* GCC 12 moves each sum there and back for the intrinsic, which costs half of the rate. */
            __asm__("vpdpbusd %2, %1, %0" : "+v"(sum[i]) : "v"(a), "v"(b));
        }
    }
    int64_t all = 0;
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) {
        all += (int64_t)_mm512_reduce_add_epi32(_mm512_srli_epi32(sum[i], 2)); /* lanes hold 4 a round */
    }
    return 4 * all;
}
