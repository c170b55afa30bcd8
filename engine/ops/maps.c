#include "engine/ops/maps.h"

#include "engine/kernels/operators.h"

#include <string.h>

enum {
    BLOCK = 16384,       /* elements of a task that works element by element */
    ROW_BYTES = 1 << 16, /* at least so much output per task that works row by row */
    MAX_KERNEL = 16,
};

/* What all tasks of one call share; each kind uses what it needs. */
typedef struct map_job {
    const pt_operator_kernels *kernels;
    const pt_map *in, *second; /* second: the other summand */
    pt_map *out;
    size_t rows; /* of output per task */
    const pt_image_rule *rule;
    const uint8_t *rgb;
    ptrdiff_t row_stride;
    int width, height;
    pt_max_window window;
    const float *scale, *shift;
    pt_activation activation;
} map_job;

static size_t row_count(const pt_map *map)
{
    return (size_t)map->n * (size_t)map->h;
}

static size_t row_elements(const pt_map *map)
{
    return (size_t)map->w * (size_t)map->c;
}

/* Calls `task` for blocks of rows [task * job->rows, .. + job->rows) of the output. */
static void run_rows(pt_pool *pool, map_job *job, pt_task *task)
{
    size_t bytes = row_elements(job->out) * pt_elem_size(job->out->elem);
    job->rows = ROW_BYTES / (bytes ? bytes : 1) + 1;
    pt_pool_run(pool, (row_count(job->out) + job->rows - 1) / job->rows, task, job);
}

static size_t last_row(const map_job *job, size_t task)
{
    size_t end = (task + 1) * job->rows, rows = row_count(job->out);
    return end < rows ? end : rows;
}

static void run_blocks(pt_pool *pool, map_job *job, pt_task *task)
{
    pt_pool_run(pool, (pt_map_count(job->out) + BLOCK - 1) / BLOCK, task, job);
}

static size_t block_size(const map_job *job, size_t task)
{
    size_t left = pt_map_count(job->out) - task * BLOCK;
    return left < BLOCK ? left : BLOCK;
}

static void fill_outside(const uint8_t outside[4], size_t pixels, uint8_t *out)
{
    for (size_t i = 0; i < pixels; i++) {
        memcpy(out + 4 * i, outside, 4);
    }
}

static void image_rows(void *context, size_t task, int worker)
{
    (void)worker;
    const map_job *job = context;
    for (size_t y = task * job->rows; y < last_row(job, task); y++) {
        size_t filled = y < (size_t)job->height ? (size_t)job->width : 0;
        size_t beyond = (size_t)job->out->w - filled;
        const uint8_t *rgb = job->rgb + (filled ? (ptrdiff_t)y * job->row_stride : 0);
        if (job->out->elem == PT_F32) {
            float *out = pt_map_f32(job->out) + y * row_elements(job->out);
            job->kernels->image_f32(rgb, filled, job->rule->table, out);
            memset(out + 3 * filled, 0, 3 * beyond * sizeof *out);
        } else {
            uint8_t *out = pt_map_u8(job->out) + y * row_elements(job->out);
            job->kernels->image_u8(rgb, filled, out);
            fill_outside(job->rule->outside, beyond, out + 4 * filled);
        }
    }
}

void pt_op_image(pt_pool *pool, const pt_image_rule *rule, const uint8_t *rgb, ptrdiff_t row_stride,
                 int width, int height, pt_map *out)
{
    map_job job = {.kernels = pt_operator_kernels_best(),
                   .out = out,
                   .rule = rule,
                   .rgb = rgb,
                   .row_stride = row_stride,
                   .width = width,
                   .height = height};
    run_rows(pool, &job, image_rows);
}

/* The rows of the input that output row `row` (of all images) looks at. */
static int pool_row_span(const map_job *job, size_t row, size_t *first)
{
    size_t image = row / (size_t)job->out->h;
    int y0 = (int)(row % (size_t)job->out->h) * job->window.stride - job->window.pad;
    int y1 = y0 + job->window.kernel < job->in->h ? y0 + job->window.kernel : job->in->h;
    y0 = y0 > 0 ? y0 : 0;
    *first = image * (size_t)job->in->h + (size_t)y0;
    return y1 - y0;
}

static void max_rows(void *context, size_t task, int worker)
{
    (void)worker;
    const map_job *job = context;
    const size_t in_row = row_elements(job->in), out_row = row_elements(job->out);
    for (size_t y = task * job->rows; y < last_row(job, task); y++) {
        size_t first;
        int count = pool_row_span(job, y, &first);
        if (job->in->elem == PT_F32) {
            const float *rows[MAX_KERNEL];
            for (int i = 0; i < count; i++) {
                rows[i] = pt_map_f32(job->in) + (first + (size_t)i) * in_row;
            }
            job->kernels->max_f32(rows, count, &job->window, pt_map_f32(job->out) + y * out_row);
        } else {
            const uint8_t *rows[MAX_KERNEL];
            for (int i = 0; i < count; i++) {
                rows[i] = pt_map_u8(job->in) + (first + (size_t)i) * in_row;
            }
            job->kernels->max_u8(rows, count, &job->window, pt_map_u8(job->out) + y * out_row);
        }
    }
}

void pt_op_max_pool(pt_pool *pool, const pt_map *in, int kernel, int stride, int pad, pt_map *out)
{
    map_job job = {.kernels = pt_operator_kernels_best(),
                   .in = in,
                   .out = out,
                   .window = {in->c, in->w, out->w, kernel, stride, pad}};
    run_rows(pool, &job, max_rows);
}

