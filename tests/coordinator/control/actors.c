#include "actors.h"

#include "coordinator/control/internal.h"
#include "job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HELLO_SECONDS 1.0
#define OPEN_SECONDS 0.5
#define BEAT_SECONDS 2.0
#define REPEAT_SECONDS 3.0
#define SILENCE_SECONDS 8.0 /* of the coordinator, until a worker connects anew */

enum { CREDIT = 2 };

static void say(world *w, actor *a, pt_message *message)
{
    message->job = a->quirk == STRANGER && message->type != PT_MSG_HELLO ? a->job + 1 : a->job;
    message->epoch = a->epoch;
    transmit(w, true, a->peer, message);
}

void be_born(world *w, actor *a)
{
    stage first = SEEKS;
    uint8_t slot[PT_SLOT_ID];
    quirk q = a->quirk;
    memcpy(slot, a->slot, sizeof slot);
    *a = (actor){.stage = first,
                 .peer = ++w->next_peer,
                 .quirk = q,
                 .hello = w->now,
                 .beat = FAR,
                 .done = FAR,
                 .reborn = FAR,
                 .opened = FAR,
                 .heard = w->now,
                 .computing = -1};
    memcpy(a->slot, slot, sizeof slot);
    memset(a->instance, ++w->next_life, sizeof a->instance);
    if (q == NAMELESS) {
        memset(a->instance, 0, sizeof a->instance);
    }
}

static void die(world *w, actor *a, bool replaced)
{
    a->stage = GONE;
    a->reborn = replaced ? w->now + 1 : FAR;
}

static void say_hello(world *w, actor *a)
{
    pt_message m = {.type = PT_MSG_HELLO};
    pt_hello *h = &m.as.hello;
    memcpy(h->instance, a->instance, sizeof h->instance);
    memcpy(h->slot, a->slot, sizeof h->slot);
    snprintf(h->name, sizeof h->name, "worker %d", (int)(a - w->actors));
    snprintf(h->program, sizeof h->program, "%s", a->quirk == WRONG_PROGRAM ? "0.9" : job_spec()->program);
    h->threads = 1;
    h->wants_pixels = a->quirk == BLIND;
    h->opened = a->stage >= KNOWS;
    if (h->opened) {
        snprintf(h->backend, sizeof h->backend, "test");
        h->has_engine_sha256 = true;
        memcpy(h->engine_sha256, job_spec()->engine.sha256, 32);
        memcpy(h->job_hash, a->job_hash, 32);
        h->engine_sha256[31] ^= a->quirk == WRONG_MODEL;
        h->job_hash[31] ^= a->quirk == WRONG_JOB;
    }
    a->hello = w->now + HELLO_SECONDS;
    for (int i = 0; i < (a->quirk == IMPATIENT ? 100 : 1); i++) {
        say(w, a, &m);
    }
}

static void say_simple(world *w, actor *a, pt_message_type type)
{
    pt_message m = {.type = type};
    if (type == PT_MSG_READY) {
        m.as.credit = a->draining ? 1 : CREDIT;
    }
    if (type == PT_MSG_ASSIGN) {
        m.as.assign = (pt_assignment){.tile = 1, .attempt = 1};
    }
    say(w, a, &m);
}

static void say_beat(world *w, actor *a)
{
    pt_message m = {.type = PT_MSG_HEARTBEAT};
    pt_heartbeat *b = &m.as.heartbeat;
    b->progress = a->progress;
    b->credit = a->draining ? 0 : CREDIT;
    for (int i = 0; i < a->count; i++) {
        b->held[b->held_count++] = (pt_held){a->held[i].tile, a->held[i].attempt, a->held[i].started};
    }
    a->beat = w->now + BEAT_SECONDS;
    if (w->now - a->heard > SILENCE_SECONDS) {
        a->peer = ++w->next_peer;
        a->heard = w->now;
        a->stage = KNOWS;
        say_hello(w, a);
    } else {
        say(w, a, &m);
    }
    if (a->quirk == MEDDLES) {
        say_simple(w, a, PT_MSG_ASSIGN);
    }
}

