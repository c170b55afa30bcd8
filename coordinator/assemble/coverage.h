/* The coverage layer: one polygon per tile (its core) that says what became of it. GeoJSON, placed like the
 * output. Properties: tile, group, state ("done", "empty", "outside", "quarantined"), worker, attempts,
 * seconds, detections, reason. Worker, attempts and seconds are what happened, so two runs differ there. */
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

/* georefs: one per group, borrowed until close. PT_E_EXISTS unless `overwrite`. */
pt_status pt_coverage_open(const char *path, bool overwrite, const pt_job_spec *spec,
                           const pt_georef *const *georefs, pt_coverage **out);
pt_status pt_coverage_add(pt_coverage *coverage, const pt_coverage_tile *tile);
pt_status pt_coverage_commit(pt_coverage *coverage);
void pt_coverage_close(pt_coverage **coverage);

#endif
