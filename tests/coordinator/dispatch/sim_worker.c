/* A worker as the protocol wants it, on a machine as the world has it. */
#include "tests/coordinator/dispatch/sim.h"

static const double beat_every = 2;

void sim_worker_spawn(sim *s, int slot)
{
    sim_worker *w = &s->workers[slot];
    if (w->life || w->gone || s->life_count + 1 >= SIM_LIVES) {
        return;
    }
    uint32_t life = ++s->life_count;
    *w = (sim_worker){.life = life, .speed = slot == 0 ? s->c.slow : 1, .computing = -1};
    s->lives[life] = (sim_life){.slot = slot};
    sim_put(s, 0, (sim_event){.kind = SIM_BEAT, .slot = slot, .life = life});
}

static void end_life(sim *s, int slot, bool by_itself)
{
    sim_worker *w = &s->workers[slot];
    uint32_t life = w->life;
    w->life = 0;
    bool calm = s->now >= s->c.quiet;
    w->gone = slot > 0 && !calm && sim_happens(s, s->c.lost);
    if (!by_itself && sim_happens(s, s->c.notice)) {
        sim_put(s, 0.1 + sim_chance(s), (sim_event){.kind = SIM_NOTICE, .slot = slot, .life = life});
    }
    sim_put(s, 0.1 + 3 * sim_chance(s), (sim_event){.kind = SIM_SPAWN, .slot = slot});
}

static void say(sim *s, sim_worker *w, sim_message message)
{
    message.epoch = w->epoch;
    message.credit = s->c.credit;
    sim_send(s, false, w->life, &message);
}

static void forget(sim_worker *w, size_t i)
{
    w->held[i] = w->held[--w->held_count];
    if (w->computing == (int)w->held_count) {
        w->computing = (int)i;
    }
}

static size_t find(const sim_worker *w, int64_t tile)
{
    size_t i = 0;
    while (i < w->held_count && w->held[i].tile != tile) {
        i++;
    }
    return i;
}

/* The compute thread takes the next tile. Chance decides now what becomes of it. */
static void compute(sim *s, int slot)
{
    sim_worker *w = &s->workers[slot];
    size_t i = 0;
    while (i < w->held_count && w->held[i].started) {
        i++;
    }
    if (w->computing >= 0 || i == w->held_count) {
        return;
    }
    sim_held *h = &w->held[i];
    h->started = true;
    w->computing = (int)i;
    w->since = s->now;
    s->begun[w->life * (size_t)s->c.tiles + (size_t)h->tile] = 1;
    say(s, w, (sim_message){.type = SAY_STARTED, .tile = h->tile, .attempt = h->attempt});
    bool calm = s->now >= s->c.quiet;
    w->wedged = s->tiles[h->tile].nature == TILE_STUCK || (!calm && sim_happens(s, s->c.wedge));
    if (w->wedged) {
        s->totals->wedged++;
        if (s->c.kill_after > 0 || calm) {
            sim_put(s, calm ? 90 : s->c.kill_after,
                    (sim_event){.kind = SIM_KILLED, .slot = slot, .life = w->life});
        }
        return;
    }
    double seconds = s->c.seconds * w->speed * (1 + s->c.spread * (2 * sim_chance(s) - 1));
    sim_put(s, seconds, (sim_event){.kind = SIM_COMPUTED, .slot = slot, .life = w->life, .tile = h->tile});
}

static void find_answer(sim *s, const sim_worker *w, sim_held *h)
{
    sim_tile *t = &s->tiles[h->tile];
    int time = t->computed++;
    h->answered = true;
    h->seconds = s->now - w->since;
    h->retryable = t->nature != TILE_HOPELESS;
    h->blame = t->nature == TILE_GREEDY;
    h->failed = t->nature == TILE_FAILS || t->nature == TILE_HOPELESS || t->nature == TILE_GREEDY ||
                (t->nature == TILE_FLAKY && time % 2 == 0);
    h->digest = 1000 + (uint64_t)h->tile;
    if (sim_happens(s, s->c.forge)) {
        h->digest += 1 + (uint64_t)sim_below(s, 5000);
    }
}

static void say_answer(sim *s, sim_worker *w, const sim_held *h)
{
    say(s, w,
        (sim_message){.type = h->failed ? SAY_FAILED : SAY_RESULT,
                      .tile = h->tile,
                      .attempt = h->attempt,
                      .digest = h->digest,
                      .seconds = h->seconds,
                      .retryable = h->retryable,
                      .blame = h->blame});
}

