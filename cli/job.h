/* What `run` and `plan` share: what the user asked for, with the model's values filled in, and the scenes.
 * No engine is opened here: a run's workers are processes of their own.
 *
 * Life cycle:
 *   pt_job_open(&options, &job)                      model summary; scenes grouped
 *   per group: pt_job_open_scene(job, g, &scene, &grid); ...
 *   pt_job_close(&job)
 * `options` is borrowed until close.
 */
#ifndef PANTILE_CLI_JOB_H
#define PANTILE_CLI_JOB_H

#include "cli/run_options.h"
#include "coordinator/protocol/job_spec.h"
#include "engine/engine.h"
#include "tiling/grid/grid.h"
#include "tiling/scene/scene.h"

typedef struct pt_job {
    const pt_run_options *options; /* borrowed */
    pt_engine_kind kind;
    const char *argument;           /* of oracle: and replay: */
    char *model_path;               /* owned; NULL: none named */
    pt_model_summary *model;        /* owned; NULL: none named */
    const char *const *class_names; /* of the model, or "background", "object" */
    size_t class_count;
    double score;              /* used */
    int proposals, detections; /* caps; 0: the model's */
    char *precision;           /* owned; what the model computes in, never "auto"; NULL for other engines */
    int64_t lattice;           /* tile and overlap are multiples of it */
    uint8_t fill[3];           /* of invalid pixels: the model's mean */
    size_t *groups;            /* of each scene path */
    size_t group_count;
} pt_job;

/* The model is read and checked, but its sha256 is left empty until pt_job_digest, which takes longer than
 * all the rest, has filled it. */
pt_status pt_job_open(const pt_run_options *options, pt_job *out);
void pt_job_digest(pt_job *job);
void pt_job_close(pt_job *job);

pt_status pt_job_scene_options(const pt_job *job, pt_scene_options *out);
/* The group's files as the user named them; the list is freed with pt_free. */
pt_status pt_job_paths(const pt_job *job, size_t group, const char ***paths, size_t *count);
pt_status pt_job_open_scene(const pt_job *job, size_t group, pt_scene **scene, pt_grid *grid);

/* "EPSG:32633", the CRS's name, or "none". */
void pt_job_crs_name(const pt_scene_info *info, char *out, size_t size);
/* The lines before the start (or the same as log pairs). */
void pt_job_say_model(const pt_job *job);
void pt_job_say_scene(const pt_scene_info *info, const pt_grid *grid);

#endif
