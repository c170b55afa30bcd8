/* What the worker hears. */
#include "worker/loop/internal.h"

#include <math.h>
#include <string.h>

enum { CREDIT_MODEL = 4, CREDIT_OTHERS = 16 };
static const double shortest_heartbeat = 0.05, longest_heartbeat = 60; /* seconds */

void pt_loop_end(pt_worker_loop *w, pt_worker_end how, pt_status why)
{
    if (!w->over) {
        static const char *const names[] = {"bye", "refused", "lost", "failed"};
        PT_DEBUG("worker ends", PT_S("by", names[how]), PT_I("phase", w->phase), PT_S("why", why.message));
        w->over = true;
        w->how = how;
        w->why = why;
    }
}

/* --- the job --- */

static uint64_t id_of(const uint8_t hash[PT_SHA256_BYTES])
{
    uint64_t id = 0;
    for (int i = 0; i < 8; i++) {
        id |= (uint64_t)hash[i] << (8 * i);
    }
    return id;
}

static int credit_of(const pt_worker_loop *w)
{
    if (w->options->credit > 0) {
        return w->options->credit;
    }
    switch (w->spec.engine.kind) {
    case PT_ENGINE_NULL:
        return PT_HELD_MAX;
    case PT_ENGINE_ORACLE:
    case PT_ENGINE_REPLAY:
        return CREDIT_OTHERS;
    case PT_ENGINE_MODEL:
        break;
    }
    return CREDIT_MODEL;
}

static void hear_job(pt_worker_loop *w, const pt_message *message)
{
    pthread_mutex_lock(&w->lock);
    bool repeated = w->opening != PT_OPENING_NOT;
    pthread_mutex_unlock(&w->lock);
    if (repeated) {
        return; /* a repeat: HELLO and JOB have crossed */
    }
    pt_status status = pt_job_spec_decode(message->as.job.spec, message->as.job.size, &w->spec);
    if (status.code == PT_OK) {
        status = pt_job_spec_hash(&w->spec, w->hello.job_hash);
    }
    if (status.code != PT_OK) {
        pt_worker_end how = status.code == PT_E_NOMEM ? PT_WORKER_FAILED : PT_WORKER_REFUSED;
        pt_speak_bye(w, status.message);
        pt_loop_end(w, how, pt_context(status, "the job that the coordinator sent"));
        return;
    }
    double heartbeat = message->as.job.heartbeat_seconds;
    if (heartbeat > 0) {
        w->heartbeat_seconds = fmin(fmax(heartbeat, shortest_heartbeat), longest_heartbeat);
    }
    w->job_id = id_of(w->hello.job_hash);
    w->epoch = message->epoch;
    w->credit = credit_of(w);
    w->phase = PT_PHASE_OPENING;
    pthread_mutex_lock(&w->lock);
    w->opening = PT_OPENING_WANTED;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void hear_welcome(pt_worker_loop *w)
{
    if (w->phase != PT_PHASE_GREETING || !w->hello.opened) {
        return;
    }
    if (w->check_status.code != PT_OK) { /* it should have been refused */
        pt_speak_bye(w, w->check_status.message);
        pt_loop_end(w, PT_WORKER_REFUSED, w->check_status);
        return;
    }
    w->phase = PT_PHASE_WORKING;
    w->heartbeat_due = w->now; /* a coordinator that was restarted learns what is held */
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < PT_HELD_MAX; i++) {
        w->tiles[i].told = false;
        w->tiles[i].sent = -1;
    }
    pthread_mutex_unlock(&w->lock);
    pt_speak_type(w, w->draining ? PT_MSG_DRAIN : PT_MSG_READY);
}

/* Who speaks is not known there: another coordinator, or one that has given this worker up. */
static void hear_hello(pt_worker_loop *w)
{
    if (w->phase == PT_PHASE_WORKING) {
        w->phase = PT_PHASE_GREETING;
        pt_speak_hello(w);
    }
}

/* --- tiles --- */

/* Whether the tile was acknowledged under this attempt or a later one: its ASSIGN is an old repeat. */
static bool was_settled(const pt_worker_loop *w, int64_t tile, int attempt)
{
    for (size_t i = 0; i < PT_FORGOTTEN_MAX; i++) {
        if (w->forgotten[i].started && w->forgotten[i].tile == tile && attempt <= w->forgotten[i].attempt) {
            return true;
        }
    }
    return false;
}

static void remember_settled(pt_worker_loop *w, int64_t tile, int attempt)
{
    w->forgotten[w->forgotten_next] = (pt_held){tile, attempt, true};
    w->forgotten_next = (w->forgotten_next + 1) % PT_FORGOTTEN_MAX;
}

/* The tile is held. A repeat changes nothing but that a result is said again; a newer attempt is what the
 * answer will be under, and where there was a failure it is a new try. */
