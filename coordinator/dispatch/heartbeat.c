/* What a worker says it holds, against what it should hold. */
#include "coordinator/dispatch/internal.h"

enum {
    ATTEMPT_MAX = 1 << 20, /* believed of a worker; more than any tile ever has */
    REPEATS_MAX = 3,
};

static void revoke(pt_dispatch *d, uint32_t worker, int64_t tile, int attempt)
{
    pt_dispatch_act(
        d, (pt_dispatch_action){
               .kind = PT_ACTION_REVOKE, .worker = d->workers[worker].id, .tile = tile, .attempt = attempt});
}

/* A worker that has just joined may bring tiles of an earlier life of the coordinator, or of its own before
 * it was dropped: it keeps them. */
static uint32_t adopt(pt_dispatch *d, uint32_t worker, const pt_dispatch_held *held)
{
    uint32_t known = pt_record_of(d, held->tile);
    uint32_t record = known == PT_NONE ? pt_record_take(d, held->tile) : known;
    pt_record *r = &d->records[record];
    if (held->attempt < 1 || held->attempt > ATTEMPT_MAX || r->settling ||
        r->avoid == d->workers[worker].id || !pt_record_may_run(d, r)) {
        return PT_NONE;
    }
    r->attempts = held->attempt > r->attempts ? held->attempt : r->attempts;
    uint32_t lease = pt_lease_new(d, worker, record, held->attempt);
    pt_record_review(d, record);
    return lease;
}

/* What the worker has from an earlier life of the coordinator it does not take a second time: the lease is
 * for the attempt that it has. */
static void take_over(pt_dispatch *d, pt_lease *lease, int attempt)
{
    if (lease->record != PT_NONE && !lease->answered && attempt > lease->attempt && attempt <= ATTEMPT_MAX) {
        pt_record *r = &d->records[lease->record];
        lease->attempt = attempt;
        r->attempts = attempt > r->attempts ? attempt : r->attempts;
    }
}

static void confirm(pt_dispatch *d, uint32_t worker, const pt_dispatch_held *held)
{
    if (held->tile < 0 || held->tile >= d->options.tiles) {
        return;
    }
    uint32_t lease = pt_lease_find(d, worker, held->tile);
    bool settled = pt_tile_settled(d, held->tile);
    if (lease == PT_NONE && !settled && d->workers[worker].fresh && !d->workers[worker].suspect) {
        lease = adopt(d, worker, held);
    }
    if (lease == PT_NONE) {
        if (settled) {
            revoke(d, worker, held->tile, held->attempt);
        }
        return;
    }
    d->leases[lease].seen = d->now;
    d->leases[lease].repeats = 0;
    if (held->started) {
        take_over(d, &d->leases[lease], held->attempt);
        pt_lease_begin(d, lease); /* STARTED may have been lost */
    }
}

static void take_back(pt_dispatch *d, uint32_t worker, uint32_t lease)
{
    uint32_t record = d->leases[lease].record;
    if (record != PT_NONE) {
        revoke(d, worker, d->leases[lease].tile, d->leases[lease].attempt);
        d->records[record].avoid = d->workers[worker].id;
    }
    pt_lease_end(d, lease);
    if (record != PT_NONE) {
        pt_record_review(d, record);
    }
}

/* It was sent some time ago, and the worker does not have it: the message was lost, or the worker forgot, or
 * it does not want it, which must not go on for ever. */
static void repeat(pt_dispatch *d, uint32_t worker, uint32_t lease)
{
    pt_lease *l = &d->leases[lease];
    if (l->record == PT_NONE || d->draining || l->repeats == REPEATS_MAX) {
        take_back(d, worker, lease);
        return;
    }
    l->seen = d->now;
    l->repeats++;
    pt_dispatch_act(d, (pt_dispatch_action){.kind = PT_ACTION_ASSIGN,
                                            .worker = d->workers[worker].id,
                                            .tile = l->tile,
                                            .attempt = l->attempt});
}

void pt_worker_beat(pt_dispatch *d, uint32_t worker, const pt_dispatch_event *event)
{
    pt_worker_state *w = &d->workers[worker];
    bool moved = event->progress != w->progress;
    w->progress = event->progress;
    bool busy = false;
    for (size_t i = 0; i < event->held_count; i++) {
        confirm(d, worker, &event->held[i]);
        busy |= event->held[i].started;
    }
    moved |= busy && !w->busy;
    w->busy = busy;
    w->fresh = false;
    uint32_t next;
    for (uint32_t i = w->leases; i != PT_NONE; i = next) {
        const pt_lease *l = &d->leases[i];
        next = l->of_worker.next;
        bool settling = l->record != PT_NONE && d->records[l->record].settling; /* revoked soon */
        if (!settling && l->seen + d->options.resend_after <= d->now) {
            repeat(d, worker, i);
        }
    }
    pt_worker_set_credit(d, worker, event->credit);
    pt_worker_hear(d, worker, moved);
}
