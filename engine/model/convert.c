#include "engine/model/internal.h"

#include <endian.h>
#include <string.h>

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits; every value is exact in binary32.
 * Masks instead of branches, for vectors. Zero and subnormals are fraction * 2^-24: the fraction below a
 * leading 1 of 2^-14, less that 1. */
static float float_of_half(uint32_t half)
{
    const uint32_t one = 1u << 23; /* of the exponent */
    uint32_t sign = (half & 0x8000u) << 16, magnitude = (half & 0x7fffu) << 13;
    uint32_t small = bits_of_float(float_of_bits(magnitude + (127 - 14) * one) - 0x1p-14f);
    uint32_t normal = magnitude + (127 - 15) * one;
    uint32_t is_small = 0u - (magnitude < one);
    uint32_t is_special = 0u - (magnitude >= 31 * one); /* infinities and NaNs */
    return float_of_bits((small & is_small) | (normal & ~is_small) | (0x7f800000u & is_special) | sign);
}

/* The file's numbers are little-endian at any alignment. */
static uint32_t load16(const uint8_t *p)
{
    uint16_t bits;
    memcpy(&bits, p, sizeof bits);
    return le16toh(bits);
}

static uint32_t load32(const uint8_t *p)
{
    uint32_t bits;
    memcpy(&bits, p, sizeof bits);
    return le32toh(bits);
}

void pt_tensor_to_float(const pt_tensor *tensor, float *out)
{
    const uint8_t *p = tensor->data;
    switch (tensor->dtype) {
    case PT_DTYPE_F32:
        for (size_t i = 0; i < tensor->count; i++) {
            out[i] = float_of_bits(load32(p + 4 * i));
        }
        break;
    case PT_DTYPE_F16:
        for (size_t i = 0; i < tensor->count; i++) {
            out[i] = float_of_half(load16(p + 2 * i));
        }
        break;
    case PT_DTYPE_BF16:
        for (size_t i = 0; i < tensor->count; i++) {
            out[i] = float_of_bits(load16(p + 2 * i) << 16);
        }
        break;
    }
}

/* Infinities and NaNs are the numbers whose exponent bits are all set. */
bool pt_tensor_is_finite(const pt_tensor *tensor)
{
    const uint8_t *p = tensor->data;
    uint32_t bad = 0;
    if (tensor->dtype == PT_DTYPE_F32) {
        for (size_t i = 0; i < tensor->count; i++) {
            bad |= (uint32_t)((load32(p + 4 * i) & 0x7f800000u) == 0x7f800000u);
        }
    } else {
        uint32_t mask = tensor->dtype == PT_DTYPE_F16 ? 0x7c00u : 0x7f80u;
        for (size_t i = 0; i < tensor->count; i++) {
            bad |= (uint32_t)((load16(p + 2 * i) & mask) == mask);
        }
    }
    return bad == 0;
}
