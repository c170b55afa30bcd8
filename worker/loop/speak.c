/* What the worker says. */
#include "worker/loop/internal.h"

#include <stdio.h>
#include <string.h>

static const double repeat_hello = 1, repeat_result = 5, longest_sleep = 1; /* seconds */

/* Only memory can run out here; the worker ends on it, and what it held goes to others. */
static void send(pt_worker_loop *w, pt_message *message)
{
    if (message->type != PT_MSG_HELLO) {
        message->job = w->job_id;
        message->epoch = w->epoch;
    }
    pt_status status = pt_end_send(w->end, message);
    if (status.code != PT_OK) {
        pt_loop_end(w, PT_WORKER_FAILED, pt_context(status, "%s", pt_message_name(message->type)));
    }
}

void pt_speak_hello(pt_worker_loop *w)
{
    pt_message message = {.type = PT_MSG_HELLO, .as.hello = w->hello};
    send(w, &message);
    w->hello_due = w->now + repeat_hello;
}

void pt_speak_type(pt_worker_loop *w, pt_message_type type)
{
    pt_message message = {.type = type};
    if (type == PT_MSG_READY) {
        message.as.credit = w->credit;
    }
    send(w, &message);
}

void pt_speak_bye(pt_worker_loop *w, const char *why)
{
    pt_message message = {.type = PT_MSG_BYE};
    snprintf(message.as.bye, sizeof message.as.bye, "%s", why);
    send(w, &message);
}

static void send_heartbeat(pt_worker_loop *w)
{
    pt_message message = {.type = PT_MSG_HEARTBEAT};
    pt_heartbeat *beat = &message.as.heartbeat;
    beat->credit = w->credit;
    pthread_mutex_lock(&w->lock);
    beat->progress = w->steps;
    for (size_t i = 0; i < PT_HELD_MAX; i++) {
        const pt_held_tile *t = &w->tiles[i];
        if (t->state != PT_HELD_FREE && !t->dropped) {
            beat->held[beat->held_count++] =
                (pt_held){t->assignment.tile, t->assignment.attempt, t->state >= PT_HELD_WORKING};
        }
    }
    pthread_mutex_unlock(&w->lock);
    beat->progress += pt_worker_job_progress(w->job);
    send(w, &message);
    w->heartbeat_due = w->now + w->heartbeat_seconds;
}

/* The next tile, in the order of arrival, that has begun without the coordinator being told, or whose result
 * is due. */
static pt_held_tile *next_to_tell(pt_worker_loop *w)
{
    pt_held_tile *next = NULL;
    for (size_t i = 0; i < PT_HELD_MAX; i++) {
        pt_held_tile *t = &w->tiles[i];
        bool begun = t->state >= PT_HELD_WORKING && !t->told;
        bool finished = t->state == PT_HELD_FINISHED && (t->sent < 0 || w->now - t->sent >= repeat_result);
        if ((begun || finished) && (!next || t->turn < next->turn)) {
            next = t;
        }
    }
    return next;
}

/* A result that the rules of messages refuse, such as a score that is no number, is a failure of the tile. */
static void send_result(pt_worker_loop *w, pt_held_tile *t)
{
    t->result.attempt = t->assignment.attempt;
    t->sent = w->now;
    pt_message message = {.type = t->result.outcome == PT_TILE_FAILED ? PT_MSG_FAILED : PT_MSG_RESULT,
                          .job = w->job_id,
                          .epoch = w->epoch};
    message.as.result.result = t->result;
    message.as.result.payload = t->payload;
    message.as.result.size = t->payload_size;
    pt_status status = pt_end_send(w->end, &message);
    if (status.code == PT_OK || status.code == PT_E_NOMEM || message.type == PT_MSG_FAILED) {
        if (status.code != PT_OK) {
            pt_loop_end(w, PT_WORKER_FAILED, pt_context(status, "%s", pt_message_name(message.type)));
        }
        return;
    }
    t->result.outcome = PT_TILE_FAILED;
    t->result.status = pt_error(PT_E_TILE, "tile %lld: %.400s", (long long)t->result.tile, status.message);
    pt_free(t->payload);
    t->payload = NULL;
    t->payload_size = 0;
    send_result(w, t);
}

static void tell_tiles(pt_worker_loop *w)
{
    pthread_mutex_lock(&w->lock);
    for (pt_held_tile *t = next_to_tell(w); t && !w->over; t = next_to_tell(w)) {
        pt_message started = {.type = PT_MSG_STARTED};
        started.as.tile = (pt_held){t->assignment.tile, t->assignment.attempt, true};
        bool tell = !t->told, finished = t->state == PT_HELD_FINISHED;
        pthread_mutex_unlock(&w->lock);
        if (tell) {
            send(w, &started);
        }
        if (finished) { /* and so this thread's */
            send_result(w, t);
        }
        pthread_mutex_lock(&w->lock);
        t->told = true;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
}

void pt_speak(pt_worker_loop *w)
{
    if (w->phase == PT_PHASE_GREETING && w->now >= w->hello_due && !w->leaving) {
        pt_speak_hello(w);
    }
    if (w->phase == PT_PHASE_WORKING && !w->leaving) {
        tell_tiles(w);
        if (w->now >= w->heartbeat_due) {
            send_heartbeat(w);
        }
    }
}

static double sooner(double a, double b)
{
    return a < b ? a : b;
}

double pt_speak_due(pt_worker_loop *w)
{
    double due = w->now + longest_sleep;
    if (w->leaving) {
        return sooner(due, w->leave_by) - w->now;
    }
    if (w->phase == PT_PHASE_GREETING) {
        due = sooner(due, w->hello_due);
    } else if (w->phase == PT_PHASE_WORKING) {
        due = sooner(due, w->heartbeat_due);
    }
    return due > w->now ? due - w->now : 0;
}
