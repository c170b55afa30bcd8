/* Which tile goes to whom: first those that came back, then the next in the order, then second runs. */
#include "coordinator/dispatch/internal.h"

enum { LOOK = 8 }; /* tiles that came back and may not suit the free workers: so many are tried */

static bool suits(const pt_dispatch *d, const pt_record *record, uint32_t worker)
{
    bool others = d->able > 1; /* the worker itself is able */
    if (others && d->workers[worker].id == record->avoid) {
        return false;
    }
    for (uint32_t i = record->leases; i != PT_NONE; i = d->leases[i].record_next) {
        if (d->leases[i].worker == worker) {
            return false;
        }
    }
    return true;
}

/* Few are passed over: only those that hold the tile or have failed it. */
uint32_t pt_assign_find(const pt_dispatch *d, uint32_t record)
{
    for (int list = 0; list < 2; list++) {
        for (uint32_t w = d->ready[list].first; w != PT_NONE; w = d->workers[w].ready.next) {
            if (suits(d, &d->records[record], w)) {
                return w;
            }
        }
    }
    return PT_NONE;
}

void pt_assign_to(pt_dispatch *d, uint32_t record, uint32_t worker)
{
    pt_record *r = &d->records[record];
    r->attempts++;
    d->budget--;
    d->stats.assigned++;
    pt_lease_new(d, worker, record, r->attempts);
    pt_record_review(d, record);
    pt_dispatch_act(d, (pt_dispatch_action){.kind = PT_ACTION_ASSIGN,
                                            .worker = d->workers[worker].id,
                                            .tile = r->tile,
                                            .attempt = r->attempts});
}

static bool assign_again(pt_dispatch *d)
{
    for (size_t i = 0; i < d->again.count && i < LOOK; i++) {
        uint32_t record = d->again.entries[i].item;
        uint32_t worker = pt_assign_find(d, record);
        if (worker != PT_NONE) {
            d->stats.retries += d->records[record].attempts > 0;
            pt_assign_to(d, record, worker);
            return true;
        }
    }
    return false;
}

static bool assign_next(pt_dispatch *d)
{
    int64_t before = d->next;
    int64_t tile = pt_tile_peek(d);
    if (tile < 0) {
        return d->next != before; /* passed something, perhaps one that waits: look again */
    }
    uint32_t worker = d->ready[0].first != PT_NONE ? d->ready[0].first : d->ready[1].first;
    pt_assign_to(d, pt_tile_begin(d, tile), worker);
    return true;
}

void pt_assign_all(pt_dispatch *d)
{
    d->more = false;
    while (!d->hold && !d->draining && (d->ready[0].first != PT_NONE || d->ready[1].first != PT_NONE)) {
        if (d->budget == 0) {
            d->more = d->done < d->options.tiles;
            return;
        }
        if (!assign_again(d) && !assign_next(d) && !pt_speculate_one(d)) {
            return;
        }
    }
}
