/* The precision pass: which operators compute in bytes, which values are stored as bytes, how bytes stand for
 * numbers, and where conversions are needed. */
#include "engine/graph/cut.h"
#include "engine/graph/passes.h"
#include "engine/quant/quantise.h"
#include "tiling/base/alloc.h"

#include <stdio.h>
#include <string.h>

static bool named(const pt_ir *ir, const pt_ir_op *op, const pt_precision *precision, pt_numeric *out)
{
    return pt_precision_names(precision, ir->values[op->output].name, out) ||
           pt_precision_names(precision, op->name, out) ||
           (op->with[0] && pt_precision_names(precision, op->with, out));
}

/* Layers that stay in floats unless they are asked for by name, by what the names of their weights begin
 * with. The box head's last layer makes a large part of what bytes cost the box head in accuracy, and 0.1% of
 * its work. The first layer and the RPN's last, which others keep in floats too, cost nothing measurable in
 * bytes: docs/engine.md has the figures. */
static const char *const kept[] = {"roi_heads.box_predictor."};

static bool is_kept(const pt_ir_op *op)
{
    bool found = false;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        found |= strncmp(op->name, kept[i], strlen(kept[i])) == 0;
    }
    return found;
}

/* Whether a sum of the layer may have more products of bytes than 32 bits hold. */
static bool sums_too_many(const pt_ir *ir, const pt_ir_op *op)
{
    int writer = pt_ir_writer(ir, op->inputs[0]);
    int64_t products = ir->values[op->inputs[0]].channels;
    if (op->kind == PT_OP_CONV) {
        products = products / op->groups * op->kernel_h * op->kernel_w;
    } else if (op->kind == PT_OP_LINEAR && writer >= 0 && ir->ops[writer].kind == PT_OP_ROI_ALIGN) {
        products *= (int64_t)ir->ops[writer].kernel_h * ir->ops[writer].kernel_w;
    }
    return products > PT_U8_MOST_PRODUCTS;
}

/* Where bytes are asked for, whatever the sums: the backend says then why it cannot. */
static void choose_numerics(pt_ir *ir, const pt_precision *precision, bool strict)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        pt_ir_op *op = &ir->ops[i];
        if (!pt_op_is_dense(op->kind)) {
            continue;
        }
        op->numeric = is_kept(op) ? PT_FP32 : precision->component[op->component];
        named(ir, op, precision, &op->numeric);
        if (!strict && sums_too_many(ir, op)) {
            op->numeric = PT_FP32;
        }
    }
}

/* Every layer that the user names is one. */
static pt_status check_names(const pt_ir *ir, const pt_precision *precision)
{
    for (int n = 0; n < precision->layer_count; n++) {
        pt_precision one = {.layer_count = 1};
        one.layers[0] = precision->layers[n];
        bool found = false;
        for (size_t i = 0; i < ir->op_count && !found; i++) {
            pt_numeric numeric;
            found = pt_op_is_dense(ir->ops[i].kind) && named(ir, &ir->ops[i], &one, &numeric);
        }
        if (!found) {
            return pt_error(PT_E_USAGE,
                            "precision: the network has no layer %s with weights; pantile info --graph lists "
                            "its layers",
                            precision->layers[n].name);
        }
    }
    return pt_ok();
}

/* How an operator wants an input. */
typedef enum wish { ANY, FLOATS, BYTES, AS_OUTPUT } wish;

static wish wish_of(const pt_ir_op *op, int k)
{
    switch (op->kind) {
    case PT_OP_CONV:
    case PT_OP_DECONV:
    case PT_OP_LINEAR: /* a summand is stored as the sum is */
        return k > 0 ? AS_OUTPUT : op->numeric == PT_INT8 ? BYTES : FLOATS;
    case PT_OP_MAX_POOL:
    case PT_OP_IDENTITY:
        return AS_OUTPUT;
    case PT_OP_ROI_ALIGN: /* input 0 is boxes */
        return k > 0 ? AS_OUTPUT : ANY;
    case PT_OP_MASK_LOGITS:
    case PT_OP_CONVERT:
        return ANY;
    case PT_OP_UPSAMPLE: /* input 1 is there for its size */
    case PT_OP_SELECT:   /* input 1 is boxes */
        return k > 0 ? ANY : FLOATS;
    default:
        return FLOATS;
    }
}

