#include "worker/loop/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { BURST = 256 }; /* messages heard before anything is said */

/* Seconds. A coordinator answers every heartbeat; three without an answer, but never less than `patience`,
 * mean that the connection is dead however open it looks. */
static const double patience = 6, heartbeats_missed = 3;
static const double longest_turn = 2;  /* a longer one was sleep: of the process or of the machine */
static const double last_answers = 10; /* what a drained worker waits for acknowledgements */
static const double last_word = 1;     /* and for the answer to its BYE */

double pt_loop_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

pt_worker_options pt_worker_defaults(void)
{
    return (pt_worker_options){.coordinator_timeout = 300, .heartbeat_seconds = 2, .stall_seconds = 60};
}

/* --- the turns of the link's thread --- */

/* Time without a word, as this process lived it: after a SIGSTOP or the machine's sleep the coordinator gets
 * the chance to be heard before it is taken for dead. */
static void pass_time(pt_worker_loop *w)
{
    double now = pt_loop_clock(), passed = fmin(now - w->now, longest_turn);
    w->now = now;
    w->silent += passed;
    w->quiet += passed;
}

static void mind_silence(pt_worker_loop *w)
{
    double limit = w->options->coordinator_timeout;
    if (w->phase == PT_PHASE_OPENING) {
        w->silent = w->quiet = 0; /* nothing was asked */
    } else if (limit > 0 && w->silent > limit) {
        pt_loop_end(
            w, PT_WORKER_LOST,
            pt_error(PT_E_STOPPED,
                     "nothing heard from the coordinator for %.0f s; is it running, is that its address, and "
                     "is this worker's key on its list?",
                     limit));
    } else if (w->quiet > fmax(patience, heartbeats_missed * w->heartbeat_seconds)) {
        w->quiet = 0;
        w->phase = PT_PHASE_GREETING;
        w->hello_due = w->now;
        pt_status status = pt_end_reconnect(w->end);
        if (status.code != PT_OK) {
            pt_loop_end(w, PT_WORKER_FAILED, pt_context(status, "connecting again"));
        }
    }
}

/* The reader's thread has opened the job's files, or failed to. */
static void mind_opening(pt_worker_loop *w)
{
    if (w->phase != PT_PHASE_OPENING) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    bool done = w->opening == PT_OPENING_DONE;
    pt_status status = w->open_status;
    pthread_mutex_unlock(&w->lock);
    if (!done) {
        return;
    }
    if (status.code != PT_OK) {
        bool again = status.code == PT_E_NOMEM || status.code == PT_E_READ || status.code == PT_E_INTERNAL;
        pt_speak_bye(w, status.message);
        pt_loop_end(w, again ? PT_WORKER_FAILED : PT_WORKER_REFUSED, status);
        return;
    }
    w->hello.opened = true;
    w->hello.has_engine_sha256 = true;
    memcpy(w->hello.engine_sha256, pt_worker_job_sha256(w->job), sizeof w->hello.engine_sha256);
    snprintf(w->hello.backend, sizeof w->hello.backend, "%s", pt_worker_job_backend(w->job));
    w->hello.threads = pt_worker_job_threads(w->job);
    w->phase = PT_PHASE_GREETING;
    w->hello_due = w->now;
}

static void leave(pt_worker_loop *w, const char *why)
{
    pt_speak_bye(w, why);
    w->leaving = true;
    w->leave_by = w->now + (w->phase == PT_PHASE_WORKING ? last_word : 0);
}

static void drop_what_has_not_begun(pt_worker_loop *w)
{
    for (size_t i = 0; i < PT_HELD_MAX; i++) {
        pt_tiles_drop(w, &w->tiles[i]);
    }
}

static void begin_draining(pt_worker_loop *w)
{
    w->draining = true;
    w->heartbeat_due = w->now; /* which no longer lists what is given back */
    if (w->phase == PT_PHASE_WORKING) {
        pt_speak_type(w, PT_MSG_DRAIN);
    }
}

/* What has begun is finished and acknowledged; then BYE. */
static void mind_drain(pt_worker_loop *w)
{
    bool asked = w->options->drain && atomic_load(w->options->drain) != 0;
    pthread_mutex_lock(&w->lock);
    bool sick = w->sick;
    if (w->draining || asked || sick) {
        drop_what_has_not_begun(w);
    }
    bool busy = pt_tiles_any(w, PT_HELD_WORKING), waiting = pt_tiles_any(w, PT_HELD_FINISHED);
    pthread_mutex_unlock(&w->lock);
    if ((asked || sick) && !w->draining) {
        begin_draining(w);
    }
    if (!w->draining || w->leaving || busy) {
        return;
    }
    if (w->drained_at < 0) {
        w->drained_at = w->now;
    }
    if (!waiting || w->now - w->drained_at > last_answers) {
        leave(w, sick ? w->sickness.message : "drained");
    }
}

static void mind_leaving(pt_worker_loop *w)
{
    if (w->leaving && w->now >= w->leave_by) {
        pt_loop_end(w, PT_WORKER_BYE, pt_ok());
    }
}

/* Healthy: what is waited for moves, or there is nothing to do. Reading ahead says nothing of a tile that
 * never ends: as others take over what lies behind it, there is more to read. */
static void mind_health(pt_worker_loop *w)
{
    pthread_mutex_lock(&w->lock);
    bool working = pt_tiles_any(w, PT_HELD_WORKING);
    bool busy = working || pt_tiles_any(w, PT_HELD_READING);
    uint64_t sum = w->steps + (working ? 0 : w->reads);
    pthread_mutex_unlock(&w->lock);
    sum += w->hello.opened ? pt_worker_job_progress(w->job) : 0;
    if (!busy || sum != w->moved) {
        w->moved = sum;
        w->moved_at = w->now;
    }
    if (w->options->alive && w->now >= w->beat_due && w->now - w->moved_at < w->options->stall_seconds) {
        w->options->alive(w->options->alive_user, w->settled);
        w->beat_due = w->now + 1;
    }
}

