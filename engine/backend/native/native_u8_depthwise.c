/* Depthwise 3x3 layers on bytes. A task computes some rows of some slices of channels of one image, slice by
 * slice and strip by strip of columns, so that what an output row has read is still in the L1 cache when the
 * next row reads it again. Outputs whose windows lie inside the map are computed row by row, the others, at
 * its edges, in groups that are told where each pixel of their windows is. */
#include "engine/backend/native/native_u8.h"
#include "engine/kernels/depthwise_u8.h"
#include "tiling/base/alloc.h"

#include <string.h>

enum {
    GROUP = PT_U8_DEPTHWISE_PIXELS,
    SLICE = PT_U8_DEPTHWISE_CHANNELS,
    STRIP_COLUMNS = 128,   /* of the input: three rows of a slice take half of an L1 cache */
    TASK_ROWS = 8,         /* of the output: two or three input rows are read by two tasks */
    TASK_BYTES = 64 << 10, /* of output that a task makes, about */
};

typedef struct depthwise {
    pt_conv base;
    const pt_u8_depthwise_kernels *kernels;
    pt_u8_depthwise layer;
    uint8_t outside[SLICE]; /* what any slice of a pixel beyond the map is */
    size_t bytes;
} depthwise;

typedef struct depthwise_job {
    const depthwise *conv;
    const pt_map *in;
    pt_map *out;
    int row_tasks, slice_tasks; /* of an image, of its rows */
    int slices;                 /* of a task */
} depthwise_job;

/* Slices of channels of rows of one image. */
typedef struct area {
    int image, y, end_y;
    int channel, end_channel;
} area;

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

static pt_status depthwise_reserve(const pt_conv *conv, pt_native *native, int n, int h, int w)
{
    (void)conv, (void)native, (void)n, (void)h, (void)w;
    return pt_ok();
}

static uint8_t *output_at(const depthwise_job *job, int image, int y, int x, int channel)
{
    size_t row = ((size_t)image * (size_t)job->out->h + (size_t)y) * (size_t)job->out->w;
    return pt_map_u8(job->out) + (row + (size_t)x) * (size_t)job->out->c + channel;
}

/* Where the windows of outputs from (y, x) on read: the map, or beyond it `outside`. */
static void find_input(const depthwise_job *job, int image, int y, int x, pt_u8_depthwise_group *group)
{
    const pt_conv_spec *s = &job->conv->base.spec;
    const pt_map *in = job->in;
    for (int i = 0; i < 3; i++) {
        int iy = y * s->stride - 1 + i;
        ptrdiff_t row = ((ptrdiff_t)image * in->h + iy) * in->w;
        for (int k = 0; k < PT_U8_DEPTHWISE_COLUMNS; k++) {
            int ix = x * s->stride - 1 + k;
            bool inside = iy >= 0 && iy < in->h && ix >= 0 && ix < in->w;
            group->in[i][k] = inside ? pt_map_u8(in) + (row + ix) * in->c + group->first : job->conv->outside;
        }
    }
}

/* A slice of up to GROUP outputs from (y, x) on. */
static void run_group(const depthwise_job *job, int image, int channel, int y, int x)
{
    uint8_t result[GROUP * SLICE];
    int left = job->out->w - x;
    pt_u8_depthwise_group group; /* field by field, so that it is not zeroed first */
    group.first = channel;
    group.out = left < GROUP ? result : output_at(job, image, y, x, channel);
    group.out_step = left < GROUP ? SLICE : job->out->c;
    find_input(job, image, y, x, &group);
    job->conv->kernels->group(&job->conv->layer, &group);
    for (int i = 0; i < left && left < GROUP; i++) {
        int channels = job->out->c - channel;
        memcpy(output_at(job, image, y, x + i, channel), result + i * SLICE,
               (size_t)(channels < SLICE ? channels : SLICE));
    }
}

/* Whether some outputs of the row, GROUP .. w - GROUP, have windows inside the map. */
static bool has_inside(const depthwise_job *job, int y)
{
    int stride = job->conv->base.spec.stride;
    return job->out->w >= 3 * GROUP && y > 0 && y * stride + 1 < job->in->h;
}

static void run_ends(const depthwise_job *job, const area *a, int channel)
{
    int w = job->out->w;
    for (int y = a->y; y < a->end_y; y++) {
        if (has_inside(job, y)) {
            run_group(job, a->image, channel, y, 0);
            run_group(job, a->image, channel, y, w - GROUP);
            continue;
        }
        for (int x = 0; x < w; x += GROUP) {
            run_group(job, a->image, channel, y, x);
        }
    }
}

