/* One job: the conditions, the world, the end. */
#include "tests/coordinator/dispatch/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double rare(sim *s, double probability, double most)
{
    return sim_happens(s, probability) ? most * sim_chance(s) : 0;
}

/* Small jobs: what can go wrong goes wrong among few tiles and workers as well. */
void sim_job_draw(uint64_t seed, sim_conditions *c)
{
    sim s = {.random = seed * 0x2545f4914f6cdd1du};
    *c = (sim_conditions){.tiles = 1 + sim_below(&s, sim_happens(&s, 0.2) ? 40 : 10),
                          .slots = 1 + (int)sim_below(&s, 6),
                          .credit = 1 + (int)sim_below(&s, 4),
                          .seconds = 0.05 + 2 * sim_chance(&s),
                          .spread = 0.9 * sim_chance(&s),
                          .slow = sim_happens(&s, 0.3) ? 10 : 1};
    c->drop = rare(&s, 0.5, 0.3);
    c->twice = rare(&s, 0.5, 0.3);
    c->delay = rare(&s, 0.7, 2);
    c->crash = rare(&s, 0.5, 0.3);
    c->freeze = rare(&s, 0.2, 0.2);
    c->wedge = rare(&s, 0.1, 0.1);
    c->forge = rare(&s, 0.1, 0.5);
    c->leave = rare(&s, 0.2, 0.1);
    c->lost = rare(&s, 0.5, 0.5);
    c->notice = sim_happens(&s, 0.7) ? sim_chance(&s) : 1;
    c->slots_known = sim_happens(&s, 0.7);
    c->kill_after = sim_happens(&s, 0.7) ? 30 + 100 * sim_chance(&s) : 0;
    c->commit = rare(&s, 0.8, sim_happens(&s, 0.2) ? 3 : 0.05);
    c->restarts = sim_happens(&s, 0.3) ? 1 + (int)sim_below(&s, 3) : 0;
    c->holds = sim_happens(&s, 0.2) ? 1 + (int)sim_below(&s, 3) : 0;
    c->drain = rare(&s, 0.2, 20);
    c->nomem = rare(&s, 0.1, 0.2);
    c->quiet = 5 + 60 * sim_chance(&s);
    c->limit = 0;
}

static pt_dispatch_options draw_options(sim *s)
{
    pt_dispatch_options o = pt_dispatch_defaults();
    o.ahead = sim_happens(s, 0.5) ? 1 + sim_below(s, s->c.tiles) : 0;
    o.attempts = 1 + (int)sim_below(s, 4);
    o.strikes = 1 + (int)sim_below(s, 4);
    o.hold_max = 1 + (int)sim_below(s, 8);
    o.speculate_factor = sim_happens(s, 0.8) ? 1 + 2 * sim_chance(s) : 0;
    return o;
}

static sim_nature draw_nature(sim *s)
{
    return sim_happens(s, 0.93) ? TILE_GOOD : (sim_nature)sim_below(s, TILE_NATURES);
}

static void lay_tiles(sim *s, bool bad_tiles)
{
    for (int64_t i = 0; i < s->c.tiles; i++) {
        int64_t j = sim_below(s, i + 1);
        s->order_of[i] = s->order_of[j];
        s->order_of[j] = i;
    }
    s->calm_tiles = true;
    for (int64_t i = 0; i < s->c.tiles; i++) {
        s->tiles[s->order_of[i]].place = i;
        s->tiles[i].nature = bad_tiles ? draw_nature(s) : TILE_GOOD;
        s->totals->natures[s->tiles[i].nature]++;
        s->calm_tiles &= s->tiles[i].nature != TILE_POISON && s->tiles[i].nature != TILE_STUCK;
    }
}

/* A bound found by running: the worst tile keeps each of its strikes waiting for stall and expiry, one after
 * the other, and the others wait behind it. */
static double limit_of(const sim *s)
{
    double limit = s->c.quiet + 250;
    double each = s->c.seconds * s->c.slow * (1 + s->c.spread);
    for (int64_t i = 0; i < s->c.tiles; i++) {
        bool lethal = s->tiles[i].nature == TILE_POISON || s->tiles[i].nature == TILE_STUCK;
        limit += lethal ? 120 * s->options.strikes : each * s->options.attempts;
    }
    return limit;
}

