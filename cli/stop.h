/* SIGINT and SIGTERM: the first stops the work in order, a second ends the process at once. */
#ifndef PANTILE_CLI_STOP_H
#define PANTILE_CLI_STOP_H

#include "tiling/base/base.h"

/* Catches both signals from here on, and ignores SIGPIPE. Once per process. */
pt_status pt_stop_watch(void);

/* Instead, for commands that write no files and so have nothing to put in order: the first signal ends the
 * process with the same exit code. */
void pt_stop_at_once(void);

/* SIGUSR1 from here on like the other two: mpirun forwards it at once and leaves time, Slurm sends it before
 * a time limit (--signal=USR1@60). After pt_stop_watch. */
void pt_stop_drain_too(void);

/* The signal that came, or 0. */
int pt_stop_signal(void);
const char *pt_stop_name(int number); /* "SIGINT", ... */

/* `stop` is called once from the watching thread when a signal comes, at once when one has come already;
 * NULL: nobody. The call returns only when no earlier `stop` is running any more, so that what it used may be
 * freed. */
typedef void pt_stop_function(void *user);
void pt_stop_call(pt_stop_function *stop, void *user);

/* PT_E_STOPPED when a signal came. */
pt_status pt_stop_check(void);

#endif
