/* Layers of bytes, as backend.h defines them: the reference that every other implementation must match bit
 * for bit. Written to be read. */
#include "engine/backend/portable.h"

#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <math.h>

enum { BLOCK_PIXELS = 64 };

pt_status pt_portable_u8_prepare(pt_conv *conv, pt_conv_weights *weights)
{
    size_t outputs = (size_t)conv->spec.out_channels, count;
    if (!pt_size_mul(outputs, conv->rows, &count)) {
        return PT_NOMEM("a convolution's weights");
    }
    conv->s16 = pt_alloc_aligned(count, sizeof *conv->s16);
    conv->multiplier = pt_alloc_aligned(outputs, sizeof *conv->multiplier);
    if (!conv->s16 || !conv->multiplier) {
        return PT_NOMEM("a convolution's weights");
    }
    for (size_t i = 0; i < count; i++) {
        conv->s16[i] = weights->s8[i];
    }
    for (size_t o = 0; o < outputs; o++) {
        conv->multiplier[o] = conv->spec.in.scale * weights->scale[o];
    }
    return pt_ok();
}

bool pt_portable_u8_scratch(const pt_conv *conv, size_t *bytes)
{
    return pt_size_mul(conv->rows, sizeof(int16_t), bytes);
}

/* x - in.zero of all that the window of output pixel `at` sees in group g. */
static void gather(const pt_portable_job *job, pt_portable_pixel at, int g, int16_t *window)
{
    const pt_conv_spec *s = &job->conv->spec;
    const pt_map *in = job->in;
    int part = s->in_channels / s->groups;
    for (int ky = 0; ky < s->kernel_h; ky++) {
        for (int kx = 0; kx < s->kernel_w; kx++, window += part) {
            int y = at.y * s->stride - s->pad + ky, x = at.x * s->stride - s->pad + kx;
            bool inside = y >= 0 && y < in->h && x >= 0 && x < in->w;
            size_t pixel =
                inside ? ((size_t)at.n * (size_t)in->h + (size_t)y) * (size_t)in->w + (size_t)x : 0;
            const uint8_t *from = pt_map_u8(in) + pixel * (size_t)in->c + (size_t)(g * part);
            for (int c = 0; c < part; c++) {
                int byte = inside ? from[c] : s->outside[(g * part + c) % 4];
                window[c] = (int16_t)(byte - s->in.zero);
            }
        }
    }
}

static int32_t dot(const int16_t *a, const int16_t *b, size_t count)
{
    int32_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (int32_t)a[i] * (int32_t)b[i];
    }
    return sum;
}

static float add_summand(const pt_portable_job *job, float y, size_t pixel, int o)
{
    if (!job->summand) {
        return y;
    }
    const pt_conv_spec *s = &job->conv->spec;
    size_t at = pt_portable_summand(job, pixel) * (size_t)s->out_channels + (size_t)o;
    if (s->out_elem == PT_F32) {
        return y + pt_map_f32(job->summand)[at];
    }
    return fmaf((float)(pt_map_u8(job->summand)[at] - s->sum.zero), s->sum.scale, y);
}

static float activate(float y, pt_activation activation)
{
    if (activation == PT_ACT_NONE) {
        return y;
    }
    y = y > 0 ? y : 0;
    return activation == PT_ACT_RELU6 && y > 6 ? 6 : y;
}

/* From the integer sum to the output's element. */
static void finish(const pt_portable_job *job, int32_t sum, size_t pixel, int o)
{
    const pt_conv *conv = job->conv;
    const pt_conv_spec *s = &conv->spec;
    size_t at = pixel * (size_t)s->out_channels + (size_t)o;
    float y = fmaf((float)sum, conv->multiplier[o], conv->bias[o]);
    y = activate(add_summand(job, y, pixel, o), s->activation);
    if (s->out_elem == PT_F32) {
        pt_map_f32(job->out)[at] = y;
        return;
    }
    float q = rintf(y * (1 / s->out.scale)) + (float)s->out.zero;
    pt_map_u8(job->out)[at] = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
}

static void run_block(void *context, size_t task, int worker)
{
    const pt_portable_job *job = context;
    const pt_conv *conv = job->conv;
    int16_t *window =
        (int16_t *)(void *)(job->backend->scratch + (size_t)worker * job->backend->scratch_each);
    size_t end = (task + 1) * BLOCK_PIXELS, pixels = pt_map_pixels(job->out);
    int part = conv->spec.out_channels / conv->spec.groups;
    for (size_t p = task * BLOCK_PIXELS; p < end && p < pixels; p++) {
        pt_portable_pixel at = pt_portable_locate(job->out, p);
        for (int g = 0; g < conv->spec.groups; g++) {
            gather(job, at, g, window);
            for (int o = g * part; o < (g + 1) * part; o++) {
                finish(job, dot(window, conv->s16 + (size_t)o * conv->rows, conv->rows), p, o);
            }
        }
    }
}

void pt_portable_u8_run(pt_portable_job *job)
{
    size_t blocks = (pt_map_pixels(job->out) + BLOCK_PIXELS - 1) / BLOCK_PIXELS;
    pt_pool_run(job->backend->base.pool, blocks, run_block, job);
}
