/* Finished features in an unlinked temporary file, a key of fixed size for each in memory; read back in an
 * order that is a function of the features alone (docs/decisions/0003-output-order.md).
 *
 * Life cycle: pt_spool_new -> pt_spool_add, many -> pt_spool_sort -> pt_spool_read(0 .. count - 1) ->
 * pt_spool_free. Private to coordinator/assemble and its tests. Not thread-safe.
 */
#ifndef PANTILE_COORDINATOR_ASSEMBLE_SPOOL_H
#define PANTILE_COORDINATOR_ASSEMBLE_SPOOL_H

#include "tiling/grid/grid.h"
#include "tiling/instance/feature.h"

#include <stddef.h>

typedef struct pt_spool pt_spool;

/* The file lives in folder `dir` without a name, so that nothing is left behind however the process ends.
 * PT_E_WRITE: the folder is missing or read-only. `grid` is copied. */
pt_status pt_spool_new(const char *dir, const pt_grid *grid, pt_spool **out);

/* `area`: pixels of the object's mask, part of the order. PT_E_NOSPACE: the disk is full. */
pt_status pt_spool_add(pt_spool *spool, const pt_feature *feature, int64_t area);

/* Owner tile of the anchor (row by row), anchor y, x, class, score (falling), area, bytes of the geometry. */
pt_status pt_spool_sort(pt_spool *spool);

size_t pt_spool_count(const pt_spool *spool);
uint64_t pt_spool_bytes(const pt_spool *spool);

/* Only after pt_spool_sort. The caller owns *out. */
pt_status pt_spool_read(const pt_spool *spool, size_t index, pt_feature *out);

void pt_spool_free(pt_spool **spool);

#endif
