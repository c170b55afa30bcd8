/* Layers on bytes: every version against backend.h's definition written out, byte by byte. */
#include "engine/backend/native/native_u8.h"
#include "tests/engine/kernels/random.h"
#include "tiling/base/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef struct layer {
    const char *name;
    int n, h, w, in, out, kernel, stride, pad, groups;
    pt_activation activation;
    pt_add add;
    pt_elem out_elem;
    bool extreme; /* all bytes 255, all weights -127 */
} layer;

static const layer layers[] = {
    {"1x1", 1, 9, 13, 64, 64, 1, 1, 0, 1, PT_ACT_RELU, PT_ADD_NONE, PT_U8, false},
    {"1x1 with odd channels", 2, 5, 7, 37, 83, 1, 1, 0, 1, PT_ACT_NONE, PT_ADD_NONE, PT_U8, false},
    {"1x1 plus itself", 1, 11, 9, 32, 256, 1, 1, 0, 1, PT_ACT_RELU, PT_ADD_SAME, PT_U8, false},
    {"1x1 plus itself, few channels", 1, 11, 9, 96, 24, 1, 1, 0, 1, PT_ACT_NONE, PT_ADD_SAME, PT_U8, false},
    {"1x1 plus upsampled", 2, 9, 14, 48, 128, 1, 1, 0, 1, PT_ACT_NONE, PT_ADD_UPSAMPLED, PT_U8, false},
    {"1x1 stride 2", 1, 15, 12, 64, 160, 1, 2, 0, 1, PT_ACT_NONE, PT_ADD_NONE, PT_U8, false},
    {"1x1 to floats", 3, 8, 8, 256, 15, 1, 1, 0, 1, PT_ACT_RELU6, PT_ADD_SAME, PT_F32, false},
    {"1x1 relu6", 1, 7, 7, 16, 96, 1, 1, 0, 1, PT_ACT_RELU6, PT_ADD_NONE, PT_U8, false},
    {"1x1 of many blocks", 1, 9, 25, 5, 1100, 1, 1, 0, 1, PT_ACT_RELU, PT_ADD_SAME, PT_U8, false},
    {"3x3", 1, 17, 30, 64, 64, 3, 1, 1, 1, PT_ACT_RELU, PT_ADD_NONE, PT_U8, false},
    {"3x3 over regions", 5, 14, 14, 32, 80, 3, 1, 1, 1, PT_ACT_RELU, PT_ADD_SAME, PT_U8, false},
    {"3x3 stride 2", 1, 33, 31, 24, 48, 3, 2, 1, 1, PT_ACT_RELU, PT_ADD_NONE, PT_U8, false},
    {"3x3 without pad to floats", 1, 6, 9, 20, 7, 3, 1, 0, 1, PT_ACT_NONE, PT_ADD_NONE, PT_F32, false},
    {"stem 7x7", 1, 45, 38, 4, 64, 7, 2, 3, 1, PT_ACT_RELU, PT_ADD_NONE, PT_U8, false},
    {"stem 3x3", 1, 33, 40, 4, 32, 3, 2, 1, 1, PT_ACT_RELU6, PT_ADD_NONE, PT_U8, false},
    {"grouped 3x3", 1, 10, 11, 24, 36, 3, 1, 1, 3, PT_ACT_RELU, PT_ADD_NONE, PT_U8, false},
    {"grouped 5x5 of odd channels", 1, 9, 9, 6, 10, 5, 2, 2, 2, PT_ACT_NONE, PT_ADD_NONE, PT_U8, false},
    {"fully connected", 67, 1, 1, 520, 100, 1, 1, 0, 1, PT_ACT_RELU, PT_ADD_NONE, PT_U8, false},
    {"long fully connected", 150, 1, 1, 4500, 88, 1, 1, 0, 1, PT_ACT_RELU, PT_ADD_NONE, PT_U8, false},
    {"long fully connected to floats", 3, 1, 1, 4610, 5, 1, 1, 0, 1, PT_ACT_NONE, PT_ADD_NONE, PT_F32, false},
    {"one pixel", 1, 1, 1, 8, 8, 3, 1, 1, 1, PT_ACT_NONE, PT_ADD_NONE, PT_U8, false},
    {"wide map", 1, 5, 301, 8, 16, 3, 1, 1, 1, PT_ACT_NONE, PT_ADD_NONE, PT_U8, false},
    {"many regions", 600, 2, 2, 12, 20, 1, 1, 0, 1, PT_ACT_RELU, PT_ADD_NONE, PT_U8, false},
    {"depthwise", 1, 21, 33, 96, 96, 3, 1, 1, 96, PT_ACT_RELU6, PT_ADD_NONE, PT_U8, false},
    {"depthwise stride 2", 2, 28, 31, 144, 144, 3, 2, 1, 144, PT_ACT_RELU6, PT_ADD_NONE, PT_U8, false},
    {"depthwise stride 2, even", 1, 6, 26, 64, 64, 3, 2, 1, 64, PT_ACT_RELU, PT_ADD_NONE, PT_U8, false},
    {"depthwise of odd channels", 3, 5, 14, 21, 21, 3, 1, 1, 21, PT_ACT_NONE, PT_ADD_NONE, PT_U8, false},
    {"depthwise, small", 2, 1, 2, 32, 32, 3, 1, 1, 32, PT_ACT_NONE, PT_ADD_NONE, PT_U8, false},
    {"depthwise, several strips", 1, 10, 290, 70, 70, 3, 1, 1, 70, PT_ACT_RELU, PT_ADD_NONE, PT_U8, false},
    {"depthwise stride 2, several strips", 1, 19, 275, 24, 24, 3, 2, 1, 24, PT_ACT_RELU6, PT_ADD_NONE, PT_U8,
     false},
    {"depthwise, all groups", 1, 9, 11, 130, 130, 3, 1, 1, 130, PT_ACT_NONE, PT_ADD_NONE, PT_U8, false},
    {"depthwise, four inside", 2, 9, 12, 64, 64, 3, 1, 1, 64, PT_ACT_RELU6, PT_ADD_NONE, PT_U8, false},
    {"depthwise to floats", 1, 5, 6, 8, 8, 3, 1, 1, 8, PT_ACT_NONE, PT_ADD_NONE, PT_F32, false},
    {"depthwise 5x5", 1, 9, 9, 6, 6, 5, 1, 2, 6, PT_ACT_NONE, PT_ADD_NONE, PT_U8, false},
    {"depthwise extremes", 1, 8, 16, 64, 64, 3, 1, 1, 64, PT_ACT_NONE, PT_ADD_NONE, PT_U8, true},
    {"extremes", 1, 6, 6, 512, 64, 3, 1, 1, 1, PT_ACT_NONE, PT_ADD_SAME, PT_U8, true},
    {"long extremes", 20, 1, 1, 12544, 64, 1, 1, 0, 1, PT_ACT_NONE, PT_ADD_NONE, PT_F32, true},
};
enum { LAYERS = sizeof layers / sizeof *layers };

