/* Tiles: their order, their records, their end. */
#include "coordinator/dispatch/internal.h"

static pt_link_pair *slow_pair(pt_dispatch *d, uint32_t record)
{
    return &d->records[record].slow;
}

uint16_t pt_tile_word(int state, uint64_t digest)
{
    digest ^= digest >> 32;
    digest ^= digest >> 16;
    return (uint16_t)((digest & 0x3fff) << 2 | (uint64_t)state);
}

int64_t pt_tile_at(const pt_dispatch *d, int64_t place)
{
    return d->options.order ? d->options.order(d->options.user, place) : place;
}

static bool within_reach(const pt_dispatch *d)
{
    return d->next < d->options.tiles && (d->options.ahead == 0 || d->next - d->first < d->options.ahead);
}

int64_t pt_tile_peek(pt_dispatch *d)
{
    for (; within_reach(d); d->next++) {
        int64_t tile = pt_tile_at(d, d->next);
        if (pt_tile_state(d, tile) == PT_WORD_PENDING) {
            return tile;
        }
        uint32_t record = pt_record_of(d, tile);
        if (record != PT_NONE) {
            d->records[record].place = d->next++;
            pt_record_review(d, record);
            return -1;
        }
    }
    return -1;
}

uint32_t pt_tile_begin(pt_dispatch *d, int64_t tile)
{
    uint32_t record = pt_record_take(d, tile);
    d->records[record].place = d->next++;
    return record;
}

static void review_slow(pt_dispatch *d, uint32_t record, int list)
{
    pt_record *r = &d->records[record];
    if (r->waits == list) {
        return;
    }
    if (r->waits) {
        pt_list_remove(d, &d->slow[r->waits - 1], slow_pair, record);
    }
    if (list) {
        r->since = d->now;
        pt_list_append(d, &d->slow[list - 1], slow_pair, record);
    }
    r->waits = list;
}

void pt_record_review(pt_dispatch *d, uint32_t record)
{
    pt_record *r = &d->records[record];
    if (!r->settling && r->lease_count == 0 && pt_record_condemnable(d, r)) {
        bool failed = r->failures >= d->options.attempts;
        pt_record_condemn(d, record, 0, 0, failed ? PT_REASON_FAILED : PT_REASON_DEATHS);
    }
    bool open = !r->settling && r->place >= 0;
    bool may_run = open && pt_record_may_run(d, r);
    if (may_run && r->good == 0) {
        pt_heap_set(&d->again, record, (double)r->place);
    } else {
        pt_heap_remove(&d->again, record);
    }
    review_slow(d, record, !open || !pt_record_may_run_twice(d, r) ? 0 : r->started ? 2 : 1);
}

void pt_lease_begin(pt_dispatch *d, uint32_t lease)
{
    uint32_t record = d->leases[lease].record;
    bool begins = !d->leases[lease].started;
    pt_lease_start(d, lease);
    if (begins && record != PT_NONE) {
        pt_record_review(d, record);
    }
}

/* The first result of a tile goes to the ledger. */
void pt_record_settle(pt_dispatch *d, uint32_t record, const pt_dispatch_event *result)
{
    pt_record *r = &d->records[record];
    d->leased -= r->lease_count > 0;
    r->settling = true;
    r->digest = result->digest;
    r->by = result->worker;
    r->by_attempt = result->attempt;
    d->settling++;
    pt_dispatch_act(d, (pt_dispatch_action){.kind = PT_ACTION_COMMIT,
                                            .worker = result->worker,
                                            .tile = r->tile,
                                            .attempt = result->attempt});
    pt_record_review(d, record);
}

/* Who has answered is acknowledged; who has not is told that it need not. */
static void release(pt_dispatch *d, uint32_t lease)
{
    pt_lease *l = &d->leases[lease];
    pt_dispatch_act(d, (pt_dispatch_action){.kind = l->answered ? PT_ACTION_ACK : PT_ACTION_REVOKE,
                                            .worker = d->workers[l->worker].id,
                                            .tile = l->tile,
                                            .attempt = l->attempt});
    if (l->started) {
        pt_lease_stale(d, lease);
    } else {
        pt_lease_end(d, lease);
    }
}

void pt_record_commit(pt_dispatch *d, uint32_t record)
{
    pt_record *r = &d->records[record];
    bool acked = false;
    while (r->leases != PT_NONE) {
        pt_lease *l = &d->leases[r->leases];
        acked |= l->answered && d->workers[l->worker].id == r->by;
        release(d, r->leases);
    }
    if (r->by && !acked && pt_worker_of(d, r->by) != PT_NONE) {
        pt_dispatch_act(
            d, (pt_dispatch_action){
                   .kind = PT_ACTION_ACK, .worker = r->by, .tile = r->tile, .attempt = r->by_attempt});
    }
    pt_record gone = *r;
    d->settling--;
    pt_record_give(d, record);
    pt_tile_close(d, gone.tile, gone.digest, gone.condemned);
}

void pt_tile_close(pt_dispatch *d, int64_t tile, uint64_t digest, bool quarantined)
{
    d->words[tile] = pt_tile_word(quarantined ? PT_WORD_QUARANTINED : PT_WORD_DONE, digest);
    d->quarantined += quarantined;
    d->done++;
    while (d->first < d->options.tiles && pt_tile_settled(d, pt_tile_at(d, d->first))) {
        d->first++;
    }
}
