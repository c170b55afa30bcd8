/* A model prepared to run: the three graphs of the detector, from the model file by way of the IR (parts.c),
 * and what the steps between them need (network.c). */
#ifndef PANTILE_ENGINE_GRAPH_PARTS_H
#define PANTILE_ENGINE_GRAPH_PARTS_H

#include "engine/graph/graph.h"
#include "engine/graph/ir.h"
#include "engine/model/model.h"
#include "engine/ops/maps.h"

/* Graphs, and the numbers of the values that the detector writes or reads. */
typedef struct pt_parts {
    pt_graph *image; /* backbone, pyramid, RPN head */
    int input;
    int box_levels[PT_MODEL_MAX_LEVELS];  /* P2 .. as the box head reads them; all of one elem and quant */
    int mask_levels[PT_MODEL_MAX_LEVELS]; /* the same values, but where one head computes in bytes alone */
    int rpn[PT_MODEL_MAX_LEVELS];         /* F32, 5 * anchors channels: objectness of each, then deltas */
    pt_graph *box;                        /* over proposals */
    int box_in;                           /* RoI features, like the pyramid's levels */
    int box_out;                          /* F32, 5 * classes channels: class logits, then deltas of each */
    pt_graph *mask;                       /* over detections */
    int mask_in;
    int mask_out;          /* 4 * channels: pt_op_mask_logits says how */
    float *logits_weights; /* classes x channels, for pt_op_mask_logits */
    float *logits_bias;
    pt_image_rule rule;    /* how the image becomes `input` */
    int operators, layers; /* of the network before and after the passes */
    bool shares;           /* the numbers belong to other parts */
} pt_parts;

/* What a precision that was asked for means for this model: NULL or "auto" is the calibration's, FP32 where
 * there is none. *strict: it was asked for, so that it is an error when the calibration does not allow it.
 * PT_E_USAGE. */
pt_status pt_parts_precision(const pt_model *model, const char *asked, pt_precision *out, bool *strict);
/* The final IR of a model: built, passed through all passes but those of `without` (NULL: none), precision
 * assigned. Free with pt_ir_free. */
pt_status pt_parts_ir(const pt_model *model, const pt_precision *precision, bool strict, const char *without,
                      pt_ir *out);
/* That, lowered. On failure nothing is left; pt_parts_free. */
pt_status pt_parts_build(const pt_model *model, pt_backend *backend, const pt_precision *precision,
                         bool strict, const char *without, pt_parts *out);
/* The same graphs and layers for a second run side by side: pt_graph_share. */
pt_status pt_parts_share(const pt_parts *of, pt_backend *backend, pt_parts *out);
void pt_parts_free(pt_parts *parts);

#endif
