#include "coordinator/dispatch/heap.h"

void pt_heap_fini(pt_heap *heap)
{
    pt_free(heap->entries);
    pt_free(heap->place);
    *heap = (pt_heap){0};
}

pt_status pt_heap_reserve(pt_heap *heap, size_t items)
{
    PT_TRY(pt_grow(&heap->entries, &heap->capacity, items, sizeof *heap->entries));
    size_t known = heap->items;
    PT_TRY(pt_grow(&heap->place, &heap->items, items, sizeof *heap->place));
    for (; known < heap->items; known++) {
        heap->place[known] = 0;
    }
    return pt_ok();
}

static bool before(pt_heap_entry a, pt_heap_entry b)
{
    return a.key < b.key || (a.key == b.key && a.item < b.item);
}

static void put(pt_heap *heap, size_t i, pt_heap_entry entry)
{
    heap->entries[i] = entry;
    heap->place[entry.item] = (uint32_t)i + 1;
}

/* Entry i is free: the entry finds its place from there, up or down. */
static void sift(pt_heap *heap, size_t i, pt_heap_entry entry)
{
    while (i > 0 && before(entry, heap->entries[(i - 1) / 2])) {
        put(heap, i, heap->entries[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < heap->count && before(heap->entries[child + 1], heap->entries[child])) {
            child++;
        }
        if (child >= heap->count || !before(heap->entries[child], entry)) {
            break;
        }
        put(heap, i, heap->entries[child]);
        i = child;
    }
    put(heap, i, entry);
}

void pt_heap_set(pt_heap *heap, uint32_t item, double key)
{
    size_t i = heap->place[item] ? heap->place[item] - 1 : heap->count++;
    sift(heap, i, (pt_heap_entry){key, item});
}

void pt_heap_remove(pt_heap *heap, uint32_t item)
{
    if (heap->place[item] == 0) {
        return;
    }
    size_t i = heap->place[item] - 1;
    heap->place[item] = 0;
    heap->count--;
    if (i < heap->count) {
        sift(heap, i, heap->entries[heap->count]);
    }
}
