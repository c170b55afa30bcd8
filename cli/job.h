/* What `run` and `plan` share: the model, the detectors, the scenes one after another, the workers.
 *
 * Life cycle:
 *   pt_job_open(&options, &job)                      model and engine; scenes grouped
 *   per group: pt_job_open_scene(job, g, &scene, &grid); pt_job_detector(job, scene, &detector); ...
 *   pt_job_close(&job)
 * `options` is borrowed until close.
 */
#ifndef PANTILE_CLI_JOB_H
#define PANTILE_CLI_JOB_H

#include "cli/run_options.h"
#include "engine/engine.h"
#include "tiling/grid/grid.h"
#include "tiling/scene/scene.h"
#include "worker/detect/detector.h"

typedef enum pt_job_engine { PT_JOB_MODEL, PT_JOB_ORACLE, PT_JOB_REPLAY } pt_job_engine;

typedef struct pt_job {
    const pt_run_options *options; /* borrowed */
    pt_job_engine kind;
    const char *argument;           /* of oracle: and replay: */
    pt_engine *engine;              /* NULL unless kind is PT_JOB_MODEL */
    pt_model_summary *summary;      /* owned, when a model was named but is not run; else NULL */
    const pt_model_summary *model;  /* of engine or summary; NULL: none named */
    const char *const *class_names; /* of the model, or "background", "object" */
    size_t class_count;
    double score;    /* used */
    int threads;     /* used */
    int64_t lattice; /* tile and overlap are multiples of it */
    uint8_t fill[3]; /* of invalid pixels: the model's mean */
    size_t *groups;  /* of each scene path */
    size_t group_count;
} pt_job;

pt_status pt_job_open(const pt_run_options *options, pt_job *out);
void pt_job_close(pt_job *job);

pt_status pt_job_open_scene(const pt_job *job, size_t group, pt_scene **scene, pt_grid *grid);
pt_status pt_job_detector(const pt_job *job, const pt_scene *scene, pt_detector **out);
/* How many workers share a link: one with an engine, which has its own threads; else one per thread. */
size_t pt_job_workers(const pt_job *job);

/* "EPSG:32633", the CRS's name, or "none". */
void pt_job_crs_name(const pt_scene_info *info, char *out, size_t size);
/* The lines before the start (or the same as log pairs). */
void pt_job_say_model(const pt_job *job);
void pt_job_say_scene(const pt_scene_info *info, const pt_grid *grid);

#endif
