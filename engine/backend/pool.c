#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "engine/backend/pool.h"

#include "tiling/base/alloc.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

typedef struct helper {
    pt_pool *pool;
    pthread_t thread;
    int worker;
} helper;

struct pt_pool {
    int threads;
    int started; /* helpers that run */
    helper *helpers;
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    uint64_t generation; /* under lock, as the rest: counts calls of pt_pool_run */
    int busy;            /* helpers that still work on this generation */
    bool stop;
    size_t tasks;
    pt_task *run;
    void *context;
    atomic_size_t next;
};

static void work(pt_pool *pool, int worker)
{
    for (;;) {
        size_t task = atomic_fetch_add(&pool->next, 1);
        if (task >= pool->tasks) {
            return;
        }
        pool->run(pool->context, task, worker);
    }
}

static void *help(void *argument)
{
    helper *self = argument;
    pt_pool *pool = self->pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->stop && pool->generation == seen) {
            pthread_cond_wait(&pool->wake, &pool->lock);
        }
        if (pool->stop) {
            break;
        }
        seen = pool->generation;
        pthread_mutex_unlock(&pool->lock);
        work(pool, self->worker);
        pthread_mutex_lock(&pool->lock);
        if (--pool->busy == 0) {
            pthread_cond_signal(&pool->idle);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals are for the program's own threads, so helpers start with all of them blocked. */
static int start_helpers(pt_pool *pool)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = 0;
    for (int i = 0; i < pool->threads - 1 && !failed; i++) {
        pool->helpers[i] = (helper){.pool = pool, .worker = i + 1};
        failed = pthread_create(&pool->helpers[i].thread, NULL, help, &pool->helpers[i]);
        pool->started += !failed;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

pt_status pt_pool_new(int threads, pt_pool **out)
{
    if (threads < 1) {
        return pt_error(PT_E_USAGE, "a pool needs at least one thread, not %d", threads);
    }
    pt_pool *pool = pt_calloc(1, sizeof *pool);
    helper *helpers = pt_calloc((size_t)threads, sizeof *helpers);
    if (!pool || !helpers) {
        pt_free(pool);
        pt_free(helpers);
        return PT_NOMEM("the engine's threads");
    }
    pool->threads = threads;
    pool->helpers = helpers;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->idle, NULL);
    int failed = start_helpers(pool);
    if (failed) {
        pt_pool_free(&pool);
        return pt_error(PT_E_NOMEM, "cannot start %d threads: %s; ask for fewer", threads, strerror(failed));
    }
    *out = pool;
    return pt_ok();
}

void pt_pool_free(pt_pool **pool)
{
    pt_pool *p = *pool;
    if (!p) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++) {
        pthread_join(p->helpers[i].thread, NULL);
    }
    pthread_cond_destroy(&p->idle);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    pt_free(p->helpers);
    pt_free(p);
    *pool = NULL;
}

int pt_pool_threads(const pt_pool *pool)
{
    return pool->threads;
}

void pt_pool_run(pt_pool *pool, size_t tasks, pt_task *run, void *context)
{
    if (pool->started == 0 || tasks <= 1) {
        for (size_t i = 0; i < tasks; i++) {
            run(context, i, 0);
        }
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->tasks = tasks;
    pool->run = run;
    pool->context = context;
    pool->busy = pool->started;
    atomic_store(&pool->next, 0);
    pool->generation++;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    work(pool, 0);
    pthread_mutex_lock(&pool->lock);
    while (pool->busy > 0) {
        pthread_cond_wait(&pool->idle, &pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
}

int pt_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) {
        return CPU_COUNT(&set);
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}