static void computed(sim *s, int slot, int64_t tile)
{
    sim_worker *w = &s->workers[slot];
    bool calm = s->now >= s->c.quiet;
    if (s->tiles[tile].nature == TILE_POISON || (!calm && sim_happens(s, s->c.crash))) {
        s->totals->crashes++;
        s->tiles[tile].deaths++;
        end_life(s, slot, false);
        return;
    }
    sim_held *h = &w->held[w->computing];
    find_answer(s, w, h);
    w->progress++;
    w->computing = -1;
    say_answer(s, w, h);
    if (!calm && sim_happens(s, s->c.freeze)) {
        s->totals->frozen++;
        bool cut = sim_happens(s, 0.5);
        *(cut ? &w->cut : &w->frozen) = s->now + 100 * sim_chance(s) * sim_chance(s);
    }
    compute(s, slot);
}

static void beat(sim *s, int slot)
{
    sim_worker *w = &s->workers[slot];
    sim_put(s, beat_every, (sim_event){.kind = SIM_BEAT, .slot = slot, .life = w->life});
    if (!w->welcomed) {
        say(s, w, (sim_message){.type = SAY_HELLO});
        return;
    }
    w->progress += w->computing >= 0 && !w->wedged;
    sim_message m = {.type = SAY_BEAT, .progress = w->progress};
    for (size_t i = 0; i < w->held_count; i++) {
        const sim_held *h = &w->held[i];
        m.held[m.held_count++] = (pt_dispatch_held){h->tile, h->attempt, h->started};
        if (h->answered && sim_happens(s, 0.6)) {
            say_answer(s, w, h);
        }
    }
    say(s, w, m);
    if (s->now < s->c.quiet && w->computing < 0 && sim_happens(s, s->c.leave)) {
        say(s, w, (sim_message){.type = SAY_BYE});
        end_life(s, slot, true);
    }
}

static void receive(sim *s, int slot, const sim_message *m)
{
    sim_worker *w = &s->workers[slot];
    size_t i = find(w, m->tile);
    bool held = i < w->held_count;
    size_t tile = m->tile < 0 ? 0 : (size_t)m->tile; /* -1 in messages about no tile */
    uint16_t *acked = &s->acked[w->life * (size_t)s->c.tiles + tile];
    switch (m->type) {
    case SAY_WELCOME:
        w->welcomed = w->welcomed || m->epoch >= w->epoch;
        w->epoch = m->epoch > w->epoch ? m->epoch : w->epoch;
        break;
    case SAY_AGAIN:
        w->welcomed = false;
        say(s, w, (sim_message){.type = SAY_HELLO});
        break;
    case SAY_ASSIGN:
        /* What was acknowledged is not taken again: it would be an old repeat. */
        if (!held && m->epoch >= w->epoch && w->held_count < SIM_HELD && m->attempt > *acked) {
            w->held[w->held_count++] = (sim_held){.tile = m->tile, .attempt = m->attempt};
            compute(s, slot);
        }
        break;
    case SAY_ACK:
        if (held && w->held[i].answered) {
            *acked = (uint16_t)w->held[i].attempt;
            forget(w, i);
        }
        break;
    case SAY_REVOKE:
        if (held && !w->held[i].started) {
            forget(w, i);
        }
        break;
    default: /* SAY_BYE: some stay, having missed why */
        if (w->wedged || sim_happens(s, 0.7)) {
            end_life(s, slot, true);
        } else {
            w->welcomed = false;
        }
    }
}

void sim_worker_event(sim *s, const sim_event *event)
{
    sim_worker *w = &s->workers[event->slot];
    if (event->kind == SIM_SPAWN) {
        sim_worker_spawn(s, event->slot);
        return;
    }
    if (w->life != event->life) {
        return; /* meant for one who is dead */
    }
    if (event->slot == 0 && s->c.silent > 0 && s->now >= s->c.silent) {
        return;
    }
    if (event->kind == SIM_KILLED) {
        if (w->wedged) {
            s->tiles[w->held[w->computing].tile].deaths++;
            end_life(s, event->slot, false);
        }
        return;
    }
    if (w->frozen > s->now) { /* SIGSTOP: all waits */
        sim_put(s, w->frozen - s->now, *event);
        return;
    }
    if (event->kind == SIM_TO_WORKER) {
        receive(s, event->slot, &event->message);
    } else if (event->kind == SIM_COMPUTED) {
        computed(s, event->slot, event->tile);
    } else {
        beat(s, event->slot);
    }
}
