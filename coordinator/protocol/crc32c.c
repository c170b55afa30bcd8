#include "coordinator/protocol/codec.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__) && defined(PANTILE_SIMD)
#define HAS_SSE42 1
#include <nmmintrin.h>
#endif

/* Castagnoli's polynomial, reflected. Eight bytes a step: table[k][b] is the CRC of byte b followed by k zero
 * bytes (Kounavis, Berry: "Novel table lookup-based algorithms for high-performance CRC generation", 2008).
 */
enum { SLICES = 8 };
static const uint32_t polynomial = 0x82f63b78;

static uint32_t table[SLICES][256];

static void fill_table(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
        }
        table[0][b] = crc;
    }
    for (int k = 1; k < SLICES; k++) {
        for (uint32_t b = 0; b < 256; b++) {
            table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255];
        }
    }
}

static uint32_t add_byte(uint32_t crc, uint8_t byte)
{
    return crc >> 8 ^ table[0][(crc ^ byte) & 255];
}

/* Both take and give the register as it is, without the inversions at either end. */
static uint32_t add_plain(uint32_t crc, const uint8_t *p, size_t size)
{
    for (; size >= SLICES; p += SLICES, size -= SLICES) {
        uint32_t low =
            crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^
              table[4][low >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    for (; size > 0; p++, size--) {
        crc = add_byte(crc, *p);
    }
    return crc;
}

#ifdef HAS_SSE42
__attribute__((target("sse4.2"))) static uint32_t add_sse42(uint32_t crc, const uint8_t *p, size_t size)
{
    uint64_t wide = crc;
    for (; size >= sizeof wide; p += sizeof wide, size -= sizeof wide) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; size > 0; p++, size--) {
        crc = _mm_crc32_u8(crc, *p);
    }
    return crc;
}
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;

uint32_t pt_crc32c_plain(uint32_t crc, const void *bytes, size_t size)
{
    pthread_once(&once, fill_table);
    return ~add_plain(~crc, bytes, size);
}

uint32_t pt_crc32c(uint32_t crc, const void *bytes, size_t size)
{
#ifdef HAS_SSE42
    if (__builtin_cpu_supports("sse4.2")) {
        return ~add_sse42(~crc, bytes, size);
    }
#endif
    return pt_crc32c_plain(crc, bytes, size);
}