static void convert_block(void *context, size_t task, int worker)
{
    (void)worker;
    const map_job *job = context;
    const pt_operator_kernels *k = job->kernels;
    size_t at = task * BLOCK, count = block_size(job, task);
    const pt_map *in = job->in;
    pt_map *out = job->out;
    if (out->elem == PT_F32 && in->elem == PT_F32) {
        memcpy(pt_map_f32(out) + at, pt_map_f32(in) + at, count * sizeof(float));
    } else if (out->elem == PT_F32) {
        k->dequantise(pt_map_u8(in) + at, count, in->quant, pt_map_f32(out) + at);
    } else if (in->elem == PT_F32) {
        k->quantise(pt_map_f32(in) + at, count, 1 / out->quant.scale, out->quant.zero, pt_map_u8(out) + at);
    } else {
        k->requantise(pt_map_u8(in) + at, count, in->quant, 1 / out->quant.scale, out->quant.zero,
                      pt_map_u8(out) + at);
    }
}

void pt_op_convert(pt_pool *pool, const pt_map *in, pt_map *out)
{
    map_job job = {.kernels = pt_operator_kernels_best(), .in = in, .out = out};
    run_blocks(pool, &job, convert_block);
}

static void affine_rows(void *context, size_t task, int worker)
{
    (void)worker;
    const map_job *job = context;
    size_t channels = (size_t)job->in->c, row = row_elements(job->in);
    const float *in = pt_map_f32(job->in);
    float *out = pt_map_f32(job->out);
    for (size_t i = task * job->rows * row; i < last_row(job, task) * row; i += channels) {
        for (size_t c = 0; c < channels; c++) {
            out[i + c] = in[i + c] * job->scale[c] + job->shift[c];
        }
    }
}

void pt_op_affine(pt_pool *pool, const pt_map *in, const float *scale, const float *shift, pt_map *out)
{
    map_job job = {.in = in, .out = out, .scale = scale, .shift = shift};
    run_rows(pool, &job, affine_rows);
}

static void activate_block(void *context, size_t task, int worker)
{
    (void)worker;
    const map_job *job = context;
    const float *in = pt_map_f32(job->in) + task * BLOCK;
    float *out = pt_map_f32(job->out) + task * BLOCK;
    size_t count = block_size(job, task);
    bool relu = job->activation != PT_ACT_NONE, capped = job->activation == PT_ACT_RELU6;
    for (size_t i = 0; i < count; i++) {
        float v = relu && !(in[i] > 0) ? 0 : in[i];
        out[i] = capped && v > 6 ? 6 : v;
    }
}

void pt_op_activate(pt_pool *pool, const pt_map *in, pt_activation activation, pt_map *out)
{
    map_job job = {.in = in, .out = out, .activation = activation};
    run_blocks(pool, &job, activate_block);
}

static void add_block(void *context, size_t task, int worker)
{
    (void)worker;
    const map_job *job = context;
    const float *a = pt_map_f32(job->in) + task * BLOCK, *b = pt_map_f32(job->second) + task * BLOCK;
    float *out = pt_map_f32(job->out) + task * BLOCK;
    size_t count = block_size(job, task);
    for (size_t i = 0; i < count; i++) {
        out[i] = a[i] + b[i];
    }
}

void pt_op_add(pt_pool *pool, const pt_map *a, const pt_map *b, pt_map *out)
{
    map_job job = {.in = a, .second = b, .out = out};
    run_blocks(pool, &job, add_block);
}

static void upsample_rows(void *context, size_t task, int worker)
{
    (void)worker;
    const map_job *job = context;
    const pt_map *in = job->in, *out = job->out;
    size_t channels = (size_t)in->c, h = (size_t)out->h, w = (size_t)out->w;
    for (size_t y = task * job->rows; y < last_row(job, task); y++) {
        size_t from = y / h * (size_t)in->h + y % h * (size_t)in->h / h;
        const float *row = pt_map_f32(in) + from * row_elements(in);
        float *to = pt_map_f32(out) + y * row_elements(out);
        for (size_t x = 0; x < w; x++) {
            memcpy(to + x * channels, row + x * (size_t)in->w / w * channels, channels * sizeof *to);
        }
    }
}

void pt_op_upsample(pt_pool *pool, const pt_map *in, pt_map *out)
{
    map_job job = {.in = in, .out = out};
    run_rows(pool, &job, upsample_rows);
}

typedef struct concat_job {
    const pt_map *const *parts;
    int count;
    pt_map *out;
    size_t pixels; /* per task */
} concat_job;

static void concat_pixels(void *context, size_t task, int worker)
{
    (void)worker;
    const concat_job *job = context;
    size_t end = (task + 1) * job->pixels, all = pt_map_pixels(job->out);
    end = end < all ? end : all;
    float *out = pt_map_f32(job->out) + task * job->pixels * (size_t)job->out->c;
    for (size_t p = task * job->pixels; p < end; p++) {
        for (int i = 0; i < job->count; i++) {
            size_t channels = (size_t)job->parts[i]->c;
            memcpy(out, pt_map_f32(job->parts[i]) + p * channels, channels * sizeof *out);
            out += channels;
        }
    }
}

void pt_op_concat(pt_pool *pool, const pt_map *const *parts, int count, pt_map *out)
{
    concat_job job = {parts, count, out, BLOCK / (size_t)out->c + 1};
    pt_pool_run(pool, (pt_map_pixels(out) + job.pixels - 1) / job.pixels, concat_pixels, &job);
}
