/* The network as data: typed operators and values built from a model's description, before any weight is
 * loaded. Passes rewrite it; lower.c turns the result into the executor's graphs.
 *
 *   pt_ir_build(model, &ir)               one operator per layer of the architecture, nothing fused
 *   pt_ir_run_passes(ir, without)         each pass is a function from IR to IR (passes.h)
 *   pt_ir_assign_precision(ir, ...)       bytes or floats, with as few conversions as possible
 *   pt_ir_infer_shapes(ir, w, h), pt_ir_print(ir, &text), pt_ir_free
 *
 * Operators stand in the order of execution; an operator has one output value. Values of three domains: the
 * image's maps, regions of all proposals, regions of the detections.
 */
#ifndef PANTILE_ENGINE_GRAPH_IR_H
#define PANTILE_ENGINE_GRAPH_IR_H

#include "engine/kernels/map.h"
#include "engine/model/calibration.h"
#include "engine/model/model.h"
#include "engine/quant/precision.h"

enum { PT_IR_MAX_INPUTS = 8, PT_IR_NAME = 128 };

typedef enum pt_domain { PT_DOMAIN_IMAGE, PT_DOMAIN_PROPOSALS, PT_DOMAIN_DETECTIONS } pt_domain;

typedef enum pt_op_kind {
    PT_OP_INPUT,      /* the image */
    PT_OP_CONV,       /* dense, grouped, depthwise; weights `name` */
    PT_OP_DECONV,     /* 2x2 at stride 2 */
    PT_OP_LINEAR,     /* reads all h * w * c of a region */
    PT_OP_BATCH_NORM, /* weights `name` */
    PT_OP_ACTIVATE,
    PT_OP_ADD,
    PT_OP_MAX_POOL,
    PT_OP_UPSAMPLE,  /* inputs: the map, and the map whose size it takes */
    PT_OP_CONCAT,    /* of channels */
    PT_OP_IDENTITY,  /* dropout, flatten: nothing at inference */
    PT_OP_PROPOSE,   /* inputs: the RPN's answers per level */
    PT_OP_ROI_ALIGN, /* inputs: proposals or detections, pyramid levels */
    PT_OP_SELECT,    /* inputs: the box head's answers, proposals */
    PT_OP_MASK_LOGITS,
    PT_OP_SIGMOID,
    PT_OP_CONVERT, /* between elems and quants */
    PT_OP_KINDS
} pt_op_kind;

typedef struct pt_ir_value {
    char name[PT_IR_NAME]; /* of the last layer in it */
    pt_domain domain;
    int channels;
    int h, w; /* by pt_ir_infer_shapes; 0 before */
    pt_elem elem;
    pt_quant quant;
} pt_ir_value;

typedef struct pt_ir_op {
    pt_op_kind kind;
    pt_component component;
    char name[PT_IR_NAME]; /* of its weights in the model, or what it is; shared by operators that share them
                            */
    char norm[PT_IR_NAME]; /* batch norm folded in, "" none */
    char with[PT_IR_NAME]; /* weights of a second layer on the same input whose outputs follow ("" none) */
    int inputs[PT_IR_MAX_INPUTS], input_count; /* of a fused addition: the summand is inputs[1] */
    int output;
    int kernel_h, kernel_w, stride, pad, groups;
    pt_activation activation;
    bool adds, adds_upsampled;
    int fused; /* operators of the unfused network that this one stands for */
    pt_numeric numeric;
} pt_ir_op;

typedef struct pt_ir {
    pt_ir_op *ops;
    size_t op_count, op_capacity;
    pt_ir_value *values;
    size_t value_count, value_capacity;
} pt_ir;

pt_status pt_ir_build(const pt_model *model, pt_ir *out);
void pt_ir_free(pt_ir *ir);
pt_status pt_ir_infer_shapes(pt_ir *ir, int width, int height, int proposals, int detections);

#endif
