#include "tests/engine/backend/native/f32_case.h"

#include "tiling/base/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static float *random_block(randoms *r, size_t count, float low, float high)
{
    const size_t slack = PT_MAP_SLACK / sizeof(float);
    float *block = pt_alloc_aligned(count + slack, sizeof *block);
    assert_non_null(block);
    random_fill(r, block, count, low, high);
    for (size_t i = count; i < count + slack; i++) {
        block[i] = NAN;
    }
    return block;
}

static pt_map random_map(randoms *r, int n, int h, int w, int c)
{
    pt_map map = {.n = n, .h = h, .w = w, .c = c, .elem = PT_F32};
    map.data = random_block(r, pt_map_count(&map), -1, 1);
    return map;
}

static float value_at(const pt_map *map, int n, int y, int x, int channel)
{
    if (y < 0 || y >= map->h || x < 0 || x >= map->w) {
        return 0;
    }
    return pt_map_f32(
        map)[((size_t)(n * map->h + y) * (size_t)map->w + (size_t)x) * (size_t)map->c + (size_t)channel];
}

static float summand_of(const f32_case *c, int n, int y, int x, int o)
{
    if (c->spec.add == PT_ADD_UPSAMPLED) {
        y = y * c->summand.h / c->out.h;
        x = x * c->summand.w / c->out.w;
    }
    return value_at(&c->summand, n, y, x, o);
}

static void compute(f32_case *c, int n, int oy, int ox, int o, float *chain, double *exact)
{
    const pt_conv_spec *s = &c->spec;
    const int per_group = s->in_channels / s->groups;
    const int first = o / (s->out_channels / s->groups) * per_group;
    const float *w = c->weights + (size_t)o * (size_t)(per_group * s->kernel_h * s->kernel_w);
    float sum = 0;
    double all = 0;
    for (int ky = 0; ky < s->kernel_h; ky++) {
        for (int kx = 0; kx < s->kernel_w; kx++) {
            const int y = oy * s->stride - s->pad + ky, x = ox * s->stride - s->pad + kx;
            for (int i = 0; i < per_group; i++, w++) {
                const float value = value_at(&c->in, n, y, x, first + i);
                sum = fmaf(value, *w, sum);
                all += (double)value * (double)*w;
            }
        }
    }
    sum += c->bias[o];
    all += (double)c->bias[o];
    if (s->add != PT_ADD_NONE) {
        sum += summand_of(c, n, oy, ox, o);
        all += (double)summand_of(c, n, oy, ox, o);
    }
    const bool clips = s->activation != PT_ACT_NONE, six = s->activation == PT_ACT_RELU6;
    *chain = clips && sum < 0 ? 0 : six && sum > 6 ? 6 : sum;
    *exact = clips && all < 0 ? 0 : six && all > 6 ? 6 : all;
}

f32_case f32_case_new(randoms *r, const pt_conv_spec *spec, int n, int h, int w, int summand_h, int summand_w)
{
    const int oh = pt_window_out(h, spec->kernel_h, spec->stride, spec->pad);
    const int ow = pt_window_out(w, spec->kernel_w, spec->stride, spec->pad);
    const size_t per_output = (size_t)(spec->kernel_h * spec->kernel_w * (spec->in_channels / spec->groups));
    f32_case c = {.spec = *spec};
    c.in = random_map(r, n, h, w, spec->in_channels);
    c.out = random_map(r, n, oh, ow, spec->out_channels);
    if (spec->add == PT_ADD_SAME) {
        c.summand = random_map(r, n, oh, ow, spec->out_channels);
    } else if (spec->add == PT_ADD_UPSAMPLED) {
        c.summand = random_map(r, n, summand_h, summand_w, spec->out_channels);
    }
    c.weights = random_block(r, (size_t)spec->out_channels * per_output, -1, 1);
    c.bias = random_block(r, (size_t)spec->out_channels, -1, 1);
    const size_t count = pt_map_count(&c.out), channels = (size_t)spec->out_channels;
    c.chain = pt_alloc(count, sizeof *c.chain);
    c.exact = pt_alloc(count, sizeof *c.exact);
    assert_non_null(c.chain);
    assert_non_null(c.exact);
    for (size_t i = 0; i < count; i++) {
        const int pixel = (int)(i / channels);
        compute(&c, pixel / (oh * ow), pixel / ow % oh, pixel % ow, (int)(i % channels), c.chain + i,
                c.exact + i);
    }
    return c;
}

void f32_case_free(f32_case *c)
{
    pt_free(c->in.data);
    pt_free(c->summand.data);
    pt_free(c->out.data);
    pt_free(c->weights);
    pt_free(c->bias);
    pt_free(c->chain);
    pt_free(c->exact);
}

static float *copy(const float *from, size_t count)
{
    float *block = pt_alloc_aligned(count, sizeof *block);
    assert_non_null(block);
    memcpy(block, from, count * sizeof *block);
    return block;
}

void f32_case_run(f32_case *c, pt_native_new *implementation, pt_isa isa, int threads, bool in_place)
{
    const pt_conv_spec *s = &c->spec;
    const size_t outputs = (size_t)s->out_channels, count = pt_map_count(&c->out);
    pt_backend *backend = NULL;
    assert_int_equal(pt_backend_native.open(threads, &backend).code, PT_OK);
    pt_native *native = (pt_native *)backend;
    pt_conv_weights weights = {
        .f32 = copy(c->weights, outputs * (size_t)(s->kernel_h * s->kernel_w * (s->in_channels / s->groups))),
        .bias = copy(c->bias, outputs)};
    pt_conv *conv = NULL;
    assert_int_equal(implementation(s, &weights, isa, &conv).code, PT_OK);
    pt_conv_weights_free(&weights);
    assert_int_equal(conv->ops->reserve(conv, native, c->in.n, c->in.h, c->in.w).code, PT_OK);
    const pt_map *summand = c->summand.data ? &c->summand : NULL;
    for (size_t i = 0; i < count; i++) {
        pt_map_f32(&c->out)[i] = NAN;
    }
    if (s->add == PT_ADD_SAME && in_place) {
        memcpy(c->out.data, c->summand.data, count * sizeof(float));
        summand = &c->out;
    }
    const long before = pt_alloc_count();
    conv->ops->run(conv, native, &c->in, summand, &c->out);
    assert_int_equal(pt_alloc_count(), before);
    assert_true(isnan(pt_map_f32(&c->out)[count]));
    conv->ops->free(conv);
    backend->ops->close(backend);
}
