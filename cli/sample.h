/* Tiles spread evenly over all scenes of a job: the same for the same scenes and the same number. */
#ifndef PANTILE_CLI_SAMPLE_H
#define PANTILE_CLI_SAMPLE_H

#include "cli/job.h"

/* A window with valid pixels, of the index-th tile of `wanted`; valid during the call. */
typedef pt_status pt_sample_take(void *user, const pt_window *window, int64_t index, int64_t wanted);

/* Calls back for at most `most` tiles, in the order of the scenes and their tiles; all of them where there
 * are fewer. Those without a valid pixel are left out. PT_E_INPUT when no tile has any; PT_E_STOPPED after a
 * signal; what reading and `take` fail with. */
pt_status pt_sample_tiles(const pt_job *job, int64_t most, pt_sample_take *take, void *user);

#endif
