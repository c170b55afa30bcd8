/* A worker: holds a connection to the coordinator, reads each window while the one before is inferred,
 * replies with what was found, and repeats each reply until it is acknowledged.
 *
 * Three threads: the caller's speaks with the coordinator (never blocked by work), one reads, one infers. A
 * tile outside the area of interest, never written, or without a valid pixel is answered without inference.
 * What goes wrong with a tile is the coordinator's to judge: it becomes a FAILED, and the worker goes on.
 *
 * A worker may outlive the job it joined for: after BYE it leaves. It leaves by itself when it has heard
 * nothing for options.coordinator_timeout.
 */
#ifndef PANTILE_WORKER_LOOP_LOOP_H
#define PANTILE_WORKER_LOOP_LOOP_H

#include "coordinator/protocol/link.h"
#include "worker/job/worker_job.h"

#include <stdatomic.h>

typedef struct pt_worker_options {
    pt_worker_access access;
    uint8_t slot[PT_SLOT_ID]; /* zero: none */
    const char *name;         /* NULL: host:pid */
    int credit; /* tiles held at once: one inferred, one read, and what waits; at most PT_HELD_MAX */
    double coordinator_timeout; /* seconds without a word until the worker leaves; 0: never */
    double heartbeat_seconds;   /* until JOB says another */
    atomic_int *drain;          /* set by a signal: finish what is held, then BYE; borrowed; may be NULL */
    atomic_ulong *alive; /* counted up about once a second while the worker is healthy: speaks with the link's
                            thread and its compute thread moves or has nothing to do. A supervisor kills when
                            it stands still. May be NULL */
    double stall_seconds; /* a tile without any progress for that long is not healthy any more */
} pt_worker_options;

pt_worker_options pt_worker_defaults(void);

typedef enum pt_worker_end {
    PT_WORKER_BYE,     /* the job is over, or a drain is done */
    PT_WORKER_REFUSED, /* the coordinator does not want it: status says why; starting again will not help */
    PT_WORKER_LOST,    /* no coordinator */
    PT_WORKER_FAILED,  /* something of its own: status; starting again may help */
} pt_worker_end;

/* Works until the end; *status is PT_OK for BYE. `end` is borrowed. */
pt_worker_end pt_worker_run(pt_end *end, const pt_worker_options *options, pt_status *status);

#endif
