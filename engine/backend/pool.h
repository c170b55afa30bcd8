/* A small pool of threads for work that is cut into tasks beforehand.
 *
 * The caller's thread works too, so a pool of one thread starts none. Threads without work look for it for
 * some 50 us before they sleep, unless the pool has more threads than this process has CPUs. Which thread
 * runs a task varies; what a task computes must depend on its number alone, so that results are the same for
 * any number of threads. One caller at a time; tasks must not call pt_pool_run. */
#ifndef PANTILE_ENGINE_BACKEND_POOL_H
#define PANTILE_ENGINE_BACKEND_POOL_H

#include "tiling/base/status.h"

#include <stddef.h>

typedef struct pt_pool pt_pool;

/* `worker` is 0 .. threads - 1: the index of the scratch memory that the task may use. */
typedef void pt_task(void *context, size_t task, int worker);

pt_status pt_pool_new(int threads, pt_pool **out);
void pt_pool_free(pt_pool **pool);
int pt_pool_threads(const pt_pool *pool);
void pt_pool_run(pt_pool *pool, size_t tasks, pt_task *run, void *context);

/* The cores that this process may use, at least 1. */
int pt_cpu_count(void);

#endif
