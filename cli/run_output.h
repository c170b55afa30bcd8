/* What a run leaves behind: the output, overlays, the coverage layer, the report, the last lines. */
#ifndef PANTILE_CLI_RUN_OUTPUT_H
#define PANTILE_CLI_RUN_OUTPUT_H

#include "cli/report.h"
#include "cli/run_folder.h"
#include "cli/run_scenes.h"
#include "tiling/writer/writer.h"

/* Everything about names that can be refused before hours of work: outputs that exist (unless `replace`) or
 * lie over an input or each other, folders that are missing. */
pt_status pt_run_output_check(const pt_job *job, bool replace);
pt_status pt_run_output_open(const pt_job *job, bool replace, pt_writer **out);
/* Sorts and writes the features of all groups; nothing appears yet. */
pt_status pt_run_output_write(pt_run_scenes *scenes, pt_writer *writer);
/* Puts output, overlays and coverage in place. Can be repeated, by a job that was cut off here. */
pt_status pt_run_output_commit(const pt_job *job, pt_run_scenes *scenes, pt_writer *writer,
                               pt_run_folder *folder, bool replace);
/* Of all groups together. */
void pt_run_output_totals(const pt_run_scenes *scenes, pt_assemble_report *out);

#endif
