/* A layer's numbers as the backend wants them: from the file, folded, turned to outputs x taps x channels,
 * and for layers in bytes quantised. */
#include "engine/backend/pool.h"
#include "engine/graph/lower.h"
#include "engine/quant/quantise.h"
#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { IMAGE_CHANNELS = 3, IMAGE_BYTES = 4 }; /* of a pixel; the fourth byte is 0 */

/* Weights of outputs x taps x channels, and where they come from. */
typedef struct numbers {
    float *weights, *bias;
    size_t outputs, taps, channels; /* channels of a group */
} numbers;

static pt_status find(const pt_model *model, const char *name, const char *part, const pt_tensor **out)
{
    char full[PT_IR_NAME + 16];
    snprintf(full, sizeof full, "%s.%s", name, part);
    *out = pt_model_find(model, full);
    return *out ? pt_ok() : pt_error(PT_E_INPUT, "tensor %s is missing", full);
}

pt_status pt_lower_floats(const pt_model *model, const char *name, const char *part, float **out)
{
    const pt_tensor *tensor;
    PT_TRY(find(model, name, part, &tensor));
    float *values = pt_alloc_aligned(tensor->count, sizeof *values);
    if (!values) {
        return PT_NOMEM(name);
    }
    pt_tensor_to_float(tensor, values);
    *out = values;
    return pt_ok();
}

int pt_lower_cells(const pt_ir *ir, int value)
{
    int writer = pt_ir_writer(ir, value);
    while (writer >= 0 && (ir->ops[writer].kind == PT_OP_IDENTITY || ir->ops[writer].kind == PT_OP_CONVERT)) {
        value = ir->ops[writer].inputs[0];
        writer = pt_ir_writer(ir, value);
    }
    return ir->values[value].h * ir->values[value].w;
}

static pt_status allocate(const pt_ir_op *op, numbers *n)
{
    size_t count;
    bool fits = pt_size_mul(n->outputs, n->taps, &count) && pt_size_mul(count, n->channels, &count);
    n->weights = fits ? pt_alloc_aligned(count, sizeof *n->weights) : NULL;
    n->bias = pt_alloc_aligned(n->outputs, sizeof *n->bias);
    return n->weights && n->bias ? pt_ok() : PT_NOMEM(op->name);
}

/* Rows of channels x taps, as models have them, become rows of taps x channels. */
static pt_status turn(const pt_ir_op *op, numbers *n)
{
    size_t row = n->taps * n->channels;
    if (n->taps == 1 || n->channels == 1) {
        return pt_ok();
    }
    float *turned = pt_alloc(row, sizeof *turned);
    if (!turned) {
        return PT_NOMEM(op->name);
    }
    for (size_t o = 0; o < n->outputs; o++) {
        float *weights = n->weights + o * row;
        for (size_t c = 0; c < n->channels; c++) {
            for (size_t t = 0; t < n->taps; t++) {
                turned[t * n->channels + c] = weights[c * n->taps + t];
            }
        }
        memcpy(weights, turned, row * sizeof *turned);
    }
    pt_free(turned);
    return pt_ok();
}

/* A convolution or linear layer, and the one that is merged with it, one after the other. */
static pt_status count_rows(const pt_ir *ir, const pt_ir_op *op, const pt_model *model, numbers *n)
{
    const char *const names[2] = {op->name, op->with};
    const pt_tensor *tensors[2];
    int parts = op->with[0] ? 2 : 1;
    n->outputs = 0;
    for (int i = 0; i < parts; i++) {
        PT_TRY(find(model, names[i], "weight", &tensors[i]));
        n->outputs += (size_t)tensors[i]->shape[0];
    }
    size_t row = tensors[0]->count / (size_t)tensors[0]->shape[0];
    n->taps = op->kind == PT_OP_LINEAR ? (size_t)pt_lower_cells(ir, op->inputs[0])
                                       : (size_t)op->kernel_h * (size_t)op->kernel_w;
    n->channels = row / n->taps;
    return pt_ok();
}

static pt_status load_rows(const pt_ir *ir, const pt_ir_op *op, const pt_model *model, numbers *n)
{
    const char *const names[2] = {op->name, op->with};
    PT_TRY(count_rows(ir, op, model, n));
    PT_TRY(allocate(op, n));
    for (size_t i = 0, at = 0; at < n->outputs; i++) {
        const pt_tensor *tensor;
        PT_TRY(find(model, names[i], "weight", &tensor));
        PT_TRY(pt_model_load_conv(model, names[i], op->norm[0] ? op->norm : NULL,
                                  n->weights + at * n->taps * n->channels, n->bias + at));
        at += (size_t)tensor->shape[0];
    }
    return turn(op, n);
}

