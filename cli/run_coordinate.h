/* `pantile run` on the one process that coordinates, and on the ranks that only supervise a worker. */
#ifndef PANTILE_CLI_RUN_COORDINATE_H
#define PANTILE_CLI_RUN_COORDINATE_H

#include "cli/run_options.h"
#include "coordinator/launch/launch.h"

/* The whole job. Shares the invitation with the other ranks, however it ends. *failed_tiles: missing in the
 * output. */
pt_status pt_run_coordinate(const pt_run_options *options, const pt_launch *launch, int64_t *failed_tiles);

/* Ranks from 1 on (run_rank.c): a worker for the coordinator that rank 0 names; quiet unless something is
 * wrong. `options` NULL: this rank cannot take part, but the others wait for it. */
pt_status pt_run_rank(const pt_run_options *options, const pt_launch *launch);

#endif