static void say_result(world *w, actor *a, holding *h, bool differs)
{
    pt_message m = {.type = PT_MSG_RESULT};
    uint8_t nonsense[] = {255, 255, 255, 255, 255};
    pt_status failure = w->options.story ? w->options.story(h->tile, h->attempt) : pt_ok();
    h->repeat = w->now + REPEAT_SECONDS;
    m.as.result.result = job_result(h->tile, &m.as.result.payload, &m.as.result.size);
    m.as.result.result.capped = differs;
    if (failure.code != PT_OK) {
        m.type = PT_MSG_FAILED;
        m.as.result.result.outcome = PT_TILE_FAILED;
        m.as.result.result.status = failure;
        pt_free(m.as.result.payload);
        m.as.result.payload = NULL;
        m.as.result.size = 0;
    } else if (a->quirk == LIES) {
        pt_free(m.as.result.payload);
        m.as.result.result.outcome = PT_TILE_DONE;
        m.as.result.size = sizeof nonsense;
        m.as.result.payload = pt_alloc(sizeof nonsense, 1);
        memcpy(m.as.result.payload, nonsense, sizeof nonsense);
    }
    m.as.result.result.tile = a->quirk == WANDERS ? job_tiles() : h->tile;
    m.as.result.result.attempt = h->attempt;
    say(w, a, &m);
    pt_message_fini(&m);
}

static holding *find_held(actor *a, int64_t tile)
{
    for (int i = 0; i < a->count; i++) {
        if (a->held[i].tile == tile) {
            return &a->held[i];
        }
    }
    return NULL;
}

static void let_go(actor *a, holding *h)
{
    int i = (int)(h - a->held);
    if (a->computing > i) {
        a->computing--;
    }
    memmove(h, h + 1, (size_t)(--a->count - i) * sizeof *h);
}

static void begin_tile(world *w, actor *a)
{
    for (int i = 0; a->computing < 0 && i < a->count; i++) {
        holding *h = &a->held[i];
        if (h->finished) {
            continue;
        }
        h->started = true;
        a->computing = i;
        a->done = w->now + 0.05 + 0.001 * (draw(w) % 250);
        pt_message m = {.type = PT_MSG_STARTED, .as.tile = {h->tile, h->attempt, true}};
        say(w, a, &m);
        if (h->tile == w->options.poison) {
            die(w, a, true);
        } else if (a->quirk == FREEZES && w->now >= w->options.moment) {
            a->done = FAR;
        } else if (a->quirk == THAWS && w->now >= w->options.moment) {
            a->done = w->now + 10;
            a->quirk = SOUND;
        }
    }
}

static void end_tile(world *w, actor *a)
{
    holding *h = &a->held[a->computing];
    h->finished = true;
    a->computing = -1;
    a->done = FAR;
    a->progress++;
    w->report.computed++;
    say_result(w, a, h, false);
}

static void take_assign(world *w, actor *a, const pt_assignment *given)
{
    w->report.shipped += given->has_pixels;
    assert_true(given->has_pixels == (a->quirk == BLIND));
    if (find_held(a, given->tile) || a->count == PT_HELD_MAX) {
        return;
    }
    a->held[a->count++] = (holding){.tile = given->tile, .attempt = given->attempt};
    assert_true(a->count <= 8 * CREDIT);
    begin_tile(w, a);
}

static void take_ack(world *w, actor *a, int64_t tile)
{
    holding *h = find_held(a, tile);
    if (!h || !h->finished) {
        return;
    }
    assert_true(w->options.story || pt_control_settled(w->control, tile));
    w->report.acknowledged++;
    if (a->quirk == CONTRADICTS && !a->quirk_done) {
        a->quirk_done = true;
        say_result(w, a, h, true);
    }
    let_go(a, h);
    if (w->report.acknowledged == w->options.drain_at) {
        pt_control_drain(w->control, w->options.drain_now);
    }
}

static void take_revoke(actor *a, int64_t tile)
{
    holding *h = find_held(a, tile);
    if (h && !h->started) {
        let_go(a, h);
    }
}

static void end_if_drained(world *w, actor *a)
{
    if (a->draining && a->count == 0) {
        say_simple(w, a, PT_MSG_BYE);
        a->stage = GONE;
    }
}

static void take_welcome(world *w, actor *a)
{
    if (a->stage != KNOWS) {
        return;
    }
    a->stage = WORKS;
    a->hello = FAR;
    a->beat = w->now + BEAT_SECONDS;
    a->draining = a->draining || a->quirk == LEAVES_WAKING;
    say_simple(w, a, a->draining ? PT_MSG_DRAIN : PT_MSG_READY);
    for (int i = 0; i < a->count; i++) {
        if (a->held[i].finished) {
            say_result(w, a, &a->held[i], false);
        }
    }
    begin_tile(w, a);
}

static void take_job(world *w, actor *a, const pt_message *m)
{
    pt_job_spec spec = {0};
    assert_string_equal(pt_job_spec_decode(m->as.job.spec, m->as.job.size, &spec).message, "");
    assert_int_equal(pt_job_spec_hash(&spec, a->job_hash).code, PT_OK);
    pt_job_spec_fini(&spec);
    if (a->stage == SEEKS) {
        a->stage = OPENS;
        a->opened = a->quirk == LATE ? FAR : w->now + OPEN_SECONDS;
        a->hello = FAR;
    }
}

