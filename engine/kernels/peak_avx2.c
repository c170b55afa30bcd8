#include "engine/kernels/peak.h"

#include <immintrin.h>

/* 12 of 16 registers: latency 4 or 5 times 2 a cycle on every core that has these instructions. */
enum { SUMS = 12 };

/* The compiler must neither know values nor see that all sums are alike. Emits nothing. */
#define HIDE(value) __asm__("" : "+x"(value))

int64_t pt_peak_f32_avx2(int rounds)
{
    __m256 sum[SUMS], a = _mm256_set1_ps(1), b = a;
    HIDE(a);
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) {
        sum[i] = _mm256_setzero_ps();
        HIDE(sum[i]);
    }
    for (int r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) {
            sum[i] = _mm256_fmadd_ps(a, b, sum[i]);
        }
    }
    int64_t all = 0;
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) {
        float lanes[8];
        _mm256_storeu_ps(lanes, sum[i]);
        for (int lane = 0; lane < 8; lane++) {
            all += (int64_t)lanes[lane];
        }
    }
    return all;
}

/* Bytes widened to 16 bits: vpmaddubsw would saturate. */
int64_t pt_peak_u8_avx2(int rounds)
{
    __m256i sum[SUMS], a = _mm256_set1_epi16(1), b = a;
    HIDE(b);
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) {
        sum[i] = _mm256_setzero_si256();
        HIDE(sum[i]);
    }
    for (int r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) {
            HIDE(a); /* else one product would serve all */
            sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(a, b));
        }
    }
    int64_t all = 0;
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) {
        int32_t lanes[8];
        _mm256_storeu_si256((__m256i *)(void *)lanes, sum[i]);
        for (int lane = 0; lane < 8; lane++) {
            all += lanes[lane];
        }
    }
    return all;
}
