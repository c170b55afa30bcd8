/* Integer arithmetic that says so when it would overflow. Each returns true on success and leaves *out
 * untouched otherwise. Sizes of buffers are always computed through these. */
#ifndef PANTILE_TILING_BASE_CHECKED_H
#define PANTILE_TILING_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool pt_size_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

static inline bool pt_size_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

static inline bool pt_i64_mul(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

static inline bool pt_i64_add(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

/* Narrowing to the int of GDAL and BLAS. */
static inline bool pt_i64_to_int(int64_t a, int *out)
{
    if (a < INT32_MIN || a > INT32_MAX) {
        return false;
    }
    *out = (int)a;
    return true;
}

/* Division that rounds towards minus infinity; b > 0. */
static inline int64_t pt_floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return (a % b < 0) ? q - 1 : q;
}

/* Division that rounds towards plus infinity; b > 0. */
static inline int64_t pt_ceil_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return (a % b > 0) ? q + 1 : q;
}

#endif
