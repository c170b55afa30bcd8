#include "tiling/base/sha256_blocks.h"

#include <pthread.h>

#if defined(PANTILE_SIMD) && defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define PT_SHA_TARGET __attribute__((target("sha,sse4.1")))

/* CPUID leaf 7, EBX: bit 29 SHA; leaf 1, ECX: bit 9 SSSE3, bit 19 SSE4.1. */
static int has_sha(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 9 & 1) || !(c >> 19 & 1)) {
        return 0;
    }
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}

/* Four rounds: the instruction does two, from the sums of words and constants in the lower half. */
PT_SHA_TARGET static inline void rounds(__m128i *abef, __m128i *cdgh, __m128i words,
                                        const uint32_t *constants)
{
    __m128i sums = _mm_add_epi32(words, _mm_loadu_si128((const __m128i *)(const void *)constants));
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sums);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(sums, 0x0e));
}

PT_SHA_TARGET static void add_block(__m128i *abef, __m128i *cdgh, const uint8_t *block)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i a = *abef, c = *cdgh, w[4];
    for (int i = 0; i < 4; i++) {
        w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(block + (size_t)i * 16)),
                                big_endian);
        rounds(&a, &c, w[i], pt_sha256_constants + (size_t)i * 4);
    }
    for (int i = 4; i < 16; i++) {
        /* w[t] = s1(w[t - 2]) + w[t - 7] + s0(w[t - 15]) + w[t - 16], four at a time */
        __m128i last = w[(i + 3) % 4];
        __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[i % 4], w[(i + 1) % 4]),
                                    _mm_alignr_epi8(last, w[(i + 2) % 4], 4));
        w[i % 4] = _mm_sha256msg2_epu32(sum, last);
        rounds(&a, &c, w[i % 4], pt_sha256_constants + (size_t)i * 4);
    }
    *abef = _mm_add_epi32(*abef, a);
    *cdgh = _mm_add_epi32(*cdgh, c);
}

PT_SHA_TARGET static void add_by_instructions(uint32_t state[8], const uint8_t *blocks, size_t count)
{
    __m128i *at = (__m128i *)(void *)state;
    __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(at), 0xb1);
    __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(at + 1), 0x1b);
    __m128i abef = _mm_alignr_epi8(badc, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
    for (; count > 0; count--, blocks += 64) {
        add_block(&abef, &cdgh, blocks);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128(at, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128(at + 1, _mm_alignr_epi8(dchg, feba, 8));
}

static pt_sha256_add *choose(void)
{
    return has_sha() ? add_by_instructions : pt_sha256_add_plain;
}
#else
static pt_sha256_add *choose(void)
{
    return pt_sha256_add_plain;
}
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pt_sha256_add *best;

static void find_best(void)
{
    best = choose();
}

pt_sha256_add *pt_sha256_add_best(void)
{
    pthread_once(&once, find_best);
    return best;
}
