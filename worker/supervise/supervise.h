/* Starts worker processes, starts them again when they die, kills those that hang.
 *
 * A crash of a model must not take the job down, so a worker is always a process of its own: this program
 * once more, as `pantile __worker`, with its keys in an inherited pipe and one end of a heartbeat pipe. A
 * child dies with the thread that started it (PR_SET_PDEATHSIG), so the thread in pt_supervise must live as
 * long as it is wanted. While all is well it sleeps in poll.
 *
 *   exit 0, EXIT_DRAINED   the worker is done: not started again
 *   PT_WORKER_EXIT_REFUSED the coordinator refused it: not started again, the reason is on its standard error
 *   PT_WORKER_EXIT_LOST    no coordinator: not started again
 *   PT_WORKER_EXIT_AGAIN   wants a fresh process (device lost, out of memory): started again at once, with
 * one worker less on this host from the second time out of memory anything else          a death: started
 * again after 0.1 s, then twice as long each time up to 10 s; given up after 5 deaths within a minute that
 * did not finish a single tile in between
 */
#ifndef PANTILE_WORKER_SUPERVISE_SUPERVISE_H
#define PANTILE_WORKER_SUPERVISE_SUPERVISE_H

#include "coordinator/protocol/keys.h"
#include "tiling/base/base.h"

#include <stdatomic.h>

enum { PT_WORKER_EXIT_REFUSED = 77, PT_WORKER_EXIT_LOST = 69, PT_WORKER_EXIT_AGAIN = 75 };

typedef struct pt_supervise_options {
    const char *program;          /* "/proc/self/exe" */
    const char *const *arguments; /* of the child after `__worker`; borrowed */
    size_t argument_count;
    int workers;             /* processes */
    int first_device;        /* -1: none; else worker i sees device first_device + i alone */
    const pt_key_pair *keys; /* NULL: none */
    const pt_public_key *server;
    double stall_seconds; /* without a beat of its heartbeat pipe a child is killed; 0: never */
    atomic_int *drain;    /* 1: ask all to drain (SIGUSR1); 2: kill all. Set by others, who then wake */
    int wake_fd;          /* readable: look at `drain`; -1: none */
} pt_supervise_options;

pt_supervise_options pt_supervise_defaults(void);

typedef struct pt_supervise_report {
    int64_t started, died, killed; /* killed: for hanging */
    int refused, lost;
} pt_supervise_report;

/* Returns when no worker is left: PT_OK when they ended well, PT_E_INPUT when refused, PT_E_STOPPED when
 * lost, PT_E_INTERNAL when given up. */
pt_status pt_supervise(const pt_supervise_options *options, pt_supervise_report *report);

#endif
