/* From a model file to the three graphs of the detector. */
#ifndef PANTILE_ENGINE_GRAPH_BUILD_H
#define PANTILE_ENGINE_GRAPH_BUILD_H

#include "engine/graph/graph.h"
#include "engine/model/model.h"
#include "engine/ops/maps.h"

/* Graphs, and the numbers of the values that the detector writes or reads. */
typedef struct pt_parts {
    pt_graph *image; /* backbone, pyramid, RPN head */
    int input;
    int levels[PT_MODEL_MAX_LEVELS]; /* P2 .. */
    int rpn[PT_MODEL_MAX_LEVELS];    /* F32, 5 * anchors channels: objectness of each, then deltas */
    pt_graph *box;                   /* over proposals */
    int box_in;                      /* RoI features, like the pyramid's levels */
    int box_out;                     /* F32, 5 * classes channels: class logits, then deltas of each */
    pt_graph *mask;                  /* over detections */
    int mask_in;
    int mask_out;          /* 4 * channels: pt_op_mask_logits says how */
    float *logits_weights; /* classes x channels, for pt_op_mask_logits */
    float *logits_bias;
    pt_image_rule rule; /* how the image becomes `input` */
    int operators;      /* of the network before the passes */
    bool shares;        /* the numbers belong to other parts */
} pt_parts;

/* On failure nothing is left; pt_parts_free. `without`: as pt_engine_options.without_passes. */
pt_status pt_parts_build(const pt_model *model, pt_backend *backend, const pt_precision *precision,
                         const char *without, pt_parts *out);
/* The same graphs and layers for a second run side by side: pt_graph_share. */
pt_status pt_parts_share(const pt_parts *of, pt_backend *backend, pt_parts *out);
void pt_parts_free(pt_parts *parts);

/* Fills in the parts of one domain: build.c, build_heads.c. */
pt_status pt_build_image(const pt_model *model, pt_backend *backend, pt_parts *parts);
pt_status pt_build_box_head(const pt_model *model, pt_backend *backend, pt_parts *parts);
pt_status pt_build_mask_head(const pt_model *model, pt_backend *backend, pt_parts *parts);

#endif