typedef struct sample {
    pt_conv_spec spec;
    pt_map in, summand, out, wanted;
    pt_conv_weights weights;
} sample;

static pt_map new_map(int n, int h, int w, int c, pt_elem elem, pt_quant quant)
{
    pt_map map = {.n = n, .h = h, .w = w, .c = c, .elem = elem, .quant = quant};
    map.data = pt_alloc_aligned(pt_map_bytes(&map) + PT_MAP_SLACK, 1);
    assert_non_null(map.data);
    memset(map.data, 0xAB, pt_map_bytes(&map) + PT_MAP_SLACK);
    return map;
}

static void fill_map(randoms *r, pt_map *map, bool extreme)
{
    for (size_t i = 0; i < pt_map_count(map); i++) {
        if (map->elem == PT_U8) {
            pt_map_u8(map)[i] = extreme ? 255 : (uint8_t)random_int(r, 0, 255);
        } else {
            pt_map_f32(map)[i] = random_float(r, -5, 5);
        }
    }
}

static void fill_weights(randoms *r, const layer *l, pt_conv_weights *weights)
{
    size_t each = (size_t)(l->in / l->groups * l->kernel * l->kernel);
    weights->s8 = pt_alloc_aligned((size_t)l->out * each, 1);
    weights->scale = pt_alloc_aligned((size_t)l->out, sizeof(float));
    weights->bias = pt_alloc_aligned((size_t)l->out, sizeof(float));
    for (size_t i = 0; i < (size_t)l->out * each; i++) {
        weights->s8[i] = l->extreme ? -127 : (int8_t)random_int(r, -127, 127);
    }
    for (int o = 0; o < l->out; o++) {
        weights->scale[o] = random_float(r, 0.2f, 1.0f) / (80.0f * sqrtf((float)each));
        weights->bias[o] = random_float(r, -1, 1);
    }
}