/* Outputs x .. end of the rows that have such. */
static void run_strip(const depthwise_job *job, const area *a, int channel, int x, int end)
{
    int stride = job->conv->base.spec.stride;
    ptrdiff_t step = job->in->c, pitch = job->in->w * step;
    for (int y = a->y; y < a->end_y; y++) {
        if (!has_inside(job, y)) {
            continue;
        }
        ptrdiff_t first = (ptrdiff_t)a->image * job->in->h + y * stride - 1;
        const uint8_t *in = pt_map_u8(job->in) + first * pitch + (x * stride - 1) * step + channel;
        pt_u8_depthwise_row row = {.first = channel,
                                   .rows = {in, in + pitch, in + 2 * pitch},
                                   .step = step,
                                   .pitch = pitch,
                                   .pixels = end - x,
                                   .out = output_at(job, a->image, y, x, channel),
                                   .out_step = job->out->c};
        job->conv->kernels->row(&job->conv->layer, &row);
    }
}

static void run_slice(const depthwise_job *job, const area *a, int channel)
{
    run_ends(job, a, channel);
    int most = STRIP_COLUMNS / job->conv->base.spec.stride, inside = job->out->w - 2 * GROUP;
    int strips = (inside + most - 1) / most;
    for (int i = 0; i < strips; i++) {
        run_strip(job, a, channel, GROUP + (int)((int64_t)inside * i / strips),
                  GROUP + (int)((int64_t)inside * (i + 1) / strips));
    }
}

static void run_task(void *context, size_t task, int worker)
{
    (void)worker;
    const depthwise_job *job = context;
    int part = (int)(task % (size_t)job->slice_tasks);
    size_t rows = task / (size_t)job->slice_tasks;
    area a = {.image = (int)(rows / (size_t)job->row_tasks),
              .y = (int)(rows % (size_t)job->row_tasks) * TASK_ROWS};
    a.end_y = a.y + TASK_ROWS < job->out->h ? a.y + TASK_ROWS : job->out->h;
    a.channel = part * job->slices * SLICE;
    a.end_channel =
        a.channel + job->slices * SLICE < job->out->c ? a.channel + job->slices * SLICE : job->out->c;
    for (int channel = a.channel; channel < a.end_channel; channel += SLICE) {
        run_slice(job, &a, channel);
    }
}

static void depthwise_run(const pt_conv *conv, pt_native *native, const pt_map *in, const pt_map *summand,
                          pt_map *out)
{
    (void)summand;
    depthwise_job job = {.conv = (const depthwise *)conv, .in = in, .out = out};
    int slices = (out->c + SLICE - 1) / SLICE;
    job.row_tasks = (out->h + TASK_ROWS - 1) / TASK_ROWS;
    job.slices = 1 + (int)(TASK_BYTES / ((size_t)TASK_ROWS * (size_t)out->w * SLICE));
    job.slice_tasks = (slices + job.slices - 1) / job.slices;
    size_t tasks = (size_t)in->n * (size_t)job.row_tasks * (size_t)job.slice_tasks;
    pt_pool_run(native->base.pool, tasks, run_task, &job);
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

/* Channel c's numbers, where those of channel `as` of its block lie. */
static void pack_channel(depthwise *self, const pt_conv_weights *weights, int c, int as)
{
    const pt_conv_spec *s = &self->base.spec;
    const pt_u8_depthwise_kernels *kernels = self->kernels;
    int first = c - c % kernels->block, at = first + kernels->place(as);
    const int8_t *w = weights->s8 + 9 * (size_t)c;
    size_t block = (size_t)(first / kernels->block) * kernels->weight_bytes;
    kernels->pack(w, as, (char *)self->layer.weights + block);
    int32_t sum = 0;
    for (int i = 0; i < 9; i++) {
        sum += w[i];
    }
    self->layer.start[at] = -s->in.zero * sum;
    self->layer.multiplier[at] = s->in.scale * weights->scale[c];
    self->layer.bias[at] = weights->bias[c];
}

static void pack(depthwise *self, const pt_conv_weights *weights)
{
    const pt_u8_depthwise_kernels *kernels = self->kernels;
    for (int c = 0; c < self->layer.channels; c++) {
        int as = c % kernels->block;
        pack_channel(self, weights, c, as);
        if (self->layer.channels - (c - as) <= kernels->twice) {
            pack_channel(self, weights, c, as + kernels->twice);
        }
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
    for (int c = 0; c < SLICE; c++) {
        self->outside[c] = spec->outside[c % 4];
    }
    pt_status status = reserve_numbers(self);
    if (status.code != PT_OK) {
        depthwise_free(&self->base);
        return status;
    }
    pack(self, weights);
    *out = &self->base;
    return pt_ok();
}
