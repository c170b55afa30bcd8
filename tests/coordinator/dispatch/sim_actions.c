/* What the scheduler asks for, done, and held against the truth. */
#include "tests/coordinator/dispatch/sim.h"

#include <inttypes.h>

static const double hair = 1e-6; /* sums of times are not exact */

static bool is_of(const pt_dispatch_event *event, pt_dispatch_event_kind kind, const pt_dispatch_action *a)
{
    return event->kind == kind && event->worker == a->worker &&
           (kind == PT_EVENT_DIED || event->tile == a->tile);
}

static void send(sim *s, const pt_dispatch_action *a, sim_type type)
{
    if (!s->lives[a->worker].joined) {
        sim_fail(s, "a message for worker %" PRIu64 ", which is not there", a->worker);
    }
    sim_send(s, true, (uint32_t)a->worker,
             &(sim_message){.type = type, .epoch = s->epoch, .tile = a->tile, .attempt = a->attempt});
}

/* A tile that goes out for the first time: in order, and not too far ahead. */
static void check_place(sim *s, const sim_tile *t)
{
    int64_t first = -1;
    for (int64_t place = 0; place < t->place; place++) {
        const sim_tile *other = &s->tiles[s->order_of[place]];
        first = first < 0 && !other->settled ? place : first;
        if (!t->handed && !other->handed && !other->settled && !other->settling) {
            sim_fail(s, "place %" PRId64 " goes out before place %" PRId64, t->place, place);
        }
    }
    first = first < 0 ? t->place : first;
    if (!t->handed && s->options.ahead && t->place - first >= s->options.ahead) {
        sim_fail(s, "place %" PRId64 " goes out while %" PRId64 " is not settled", t->place, first);
    }
}

static void assign(sim *s, const pt_dispatch_action *a)
{
    sim_tile *t = &s->tiles[a->tile];
    uint16_t *given = &s->given[a->worker * (size_t)s->c.tiles + (size_t)a->tile];
    if (t->settled || t->settling) {
        sim_fail(s, "tile %" PRId64 " is assigned after its result has come", a->tile);
    }
    if (t->told_hopeless) {
        sim_fail(s, "tile %" PRId64 " is assigned after a failure that is for good", a->tile);
    }
    bool listed = s->begun[a->worker * (size_t)s->c.tiles + (size_t)a->tile]; /* perhaps adopted */
    if (*given != a->attempt && !listed) {
        if (s->hold || s->draining) {
            sim_fail(s, "tile %" PRId64 " is assigned on hold or while draining", a->tile);
        }
        if (s->now - s->lives[a->worker].heard > s->options.suspect_after + hair) {
            sim_fail(s, "tile %" PRId64 " is assigned to silent worker %" PRIu64, a->tile, a->worker);
        }
        check_place(s, t);
    }
    *given = (uint16_t)a->attempt;
    t->handed = true;
    send(s, a, SAY_ASSIGN);
}

static void commit(sim *s, const pt_dispatch_action *a, const pt_dispatch_event *event)
{
    sim_tile *t = &s->tiles[a->tile];
    bool quarantine = a->kind == PT_ACTION_QUARANTINE;
    if (t->settled || t->settling) {
        sim_fail(s, "tile %" PRId64 " is settled twice", a->tile);
    }
    if (!quarantine && !is_of(event, PT_EVENT_RESULT, a)) {
        sim_fail(s, "tile %" PRId64 " is committed without a result", a->tile);
    }
    t->settling = true;
    t->settling_quarantined = quarantine;
    t->settling_digest = event->digest;
    t->by = (uint32_t)a->worker;
    sim_put(s, s->c.commit * sim_chance(s),
            (sim_event){.kind = SIM_COMMITTED, .life = s->epoch, .tile = a->tile});
}

