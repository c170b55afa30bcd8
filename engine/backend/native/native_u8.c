/* Prepares dense layers on bytes: cuts output channels into blocks, packs their weights. */
#include "engine/backend/native/native_u8.h"

#include "engine/backend/native/native_u8_amx.h"
#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <math.h>
#include <string.h>

pt_u8_finish pt_u8_finish_of(const pt_conv_spec *spec, const pt_conv_weights *weights)
{
    size_t each =
        (size_t)(spec->in_channels / spec->groups) * (size_t)spec->kernel_h * (size_t)spec->kernel_w;
    float largest = 0;
    for (int o = 0; o < spec->out_channels; o++) {
        const int8_t *row = weights->s8 + (size_t)o * each;
        int32_t sum = 0; /* of at most PT_U8_MAX_TAPS * 16,384 bytes */
        for (size_t i = 0; i < each; i++) {
            sum += row[i] < 0 ? -row[i] : row[i];
        }
        largest =
            fmaxf(largest, 255 * (float)sum * spec->in.scale * weights->scale[o] + fabsf(weights->bias[o]));
    }
    pt_u8_finish finish = {
        .out_elem = spec->out_elem,
        .activation = spec->activation,
        .add = spec->add != PT_ADD_NONE,
        .sum = spec->sum,
        .zero = spec->out.zero,
        .inverse = 1.0f / spec->out.scale,
    };
    pt_u8_finish_limits(&finish, largest + (finish.add ? 255 * spec->sum.scale : 0));
    return finish;
}

static void dense_free(pt_conv *conv)
{
    pt_u8_dense *dense = (pt_u8_dense *)conv;
    pt_free(dense->blocks);
    pt_free(dense->weights);
    pt_free(dense->start);
    pt_free(dense->multiplier);
    pt_free(dense->bias);
    pt_free(dense);
}

static size_t dense_bytes(const pt_conv *conv)
{
    return ((const pt_u8_dense *)conv)->packed_bytes;
}

static const char *dense_method(const pt_conv *conv)
{
    const char *name = ((const pt_u8_dense *)conv)->kernels->name;
    return strcmp(name, "vnni") == 0   ? "direct u8 vnni"
           : strcmp(name, "avx2") == 0 ? "direct u8 avx2"
                                       : "direct u8 c";
}

static const pt_native_ops dense_ops = {
    .free = dense_free,
    .reserve = pt_u8_dense_reserve,
    .run = pt_u8_dense_run,
    .bytes = dense_bytes,
    .method = dense_method,
};

/* The most vectors of a block. Weights that take most of the L1 cache leave it at every tile of pixels, one
 * here, one there, which processors cannot foresee as they can a stream; then one fewer. Measured on Zen 5
 * (48 KiB), 512 channels to 128 at 128 x 128: 2.9 ms instead of 3.7. */
static int most_vectors(const pt_u8_dense *dense)
{
    enum { SAFE = 20 << 10, STREAM = 56 << 10 };
    int most = dense->kernels->max_vectors;
    size_t bytes = (size_t)dense->run_count * (size_t)dense->run_steps * dense->step_bytes * (size_t)most;
    return most >= 4 && bytes > SAFE && bytes <= STREAM ? most - 1 : most;
}

/* Blocks of the most vectors that are as equal as whole vectors allow: 5 = 3 + 2, not 4 + 1. */
static int cut_group(pt_u8_dense *dense, int group, int made)
{
    const pt_conv_spec *s = &dense->base.spec;
    int channels = s->out_channels / s->groups, lanes = dense->kernels->lanes;
    int vectors = (channels + lanes - 1) / lanes;
    int most = most_vectors(dense), blocks = (vectors + most - 1) / most;
    int done = 0;
    for (int i = 0; i < blocks; i++) {
        int here = (vectors - done) / (blocks - i) + ((vectors - done) % (blocks - i) > 0);
        if (dense->blocks) {
            int first = done * lanes;
            dense->blocks[made + i] = (pt_u8_block){
                .channel = group * channels + first,
                .channels = channels - first < here * lanes ? channels - first : here * lanes,
                .vectors = here,
                .in_channel = group * (s->in_channels / s->groups),
            };
        }
        done += here;
    }
    return made + blocks;
}

/* Counts, then makes the blocks. */
static pt_status cut(pt_u8_dense *dense)
{
    int count = cut_group(dense, 0, 0) * dense->base.spec.groups;
    dense->blocks = pt_alloc((size_t)count, sizeof *dense->blocks);
    if (!dense->blocks) {
        return PT_NOMEM("a layer's blocks");
    }
    for (int g = 0; g < dense->base.spec.groups; g++) {
        dense->block_count = cut_group(dense, g, dense->block_count);
    }
    size_t weights = 0, constants = 0;
    size_t steps = (size_t)dense->run_count * (size_t)dense->run_steps;
    for (int i = 0; i < dense->block_count; i++) {
        pt_u8_block *block = &dense->blocks[i];
        block->weights = weights;
        block->constants = constants;
        weights += steps * dense->step_bytes * (size_t)block->vectors;
        constants += (size_t)(block->vectors * dense->kernels->lanes);
    }
    dense->weights = pt_alloc_aligned(weights, 1);
    dense->start = pt_alloc_aligned(constants, sizeof *dense->start);
    dense->multiplier = pt_alloc_aligned(constants, sizeof *dense->multiplier);
    dense->bias = pt_alloc_aligned(constants, sizeof *dense->bias);
    dense->packed_bytes = weights + constants * (sizeof *dense->start + 2 * sizeof *dense->bias);
    if (!dense->weights || !dense->start || !dense->multiplier || !dense->bias) {
        return PT_NOMEM("a layer's packed weights");
    }
    memset(dense->weights, 0, weights);
    memset(dense->start, 0, constants * sizeof *dense->start);
    memset(dense->multiplier, 0, constants * sizeof *dense->multiplier);
    memset(dense->bias, 0, constants * sizeof *dense->bias);
    return pt_ok();
}

