#include "coordinator/ledger/internal.h"

#include <string.h>

static uint64_t mix(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * UINT64_C(0x9E3779B97F4A7C15); /* odd, bits well spread: 2^64 / golden ratio */
    return sum ^ (sum >> 32);
}

/* Little-endian, wherever the file is read. */
static uint64_t load(const uint8_t *bytes, size_t size)
{
    uint64_t word = 0;
    for (size_t i = 0; i < size; i++) {
        word |= (uint64_t)bytes[i] << (8 * i);
    }
    return word;
}

uint64_t pt_sum_add(uint64_t sum, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    sum = mix(sum, size);
    size_t words = size / 8;
    for (size_t i = 0; i < words; i++, at += 8) {
        sum = mix(sum, load(at, 8));
    }
    return size % 8 ? mix(sum, load(at, size % 8)) : sum;
}

uint64_t pt_sum_integer(uint64_t sum, int64_t value)
{
    return mix(sum, (uint64_t)value);
}

uint64_t pt_sum_real(uint64_t sum, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return mix(sum, bits);
}

uint64_t pt_sum_text(uint64_t sum, const char *text)
{
    sum = mix(sum, text != NULL);
    return text ? pt_sum_add(sum, text, strlen(text)) : sum;
}
