#include "coordinator/dispatch/map.h"

void pt_map_fini(pt_map *map)
{
    pt_free(map->entries);
    *map = (pt_map){0};
}

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014): tiles are consecutive numbers, workers anything. */
static size_t home_of(const pt_map *map, uint64_t key)
{
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
    return (size_t)(key ^ (key >> 31)) & (map->size - 1);
}

/* Where the key is, or the free entry where it would go. */
static size_t find(const pt_map *map, uint64_t key)
{
    size_t i = home_of(map, key);
    while (map->entries[i].value != PT_NONE && map->entries[i].key != key) {
        i = (i + 1) & (map->size - 1);
    }
    return i;
}

pt_status pt_map_reserve(pt_map *map, size_t more)
{
    size_t wanted;
    if (!pt_size_add(map->count, more, &wanted) || wanted > SIZE_MAX / 4) {
        return PT_NOMEM("the scheduler");
    }
    if (wanted * 2 <= map->size) {
        return pt_ok();
    }
    pt_map grown = {.size = 16, .count = map->count};
    while (grown.size < wanted * 2) {
        grown.size *= 2;
    }
    grown.entries = pt_alloc(grown.size, sizeof *grown.entries);
    if (!grown.entries) {
        return PT_NOMEM("the scheduler");
    }
    for (size_t i = 0; i < grown.size; i++) {
        grown.entries[i] = (pt_map_entry){0, PT_NONE};
    }
    for (size_t i = 0; i < map->size; i++) {
        if (map->entries[i].value != PT_NONE) {
            grown.entries[find(&grown, map->entries[i].key)] = map->entries[i];
        }
    }
    pt_free(map->entries);
    *map = grown;
    return pt_ok();
}

void pt_map_put(pt_map *map, uint64_t key, uint32_t value)
{
    map->entries[find(map, key)] = (pt_map_entry){key, value};
    map->count++;
}

uint32_t pt_map_get(const pt_map *map, uint64_t key)
{
    return map->count ? map->entries[find(map, key)].value : PT_NONE;
}

void pt_map_remove(pt_map *map, uint64_t key)
{
    size_t hole = map->count ? find(map, key) : 0;
    if (map->count == 0 || map->entries[hole].value == PT_NONE) {
        return;
    }
    /* Whatever was pushed past the hole moves back into it (Knuth, vol. 3, 6.4, algorithm R). */
    for (size_t i = (hole + 1) & (map->size - 1); map->entries[i].value != PT_NONE;
         i = (i + 1) & (map->size - 1)) {
        size_t home = home_of(map, map->entries[i].key);
        if (((i - home) & (map->size - 1)) >= ((i - hole) & (map->size - 1))) {
            map->entries[hole] = map->entries[i];
            hole = i;
        }
    }
    map->entries[hole].value = PT_NONE;
    map->count--;
}