/* One channel of a block; returns the sum of its weights. */
static int32_t pack_channel(const pt_u8_dense *dense, const pt_u8_block *block, int at, const int8_t *from)
{
    const pt_u8_kernels *kernels = dense->kernels;
    const pt_conv_spec *s = &dense->base.spec;
    int taps = s->kernel_h * s->kernel_w, length = s->in_channels / s->groups * taps / dense->run_count;
    size_t lanes = (size_t)(kernels->lanes * block->vectors), group = (size_t)kernels->group;
    int8_t *bytes = (int8_t *)dense->weights + block->weights;
    int16_t *words = (int16_t *)bytes;
    int32_t sum = 0;
    for (int i = 0; i < length * dense->run_count; i++) {
        sum += from[i];
    }
    for (int r = 0; r < dense->run_count; r++) {
        size_t to = ((size_t)r * (size_t)dense->run_steps * lanes + (size_t)at) * group;
        for (int left = length; left > 0; left -= kernels->group, to += lanes * group) {
            int here = left < kernels->group ? left : kernels->group;
            for (int k = 0; k < here; k++) {
                if (kernels->wide) {
                    words[to + (size_t)k] = *from++;
                } else {
                    bytes[to + (size_t)k] = *from++;
                }
            }
        }
    }
    return sum;
}

static void pack(pt_u8_dense *dense, const pt_conv_weights *weights)
{
    const pt_conv_spec *s = &dense->base.spec;
    size_t each = (size_t)(s->in_channels / s->groups) * (size_t)(s->kernel_h * s->kernel_w);
    for (int i = 0; i < dense->block_count; i++) {
        const pt_u8_block *block = &dense->blocks[i];
        for (int c = 0; c < block->channels; c++) {
            int at = dense->kernels->place(block->vectors, s->out_elem, c);
            size_t o = (size_t)(block->channel + c), to = block->constants + (size_t)at;
            dense->start[to] = -s->in.zero * pack_channel(dense, block, at, weights->s8 + o * each);
            dense->multiplier[to] = s->in.scale * weights->scale[o];
            dense->bias[to] = weights->bias[o];
        }
    }
}

/* Rows of a kernel that reads all channels are runs; those of a group lie apart, so each tap is one. */
static void lay_out(pt_u8_dense *dense)
{
    const pt_conv_spec *s = &dense->base.spec;
    int length = s->in_channels / s->groups * (s->groups == 1 ? s->kernel_w : 1);
    dense->run_count = s->groups == 1 ? s->kernel_h : s->kernel_h * s->kernel_w;
    dense->run_steps = (length + dense->kernels->group - 1) / dense->kernels->group;
    dense->step_bytes =
        (size_t)(dense->kernels->group * dense->kernels->lanes) * (dense->kernels->wide ? 2 : 1);
}

pt_status pt_native_u8_dense_new(const pt_conv_spec *spec, pt_conv_weights *weights, pt_isa isa,
                                 pt_conv **out)
{
    pt_u8_dense *dense = pt_calloc(1, sizeof *dense);
    if (!dense) {
        return PT_NOMEM("a layer");
    }
    dense->base = (pt_conv){.ops = &dense_ops, .spec = *spec};
    dense->kernels = pt_u8_kernels_for(isa);
    dense->finish = pt_u8_finish_of(spec, weights);
    lay_out(dense);
    pt_status status = cut(dense);
    if (status.code != PT_OK) {
        dense_free(&dense->base);
        return status;
    }
    pack(dense, weights);
    *out = &dense->base;
    return pt_ok();
}

pt_status pt_native_u8_new(const pt_conv_spec *spec, pt_conv_weights *weights, pt_isa isa, pt_conv **out)
{
    if (spec->kernel_h * spec->kernel_w > PT_U8_MAX_TAPS) {
        return pt_error(PT_E_UNSUPPORTED,
                        "the native backend computes INT8 kernels of at most %d taps, not %d x %d",
                        PT_U8_MAX_TAPS, spec->kernel_h, spec->kernel_w);
    }
    const pt_k_amx *tiles = pt_k_amx_for(isa);
    if (tiles && pt_native_u8_amx_suits(spec)) {
        return pt_native_u8_amx_new(spec, weights, tiles, out);
    }
    bool depthwise = pt_native_u8_depthwise_suits(spec);
    return (depthwise ? pt_native_u8_depthwise_new : pt_native_u8_dense_new)(spec, weights, isa, out);
}
