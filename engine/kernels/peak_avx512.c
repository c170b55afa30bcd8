#include "engine/kernels/peak.h"

#include <immintrin.h>

/* 24 of 32 registers: latency 4 or 5 times 2 a cycle on every core that has these instructions. */
enum { SUMS = 24 };

/* The compiler must neither know values nor see that all sums are alike. Emits nothing. */
#define HIDE(value) __asm__("" : "+v"(value))

int64_t pt_peak_f32_avx512(int rounds)
{
    __m512 sum[SUMS], a = _mm512_set1_ps(1), b = a;
    HIDE(a);
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) {
        sum[i] = _mm512_setzero_ps();
        HIDE(sum[i]);
    }
    for (int r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) {
            sum[i] = _mm512_fmadd_ps(a, b, sum[i]);
        }
    }
    int64_t all = 0;
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) {
        float lanes[16];
        _mm512_storeu_ps(lanes, sum[i]);
        for (int lane = 0; lane < 16; lane++) {
            all += (int64_t)lanes[lane];
        }
    }
    return all;
}

/* Bytes widened to 16 bits: vpmaddubsw would saturate. */
int64_t pt_peak_u8_avx512(int rounds)
{
    __m512i sum[SUMS], a = _mm512_set1_epi16(1), b = a;
    HIDE(b);
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) {
        sum[i] = _mm512_setzero_si512();
        HIDE(sum[i]);
    }
    for (int r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) {
            HIDE(a); /* else one product would serve all */
            sum[i] = _mm512_add_epi32(sum[i], _mm512_madd_epi16(a, b));
        }
    }
    int64_t all = 0;
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) {
        all += _mm512_reduce_add_epi32(sum[i]);
    }
    return all;
}
