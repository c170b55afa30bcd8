/* The backend that runs everywhere: im2col and OpenBLAS's SGEMM, plain C elsewhere.
 *
 * OpenBLAS runs single-threaded inside each task. Tasks are blocks of output pixels (or of rows and columns
 * of a fully connected layer) of a fixed size, so that any number of threads gives the same bytes.
 */
#include "engine/backend/backend.h"

#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <cblas.h>
#include <stdio.h>
#include <string.h>

/* Measured on two cores of a Zen 5 with 1 MiB of L2 each, Mask R-CNN R50 at 1024 x 1024. */
enum {
    CONV_PIXELS = 256,  /* output pixels of an im2col block */
    POINT_PIXELS = 512, /* of a 1x1 convolution's block */
    LINEAR_ROWS = 256,
    LINEAR_COLUMNS = 256,
};

typedef enum conv_kind { CONV_POINTWISE, CONV_DEPTHWISE, CONV_GENERAL } conv_kind;

struct pt_conv {
    pt_conv_spec spec;
    conv_kind kind;
    float *weights, *bias;
};

struct pt_linear {
    pt_linear_spec spec;
    float *weights, *bias;
};

typedef struct portable {
    pt_backend base;
    float *columns;      /* one im2col block per worker, columns_each floats apart */
    size_t columns_each; /* floats, grows only */
} portable;

static void portable_close(pt_backend *backend)
{
    portable *self = (portable *)backend;
    pt_pool_free(&self->base.pool);
    pt_free(self->columns);
    pt_free(self);
}

static pt_status portable_open(int threads, pt_backend **out)
{
    portable *self = pt_calloc(1, sizeof *self);
    if (!self) {
        return PT_NOMEM("the portable backend");
    }
    self->base.ops = &pt_backend_portable;
    pt_status status = pt_pool_new(threads, &self->base.pool);
    if (status.code != PT_OK) {
        portable_close(&self->base);
        return status;
    }
    openblas_set_num_threads(1);
    const char *config = openblas_get_config(); /* "OpenBLAS 0.3.21 NO_LAPACKE ..." */
    int length = 0;
    for (int words = 0; config[length] && (config[length] != ' ' || ++words < 2);) {
        length++;
    }
    snprintf(self->base.description, sizeof self->base.description, "portable (%.*s %s)", length, config,
             openblas_get_corename());
    *out = &self->base;
    return pt_ok();
}

static conv_kind kind_of(const pt_conv_spec *s)
{
    if (s->groups == 1 && s->kernel_h == 1 && s->kernel_w == 1 && s->stride == 1 && s->pad == 0) {
        return CONV_POINTWISE;
    }
    bool depthwise = s->groups == s->in_channels && s->groups == s->out_channels && s->kernel_h == 3 &&
                     s->kernel_w == 3 && s->pad == 1 && s->stride <= 2;
    return depthwise ? CONV_DEPTHWISE : CONV_GENERAL;
}

static pt_status portable_conv_new(pt_backend *backend, const pt_conv_spec *spec, float *weights, float *bias,
                                   pt_conv **out)
{
    (void)backend;
    pt_conv *conv = pt_calloc(1, sizeof *conv);
    if (!conv) {
        pt_free(weights);
        pt_free(bias);
        return PT_NOMEM("a convolution");
    }
    *conv = (pt_conv){.spec = *spec, .kind = kind_of(spec), .weights = weights, .bias = bias};
    *out = conv;
    return pt_ok();
}

static void portable_conv_free(pt_backend *backend, pt_conv *conv)
{
    (void)backend;
    if (conv) {
        pt_free(conv->weights);
        pt_free(conv->bias);
        pt_free(conv);
    }
}

