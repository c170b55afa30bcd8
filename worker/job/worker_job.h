/* What a worker opens to do a job: the scene of a group, the engine, a detector; from a spec that came over
 * the wire, so nothing is opened that the worker's own settings do not allow.
 *
 * The spec's paths are relative to the coordinator's root; here they are opened below `root` alone (after
 * links are resolved, and so for every file that a VRT names), URLs only below one of the prefixes in `urls`.
 * What is opened is compared with the spec: fingerprint and size of the scene, digests of the other files.
 *
 * Life cycle: pt_worker_job_open(&spec, &access, &job) -> pt_worker_job_group(job, g, ...) ->
 * pt_worker_job_close. One thread at a time, but for pt_worker_job_progress.
 */
#ifndef PANTILE_WORKER_JOB_WORKER_JOB_H
#define PANTILE_WORKER_JOB_WORKER_JOB_H

#include "coordinator/protocol/job_spec.h"
#include "engine/engine.h"
#include "tiling/grid/grid.h"
#include "tiling/scene/scene.h"
#include "worker/detect/detector.h"
#include "worker/job/ahead.h"

typedef struct pt_worker_access {
    const char *root; /* folder that stands for the coordinator's root; NULL or "/" when both see the same */
    const char *const *urls; /* prefixes such as "/vsicurl/https://host/", allowed as they are; "/vsi": any */
    size_t url_count;
    const char *const *drivers; /* of GDAL, that a job may ask for beside the usual ones */
    size_t driver_count;
    const char *model; /* a file of the worker's own instead of the spec's path; NULL: none */
    const char *dump;  /* folder into which every window is written too; NULL: none */
    int threads;       /* of the engine; 0: all cores that the process may use */
    bool no_scene;     /* pixels come by message */
    pt_ahead *ahead;   /* an engine that may be the job's, prepared already; NULL: none */
} pt_worker_access;

typedef struct pt_worker_job pt_worker_job;

/* Opens the engine. `spec` and `access` are borrowed until close. PT_E_INPUT names the file that is missing
 * or not allowed; that the engine's file is another than the coordinator's is left to pt_worker_job_check, so
 * that its digest can be told. */
pt_status pt_worker_job_open(const pt_job_spec *spec, const pt_worker_access *access, pt_worker_job **out);
void pt_worker_job_close(pt_worker_job **job);

/* PT_E_INPUT with the file and both digests when the engine's file is not the spec's. */
pt_status pt_worker_job_check(const pt_worker_job *job);

const uint8_t *pt_worker_job_sha256(const pt_worker_job *job); /* of the engine's file, 32 bytes */
const char *pt_worker_job_backend(const pt_worker_job *job);   /* "" for engines that are no network */
int pt_worker_job_threads(const pt_worker_job *job);
/* Grows while the network runs; any thread. Stands still for engines that are none. */
uint64_t pt_worker_job_progress(const pt_worker_job *job);

/* The group's scene, reader and detector, opened when first asked for, kept until another group is asked for.
 * NULL scene and reader with no_scene, and for an engine that reads nothing. Valid until the next call for
 * another group or close. The reader is for one thread, the detector for one thread; they may be two.
 * PT_E_INPUT: not the coordinator's scene. */
pt_status pt_worker_job_group(pt_worker_job *job, size_t group, pt_scene_reader **reader,
                              pt_detector **detector);

/* The options with which every process opens a group's scene, so that all read the same. `group` NULL: its
 * range is not known yet, as when the coordinator opens it first. `aoi`: where the area of interest lies here
 * (NULL: there is none). Borrows from all three. */
pt_scene_options pt_worker_scene_options(const pt_job_spec *spec, const pt_job_group *group, const char *aoi);

/* What a spec's engine.sha256 is for this file or folder: SHA-256 of a model's or an oracle's bytes, of the
 * names and sizes of a replay's files in the order of their names; zero for the null engine. */
pt_status pt_worker_engine_sha256(pt_engine_kind kind, const char *path, uint8_t out[PT_SHA256_BYTES]);

#endif