/* The image is bytes, as it comes, where every reader is a convolution in bytes: it takes the normalisation
 * into its weights. */
static bool image_stays_bytes(const pt_ir *ir, int image)
{
    int writer = pt_ir_writer(ir, image);
    bool bytes = writer >= 0 && ir->ops[writer].kind == PT_OP_INPUT && pt_ir_uses(ir, image) > 0;
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *op = &ir->ops[i];
        for (int k = 0; k < op->input_count; k++) {
            bool takes = op->kind == PT_OP_CONV && op->numeric == PT_INT8 && op->groups == 1 && k == 0;
            bytes &= op->inputs[k] != image || takes;
        }
    }
    return bytes;
}

static bool passes_on(pt_op_kind kind)
{
    return kind == PT_OP_MAX_POOL || kind == PT_OP_ROI_ALIGN || kind == PT_OP_IDENTITY;
}

/* Values that must share a quant are sets; a set has the union of its members' ranges. */
typedef struct sets {
    int *parent;    /* per value; itself: it stands for its set */
    int *rangeless; /* per set: a value without a range, -1: none */
    float *low, *high;
} sets;

static int find(const sets *s, int value)
{
    while (s->parent[value] != value) {
        value = s->parent[value];
    }
    return value;
}

static void join(sets *s, int a, int b)
{
    s->parent[find(s, b)] = find(s, a);
}

/* Operators that pass bytes on, and those that share one layer's weights: a layer is prepared for one quant
 * of its input, its summand and its output. */
static void join_sets(const pt_ir *ir, sets *s)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *op = &ir->ops[i];
        for (int k = op->kind == PT_OP_ROI_ALIGN; k < op->input_count && passes_on(op->kind); k++) {
            join(s, op->output, op->inputs[k]);
        }
        for (size_t j = i + 1; j < ir->op_count && pt_op_is_dense(op->kind); j++) {
            const pt_ir_op *other = &ir->ops[j];
            if (other->kind == op->kind && strcmp(other->name, op->name) == 0) {
                join(s, op->output, other->output);
                for (int k = 0; k < op->input_count && k < other->input_count; k++) {
                    join(s, op->inputs[k], other->inputs[k]);
                }
            }
        }
    }
}

/* Ranges are narrowed to what an activation lets through. */
static void find_ranges(const pt_ir *ir, const pt_calibration *calibration, sets *s)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *op = &ir->ops[i];
        int set = find(s, op->output);
        if (passes_on(op->kind)) {
            continue;
        }
        const pt_range *range = pt_calibration_find(calibration, ir->values[op->output].name);
        if (!range) {
            s->rangeless[set] = op->output;
            continue;
        }
        float low = op->activation == PT_ACT_NONE ? range->low : 0;
        float high = op->activation == PT_ACT_RELU6 && range->high > 6 ? 6 : range->high;
        s->low[set] = low < s->low[set] ? low : s->low[set];
        s->high[set] = high > s->high[set] ? high : s->high[set];
    }
}

static void free_sets(sets *s)
{
    pt_free(s->parent);
    pt_free(s->rangeless);
    pt_free(s->low);
    pt_free(s->high);
}

static pt_status make_sets(const pt_ir *ir, const pt_calibration *calibration, sets *out)
{
    size_t count = ir->value_count;
    sets s = {pt_calloc(count, sizeof *s.parent), pt_calloc(count, sizeof *s.rangeless),
              pt_calloc(count, sizeof *s.low), pt_calloc(count, sizeof *s.high)};
    if (!s.parent || !s.rangeless || !s.low || !s.high) {
        free_sets(&s);
        return PT_NOMEM("the ranges of the network's values");
    }
    for (size_t v = 0; v < count; v++) {
        s.parent[v] = (int)v;
        s.rangeless[v] = -1;
    }
    join_sets(ir, &s);
    find_ranges(ir, calibration, &s);
    *out = s;
    return pt_ok();
}

