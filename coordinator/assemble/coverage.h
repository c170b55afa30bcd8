/* The coverage layer: one polygon per tile (its core) that says what became of it. GeoJSON (or GeoJSONSeq),
 * placed like the output. Properties: tile, group, state ("done", "empty", "outside", "quarantined"), worker,
 * attempts, seconds, detections, reason. Worker, attempts and seconds are what happened, so two runs differ
 * there. A tile outside of where the scene's CRS is defined has no geometry.
 *
 * Life cycle: pt_coverage_open -> pt_coverage_add by tile number -> pt_coverage_commit (only now the file is
 * there) -> pt_coverage_close. Not thread-safe.
 */
#ifndef PANTILE_COORDINATOR_ASSEMBLE_COVERAGE_H
#define PANTILE_COORDINATOR_ASSEMBLE_COVERAGE_H

#include "coordinator/protocol/job_spec.h"
#include "coordinator/protocol/message.h"
#include "tiling/instance/georef.h"

typedef struct pt_coverage pt_coverage;

typedef struct pt_coverage_tile {
    int64_t tile; /* of the job */
    pt_tile_outcome outcome;
    int attempts;
    const char *worker, *reason; /* borrowed; reason may be NULL */
    double seconds;
    int64_t detections;
} pt_coverage_tile;

/* Whether the layer can have that name: PT_E_USAGE when it does not end like GeoJSON. For the start of a job
 * that writes the layer at its end. */
pt_status pt_coverage_check(const char *path);
/* `spec` and `georefs` (one per group) are borrowed until close. PT_E_USAGE as above; PT_E_EXISTS unless
 * `overwrite`; PT_E_WRITE; PT_E_NOSPACE. */
pt_status pt_coverage_open(const char *path, bool overwrite, const pt_job_spec *spec,
                           const pt_georef *const *georefs, pt_coverage **out);
/* Tiles come in the order of their numbers, each at most once (PT_E_INTERNAL otherwise); PT_E_INPUT: not a
 * tile of the job, or scenes with and without CRS mixed. */
pt_status pt_coverage_add(pt_coverage *coverage, const pt_coverage_tile *tile);
pt_status pt_coverage_commit(pt_coverage *coverage);
void pt_coverage_close(pt_coverage **coverage);

#endif