static sample new_sample(const layer *l)
{
    randoms r = {7 + (uint64_t)(l - layers)};
    sample s = {.spec = {.in_channels = l->in,
                         .out_channels = l->out,
                         .kernel_h = l->kernel,
                         .kernel_w = l->kernel,
                         .stride = l->stride,
                         .pad = l->pad,
                         .groups = l->groups,
                         .activation = l->activation,
                         .add = l->add,
                         .in_elem = PT_U8,
                         .out_elem = l->out_elem,
                         .in = {0.021f, random_int(&r, 0, 255)},
                         .sum = {0.033f, random_int(&r, 0, 255)},
                         .out = {0.027f, random_int(&r, 0, 200)}}};
    for (int c = 0; c < 4; c++) {
        s.spec.outside[c] = (uint8_t)(l->in == 4 ? random_int(&r, 0, 255) : s.spec.in.zero);
    }
    int oh = pt_window_out(l->h, l->kernel, l->stride, l->pad);
    int ow = pt_window_out(l->w, l->kernel, l->stride, l->pad);
    s.in = new_map(l->n, l->h, l->w, l->in, PT_U8, s.spec.in);
    s.out = new_map(l->n, oh, ow, l->out, l->out_elem, s.spec.out);
    s.wanted = new_map(l->n, oh, ow, l->out, l->out_elem, s.spec.out);
    bool half = l->add == PT_ADD_UPSAMPLED;
    s.summand = new_map(l->n, half ? oh / 2 + 1 : oh, half ? ow / 2 : ow, l->out, l->out_elem, s.spec.sum);
    fill_map(&r, &s.in, l->extreme);
    fill_map(&r, &s.summand, l->extreme);
    fill_weights(&r, l, &s.weights);
    return s;
}

static void free_sample(sample *s)
{
    pt_free(s->in.data);
    pt_free(s->out.data);
    pt_free(s->wanted.data);
    pt_free(s->summand.data);
    pt_conv_weights_free(&s->weights);
}

static pt_conv_weights copy_weights(const sample *s)
{
    size_t out = (size_t)s->spec.out_channels;
    size_t count = out * (size_t)(s->spec.in_channels / s->spec.groups * s->spec.kernel_h * s->spec.kernel_w);
    pt_conv_weights copy = {.s8 = pt_alloc_aligned(count, 1),
                            .scale = pt_alloc_aligned(out, sizeof(float)),
                            .bias = pt_alloc_aligned(out, sizeof(float))};
    memcpy(copy.s8, s->weights.s8, count);
    memcpy(copy.scale, s->weights.scale, out * sizeof(float));
    memcpy(copy.bias, s->weights.bias, out * sizeof(float));
    return copy;
}

static int64_t wanted_sum(const sample *s, int n, int y, int x, int o)
{
    const pt_conv_spec *c = &s->spec;
    int in_group = c->in_channels / c->groups, first = o / (c->out_channels / c->groups) * in_group;
    const int8_t *w = s->weights.s8 + (size_t)o * (size_t)(in_group * c->kernel_h * c->kernel_w);
    int64_t sum = 0;
    for (int ky = 0; ky < c->kernel_h; ky++) {
        for (int kx = 0; kx < c->kernel_w; kx++) {
            int iy = y * c->stride - c->pad + ky, ix = x * c->stride - c->pad + kx;
            bool inside = iy >= 0 && iy < s->in.h && ix >= 0 && ix < s->in.w;
            for (int i = 0; i < in_group; i++, w++) {
                size_t at = (((size_t)n * (size_t)s->in.h + (size_t)iy) * (size_t)s->in.w + (size_t)ix) *
                                (size_t)c->in_channels +
                            (size_t)(first + i);
                int q = inside ? pt_map_u8(&s->in)[at] : c->outside[(first + i) % 4];
                sum += (q - c->in.zero) * *w;
            }
        }
    }
    return sum;
}