/* Layers whose input cannot become bytes compute in floats; an error when `strict`. */
static pt_status check_ranges(pt_ir *ir, const sets *s, bool strict)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        pt_ir_op *op = &ir->ops[i];
        int missing = op->numeric == PT_INT8 ? s->rangeless[find(s, op->inputs[0])] : -1;
        if (missing < 0 || image_stays_bytes(ir, op->inputs[0])) {
            continue;
        }
        if (strict) {
            return pt_error(
                PT_E_INPUT,
                "%s is to be computed in bytes, but the calibration has no range for %s; calibrate the "
                "model again (pantile calibrate) or keep that layer in floats (--precision)",
                ir->values[op->output].name, ir->values[missing].name);
        }
        op->numeric = PT_FP32;
    }
    return pt_ok();
}

/* Whether the output may be stored either way. */
static bool is_free(const pt_ir_op *op, const sets *s)
{
    bool either = (pt_op_is_dense(op->kind) && op->numeric == PT_INT8) || passes_on(op->kind);
    return either && s->rangeless[find(s, op->output)] < 0;
}

/* The node of the cut (floats are its first label) that says how an operator's output is stored. */
static int node_of(const pt_ir *ir, const pt_ir_op *op, const sets *s)
{
    if (image_stays_bytes(ir, op->output)) {
        return PT_CUT_SECOND;
    }
    return is_free(op, s) ? 2 + op->output : PT_CUT_FIRST;
}

/* What an operator's output is stored as and what its readers want agree, or cost a conversion. One in front
 * of a pooling costs a little more than one behind it, where the map is smaller. */
static pt_status add_readers(const pt_ir *ir, const pt_ir_op *op, const sets *s, pt_cut *cut, int *members)
{
    enum { CONVERSION = 1024, LARGE = 1 };
    int count = 0, cost = CONVERSION;
    members[count++] = node_of(ir, op, s);
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *reader = &ir->ops[i];
        bool reads = false;
        for (int k = 0; k < reader->input_count && !reads; k++) {
            wish wanted = wish_of(reader, k);
            reads = reader->inputs[k] == op->output && wanted != ANY;
            if (reads) {
                members[count++] = wanted == AS_OUTPUT ? node_of(ir, reader, s)
                                   : wanted == BYTES   ? PT_CUT_SECOND
                                                       : PT_CUT_FIRST;
                cost += reader->kind == PT_OP_MAX_POOL ? LARGE : 0;
            }
        }
    }
    return pt_cut_group(cut, members, count, cost);
}

/* Stores every value so that the fewest conversions are needed; bytes where it makes no difference. */
static pt_status choose_elems(pt_ir *ir, const sets *s)
{
    pt_cut *cut = NULL;
    pt_status status = pt_ok();
    int *members = pt_alloc(1 + ir->op_count, sizeof *members);
    bool *floats = pt_alloc(2 + ir->value_count, sizeof *floats);
    if (!members || !floats) {
        status = PT_NOMEM("the choice of elements");
        goto out;
    }
    PT_TRY_OUT(pt_cut_new((int)ir->value_count, &cut));
    for (size_t i = 0; i < ir->op_count; i++) {
        PT_TRY_OUT(add_readers(ir, &ir->ops[i], s, cut, members));
    }
    PT_TRY_OUT(pt_cut_solve(cut, floats));
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *op = &ir->ops[i];
        ir->values[op->output].elem = floats[node_of(ir, op, s)] ? PT_F32 : PT_U8;
    }
out:
    pt_cut_free(&cut);
    pt_free(members);
    pt_free(floats);
    return status;
}

/* Whether `op` takes its input k in this form and no other. */
static bool wants(const pt_ir *ir, const pt_ir_op *op, int k, pt_elem elem)
{
    switch (wish_of(op, k)) {
    case ANY:
        return false;
    case AS_OUTPUT:
        return ir->values[op->output].elem == elem;
    default:
        return (wish_of(op, k) == BYTES) == (elem == PT_U8);
    }
}

