/* Workers: who is there, who is heard, who has room. */
#include "coordinator/dispatch/internal.h"

static pt_link_pair *ready_pair(pt_dispatch *d, uint32_t worker)
{
    return &d->workers[worker].ready;
}

static int room_of(const pt_dispatch *d, const pt_worker_state *w)
{
    int by_credit = w->credit - (w->held - w->answered);
    int by_hold = d->options.hold_max - w->held;
    int room = by_credit < by_hold ? by_credit : by_hold;
    return room > 0 ? room : 0;
}

/* Leaves its list always, so that whoever was served last waits longest. */
void pt_worker_refresh(pt_dispatch *d, uint32_t worker)
{
    pt_worker_state *w = &d->workers[worker];
    int room = room_of(d, w);
    d->room = d->room - (size_t)w->room + (size_t)room;
    w->room = room;
    int list = room == 0 || w->suspect ? 0 : w->held - w->answered > 0 ? 2 : 1;
    if (w->list) {
        pt_list_remove(d, &d->ready[w->list - 1], ready_pair, worker);
    }
    if (list) {
        pt_list_append(d, &d->ready[list - 1], ready_pair, worker);
    }
    w->list = list;
}

static bool is_able(const pt_worker_state *w)
{
    return w->credit > 0 && !w->suspect;
}

void pt_worker_set_credit(pt_dispatch *d, uint32_t worker, int credit)
{
    pt_worker_state *w = &d->workers[worker];
    credit = credit < 0 ? 0 : credit > d->options.hold_max ? d->options.hold_max : credit;
    if (credit == w->credit) {
        return;
    }
    d->able -= is_able(w);
    w->credit = credit;
    d->able += is_able(w);
    pt_worker_refresh(d, worker);
}

static double longest(double seconds, double p95)
{
    return seconds > 3 * p95 ? seconds : 3 * p95;
}

/* Since when it counts as silent. A worker that beats but does not move is silent from a while before
 * stall_after is over, so that it becomes a suspect at that moment. */
static double silent_since(const pt_dispatch *d, const pt_worker_state *w, bool *stalled)
{
    double stall = longest(d->options.stall_after, pt_durations_p95(&d->computing));
    double lead = stall > d->options.suspect_after ? stall - d->options.suspect_after : 0;
    *stalled = (w->started > 0 || w->busy) && w->moved + lead < w->heard;
    return *stalled ? w->moved + lead : w->heard;
}

/* Its suspect leases count no more as good, or again. */
static void set_suspect(pt_dispatch *d, uint32_t worker, bool suspect)
{
    pt_worker_state *w = &d->workers[worker];
    d->able -= is_able(w);
    w->suspect = suspect;
    d->able += is_able(w);
    d->suspects += suspect ? 1 : -1;
    for (uint32_t i = w->leases; i != PT_NONE; i = d->leases[i].of_worker.next) {
        pt_lease *l = &d->leases[i];
        if (l->record != PT_NONE && !l->answered) {
            d->records[l->record].good += suspect ? -1u : 1u;
            pt_record_review(d, l->record);
        }
    }
    pt_worker_refresh(d, worker);
}

void pt_worker_hear(pt_dispatch *d, uint32_t worker, bool moved)
{
    pt_worker_state *w = &d->workers[worker];
    bool stalled;
    w->heard = d->now;
    w->moved = moved ? d->now : w->moved;
    if (w->suspect && silent_since(d, w, &stalled) + d->options.suspect_after > d->now) {
        set_suspect(d, worker, false);
        pt_heap_set(&d->timers, worker, d->now + d->options.suspect_after);
    }
}

void pt_worker_join(pt_dispatch *d, const pt_dispatch_event *event)
{
    uint32_t known = pt_worker_of(d, event->worker);
    if (known != PT_NONE) {
        pt_worker_set_credit(d, known, event->credit);
        pt_worker_hear(d, known, false);
        return;
    }
    uint32_t dead = event->slot ? pt_map_get(&d->by_slot, event->slot) : PT_NONE;
    if (dead != PT_NONE) {
        pt_dispatch_act(d, (pt_dispatch_action){.kind = PT_ACTION_DROP,
                                                .worker = d->workers[dead].id,
                                                .reason = PT_REASON_REPLACED});
        pt_worker_remove(d, dead, true);
    }
    uint32_t worker = pt_worker_take(d, event->worker);
    pt_worker_state *w = &d->workers[worker];
    w->slot = event->slot;
    w->heard = w->moved = d->now;
    w->fresh = true;
    if (w->slot) {
        pt_map_put(&d->by_slot, w->slot, worker);
    }
    pt_heap_set(&d->timers, worker, d->now + d->options.suspect_after);
    pt_worker_set_credit(d, worker, event->credit);
}

void pt_worker_remove(pt_dispatch *d, uint32_t worker, bool blame)
{
    pt_worker_state *w = &d->workers[worker];
    pt_worker_set_credit(d, worker, 0);
    pt_heap_remove(&d->timers, worker);
    while (w->leases != PT_NONE) {
        pt_lease *l = &d->leases[w->leases];
        uint32_t record = l->record;
        bool strike = blame && record != PT_NONE && l->started;
        pt_lease_end(d, w->leases);
        if (strike) {
            pt_record_strike(d, record, w->id);
        }
        if (record != PT_NONE) {
            pt_record_review(d, record);
        }
    }
    d->suspects -= w->suspect;
    pt_worker_give(d, worker);
}

static void expire(pt_dispatch *d, uint32_t worker, bool stalled)
{
    pt_dispatch_act(d, (pt_dispatch_action){.kind = PT_ACTION_DROP,
                                            .worker = d->workers[worker].id,
                                            .reason = stalled ? PT_REASON_STALLED : PT_REASON_EXPIRED});
    pt_worker_remove(d, worker, true);
}

void pt_worker_look(pt_dispatch *d)
{
    while (d->timers.count && d->timers.entries[0].key <= d->now) {
        uint32_t worker = d->timers.entries[0].item;
        pt_worker_state *w = &d->workers[worker];
        bool stalled;
        double since = silent_since(d, w, &stalled);
        if (!w->suspect && since + d->options.suspect_after <= d->now) {
            set_suspect(d, worker, true);
        }
        double limit = longest(d->options.expire_after, pt_durations_p95(&d->computing));
        if (w->suspect && since + limit <= d->now) {
            expire(d, worker, stalled);
            continue;
        }
        double due = since + (w->suspect ? limit : d->options.suspect_after);
        pt_heap_set(&d->timers, worker, due);
    }
}