static void plan_events(sim *s)
{
    for (int slot = 0; slot < s->c.slots; slot++) {
        sim_put(s, sim_chance(s), (sim_event){.kind = SIM_SPAWN, .slot = slot});
    }
    double busy = s->c.quiet < 20 ? s->c.quiet : 20;
    for (int i = 0; i < s->c.restarts; i++) {
        sim_put(s, busy * sim_chance(s), (sim_event){.kind = SIM_CRASH});
    }
    for (int i = 0; i < s->c.holds; i++) {
        sim_put(s, busy * sim_chance(s), (sim_event){.kind = SIM_HOLD});
    }
    if (s->c.drain > 0) {
        sim_put(s, s->c.drain, (sim_event){.kind = SIM_DRAIN});
    }
}

static void play(sim *s)
{
    sim_event event;
    while (!s->ended && sim_next(s, &event)) {
        if (s->now > s->limit) {
            sim_fail(s, "not over after %.0f s, with %" PRId64 " of %" PRId64 " tiles settled", s->now,
                     s->settled_count, s->c.tiles);
        } else if (event.kind == SIM_TO_WORKER || event.kind == SIM_BEAT || event.kind == SIM_COMPUTED ||
                   event.kind == SIM_KILLED || event.kind == SIM_SPAWN) {
            sim_worker_event(s, &event);
        } else {
            sim_coordinator_event(s, &event);
        }
    }
    if (!s->ended) {
        sim_fail(s, "nothing happens any more");
    }
}

/* Whether each tile ended as its nature wants. Good tiles may have been unlucky: sim_actions.c has checked.
 */
static void check_end(sim *s)
{
    bool calm = s->c.crash + s->c.freeze + s->c.wedge + s->c.leave == 0 && s->c.restarts == 0;
    bool clear = calm && s->c.drop == 0 && s->c.delay < 0.1; /* STARTED comes in time */
    for (int64_t i = 0; i < s->c.tiles && !s->error[0]; i++) {
        const sim_tile *t = &s->tiles[i];
        bool hopeless = t->nature != TILE_GOOD && t->nature != TILE_FLAKY;
        if (!t->settled || (hopeless && !t->quarantined)) {
            sim_fail(s, "tile %" PRId64 " of nature %d is not quarantined", i, (int)t->nature);
        }
        if (calm && t->quarantined && t->nature == TILE_GOOD && s->calm_tiles) {
            sim_fail(s, "good tile %" PRId64 " is quarantined", i);
        }
        if (clear && t->nature == TILE_POISON && t->deaths > s->options.strikes) {
            sim_fail(s, "poison tile %" PRId64 " has killed %d workers", i, t->deaths);
        }
        s->totals->settled++;
        s->totals->quarantined += t->quarantined;
    }
}

static void tally(sim *s, uint64_t seed)
{
    s->totals->jobs++;
    if (s->dispatch) {
        pt_dispatch_stats stats = pt_dispatch_describe(s->dispatch);
        s->totals->speculated += stats.speculated;
        s->totals->wasted += stats.wasted;
        s->totals->retries += stats.retries;
    }
    if (s->now / s->limit > s->totals->longest) {
        s->totals->longest = s->now / s->limit;
        s->totals->longest_seed = seed;
    }
}

bool sim_job_run(uint64_t seed, const sim_conditions *c, const pt_dispatch_options *options, bool check,
                 sim_totals *totals, double *seconds, char error[256])
{
    size_t tiles = (size_t)c->tiles;
    sim *s = calloc(1, sizeof *s);
    *s = (sim){.c = *c,
               .random = seed,
               .check = check,
               .totals = totals,
               .tiles = calloc(tiles, sizeof *s->tiles),
               .order_of = calloc(tiles, sizeof *s->order_of),
               .begun = calloc(SIM_LIVES * tiles, sizeof *s->begun),
               .acked = calloc(SIM_LIVES * tiles, sizeof *s->acked),
               .given = calloc(SIM_LIVES * tiles, sizeof *s->given)};
    if (!s->tiles || !s->order_of || !s->begun || !s->acked || !s->given) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    s->options = options ? *options : draw_options(s);
    lay_tiles(s, !options && sim_happens(s, 0.6));
    s->limit = c->limit > 0 ? c->limit : limit_of(s);
    sim_coordinator_start(s);
    plan_events(s);
    play(s);
    check_end(s);
    tally(s, seed);
    *seconds = s->now;
    memcpy(error, s->error, sizeof s->error);
    bool good = s->error[0] == '\0';
    pt_dispatch_free(&s->dispatch);
    pt_dispatch_actions_fini(&s->actions);
    free(s->events);
    free(s->heap);
    free(s->spare);
    free(s->tiles);
    free(s->order_of);
    free(s->begun);
    free(s->acked);
    free(s->given);
    free(s);
    return good;
}