static void take_end(world *w, actor *a, const pt_message *m)
{
    if (m->type == PT_MSG_REFUSED) {
        w->report.refused++;
        memcpy(w->report.refusal, m->as.refused, sizeof w->report.refusal);
    } else {
        w->report.ended++;
        say_simple(w, a, PT_MSG_BYE);
    }
    a->stage = GONE;
}

void hear(world *w, actor *a, const pt_message *m)
{
    assert_true(m->epoch >= a->epoch);
    a->epoch = m->epoch;
    a->job = m->job;
    a->heard = w->now;
    switch (m->type) {
    case PT_MSG_HELLO:
        w->report.hellos++;
        if (a->stage == WORKS) {
            a->stage = KNOWS;
        }
        if (a->stage != OPENS) {
            say_hello(w, a);
        }
        break;
    case PT_MSG_JOB:
        w->report.jobs++;
        take_job(w, a, m);
        break;
    case PT_MSG_WELCOME:
        take_welcome(w, a);
        break;
    case PT_MSG_ASSIGN:
        take_assign(w, a, &m->as.assign);
        break;
    case PT_MSG_ACK:
        take_ack(w, a, m->as.tile.tile);
        end_if_drained(w, a);
        break;
    case PT_MSG_REVOKE:
        take_revoke(a, m->as.tile.tile);
        end_if_drained(w, a);
        break;
    case PT_MSG_DRAIN:
        a->draining = true;
        end_if_drained(w, a);
        break;
    case PT_MSG_REFUSED:
    case PT_MSG_BYE:
        take_end(w, a, m);
        break;
    default:
        assert_int_equal(m->type, PT_MSG_HEARTBEAT);
    }
}

static double moment_of(const world *w, const actor *a)
{
    bool acts = a->quirk == DIES || a->quirk == VANISHES || a->quirk == LEAVES || a->quirk == RECONNECTS;
    return acts && !a->quirk_done ? w->options.moment : FAR;
}

static double next_result(const actor *a)
{
    double due = FAR;
    for (int i = 0; i < a->count; i++) {
        due = a->held[i].finished ? earliest(due, a->held[i].repeat) : due;
    }
    return due;
}

double due_of(const world *w, const actor *a)
{
    switch (a->stage) {
    case GONE:
        return a->reborn;
    case OPENS:
        return earliest(a->opened, moment_of(w, a));
    case WORKS:
        return earliest(earliest(a->beat, a->done), earliest(next_result(a), moment_of(w, a)));
    default:
        return earliest(earliest(a->hello, a->done), moment_of(w, a));
    }
}

static void follow_quirk(world *w, actor *a)
{
    a->quirk_done = true;
    if (a->quirk == DIES || a->quirk == VANISHES) {
        die(w, a, a->quirk == DIES);
        a->quirk = SOUND;
    } else if (a->quirk == LEAVES) {
        a->draining = true;
        say_simple(w, a, PT_MSG_DRAIN);
        for (int i = a->count - 1; i >= 0; i--) { /* what is not begun goes to others */
            if (!a->held[i].started) {
                let_go(a, &a->held[i]);
            }
        }
        end_if_drained(w, a);
    } else if (a->stage == WORKS) {
        a->peer = ++w->next_peer;
        a->stage = KNOWS;
        say_hello(w, a);
    }
}

/* Once is enough: the world comes again. */
void act(world *w, actor *a)
{
    if (a->stage == GONE) {
        be_born(w, a);
    } else if (w->now >= moment_of(w, a)) {
        follow_quirk(w, a);
    } else if (w->now >= a->done) {
        end_tile(w, a);
        begin_tile(w, a);
    } else if (a->stage == OPENS) {
        a->stage = KNOWS;
        say_hello(w, a);
    } else if (a->stage != WORKS) {
        say_hello(w, a);
    } else if (w->now >= a->beat) {
        say_beat(w, a);
    } else {
        for (int i = 0; i < a->count; i++) {
            if (a->held[i].finished && w->now >= a->held[i].repeat) {
                say_result(w, a, &a->held[i], false);
            }
        }
    }
}

void finish_before(world *w, actor *a)
{
    a->stage = WORKS;
    a->hello = FAR;
    a->beat = w->now;
    a->epoch = 1;
    assert_int_equal(pt_job_spec_hash(job_spec(), a->job_hash).code, PT_OK);
    for (int i = 7; i >= 0; i--) {
        a->job = a->job << 8 | a->job_hash[i];
    }
    for (int i = 0; i < w->options.finished_first; i++) {
        a->held[a->count++] =
            (holding){.tile = 3 * i, .attempt = 1, .started = true, .finished = true, .repeat = 0.5};
    }
}
