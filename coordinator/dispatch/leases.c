/* A lease ties a tile's record to a worker. Every change of one keeps the counts of both. */
#include "coordinator/dispatch/internal.h"

static pt_link_pair *worker_pair(pt_dispatch *d, uint32_t lease)
{
    return &d->leases[lease].of_worker;
}

static void join_worker(pt_dispatch *d, uint32_t lease)
{
    pt_worker_state *w = &d->workers[d->leases[lease].worker];
    pt_list list = {w->leases, PT_NONE};
    d->leases[lease].of_worker = (pt_link_pair){.next = list.first, .before = PT_NONE};
    if (list.first != PT_NONE) {
        d->leases[list.first].of_worker.before = lease;
    }
    w->leases = lease;
    w->held++;
}

static void leave_worker(pt_dispatch *d, uint32_t lease)
{
    pt_worker_state *w = &d->workers[d->leases[lease].worker];
    pt_list list = {w->leases, PT_NONE};
    pt_list_remove(d, &list, worker_pair, lease);
    w->leases = list.first;
    w->held--;
}

static bool is_good(const pt_dispatch *d, const pt_lease *lease)
{
    return lease->record != PT_NONE && !lease->answered && !d->workers[lease->worker].suspect;
}

/* The record's tile is leased while it has unanswered leases and is not settling. */
static bool is_leased(const pt_record *record)
{
    return record->lease_count > 0 && !record->settling;
}

uint32_t pt_lease_new(pt_dispatch *d, uint32_t worker, uint32_t record, int attempt)
{
    uint32_t i = pt_lease_take(d);
    pt_lease *l = &d->leases[i];
    pt_record *r = &d->records[record];
    d->leased -= is_leased(r);
    *l = (pt_lease){.tile = r->tile,
                    .attempt = attempt,
                    .worker = worker,
                    .record = record,
                    .record_next = r->leases,
                    .seen = d->now,
                    .since = d->now,
                    .in_use = true};
    r->leases = i;
    r->lease_count++;
    r->good += is_good(d, l);
    d->leased += is_leased(r);
    join_worker(d, i);
    pt_worker_refresh(d, worker);
    return i;
}

void pt_lease_start(pt_dispatch *d, uint32_t lease)
{
    pt_lease *l = &d->leases[lease];
    l->seen = d->now;
    if (l->started || l->answered) {
        return;
    }
    l->started = true;
    d->workers[l->worker].started++;
    if (l->record != PT_NONE) {
        d->records[l->record].started++;
    }
}

static void unstart(pt_dispatch *d, pt_lease *l)
{
    if (l->started) {
        l->started = false;
        d->workers[l->worker].started--;
        if (l->record != PT_NONE) {
            d->records[l->record].started--;
        }
    }
}

void pt_lease_answer(pt_dispatch *d, uint32_t lease)
{
    pt_lease *l = &d->leases[lease];
    unstart(d, l);
    d->records[l->record].good -= is_good(d, l);
    l->answered = true;
    d->workers[l->worker].answered++;
    pt_worker_refresh(d, l->worker);
}

/* Out of its record's list, and of the record's counts. */
static void leave_record(pt_dispatch *d, uint32_t lease)
{
    pt_lease *l = &d->leases[lease];
    pt_record *r = &d->records[l->record];
    d->leased -= is_leased(r);
    uint32_t *link = &r->leases;
    while (*link != lease) {
        link = &d->leases[*link].record_next;
    }
    *link = l->record_next;
    r->lease_count--;
    r->good -= is_good(d, l);
    r->started -= l->started;
    d->leased += is_leased(r);
    l->record = PT_NONE;
}

void pt_lease_stale(pt_dispatch *d, uint32_t lease)
{
    leave_record(d, lease);
    d->workers[d->leases[lease].worker].stale++;
}

void pt_lease_end(pt_dispatch *d, uint32_t lease)
{
    pt_lease *l = &d->leases[lease];
    uint32_t worker = l->worker;
    if (l->record == PT_NONE) {
        d->workers[worker].stale--;
    } else {
        leave_record(d, lease);
    }
    unstart(d, l);
    d->workers[worker].answered -= l->answered;
    leave_worker(d, lease);
    pt_lease_give(d, lease);
    pt_worker_refresh(d, worker);
}

uint32_t pt_lease_find(const pt_dispatch *d, uint32_t worker, int64_t tile)
{
    uint32_t record = pt_record_of(d, tile);
    if (record != PT_NONE) {
        uint32_t i = d->records[record].leases;
        while (i != PT_NONE && d->leases[i].worker != worker) {
            i = d->leases[i].record_next;
        }
        return i;
    }
    uint32_t i = d->workers[worker].stale ? d->workers[worker].leases : PT_NONE;
    while (i != PT_NONE && (d->leases[i].tile != tile || d->leases[i].record != PT_NONE)) {
        i = d->leases[i].of_worker.next;
    }
    return i;
}
