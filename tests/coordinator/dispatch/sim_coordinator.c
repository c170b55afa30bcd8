/* The scheduler's caller: turns messages into events, survives its own crashes by the ledger alone. */
#include "tests/coordinator/dispatch/sim.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static int64_t order_of(const void *user, int64_t place)
{
    return ((const sim *)user)->order_of[place];
}

static void require(sim *s, pt_status status)
{
    if (status.code != PT_OK) {
        sim_fail(s, "%s", status.message);
    }
}

/* Memory may run out at the n-th allocation of the step: then nothing must have happened, and the same step
 * must do once there is memory again. */
static void step(sim *s, const pt_dispatch_event *event)
{
    s->actions.count = 0;
    bool short_of_memory = sim_happens(s, s->c.nomem);
    if (short_of_memory) {
        pt_alloc_fail_after((long)sim_below(s, 4));
    }
    pt_dispatch_stats before = pt_dispatch_describe(s->dispatch);
    pt_status status = pt_dispatch_step(s->dispatch, event, s->now, &s->actions);
    pt_alloc_fail_after(-1);
    if (short_of_memory && status.code == PT_E_NOMEM) {
        s->totals->nomem++;
        pt_dispatch_stats after = pt_dispatch_describe(s->dispatch);
        if (s->actions.count != 0 || after.leased != before.leased || after.settling != before.settling ||
            after.workers != before.workers || after.suspects != before.suspects) {
            sim_fail(s, "a step without memory has changed something");
        }
        status = pt_dispatch_step(s->dispatch, event, s->now, &s->actions);
    }
    require(s, status);
    s->totals->steps++;
    if (s->totals->trace) {
        sim_trace(s, event);
    }
    if (s->check) {
        require(s, pt_dispatch_check(s->dispatch));
    }
    sim_actions_apply(s, event);
}

static void watch_clock(sim *s)
{
    if (s->ended || !s->dispatch) {
        return;
    }
    double due = pt_dispatch_deadline(s->dispatch);
    if (due < s->tick_at && due < 1e200) {
        s->tick_at = due > s->now ? due : s->now;
        sim_put_at(s, s->tick_at, (sim_event){.kind = SIM_TICK, .life = s->epoch});
    }
}

static void take_ledger(sim *s)
{
    memset(s->given, 0, SIM_LIVES * (size_t)s->c.tiles * sizeof *s->given);
    for (int64_t i = 0; i < s->c.tiles; i++) {
        sim_tile *t = &s->tiles[i];
        t->handed = t->settling = t->told_hopeless = false;
        t->told_failures = 0;
        if (t->settled) {
            require(s, pt_dispatch_settled_before(s->dispatch, i, t->digest, t->quarantined));
        } else if (t->strikes) {
            require(s, pt_dispatch_struck_before(s->dispatch, i, t->strikes, t->lives));
        }
    }
}

void sim_coordinator_start(sim *s)
{
    s->options.tiles = s->c.tiles;
    s->options.order = order_of;
    s->options.user = s;
    require(s, pt_dispatch_new(&s->options, &s->dispatch));
    if (s->ended) {
        return;
    }
    s->epoch++;
    s->hold = s->drained = false;
    s->tick_at = INFINITY;
    take_ledger(s);
    step(s, &(pt_dispatch_event){.kind = PT_EVENT_TICK});
    if (s->draining && !s->ended) {
        step(s, &(pt_dispatch_event){.kind = PT_EVENT_DRAIN});
    }
    watch_clock(s);
}

/* What was on its way to the ledger arrived, or did not; nobody was told. */
void sim_coordinator_crash(sim *s)
{
    if (!s->dispatch) {
        return;
    }
    s->totals->restarts++;
    for (int64_t i = 0; i < s->c.tiles; i++) {
        sim_tile *t = &s->tiles[i];
        if (t->settling && sim_happens(s, 0.5)) {
            t->settled = true;
            s->settled_count++;
            t->quarantined = t->settling_quarantined;
            t->digest = t->settling_digest;
            s->totals->torn++;
        }
        t->settling = false;
    }
    for (uint32_t life = 1; life <= s->life_count; life++) {
        s->lives[life].joined = false;
    }
    pt_dispatch_free(&s->dispatch);
    sim_put(s, 5 * sim_chance(s), (sim_event){.kind = SIM_RESTART});
}

static void committed(sim *s, int64_t tile)
{
    sim_tile *t = &s->tiles[tile];
    if (t->settled) {
        sim_fail(s, "tile %" PRId64 " was committed twice", tile);
    }
    t->settled = true;
    s->settled_count++;
    t->settling = false;
    t->quarantined = t->settling_quarantined;
    t->digest = t->settling_digest;
    step(s, &(pt_dispatch_event){.kind = PT_EVENT_COMMITTED, .tile = tile});
}

