#include "engine/ops/top_k.h"

#include "engine/ops/box.h"
#include "tiling/base/alloc.h"

#include <math.h>

enum {
    BUCKETS = 2048,     /* of 1/64 each, -16 .. 16: the logits of any trained network */
    WORDS = 65536,      /* counters of all chunks, and of 16 bits of a value */
    SPARE = 4096,       /* candidates beyond k for which there is room */
    CHUNK_PIXELS = 2048 /* at least: less is not worth a task */
};

pt_status pt_top_k_reserve(pt_top_k *top, size_t k)
{
    size_t capacity = k + SPARE;
    top->histogram = pt_alloc_aligned(WORDS, sizeof *top->histogram);
    top->keys = k > SIZE_MAX / 32 ? NULL : pt_alloc_aligned(2 * capacity, sizeof *top->keys);
    if (!top->histogram || !top->keys) {
        pt_top_k_fini(top);
        return PT_NOMEM("the best anchors");
    }
    top->k = k;
    top->capacity = capacity;
    return pt_ok();
}

void pt_top_k_fini(pt_top_k *top)
{
    pt_free(top->histogram);
    pt_free(top->keys);
    *top = (pt_top_k){0};
}

void pt_top_k_begin(pt_top_k *top, const float *values, size_t pixels, int anchors, size_t stride)
{
    size_t chunks = pixels / CHUNK_PIXELS;
    chunks = chunks < 1 ? 1 : chunks > PT_TOP_K_CHUNKS ? PT_TOP_K_CHUNKS : chunks;
    top->values = values;
    top->pixels = pixels;
    top->anchors = (size_t)anchors;
    top->stride = stride;
    top->chunks = chunks;
    top->chunk_pixels = (pixels + chunks - 1) / chunks;
}

/* Where on the histogram's axis a value lies; grows with it. Not a number lies at the low end. */
static inline float place_of(float value)
{
    float place = value * 64 + BUCKETS / 2;
    place = place > 0 ? place : 0;
    return place < BUCKETS - 1 ? place : BUCKETS - 1;
}

static size_t chunk_end(const pt_top_k *top, size_t chunk)
{
    size_t end = (chunk + 1) * top->chunk_pixels;
    return end < top->pixels ? end : top->pixels;
}

void pt_top_k_count(pt_top_k *top, size_t chunk)
{
    uint32_t *histogram = top->histogram + chunk * BUCKETS;
    memset(histogram, 0, BUCKETS * sizeof *histogram);
    for (size_t p = chunk * top->chunk_pixels; p < chunk_end(top, chunk); p++) {
        const float *values = top->values + p * top->stride;
        for (size_t a = 0; a < top->anchors; a++) {
            histogram[(int)place_of(values[a])]++;
        }
    }
}

/* One candidate more than k where there is one, so that the largest value left out is among them. */
void pt_top_k_limit(pt_top_k *top)
{
    size_t all = top->pixels * top->anchors, wanted = top->k < all ? top->k + 1 : all;
    size_t bucket = BUCKETS;
    size_t above[PT_TOP_K_CHUNKS] = {0};
    top->candidates = 0;
    while (top->candidates < wanted) {
        bucket--;
        for (size_t c = 0; c < top->chunks; c++) {
            size_t n = top->histogram[c * BUCKETS + bucket];
            above[c] += n;
            top->candidates += n;
        }
    }
    top->bucket = (float)bucket;
    top->crowded = top->candidates > top->capacity;
    size_t start = 0;
    for (size_t c = 0; c < top->chunks; c++) {
        top->starts[c] = start;
        start += above[c];
    }
}

void pt_top_k_collect(pt_top_k *top, size_t chunk)
{
    if (top->crowded) {
        return;
    }
    uint64_t *keys = top->keys + top->starts[chunk];
    for (size_t p = chunk * top->chunk_pixels; p < chunk_end(top, chunk); p++) {
        const float *values = top->values + p * top->stride;
        for (size_t a = 0; a < top->anchors; a++) {
            if (place_of(values[a]) >= top->bucket) {
                *keys++ = pt_rank_key(values[a], (uint32_t)(p * top->anchors + a));
            }
        }
    }
}

/* The bucket of `count` bits' values, from the largest downwards, in which the k-th falls; *above counts
 * those in higher ones. */
static uint32_t find_bucket(const uint32_t *histogram, size_t k, size_t *above)
{
    uint32_t bucket = WORDS - 1;
    size_t sum = 0;
    while (sum + histogram[bucket] < k) {
        sum += histogram[bucket--];
    }
    *above = sum;
    return bucket;
}

/* The order number of the k-th largest value, by two passes of 16 bits. */
static uint32_t kth_largest(const pt_top_k *top)
{
    uint32_t high = 0;
    size_t above = 0, k = top->k;
    for (int pass = 0; pass < 2; pass++) {
        memset(top->histogram, 0, WORDS * sizeof *top->histogram);
        for (size_t p = 0; p < top->pixels; p++) {
            for (size_t a = 0; a < top->anchors; a++) {
                uint32_t order = pt_float_order(top->values[p * top->stride + a]);
                if (pass == 0) {
                    top->histogram[order >> 16]++;
                } else if (order >> 16 == high) {
                    top->histogram[order & 0xffff]++;
                }
            }
        }
        uint32_t found = find_bucket(top->histogram, k, &above);
        high = pass == 0 ? found : high << 16 | found;
        k -= above;
    }
    return high;
}

/* All above the k-th value go in; of those equal to it, the first by index until k are found. */
static void collect_by_bits(pt_top_k *top)
{
    uint32_t limit = kth_largest(top);
    size_t larger = 0, equal = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < top->pixels * top->anchors; i++) {
            float value = top->values[i / top->anchors * top->stride + i % top->anchors];
            uint32_t order = pt_float_order(value);
            if (pass == 0) {
                if (order > limit) {
                    top->keys[larger++] = pt_rank_key(value, (uint32_t)i);
                }
            } else if (order == limit && larger + equal < top->k) {
                top->keys[larger + equal++] = pt_rank_key(value, (uint32_t)i);
            } else if (order <= limit && value > top->cut) {
                top->cut = value;
            }
        }
    }
    pt_rank_sort(top->keys, top->keys + top->capacity, top->k);
}

void pt_top_k_finish(pt_top_k *top)
{
    size_t all = top->pixels * top->anchors;
    top->found = top->k < all ? top->k : all;
    top->cut = -INFINITY;
    if (top->crowded) {
        collect_by_bits(top);
        return;
    }
    pt_rank_sort(top->keys, top->keys + top->capacity, top->candidates);
    if (top->found < all) {
        uint32_t index = pt_rank_index(top->keys[top->found]);
        top->cut = top->values[index / top->anchors * top->stride + index % top->anchors];
    }
}
