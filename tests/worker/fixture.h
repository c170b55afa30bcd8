/* Small jobs for the worker's tests: scenes and layers in GDAL's memory, and the spec that a coordinator
 * would make of them. */
#ifndef PANTILE_TESTS_WORKER_FIXTURE_H
#define PANTILE_TESTS_WORKER_FIXTURE_H

#include "worker/job/worker_job.h"

enum { FIXTURE_SIDE = 320, FIXTURE_TILE = 64, FIXTURE_OVERLAP = 32, FIXTURE_LATTICE = 32 };

/* A scene whose upper left quarter is nodata, of 320 x 320 pixels of half a metre; `seed` tells scenes apart.
 */
void fixture_scene(const char *path, int seed);
/* Squares all over such a scene. */
void fixture_truth(const char *path);

/* A job on these scenes (each a group of its own), of the oracle with `truth` (the null engine without one).
 * Everything in it is true. */
pt_job_spec fixture_spec(const char *const *scenes, size_t count, const char *truth);
/* Anything in GDAL's memory, and nothing else. */
pt_worker_access fixture_access(void);

#endif
