#include "engine/quant/histogram.h"

#include <math.h>
#include <string.h>

enum {
    CHUNK = 1 << 16, /* values counted in 32 bits before they are added up */
    SETS = 4,        /* of counters, so that equal neighbours do not wait for each other */
};

/* min and max of the finite ones and 0. */
static void find_ends(const float *values, size_t count, float *low, float *high)
{
    float lowest = 0, highest = 0;
    for (size_t i = 0; i < count; i++) {
        float x = values[i] - values[i] == 0 ? values[i] : 0; /* not finite: x - x is NaN */
        lowest = x < lowest ? x : lowest;
        highest = x > highest ? x : highest;
    }
    *low = lowest;
    *high = highest;
}

/* As a double: with the width of an earlier, much smaller value it may be beyond 64 bits. */
static double bin_of(double value, double width)
{
    return floor(value / width);
}

static int64_t halve(int64_t bin) /* rounds down */
{
    return bin >= 0 ? bin / 2 : -((1 - bin) / 2);
}

/* Each pair of bins becomes one; `first` is moved down to an even number. */
static void double_width(pt_histogram *h)
{
    uint64_t merged[PT_HISTOGRAM_BINS] = {0};
    int64_t first = halve(h->first);
    for (int i = 0; i < PT_HISTOGRAM_BINS; i++) {
        int64_t to = halve(h->first + i) - first;
        merged[to] += h->bins[i];
    }
    memcpy(h->bins, merged, sizeof merged);
    h->first = first;
    h->width *= 2;
}

/* Moves the bins so that `first` is the lowest; what is in use stays in. */
static void move_first(pt_histogram *h, int64_t first)
{
    uint64_t moved[PT_HISTOGRAM_BINS] = {0};
    for (int i = 0; i < PT_HISTOGRAM_BINS; i++) {
        int64_t to = h->first + i - first;
        if (h->bins[i] && to >= 0 && to < PT_HISTOGRAM_BINS) {
            moved[to] = h->bins[i];
        }
    }
    memcpy(h->bins, moved, sizeof moved);
    h->first = first;
}

/* Makes room for low .. high; both finite. The width is the smallest power of two with which all that was
 * seen takes 2048 bins, 0 being among them. */
static void cover(pt_histogram *h, float low, float high)
{
    h->low = low < h->low ? low : h->low;
    h->high = high > h->high ? high : h->high;
    if (h->low == 0 && h->high == 0) {
        return;
    }
    double span = (double)h->high - (double)h->low;
    if (h->width == 0) {
        int exponent;
        frexp(span / PT_HISTOGRAM_BINS, &exponent);
        h->width = ldexp(1, exponent - 1);
    }
    while (bin_of((double)h->high, h->width) - bin_of((double)h->low, h->width) >= PT_HISTOGRAM_BINS) {
        double_width(h);
    }
    int64_t lowest = (int64_t)bin_of((double)h->low, h->width); /* 2048 below 0 at most */
    if (lowest != h->first) {
        move_first(h, lowest);
    }
}

static void count_chunk(pt_histogram *h, const float *values, size_t count)
{
    uint32_t counts[SETS][PT_HISTOGRAM_BINS] = {{0}};
    double inverse = 1 / h->width; /* a power of two: the product is the quotient */
    uint64_t zeros = 0, others = 0;
    for (size_t i = 0; i < count; i++) {
        float x = values[i];
        if (x == 0) {
            zeros++;
        } else if (x - x == 0) {
            int64_t bin = (int64_t)floor((double)x * inverse) - h->first;
            counts[i % SETS][bin]++;
            others++;
        }
    }
    h->zeros += zeros;
    h->others += others;
    for (int i = 0; others && i < PT_HISTOGRAM_BINS; i++) {
        h->bins[i] += (uint64_t)counts[0][i] + counts[1][i] + counts[2][i] + counts[3][i];
    }
}

void pt_histogram_add(pt_histogram *histogram, const float *values, size_t count)
{
    float low, high;
    find_ends(values, count, &low, &high);
    cover(histogram, low, high);
    for (size_t i = 0; i < count; i += CHUNK) {
        count_chunk(histogram, values + i, count - i < CHUNK ? count - i : CHUNK);
    }
}
