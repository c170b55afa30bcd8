/* The scenes of a run, group by group: opened, laid out in tiles, told to the workers as a job spec, and put
 * together by an assembler each.
 *
 * Life cycle: pt_run_scenes_open -> pt_run_scenes_assemble -> pt_run_scenes_close. `job` is borrowed.
 */
#ifndef PANTILE_CLI_RUN_SCENES_H
#define PANTILE_CLI_RUN_SCENES_H

#include "cli/job.h"
#include "coordinator/assemble/assemble.h"
#include "coordinator/protocol/job_spec.h"

typedef struct pt_run_group {
    pt_scene *scene;         /* owned */
    pt_grid grid;            /* value */
    pt_assembler *assembler; /* owned; NULL until pt_run_scenes_assemble */
    pt_overlay *overlay;     /* owned; NULL: none wanted */
} pt_run_group;

typedef struct pt_run_scenes {
    pt_run_group *groups; /* owned */
    size_t count;
    pt_job_spec spec; /* owned */
} pt_run_scenes;

/* Opens all, says what they are, and makes the spec. */
pt_status pt_run_scenes_open(const pt_job *job, pt_run_scenes *out);
/* Assemblers that spool beside the output, and the pictures of overlays. `progress` may be NULL. */
pt_status pt_run_scenes_assemble(pt_run_scenes *scenes, const pt_job *job, pt_assemble_progress *progress,
                                 void *user);
void pt_run_scenes_close(pt_run_scenes *scenes);

enum { PT_RUN_ATTEMPTS = 3 }; /* tries of a tile that cannot be read */
/* The spec of opened groups (run_spec.c). */
pt_status pt_run_spec_make(const pt_job *job, const pt_run_group *groups, pt_job_spec *out);

#endif
