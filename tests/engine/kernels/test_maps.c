/* Operators on whole maps against the plainest loops that say the same; the own exp against libm's double. */
#include "engine/kernels/exp.h"
#include "engine/ops/maps.h"
#include "engine/ops/mask_logits.h"
#include "tests/engine/kernels/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static pt_pool *pool;

static int make_pool(void **state)
{
    (void)state;
    return pt_pool_new(3, &pool).code;
}

static int free_pool(void **state)
{
    (void)state;
    pt_pool_free(&pool);
    return 0;
}

static pt_map make_map(randoms *r, pt_elem elem, int n, int h, int w, int c)
{
    pt_map map = {.n = n, .h = h, .w = w, .c = c, .elem = elem, .quant = {1, 0}};
    map.data = calloc(pt_map_count(&map) + 1, sizeof(float));
    assert_non_null(map.data);
    for (size_t i = 0; i < pt_map_count(&map); i++) {
        if (elem == PT_F32) {
            pt_map_f32(&map)[i] = random_float(r, -9, 9);
        } else {
            pt_map_u8(&map)[i] = (uint8_t)random_int(r, 0, 255);
        }
    }
    return map;
}

static size_t place(const pt_map *map, int n, int y, int x, int c)
{
    return (((size_t)n * (size_t)map->h + (size_t)y) * (size_t)map->w + (size_t)x) * (size_t)map->c +
           (size_t)c;
}

static void test_window_out(void **state)
{
    (void)state;
    assert_int_equal(pt_window_out(224, 7, 2, 3), 112);
    assert_int_equal(pt_window_out(7, 3, 2, 1), 4);
    assert_int_equal(pt_window_out(1, 1, 2, 0), 1);
    assert_int_equal(pt_window_out(2, 3, 1, 0), 0);
}

static void test_image(void **state)
{
    (void)state;
    randoms r = {40};
    for (int round = 0; round < 60; round++) {
        int w = random_int(&r, 1, 150), h = random_int(&r, 1, 40), row = 3 * w + random_int(&r, 0, 9);
        pt_image_rule rule = {.outside = {10, 20, 30, 0}};
        random_fill(&r, rule.table[0], 3 * 256, -3, 3);
        pt_map rgb = make_map(&r, PT_U8, 1, h, row, 1);
        pt_map out = make_map(&r, round % 2 ? PT_F32 : PT_U8, 1, h + random_int(&r, 0, 9),
                              w + random_int(&r, 0, 31), round % 2 ? 3 : 4);
        pt_op_image(pool, &rule, pt_map_u8(&rgb), row, w, h, &out);
        for (size_t i = 0; i < pt_map_count(&out); i++) {
            int c = (int)(i % (size_t)out.c), x = (int)(i / (size_t)out.c) % out.w;
            int y = (int)(i / (size_t)out.c) / out.w;
            bool inside = x < w && y < h;
            int byte = inside && c < 3 ? pt_map_u8(&rgb)[y * row + 3 * x + c] : 0;
            if (out.elem == PT_F32) {
                assert_true(pt_map_f32(&out)[i] == (inside ? rule.table[c][byte] : 0));
            } else {
                assert_int_equal(pt_map_u8(&out)[i], inside ? byte : rule.outside[c]);
            }
        }
        free(rgb.data);
        free(out.data);
    }
}

static double largest(const pt_map *in, int n, int y0, int x0, int kernel, int c)
{
    double top = -INFINITY;
    for (int y = y0 < 0 ? 0 : y0; y < y0 + kernel && y < in->h; y++) {
        for (int x = x0 < 0 ? 0 : x0; x < x0 + kernel && x < in->w; x++) {
            size_t i = place(in, n, y, x, c);
            top = fmax(top, in->elem == PT_F32 ? (double)pt_map_f32(in)[i] : (double)pt_map_u8(in)[i]);
        }
    }
    return top;
}