static void quarantine(sim *s, const pt_dispatch_action *a, const pt_dispatch_event *event)
{
    const sim_tile *t = &s->tiles[a->tile];
    bool deserved = a->reason == PT_REASON_FAILED
                        ? t->told_hopeless || t->told_failures >= s->options.attempts
                        : t->strikes >= s->options.strikes && (t->lives >= 2 || s->options.strikes == 1);
    if (!deserved) {
        sim_fail(s, "tile %" PRId64 " is quarantined after %d failures and %d strikes by %d", a->tile,
                 t->told_failures, t->strikes, t->lives);
    }
    commit(s, a, event);
}

static bool dropped_now(const sim *s, const pt_dispatch_action *a)
{
    for (const pt_dispatch_action *b = s->actions.items; b < a; b++) {
        if (b->kind == PT_ACTION_DROP && b->worker == a->worker) {
            return true;
        }
    }
    return false;
}

static void strike(sim *s, const pt_dispatch_action *a, const pt_dispatch_event *event)
{
    sim_tile *t = &s->tiles[a->tile];
    bool lost = is_of(event, PT_EVENT_DIED, a) || dropped_now(s, a) ||
                (is_of(event, PT_EVENT_FAILED, a) && event->blame);
    if (!lost || !s->begun[a->worker * (size_t)s->c.tiles + (size_t)a->tile]) {
        sim_fail(s, "tile %" PRId64 " is blamed for worker %" PRIu64 ", which is not lost or never began it",
                 a->tile, a->worker);
    }
    if (t->settled || t->settling || a->strikes != t->strikes + 1 || a->lives < t->lives ||
        a->lives > t->lives + 1 || a->lives < 1) {
        sim_fail(s, "strike %d by %d lives on tile %" PRId64 ", which had %d by %d", a->strikes, a->lives,
                 a->tile, t->strikes, t->lives);
    }
    t->strikes = a->strikes;
    t->lives = a->lives;
}

/* In this step; worker 0: any. */
static bool did(const sim *s, pt_dispatch_action_kind kind, pt_worker worker, int64_t tile)
{
    for (size_t i = 0; i < s->actions.count; i++) {
        const pt_dispatch_action *a = &s->actions.items[i];
        if (a->kind == kind && (worker == 0 || a->worker == worker) && a->tile == tile) {
            return true;
        }
    }
    return false;
}

static void ack(sim *s, const pt_dispatch_action *a, const pt_dispatch_event *event)
{
    const sim_tile *t = &s->tiles[a->tile];
    bool condemned = t->settling && t->settling_quarantined && t->by == a->worker;
    condemned |= did(s, PT_ACTION_QUARANTINE, 0, a->tile);
    bool failure = is_of(event, PT_EVENT_FAILED, a) && !condemned;
    if (!t->settled && !failure) {
        sim_fail(s, "tile %" PRId64 " is acknowledged before the ledger has it", a->tile);
    }
    send(s, a, SAY_ACK);
}

static void drop(sim *s, const pt_dispatch_action *a, const pt_dispatch_event *event)
{
    sim_life *l = &s->lives[a->worker];
    bool right = a->reason == PT_REASON_EXPIRED ? s->now - l->heard >= s->options.expire_after - hair
                 : a->reason == PT_REASON_STALLED
                     ? s->now - l->moved >= s->options.stall_after - hair
                     : event->kind == PT_EVENT_JOINED && event->slot && event->slot == (uint64_t)l->slot + 1;
    if (!right || !l->joined) {
        sim_fail(s, "worker %" PRIu64 " is dropped for reason %d, heard %.3f s and moved %.3f s ago",
                 a->worker, (int)a->reason, s->now - l->heard, s->now - l->moved);
    }
    s->totals->reasons[a->reason]++;
    send(s, a, SAY_BYE);
    l->joined = false;
}

static bool differs(const sim_tile *t, uint64_t digest)
{
    return t->settled ? !t->quarantined && t->digest != digest
                      : t->settling && !t->settling_quarantined && t->settling_digest != digest;
}

