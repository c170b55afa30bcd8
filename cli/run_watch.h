/* Looks at a running job now and then: the progress display, and the metrics where they are wanted.
 *
 * Life cycle: pt_run_watch_start -> pt_run_watch_objects, from the stitching thread -> pt_run_watch_stop.
 */
#ifndef PANTILE_CLI_RUN_WATCH_H
#define PANTILE_CLI_RUN_WATCH_H

#include "cli/run_options.h"
#include "coordinator/control/control.h"

typedef struct pt_run_watch pt_run_watch;

/* `options` and `control` are borrowed until stop. PT_E_USAGE: --metrics names no free address. */
pt_status pt_run_watch_start(const pt_run_options *options, pt_control *control, pt_run_watch **out);
void pt_run_watch_objects(pt_run_watch *watch, int64_t objects); /* found so far */
void pt_run_watch_stop(pt_run_watch **watch);

#endif
