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
#include <time.h>
#include <unistd.h>

enum {
    /* How long a thread looks for work, or for the others' end, before it sleeps: longer than the others need
     * for their last tasks of a layer, far shorter than anyone would notice on the machine. The more threads
     * have to be woken, the more a sleep costs: with 16, a network took a tenth longer at 50 us than at 200.
     */
    SPIN_NS_PER_THREAD = 12500,
    SPIN_NS_LEAST = 50000,
    SPIN_NS_MOST = 200000,
    LOOKS = 32, /* between two looks at the clock */
    CLAIMS = 64 /* of each thread at least, where there are so many tasks: for the end to be even */
};

typedef struct helper {
    pt_pool *pool;
    pthread_t thread;
    int worker;
} helper;

/* A job is open while `generation` is odd. A helper counts itself into `inside`, then looks whether a job is
 * open; the caller closes the job, then waits until nobody is inside. All of it is sequentially consistent,
 * so either the helper sees the job closed, or the caller sees the helper inside. Helpers that come late, or
 * sleep through it, are not waited for. What the job is may be read inside an open job alone. */
struct pt_pool {
    _Alignas(PT_ALIGNMENT) atomic_uint generation;
    _Alignas(PT_ALIGNMENT) atomic_size_t next; /* the first task that nobody has claimed */
    _Alignas(PT_ALIGNMENT) atomic_int inside;
    _Alignas(PT_ALIGNMENT) size_t tasks, grain; /* the job; tasks are claimed `grain` at a time */
    pt_task *run;
    void *context;
    int threads;
    int started; /* helpers that run */
    long spin_ns;
    helper *helpers;
    atomic_bool stop;
    atomic_int asleep;   /* helpers that wait for `wake`, or are about to */
    atomic_bool waiting; /* the caller waits for `idle`, or is about to */
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Looks until `done` or the pool's time to spin is over; whether it was done. */
static bool spin(pt_pool *pool, bool (*done)(pt_pool *pool, unsigned seen), unsigned seen)
{
    int64_t end = pool->spin_ns > 0 ? now_ns() + pool->spin_ns : 0;
    do {
        for (int i = 0; i < LOOKS; i++) {
            if (done(pool, seen)) {
                return true;
            }
            relax();
        }
    } while (end > 0 && now_ns() < end);
    return false;
}

static bool has_work(pt_pool *pool, unsigned seen)
{
    unsigned generation = atomic_load(&pool->generation);
    return (generation % 2 == 1 && generation != seen) || atomic_load(&pool->stop);
}

static bool is_empty(pt_pool *pool, unsigned seen)
{
    (void)seen;
    return atomic_load(&pool->inside) == 0;
}

static void work(pt_pool *pool, int worker)
{
    for (;;) {
        size_t task = atomic_fetch_add(&pool->next, pool->grain);
        if (task >= pool->tasks) {
            return;
        }
        size_t end = pool->tasks - task < pool->grain ? pool->tasks : task + pool->grain;
        for (; task < end; task++) {
            pool->run(pool->context, task, worker);
        }
    }
}

static void sleep_until_work(pt_pool *pool, unsigned seen)
{
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->asleep, 1);
    while (!has_work(pool, seen)) {
        pthread_cond_wait(&pool->wake, &pool->lock);
    }
    atomic_fetch_sub(&pool->asleep, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void *help(void *argument)
{
    helper *self = argument;
    pt_pool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        if (!spin(pool, has_work, seen)) {
            sleep_until_work(pool, seen);
        }
        if (atomic_load(&pool->stop)) {
            return NULL;
        }
        atomic_fetch_add(&pool->inside, 1);
        unsigned generation = atomic_load(&pool->generation);
        if (generation % 2 == 1 && generation != seen) {
            work(pool, self->worker);
            seen = generation;
        }
        if (atomic_fetch_sub(&pool->inside, 1) == 1 && atomic_load(&pool->waiting)) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->idle);
            pthread_mutex_unlock(&pool->lock);
        }
    }
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

static long spin_ns(int threads)
{
    long ns = (long)threads * SPIN_NS_PER_THREAD;
    return ns < SPIN_NS_LEAST ? SPIN_NS_LEAST : ns > SPIN_NS_MOST ? SPIN_NS_MOST : ns;
}

pt_status pt_pool_new(int threads, pt_pool **out)
{
    if (threads < 1) {
        return pt_error(PT_E_USAGE, "a pool needs at least one thread, not %d", threads);
    }
    pt_pool *pool = pt_alloc_aligned(1, sizeof *pool);
    helper *helpers = pt_calloc((size_t)threads, sizeof *helpers);
    if (!pool || !helpers) {
        pt_free(pool);
        pt_free(helpers);
        return PT_NOMEM("the engine's threads");
    }
    memset(pool, 0, sizeof *pool);
    pool->threads = threads;
    /* Threads that share a CPU would keep each other from working. */
    pool->spin_ns = threads <= pt_cpu_count() ? spin_ns(threads) : 0;
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
    atomic_store(&p->stop, true);
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

static void open_job(pt_pool *pool, size_t tasks, pt_task *run, void *context)
{
    pool->tasks = tasks;
    pool->grain = tasks / ((size_t)pool->threads * CLAIMS) + 1;
    pool->run = run;
    pool->context = context;
    atomic_store(&pool->next, 0);
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->asleep) > 0) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
    }
}

/* All tasks are claimed: waits for those that others claimed. */
static void close_job(pt_pool *pool)
{
    atomic_fetch_add(&pool->generation, 1);
    if (spin(pool, is_empty, 0)) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->waiting, true);
    while (!is_empty(pool, 0)) {
        pthread_cond_wait(&pool->idle, &pool->lock);
    }
    atomic_store(&pool->waiting, false);
    pthread_mutex_unlock(&pool->lock);
}

void pt_pool_run(pt_pool *pool, size_t tasks, pt_task *run, void *context)
{
    if (pool->started == 0 || tasks <= 1) {
        for (size_t i = 0; i < tasks; i++) {
            run(context, i, 0);
        }
        return;
    }
    open_job(pool, tasks, run, context);
    work(pool, 0);
    close_job(pool);
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
