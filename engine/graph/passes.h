/* What turns the network as it was trained into the network as it is computed. Each pass is a function from
 * IR to IR that keeps every result; each may be left out, for comparison.
 *
 *   identity     views of the same numbers (flatten) go
 *   norm         a batch norm behind a convolution moves into its weights
 *   upsample     enlarging the coarser map and adding it becomes part of the lateral convolution
 *   add          a residual addition becomes part of the convolution before it
 *   activation   ReLU and ReLU6 become part of the convolution before them
 *   concat       layers that read one input and whose outputs are put side by side become one layer
 *   dead         what leads to no result goes
 *
 * There is no pass for the layout: all maps are NHWC, so nothing is left to choose. What other engines do
 * there is part of lowering (lower.h): fully connected layers as convolutions, their weights turned to the
 * order of NHWC. The form of the image (bytes or floats) follows from the first layer's precision. */
#ifndef PANTILE_ENGINE_GRAPH_PASSES_H
#define PANTILE_ENGINE_GRAPH_PASSES_H

#include "engine/graph/ir.h"

typedef struct pt_pass {
    const char *name;
    pt_status (*run)(pt_ir *ir); /* after a failure (PT_E_NOMEM) the IR can only be freed */
} pt_pass;

/* In the order in which they run. */
const pt_pass *pt_passes(size_t *count);
/* Runs all passes but those of `without`: names by commas, "all", NULL or "" for none. PT_E_USAGE for a name
 * that no pass has, listing those there are. */
pt_status pt_ir_run_passes(pt_ir *ir, const char *without);

pt_status pt_pass_drop_identities(pt_ir *ir);
pt_status pt_pass_fold_norms(pt_ir *ir);
pt_status pt_pass_fuse_upsamples(pt_ir *ir);
pt_status pt_pass_fuse_adds(pt_ir *ir);
pt_status pt_pass_fuse_activations(pt_ir *ir);
pt_status pt_pass_merge_concats(pt_ir *ir);
pt_status pt_pass_drop_dead(pt_ir *ir);

/* Decides for every operator whether it computes in bytes or floats and for every value how it is stored, and
 * inserts the conversions between. A layer that would have to read bytes of a value without a range
 * (calibration NULL: none has one) computes in floats instead, or, when `strict`, is an error: PT_E_INPUT,
 * naming the value. PT_E_USAGE when a layer of `precision` is not in the network, or bytes are asked for
 * without any calibration; PT_E_NOMEM. */
pt_status pt_ir_assign_precision(pt_ir *ir, const pt_precision *precision, const pt_calibration *calibration,
                                 bool strict);

#endif
