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

static void test_max_pool(void **state)
{
    (void)state;
    randoms r = {4};
    for (int round = 0; round < 300; round++) {
        bool usual = round % 3 > 0;
        int k = usual ? 3 : random_int(&r, 1, 4);
        pt_k_window g = {.n = 1,
                         .h = random_int(&r, 1, 20),
                         .w = random_int(&r, 1, 30),
                         .kh = k,
                         .kw = k,
                         .stride = usual ? 2 : random_int(&r, 1, 3),
                         .pad = usual ? 1 : k / 2};
        g.oh = pt_k_window_out(g.h, k, g.stride, g.pad);
        g.ow = pt_k_window_out(g.w, k, g.stride, g.pad);
        if (g.oh < 1 || g.ow < 1) {
            continue;
        }
        float *in = floats((size_t)(g.h * g.w)), *out = floats((size_t)(g.oh * g.ow));
        random_fill(&r, in, (size_t)(g.h * g.w), -4, 4);
        pt_k_max_pool(&g, in, out);
        for (int i = 0; i < g.oh * g.ow; i++) {
            float top = -INFINITY;
            for (int j = 0; j < k * k; j++) {
                int y = i / g.ow * g.stride - g.pad + j / k, x = i % g.ow * g.stride - g.pad + j % k;
                if (y >= 0 && y < g.h && x >= 0 && x < g.w) {
                    top = fmaxf(top, in[y * g.w + x]);
                }
            }
            assert_true(out[i] == top);
        }
        free(in);
        free(out);
    }
}

static void test_upsample_add(void **state)
{
    (void)state;
    randoms r = {5};
    for (int round = 0; round < 100; round++) {
        int th = random_int(&r, 1, 9), tw = random_int(&r, 1, 9);
        int h = round % 2 ? 2 * th : random_int(&r, 1, 20), w = round % 2 ? 2 * tw : random_int(&r, 1, 20);
        float top[81], lateral[400], before[400];
        random_fill(&r, top, 81, -1, 1);
        random_fill(&r, before, 400, -1, 1);
        memcpy(lateral, before, sizeof lateral);
        pt_k_upsample_add(top, th, tw, lateral, h, w);
        for (int i = 0; i < h * w; i++) {
            int y = (int)floorf((float)(i / w) * ((float)th / (float)h));
            int x = (int)floorf((float)(i % w) * ((float)tw / (float)w));
            y = y < th ? y : th - 1;
            x = x < tw ? x : tw - 1;
            assert_true(lateral[i] == before[i] + top[y * tw + x]);
        }
    }
}

static void test_image_rows(void **state)
{
    (void)state;
    enum { W = 5, H = 3, PW = 8, PH = 6, STRIDE = 20 };
    uint8_t rgb[STRIDE * H];
    float table[3][256], out[3 * PW * PH];
    for (int i = 0; i < STRIDE * H; i++) {
        rgb[i] = (uint8_t)(37 * i);
    }
    for (int c = 0; c < 3; c++) {
        for (int v = 0; v < 256; v++) {
            table[c][v] = (float)(1000 * (c + 1) + v);
        }
    }
    memset(out, 0xff, sizeof out);
    pt_k_image_rows(rgb, STRIDE, W, H, table, PW, PH, 0, 2, out);
    pt_k_image_rows(rgb, STRIDE, W, H, table, PW, PH, 2, PH, out);
    for (int i = 0; i < 3 * PW * PH; i++) {
        int c = i / (PW * PH), y = i / PW % PH, x = i % PW;
        float wanted = x < W && y < H ? (float)(1000 * (c + 1) + rgb[y * STRIDE + 3 * x + c]) : 0;
        assert_true(out[i] == wanted);
    }
}

static void test_softmax_and_sigmoid(void **state)
{
    (void)state;
    float row[4] = {1000, 1001, 999, -1000};
    pt_k_softmax_row(row, 4);
    double sum = exp(-1) + 1 + exp(-2);
    assert_true(fabs((double)row[1] - 1 / sum) < 1e-6);
    assert_true(fabs((double)row[0] - exp(-1) / sum) < 1e-6);
    assert_true(row[3] == 0);
    float values[3] = {0, 200, -200};
    pt_k_sigmoid(values, 3);
    assert_true(values[0] == .5f && values[1] == 1 && values[2] == 0);
}

static void test_suppress(void **state)
{
    (void)state;
    const float x0[] = {0, 0, 5, 20}, y0[] = {0, 0, 0, 20}, x1[] = {10, 10, 15, 30}, y1[] = {10, 8, 10, 30};
    const float area[] = {100, 80, 100, 100};
    uint8_t gone[4] = {0};
    pt_k_suppress(0, 4, x0, y0, x1, y1, area, .5f, gone);
    assert_memory_equal(gone, ((uint8_t[]){0, 1, 0, 0}), 4); /* IoU .8, 1/3, 0 */
    pt_k_suppress(0, 4, x0, y0, x1, y1, area, .2f, gone);
    assert_memory_equal(gone, ((uint8_t[]){0, 1, 1, 0}), 4);
}

/* The deconvolution's output written out as torch lays it, then the 1x1 convolution. */
static void test_mask_logits(void **state)
{
    (void)state;
    enum { C = 5, SIDE = 70, CELLS = SIDE * SIDE };
    randoms r = {6};
    float *x = floats(C * 4 * CELLS), *out = floats(4 * CELLS);
    float weights[C];
    random_fill(&r, x, C * 4 * CELLS, -1, 1);
    random_fill(&r, weights, C, -1, 1);
    pt_k_mask_logits(x, C, 4 * CELLS, CELLS, SIDE, weights, .25f, out);
    for (int i = 0; i < 4 * CELLS; i++) {
        int y = i / (2 * SIDE), column = i % (2 * SIDE), sub = y % 2 * 2 + column % 2;
        double sum = .25;
        for (int c = 0; c < C; c++) {
            sum += (double)(weights[c] * x[(4 * c + sub) * CELLS + y / 2 * SIDE + column / 2]);
        }
        assert_true(fabs(sum - (double)out[i]) < 1e-5);
    }
    free(x);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_out),
        cmocka_unit_test(test_im2col),
        cmocka_unit_test(test_bias_and_activation),
        cmocka_unit_test(test_depthwise),
        cmocka_unit_test(test_max_pool),
        cmocka_unit_test(test_upsample_add),
        cmocka_unit_test(test_image_rows),
        cmocka_unit_test(test_softmax_and_sigmoid),
        cmocka_unit_test(test_suppress),
        cmocka_unit_test(test_mask_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
