/* Kernels against the plainest loops that say the same. */
#include "engine/kernels/kernels.h"
#include "tests/engine/kernels/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static float *floats(size_t count)
{
    float *block = calloc(count + 1, sizeof *block);
    assert_non_null(block);
    return block;
}

static float at(const float *plane, int h, int w, int y, int x)
{
    return y >= 0 && y < h && x >= 0 && x < w ? plane[y * w + x] : 0;
}

static void test_window_out(void **state)
{
    (void)state;
    assert_int_equal(pt_k_window_out(224, 7, 2, 3), 112);
    assert_int_equal(pt_k_window_out(7, 3, 2, 1), 4);
    assert_int_equal(pt_k_window_out(1, 1, 2, 0), 1);
    assert_int_equal(pt_k_window_out(2, 3, 1, 0), 0);
}

static void test_im2col(void **state)
{
    (void)state;
    randoms r = {1};
    for (int round = 0; round < 200; round++) {
        pt_k_window g = {.n = random_int(&r, 1, 3),
                         .h = random_int(&r, 1, 12),
                         .w = random_int(&r, 1, 12),
                         .kh = random_int(&r, 1, 5),
                         .kw = random_int(&r, 1, 5),
                         .stride = random_int(&r, 1, 3),
                         .pad = random_int(&r, 0, 3)};
        g.oh = pt_k_window_out(g.h, g.kh, g.stride, g.pad);
        g.ow = pt_k_window_out(g.w, g.kw, g.stride, g.pad);
        if (g.oh < 1 || g.ow < 1) {
            continue;
        }
        int channels = random_int(&r, 1, 3);
        size_t plane = (size_t)(g.h * g.w), pixels = (size_t)(g.n * g.oh * g.ow);
        float *in = floats((size_t)(channels * g.n) * plane);
        random_fill(&r, in, (size_t)(channels * g.n) * plane, -1, 1);
        size_t p0 = random_bits(&r) % pixels, p1 = p0 + 1 + random_bits(&r) % (pixels - p0);
        float *col = floats((size_t)(channels * g.kh * g.kw) * (p1 - p0));
        pt_k_im2col(&g, in, channels, p0, p1, col);
        const float *got = col;
        for (int c = 0; c < channels; c++) {
            for (int k = 0; k < g.kh * g.kw; k++) {
                for (size_t p = p0; p < p1; p++, got++) {
                    int n = (int)p / (g.oh * g.ow), oy = (int)p / g.ow % g.oh, ox = (int)p % g.ow;
                    const float *image = in + (size_t)(c * g.n + n) * plane;
                    float wanted = at(image, g.h, g.w, oy * g.stride - g.pad + k / g.kw,
                                      ox * g.stride - g.pad + k % g.kw);
                    assert_true(*got == wanted);
                }
            }
        }
        free(in);
        free(col);
    }
}

static float activated(float v, pt_activation activation)
{
    v = activation != PT_ACT_NONE && v < 0 ? 0 : v;
    return activation == PT_ACT_RELU6 && v > 6 ? 6 : v;
}

static void test_bias_and_activation(void **state)
{
    (void)state;
    randoms r = {2};
    for (int kind = PT_ACT_NONE; kind <= PT_ACT_RELU6; kind++) {
        float rows[3 * 40], before[3 * 40], bias[40];
        random_fill(&r, bias, 40, -2, 2);
        random_fill(&r, before, 120, -9, 9);
        memcpy(rows, before, sizeof rows);
        pt_k_bias_act(rows, 3, 37, 40, bias, (pt_activation)kind);
        for (int i = 0; i < 120; i++) {
            float wanted = i % 40 < 37 ? activated(before[i] + bias[i / 40], (pt_activation)kind) : before[i];
            assert_true(rows[i] == wanted);
        }
        memcpy(rows, before, sizeof rows);
        pt_k_row_bias_act(rows, 3, 37, 40, bias, (pt_activation)kind);
        for (int i = 0; i < 120; i++) {
            float wanted = i % 40 < 37 ? activated(before[i] + bias[i % 40], (pt_activation)kind) : before[i];
            assert_true(rows[i] == wanted);
        }
        memcpy(rows, before, sizeof rows);
        pt_k_bias_act(rows, 3, 40, 40, NULL, (pt_activation)kind);
        assert_true(rows[7] == activated(before[7], (pt_activation)kind));
    }
}

static void test_depthwise(void **state)
{
    (void)state;
    randoms r = {3};
    for (int round = 0; round < 300; round++) {
        pt_k_window g = {.n = random_int(&r, 1, 2),
                         .h = random_int(&r, 1, 9),
                         .w = random_int(&r, 1, 40),
                         .kh = 3,
                         .kw = 3,
                         .stride = random_int(&r, 1, 2),
                         .pad = 1};
        g.oh = pt_k_window_out(g.h, 3, g.stride, 1);
        g.ow = pt_k_window_out(g.w, 3, g.stride, 1);
        float weights[9], bias = random_float(&r, -1, 1);
        float *in = floats((size_t)(g.n * g.h * g.w)), *out = floats((size_t)(g.n * g.oh * g.ow));
        random_fill(&r, weights, 9, -1, 1);
        random_fill(&r, in, (size_t)(g.n * g.h * g.w), -4, 4);
        pt_activation activation = (pt_activation)random_int(&r, 0, 2);
        pt_k_depthwise3x3(&g, in, weights, bias, activation, out);
        for (int i = 0; i < g.n * g.oh * g.ow; i++) {
            const float *image = in + i / (g.oh * g.ow) * g.h * g.w;
            int oy = i / g.ow % g.oh, ox = i % g.ow;
            double sum = (double)bias;
            for (int k = 0; k < 9; k++) {
                float v = at(image, g.h, g.w, oy * g.stride - 1 + k / 3, ox * g.stride - 1 + k % 3);
                sum += (double)(weights[k] * v);
            }
            assert_true(fabs((double)out[i] - (double)activated((float)sum, activation)) < 1e-5);
        }
        free(in);
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_out),
        cmocka_unit_test(test_im2col),
        cmocka_unit_test(test_bias_and_activation),
        cmocka_unit_test(test_depthwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