static void test_max_pool(void **state)
{
    (void)state;
    randoms r = {41};
    for (int round = 0; round < 300; round++) {
        bool usual = round % 3 > 0;
        pt_elem elem = round % 2 ? PT_F32 : PT_U8;
        int kernel = usual ? 3 : random_int(&r, 1, 4), stride = usual ? 2 : random_int(&r, 1, 3);
        int pad = usual ? 1 : kernel / 2;
        pt_map in = make_map(&r, elem, random_int(&r, 1, 2), random_int(&r, 1, 20), random_int(&r, 1, 20),
                             random_int(&r, 1, 70));
        int oh = pt_window_out(in.h, kernel, stride, pad), ow = pt_window_out(in.w, kernel, stride, pad);
        if (oh > 0 && ow > 0) {
            pt_map out = make_map(&r, elem, in.n, oh, ow, in.c);
            pt_op_max_pool(pool, &in, kernel, stride, pad, &out);
            for (size_t i = 0; i < pt_map_count(&out); i++) {
                size_t pixel = i / (size_t)in.c;
                int x = (int)(pixel % (size_t)ow), y = (int)(pixel / (size_t)ow) % oh;
                int n = (int)pixel / (oh * ow);
                double top = largest(&in, n, y * stride - pad, x * stride - pad, kernel, (int)i % in.c);
                assert_true(top ==
                            (elem == PT_F32 ? (double)pt_map_f32(&out)[i] : (double)pt_map_u8(&out)[i]));
            }
            free(out.data);
        }
        free(in.data);
    }
}

static uint8_t quantised(float v, pt_quant quant)
{
    float q = rintf(v * (1 / quant.scale)) + (float)quant.zero;
    return (uint8_t)(q > 255 ? 255 : q > 0 ? q : 0);
}

static void test_convert(void **state)
{
    (void)state;
    randoms r = {42};
    for (int round = 0; round < 40; round++) {
        int h = random_int(&r, 1, 60), c = random_int(&r, 1, 40);
        pt_map floats = make_map(&r, PT_F32, 1, h, 31, c), bytes = make_map(&r, PT_U8, 1, h, 31, c);
        pt_map back = make_map(&r, PT_F32, 1, h, 31, c), others = make_map(&r, PT_U8, 1, h, 31, c);
        bytes.quant = (pt_quant){random_float(&r, .01f, .1f), random_int(&r, 0, 255)};
        others.quant = (pt_quant){random_float(&r, .01f, .1f), random_int(&r, 0, 255)};
        pt_map_f32(&floats)[0] = 1e30f;
        pt_map_f32(&floats)[1] = -INFINITY;
        pt_op_convert(pool, &floats, &bytes);
        pt_op_convert(pool, &bytes, &back);
        pt_op_convert(pool, &bytes, &others);
        for (size_t i = 0; i < pt_map_count(&floats); i++) {
            uint8_t q = pt_map_u8(&bytes)[i];
            float v = (float)(q - bytes.quant.zero) * bytes.quant.scale;
            assert_int_equal(q, quantised(pt_map_f32(&floats)[i], bytes.quant));
            assert_true(pt_map_f32(&back)[i] == v);
            assert_int_equal(pt_map_u8(&others)[i], quantised(v, others.quant));
        }
        pt_op_convert(pool, &floats, &back);
        assert_memory_equal(back.data, floats.data, pt_map_bytes(&floats));
        pt_map_f32(&floats)[0] = NAN;
        pt_op_convert(pool, &floats, &bytes);
        assert_int_equal(pt_map_u8(&bytes)[0], 0);
        free(floats.data);
        free(bytes.data);
        free(back.data);
        free(others.data);
    }
}

static void test_unfused(void **state)
{
    (void)state;
    randoms r = {43};
    for (int round = 0; round < 20; round++) {
        int n = random_int(&r, 1, 2), h = random_int(&r, 1, 80), w = random_int(&r, 1, 30);
        int c = random_int(&r, 1, 20);
        pt_map a = make_map(&r, PT_F32, n, h, w, c), b = make_map(&r, PT_F32, n, h, w, c);
        pt_map out = make_map(&r, PT_F32, n, h, w, c);
        float scale[20], shift[20];
        random_fill(&r, scale, 20, -2, 2);
        random_fill(&r, shift, 20, -2, 2);
        const float *x = pt_map_f32(&a), *y = pt_map_f32(&b), *z = pt_map_f32(&out);
        pt_op_affine(pool, &a, scale, shift, &out);
        for (size_t i = 0; i < pt_map_count(&a); i++) {
            size_t channel = i % (size_t)c;
            assert_true(z[i] == x[i] * scale[channel] + shift[channel]);
        }
        pt_op_activate(pool, &a, (pt_activation)(round % 3), &out);
        for (size_t i = 0; i < pt_map_count(&a); i++) {
            float v = round % 3 && x[i] < 0 ? 0 : x[i];
            assert_true(z[i] == (round % 3 == PT_ACT_RELU6 && v > 6 ? 6 : v));
        }
        pt_op_add(pool, &a, &b, &out);
        for (size_t i = 0; i < pt_map_count(&a); i++) {
            assert_true(z[i] == x[i] + y[i]);
        }
        free(a.data);
        free(b.data);
        free(out.data);
    }
}

