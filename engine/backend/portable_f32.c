/* Layers of floats: a block of output pixels is a matrix product of the pixels that their windows see with
 * the weights, so the result lies as maps do. Depthwise layers have too few sums for that and are loops. */
#include "engine/backend/portable.h"

#include "engine/kernels/simd.h"
#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

/* Blocks of output, measured on two cores of a Zen 5 with 1 MiB of L2 each, Mask R-CNN R50 at 1024 x 1024. */
enum {
    COLUMN_PIXELS = 256,  /* where a window's pixels are gathered first */
    PRODUCT_PIXELS = 512, /* where the map itself is the matrix */
    PRODUCT_OUTPUTS = 256,
};

pt_status pt_portable_f32_prepare(pt_conv *conv, pt_conv_weights *weights)
{
    conv->f32 = weights->f32;
    weights->f32 = NULL;
    if (conv->kind != PT_PORTABLE_DEPTHWISE) {
        return pt_ok();
    }
    size_t channels = (size_t)conv->spec.out_channels;
    float *taps = pt_alloc_aligned(channels * conv->rows, sizeof *taps);
    if (!taps) {
        return PT_NOMEM("a convolution's weights");
    }
    for (size_t c = 0; c < channels; c++) {
        for (size_t t = 0; t < conv->rows; t++) {
            taps[t * channels + c] = conv->f32[c * conv->rows + t];
        }
    }
    pt_free(conv->f32);
    conv->f32 = taps;
    return pt_ok();
}

bool pt_portable_f32_scratch(const pt_conv *conv, size_t *bytes)
{
    *bytes = 0;
    return conv->kind != PT_PORTABLE_IM2COL || pt_size_mul(conv->rows, COLUMN_PIXELS * sizeof(float), bytes);
}

/* Floats of the row `ky` of a window whose first column is x0, for the channels of group g. */
static float *gather_row(const pt_portable_job *job, const float *row, int x0, int g, float *column)
{
    const pt_conv_spec *s = &job->conv->spec;
    size_t channels = (size_t)s->in_channels, part = channels / (size_t)s->groups;
    for (int kx = 0; kx < s->kernel_w; kx++, column += part) {
        int x = x0 + kx;
        if (row && x >= 0 && x < job->in->w) {
            memcpy(column, row + (size_t)x * channels + (size_t)g * part, part * sizeof *column);
        } else {
            memset(column, 0, part * sizeof *column);
        }
    }
    return column;
}

/* What the window of each output pixel [p0, p0 + count) sees, a row of conv->rows floats for each. */
static void gather(const pt_portable_job *job, size_t p0, size_t count, int g, float *columns)
{
    const pt_conv_spec *s = &job->conv->spec;
    const pt_map *in = job->in;
    size_t row = (size_t)in->w * (size_t)in->c, part = (size_t)(s->in_channels / s->groups);
    for (size_t p = p0; p < p0 + count; p++) {
        pt_portable_pixel at = pt_portable_locate(job->out, p);
        int x0 = at.x * s->stride - s->pad;
        bool whole = s->groups == 1 && x0 >= 0 && x0 + s->kernel_w <= in->w;
        for (int ky = 0; ky < s->kernel_h; ky++) {
            int y = at.y * s->stride - s->pad + ky;
            bool inside = y >= 0 && y < in->h;
            const float *from =
                inside ? pt_map_f32(in) + ((size_t)at.n * (size_t)in->h + (size_t)y) * row : NULL;
            if (inside && whole) {
                size_t floats = (size_t)s->kernel_w * part;
                memcpy(columns, from + (size_t)x0 * part, floats * sizeof *columns);
                columns += floats;
            } else {
                columns = gather_row(job, from, x0, g, columns);
            }
        }
    }
}

/* What the product is added to: `out` holds the summand afterwards. Returns SGEMM's beta. */
static float start(const pt_portable_job *job, size_t p0, size_t count, int c0, int columns)
{
    if (!job->summand) {
        return 0;
    }
    size_t channels = (size_t)job->out->c;
    for (size_t p = p0; p < p0 + count && job->summand->data != job->out->data; p++) {
        const float *from = pt_map_f32(job->summand) + pt_portable_summand(job, p) * channels + c0;
        memcpy(pt_map_f32(job->out) + p * channels + c0, from, (size_t)columns * sizeof *from);
    }
    return 1;
}

PT_CLONES static void bias_and_activate(float *row, const float *bias, int count, pt_activation activation)
{
    if (activation == PT_ACT_NONE) {
        for (int i = 0; i < count; i++) {
            row[i] += bias[i];
        }
        return;
    }
    float top = activation == PT_ACT_RELU6 ? 6 : (float)INFINITY;
    for (int i = 0; i < count; i++) {
        float v = row[i] + bias[i];
        v = v > 0 ? v : 0;
        row[i] = v < top ? v : top;
    }
}

