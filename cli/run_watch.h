/* Looks at a running job now and then: the progress display, and the metrics where they are wanted.
 *
 * Life cycle: pt_run_watch_start -> pt_run_watch_stop -> pt_run_watch_free.
 */
#ifndef PANTILE_CLI_RUN_WATCH_H
#define PANTILE_CLI_RUN_WATCH_H

#include "cli/run_options.h"
#include "coordinator/control/control.h"

#include <stdatomic.h>

typedef struct pt_run_watch pt_run_watch;

/* All but `out` are borrowed until free. `objects`: found so far, counted by the stitching thread.
 * PT_E_USAGE:
 * --metrics names no free address. */
pt_status pt_run_watch_start(const pt_run_options *options, pt_control *control, const atomic_llong *objects,
                             pt_run_watch **out);
/* Ends the display (metrics go on); what follows may print. Once more is harmless. */
void pt_run_watch_stop(pt_run_watch *watch);
/* After stop: the first worker's engine ("" when it is no network) and threads; 0 when none was seen. */
void pt_run_watch_met(const pt_run_watch *watch, char backend[128], int *threads);
void pt_run_watch_free(pt_run_watch **watch); /* NULL inside is fine */

#endif