static pt_status portable_conv_reserve(pt_backend *backend, const pt_conv *conv, int n, int h, int w)
{
    portable *self = (portable *)backend;
    (void)n, (void)h, (void)w; /* a block's size does not depend on the map's */
    if (conv->kind != CONV_GENERAL) {
        return pt_ok();
    }
    const pt_conv_spec *s = &conv->spec;
    size_t rows = (size_t)(s->in_channels / s->groups) * (size_t)s->kernel_h * (size_t)s->kernel_w;
    size_t each, all;
    if (!pt_size_mul(rows, CONV_PIXELS, &each) ||
        !pt_size_mul(each, (size_t)pt_pool_threads(self->base.pool), &all)) {
        return PT_NOMEM("im2col blocks");
    }
    if (each <= self->columns_each) {
        return pt_ok();
    }
    float *columns = pt_alloc_aligned(all, sizeof *columns);
    if (!columns) {
        return PT_NOMEM("im2col blocks");
    }
    pt_free(self->columns);
    self->columns = columns;
    self->columns_each = each;
    return pt_ok();
}

typedef struct conv_job {
    const portable *backend;
    const pt_conv *conv;
    const pt_map *in;
    const float *add;
    pt_map *out;
    pt_k_window window;
    size_t block;
} conv_job;

/* What the product is added to: rows of `out` hold `add` afterwards. Returns SGEMM's beta. */
static float start_rows(const float *add, float *out, int rows, size_t n, size_t stride)
{
    if (!add) {
        return 0;
    }
    for (int i = 0; add != out && i < rows; i++) {
        memcpy(out + (size_t)i * stride, add + (size_t)i * stride, n * sizeof *out);
    }
    return 1;
}

static void run_pointwise(void *context, size_t task, int worker)
{
    (void)worker;
    const conv_job *job = context;
    const pt_conv_spec *s = &job->conv->spec;
    size_t pixels = pt_map_pixels(job->out);
    size_t p0 = task * job->block;
    size_t n = pixels - p0 < job->block ? pixels - p0 : job->block;
    float *out = job->out->data + p0;
    float beta = start_rows(job->add ? job->add + p0 : NULL, out, s->out_channels, n, pixels);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, s->out_channels, (int)n, s->in_channels, 1,
                job->conv->weights, s->in_channels, job->in->data + p0, (int)pixels, beta, out, (int)pixels);
    pt_k_bias_act(out, s->out_channels, n, pixels, job->conv->bias, s->activation);
}

static void run_general(void *context, size_t task, int worker)
{
    const conv_job *job = context;
    const pt_conv_spec *s = &job->conv->spec;
    size_t pixels = pt_map_pixels(job->out);
    size_t p0 = task * job->block;
    size_t n = pixels - p0 < job->block ? pixels - p0 : job->block;
    int in_c = s->in_channels / s->groups, out_c = s->out_channels / s->groups;
    int k = in_c * s->kernel_h * s->kernel_w;
    float *columns = job->backend->columns + (size_t)worker * job->backend->columns_each;
    size_t in_group = (size_t)in_c * pt_map_pixels(job->in);
    for (int g = 0; g < s->groups; g++) {
        size_t at = (size_t)g * (size_t)out_c * pixels + p0;
        float *out = job->out->data + at;
        float beta = start_rows(job->add ? job->add + at : NULL, out, out_c, n, pixels);
        pt_k_im2col(&job->window, job->in->data + (size_t)g * in_group, in_c, p0, p0 + n, columns);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, out_c, (int)n, k, 1,
                    job->conv->weights + (size_t)g * (size_t)out_c * (size_t)k, k, columns, (int)n, beta, out,
                    (int)pixels);
        pt_k_bias_act(out, out_c, n, pixels, job->conv->bias + (size_t)g * (size_t)out_c, s->activation);
    }
}

static void run_depthwise(void *context, size_t channel, int worker)
{
    (void)worker;
    const conv_job *job = context;
    const pt_conv_spec *s = &job->conv->spec;
    float *out = job->out->data + channel * pt_map_pixels(job->out);
    pt_k_depthwise3x3(&job->window, job->in->data + channel * pt_map_pixels(job->in),
                      job->conv->weights + 9 * channel, job->conv->bias[channel], s->activation, out);
}