static void welcome(sim *s, uint32_t life, const sim_message *m)
{
    sim_life *l = &s->lives[life];
    if (!l->joined) {
        l->joined = true;
        l->progress = 0;
        l->moved = s->now;
    }
    step(s, &(pt_dispatch_event){.kind = PT_EVENT_JOINED,
                                 .worker = life,
                                 .credit = m->credit,
                                 .slot = s->c.slots_known ? (uint64_t)l->slot + 1 : 0});
    sim_send(s, true, life, &(sim_message){.type = SAY_WELCOME, .epoch = s->epoch, .tile = -1});
}

static pt_dispatch_event event_of(uint32_t life, const sim_message *m)
{
    static const pt_dispatch_event_kind kinds[] = {[SAY_STARTED] = PT_EVENT_STARTED,
                                                   [SAY_RESULT] = PT_EVENT_RESULT,
                                                   [SAY_FAILED] = PT_EVENT_FAILED,
                                                   [SAY_BEAT] = PT_EVENT_HEARTBEAT,
                                                   [SAY_BYE] = PT_EVENT_LEFT};
    return (pt_dispatch_event){.kind = kinds[m->type],
                               .worker = life,
                               .credit = m->credit,
                               .tile = m->tile,
                               .attempt = m->attempt,
                               .digest = m->digest,
                               .seconds = m->seconds,
                               .retryable = m->retryable,
                               .blame = m->blame,
                               .progress = m->progress,
                               .held = m->held,
                               .held_count = m->held_count};
}

static void note_failure(sim_tile *t, uint32_t life, const sim_message *m)
{
    uint64_t name = (uint64_t)life << 32 | (uint32_t)m->attempt;
    t->told_hopeless |= !m->retryable;
    for (int i = 0; i < t->told_failures; i++) {
        if (t->told[i] == name) {
            return;
        }
    }
    if (t->told_failures < 8) {
        t->told[t->told_failures++] = name;
    }
}

static void receive(sim *s, uint32_t life, const sim_message *m)
{
    sim_life *l = &s->lives[life];
    l->heard = s->now;
    if (m->type == SAY_HELLO) {
        welcome(s, life, m);
        return;
    }
    if (!l->joined) {
        if (m->type != SAY_BYE) {
            sim_send(s, true, life, &(sim_message){.type = SAY_AGAIN, .epoch = s->epoch, .tile = -1});
        }
        return;
    }
    if (m->type == SAY_RESULT || m->type == SAY_FAILED ||
        (m->type == SAY_BEAT && m->progress != l->progress)) {
        l->moved = s->now;
    }
    l->progress = m->type == SAY_BEAT ? m->progress : l->progress;
    if (m->type == SAY_FAILED) {
        note_failure(&s->tiles[m->tile], life, m);
    }
    for (size_t i = 0; i < m->held_count; i++) {
        s->tiles[m->held[i].tile].handed = true; /* it may be adopted out of order */
    }
    l->joined = m->type != SAY_BYE;
    pt_dispatch_event event = event_of(life, m);
    step(s, &event);
}

static void notice(sim *s, uint32_t life)
{
    if (s->lives[life].joined) {
        s->lives[life].joined = false;
        step(s, &(pt_dispatch_event){.kind = PT_EVENT_DIED, .worker = life});
    }
}

static void tick(sim *s)
{
    s->same_time = s->last_tick == s->now ? s->same_time + 1 : 0;
    s->last_tick = s->now;
    if (s->same_time > 1000) {
        sim_fail(s, "ticks without end at %.3f s", s->now);
    }
    s->tick_at = INFINITY;
    step(s, &(pt_dispatch_event){.kind = PT_EVENT_TICK});
}

static void set_hold(sim *s, bool hold)
{
    s->hold = hold;
    step(s, &(pt_dispatch_event){.kind = hold ? PT_EVENT_HOLD : PT_EVENT_RELEASE});
    if (hold) {
        s->totals->holds++;
        sim_put(s, 10 * sim_chance(s), (sim_event){.kind = SIM_RELEASE, .life = s->epoch});
    }
}

void sim_coordinator_event(sim *s, const sim_event *event)
{
    if (event->kind == SIM_RESTART) {
        sim_coordinator_start(s);
        return;
    }
    s->draining |= event->kind == SIM_DRAIN;
    bool own = event->kind == SIM_TICK || event->kind == SIM_COMMITTED || event->kind == SIM_RELEASE;
    if (!s->dispatch || (own && event->life != s->epoch)) {
        return;
    }
    switch (event->kind) {
    case SIM_TO_COORDINATOR:
        if (s->workers[event->slot].cut <= s->now) {
            receive(s, event->life, &event->message);
        }
        break;
    case SIM_NOTICE:
        notice(s, event->life);
        break;
    case SIM_COMMITTED:
        committed(s, event->tile);
        break;
    case SIM_TICK:
        if (s->tick_at <= s->now) { /* else a later one has replaced it */
            tick(s);
        }
        break;
    case SIM_CRASH:
        sim_coordinator_crash(s);
        break;
    case SIM_HOLD:
    case SIM_RELEASE:
        set_hold(s, event->kind == SIM_HOLD);
        break;
    default: /* SIM_DRAIN */
        s->totals->drains++;
        step(s, &(pt_dispatch_event){.kind = PT_EVENT_DRAIN});
    }
    watch_clock(s);
}