static void assign_again(pt_worker_loop *w, pt_held_tile *t, pt_assignment *a)
{
    if (a->attempt < t->assignment.attempt) {
        return;
    }
    bool newer = a->attempt > t->assignment.attempt;
    if (t->state == PT_HELD_FINISHED && newer && t->result.outcome == PT_TILE_FAILED) {
        pt_tiles_restart(w, t, a->attempt);
        return;
    }
    t->assignment.attempt = a->attempt;
    t->told = t->told && !newer;
    t->sent = -1;
}

static void hear_assign(pt_worker_loop *w, pt_assignment *a)
{
    size_t group;
    int64_t index;
    pt_grid grid;
    if (w->draining || was_settled(w, a->tile, a->attempt)) {
        return;
    }
    if (pt_job_spec_locate(&w->spec, a->tile, &group, &grid, &index).code != PT_OK) {
        PT_WARN("the coordinator assigned a tile that the job does not have", PT_I("tile", a->tile));
        return;
    }
    pthread_mutex_lock(&w->lock);
    pt_held_tile *t = pt_tiles_find(w, a->tile);
    if (t) {
        assign_again(w, t, a);
    } else if (!pt_tiles_add(w, a, group, pt_grid_window(&grid, index))) {
        PT_DEBUG("more tiles were assigned than there is credit for", PT_I("tile", a->tile));
    }
    pthread_mutex_unlock(&w->lock);
}

/* Of a failure only the attempt that is meant: one that the coordinator has not heard of stays. */
static void hear_ack(pt_worker_loop *w, const pt_held *ack)
{
    pthread_mutex_lock(&w->lock);
    pt_held_tile *t = pt_tiles_find(w, ack->tile);
    if (t && t->state == PT_HELD_FINISHED &&
        (t->result.outcome != PT_TILE_FAILED || ack->attempt >= t->assignment.attempt)) {
        remember_settled(w, ack->tile, t->assignment.attempt);
        w->beat_due = w->settled++ == 0 ? w->now : w->beat_due;
        pt_tiles_free(w, t);
    }
    pthread_mutex_unlock(&w->lock);
}

static void hear_revoke(pt_worker_loop *w, const pt_held *revoked)
{
    pthread_mutex_lock(&w->lock);
    pt_held_tile *t = pt_tiles_find(w, revoked->tile);
    if (t && revoked->attempt >= t->assignment.attempt) {
        pt_tiles_drop(w, t);
    }
    pthread_mutex_unlock(&w->lock);
}

/* --- all --- */

/* False for what comes from another job's coordinator, or from an earlier life of this one's. */
static bool concerns(pt_worker_loop *w, const pt_message *message)
{
    bool other = w->job_id != 0 && message->job != 0 && message->job != w->job_id;
    if (other && (message->type == PT_MSG_HELLO || message->type == PT_MSG_JOB)) {
        pt_speak_bye(w, "another job");
        pt_loop_end(w, PT_WORKER_FAILED,
                    pt_error(PT_E_INPUT, "the coordinator at this address runs another job now"));
    }
    return !other && message->epoch >= w->epoch;
}

static void hear_end(pt_worker_loop *w, const pt_message *message)
{
    if (message->type == PT_MSG_REFUSED) {
        pt_loop_end(w, PT_WORKER_REFUSED,
                    pt_error(PT_E_INPUT, "refused by the coordinator: %.400s", message->as.refused));
        return;
    }
    if (!w->leaving) {
        pt_speak_bye(w, "");
    }
    pt_loop_end(w, PT_WORKER_BYE, pt_ok());
}

void pt_hear(pt_worker_loop *w, pt_message *message)
{
    if (!concerns(w, message)) {
        return;
    }
    w->epoch = message->epoch;
    w->silent = w->quiet = 0;
    if (w->leaving && message->type != PT_MSG_BYE && message->type != PT_MSG_REFUSED) {
        return; /* nothing is wanted any more, and nothing said */
    }
    switch (message->type) {
    case PT_MSG_JOB:
        hear_job(w, message);
        break;
    case PT_MSG_WELCOME:
        hear_welcome(w);
        break;
    case PT_MSG_HELLO:
        hear_hello(w);
        break;
    case PT_MSG_ASSIGN:
        if (w->phase == PT_PHASE_WORKING) {
            hear_assign(w, &message->as.assign);
        }
        break;
    case PT_MSG_ACK:
        hear_ack(w, &message->as.tile);
        break;
    case PT_MSG_REVOKE:
        hear_revoke(w, &message->as.tile);
        break;
    case PT_MSG_DRAIN:
        w->draining = true;
        w->heartbeat_due = w->now; /* tells what is given back */
        break;
    case PT_MSG_REFUSED:
    case PT_MSG_BYE:
        hear_end(w, message);
        break;
    case PT_MSG_READY:
    case PT_MSG_STARTED:
    case PT_MSG_RESULT:
    case PT_MSG_FAILED:
    case PT_MSG_HEARTBEAT:
    case PT_MSG_TYPES:
        break;
    }
}
