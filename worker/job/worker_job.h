/* What a worker opens to do a job: the scene of a group, the engine, a detector; from a spec that came over
 * the wire, so nothing is opened that the worker's own settings do not allow.
 *
 * The spec's paths are relative to the coordinator's root; here they are opened below `root` alone (after
 * links are resolved), URLs only below one of the prefixes in `urls`. What is opened is compared with the
 * spec: fingerprint, size in scene pixels, SHA-256 of the engine's file.
 *
 * Life cycle: pt_worker_job_open(&spec, &access, &job) -> pt_worker_job_group(job, g, ...) ->
 * pt_worker_job_close. One thread at a time.
 */
#ifndef PANTILE_WORKER_JOB_WORKER_JOB_H
#define PANTILE_WORKER_JOB_WORKER_JOB_H

#include "coordinator/protocol/job_spec.h"
#include "engine/engine.h"
#include "tiling/grid/grid.h"
#include "tiling/scene/scene.h"
#include "worker/detect/detector.h"

typedef struct pt_worker_access {
    const char *root; /* folder that stands for the coordinator's root; "/" when both see the same files */
    const char *const *urls; /* prefixes such as "/vsicurl/https://host/", allowed as they are */
    size_t url_count;
    const char *model; /* a file of the worker's own instead of the spec's path; NULL: none */
    int threads;       /* of the engine; 0: all cores that the process may use */
    bool no_scene;     /* pixels come by message */
} pt_worker_access;

typedef struct pt_worker_job pt_worker_job;

/* `spec` and `access` are borrowed until close. PT_E_INPUT names the file, and both digests where they
 * differ. */
pt_status pt_worker_job_open(const pt_job_spec *spec, const pt_worker_access *access, pt_worker_job **out);
void pt_worker_job_close(pt_worker_job **job);

const uint8_t *pt_worker_job_sha256(const pt_worker_job *job); /* of the engine's file, 32 bytes */
const char *pt_worker_job_backend(const pt_worker_job *job);
int pt_worker_job_threads(const pt_worker_job *job);

/* The group's scene, reader and detector, opened when first asked for, kept until another group is asked for.
 * NULL scene and reader with no_scene. Valid until the next call for another group or close. The reader is
 * for one thread, the detector for one thread; they may be two. */
pt_status pt_worker_job_group(pt_worker_job *job, size_t group, pt_scene_reader **reader,
                              pt_detector **detector);

#endif
