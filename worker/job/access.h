/* Which files a job that came over the wire may name. Private to worker/job and its tests. */
#ifndef PANTILE_WORKER_JOB_ACCESS_H
#define PANTILE_WORKER_JOB_ACCESS_H

#include "worker/job/worker_job.h"

/* The path or URL by which the file that a spec names is opened here; owned by the caller. `what` names it in
 * messages ("scene", "model"). PT_E_INPUT when it is not allowed or not there. */
pt_status pt_access_resolve(const pt_worker_access *access, const char *what, const char *path, char **out);

/* A file that another file (a VRT) names, by the name GDAL knows it by: allowed as pt_access_resolve allows.
 */
pt_status pt_access_check(const pt_worker_access *access, const char *what, const char *name);

#endif
