/* Depthwise 3x3 layers on bytes. A task computes some rows of one image. The first and the last outputs of a
 * row, whose windows leave the map, read a copy of what is there; those between read the map itself. */
#include "engine/backend/native/native_u8.h"
#include "engine/kernels/depthwise_u8.h"
#include "tiling/base/alloc.h"

#include <string.h>

enum {
    GROUP = PT_U8_DEPTHWISE_PIXELS,
    GROUP_COLUMNS = 2 * (GROUP - 1) + 4, /* that a group reads of a row, at stride 2 */
    ROW_BYTES = 64 << 10,                /* of output that a task makes, about */
};

typedef struct depthwise {
    pt_conv base;
    const pt_u8_depthwise_kernels *kernels;
    pt_u8_depthwise layer;
    size_t bytes;
} depthwise;

typedef struct depthwise_job {
    const depthwise *conv;
    const pt_native *native;
    const pt_map *in;
    pt_map *out;
    int rows, row_tasks; /* of a task, of an image */
} depthwise_job;

static void depthwise_free(pt_conv *conv)
{
    depthwise *self = (depthwise *)conv;
    pt_free(self->layer.weights);
    pt_free(self->layer.start);
    pt_free(self->layer.multiplier);
    pt_free(self->layer.bias);
    pt_free(self);
}

static size_t depthwise_bytes(const pt_conv *conv)
{
    return ((const depthwise *)conv)->bytes;
}

static const char *depthwise_method(const pt_conv *conv)
{
    const char *name = ((const depthwise *)conv)->kernels->name;
    return strcmp(name, "vnni") == 0   ? "depthwise u8 vnni"
           : strcmp(name, "avx2") == 0 ? "depthwise u8 avx2"
                                       : "depthwise u8 c";
}

static size_t group_bytes(const pt_conv_spec *s)
{
    return 3 * GROUP_COLUMNS * (size_t)s->in_channels + PT_MAP_SLACK;
}

static pt_status depthwise_reserve(const pt_conv *conv, pt_native *native, int n, int h, int w)
{
    (void)n, (void)h, (void)w;
    return pt_native_reserve_scratch(native,
                                     group_bytes(&conv->spec) + GROUP * (size_t)conv->spec.in_channels);
}

/* Columns x .. x + count of input row y of an image, with what lies outside where they leave it. */
static void copy_columns(const pt_conv_spec *s, const pt_map *in, int image, int y, int x, int count,
                         uint8_t *to)
{
    size_t channels = (size_t)s->in_channels;
    size_t row = ((size_t)image * (size_t)in->h + (size_t)y) * (size_t)in->w;
    for (int i = 0; i < count; i++, to += channels) {
        if (y >= 0 && y < in->h && x + i >= 0 && x + i < in->w) {
            memcpy(to, pt_map_u8(in) + (row + (size_t)(x + i)) * channels, channels);
            continue;
        }
        for (size_t c = 0; c < channels; c++) {
            to[c] = s->outside[c % 4];
        }
    }
}

/* Up to GROUP outputs from (y, x) on, from a copy. */
static void run_group(const depthwise_job *job, int image, int y, int x, int worker, uint8_t *out)
{
    const pt_conv_spec *s = &job->conv->base.spec;
    size_t channels = (size_t)s->in_channels, pitch = GROUP_COLUMNS * channels;
    uint8_t *copy = pt_native_scratch(job->native, worker), *result = copy + group_bytes(s);
    const uint8_t *rows[3] = {copy, copy + pitch, copy + 2 * pitch};
    for (int i = 0; i < 3; i++) {
        copy_columns(s, job->in, image, y * s->stride - 1 + i, x * s->stride - 1, GROUP_COLUMNS,
                     copy + (size_t)i * pitch);
    }
    job->conv->kernels->row(&job->conv->layer, rows, GROUP, result);
    int count = job->out->w - x < GROUP ? job->out->w - x : GROUP;
    memcpy(out + (size_t)x * channels, result, (size_t)count * channels);
}

/* Outputs GROUP .. w - GROUP of a row whose windows lie inside the map. */
static void run_inside(const depthwise_job *job, int image, int y, uint8_t *out)
{
    const pt_conv_spec *s = &job->conv->base.spec;
    size_t channels = (size_t)s->in_channels, pitch = (size_t)job->in->w * channels;
    const uint8_t *rows[3];
    for (int i = 0; i < 3; i++) {
        size_t row = (size_t)image * (size_t)job->in->h + (size_t)(y * s->stride - 1 + i);
        rows[i] = pt_map_u8(job->in) + row * pitch + (size_t)(GROUP * s->stride - 1) * channels;
    }
    job->conv->kernels->row(&job->conv->layer, rows, job->out->w - 2 * GROUP, out + GROUP * channels);
}

