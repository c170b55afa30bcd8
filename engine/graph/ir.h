/* The network as data: typed operators and values built from a model's description, before any weight is
 * loaded. Passes rewrite it; lower.c turns the result into the executor's graphs.
 *
 *   pt_ir_build(model, &ir)               one operator per layer of the architecture, nothing fused
 *   pt_ir_run_passes(ir, without)         each pass is a function from IR to IR (passes.h)
 *   pt_ir_assign_precision(ir, ...)       bytes or floats, with as few conversions as possible (passes.h)
 *   pt_ir_infer_shapes(ir, w, h, ...)     sizes of every value for an image size
 *   pt_ir_free
 *
 * Operators stand in the order of execution; an operator has one output value. Values of three domains: the
 * image's maps, regions of all proposals, regions of the detections.
 *
 * Names. A layer of the model is its convolution with the batch norm, addition and activation that follow.
 * What the last of them writes is named after the convolution; the values in between have a suffix
 * ("backbone.body.conv1/conv"). So the name says the same number wherever the passes fuse, and ranges of a
 * calibration hold for every choice of passes.
 */
#ifndef PANTILE_ENGINE_GRAPH_IR_H
#define PANTILE_ENGINE_GRAPH_IR_H

#include "engine/kernels/map.h"
#include "engine/model/calibration.h"
#include "engine/model/model.h"
#include "engine/quant/precision.h"

enum {
    PT_IR_MAX_INPUTS = 9, /* of PROPOSE: one per level; of ROI_ALIGN: the regions and one per level */
    PT_IR_NAME = 128,
    PT_IR_PADDING = 32, /* images are padded to multiples of it, as torchvision does */
};

typedef enum pt_domain { PT_DOMAIN_IMAGE, PT_DOMAIN_PROPOSALS, PT_DOMAIN_DETECTIONS } pt_domain;
enum { PT_DOMAINS = 3 };

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
    PT_OP_IDENTITY,  /* flatten: nothing but another view of the same numbers */
    PT_OP_PROPOSE,   /* inputs: the RPN's answers per level */
    PT_OP_ROI_ALIGN, /* inputs: proposals or detections, pyramid levels; kernel_h x kernel_w cells */
    PT_OP_SELECT,    /* inputs: the box head's answers, proposals */
    PT_OP_MASK_LOGITS,
    PT_OP_SIGMOID,
    PT_OP_CONVERT, /* between elems and quants */
    PT_OP_KINDS
} pt_op_kind;

typedef struct pt_ir_value {
    char name[PT_IR_NAME];
    pt_domain domain;
    int channels;
    int h, w; /* by pt_ir_infer_shapes; 0 before */
    pt_elem elem;
    pt_quant quant;   /* of PT_U8 */
    const char *mark; /* what the tap calls it: "C", "P", "rpn"; NULL: nothing; a constant */
    int level;        /* of the mark */
    bool result;      /* somebody outside reads it */
} pt_ir_value;

typedef struct pt_ir_op {
    pt_op_kind kind;
    pt_component component;
    char name[PT_IR_NAME]; /* of its weights in the model (operators that share weights share it), else what
                              it is */
    char norm[PT_IR_NAME]; /* batch norm folded in, "" none */
    char with[PT_IR_NAME]; /* weights of a second layer on the same input whose outputs follow ("" none) */
    int inputs[PT_IR_MAX_INPUTS], input_count; /* of a fused addition: the summand is inputs[1] */
    int output;
    int kernel_h, kernel_w, stride, pad, groups; /* groups of MASK_LOGITS: the classes to choose from */
    pt_activation activation;
    bool adds, adds_upsampled; /* a fused addition; its summand has a size of its own */
    int fused;                 /* operators of the unfused network that this one stands for */
    pt_numeric numeric;        /* of a convolution, deconvolution or linear layer */
} pt_ir_op;

/* Values that no operator writes any more stay, so that numbers of values are stable. */
typedef struct pt_ir {
    pt_ir_op *ops;
    size_t op_count, op_capacity;
    pt_ir_value *values;
    size_t value_count, value_capacity;
    int built;              /* operators that pt_ir_build made, the input left out */
    int counts[PT_DOMAINS]; /* maps per image of each domain, by pt_ir_infer_shapes */
} pt_ir;

/* *out is set on success alone; as an empty IR, zeroes will do. PT_E_INPUT, PT_E_NOMEM. */
pt_status pt_ir_build(const pt_model *model, pt_ir *out);
void pt_ir_free(pt_ir *ir); /* and zeroes */

/* For an image of width x height pixels (padded here), `proposals` proposals and `detections` detections.
 * PT_E_USAGE when a window does not fit or maps to be added differ in size. */
pt_status pt_ir_infer_shapes(pt_ir *ir, int width, int height, int proposals, int detections);

/* Editing. A value's or operator's number is its index; an operator's changes when one before it goes. */
pt_status pt_ir_add_value(pt_ir *ir, const pt_ir_value *value, int *out);
pt_status pt_ir_insert_op(pt_ir *ir, size_t at, const pt_ir_op *op); /* at <= op_count */
void pt_ir_remove_op(pt_ir *ir, size_t at);
/* The operator that writes a value, -1: none. */
int pt_ir_writer(const pt_ir *ir, int value);
/* How often operators read a value. */
int pt_ir_uses(const pt_ir *ir, int value);
void pt_ir_replace_uses(pt_ir *ir, int value, int by);

/* Convolution, deconvolution, linear layer: has weights and may be computed in bytes. */
bool pt_op_is_dense(pt_op_kind kind);
/* Two per multiplication and addition, of convolutions and their like; at the inferred shapes. */
double pt_ir_flops(const pt_ir *ir, const pt_ir_op *op);
/* The weights of an operator as it is computed (biases and scales included), bytes. */
size_t pt_ir_weight_bytes(const pt_ir *ir, const pt_ir_op *op);
/* What it reads and writes, bytes; at the inferred shapes. */
size_t pt_ir_activation_bytes(const pt_ir *ir, const pt_ir_op *op);

#endif
