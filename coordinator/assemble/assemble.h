/* Turns the settled tiles of one grid into finished features: stitch, vectorise, spool, sort, write.
 *
 * What is written is a function of the set of detections alone, in an order that does not depend on who was
 * when done (docs/decisions/0003-output-order.md).
 *
 * Life cycle, one assembler per scene:
 *   pt_assembler_new(&grid, &options, &assembler)
 *   pt_assembler_add(assembler, &result)            every tile of the grid once, in any order
 *   pt_assembler_finish(assembler)
 *   pt_assembler_write(assembler, writer, overlay)
 *   pt_assembler_report(assembler); pt_assembler_free(&assembler)
 * Not thread-safe.
 */
#ifndef PANTILE_COORDINATOR_ASSEMBLE_ASSEMBLE_H
#define PANTILE_COORDINATOR_ASSEMBLE_ASSEMBLE_H

#include "coordinator/protocol/message.h"
#include "tiling/grid/grid.h"
#include "tiling/stitch/stitch.h"
#include "tiling/vectorise/vectorise.h"
#include "tiling/writer/writer.h"

enum { PT_FAILED_TILES_NAMED = 20 };

typedef struct pt_failed_tile {
    int64_t tile;
    pt_rect window;
    int attempts;
    char reason[PT_STATUS_MESSAGE];
} pt_failed_tile;

typedef struct pt_assemble_report {
    int64_t tiles; /* of the grid */
    int64_t done, empty, outside, failed;
    int64_t capped;                     /* tiles that hit a cap on proposals or detections */
    int64_t pixels;                     /* of the windows that were inferred; shared pixels count for each */
    int64_t objects;                    /* features spooled */
    int64_t dropped;                    /* objects with nothing left above the least area */
    int64_t too_large;                  /* objects too large for an outline, left out with a warning each */
    double read_seconds, infer_seconds; /* summed over workers */
    pt_stitch_stats stitch;
    pt_failed_tile failed_tiles[PT_FAILED_TILES_NAMED]; /* the first ones, by tile once the run is over */
    int failed_named;
} pt_assemble_report;

/* Called after each tile, from within pt_assembler_add. */
typedef void pt_assemble_progress(void *user, const pt_assemble_report *report);

typedef struct pt_assemble_options {
    const char *spool_dir; /* folder for the temporary file; borrowed during pt_assembler_new */
    pt_stitch_options stitch;
    pt_vectorise_options vectorise;
    pt_assemble_progress *progress; /* may be NULL */
    void *user;
} pt_assemble_options;

pt_assemble_options pt_assemble_defaults(void);

typedef struct pt_assembler pt_assembler;

/* `grid` and `options` are copied. */
pt_status pt_assembler_new(const pt_grid *grid, const pt_assemble_options *options, pt_assembler **out);
/* A settled tile, numbered as in the grid; takes the instances. */
pt_status pt_assembler_add(pt_assembler *assembler, pt_result *result);
/* All tiles were added: PT_E_INTERNAL names the first that was not. */
pt_status pt_assembler_finish(pt_assembler *assembler);
/* `overlay` may be NULL. Call pt_writer_source before. */
pt_status pt_assembler_write(pt_assembler *assembler, pt_writer *writer, pt_overlay *overlay);
const pt_assemble_report *pt_assembler_report(const pt_assembler *assembler); /* valid until free */
void pt_assembler_free(pt_assembler **assembler);

#endif
