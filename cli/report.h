/* What was run, with which values, and how it went, as JSON beside the output. */
#ifndef PANTILE_CLI_REPORT_H
#define PANTILE_CLI_REPORT_H

#include "cli/job.h"
#include "coordinator/assemble/assemble.h"

typedef struct pt_report pt_report;

/* NULL in place of a report is accepted by all but pt_report_new: nothing is noted. */
pt_status pt_report_new(pt_report **out);
pt_status pt_report_scene(pt_report *report, const pt_job *job, const pt_scene_info *info,
                          const pt_grid *grid, const pt_assemble_report *result);
pt_status pt_report_write(pt_report *report, const pt_job *job, const pt_assemble_report *totals,
                          double seconds);
void pt_report_free(pt_report **report);

#endif
