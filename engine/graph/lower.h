/* From the final IR to the executor's graphs: every convolution's numbers are loaded, folded, turned to the
 * order of NHWC, quantised where it computes in bytes, and handed to the backend, one layer after the other.
 *
 *   fully connected layer      1x1 convolution over regions of one cell; the rows of one that reads a
 * region's cells are turned from channel by channel to cell by cell 2x2 transposed convolution 1x1
 * convolution with four times the outputs, one set per position: at stride 2 its windows do not overlap
 *   layers that share weights  one prepared layer
 *   first layer on bytes       has the normalisation folded in
 */
#ifndef PANTILE_ENGINE_GRAPH_LOWER_H
#define PANTILE_ENGINE_GRAPH_LOWER_H

#include "engine/graph/parts.h"

/* Shapes must be inferred (for whatever image). Fills in all of *parts but `shares`; on failure the caller
 * frees what is there. PT_E_INPUT (a tensor is missing), PT_E_UNSUPPORTED (by the backend), PT_E_NOMEM. */
pt_status pt_lower(const pt_ir *ir, const pt_model *model, pt_backend *backend, pt_parts *parts);

/* weights.c: what a dense operator is to the backend, and its numbers, made by the pool's threads. */
pt_status pt_lower_weights(const pt_ir *ir, const pt_ir_op *op, const pt_model *model, pt_pool *pool,
                           pt_conv_spec *spec, pt_conv_weights *out);
/* Newly allocated floats (aligned) of a whole tensor, name.part. */
pt_status pt_lower_floats(const pt_model *model, const char *name, const char *part, float **out);
/* Cells of a region that a linear layer reads, also through a flattening. */
int pt_lower_cells(const pt_ir *ir, int value);

#endif
