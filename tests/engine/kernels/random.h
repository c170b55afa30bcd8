/* Seeded numbers for tests. */
#ifndef PANTILE_TESTS_ENGINE_KERNELS_RANDOM_H
#define PANTILE_TESTS_ENGINE_KERNELS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct randoms {
    uint64_t state;
} randoms;

/* splitmix64 */
static inline uint64_t random_bits(randoms *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* low <= result <= high */
static inline int random_int(randoms *r, int low, int high)
{
    return low + (int)(random_bits(r) % (uint64_t)(high - low + 1));
}

static inline float random_float(randoms *r, float low, float high)
{
    return low + (high - low) * (float)(random_bits(r) >> 40) / 16777216.0f;
}

static inline void random_fill(randoms *r, float *out, size_t count, float low, float high)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = random_float(r, low, high);
    }
}

#endif
