/* From a model file to the graph and the heads' layers. */
#ifndef PANTILE_ENGINE_GRAPH_BUILD_H
#define PANTILE_ENGINE_GRAPH_BUILD_H

#include "engine/graph/graph.h"
#include "engine/model/model.h"
#include "engine/ops/heads.h"

/* The numbers of the values that the detector reads. */
typedef struct pt_backbone_values {
    int input;
    int levels[PT_MODEL_MAX_LEVELS]; /* P2 .. */
    int rpn[PT_MODEL_MAX_LEVELS];    /* 5 * anchors channels each */
} pt_backbone_values;

/* Backbone, pyramid and RPN head. */
pt_status pt_build_graph(const pt_model *model, pt_backend *backend, pt_graph *graph,
                         pt_backbone_values *values);
/* On failure the caller frees what is set, as on success: pt_free_heads. */
pt_status pt_build_box_head(const pt_model *model, pt_backend *backend, pt_box_head *head);
pt_status pt_build_mask_head(const pt_model *model, pt_backend *backend, pt_mask_head *head);
void pt_free_heads(pt_backend *backend, pt_box_head *box, pt_mask_head *mask);

#endif
