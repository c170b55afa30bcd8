#include "coordinator/protocol/message.h"

/* The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014,
 * section 3, with Stafford's variant 13). It is a bijection, so that results that differ in one word alone
 * never share a digest. */
static uint64_t mix(uint64_t z)
{
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Up to eight bytes, little-endian on every machine. */
static uint64_t load(const uint8_t *bytes, size_t count)
{
    uint64_t word = 0;
    for (size_t i = 0; i < count; i++) {
        word |= (uint64_t)bytes[i] << (8 * i);
    }
    return word;
}

/* Four words side by side, for a chain of multiplications waits for itself: four times as fast. */
uint64_t pt_result_digest(pt_tile_outcome outcome, bool capped, const uint8_t *payload, size_t size)
{
    enum { LANES = 4, STRIDE = 8 * LANES };
    uint64_t digest = mix(mix((uint64_t)outcome << 1 | capped) ^ size);
    uint64_t lanes[LANES] = {0, 1, 2, 3};
    size_t at = 0;
    for (; size - at >= STRIDE; at += STRIDE) {
        for (size_t lane = 0; lane < LANES; lane++) {
            lanes[lane] = mix(lanes[lane] ^ load(payload + at + 8 * lane, 8));
        }
    }
    for (size_t lane = 0; lane < LANES; lane++) {
        digest = mix(digest ^ lanes[lane]);
    }
    for (; at < size; at += 8) {
        digest = mix(digest ^ load(payload + at, size - at < 8 ? size - at : 8));
    }
    return digest;
}