static size_t summand_at(const sample *s, int n, int y, int x, int o)
{
    const pt_map *m = &s->summand;
    int sy = s->spec.add == PT_ADD_UPSAMPLED ? y * m->h / s->out.h : y;
    int sx = s->spec.add == PT_ADD_UPSAMPLED ? x * m->w / s->out.w : x;
    return (((size_t)n * (size_t)m->h + (size_t)sy) * (size_t)m->w + (size_t)sx) * (size_t)m->c + (size_t)o;
}

static float wanted_real(const sample *s, int n, int y, int x, int o)
{
    int64_t sum = wanted_sum(s, n, y, x, o);
    assert_true(sum == (int32_t)sum);
    float real = fmaf((float)(int32_t)sum, s->spec.in.scale * s->weights.scale[o], s->weights.bias[o]);
    if (s->spec.add != PT_ADD_NONE) {
        size_t at = summand_at(s, n, y, x, o);
        real = s->spec.out_elem == PT_F32
                   ? real + pt_map_f32(&s->summand)[at]
                   : fmaf((float)(pt_map_u8(&s->summand)[at] - s->spec.sum.zero), s->spec.sum.scale, real);
    }
    if (s->spec.activation != PT_ACT_NONE && !(real > 0)) {
        real = 0;
    }
    if (s->spec.activation == PT_ACT_RELU6 && real > 6) {
        real = 6;
    }
    return real;
}

static void fill_wanted(sample *s)
{
    size_t at = 0;
    for (int n = 0; n < s->wanted.n; n++) {
        for (int y = 0; y < s->wanted.h; y++) {
            for (int x = 0; x < s->wanted.w; x++) {
                for (int o = 0; o < s->wanted.c; o++, at++) {
                    float real = wanted_real(s, n, y, x, o);
                    if (s->wanted.elem == PT_F32) {
                        pt_map_f32(&s->wanted)[at] = real;
                        continue;
                    }
                    double q = rint((double)(real * (1.0f / s->spec.out.scale))) + s->spec.out.zero;
                    pt_map_u8(&s->wanted)[at] = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
                }
            }
        }
    }
}

static void check_equal(const sample *s, const layer *l, const char *version)
{
    size_t bytes = pt_map_bytes(&s->out);
    for (size_t i = 0; i < bytes; i++) {
        if (pt_map_u8(&s->out)[i] != pt_map_u8(&s->wanted)[i]) {
            fail_msg("%s, %s: byte %zu of %zu is %d, not %d", l->name, version, i, bytes,
                     pt_map_u8(&s->out)[i], pt_map_u8(&s->wanted)[i]);
        }
    }
    for (size_t i = 0; i < PT_MAP_SLACK; i++) {
        assert_int_equal(pt_map_u8(&s->out)[bytes + i], 0xAB); /* nothing was written beyond the map */
    }
}

static void run_sample(pt_backend *backend, sample *s, pt_native_new *make, const layer *l, pt_isa isa)
{
    pt_conv_weights weights = copy_weights(s);
    pt_conv *conv = NULL;
    assert_int_equal(make(&s->spec, &weights, isa, &conv).code, PT_OK);
    pt_conv_weights_free(&weights);
    assert_int_equal(backend->ops->conv_reserve(backend, conv, l->n, l->h, l->w).code, PT_OK);
    bool in_place = s->spec.add == PT_ADD_SAME;
    if (in_place) {
        memcpy(s->out.data, s->summand.data, pt_map_bytes(&s->out));
    } else {
        memset(s->out.data, 0x55, pt_map_bytes(&s->out));
    }
    const pt_map *summand = s->spec.add == PT_ADD_NONE ? NULL : in_place ? &s->out : &s->summand;
    backend->ops->conv_run(backend, conv, &s->in, summand, &s->out);
    check_equal(s, l, pt_isa_name(isa));
    assert_true(backend->ops->conv_bytes(conv) > 0);
    assert_non_null(strstr(backend->ops->conv_method(conv), "u8"));
    backend->ops->conv_free(backend, conv);
}

