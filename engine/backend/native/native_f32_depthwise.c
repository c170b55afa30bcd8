/* Depthwise FP32 layers: a task computes some rows of one image. */
#include "engine/backend/native/native_f32.h"

#include "engine/kernels/conv_f32.h"
#include "tiling/base/alloc.h"

#include <string.h>

enum {
    LANES = 16,
    TASK_FLOATS = 1 << 16, /* of output: much more than it takes to hand out a task */
    TASK_ROWS = 2,         /* at least, and a multiple: the kernel computes two rows at once */
};

typedef struct depthwise {
    pt_conv base;
    const pt_f32_kernels *kernels;
    size_t padded; /* channels, in whole vectors */
    float *weights, *bias;
} depthwise;

typedef struct job {
    const depthwise *layer;
    const pt_map *in;
    pt_map *out;
    int rows, blocks; /* rows of a task, tasks of an image */
} job;

static void run_task(void *context, size_t task, int worker)
{
    (void)worker;
    const job *j = context;
    const pt_conv_spec *s = &j->layer->base.spec;
    const pt_map *in = j->in, *out = j->out;
    const size_t n = task / (size_t)j->blocks, channels = (size_t)in->c;
    const int row = (int)(task % (size_t)j->blocks) * j->rows;
    const pt_f32_depthwise image = {
        .in = pt_map_f32(in) + n * (size_t)in->h * (size_t)in->w * channels,
        .h = in->h,
        .w = in->w,
        .channels = in->c,
        .kernel_h = s->kernel_h,
        .kernel_w = s->kernel_w,
        .stride = s->stride,
        .pad = s->pad,
        .weights = j->layer->weights,
        .weights_stride = j->layer->padded,
        .bias = j->layer->bias,
        .activation = s->activation,
        .out = pt_map_f32(out) + n * (size_t)out->h * (size_t)out->w * channels,
        .out_w = out->w,
    };
    j->layer->kernels->depthwise(&image, row, row + j->rows < out->h ? row + j->rows : out->h);
}

static void depthwise_run(const pt_conv *conv, pt_native *native, const pt_map *in, const pt_map *summand,
                          pt_map *out)
{
    (void)summand;
    job j = {.layer = (const depthwise *)conv, .in = in, .out = out, .rows = TASK_ROWS};
    while (j.rows < out->h && j.rows * out->w * out->c < TASK_FLOATS) {
        j.rows += TASK_ROWS;
    }
    j.blocks = (out->h + j.rows - 1) / j.rows;
    pt_pool_run(native->base.pool, (size_t)out->n * (size_t)j.blocks, run_task, &j);
}

static pt_status depthwise_reserve(const pt_conv *conv, pt_native *native, int n, int h, int w)
{
    (void)conv, (void)native, (void)n, (void)h, (void)w;
    return pt_ok();
}

static void depthwise_free(pt_conv *conv)
{
    depthwise *layer = (depthwise *)conv;
    pt_free(layer->weights);
    pt_free(layer->bias);
    pt_free(layer);
}

static size_t taps(const pt_conv_spec *spec)
{
    return (size_t)spec->kernel_h * (size_t)spec->kernel_w;
}

static size_t depthwise_bytes(const pt_conv *conv)
{
    return (taps(&conv->spec) + 1) * ((const depthwise *)conv)->padded * sizeof(float);
}

static const char *depthwise_method(const pt_conv *conv)
{
    return conv->spec.kernel_h == 3 && conv->spec.kernel_w == 3 ? "depthwise 3x3" : "depthwise";
}

pt_status pt_native_f32_depthwise_new(const pt_conv_spec *spec, pt_conv_weights *weights, pt_isa isa,
                                      pt_conv **out)
{
    static const pt_native_ops ops = {depthwise_free, depthwise_reserve, depthwise_run, depthwise_bytes,
                                      depthwise_method};
    depthwise *layer = pt_calloc(1, sizeof *layer);
    if (!layer) {
        return PT_NOMEM("a depthwise convolution");
    }
    layer->base = (pt_conv){.ops = &ops, .spec = *spec};
    layer->kernels = pt_f32_kernels_for(isa);
    const size_t channels = (size_t)spec->groups, count = taps(spec);
    layer->padded = (channels + LANES - 1) / LANES * LANES;
    layer->weights = pt_alloc_aligned(count * layer->padded, sizeof *layer->weights);
    layer->bias = pt_alloc_aligned(layer->padded, sizeof *layer->bias);
    if (!layer->weights || !layer->bias) {
        depthwise_free(&layer->base);
        return PT_NOMEM("a depthwise convolution's weights");
    }
    memset(layer->weights, 0, count * layer->padded * sizeof *layer->weights);
    memset(layer->bias, 0, layer->padded * sizeof *layer->bias);
    memcpy(layer->bias, weights->bias, channels * sizeof *layer->bias);
    for (size_t c = 0; c < channels; c++) {
        for (size_t tap = 0; tap < count; tap++) {
            layer->weights[tap * layer->padded + c] = weights->f32[c * count + tap];
        }
    }
    *out = &layer->base;
    return pt_ok();
}