/* Whether somebody wants the value in a form that it has not. */
static bool is_converted(const pt_ir *ir, int value, pt_elem elem)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        for (int k = 0; k < ir->ops[i].input_count; k++) {
            if (ir->ops[i].inputs[k] == value && wants(ir, &ir->ops[i], k, elem)) {
                return true;
            }
        }
    }
    return false;
}

static pt_quant quant_of(const pt_ir *ir, const sets *s, int value)
{
    int writer = pt_ir_writer(ir, value);
    if (writer >= 0 && ir->ops[writer].kind == PT_OP_INPUT && ir->values[value].elem == PT_U8) {
        return (pt_quant){.scale = 1, .zero = 0}; /* the image's own bytes */
    }
    int set = find(s, value);
    return pt_quant_of_range(s->low[set], s->high[set]);
}

/* A conversion of `value` before its first reader that needs it; all such readers take it. */
static pt_status insert_conversion(pt_ir *ir, int value, pt_elem elem, pt_quant quant)
{
    pt_ir_value made = ir->values[value];
    snprintf(made.name, sizeof made.name, "%.120s/%s", ir->values[value].name, elem == PT_U8 ? "u8" : "f32");
    made.mark = NULL;
    made.result = false;
    made.elem = elem;
    made.quant = quant;
    pt_ir_op op = {.kind = PT_OP_CONVERT, .inputs = {value}, .input_count = 1};
    memcpy(op.name, made.name, sizeof op.name);
    PT_TRY(pt_ir_add_value(ir, &made, &op.output));
    size_t first = ir->op_count;
    for (size_t i = ir->op_count; i-- > 0;) {
        pt_ir_op *reader = &ir->ops[i];
        for (int k = 0; k < reader->input_count; k++) {
            if (reader->inputs[k] == value && wants(ir, reader, k, elem)) {
                reader->inputs[k] = op.output;
                first = i;
                op.component = reader->component;
            }
        }
    }
    return pt_ir_insert_op(ir, first, &op);
}

static pt_status quantise_values(pt_ir *ir, const sets *s)
{
    size_t count = ir->value_count; /* conversions add more */
    for (size_t v = 0; v < count; v++) {
        pt_quant quant = quant_of(ir, s, (int)v);
        bool bytes = ir->values[v].elem == PT_U8;
        if (bytes) {
            ir->values[v].quant = quant;
        }
        pt_elem other = bytes ? PT_F32 : PT_U8;
        if (is_converted(ir, (int)v, other)) {
            PT_TRY(insert_conversion(ir, (int)v, other, bytes ? (pt_quant){0} : quant));
        }
    }
    return pt_ok();
}

static bool any_bytes(const pt_ir *ir)
{
    bool any = false;
    for (size_t i = 0; i < ir->op_count; i++) {
        any |= ir->ops[i].numeric == PT_INT8;
    }
    return any;
}

static void widen_image(pt_ir *ir)
{
    for (size_t i = 0; i < ir->op_count; i++) {
        pt_ir_value *out = &ir->values[ir->ops[i].output];
        if (ir->ops[i].kind == PT_OP_INPUT && out->elem == PT_U8) {
            out->channels = 4; /* the fourth byte is 0: pixels are then whole words */
        }
    }
}

pt_status pt_ir_assign_precision(pt_ir *ir, const pt_precision *precision, const pt_calibration *calibration,
                                 bool strict)
{
    PT_TRY(check_names(ir, precision));
    choose_numerics(ir, precision, strict);
    if (!any_bytes(ir)) {
        return pt_ok();
    }
    if (!calibration && strict) {
        return pt_error(PT_E_INPUT,
                        "the model is not calibrated, so it cannot be computed in bytes; calibrate it "
                        "(pantile calibrate) or use --precision fp32");
    }
    sets s = {0};
    PT_TRY(make_sets(ir, calibration, &s));
    pt_status status = check_ranges(ir, &s, strict);
    if (status.code == PT_OK) {
        status = choose_elems(ir, &s);
    }
    if (status.code == PT_OK) {
        status = quantise_values(ir, &s);
    }
    free_sets(&s);
    widen_image(ir);
    return status;
}
