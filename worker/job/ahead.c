#include "worker/job/ahead.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

struct pt_ahead {
    pt_engine_options options; /* its texts are owned, below */
    char *model, *backend, *precision;
    pthread_t thread;
    bool started;      /* and not waited for yet */
    pt_engine *engine; /* the thread's until then */
};

static void *prepare(void *user)
{
    pt_ahead *ahead = user;
    (void)pt_engine_open(ahead->model, &ahead->options, &ahead->engine);
    return NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(pt_ahead *ahead)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&ahead->thread, NULL, prepare, ahead);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    ahead->started = error == 0;
    return error;
}

static bool copy_text(const char *text, char **out)
{
    *out = text ? pt_strdup(text) : NULL;
    return !text || *out;
}

pt_status pt_ahead_start(const char *model, const pt_engine_options *options, pt_ahead **out)
{
    pt_ahead *ahead = pt_calloc(1, sizeof *ahead);
    if (!ahead) {
        return PT_NOMEM("an engine that is prepared ahead");
    }
    bool copied = copy_text(model, &ahead->model) && copy_text(options->backend, &ahead->backend) &&
                  copy_text(options->precision, &ahead->precision);
    ahead->options = pt_engine_defaults();
    ahead->options.threads = options->threads;
    ahead->options.score_threshold = options->score_threshold;
    ahead->options.max_detections = options->max_detections;
    ahead->options.max_proposals = options->max_proposals;
    ahead->options.backend = ahead->backend;
    ahead->options.precision = ahead->precision;
    pt_status status = copied ? pt_ok() : PT_NOMEM("an engine that is prepared ahead");
    int error = copied ? start_thread(ahead) : 0;
    if (error) {
        status = pt_error(PT_E_NOMEM, "no thread to prepare an engine: %s", strerror(error));
    }
    if (status.code != PT_OK) {
        pt_ahead_free(&ahead);
        return status;
    }
    *out = ahead;
    return status;
}

static void wait_for_it(pt_ahead *ahead)
{
    if (ahead->started) {
        pthread_join(ahead->thread, NULL);
        ahead->started = false;
    }
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_options(const pt_engine_options *a, const pt_engine_options *b)
{
    return a->threads == b->threads && !(a->score_threshold < b->score_threshold) &&
           !(a->score_threshold > b->score_threshold) && a->max_detections == b->max_detections &&
           a->max_proposals == b->max_proposals && same_text(a->backend, b->backend) &&
           same_text(a->precision, b->precision);
}

pt_engine *pt_ahead_take(pt_ahead *ahead, const pt_engine_options *options, const char *sha256)
{
    wait_for_it(ahead);
    bool fits = ahead->engine && same_options(&ahead->options, options) &&
                strcmp(pt_engine_model(ahead->engine)->sha256, sha256) == 0;
    pt_engine *engine = fits ? ahead->engine : NULL;
    if (fits) {
        ahead->engine = NULL;
    }
    pt_engine_close(&ahead->engine); /* before another takes its memory */
    return engine;
}

void pt_ahead_free(pt_ahead **ahead)
{
    pt_ahead *a = *ahead;
    if (!a) {
        return;
    }
    wait_for_it(a);
    pt_engine_close(&a->engine);
    pt_free(a->model);
    pt_free(a->backend);
    pt_free(a->precision);
    pt_free(a);
    *ahead = NULL;
}
