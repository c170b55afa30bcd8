/* The k largest values of a map of scores, in pieces that can run side by side.
 *
 *   pt_top_k_reserve(top, k)
 *   pt_top_k_begin(top, values, ...)         says into how many chunks the work is cut
 *   pt_top_k_count(top, chunk)               for every chunk, in any order, side by side
 *   pt_top_k_limit(top)
 *   pt_top_k_collect(top, chunk)             as _count
 *   pt_top_k_finish(top)
 *
 * The largest are told apart from the rest by a histogram over the value, which leaves little more than k of
 * them to be sorted; where too many share a bucket, they are found by the bits of the value. */
#ifndef PANTILE_ENGINE_OPS_TOP_K_H
#define PANTILE_ENGINE_OPS_TOP_K_H

#include "tiling/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PT_TOP_K_CHUNKS = 16 };

typedef struct pt_top_k {
    /* Owned; pt_top_k_reserve allocates them. */
    uint32_t *histogram;
    uint64_t *keys; /* after _finish the first `found` are rank keys, by falling value, then index */
    size_t k, capacity;
    /* What is looked at: values[p * stride + a] has the index p * anchors + a. */
    const float *values;
    size_t pixels, anchors, stride;
    size_t chunks, chunk_pixels;
    size_t starts[PT_TOP_K_CHUNKS]; /* where in keys a chunk's candidates go */
    size_t candidates;
    float bucket; /* candidates lie in it or above */
    bool crowded; /* more candidates than room */
    size_t found; /* min(k, pixels * anchors) */
    float cut;    /* the largest value left out; -INFINITY when none was */
} pt_top_k;

/* Zero-initialise before. k >= 1. */
pt_status pt_top_k_reserve(pt_top_k *top, size_t k);
void pt_top_k_fini(pt_top_k *top);

void pt_top_k_begin(pt_top_k *top, const float *values, size_t pixels, int anchors, size_t stride);
void pt_top_k_count(pt_top_k *top, size_t chunk);
void pt_top_k_limit(pt_top_k *top);
void pt_top_k_collect(pt_top_k *top, size_t chunk);
void pt_top_k_finish(pt_top_k *top);

#endif