/* (in, out, 2, 2) becomes four sets of outputs, one per position in the 2x2 cell. */
static pt_status load_deconv(const pt_ir_op *op, const pt_model *model, numbers *n)
{
    const pt_tensor *tensor;
    float *stored = NULL, *bias = NULL;
    pt_status status;
    PT_TRY(find(model, op->name, "weight", &tensor));
    size_t in = (size_t)tensor->shape[0], outs = (size_t)tensor->shape[1];
    *n = (numbers){.outputs = 4 * outs, .taps = 1, .channels = in};
    PT_TRY_OUT(pt_lower_floats(model, op->name, "weight", &stored));
    PT_TRY_OUT(pt_lower_floats(model, op->name, "bias", &bias));
    PT_TRY_OUT(allocate(op, n));
    for (size_t k = 0; k < 4; k++) {
        for (size_t o = 0; o < outs; o++) {
            n->bias[k * outs + o] = bias[o];
            for (size_t i = 0; i < in; i++) {
                n->weights[(k * outs + o) * in + i] = stored[(i * outs + o) * 4 + k];
            }
        }
    }
out:
    pt_free(stored);
    pt_free(bias);
    return status;
}

/* The convolution's geometry and the forms of what it reads and writes. */
static pt_conv_spec describe(const pt_ir *ir, const pt_ir_op *op, const numbers *n)
{
    const pt_ir_value *in = &ir->values[op->inputs[0]], *out = &ir->values[op->output];
    bool window = op->kind == PT_OP_CONV, windowless_taps = op->kind == PT_OP_LINEAR;
    pt_conv_spec spec = {
        .in_channels = (int)(n->channels * (windowless_taps ? n->taps : (size_t)op->groups)),
        .out_channels = (int)n->outputs,
        .kernel_h = window ? op->kernel_h : 1,
        .kernel_w = window ? op->kernel_w : 1,
        .stride = window ? op->stride : 1,
        .pad = window ? op->pad : 0,
        .groups = op->groups,
        .activation = op->activation,
        .add = op->adds_upsampled ? PT_ADD_UPSAMPLED
               : op->adds         ? PT_ADD_SAME
                                  : PT_ADD_NONE,
        .in_elem = in->elem,
        .out_elem = out->elem,
        .in = in->quant,
        .out = out->quant,
    };
    if (op->adds) {
        spec.sum = ir->values[op->inputs[1]].quant;
    }
    memset(spec.outside, in->quant.zero, sizeof spec.outside);
    return spec;
}

static bool is_depthwise(const pt_ir_op *op, const numbers *n)
{
    return op->groups > 1 && n->channels == 1;
}

static bool reads_image(const pt_ir *ir, const pt_ir_op *op)
{
    int writer = pt_ir_writer(ir, op->inputs[0]);
    return writer >= 0 && ir->ops[writer].kind == PT_OP_INPUT;
}

/* The first layer takes bytes: the normalisation moves into its weights. */
static pt_status fold_image(const pt_ir_op *op, const pt_model_config *config, numbers *n, pt_conv_spec *spec)
{
    float *wide = pt_alloc_aligned(n->outputs * n->taps * IMAGE_BYTES, sizeof *wide);
    if (!wide) {
        return PT_NOMEM(op->name);
    }
    pt_fold_image_rule(n->weights, (int)n->outputs, n->taps, config->mean, config->std, wide, n->bias,
                       spec->outside);
    pt_free(n->weights);
    n->weights = wide;
    n->channels = IMAGE_BYTES;
    spec->in_channels = IMAGE_BYTES;
    return pt_ok();
}

/* The calibration's means of the channels of what a value was converted from; NULL: not known. */
static const float *means_of(const pt_ir *ir, int value, const pt_model *model, size_t channels)
{
    int writer = pt_ir_writer(ir, value);
    if (writer >= 0 && ir->ops[writer].kind == PT_OP_CONVERT) {
        value = ir->ops[writer].inputs[0];
    }
    const pt_range *range = pt_calibration_find(pt_model_calibration(model), ir->values[value].name);
    return range && range->mean && (size_t)range->channels == channels ? range->mean : NULL;
}

/* Means of what a layer reads, over all places where the same weights are used, by their numbers of cells.
 * False: not known. */
static bool input_means(const pt_ir *ir, const pt_ir_op *op, const pt_model *model, size_t channels,
                        float *mean)
{
    double cells = 0;
    memset(mean, 0, channels * sizeof *mean);
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_op *twin = &ir->ops[i];
        if (twin->kind != op->kind || strcmp(twin->name, op->name) != 0) {
            continue;
        }
        const float *known = means_of(ir, twin->inputs[0], model, channels);
        if (!known) {
            return false;
        }
        double weight = (double)pt_lower_cells(ir, twin->inputs[0]);
        cells += weight;
        for (size_t c = 0; c < channels; c++) {
            mean[c] += (float)((double)(known[c] - mean[c]) * weight / cells);
        }
    }
    return cells > 0;
}