static void portable_conv_run(pt_backend *backend, const pt_conv *conv, const pt_map *in, const float *add,
                              pt_map *out)
{
    const pt_conv_spec *s = &conv->spec;
    conv_job job = {.backend = (const portable *)backend, .conv = conv, .in = in, .add = add, .out = out};
    job.window =
        (pt_k_window){in->n, in->h, in->w, out->h, out->w, s->kernel_h, s->kernel_w, s->stride, s->pad};
    size_t pixels = pt_map_pixels(out);
    if (conv->kind == CONV_DEPTHWISE) {
        pt_pool_run(backend->pool, (size_t)s->out_channels, run_depthwise, &job);
    } else if (conv->kind == CONV_POINTWISE) {
        job.block = POINT_PIXELS;
        pt_pool_run(backend->pool, (pixels + job.block - 1) / job.block, run_pointwise, &job);
    } else {
        job.block = CONV_PIXELS;
        pt_pool_run(backend->pool, (pixels + job.block - 1) / job.block, run_general, &job);
    }
}

static pt_status portable_linear_new(pt_backend *backend, const pt_linear_spec *spec, float *weights,
                                     float *bias, pt_linear **out)
{
    (void)backend;
    pt_linear *linear = pt_calloc(1, sizeof *linear);
    if (!linear) {
        pt_free(weights);
        pt_free(bias);
        return PT_NOMEM("a fully connected layer");
    }
    *linear = (pt_linear){.spec = *spec, .weights = weights, .bias = bias};
    *out = linear;
    return pt_ok();
}

static void portable_linear_free(pt_backend *backend, pt_linear *linear)
{
    (void)backend;
    if (linear) {
        pt_free(linear->weights);
        pt_free(linear->bias);
        pt_free(linear);
    }
}

typedef struct linear_job {
    const pt_linear *linear;
    const float *in;
    float *out;
    size_t rows, column_blocks;
} linear_job;

static void run_linear(void *context, size_t task, int worker)
{
    (void)worker;
    const linear_job *job = context;
    const pt_linear_spec *s = &job->linear->spec;
    size_t r0 = task / job->column_blocks * LINEAR_ROWS;
    int c0 = (int)(task % job->column_blocks) * LINEAR_COLUMNS;
    size_t rows = job->rows - r0 < LINEAR_ROWS ? job->rows - r0 : LINEAR_ROWS;
    int columns = s->outputs - c0 < LINEAR_COLUMNS ? s->outputs - c0 : LINEAR_COLUMNS;
    float *out = job->out + r0 * (size_t)s->outputs + c0;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, columns, s->inputs, 1,
                job->in + r0 * (size_t)s->inputs, s->inputs,
                job->linear->weights + (size_t)c0 * (size_t)s->inputs, s->inputs, 0, out, s->outputs);
    pt_k_row_bias_act(out, (int)rows, (size_t)columns, (size_t)s->outputs, job->linear->bias + c0,
                      s->activation);
}

static void portable_linear_run(pt_backend *backend, const pt_linear *linear, const float *in, size_t rows,
                                float *out)
{
    linear_job job = {.linear = linear, .in = in, .out = out, .rows = rows};
    job.column_blocks = ((size_t)linear->spec.outputs + LINEAR_COLUMNS - 1) / LINEAR_COLUMNS;
    pt_pool_run(backend->pool, (rows + LINEAR_ROWS - 1) / LINEAR_ROWS * job.column_blocks, run_linear, &job);
}

const pt_backend_ops pt_backend_portable = {
    .name = "portable",
    .open = portable_open,
    .close = portable_close,
    .conv_new = portable_conv_new,
    .conv_free = portable_conv_free,
    .conv_reserve = portable_conv_reserve,
    .conv_run = portable_conv_run,
    .linear_new = portable_linear_new,
    .linear_free = portable_linear_free,
    .linear_run = portable_linear_run,
};
