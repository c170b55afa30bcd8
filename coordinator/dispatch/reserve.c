/* Room for all that a step may do, before it does any of it. */
#include "coordinator/dispatch/internal.h"

#include <assert.h>

void pt_dispatch_act(pt_dispatch *d, pt_dispatch_action action)
{
    assert(d->out->count < d->out->capacity);
    d->out->items[d->out->count++] = action;
}

static size_t held_by(const pt_dispatch *d, uint32_t worker)
{
    return worker == PT_NONE ? 0 : (size_t)d->workers[worker].held;
}

/* Leases that the event may touch: end, strike, revoke, acknowledge or send again. */
static size_t touched(const pt_dispatch *d, const pt_dispatch_event *event)
{
    size_t held = held_by(d, pt_worker_of(d, event->worker));
    switch (event->kind) {
    case PT_EVENT_TICK: /* whose time has come loses all it has */
        return d->timers.count && d->timers.entries[0].key <= d->now ? d->lease_count + d->worker_count : 0;
    case PT_EVENT_JOINED:
        return held + (event->slot ? held_by(d, pt_map_get(&d->by_slot, event->slot)) : 0);
    case PT_EVENT_HEARTBEAT:
        return held + event->held_count;
    case PT_EVENT_COMMITTED: {
        bool known = event->tile >= 0 && event->tile < d->options.tiles;
        uint32_t record = known ? pt_record_of(d, event->tile) : PT_NONE;
        return record == PT_NONE ? 0 : d->records[record].lease_count;
    }
    default:
        return held;
    }
}

pt_status pt_dispatch_reserve(pt_dispatch *d, const pt_dispatch_event *event, pt_dispatch_actions *actions)
{
    size_t leases = touched(d, event);
    size_t rooms = d->room + leases + (size_t)d->options.hold_max;
    size_t open = (size_t)(d->options.tiles - d->done);
    size_t brought = event->kind == PT_EVENT_HEARTBEAT ? event->held_count : 0;
    d->budget = rooms < open ? rooms : open;
    PT_TRY(pt_pools_reserve(d, d->budget + brought + 1, d->budget + brought,
                            event->kind == PT_EVENT_JOINED ? 1 : 0));
    /* A touched lease gives a strike and a quarantine at most; 4 for the event itself and its worker. */
    size_t wanted = actions->count + d->budget + d->doomed + 2 * leases + 4;
    return wanted <= actions->capacity
               ? pt_ok()
               : pt_grow(&actions->items, &actions->capacity, wanted, sizeof *actions->items);
}
