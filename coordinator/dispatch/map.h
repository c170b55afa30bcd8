/* 64-bit names -> indices of a pool: open addressing, at most half full, no tombstones. */
#ifndef PANTILE_COORDINATOR_DISPATCH_MAP_H
#define PANTILE_COORDINATOR_DISPATCH_MAP_H

#include "tiling/base/base.h"

#include <stddef.h>
#include <stdint.h>

#define PT_NONE UINT32_MAX

typedef struct pt_map_entry {
    uint64_t key;
    uint32_t value; /* PT_NONE: free */
} pt_map_entry;

/* A zeroed map is valid and empty. */
typedef struct pt_map {
    pt_map_entry *entries; /* owned; `size` of them, a power of two */
    size_t size, count;
} pt_map;

void pt_map_fini(pt_map *map);
pt_status pt_map_reserve(pt_map *map, size_t more); /* so that `more` keys can be put without failing */
void pt_map_put(pt_map *map, uint64_t key, uint32_t value); /* not there yet, and reserved */
uint32_t pt_map_get(const pt_map *map, uint64_t key);       /* PT_NONE: not there */
void pt_map_remove(pt_map *map, uint64_t key);              /* harmless when not there */

#endif