static void test_upsample(void **state)
{
    (void)state;
    randoms r = {44};
    for (int round = 0; round < 60; round++) {
        pt_map in = make_map(&r, PT_F32, random_int(&r, 1, 2), random_int(&r, 1, 9), random_int(&r, 1, 9), 5);
        pt_map out = make_map(&r, PT_F32, in.n, round % 2 ? 2 * in.h : random_int(&r, 1, 20),
                              round % 2 ? 2 * in.w : random_int(&r, 1, 20), 5);
        pt_op_upsample(pool, &in, &out);
        for (int i = 0; i < out.n * out.h * out.w; i++) {
            int x = i % out.w, y = i / out.w % out.h, n = i / (out.w * out.h);
            size_t from = place(&in, n, y * in.h / out.h, x * in.w / out.w, 0);
            assert_memory_equal(pt_map_f32(&out) + 5 * i, pt_map_f32(&in) + from, 5 * sizeof(float));
        }
        free(in.data);
        free(out.data);
    }
}

static void test_concat(void **state)
{
    (void)state;
    randoms r = {45};
    pt_map parts[3], out = make_map(&r, PT_F32, 2, 30, 41, 3 + 1 + 17);
    const pt_map *pointers[3] = {&parts[0], &parts[1], &parts[2]};
    const int channels[3] = {3, 1, 17};
    for (int i = 0; i < 3; i++) {
        parts[i] = make_map(&r, PT_F32, 2, 30, 41, channels[i]);
    }
    pt_op_concat(pool, pointers, 3, &out);
    for (size_t p = 0; p < pt_map_pixels(&out); p++) {
        const float *pixel = pt_map_f32(&out) + 21 * p;
        assert_memory_equal(pixel, pt_map_f32(&parts[0]) + 3 * p, 3 * sizeof(float));
        assert_true(pixel[3] == pt_map_f32(&parts[1])[p]);
        assert_memory_equal(pixel + 4, pt_map_f32(&parts[2]) + 17 * p, 17 * sizeof(float));
    }
    for (int i = 0; i < 3; i++) {
        free(parts[i].data);
    }
    free(out.data);
}

static void test_exp(void **state)
{
    (void)state;
    double worst = 0;
    for (uint32_t i = 0; i < 4000000; i++) {
        float x = -87.33f + (float)i * (176.05f / 4000000);
        double exact = exp((double)x);
        double unit = ldexp(1, ilogb(exact) - 23);
        worst = fmax(worst, fabs((double)pt_exp(x) - exact) / unit);
    }
    assert_true(worst < 1);
    assert_true(pt_exp(0) == 1 && pt_exp(-0.0f) == 1);
    assert_true(pt_exp(-88) == 0 && pt_exp(-INFINITY) == 0 && pt_exp(-1e30f) == 0);
    assert_true(pt_exp(88.73f) == INFINITY && pt_exp(INFINITY) == INFINITY);
    assert_true(isnan(pt_exp(NAN)) && isnan(pt_exp(-NAN)));
}

static void test_sigmoid(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    randoms r = {46};
    float in[COUNT], out[COUNT];
    random_fill(&r, in, COUNT, -20, 20);
    in[0] = 0;
    in[1] = 200;
    in[2] = -200;
    memcpy(out, in, sizeof out);
    pt_op_sigmoid(pool, out, COUNT);
    for (int i = 0; i < COUNT; i++) {
        double exact = 1 / (1 + exp(-(double)in[i]));
        assert_true(fabs((double)out[i] - exact) <= 3e-7 * exact + 1e-37);
    }
    assert_true(out[0] == .5f && out[1] == 1 && out[2] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_out), cmocka_unit_test(test_image),   cmocka_unit_test(test_max_pool),
        cmocka_unit_test(test_convert),    cmocka_unit_test(test_unfused), cmocka_unit_test(test_upsample),
        cmocka_unit_test(test_concat),     cmocka_unit_test(test_exp),     cmocka_unit_test(test_sigmoid),
    };
    return cmocka_run_group_tests(tests, make_pool, free_pool);
}
