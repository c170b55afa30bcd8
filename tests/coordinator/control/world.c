#include "world.h"

#include "actors.h"
#include "coordinator/control/internal.h"
#include "job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static world *of_hub(const pt_hub *hub)
{
    return (world *)(uintptr_t)hub;
}

unsigned draw(world *w)
{
    w->seed = w->seed * 1664525u + 1013904223u;
    return w->seed >> 8;
}

static bool chance(world *w, double probability)
{
    return (double)(draw(w) % 100000) < probability * 100000;
}

/* Only what the control allocates may fail. */
static void enter(world *w)
{
    if (w->left >= 0) {
        long used = pt_alloc_count() - w->since;
        w->left = used < w->left ? w->left - used : 0;
        pt_alloc_fail_after(-1);
    }
}

static void leave(world *w)
{
    w->since = pt_alloc_count();
    pt_alloc_fail_after(w->left);
}

/* The wire. */

static void enqueue(world *w, bool to_hub, pt_peer peer, const pt_message *message)
{
    parcel p = {.at = w->now + 0.0001 + w->options.late * (draw(w) % 1000) / 1000,
                .order = w->next_order++,
                .to_hub = to_hub,
                .peer = peer};
    assert_true(peer < 4 * WORLD_WORKERS && w->count < PARCELS);
    double *last = &w->last_at[to_hub][peer];
    p.at = p.at < *last ? *last : p.at;
    *last = p.at;
    assert_string_equal(pt_message_encode(message, &p.bytes, &p.size).message, "");
    w->parcels[w->count++] = p;
}

static bool is_expelled(const world *w, pt_peer peer)
{
    for (int i = 0; i < w->report.expelled; i++) {
        if (w->expelled[i] == peer) {
            return true;
        }
    }
    return false;
}

void transmit(world *w, bool to_hub, pt_peer peer, const pt_message *message)
{
    bool cut = w->now >= w->options.cut_from && w->now < w->options.cut_until;
    if (w->lost[message->type] < w->options.lose_first[message->type]) {
        w->lost[message->type]++;
        return;
    }
    if (cut || is_expelled(w, peer) || chance(w, w->options.lose)) {
        return;
    }
    enqueue(w, to_hub, peer, message);
    if (chance(w, w->options.twice)) {
        enqueue(w, to_hub, peer, message);
    }
}

/* The hub. */

static bool comes_before(const parcel *a, const parcel *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static parcel *next_parcel(world *w)
{
    parcel *first = NULL;
    for (size_t i = 0; i < w->count; i++) {
        if (!first || comes_before(&w->parcels[i], first)) {
            first = &w->parcels[i];
        }
    }
    return first;
}

static actor *next_actor(world *w)
{
    actor *first = NULL;
    for (int i = 0; i < w->options.workers; i++) {
        if (!first || due_of(w, &w->actors[i]) < due_of(w, first)) {
            first = &w->actors[i];
        }
    }
    return first;
}

static void deliver(world *w, const parcel *p)
{
    pt_message m = {0};
    assert_string_equal(pt_message_decode(p->bytes, p->size, &m).message, "");
    for (int i = 0; i < w->options.workers; i++) {
        actor *a = &w->actors[i];
        if (a->stage != GONE && a->peer == p->peer) {
            hear(w, a, &m);
        }
    }
    pt_message_fini(&m);
}

/* One event that is due by `until`: true, and a message when it was for the hub. */
static bool pass_event(world *w, double until, pt_peer *peer, pt_message *out, bool *got)
{
    parcel *p = next_parcel(w);
    actor *a = next_actor(w);
    double parcel_at = p ? p->at : FAR;
    double actor_at = a ? due_of(w, a) : FAR;
    if (earliest(parcel_at, actor_at) > until) {
        return false;
    }
    if (actor_at < parcel_at) {
        w->now = actor_at > w->now ? actor_at : w->now;
        act(w, a);
        return true;
    }
    parcel taken = *p;
    *p = w->parcels[--w->count];
    w->now = taken.at > w->now ? taken.at : w->now;
    if (!taken.to_hub) {
        deliver(w, &taken);
    } else if (!is_expelled(w, taken.peer)) {
        assert_string_equal(pt_message_decode(taken.bytes, taken.size, out).message, "");
        *peer = taken.peer;
        *got = true;
        w->stats.received++;
    }
    pt_free(taken.bytes);
    return true;
}

static pt_status world_receive(pt_hub *hub, int timeout_ms, pt_peer *peer, pt_message *out, bool *got)
{
    world *w = of_hub(hub);
    double until = timeout_ms < 0 ? FAR : w->now + 0.001 * timeout_ms;
    *got = false;
    w->report.receives++;
    enter(w);
    while (!*got && !atomic_exchange(&w->woken, false)) {
        if (!pass_event(w, until, peer, out, got)) {
            assert_true(until < FAR); /* nothing will ever happen again */
            w->now = until;
            break;
        }
    }
    leave(w);
    return pt_ok();
}

static pt_status world_send(pt_hub *hub, pt_peer peer, const pt_message *message, bool *reached)
{
    world *w = of_hub(hub);
    enter(w);
    transmit(w, false, peer, message);
    leave(w);
    w->stats.sent++;
    if (reached) {
        *reached = true;
    }
    return pt_ok();
}

static void world_expel(pt_hub *hub, pt_peer peer)
{
    world *w = of_hub(hub);
    assert_true(w->report.expelled < WORLD_WORKERS);
    w->expelled[w->report.expelled++] = peer;
}

static void world_wake(pt_hub *hub)
{
    atomic_store(&of_hub(hub)->woken, true);
}

static pt_link_stats world_stats(const pt_hub *hub)
{
    return of_hub(hub)->stats;
}

static void world_close(pt_hub *hub)
{
    world *w = of_hub(hub);
    for (size_t i = 0; i < w->count; i++) {
        pt_free(w->parcels[i].bytes);
    }
    free(w);
}

static const pt_hub_vtable vtable = {.receive = world_receive,
                                     .send = world_send,
                                     .expel = world_expel,
                                     .wake = world_wake,
                                     .stats = world_stats,
                                     .close = world_close};

world_options world_defaults(unsigned seed, int workers)
{
    return (world_options){.seed = seed,
                           .workers = workers,
                           .late = 0.01,
                           .cut_from = FAR,
                           .cut_until = FAR,
                           .moment = 1.5,
                           .poison = -1,
                           .allocations = -1};
}

pt_hub *world_new(const world_options *options)
{
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->hub.vtable = &vtable;
    w->left = -1;
    w->options = *options;
    w->seed = options->seed;
    for (int i = 0; i < options->workers; i++) {
        w->actors[i].quirk = options->quirks[i];
        w->actors[i].slot[PT_SLOT_ID - 1] = (uint8_t)(i + 1);
        be_born(w, &w->actors[i]);
    }
    if (options->finished_first) {
        finish_before(w, &w->actors[0]);
    }
    return &w->hub;
}

static double world_clock(void *user)
{
    return ((world *)user)->now;
}

pt_status world_run(pt_hub *hub, pt_control *control)
{
    world *w = of_hub(hub);
    w->control = control;
    control->clock = world_clock;
    control->clock_user = w;
    w->left = w->options.allocations;
    leave(w);
    pt_status status = pt_control_run(control);
    pt_alloc_fail_after(-1);
    w->left = -1;
    return status;
}

void world_free(pt_hub **hub)
{
    pt_hub_close(hub);
}

world_report world_look(const pt_hub *hub)
{
    world_report report = of_hub(hub)->report;
    report.now = of_hub(hub)->now;
    return report;
}
