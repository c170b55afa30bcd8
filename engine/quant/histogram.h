/* How often which activations occur, and the range that 8 bits are best stretched over.
 *
 * Plain memory: a zeroed histogram is empty. Bins have a power of two as their width and begin at multiples
 * of it; when a value lies outside, the width doubles until all fit, each pair of bins becoming one. So the
 * histogram depends on the set of values alone, not on their order. Exact zeros, which every quant has and of
 * which ReLU makes most of a map, are counted apart. What is not finite is left out. */
#ifndef PANTILE_ENGINE_QUANT_HISTOGRAM_H
#define PANTILE_ENGINE_QUANT_HISTOGRAM_H

#include "tiling/base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { PT_HISTOGRAM_BINS = 2048 };

typedef struct pt_histogram {
    float low, high; /* of all values and 0 */
    uint64_t zeros;  /* exact ones */
    uint64_t others; /* all in bins */
    double width;    /* of a bin; 0 before the first value other than 0 */
    int64_t first;   /* bins[i] counts values of [first + i, first + i + 1) * width; <= 0 */
    uint64_t bins[PT_HISTOGRAM_BINS];
} pt_histogram;

typedef enum pt_range_method {
    PT_RANGE_MINMAX,
    PT_RANGE_PERCENTILE,
    PT_RANGE_KL,
    PT_RANGE_MSE,
    PT_RANGE_DEFAULT = PT_RANGE_MSE /* docs/accuracy.md has the comparison */
} pt_range_method;

const char *pt_range_method_name(pt_range_method method); /* "minmax", "percentile", "kl", "mse" */
/* False: there is no such method. */
bool pt_range_method_find(const char *name, pt_range_method *out);

void pt_histogram_add(pt_histogram *histogram, const float *values, size_t count);

/* minmax: all that was seen.
 * percentile: at each end one value of ten thousand is cut off.
 * kl: the ends at which the distribution that 256 levels leave differs least from the one that was seen, by
 *   its Kullback-Leibler divergence. Source: Migacz, 8-bit Inference with TensorRT, GTC 2017; there for 128
 *   levels of the magnitude, here for 256 with both ends free.
 * mse: the ends with the least mean squared error of rounding and cutting off. Source: Krishnamoorthi,
 * section 3.1, has the two errors; Sung, Shin, Hwang: Resiliency of deep neural networks under quantization,
 * 2015. low <= 0 <= high; both 0 when nothing but zeros was seen. */
void pt_histogram_range(const pt_histogram *histogram, pt_range_method method, float *low, float *high);

#endif
