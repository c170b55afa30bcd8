#include "cli/run_watch.h"

#include "cli/console.h"
#include "coordinator/service/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    LOOK_MS = 250,
    FIRST_LOOK_MS = 50, /* until somebody works: short jobs shall say with what, too */
    TABLE_WORKERS = 12, /* rows of the table on a terminal */
    TABLE_SIZE = (TABLE_WORKERS + 2) * 120,
};

struct pt_run_watch {
    const pt_run_options *options;
    pt_control *control;
    pt_metrics *metrics; /* NULL: not wanted */
    const atomic_llong *objects;
    pt_control_snapshot seen; /* of the thread; large, so not on its stack */
    char table[TABLE_SIZE];
    char backend[128]; /* of the first worker's engine; empty: none seen yet, or no network */
    int threads;       /* of the same */
    pthread_t thread;
    pthread_mutex_t lock; /* of stop */
    pthread_cond_t wake;
    bool stop;
};

static void look(void *user, pt_control_snapshot *out)
{
    pt_run_watch *watch = user;
    pt_control_look(watch->control, out);
}

static size_t add_row(char *table, size_t used, const pt_worker_view *w)
{
    const char *state = w->suspect ? "silent" : w->draining ? "leaving" : "";
    int n = snprintf(table + used, TABLE_SIZE - used,
                     "\n  %-28.28s %3d threads %8lld tiles %8.2f s/tile %2d held %s", w->name, w->threads,
                     (long long)w->tiles, w->tile_seconds, w->held, state);
    return used + (n > 0 ? (size_t)n : 0);
}

/* One line a worker, where there are several or the user wants to know. */
static const char *make_table(pt_run_watch *watch)
{
    const pt_control_snapshot *s = &watch->seen;
    size_t used = 0;
    if (s->worker_count == 0 || (s->worker_count == 1 && watch->options->console.verbose == 0)) {
        return NULL;
    }
    size_t shown = s->worker_count < TABLE_WORKERS ? s->worker_count : TABLE_WORKERS;
    for (size_t i = 0; i < shown; i++) {
        used = add_row(watch->table, used, &s->workers[i]);
    }
    if (shown < s->worker_count) {
        snprintf(watch->table + used, TABLE_SIZE - used, "\n  and %zu more", s->worker_count - shown);
    }
    return watch->table;
}

/* Told once: what the first worker computes with. */
static void meet_first(pt_run_watch *watch)
{
    const pt_worker_view *first = &watch->seen.workers[0];
    if (watch->threads > 0 || watch->seen.worker_count == 0 || first->threads == 0) {
        return;
    }
    watch->threads = first->threads;
    memcpy(watch->backend, first->backend, sizeof watch->backend);
    if (!first->backend[0]) {
        return;
    }
    if (pt_console_is_json()) {
        PT_INFO("engine", PT_S("backend", first->backend), PT_I("threads", first->threads));
        return;
    }
    pt_console_line("engine  %s, %d thread%s", first->backend, first->threads,
                    first->threads == 1 ? "" : "s");
}

static void show(pt_run_watch *watch)
{
    pt_control_snapshot *s = &watch->seen;
    look(watch, s);
    meet_first(watch);
    if (s->dispatch.tiles == 0) { /* ranks are still being waited for */
        return;
    }
    pt_progress p = {.done = s->done + s->empty + s->outside + s->failed,
                     .total = s->dispatch.tiles,
                     .resumed = s->resumed,
                     .objects = atomic_load(watch->objects),
                     .seconds = s->seconds,
                     .pixels = (double)s->pixels,
                     .queue = s->dispatch.leased,
                     .retries = s->dispatch.retries,
                     .workers = (int64_t)s->worker_count,
                     .details = make_table(watch)};
    pt_console_progress(&p);
}

static void *watch_over(void *user)
{
    pt_run_watch *watch = user;
    pthread_mutex_lock(&watch->lock);
    while (!watch->stop) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (watch->threads > 0 ? LOOK_MS : FIRST_LOOK_MS) * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&watch->wake, &watch->lock, &until);
        if (!watch->stop) {
            pthread_mutex_unlock(&watch->lock);
            show(watch);
            pthread_mutex_lock(&watch->lock);
        }
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

static void init_wake(pthread_cond_t *wake)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static pt_status open_metrics(pt_run_watch *watch)
{
    if (!watch->options->metrics) {
        return pt_ok();
    }
    PT_TRY(pt_metrics_open(watch->options->metrics, look, watch, &watch->metrics));
    const char *address = watch->options->metrics;
    const char *colon = strrchr(address, ':'); /* a port alone is one of loopback's */
    int port = pt_metrics_port(watch->metrics);
    pt_console_line("metrics http://%.*s:%d/metrics", colon ? (int)(colon - address) : 9,
                    colon ? address : "127.0.0.1", port);
    PT_INFO("metrics", PT_S("address", address), PT_I("port", port));
    return pt_ok();
}

static void dispose(pt_run_watch *watch)
{
    pt_metrics_close(&watch->metrics);
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->lock);
    pt_free(watch);
}

pt_status pt_run_watch_start(const pt_run_options *options, pt_control *control, const atomic_llong *objects,
                             pt_run_watch **out)
{
    pt_run_watch *watch = pt_calloc(1, sizeof *watch);
    if (!watch) {
        return PT_NOMEM("the progress display");
    }
    watch->options = options;
    watch->control = control;
    watch->objects = objects;
    pthread_mutex_init(&watch->lock, NULL);
    init_wake(&watch->wake);
    pt_status status = open_metrics(watch);
    if (status.code == PT_OK) {
        int error = pthread_create(&watch->thread, NULL, watch_over, watch);
        if (error) {
            status = pt_error(PT_E_NOMEM, "no thread for the progress display: %s", strerror(error));
        }
    }
    if (status.code != PT_OK) {
        dispose(watch);
        return status;
    }
    *out = watch;
    return status;
}

void pt_run_watch_met(const pt_run_watch *watch, char backend[128], int *threads)
{
    memcpy(backend, watch->backend, sizeof watch->backend);
    *threads = watch->threads;
}

void pt_run_watch_stop(pt_run_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    bool running = !watch->stop;
    watch->stop = true;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->lock);
    if (running) {
        pthread_join(watch->thread, NULL);
    }
    pt_console_progress_end();
}

void pt_run_watch_free(pt_run_watch **watch)
{
    if (*watch) {
        pt_run_watch_stop(*watch);
        dispose(*watch);
        *watch = NULL;
    }
}
