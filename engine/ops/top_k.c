#include "engine/ops/rpn.h"

#include <math.h>

enum { BUCKETS = 65536 };

/* The bucket, from the largest downwards, in which the k-th value falls; *above counts those in higher
 * buckets. */
static uint32_t find_bucket(const uint32_t *histogram, size_t k, size_t *above)
{
    uint32_t bucket = BUCKETS - 1;
    size_t sum = 0;
    while (sum + histogram[bucket] < k) {
        sum += histogram[bucket--];
    }
    *above = sum;
    return bucket;
}

/* The order number of the k-th largest value, by two passes of 16 bits; 1 <= k <= count. */
static uint32_t kth_largest(const float *values, size_t pixels, int anchors, size_t stride, size_t k,
                            uint32_t *histogram)
{
    size_t above;
    memset(histogram, 0, BUCKETS * sizeof *histogram);
    for (size_t p = 0; p < pixels; p++) {
        for (int a = 0; a < anchors; a++) {
            histogram[pt_float_order(values[p * stride + (size_t)a]) >> 16]++;
        }
    }
    uint32_t high = find_bucket(histogram, k, &above);
    memset(histogram, 0, BUCKETS * sizeof *histogram);
    for (size_t p = 0; p < pixels; p++) {
        for (int a = 0; a < anchors; a++) {
            uint32_t order = pt_float_order(values[p * stride + (size_t)a]);
            if (order >> 16 == high) {
                histogram[order & 0xffff]++;
            }
        }
    }
    return high << 16 | find_bucket(histogram, k - above, &above);
}

size_t pt_top_k(const float *values, size_t pixels, int anchors, size_t stride, size_t k, uint32_t *histogram,
                uint64_t *keys, float *cut)
{
    size_t count = pixels * (size_t)anchors;
    *cut = -INFINITY;
    if (k > count) {
        k = count;
    }
    if (k == 0) {
        return 0;
    }
    uint32_t limit = kth_largest(values, pixels, anchors, stride, k, histogram);
    /* All above the limit go in; of those equal to it, the first by index until k are found. */
    size_t larger = 0, equal = 0;
    for (size_t p = 0; p < pixels; p++) {
        for (int a = 0; a < anchors; a++) {
            float value = values[p * stride + (size_t)a];
            uint32_t order = pt_float_order(value);
            if (order > limit) {
                keys[larger++] = pt_rank_key(value, (uint32_t)(p * (size_t)anchors + (size_t)a));
            }
        }
    }
    for (size_t p = 0; p < pixels; p++) {
        for (int a = 0; a < anchors; a++) {
            float value = values[p * stride + (size_t)a];
            uint32_t order = pt_float_order(value);
            if (order == limit && larger + equal < k) {
                keys[larger + equal++] = pt_rank_key(value, (uint32_t)(p * (size_t)anchors + (size_t)a));
            } else if (order <= limit && value > *cut) {
                *cut = value;
            }
        }
    }
    pt_rank_sort(keys, k);
    return k;
}