/* The means of the image's normalised channels, as means of its bytes. */
static void denormalise(const pt_model_config *config, float *mean)
{
    for (int c = 0; c < IMAGE_CHANNELS; c++) {
        mean[c] = (float)(255 * ((double)mean[c] * config->std[c] + config->mean[c]));
    }
}

/* What pt_bias_correct needs to know of the inputs: *mean is newly allocated; NULL where it is not known, or
 * the formula, which is of dense and depthwise layers, does not apply. */
static pt_status find_means(const pt_ir *ir, const pt_ir_op *op, const pt_model *model, const numbers *n,
                            float **mean)
{
    bool image = reads_image(ir, op), depthwise = is_depthwise(op, n);
    size_t channels = image ? IMAGE_CHANNELS : depthwise ? n->outputs : n->channels;
    *mean = NULL;
    if ((op->groups > 1 && !depthwise) || (depthwise && (size_t)op->groups != n->outputs)) {
        return pt_ok();
    }
    float *found = pt_calloc(channels + 1, sizeof *found);
    if (!found) {
        return PT_NOMEM(op->name);
    }
    if (!input_means(ir, op, model, channels, found)) {
        pt_free(found);
        return pt_ok();
    }
    if (image) {
        denormalise(pt_model_get_config(model), found);
    }
    *mean = found;
    return pt_ok();
}

static pt_status allocate_bytes(const pt_ir_op *op, const numbers *n, pt_conv_weights *out)
{
    size_t count;
    bool fits = pt_size_mul(n->outputs, n->taps, &count) && pt_size_mul(count, n->channels, &count);
    out->s8 = fits ? pt_alloc_aligned(count, sizeof *out->s8) : NULL;
    out->scale = pt_alloc_aligned(n->outputs, sizeof *out->scale);
    return out->s8 && out->scale ? pt_ok() : PT_NOMEM(op->name);
}

/* Of numbers that are there as a whole. */
static pt_status quantise(const pt_ir *ir, const pt_ir_op *op, const pt_model *model, numbers *n,
                          pt_conv_weights *out)
{
    float *mean = NULL;
    PT_TRY(allocate_bytes(op, n, out));
    pt_quantise_weights(n->weights, (int)n->outputs, n->taps * n->channels, out->s8, out->scale);
    out->bias = n->bias;
    n->bias = NULL;
    PT_TRY(find_means(ir, op, model, n, &mean));
    if (mean) {
        pt_bias_correct(n->weights, out->s8, out->scale, (int)n->outputs, n->taps, n->channels,
                        is_depthwise(op, n), mean, out->bias);
    }
    pt_free(mean);
    return pt_ok();
}

/* --- row by row: from the file to bytes, without all floats of a layer ever being in memory --- */

typedef struct row_job {
    const pt_stored_conv *rows;
    const numbers *n;
    const pt_conv_weights *to;
    const float *mean; /* NULL: no correction */
    float *scratch;    /* two rows for each worker */
    size_t first;      /* output of the first row of this part */
    size_t at, count;  /* of these rows */
    bool depthwise;
    atomic_bool failed; /* row `bad` says why */
    atomic_size_t bad;
} row_job;

enum { ROWS_EACH = 8 }; /* of a task */

static void turn_row(const numbers *n, const float *from, float *to)
{
    for (size_t t = 0; t < n->taps; t++) {
        for (size_t c = 0; c < n->channels; c++) {
            to[t * n->channels + c] = from[c * n->taps + t];
        }
    }
}

static void quantise_row(row_job *job, size_t o, float *stored, float *turned)
{
    const numbers *n = job->n;
    size_t row = n->taps * n->channels, to = job->first + o;
    const float *values = stored;
    if (pt_stored_conv_load(job->rows, o, stored).code != PT_OK) {
        atomic_store(&job->bad, o);
        atomic_store(&job->failed, true);
        return;
    }
    if (n->taps > 1 && n->channels > 1) {
        turn_row(n, stored, turned);
        values = turned;
    }
    int8_t *bytes = job->to->s8 + to * row;
    pt_quantise_weights(values, 1, row, bytes, job->to->scale + to);
    if (job->mean) {
        pt_bias_correct(values, bytes, job->to->scale + to, 1, n->taps, n->channels, job->depthwise,
                        job->mean + (job->depthwise ? to : 0), job->to->bias + to);
    }
}

