/* Records, leases and workers: arrays with a list of free items through their own fields. */
#include "coordinator/dispatch/internal.h"

#include <assert.h>

/* Items that can still be taken without growing are those below the capacity that are not in use. */
static pt_status reserve(void *items, size_t *capacity, size_t used, size_t more, size_t size)
{
    size_t wanted;
    if (!pt_size_add(used, more, &wanted) || wanted > UINT32_MAX / 2) {
        return PT_NOMEM("the scheduler");
    }
    return wanted <= *capacity ? pt_ok() : pt_grow(items, capacity, wanted, size);
}

pt_status pt_pools_reserve(pt_dispatch *d, size_t records, size_t leases, size_t workers)
{
    PT_TRY(reserve(&d->records, &d->record_capacity, d->record_count, records, sizeof *d->records));
    PT_TRY(pt_map_reserve(&d->by_tile, records));
    PT_TRY(pt_heap_reserve(&d->again, d->record_capacity));
    PT_TRY(reserve(&d->leases, &d->lease_capacity, d->lease_count, leases, sizeof *d->leases));
    if (workers) {
        PT_TRY(reserve(&d->workers, &d->worker_capacity, d->worker_count, workers, sizeof *d->workers));
        PT_TRY(pt_map_reserve(&d->by_id, workers));
        PT_TRY(pt_map_reserve(&d->by_slot, workers));
        PT_TRY(pt_heap_reserve(&d->timers, d->worker_capacity));
    }
    return pt_ok();
}

uint32_t pt_record_take(pt_dispatch *d, int64_t tile)
{
    uint32_t i = d->record_free;
    if (i != PT_NONE) {
        d->record_free = d->records[i].leases;
    } else {
        i = (uint32_t)d->record_top++;
    }
    assert(i < d->record_capacity);
    d->records[i] = (pt_record){.tile = tile, .place = -1, .leases = PT_NONE, .in_use = true};
    d->record_count++;
    d->words[tile] = PT_WORD_NOTED;
    pt_map_put(&d->by_tile, (uint64_t)tile, i);
    return i;
}

void pt_record_give(pt_dispatch *d, uint32_t record)
{
    pt_record *r = &d->records[record];
    pt_map_remove(&d->by_tile, (uint64_t)r->tile);
    r->in_use = false;
    r->leases = d->record_free;
    d->record_free = record;
    d->record_count--;
}

uint32_t pt_record_of(const pt_dispatch *d, int64_t tile)
{
    return pt_tile_state(d, tile) == PT_WORD_NOTED ? pt_map_get(&d->by_tile, (uint64_t)tile) : PT_NONE;
}

uint32_t pt_lease_take(pt_dispatch *d)
{
    uint32_t i = d->lease_free;
    if (i != PT_NONE) {
        d->lease_free = d->leases[i].record_next;
    } else {
        i = (uint32_t)d->lease_top++;
    }
    assert(i < d->lease_capacity);
    d->leases[i] = (pt_lease){.record = PT_NONE, .record_next = PT_NONE, .in_use = true};
    d->lease_count++;
    return i;
}

void pt_lease_give(pt_dispatch *d, uint32_t lease)
{
    d->leases[lease].in_use = false;
    d->leases[lease].record_next = d->lease_free;
    d->lease_free = lease;
    d->lease_count--;
}

uint32_t pt_worker_take(pt_dispatch *d, pt_worker id)
{
    uint32_t i = d->worker_free;
    if (i != PT_NONE) {
        d->worker_free = d->workers[i].leases;
    } else {
        i = (uint32_t)d->worker_top++;
    }
    assert(i < d->worker_capacity);
    d->workers[i] = (pt_worker_state){.id = id, .leases = PT_NONE, .in_use = true};
    d->worker_count++;
    pt_map_put(&d->by_id, id, i);
    return i;
}

void pt_worker_give(pt_dispatch *d, uint32_t worker)
{
    pt_worker_state *w = &d->workers[worker];
    pt_map_remove(&d->by_id, w->id);
    if (w->slot && pt_map_get(&d->by_slot, w->slot) == worker) {
        pt_map_remove(&d->by_slot, w->slot);
    }
    w->in_use = false;
    w->leases = d->worker_free;
    d->worker_free = worker;
    d->worker_count--;
}

uint32_t pt_worker_of(const pt_dispatch *d, pt_worker id)
{
    return id ? pt_map_get(&d->by_id, id) : PT_NONE;
}

void pt_pools_fini(pt_dispatch *d)
{
    pt_free(d->records);
    pt_free(d->leases);
    pt_free(d->workers);
    pt_map_fini(&d->by_tile);
    pt_map_fini(&d->by_id);
    pt_map_fini(&d->by_slot);
    pt_heap_fini(&d->again);
    pt_heap_fini(&d->timers);
}
