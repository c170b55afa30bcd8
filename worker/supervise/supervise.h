/* Starts worker processes, starts them again when they die, kills those that hang.
 *
 * A crash of a model must not take the job down, so a worker is always a process of its own: this program
 * once more, as `pantile __worker ARGUMENTS --slot HEX --beat-fd N [--keys-fd N | --door-fd N]`, with its
 * keys in an inherited pipe and one end of another, into which it writes a byte about once a second:
 * PT_BEAT_ALIVE, or PT_BEAT_SETTLED when a tile has been acknowledged since the last one. Where the address
 * and the keys are not known yet, a socket will bring both (coordinator/protocol/door.h), and the child gets
 * ready meanwhile; when it closes without having brought them, the child ends well. A child dies with the
 * thread that started it (PR_SET_PDEATHSIG), so the thread in pt_supervise must live as long as it is wanted.
 * While all is well it sleeps in poll.
 *
 * A child starts with SIGINT ignored (a terminal's Ctrl-C is the coordinator's to judge) and with SIGTERM and
 * SIGUSR1 blocked, so that a wish to drain waits until it can listen: it installs its handlers, then unblocks
 * them.
 *
 *   exit 0                 the worker is done: not started again
 *   PT_WORKER_EXIT_REFUSED the coordinator refused it: not started again, the reason is on its standard error
 *   PT_WORKER_EXIT_LOST    no coordinator: not started again
 *   PT_WORKER_EXIT_AGAIN   wants a fresh process (out of memory): the first time started again at once; from
 *                          the second time on there is one worker less, and when it is the last it counts as
 *                          a death
 *   anything else          a death: started again after 0.1 s, then twice as long each time up to 10 s; given
 *                          up after PT_DEATHS_IN_A_ROW without a settled tile in between, or
 *                          PT_DEATHS_AT_START without even a beat
 */
#ifndef PANTILE_WORKER_SUPERVISE_SUPERVISE_H
#define PANTILE_WORKER_SUPERVISE_SUPERVISE_H

#include "coordinator/protocol/keys.h"
#include "tiling/base/base.h"

#include <stdatomic.h>

enum { PT_WORKER_EXIT_REFUSED = 77, PT_WORKER_EXIT_LOST = 69, PT_WORKER_EXIT_AGAIN = 75 };
enum { PT_BEAT_ALIVE = 'b', PT_BEAT_SETTLED = 't' };
/* A tile that kills its worker is given up after three deaths, so that three such tiles side by side end
 * before the supervisor does. */
enum { PT_DEATHS_IN_A_ROW = 10, PT_DEATHS_AT_START = 5 };

/* Where workers are to go, told to those that were started before it was known. */
typedef struct pt_supervise_door {
    atomic_bool open;        /* the rest is set and stays; whoever opens it wakes the supervisor */
    const char *endpoint;    /* borrowed, as are the keys */
    const pt_key_pair *keys; /* NULL: none */
    const pt_public_key *server;
} pt_supervise_door;

typedef struct pt_supervise_options {
    const char *program;          /* "/proc/self/exe" */
    const char *const *arguments; /* of the child after `__worker`; borrowed */
    size_t argument_count;
    int workers;             /* processes */
    int first_device;        /* -1: as they are; else worker i sees the (first_device + i)-th of the devices
                                alone that this process sees (CUDA_VISIBLE_DEVICES) */
    const pt_key_pair *keys; /* NULL: none */
    const pt_public_key *server;
    pt_supervise_door *door; /* NULL: `arguments` and `keys` say it all; else these keys are not looked at */
    double stall_seconds;    /* without a beat a child is killed; 0: never */
    atomic_int *drain; /* 1: ask all to drain (SIGUSR1); 2: kill all. Set by others, who then wake; borrowed,
                          may be NULL */
    int wake_fd;       /* an eventfd or a pipe; readable: look at `drain` and `door`. It is read. -1: none */
} pt_supervise_options;

pt_supervise_options pt_supervise_defaults(void);

/* The first_device of a supervisor that is number `rank` of `ranks` on its host and starts `workers`, so that
 * all of the host's workers have devices of their own: -1 when `visible` (what CUDA_VISIBLE_DEVICES says;
 * NULL: it is not set) does not list enough for that. A launcher that gives each rank its own single device
 * is left alone. */
int pt_supervise_first_device(const char *visible, int rank, int ranks, int workers);

typedef struct pt_supervise_report {
    int64_t started, died, killed; /* killed: for hanging, and counted as died too */
    int done, refused, lost, given_up;
} pt_supervise_report;

/* Returns when no worker is left: PT_OK when one ended well, or all were drained or killed on demand; else
 * PT_E_INTERNAL when one was given up, PT_E_INPUT when refused, PT_E_STOPPED when lost. `report` (may be
 * NULL) is filled whatever comes. */
pt_status pt_supervise(const pt_supervise_options *options, pt_supervise_report *report);

#endif
