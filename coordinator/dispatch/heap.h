/* A binary heap, least key first, that knows where each item stands, so that an item can be moved or taken
 * out. Equal keys: the lesser item first. Items are indices of a pool. */
#ifndef PANTILE_COORDINATOR_DISPATCH_HEAP_H
#define PANTILE_COORDINATOR_DISPATCH_HEAP_H

#include "tiling/base/base.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pt_heap_entry {
    double key;
    uint32_t item;
} pt_heap_entry;

/* A zeroed heap is valid and empty. */
typedef struct pt_heap {
    pt_heap_entry *entries; /* owned */
    uint32_t *place;        /* owned; item -> entry + 1, 0: not in the heap */
    size_t count, capacity, items;
} pt_heap;

void pt_heap_fini(pt_heap *heap);
pt_status pt_heap_reserve(pt_heap *heap, size_t items);     /* for items 0 .. items - 1 */
void pt_heap_set(pt_heap *heap, uint32_t item, double key); /* puts it in, or moves it */
void pt_heap_remove(pt_heap *heap, uint32_t item);          /* harmless when not there */

static inline bool pt_heap_has(const pt_heap *heap, uint32_t item)
{
    return heap->place[item] != 0;
}

#endif