static void run_row(const depthwise_job *job, int image, int y, int worker)
{
    const pt_conv_spec *s = &job->conv->base.spec;
    size_t row = (size_t)image * (size_t)job->out->h + (size_t)y;
    uint8_t *out = pt_map_u8(job->out) + row * (size_t)job->out->w * (size_t)s->in_channels;
    int last = y * s->stride + 1;
    if (job->out->w < 3 * GROUP || y == 0 || last >= job->in->h) {
        for (int x = 0; x < job->out->w; x += GROUP) {
            run_group(job, image, y, x, worker, out);
        }
        return;
    }
    run_group(job, image, y, 0, worker, out);
    run_inside(job, image, y, out);
    run_group(job, image, y, job->out->w - GROUP, worker, out);
}

static void run_task(void *context, size_t task, int worker)
{
    const depthwise_job *job = context;
    int image = (int)(task / (size_t)job->row_tasks);
    int y = (int)(task % (size_t)job->row_tasks) * job->rows;
    for (int end = y + job->rows; y < end && y < job->out->h; y++) {
        run_row(job, image, y, worker);
    }
}

static void depthwise_run(const pt_conv *conv, pt_native *native, const pt_map *in, const pt_map *summand,
                          pt_map *out)
{
    (void)summand;
    depthwise_job job = {.conv = (const depthwise *)conv, .native = native, .in = in, .out = out};
    job.rows = 1 + (int)(ROW_BYTES / ((size_t)out->w * (size_t)out->c));
    job.row_tasks = (out->h + job.rows - 1) / job.rows;
    pt_pool_run(native->base.pool, (size_t)in->n * (size_t)job.row_tasks, run_task, &job);
}

static const pt_native_ops depthwise_ops = {
    .free = depthwise_free,
    .reserve = depthwise_reserve,
    .run = depthwise_run,
    .bytes = depthwise_bytes,
    .method = depthwise_method,
};

static pt_status reserve_numbers(depthwise *self)
{
    size_t block = (size_t)self->kernels->block;
    size_t blocks = ((size_t)self->layer.channels + block - 1) / block, count = blocks * block;
    pt_u8_depthwise *layer = &self->layer;
    layer->weights = pt_alloc_aligned(blocks, self->kernels->weight_bytes);
    layer->start = pt_alloc_aligned(count, sizeof *layer->start);
    layer->multiplier = pt_alloc_aligned(count, sizeof *layer->multiplier);
    layer->bias = pt_alloc_aligned(count, sizeof *layer->bias);
    if (!layer->weights || !layer->start || !layer->multiplier || !layer->bias) {
        return PT_NOMEM("a depthwise layer");
    }
    memset(layer->weights, 0, blocks * self->kernels->weight_bytes);
    memset(layer->start, 0, count * sizeof *layer->start);
    memset(layer->multiplier, 0, count * sizeof *layer->multiplier);
    memset(layer->bias, 0, count * sizeof *layer->bias);
    self->bytes = blocks * self->kernels->weight_bytes + 3 * count * sizeof *layer->bias;
    return pt_ok();
}

static void pack(depthwise *self, const pt_conv_weights *weights)
{
    const pt_conv_spec *s = &self->base.spec;
    const pt_u8_depthwise_kernels *kernels = self->kernels;
    for (int c = 0; c < self->layer.channels; c++) {
        int first = c - c % kernels->block, at = first + kernels->place(c - first);
        const int8_t *w = weights->s8 + 9 * (size_t)c;
        size_t block = (size_t)(first / kernels->block) * kernels->weight_bytes;
        kernels->pack(w, c - first, (char *)self->layer.weights + block);
        int32_t sum = 0;
        for (int i = 0; i < 9; i++) {
            sum += w[i];
        }
        self->layer.start[at] = -s->in.zero * sum;
        self->layer.multiplier[at] = s->in.scale * weights->scale[c];
        self->layer.bias[at] = weights->bias[c];
    }
}

bool pt_native_u8_depthwise_suits(const pt_conv_spec *s)
{
    return s->groups == s->in_channels && s->groups == s->out_channels && s->kernel_h == 3 &&
           s->kernel_w == 3 && s->pad == 1 && s->stride <= 2 && s->add == PT_ADD_NONE && s->out_elem == PT_U8;
}

pt_status pt_native_u8_depthwise_new(const pt_conv_spec *spec, pt_conv_weights *weights, pt_isa isa,
                                     pt_conv **out)
{
    depthwise *self = pt_calloc(1, sizeof *self);
    if (!self) {
        return PT_NOMEM("a depthwise layer");
    }
    self->base = (pt_conv){.ops = &depthwise_ops, .spec = *spec};
    self->kernels = pt_u8_depthwise_kernels_for(isa);
    self->layer.channels = spec->in_channels;
    self->layer.stride = spec->stride;
    self->layer.finish = pt_u8_finish_of(spec, weights);
    pt_status status = reserve_numbers(self);
    if (status.code != PT_OK) {
        depthwise_free(&self->base);
        return status;
    }
    pack(self, weights);
    *out = &self->base;
    return pt_ok();
}