static void quantise_rows(void *context, size_t task, int worker)
{
    row_job *job = context;
    size_t row = job->n->taps * job->n->channels;
    float *stored = job->scratch + (size_t)worker * 2 * row;
    size_t begin = task * ROWS_EACH, end = begin + ROWS_EACH < job->count ? begin + ROWS_EACH : job->count;
    for (size_t i = begin; i < end; i++) {
        quantise_row(job, job->at + i, stored, stored + row);
    }
}

/* The tensor's rows, some megabytes at a time: what was read of the file is given back after each. */
static pt_status run_rows(row_job *job, const pt_model *model, pt_pool *pool)
{
    enum { PART = 1 << 21, ENOUGH = 1 << 18 }; /* numbers */
    size_t row = job->rows->row, most = row < PART ? PART / row : 1;
    for (job->at = 0; job->at < job->rows->outputs; job->at += job->count) {
        size_t left = job->rows->outputs - job->at;
        job->count = left < most ? left : most;
        pt_pool_run(pool, (job->count + ROWS_EACH - 1) / ROWS_EACH, quantise_rows, job);
        if (atomic_load(&job->failed)) {
            return pt_stored_conv_load(job->rows, atomic_load(&job->bad), job->scratch);
        }
        if (job->count * row >= ENOUGH) {
            pt_model_release_pages(model);
        }
    }
    return pt_ok();
}

static pt_status load_part(const pt_ir_op *op, const char *name, row_job *job, const pt_model *model,
                           pt_pool *pool)
{
    pt_stored_conv rows;
    PT_TRY(
        pt_stored_conv_open(model, name, op->norm[0] ? op->norm : NULL, job->to->bias + job->first, &rows));
    job->rows = &rows;
    pt_status status = run_rows(job, model, pool);
    job->first += rows.outputs;
    pt_stored_conv_close(&rows);
    return status;
}

static pt_status load_bytes(const pt_ir *ir, const pt_ir_op *op, const pt_model *model, pt_pool *pool,
                            numbers *n, pt_conv_weights *out)
{
    float *mean = NULL;
    row_job job = {.n = n, .to = out};
    pt_status status;
    PT_TRY_OUT(allocate_bytes(op, n, out));
    out->bias = pt_alloc_aligned(n->outputs, sizeof *out->bias);
    job.scratch =
        pt_alloc_aligned((size_t)pt_pool_threads(pool) * 2, n->taps * n->channels * sizeof *job.scratch);
    if (!out->bias || !job.scratch) {
        status = PT_NOMEM(op->name);
        goto out;
    }
    PT_TRY_OUT(find_means(ir, op, model, n, &mean));
    job.mean = mean;
    job.depthwise = is_depthwise(op, n);
    PT_TRY_OUT(load_part(op, op->name, &job, model, pool));
    if (job.first < n->outputs) {
        PT_TRY_OUT(load_part(op, op->with, &job, model, pool));
    }
out:
    pt_free(mean);
    pt_free(job.scratch);
    return status;
}

static pt_status lower_bytes(const pt_ir *ir, const pt_ir_op *op, const pt_model *model, pt_pool *pool,
                             pt_conv_spec *spec, pt_conv_weights *out)
{
    numbers n = {0};
    PT_TRY(count_rows(ir, op, model, &n));
    *spec = describe(ir, op, &n);
    return load_bytes(ir, op, model, pool, &n, out);
}

pt_status pt_lower_weights(const pt_ir *ir, const pt_ir_op *op, const pt_model *model, pt_pool *pool,
                           pt_conv_spec *spec, pt_conv_weights *out)
{
    numbers n = {0};
    pt_conv_weights weights = {0};
    pt_status status;
    if (op->numeric == PT_INT8 && op->kind != PT_OP_DECONV && !reads_image(ir, op)) {
        PT_TRY_OUT(lower_bytes(ir, op, model, pool, spec, &weights));
        *out = weights;
        return status;
    }
    PT_TRY_OUT(op->kind == PT_OP_DECONV ? load_deconv(op, model, &n) : load_rows(ir, op, model, &n));
    pt_model_release_pages(model); /* before more is allocated: fc6 may be 50 MB as floats */
    *spec = describe(ir, op, &n);
    if (op->numeric == PT_INT8) {
        if (reads_image(ir, op)) {
            PT_TRY_OUT(fold_image(op, pt_model_get_config(model), &n, spec));
        }
        PT_TRY_OUT(quantise(ir, op, model, &n, &weights));
    } else {
        weights = (pt_conv_weights){.f32 = n.weights, .bias = n.bias};
        n.weights = n.bias = NULL;
    }
    *out = weights;
    weights = (pt_conv_weights){0};
out:
    pt_free(n.weights);
    pt_free(n.bias);
    pt_conv_weights_free(&weights);
    return status;
}