static void alarm_raised(sim *s, const pt_dispatch_action *a, const pt_dispatch_event *event)
{
    if (!is_of(event, PT_EVENT_RESULT, a) || !differs(&s->tiles[a->tile], event->digest)) {
        sim_fail(s, "an alarm on tile %" PRId64 " without a second result that differs", a->tile);
    }
}

static void drained(sim *s)
{
    if (s->drained || (s->settled_count < s->c.tiles && !s->draining)) {
        sim_fail(s, "drained twice, or for no reason");
    }
    for (int64_t i = 0; i < s->c.tiles; i++) {
        if (s->tiles[i].settling) {
            sim_fail(s, "drained while tile %" PRId64 " is on its way to the ledger", i);
        }
    }
    s->drained = true;
}

static void apply(sim *s, const pt_dispatch_action *a, const pt_dispatch_event *event)
{
    s->totals->actions[a->kind]++;
    switch (a->kind) {
    case PT_ACTION_ASSIGN:
        assign(s, a);
        break;
    case PT_ACTION_REVOKE:
        send(s, a, SAY_REVOKE);
        break;
    case PT_ACTION_COMMIT:
        commit(s, a, event);
        break;
    case PT_ACTION_QUARANTINE:
        quarantine(s, a, event);
        break;
    case PT_ACTION_ACK:
        ack(s, a, event);
        break;
    case PT_ACTION_STRIKE:
        strike(s, a, event);
        break;
    case PT_ACTION_DROP:
        drop(s, a, event);
        break;
    case PT_ACTION_ALARM:
        alarm_raised(s, a, event);
        break;
    default:
        drained(s);
    }
}

/* What a step must not leave out. */
static void check_duties(sim *s, const pt_dispatch_event *event, bool was_settled)
{
    if (event->kind == PT_EVENT_RESULT && was_settled) {
        if (!did(s, PT_ACTION_ACK, event->worker, event->tile)) {
            sim_fail(s, "a repeated result of tile %" PRId64 " is not acknowledged", event->tile);
        }
        if (differs(&s->tiles[event->tile], event->digest) &&
            !did(s, PT_ACTION_ALARM, event->worker, event->tile)) {
            sim_fail(s, "tile %" PRId64 " has two results, and no alarm", event->tile);
        }
    }
    uint32_t by = event->kind == PT_EVENT_COMMITTED ? s->tiles[event->tile].by : 0;
    if (by && s->lives[by].joined && !did(s, PT_ACTION_ACK, by, event->tile)) {
        sim_fail(s, "tile %" PRId64 " is committed, and its worker not told", event->tile);
    }
    if (s->settled_count == s->c.tiles && !s->drained) {
        sim_fail(s, "all is settled, and nobody says so");
    }
}

static void check_silent(sim *s)
{
    double p95 = pt_dispatch_describe(s->dispatch).p95_seconds;
    s->p95_most = p95 > s->p95_most ? p95 : s->p95_most;
    double most = s->options.expire_after > 3 * s->p95_most ? s->options.expire_after : 3 * s->p95_most;
    for (uint32_t life = 1; life <= s->life_count; life++) {
        if (s->lives[life].joined && s->now - s->lives[life].heard > most + 0.1) {
            sim_fail(s, "worker %u is silent for %.1f s and still there", life,
                     s->now - s->lives[life].heard);
        }
    }
}

void sim_actions_apply(sim *s, const pt_dispatch_event *event)
{
    bool was_settled = event->kind == PT_EVENT_RESULT && s->tiles[event->tile].settled;
    for (size_t i = 0; i < s->actions.count && !s->error[0]; i++) {
        apply(s, &s->actions.items[i], event);
    }
    check_duties(s, event, was_settled);
    check_silent(s);
    if (s->drained && !s->ended) {
        s->ended = s->settled_count == s->c.tiles;
        if (!s->ended) { /* interrupted; then resumed */
            s->draining = false;
            sim_put(s, 0, (sim_event){.kind = SIM_CRASH});
        }
    }
}
