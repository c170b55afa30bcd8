/* Convolutions on matrix tiles against direct loops, byte for byte: on emulated tiles everywhere that has
 * AVX-512, on real ones where the CPU has them. */
#include "engine/backend/native/native_u8_amx.h"
#include "tests/engine/kernels/random.h"
#include "tiling/base/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct layer {
    pt_conv_spec spec;
    int n, h, w;
    pt_map in, summand, out;
    pt_conv_weights weights;
} layer;

static void *random_map(randoms *r, pt_map *map)
{
    size_t bytes = pt_map_bytes(map);
    map->data = pt_alloc_aligned(bytes + PT_MAP_SLACK, 1);
    assert_non_null(map->data);
    memset(map->data, 0xa5, bytes + PT_MAP_SLACK);
    if (map->elem == PT_F32) {
        random_fill(r, map->data, pt_map_count(map), -3, 3);
    } else {
        for (size_t i = 0; i < bytes; i++) {
            pt_map_u8(map)[i] = (uint8_t)random_bits(r);
        }
    }
    return map->data;
}

static void random_weights(randoms *r, layer *l, bool extreme)
{
    const pt_conv_spec *s = &l->spec;
    size_t depth = (size_t)(s->kernel_h * s->kernel_w * s->in_channels), outs = (size_t)s->out_channels;
    l->weights.s8 = pt_alloc_aligned(outs * depth, 1);
    l->weights.scale = pt_alloc_aligned(outs, sizeof(float));
    l->weights.bias = pt_alloc_aligned(outs, sizeof(float));
    assert_non_null(l->weights.s8);
    for (size_t i = 0; i < outs * depth; i++) {
        l->weights.s8[i] = (int8_t)(extreme ? -127 : random_int(r, -127, 127));
    }
    random_fill(r, l->weights.scale, outs, 0.0001f, 0.002f);
    random_fill(r, l->weights.bias, outs, -2, 2);
}

static layer make_layer(randoms *r, pt_conv_spec spec, int n, int h, int w, bool extreme)
{
    layer l = {.spec = spec, .n = n, .h = h, .w = w};
    l.spec.in = (pt_quant){0.02f, random_int(r, 0, 255)};
    l.spec.sum = (pt_quant){0.05f, random_int(r, 0, 255)};
    l.spec.out = (pt_quant){0.04f, random_int(r, 0, 255)};
    for (int c = 0; c < 4; c++) {
        l.spec.outside[c] = (uint8_t)(random_int(r, 0, 1) ? random_int(r, 0, 255) : l.spec.in.zero);
    }
    l.in = (pt_map){NULL, n, h, w, spec.in_channels, PT_U8, l.spec.in};
    l.out = (pt_map){NULL,
                     n,
                     pt_window_out(h, spec.kernel_h, spec.stride, spec.pad),
                     pt_window_out(w, spec.kernel_w, spec.stride, spec.pad),
                     spec.out_channels,
                     spec.out_elem,
                     l.spec.out};
    l.summand = l.out;
    if (spec.add == PT_ADD_UPSAMPLED) {
        l.summand.h = (l.out.h + 1) / 2;
        l.summand.w = (l.out.w + 1) / 2;
    }
    random_map(r, &l.in);
    random_map(r, &l.out);
    random_map(r, &l.summand);
    if (extreme) {
        memset(l.in.data, 255, pt_map_bytes(&l.in));
    }
    random_weights(r, &l, extreme);
    return l;
}

static void free_layer(layer *l)
{
    pt_free(l->in.data);
    pt_free(l->out.data);
    pt_free(l->summand.data);
    pt_free(l->weights.s8);
    pt_free(l->weights.scale);
    pt_free(l->weights.bias);
}

static int32_t exact_sum(const layer *l, int o, int n, int oy, int ox)
{
    const pt_conv_spec *s = &l->spec;
    const int8_t *w = l->weights.s8 + (size_t)o * (size_t)(s->kernel_h * s->kernel_w * s->in_channels);
    int32_t sum = 0;
    for (int ky = 0; ky < s->kernel_h; ky++) {
        for (int kx = 0; kx < s->kernel_w; kx++) {
            int y = oy * s->stride - s->pad + ky, x = ox * s->stride - s->pad + kx;
            bool inside = y >= 0 && y < l->h && x >= 0 && x < l->w;
            for (int c = 0; c < s->in_channels; c++, w++) {
                size_t at = (((size_t)n * (size_t)l->h + (size_t)y) * (size_t)l->w + (size_t)x) *
                                (size_t)s->in_channels +
                            (size_t)c;
                sum += ((inside ? pt_map_u8(&l->in)[at] : s->outside[c % 4]) - s->in.zero) * *w;
            }
        }
    }
    return sum;
}

static float exact_output(const layer *l, int o, int n, int oy, int ox)
{
    const pt_conv_spec *s = &l->spec;
    float y = fmaf((float)exact_sum(l, o, n, oy, ox), s->in.scale * l->weights.scale[o], l->weights.bias[o]);
    if (s->add != PT_ADD_NONE) {
        const pt_map *m = &l->summand;
        size_t sy = (size_t)(oy * m->h / l->out.h), sx = (size_t)(ox * m->w / l->out.w);
        size_t at =
            (((size_t)n * (size_t)m->h + sy) * (size_t)m->w + sx) * (size_t)s->out_channels + (size_t)o;
        y = m->elem == PT_F32 ? y + pt_map_f32(m)[at]
                              : fmaf((float)(pt_map_u8(m)[at] - s->sum.zero), s->sum.scale, y);
    }
    y = s->activation != PT_ACT_NONE && y < 0 ? 0 : y;
    return s->activation == PT_ACT_RELU6 && y > 6 ? 6 : y;
}

