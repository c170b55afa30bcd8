#include "engine/model/internal.h"

#include <string.h>

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits; every value is exact in binary32. */
static float float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 31u;
    uint32_t fraction = half & 0x3ffu;
    if (exponent == 0) {
        /* Zero and subnormals: fraction * 2^-24, exact as a product of a small integer and a power of two. */
        float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    if (exponent == 31) {
        return float_of_bits(sign | 0x7f800000u | fraction << 13);
    }
    return float_of_bits(sign | (exponent + (127 - 15)) << 23 | fraction << 13);
}

/* The file's numbers are little-endian at any alignment, hence bytes. */
static uint32_t load16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t load32(const uint8_t *p)
{
    return load16(p) | load16(p + 2) << 16;
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
            out[i] = float_of_half((uint16_t)load16(p + 2 * i));
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
