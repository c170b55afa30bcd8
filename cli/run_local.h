/* The worker processes of this machine (or rank), supervised by a thread.
 *
 * Life cycle: pt_run_local_start -> pt_run_local_open, when they were started before it was known where to go
 * -> pt_run_local_ask, from any thread -> pt_run_local_join.
 */
#ifndef PANTILE_CLI_RUN_LOCAL_H
#define PANTILE_CLI_RUN_LOCAL_H

#include "cli/job.h"
#include "cli/run_options.h"
#include "coordinator/launch/launch.h"
#include "coordinator/protocol/keys.h"

typedef struct pt_run_local pt_run_local;

typedef enum pt_run_local_wish {
    PT_RUN_LOCAL_WORK,
    PT_RUN_LOCAL_DRAIN, /* finish the tiles at hand, then leave */
    PT_RUN_LOCAL_KILL,
} pt_run_local_wish;

/* Called once, by the supervising thread, when no worker is left, but not before they know where to go: why.
 */
typedef void pt_run_local_ended(void *user, pt_status status);

typedef struct pt_run_local_options {
    const pt_run_options *run;   /* borrowed until join */
    const pt_job *job;           /* borrowed until join: what workers may prepare for; NULL: nothing yet */
    const char *endpoint;        /* borrowed until join; NULL: pt_run_local_open will tell it, and the keys */
    const pt_key_pair *keys;     /* borrowed until join; NULL: no encryption */
    const pt_public_key *server; /* borrowed until join; NULL with keys NULL */
    double timeout;              /* seconds until workers give up a silent coordinator; 0: their default */
    int cores;                   /* that all workers share, unless --threads says another number */
    int first_device;            /* as a supervisor's; -1: devices are left alone */
    pt_run_local_ended *ended;   /* may be NULL */
    void *user;
} pt_run_local_options;

pt_status pt_run_local_start(const pt_run_local_options *options, pt_run_local **out);
/* All three as in the options, of a start without an endpoint. */
void pt_run_local_open(pt_run_local *local, const char *endpoint, const pt_key_pair *keys,
                       const pt_public_key *server);
void pt_run_local_ask(pt_run_local *local, pt_run_local_wish wish);
/* Waits until no worker is left, for `seconds` at most (negative: for ever); how that came about,
 * PT_E_STOPPED while there are some. */
pt_status pt_run_local_wait(pt_run_local *local, double seconds);
/* Kills what is left, waits and frees; NULL is fine. */
void pt_run_local_join(pt_run_local **local);

/* The first_device of this rank, so that no two workers of a host share one. */
int pt_run_local_device(const pt_run_options *options, const pt_launch *launch);

/* Threads of each worker. */
int pt_run_local_threads(const pt_run_options *options, int cores);

#endif
