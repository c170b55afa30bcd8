/* A worker: holds a connection to the coordinator, reads each window while the one before is inferred,
 * replies with what was found, and repeats each reply until it is acknowledged.
 *
 * Three threads: the caller's speaks with the coordinator (never blocked by work), one reads, one infers. A
 * tile outside the area of interest, never written, or without a valid pixel is answered without inference.
 * What goes wrong with a tile is the coordinator's to judge: it becomes a FAILED, and the worker goes on.
 * Tiles are worked on in the order in which they came.
 *
 * A worker may outlive the coordinator it joined: it keeps what it has found, says HELLO to the next one of
 * the same job, and repeats it there. It leaves after BYE, when drained, and by itself when it has heard
 * nothing for options.coordinator_timeout. When the engine runs out of memory it answers that tile with
 * FAILED, gives the others back and ends with PT_E_NOMEM: a fresh process may do better.
 */
#ifndef PANTILE_WORKER_LOOP_LOOP_H
#define PANTILE_WORKER_LOOP_LOOP_H

#include "coordinator/protocol/link.h"
#include "worker/job/worker_job.h"

#include <stdatomic.h>

typedef struct pt_worker_options {
    pt_worker_access access;
    uint8_t slot[PT_SLOT_ID];   /* zero: none */
    const char *name;           /* NULL: host:pid */
    int credit;                 /* tiles held at once: one inferred, one read, what waits, and what is not
                                   acknowledged yet; at most PT_HELD_MAX; 0: by the kind of engine */
    double coordinator_timeout; /* seconds without a word until the worker leaves; 0: never */
    double heartbeat_seconds;   /* until JOB says another */
    atomic_int *drain;          /* not 0 (set by a signal, say): finish what is begun, give the rest back,
                                   then BYE; borrowed; may be NULL. Looked at once a second and after
                                   pt_end_wake */
    /* Called about once a second while the worker is healthy (the link's thread turns, and reading and
     * inferring move or have nothing to do), and at once after its first tile; `settled`: tiles whose result
     * was acknowledged. A supervisor kills when the calls stop. By the link's thread; may be NULL. */
    void (*alive)(void *user, uint64_t settled);
    void *alive_user;
    double stall_seconds; /* a tile without any progress for that long is not healthy any more */
} pt_worker_options;

pt_worker_options pt_worker_defaults(void);

typedef enum pt_worker_end {
    PT_WORKER_BYE,     /* the job is over, or a drain is done */
    PT_WORKER_REFUSED, /* the coordinator does not want it, or its files are not the job's: status says why;
                          starting again will not help */
    PT_WORKER_LOST,    /* no coordinator */
    PT_WORKER_FAILED,  /* something of its own: status; starting again may help */
} pt_worker_end;

/* Works until the end; *status is PT_OK for BYE. `end` is borrowed. Returns only when nothing is being read
 * or inferred any more, so after a hang not at all: that is what `alive` is for. */
pt_worker_end pt_worker_run(pt_end *end, const pt_worker_options *options, pt_status *status);

#endif