static uint8_t exact_byte(const layer *l, float y)
{
    float q = rintf(y * (1.0f / l->spec.out.scale)) + (float)l->spec.out.zero;
    return (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
}

static void check_output(const layer *l)
{
    const pt_map *out = &l->out;
    for (size_t i = 0; i < pt_map_count(out); i++) {
        size_t pixel = i / (size_t)out->c;
        int o = (int)(i % (size_t)out->c), x = (int)(pixel % (size_t)out->w);
        int y = (int)(pixel / (size_t)out->w % (size_t)out->h);
        float exact = exact_output(l, o, (int)(pixel / (size_t)out->w / (size_t)out->h), y, x);
        if (out->elem == PT_F32) {
            assert_memory_equal(&pt_map_f32(out)[i], &exact, sizeof exact);
        } else {
            assert_int_equal(pt_map_u8(out)[i], exact_byte(l, exact));
        }
    }
    for (size_t i = 0; i < PT_MAP_SLACK; i++) {
        assert_int_equal(pt_map_u8(out)[pt_map_bytes(out) + i], 0xa5);
    }
}

static void run_layer(layer *l, const pt_k_amx *kernels, int threads)
{
    pt_native native = {0};
    pt_conv *conv = NULL;
    assert_int_equal(pt_pool_new(threads, &native.base.pool).code, PT_OK);
    assert_int_equal(pt_native_u8_amx_new(&l->spec, &l->weights, kernels, &conv).code, PT_OK);
    assert_int_equal(conv->ops->reserve(conv, &native, l->n + 1, l->h, l->w).code, PT_OK);
    conv->ops->run(conv, &native, &l->in, l->spec.add == PT_ADD_NONE ? NULL : &l->summand, &l->out);
    check_output(l);
    conv->ops->free(conv);
    pt_pool_free(&native.base.pool);
    pt_free(native.scratch);
}

static pt_conv_spec random_spec(randoms *r)
{
    pt_conv_spec s = {.groups = 1,
                      .kernel_h = random_int(r, 0, 1) ? 1 : 3,
                      .stride = random_int(r, 1, 2),
                      .in_channels = random_int(r, 1, 140),
                      .out_channels = random_int(r, 1, 70),
                      .activation = (pt_activation)random_int(r, 0, 2),
                      .add = (pt_add)random_int(r, 0, 2),
                      .in_elem = PT_U8,
                      .out_elem = random_int(r, 0, 3) ? PT_U8 : PT_F32};
    s.kernel_w = s.kernel_h;
    s.pad = s.kernel_h / 2;
    return s;
}

static const pt_k_amx *kernels_here(void)
{
    return pt_k_amx_for(pt_isa_best());
}

static void test_random_layers(void **state)
{
    (void)state;
    randoms r = {11};
    for (int i = 0; i < 40; i++) {
        layer l = make_layer(&r, random_spec(&r), random_int(&r, 1, 3), random_int(&r, 1, 19),
                             random_int(&r, 1, 45), i == 7);
        run_layer(&l, &pt_k_amx_emulated, 1 + i % 3);
        if (kernels_here()) {
            run_layer(&l, kernels_here(), 2);
        }
        free_layer(&l);
    }
}

/* Deep enough to be computed in passes; rows are not a multiple of a block. */
static void test_deep_layer(void **state)
{
    (void)state;
    randoms r = {12};
    pt_conv_spec s = {.groups = 1,
                      .kernel_h = 1,
                      .kernel_w = 1,
                      .stride = 1,
                      .in_channels = 64 * 65 + 3,
                      .out_channels = 300,
                      .activation = PT_ACT_RELU,
                      .in_elem = PT_U8,
                      .out_elem = PT_U8};
    layer l = make_layer(&r, s, 37, 1, 1, false);
    run_layer(&l, &pt_k_amx_emulated, 2);
    if (kernels_here()) {
        run_layer(&l, kernels_here(), 2);
    }
    free_layer(&l);
}

static void test_no_memory(void **state)
{
    (void)state;
    randoms r = {13};
    layer l = make_layer(&r, random_spec(&r), 1, 4, 4, false);
    for (int i = 0; i < 5; i++) {
        pt_conv *conv = NULL;
        pt_alloc_fail_after(i);
        pt_status status = pt_native_u8_amx_new(&l.spec, &l.weights, &pt_k_amx_emulated, &conv);
        pt_alloc_fail_after(-1);
        assert_int_equal(status.code, PT_E_NOMEM);
        assert_null(conv);
    }
    free_layer(&l);
}

static void test_suits(void **state)
{
    (void)state;
    pt_conv_spec s = {.groups = 1, .kernel_h = 3, .kernel_w = 3, .in_channels = 64, .in_elem = PT_U8};
    assert_true(pt_native_u8_amx_suits(&s));
    s.groups = 64;
    assert_false(pt_native_u8_amx_suits(&s));
    s.groups = 1;
    s.in_channels = 4;
    assert_false(pt_native_u8_amx_suits(&s));
    s.in_channels = 64;
    s.in_elem = PT_F32;
    assert_false(pt_native_u8_amx_suits(&s));
}

int main(void)
{
    if (pt_isa_best() < PT_ISA_AVX512) {
        print_message("left out: the emulated tiles' epilogue needs AVX-512\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_layers),
        cmocka_unit_test(test_deep_layer),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_suits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
