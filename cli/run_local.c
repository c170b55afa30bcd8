#include "cli/run_local.h"

#include "worker/supervise/supervise.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct pt_run_local {
    pthread_t thread;
    pt_run_local_options options;
    char threads[16], timeout[32], score[32], detections[16], proposals[16];
    const char **arguments; /* owned; the texts are borrowed */
    size_t count;
    atomic_int drain;
    int wake; /* eventfd: look at drain */
    int over; /* eventfd: no worker is left, and status is set */
    pt_status status;
    pt_supervise_door door;
    sem_t told; /* where to go, or that nobody wants to know any more */
};

int pt_run_local_device(const pt_run_options *options, const pt_launch *launch)
{
    return pt_supervise_first_device(getenv("CUDA_VISIBLE_DEVICES"), launch->local_rank, launch->local_size,
                                     (int)options->workers);
}

int pt_run_local_threads(const pt_run_options *options, int cores)
{
    int64_t all = options->threads > 0 ? options->threads : cores;
    int64_t each = all / options->workers;
    return each > 1 ? (int)each : 1;
}

static void add(pt_run_local *local, const char *name, const char *value)
{
    local->arguments[local->count++] = name;
    if (value) {
        local->arguments[local->count++] = value;
    }
}

/* What decides the engine. Workers look at the files of the job itself once they are told what it is. */
static void add_ahead(pt_run_local *local)
{
    const pt_job *job = local->options.job;
    if (!job || job->kind != PT_ENGINE_MODEL) {
        return;
    }
    snprintf(local->score, sizeof local->score, "%.17g", job->score);
    snprintf(local->detections, sizeof local->detections, "%d", job->detections);
    snprintf(local->proposals, sizeof local->proposals, "%d", job->proposals);
    add(local, "--ahead", job->model_path);
    add(local, "--score", local->score);
    add(local, "--detections", local->detections);
    add(local, "--proposals", local->proposals);
    add(local, "--backend", job->options->backend);
    add(local, "--precision", job->precision);
}

static pt_status make_arguments(pt_run_local *local)
{
    enum { FIXED = 32 };
    const pt_run_options *o = local->options.run;
    local->arguments = pt_calloc(FIXED + 2 * o->drivers.count, sizeof *local->arguments);
    if (!local->arguments) {
        return PT_NOMEM("the workers' arguments");
    }
    snprintf(local->threads, sizeof local->threads, "%d", pt_run_local_threads(o, local->options.cores));
    if (local->options.endpoint) {
        add(local, "--connect", local->options.endpoint);
    }
    add(local, "--threads", local->threads);
    add(local, "--root", o->root);
    if (local->options.timeout > 0) {
        snprintf(local->timeout, sizeof local->timeout, "%g", local->options.timeout);
        add(local, "--coordinator-timeout", local->timeout);
    }
    add(local, "--allow-url", "/vsi"); /* the job is the user's own: any address */
    for (size_t i = 0; i < o->drivers.count; i++) {
        add(local, "--driver", o->drivers.items[i]);
    }
    if (o->dump_tiles) {
        add(local, "--dump-tiles", o->dump_tiles);
    }
    if (o->console.log) {
        add(local, "--log", o->console.log);
    }
    if (o->console.quiet) {
        add(local, "--quiet", NULL);
    }
    for (int i = 0; i < o->console.verbose && i < 2; i++) {
        add(local, "--verbose", NULL);
    }
    add_ahead(local);
    return pt_ok();
}

static void wake(int eventfd)
{
    uint64_t one = 1;
    (void)!write(eventfd, &one, sizeof one); /* full: whoever waits is awake anyway */
}

static void wait_until_told(pt_run_local *local)
{
    while (sem_wait(&local->told) != 0 && errno == EINTR) {
    }
}

static void *supervise(void *user)
{
    pt_run_local *local = user;
    pt_supervise_options options = pt_supervise_defaults();
    pt_supervise_report report = {0};
    options.arguments = local->arguments;
    options.argument_count = local->count;
    options.workers = (int)local->options.run->workers;
    options.first_device = local->options.first_device;
    options.keys = local->options.keys;
    options.server = local->options.server;
    options.door = local->options.endpoint ? NULL : &local->door;
    options.drain = &local->drain;
    options.wake_fd = local->wake;
    local->status = pt_supervise(&options, &report);
    wake(local->over);
    PT_DEBUG("no local worker is left", PT_I("started", report.started), PT_I("died", report.died),
             PT_I("killed", report.killed), PT_S("status", pt_code_name(local->status.code)));
    wait_until_told(local);
    if (local->options.ended && (local->options.endpoint || atomic_load(&local->door.open))) {
        local->options.ended(local->options.user, local->status);
    }
    return NULL;
}

static void dispose(pt_run_local *local)
{
    if (local->wake >= 0) {
        close(local->wake);
    }
    if (local->over >= 0) {
        close(local->over);
    }
    sem_destroy(&local->told);
    pt_free(local->arguments);
    pt_free(local);
}

pt_status pt_run_local_start(const pt_run_local_options *options, pt_run_local **out)
{
    pt_run_local *local = pt_calloc(1, sizeof *local);
    if (!local) {
        return PT_NOMEM("the local workers");
    }
    local->options = *options;
    (void)sem_init(&local->told, 0, options->endpoint != NULL); /* fails for absurd values alone */
    local->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    local->over = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pt_status status = local->wake >= 0 && local->over >= 0
                           ? make_arguments(local)
                           : pt_error(PT_E_NOMEM, "no eventfd for the workers: %s", strerror(errno));
    int error = status.code == PT_OK ? pthread_create(&local->thread, NULL, supervise, local) : 0;
    if (error) {
        status = pt_error(PT_E_NOMEM, "no thread to watch over the workers: %s", strerror(error));
    }
    if (status.code != PT_OK) {
        dispose(local);
        return status;
    }
    *out = local;
    return status;
}

void pt_run_local_open(pt_run_local *local, const char *endpoint, const pt_key_pair *keys,
                       const pt_public_key *server)
{
    local->door.endpoint = endpoint;
    local->door.keys = keys;
    local->door.server = server;
    atomic_store(&local->door.open, true);
    wake(local->wake);
    (void)sem_post(&local->told);
}

void pt_run_local_ask(pt_run_local *local, pt_run_local_wish wish)
{
    atomic_store(&local->drain, (int)wish);
    wake(local->wake);
}

pt_status pt_run_local_wait(pt_run_local *local, double seconds)
{
    struct pollfd over = {.fd = local->over, .events = POLLIN};
    while (poll(&over, 1, seconds < 0 ? -1 : (int)(seconds * 1000)) < 0 && errno == EINTR) {
    }
    return over.revents ? local->status : pt_error(PT_E_STOPPED, "workers are still at work");
}

void pt_run_local_join(pt_run_local **local)
{
    if (*local) {
        pt_run_local_ask(*local, PT_RUN_LOCAL_KILL);
        (void)sem_post(&(*local)->told);
        pthread_join((*local)->thread, NULL);
        dispose(*local);
        *local = NULL;
    }
}
