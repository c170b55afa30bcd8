/* One run of a job in a world. */
#ifndef PANTILE_TESTS_COORDINATOR_CONTROL_PLAY_H
#define PANTILE_TESTS_COORDINATOR_CONTROL_PLAY_H

#include "job.h"
#include "world.h"

typedef struct outcome {
    pt_status status;
    pt_control_snapshot shown;
    world_report world;
} outcome;

extern char play_folder[96]; /* of the job; removed by play_clear */

/* Fixtures of a group, and of a test. */
int play_begin(void **state);
int play_end(void **state);
int play_clear(void **state);

outcome play_with(job *j, const world_options *options, const pt_control_options *control);
outcome play(job *j, const world_options *options);
/* A new job that must end well. */
outcome play_whole(const world_options *options);

#endif