static void listen(pt_worker_loop *w, double seconds)
{
    int timeout = (int)ceil(1000 * seconds);
    for (int i = 0; i < BURST && !w->over; i++) {
        pt_message message = {.type = 0};
        bool got = false;
        pt_status status = pt_end_receive(w->end, i == 0 ? timeout : 0, &message, &got);
        if (status.code != PT_OK) {
            pt_loop_end(w, PT_WORKER_FAILED, pt_context(status, "the link"));
            return;
        }
        if (!got) {
            return;
        }
        pt_hear(w, &message);
        pt_message_fini(&message);
    }
}

static void turn(pt_worker_loop *w)
{
    pthread_mutex_lock(&w->lock);
    w->poked = false; /* from here on a change wakes again */
    pthread_mutex_unlock(&w->lock);
    pass_time(w);
    mind_opening(w);
    mind_silence(w);
    mind_drain(w);
    mind_leaving(w);
    mind_health(w);
    if (!w->over) {
        pt_speak(w);
    }
    if (!w->over) {
        listen(w, pt_speak_due(w));
    }
}

/* --- beginning and end --- */

static pt_status check_options(const pt_worker_options *o)
{
    if (o->credit < 0 || o->credit > PT_HELD_MAX) {
        return pt_error(PT_E_USAGE, "a worker holds 1 to %d tiles at once, not %d", PT_HELD_MAX, o->credit);
    }
    if (!(o->heartbeat_seconds > 0) || !(o->stall_seconds > 0) || !(o->coordinator_timeout >= 0)) {
        return pt_error(PT_E_USAGE,
                        "a worker's times must be positive: heartbeat %g s, stall %g s, "
                        "coordinator timeout %g s",
                        o->heartbeat_seconds, o->stall_seconds, o->coordinator_timeout);
    }
    return pt_ok();
}

static pt_status introduce(pt_worker_loop *w)
{
    const pt_worker_options *o = w->options;
    pt_hello *hello = &w->hello;
    char host[64] = "";
    if (getrandom(hello->instance, sizeof hello->instance, 0) != (ssize_t)sizeof hello->instance) {
        return pt_error(PT_E_INTERNAL, "no random numbers: %s", strerror(errno));
    }
    memcpy(hello->slot, o->slot, sizeof hello->slot);
    if (gethostname(host, sizeof host - 1) != 0 || !host[0]) {
        snprintf(host, sizeof host, "localhost");
    }
    if (o->name) {
        snprintf(hello->name, sizeof hello->name, "%s", o->name);
    } else {
        snprintf(hello->name, sizeof hello->name, "%s:%ld", host, (long)getpid());
    }
    snprintf(hello->program, sizeof hello->program, "%s", PANTILE_VERSION);
    hello->threads = o->access.threads > 0 ? o->access.threads : 1;
    hello->wants_pixels = o->access.no_scene;
    if (o->access.model) {
        PT_TRY(pt_sha256_file(o->access.model, hello->engine_sha256));
        hello->has_engine_sha256 = true;
    }
    return pt_ok();
}

static void finish(pt_worker_loop *w)
{
    for (size_t i = 0; i < PT_HELD_MAX; i++) {
        pt_tiles_free(w, &w->tiles[i]);
    }
    for (int i = 0; i < PT_WINDOWS; i++) {
        pt_window_fini(&w->windows[i]);
    }
    pt_worker_job_close(&w->job);
    pt_job_spec_fini(&w->spec);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
}

static void stop_threads(pt_worker_loop *w, const pthread_t *threads, int count)
{
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void run(pt_worker_loop *w)
{
    void *(*const bodies[])(void *) = {pt_loop_read, pt_loop_infer};
    pthread_t threads[2];
    int count = 0;
    for (; count < 2 && !w->over; count++) {
        int error = pthread_create(&threads[count], NULL, bodies[count], w);
        if (error) {
            pt_loop_end(w, PT_WORKER_FAILED,
                        pt_error(PT_E_NOMEM, "no thread for a worker: %s", strerror(error)));
            break;
        }
    }
    while (!w->over) {
        turn(w);
    }
    stop_threads(w, threads, count);
    if (w->how == PT_WORKER_BYE && w->sick) { /* it has said goodbye, but not because it was done */
        w->how = PT_WORKER_FAILED;
        w->why = w->sickness;
    }
}

pt_worker_end pt_worker_run(pt_end *end, const pt_worker_options *options, pt_status *status)
{
    *status = check_options(options);
    if (status->code != PT_OK) {
        return PT_WORKER_FAILED;
    }
    pt_worker_loop *w = pt_calloc(1, sizeof *w);
    if (!w) {
        *status = PT_NOMEM("a worker");
        return PT_WORKER_FAILED;
    }
    w->end = end;
    w->options = options;
    w->heartbeat_seconds = options->heartbeat_seconds;
    w->credit = options->credit > 0 ? options->credit : 1;
    w->now = w->moved_at = w->hello_due = pt_loop_clock();
    w->drained_at = -1;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    pt_status begun = introduce(w);
    if (begun.code != PT_OK) {
        pt_loop_end(w, PT_WORKER_FAILED, begun);
    }
    run(w);
    *status = w->why;
    pt_worker_end how = w->how;
    finish(w);
    pt_free(w);
    return how;
}
