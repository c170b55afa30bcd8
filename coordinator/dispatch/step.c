/* One event after the other. */
#include "coordinator/dispatch/internal.h"

static void ack(pt_dispatch *d, const pt_dispatch_event *event)
{
    pt_dispatch_act(d, (pt_dispatch_action){.kind = PT_ACTION_ACK,
                                            .worker = event->worker,
                                            .tile = event->tile,
                                            .attempt = event->attempt});
}

static void started(pt_dispatch *d, uint32_t worker, const pt_dispatch_event *event)
{
    uint32_t lease = pt_lease_find(d, worker, event->tile);
    bool known = lease != PT_NONE && d->leases[lease].attempt == event->attempt;
    if (known) {
        pt_lease_begin(d, lease);
    }
    pt_worker_hear(d, worker, known);
}

static void alarm_if_other(pt_dispatch *d, bool other, const pt_dispatch_event *event)
{
    if (other) {
        d->stats.alarms++;
        pt_dispatch_act(d, (pt_dispatch_action){.kind = PT_ACTION_ALARM,
                                                .worker = event->worker,
                                                .tile = event->tile,
                                                .attempt = event->attempt});
    }
}

/* The tile is settled: whoever still computed it is done with it. */
static void late(pt_dispatch *d, uint32_t lease, const pt_dispatch_event *event)
{
    bool done = pt_tile_state(d, event->tile) == PT_WORD_DONE;
    alarm_if_other(d, done && pt_tile_word(PT_WORD_DONE, event->digest) != d->words[event->tile], event);
    ack(d, event);
    if (lease != PT_NONE) {
        d->stats.wasted++;
        pt_lease_end(d, lease);
    }
}

static void result(pt_dispatch *d, uint32_t worker, const pt_dispatch_event *event)
{
    uint32_t lease = pt_lease_find(d, worker, event->tile);
    uint32_t record = pt_record_of(d, event->tile);
    if (pt_tile_settled(d, event->tile)) {
        late(d, lease, event);
    } else if (record != PT_NONE && d->records[record].settling) {
        /* Acknowledged with the one before it. Without a lease it is repeated, and acknowledged then. */
        if (lease != PT_NONE && !d->leases[lease].answered) {
            alarm_if_other(d, !d->records[record].condemned && d->records[record].digest != event->digest,
                           event);
            d->stats.wasted++;
            pt_lease_answer(d, lease);
        }
    } else {
        if (lease != PT_NONE) {
            pt_durations_add(&d->away, d->now - d->leases[lease].since);
            pt_lease_answer(d, lease);
        }
        pt_record_settle(d, record == PT_NONE ? pt_record_take(d, event->tile) : record, event);
        pt_durations_add(&d->computing, event->seconds);
    }
    pt_worker_hear(d, worker, true);
}

/* The tile is quarantined at once when it can never succeed, else when nobody else is at it. */
static void count_failure(pt_dispatch *d, uint32_t record, uint32_t lease, const pt_dispatch_event *event)
{
    pt_record *r = &d->records[record];
    r->failures = event->retryable ? r->failures + 1 : d->options.attempts;
    r->avoid = event->worker;
    if (event->blame) {
        pt_record_strike(d, record, event->worker);
    }
    if (pt_record_condemnable(d, r) && (!event->retryable || r->lease_count == 1)) {
        if (lease != PT_NONE) {
            pt_lease_answer(d, lease);
        }
        pt_record_condemn(d, record, event->worker, event->attempt,
                          r->failures >= d->options.attempts ? PT_REASON_FAILED : PT_REASON_DEATHS);
    } else {
        pt_lease_end(d, lease);
        ack(d, event);
    }
    pt_record_review(d, record);
}

static void failed(pt_dispatch *d, uint32_t worker, const pt_dispatch_event *event)
{
    uint32_t lease = pt_lease_find(d, worker, event->tile);
    uint32_t record = pt_record_of(d, event->tile);
    d->workers[worker].fresh = false; /* its next heartbeat may still list this tile: nothing to adopt */
    if (pt_tile_settled(d, event->tile)) {
        ack(d, event);
        if (lease != PT_NONE) {
            pt_lease_end(d, lease);
        }
    } else if (record != PT_NONE && d->records[record].settling) {
        /* Acknowledged when it is settled; without a lease, when it is repeated after that. */
        if (lease != PT_NONE && !d->leases[lease].answered) {
            pt_lease_answer(d, lease);
        }
    } else if (event->retryable && (lease == PT_NONE || d->leases[lease].attempt != event->attempt)) {
        ack(d, event); /* counted when it came the first time */
    } else {
        count_failure(d, record == PT_NONE ? pt_record_take(d, event->tile) : record, lease, event);
    }
    pt_worker_hear(d, worker, true);
}

static void committed(pt_dispatch *d, int64_t tile)
{
    uint32_t record = pt_record_of(d, tile);
    if (record != PT_NONE && d->records[record].settling) {
        pt_record_commit(d, record);
    }
}

static void of_worker(pt_dispatch *d, uint32_t worker, const pt_dispatch_event *event)
{
    switch (event->kind) {
    case PT_EVENT_STARTED:
        started(d, worker, event);
        break;
    case PT_EVENT_RESULT:
        result(d, worker, event);
        break;
    case PT_EVENT_FAILED:
        failed(d, worker, event);
        break;
    case PT_EVENT_HEARTBEAT:
        pt_worker_beat(d, worker, event);
        break;
    default: /* LEFT, DIED */
        pt_worker_remove(d, worker, event->kind == PT_EVENT_DIED);
    }
}

static bool names_tile(const pt_dispatch_event *event)
{
    return event->kind == PT_EVENT_STARTED || event->kind == PT_EVENT_RESULT ||
           event->kind == PT_EVENT_FAILED || event->kind == PT_EVENT_COMMITTED;
}

static void apply(pt_dispatch *d, const pt_dispatch_event *event)
{
    uint32_t worker = pt_worker_of(d, event->worker);
    if (names_tile(event) && (event->tile < 0 || event->tile >= d->options.tiles)) {
        return;
    }
    switch (event->kind) {
    case PT_EVENT_TICK:
        pt_worker_look(d);
        break;
    case PT_EVENT_JOINED:
        if (event->worker) {
            pt_worker_join(d, event);
        }
        break;
    case PT_EVENT_COMMITTED:
        committed(d, event->tile);
        break;
    case PT_EVENT_HOLD:
    case PT_EVENT_RELEASE:
        d->hold = event->kind == PT_EVENT_HOLD;
        break;
    case PT_EVENT_DRAIN:
        d->draining = true;
        break;
    default:
        if (worker != PT_NONE) {
            of_worker(d, worker, event);
        }
    }
}

static void end_if_idle(pt_dispatch *d)
{
    bool over = d->done == d->options.tiles || (d->draining && d->leased == 0 && d->settling == 0);
    if (over && !d->drained) {
        d->drained = true;
        pt_dispatch_act(d, (pt_dispatch_action){.kind = PT_ACTION_DRAINED});
    }
}

pt_status pt_dispatch_step(pt_dispatch *d, const pt_dispatch_event *event, double now,
                           pt_dispatch_actions *actions)
{
    double before = d->now;
    d->now = now > before ? now : before;
    pt_status status = pt_dispatch_reserve(d, event, actions);
    if (status.code != PT_OK) {
        d->now = before;
        return status;
    }
    d->out = actions;
    apply(d, event);
    pt_assign_all(d);
    end_if_idle(d);
    d->out = NULL;
    return status;
}
