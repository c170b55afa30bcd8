/* One child process. Private to worker/supervise. */
#ifndef PANTILE_WORKER_SUPERVISE_SPAWN_H
#define PANTILE_WORKER_SUPERVISE_SPAWN_H

#include "worker/supervise/supervise.h"

#include <sys/types.h>

typedef struct pt_child {
    pid_t pid;
    int beat; /* read end of its heartbeat pipe, non-blocking; -1: none */
    int door; /* where it waits to be told where to go; -1: it knows */
} pt_child;

/* Starts the `index`-th worker with this slot (32 hexadecimal digits). PT_E_INTERNAL when the program cannot
 * be started at all; PT_E_NOMEM when there is no process or pipe to be had. */
pt_status pt_spawn(const pt_supervise_options *options, int index, const char *slot, pt_child *out);

/* The n-th of a list such as CUDA_VISIBLE_DEVICES ("2,3", NULL: all, so that the n-th is n), as text in
 * `out`; PT_E_USAGE when there are not so many. */
pt_status pt_device_choose(const char *list, int n, char *out, size_t size);

#endif