/* Rows of `from` (stride floats apart) times the weights of outputs [c0, c0 + columns). */
static void multiply(const pt_portable_job *job, const float *from, int stride, size_t p0, size_t count,
                     int c0, int columns)
{
    const pt_conv *conv = job->conv;
    int channels = job->out->c, rows = (int)conv->rows;
    float *out = pt_map_f32(job->out) + p0 * (size_t)channels + c0;
    float beta = start(job, p0, count, c0, columns);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)count, columns, rows, 1, from, stride,
                conv->f32 + (size_t)c0 * conv->rows, rows, beta, out, channels);
    for (size_t p = 0; p < count; p++) {
        bias_and_activate(out + p * (size_t)channels, conv->bias + c0, columns, conv->spec.activation);
    }
}

static size_t block_of(const pt_portable_job *job, size_t block)
{
    size_t left = pt_map_pixels(job->out) - block * job->block;
    return left < job->block ? left : job->block;
}

static void run_product(void *context, size_t task, int worker)
{
    (void)worker;
    const pt_portable_job *job = context;
    size_t block = task / job->column_blocks, p0 = block * job->block;
    int c0 = (int)(task % job->column_blocks) * PRODUCT_OUTPUTS, left = job->out->c - c0;
    multiply(job, pt_map_f32(job->in) + p0 * (size_t)job->in->c, job->in->c, p0, block_of(job, block), c0,
             left < PRODUCT_OUTPUTS ? left : PRODUCT_OUTPUTS);
}

static void run_columns(void *context, size_t task, int worker)
{
    const pt_portable_job *job = context;
    const pt_conv *conv = job->conv;
    float *columns = (float *)(void *)(job->backend->scratch + (size_t)worker * job->backend->scratch_each);
    size_t p0 = task * job->block, count = block_of(job, task);
    int part = conv->spec.out_channels / conv->spec.groups;
    for (int g = 0; g < conv->spec.groups; g++) {
        gather(job, p0, count, g, columns);
        multiply(job, columns, (int)conv->rows, p0, count, g * part, part);
    }
}

/* out += a pixel of the input times one tap, channel by channel. */
PT_CLONES static void add_tap(float *out, const float *in, const float *tap, int channels)
{
    for (int c = 0; c < channels; c++) {
        out[c] += in[c] * tap[c];
    }
}

static void run_depthwise(void *context, size_t task, int worker)
{
    (void)worker;
    const pt_portable_job *job = context;
    const pt_conv_spec *s = &job->conv->spec;
    const pt_map *in = job->in;
    int channels = in->c;
    for (size_t p = task * job->block, end = p + block_of(job, task); p < end; p++) {
        pt_portable_pixel at = pt_portable_locate(job->out, p);
        float *out = pt_map_f32(job->out) + p * (size_t)channels;
        if (start(job, p, 1, 0, channels) == 0) {
            memset(out, 0, (size_t)channels * sizeof *out);
        }
        const float *tap = job->conv->f32;
        for (int ky = 0; ky < s->kernel_h; ky++) {
            for (int kx = 0; kx < s->kernel_w; kx++, tap += channels) {
                int y = at.y * s->stride - s->pad + ky, x = at.x * s->stride - s->pad + kx;
                if (y >= 0 && y < in->h && x >= 0 && x < in->w) {
                    size_t from = ((size_t)at.n * (size_t)in->h + (size_t)y) * (size_t)in->w + (size_t)x;
                    add_tap(out, pt_map_f32(in) + from * (size_t)channels, tap, channels);
                }
            }
        }
        bias_and_activate(out, job->conv->bias, channels, s->activation);
    }
}

void pt_portable_f32_run(pt_portable_job *job)
{
    static pt_task *const tasks[] = {[PT_PORTABLE_GEMM] = run_product,
                                     [PT_PORTABLE_IM2COL] = run_columns,
                                     [PT_PORTABLE_DEPTHWISE] = run_depthwise};
    bool product = job->conv->kind == PT_PORTABLE_GEMM;
    job->block = product ? PRODUCT_PIXELS : COLUMN_PIXELS;
    job->column_blocks = product ? ((size_t)job->out->c + PRODUCT_OUTPUTS - 1) / PRODUCT_OUTPUTS : 1;
    size_t blocks = (pt_map_pixels(job->out) + job->block - 1) / job->block;
    pt_pool_run(job->backend->base.pool, blocks * job->column_blocks, tasks[job->conv->kind], job);
}
