/* Events for the scheduler, and what it wants done about them. */
#include "coordinator/control/internal.h"

#include <stdio.h>
#include <string.h>

static pt_status assign(pt_control *c, const pt_dispatch_action *a)
{
    pt_member *m = pt_roster_worker(&c->roster, a->worker);
    if (!m) {
        return pt_ok();
    }
    if (m->wants_pixels) {
        return pt_control_ship(c, m, a->tile, a->attempt);
    }
    pt_message message = {.type = PT_MSG_ASSIGN, .as.assign = {.tile = a->tile, .attempt = a->attempt}};
    return pt_control_send(c, m->peer, &message);
}

static pt_status send_tile(pt_control *c, const pt_dispatch_action *a, pt_message_type type)
{
    pt_member *m = pt_roster_worker(&c->roster, a->worker);
    if (!m) {
        return pt_ok();
    }
    pt_message message = {.type = type, .as.tile = {.tile = a->tile, .attempt = a->attempt}};
    return pt_control_send(c, m->peer, &message);
}

static pt_status revoke(pt_control *c, const pt_dispatch_action *a)
{
    pt_member *m = pt_roster_worker(&c->roster, a->worker);
    if (m) {
        pt_control_unship(c, m, a->tile);
    }
    return send_tile(c, a, PT_MSG_REVOKE);
}

static pt_status commit(pt_control *c, const pt_dispatch_action *a, pt_at_hand *at_hand)
{
    pt_member *m = pt_roster_worker(&c->roster, a->worker);
    pt_pending item = {.member = m, .attempts = a->attempt};
    if (!at_hand->result || at_hand->result->tile != a->tile) {
        return pt_error(PT_E_INTERNAL, "the scheduler commits tile %lld, whose result is not at hand",
                        (long long)a->tile);
    }
    item.result = *at_hand->result;
    memset(&item.result.instances, 0, sizeof item.result.instances);
    item.digest = at_hand->digest;
    item.detections = at_hand->detections;
    item.payload = *at_hand->payload;
    item.size = at_hand->size;
    snprintf(item.worker, sizeof item.worker, "%s", m ? m->name : "");
    *at_hand->payload = NULL;
    return pt_batch_add(&c->batch, &item);
}

/* Why nobody will try the tile again. */
static pt_status explain(const pt_dispatch_action *a, const pt_at_hand *at_hand)
{
    if (at_hand->result && at_hand->result->tile == a->tile && at_hand->result->status.code != PT_OK) {
        return at_hand->result->status;
    }
    if (a->reason == PT_REASON_DEATHS) {
        return pt_error(PT_E_TILE, "%d workers died or stood still over it", a->strikes);
    }
    return pt_error(PT_E_TILE, "it failed %d times", a->attempt);
}

static pt_status quarantine(pt_control *c, const pt_dispatch_action *a, const pt_at_hand *at_hand)
{
    pt_member *m = pt_roster_worker(&c->roster, a->worker);
    pt_status why = explain(a, at_hand);
    if (!pt_control_is_of_tile(why.code)) {
        return why;
    }
    if (!c->options.quarantine) {
        return pt_context(why, "tile %lld", (long long)a->tile);
    }
    pt_pending item = {
        .member = m,
        .attempts = a->attempt,
        .result = {.tile = a->tile, .attempt = a->attempt, .outcome = PT_TILE_FAILED, .status = why}};
    item.digest = pt_result_digest(PT_TILE_FAILED, false, NULL, 0);
    snprintf(item.worker, sizeof item.worker, "%s", m ? m->name : "");
    PT_WARN("a tile is given up", PT_I("tile", a->tile), PT_I("attempts", a->attempt),
            PT_I("strikes", a->strikes), PT_S("reason", why.message));
    return pt_batch_add(&c->batch, &item);
}

static const char *reason_text(pt_dispatch_reason reason)
{
    switch (reason) {
    case PT_REASON_EXPIRED:
        return "it was not heard for too long";
    case PT_REASON_STALLED:
        return "it did not get on with its tile";
    case PT_REASON_REPLACED:
        return "another worker took its slot";
    default:
        return "it was given up";
    }
}

/* No BYE, which would end it for good: a worker that comes back after a long silence is asked for HELLO and
 * works on. One that stands still is remembered, so that its heartbeats do not bring it back. */
static void drop(pt_control *c, const pt_dispatch_action *a)
{
    pt_member *m = pt_roster_worker(&c->roster, a->worker);
    if (!m) {
        return;
    }
    PT_WARN("a worker was given up", PT_S("worker", m->name), PT_S("reason", reason_text(a->reason)));
    c->numbers.lost_workers++;
    if (a->reason == PT_REASON_STALLED) {
        pt_control_unship(c, m, -1);
        m->stalled = true;
        c->stalled++;
        c->idle_since = c->now;
        return;
    }
    pt_control_forget(c, &m);
}

static void alarm_of(pt_control *c, const pt_dispatch_action *a)
{
    const pt_member *m = pt_roster_worker(&c->roster, a->worker);
    PT_WARN(
        "a second result of a tile differs from the one in the ledger, which stays; workers should agree to "
        "the last bit, so check the machine",
        PT_I("tile", a->tile), PT_S("worker", m ? m->name : "unknown"));
}

static pt_status perform(pt_control *c, const pt_dispatch_action *a, pt_at_hand *at_hand)
{
    switch (a->kind) {
    case PT_ACTION_ASSIGN:
        return assign(c, a);
    case PT_ACTION_REVOKE:
        return revoke(c, a);
    case PT_ACTION_COMMIT:
        return commit(c, a, at_hand);
    case PT_ACTION_ACK:
        return send_tile(c, a, PT_MSG_ACK);
    case PT_ACTION_QUARANTINE:
        return quarantine(c, a, at_hand);
    case PT_ACTION_STRIKE:
        return pt_ledger_strike(c->ledger, a->tile, a->strikes, a->lives);
    case PT_ACTION_DROP:
        drop(c, a);
        return pt_ok();
    case PT_ACTION_ALARM:
        alarm_of(c, a);
        return pt_ok();
    case PT_ACTION_DRAINED:
        c->drained = true;
        return pt_ok();
    }
    return pt_error(PT_E_INTERNAL, "the scheduler wants something unknown");
}

pt_status pt_control_step(pt_control *c, pt_dispatch_event event, pt_at_hand at_hand)
{
    c->actions.count = 0;
    PT_TRY(pt_dispatch_step(c->dispatch, &event, c->now, &c->actions));
    for (size_t i = 0; i < c->actions.count; i++) {
        PT_TRY(perform(c, &c->actions.items[i], &at_hand));
    }
    return pt_ok();
}

pt_status pt_control_event(pt_control *c, pt_dispatch_event event)
{
    return pt_control_step(c, event, (pt_at_hand){0});
}