/* Every layer, by every version that this CPU has, with one thread and with three. */
static void test_all_versions_compute_the_definition(void **state)
{
    (void)state;
    pt_backend *backends[2];
    assert_int_equal(pt_backend_native.open(1, &backends[0]).code, PT_OK);
    assert_int_equal(pt_backend_native.open(3, &backends[1]).code, PT_OK);
    for (int i = 0; i < LAYERS; i++) {
        sample s = new_sample(&layers[i]);
        fill_wanted(&s);
        for (int isa = PT_ISA_C; isa <= (int)pt_isa_best(); isa++) {
            for (int b = 0; b < 2; b++) {
                run_sample(backends[b], &s, pt_native_u8_new, &layers[i], (pt_isa)isa);
            }
        }
        free_sample(&s);
    }
    pt_backend_native.close(backends[0]);
    pt_backend_native.close(backends[1]);
}

/* Fewer images than were reserved, and other counts of them, read what was reserved and no more. */
static void test_fewer_images_than_reserved(void **state)
{
    (void)state;
    pt_backend *backend = NULL;
    assert_int_equal(pt_backend_native.open(1, &backend).code, PT_OK);
    layer l = {"regions", 40, 4, 4, 600, 40, 1, 1, 0, 1, PT_ACT_NONE, PT_ADD_NONE, PT_U8, false};
    sample s = new_sample(&l);
    fill_wanted(&s);
    for (int isa = PT_ISA_C; isa <= (int)pt_isa_best(); isa++) {
        pt_conv_weights weights = copy_weights(&s);
        pt_conv *conv = NULL;
        assert_int_equal(pt_native_u8_dense_new(&s.spec, &weights, (pt_isa)isa, &conv).code, PT_OK);
        pt_conv_weights_free(&weights);
        assert_int_equal(backend->ops->conv_reserve(backend, conv, 40, 4, 4).code, PT_OK);
        for (int n = 1; n <= 40; n += 3) {
            pt_map in = s.in, out = s.out;
            in.n = out.n = n;
            memset(out.data, 0x55, pt_map_bytes(&out));
            backend->ops->conv_run(backend, conv, &in, NULL, &out);
            assert_memory_equal(out.data, s.wanted.data, pt_map_bytes(&out));
        }
        backend->ops->conv_free(backend, conv);
    }
    free_sample(&s);
    pt_backend_native.close(backend);
}

static void test_failed_allocations(void **state)
{
    (void)state;
    pt_backend *backend = NULL;
    layer l = {"3x3", 1, 8, 8, 16, 40, 3, 1, 1, 1, PT_ACT_RELU, PT_ADD_NONE, PT_U8, false};
    sample s = new_sample(&l);
    pt_code code = PT_E_NOMEM;
    for (long n = 0; code == PT_E_NOMEM; n++) {
        pt_conv_weights weights = copy_weights(&s);
        pt_conv *conv = NULL;
        backend = NULL;
        pt_alloc_fail_after(n);
        code = pt_backend_native.open(1, &backend).code;
        if (code == PT_OK) {
            code = backend->ops->conv_new(backend, &s.spec, &weights, &conv).code;
            assert_null(weights.s8);
        }
        if (code == PT_OK) {
            code = backend->ops->conv_reserve(backend, conv, l.n, l.h, l.w).code;
        }
        pt_alloc_fail_after(-1);
        assert_true(code == PT_OK || code == PT_E_NOMEM);
        assert_true(n < 100);
        if (conv) {
            backend->ops->conv_free(backend, conv);
        }
        pt_conv_weights_free(&weights);
        if (backend) {
            pt_backend_native.close(backend);
        }
    }
    free_sample(&s);
}

static void test_kernels_beyond_the_limit_are_refused(void **state)
{
    (void)state;
    pt_backend *backend = NULL;
    assert_int_equal(pt_backend_native.open(1, &backend).code, PT_OK);
    layer l = {"9x9", 1, 9, 9, 4, 4, 9, 1, 4, 1, PT_ACT_NONE, PT_ADD_NONE, PT_U8, false};
    sample s = new_sample(&l);
    pt_conv *conv = NULL;
    pt_status status = backend->ops->conv_new(backend, &s.spec, &s.weights, &conv);
    assert_int_equal(status.code, PT_E_UNSUPPORTED);
    assert_non_null(strstr(status.message, "9 x 9"));
    assert_null(conv);
    assert_null(s.weights.s8);
    free_sample(&s);
    pt_backend_native.close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_versions_compute_the_definition),
        cmocka_unit_test(test_fewer_images_than_reserved),
        cmocka_unit_test(test_failed_allocations),
        cmocka_unit_test(test_kernels_beyond_the_limit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
