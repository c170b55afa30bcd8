/* Every version of a kernel gives the bytes of the plain C one, on random data and on the ends of the range,
 * and touches nothing else. Blocks are of the exact size, so that a sanitizer sees any access beyond. */
#include "engine/kernels/operators.h"
#include "engine/kernels/regions.h"
#include "tests/engine/kernels/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROUNDS = 100 };

static void *block(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);
    assert_non_null(memory);
    return memory;
}

static float odd_float(randoms *r)
{
    static const float odd[] = {0,      -0.0f,  INFINITY, -INFINITY, NAN,     1e-40f, -1e-40f, 3e38f,
                                -3e38f, 1e-20f, .5f,      -.5f,      8388609, 127.5f, 254.5f,  255.5f};
    return random_int(r, 0, 9) ? random_float(r, -300, 300) : odd[random_int(r, 0, 15)];
}

static float *odd_floats(randoms *r, size_t count)
{
    float *values = block(count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        values[i] = odd_float(r);
    }
    return values;
}

static uint8_t *bytes_of(randoms *r, size_t count)
{
    uint8_t *values = block(count);
    for (size_t i = 0; i < count; i++) {
        values[i] = (uint8_t)random_int(r, 0, 255);
    }
    return values;
}

/* The same bits, or both not a number. */
static void assert_same(const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!(isnan(a[i]) && isnan(b[i]))) {
            assert_memory_equal(&a[i], &b[i], sizeof *a);
        }
    }
}

/* Runs a check for every instruction set above plain C that this machine has. */
static void for_each_isa(void (*check)(pt_isa isa, randoms *r), uint64_t seed)
{
    for (int isa = PT_ISA_C + 1; isa <= (int)pt_isa_best(); isa++) {
        randoms r = {seed};
        for (int round = 0; round < ROUNDS; round++) {
            check((pt_isa)isa, &r);
        }
    }
}

static void check_image(pt_isa isa, randoms *r)
{
    pt_operator_kernels plain = pt_operator_kernels_for(PT_ISA_C), fast = pt_operator_kernels_for(isa);
    size_t width = (size_t)random_int(r, 0, 70);
    float table[3][256];
    random_fill(r, table[0], 768, -3, 3);
    uint8_t *rgb = bytes_of(r, 3 * width), *a = block(4 * width), *b = block(4 * width);
    plain.image_u8(rgb, width, a);
    fast.image_u8(rgb, width, b);
    assert_memory_equal(a, b, 4 * width);
    float *x = block(3 * width * sizeof *x), *y = block(3 * width * sizeof *y);
    plain.image_f32(rgb, width, (const float(*)[256])table, x);
    fast.image_f32(rgb, width, (const float(*)[256])table, y);
    assert_same(x, y, 3 * width);
    free(rgb);
    free(a);
    free(b);
    free(x);
    free(y);
}

static void test_image(void **state)
{
    (void)state;
    for_each_isa(check_image, 1);
}

static void check_max(pt_isa isa, randoms *r)
{
    pt_operator_kernels plain = pt_operator_kernels_for(PT_ISA_C), fast = pt_operator_kernels_for(isa);
    pt_max_window w = {.channels = random_int(r, 1, 140),
                       .in_width = random_int(r, 3, 12),
                       .kernel = random_int(r, 1, 3),
                       .stride = random_int(r, 1, 2)};
    w.pad = w.kernel / 2;
    w.out_width = pt_window_out(w.in_width, w.kernel, w.stride, w.pad);
    size_t row = (size_t)(w.in_width * w.channels), size = (size_t)(w.out_width * w.channels);
    int count = random_int(r, 1, 3);
    float *rows[3], *x = block(size * sizeof *x), *y = block(size * sizeof *y);
    uint8_t *byte_rows[3], *a = block(size), *b = block(size);
    for (int i = 0; i < 3; i++) {
        rows[i] = odd_floats(r, row);
        byte_rows[i] = bytes_of(r, row);
    }
    plain.max_f32((const float *const *)rows, count, &w, x);
    fast.max_f32((const float *const *)rows, count, &w, y);
    assert_same(x, y, size);
    plain.max_u8((const uint8_t *const *)byte_rows, count, &w, a);
    fast.max_u8((const uint8_t *const *)byte_rows, count, &w, b);
    assert_memory_equal(a, b, size);
    for (int i = 0; i < 3; i++) {
        free(rows[i]);
        free(byte_rows[i]);
    }
    free(x);
    free(y);
    free(a);
    free(b);
}

static void test_max(void **state)
{
    (void)state;
    for_each_isa(check_max, 2);
}

static void check_conversions(pt_isa isa, randoms *r)
{
    pt_operator_kernels plain = pt_operator_kernels_for(PT_ISA_C), fast = pt_operator_kernels_for(isa);
    size_t n = (size_t)random_int(r, 0, 100);
    pt_quant quant = {random_float(r, 1e-3f, 2), random_int(r, 0, 255)};
    float inverse = 1 / random_float(r, 1e-3f, 4), *in = odd_floats(r, n);
    int zero = random_int(r, 0, 255);
    uint8_t *bytes = bytes_of(r, n), *a = block(n), *b = block(n);
    plain.quantise(in, n, inverse, zero, a);
    fast.quantise(in, n, inverse, zero, b);
    assert_memory_equal(a, b, n);
    plain.requantise(bytes, n, quant, inverse, zero, a);
    fast.requantise(bytes, n, quant, inverse, zero, b);
    assert_memory_equal(a, b, n);
    float *x = block(n * sizeof *x), *y = block(n * sizeof *y);
    plain.dequantise(bytes, n, quant, x);
    fast.dequantise(bytes, n, quant, y);
    assert_same(x, y, n);
    float share = random_float(r, 0, 1), *other = odd_floats(r, n);
    plain.mix_f32(in, other, share, n, x);
    fast.mix_f32(in, other, share, n, y);
    assert_same(x, y, n);
    plain.mix_u8(in, other, share / 256, n, a);
    fast.mix_u8(in, other, share / 256, n, b);
    assert_memory_equal(a, b, n);
    free(other);
    memcpy(x, in, n * sizeof *x);
    memcpy(y, in, n * sizeof *y);
    plain.sigmoid(x, n);
    fast.sigmoid(y, n);
    assert_same(x, y, n);
    free(in);
    free(bytes);
    free(a);
    free(b);
    free(x);
    free(y);
}

static void test_conversions(void **state)
{
    (void)state;
    for_each_isa(check_conversions, 3);
}

/* All of exp's range, densely. */
static void test_sigmoid(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    float *x = block(COUNT * sizeof *x), *y = block(COUNT * sizeof *y);
    for (int isa = PT_ISA_C + 1; isa <= (int)pt_isa_best(); isa++) {
        for (int i = 0; i < COUNT; i++) {
            x[i] = y[i] = (float)(i - COUNT / 2) * (90.0f / (COUNT / 2));
        }
        pt_operator_kernels_for(PT_ISA_C).sigmoid(x, COUNT);
        pt_operator_kernels_for((pt_isa)isa).sigmoid(y, COUNT);
        assert_memory_equal(x, y, COUNT * sizeof *x);
    }
    free(x);
    free(y);
}

enum { MOST_TAPS = 40 };

/* Weights that sum to PT_ROI_ONE with what is returned. */
static int draw_weights(randoms *r, pt_roi_tap *taps, int count)
{
    int left = PT_ROI_ONE, kind = random_int(r, 0, 3);
    for (int i = 0; i < count; i++) {
        int share = kind == 0 ? left : kind == 1 ? 15 : random_int(r, 0, kind == 2 ? left : 2 * left / count);
        taps[i].weight.whole = share < left ? share : left;
        left -= taps[i].weight.whole;
    }
    return left;
}

static void check_roi(pt_isa isa, randoms *r)
{
    pt_region_kernels plain = pt_region_kernels_for(PT_ISA_C), fast = pt_region_kernels_for(isa);
    int channels = random_int(r, 1, 300), count = random_int(r, 0, MOST_TAPS);
    size_t size = (size_t)(channels * 16);
    pt_roi_tap taps[MOST_TAPS + 1];
    for (int i = 0; i < MOST_TAPS; i++) { /* the last pixel too, so that a read beyond is seen */
        taps[i] = (pt_roi_tap){.offset = (size_t)(channels * random_int(r, 12, 15))};
        taps[i].weight.real = random_float(r, 0, 1);
    }
    float *map = odd_floats(r, size), *x = block((size_t)channels * sizeof *x);
    float *y = block((size_t)channels * sizeof *y);
    plain.roi_f32(map, taps, count, channels, x);
    fast.roi_f32(map, taps, count, channels, y);
    assert_same(x, y, (size_t)channels);
    int rest = draw_weights(r, taps, count), zero = random_int(r, 0, 3) ? random_int(r, 0, 255) : 255;
    uint8_t *bytes = bytes_of(r, size), *a = block((size_t)channels), *b = block((size_t)channels);
    if (random_int(r, 0, 1)) { /* the largest sums */
        memset(bytes, 255, size);
    }
    plain.roi_u8(bytes, taps, count, channels, rest, zero, a);
    fast.roi_u8(bytes, taps, count, channels, rest, zero, b);
    assert_memory_equal(a, b, (size_t)channels);
    free(map);
    free(x);
    free(y);
    free(bytes);
    free(a);
    free(b);
}

static void test_roi(void **state)
{
    (void)state;
    for_each_isa(check_roi, 4);
}

/* Coarse boxes, so that quotients hit the threshold exactly. */
static void check_overlaps(pt_isa isa, randoms *r)
{
    pt_region_kernels plain = pt_region_kernels_for(PT_ISA_C), fast = pt_region_kernels_for(isa);
    static const float thresholds[] = {.5f, .25f, .7f, 0, 1, -1, 1.f / 3};
    size_t n = (size_t)random_int(r, 0, 50);
    float *columns[5];
    for (int c = 0; c < 5; c++) {
        columns[c] = block(n * sizeof(float));
    }
    for (size_t i = 0; i < n; i++) {
        columns[0][i] = (float)random_int(r, 0, 60);
        columns[1][i] = (float)random_int(r, 0, 60);
        columns[2][i] = columns[0][i] + (float)random_int(r, 0, 12);
        columns[3][i] = columns[1][i] + (float)random_int(r, 0, 12);
        columns[4][i] = (columns[2][i] - columns[0][i]) * (columns[3][i] - columns[1][i]);
        if (random_int(r, 0, 99) == 0) {
            columns[random_int(r, 0, 4)][i] = odd_float(r);
        }
    }
    const pt_box_columns boxes = {columns[0], columns[1], columns[2], columns[3], columns[4]};
    for (int i = 0; i < 200; i++) {
        pt_k_box box = {.x0 = (float)random_int(r, 0, 60), .y0 = (float)random_int(r, 0, 60)};
        box.x1 = box.x0 + (float)random_int(r, 0, 12);
        box.y1 = box.y0 + (float)random_int(r, 0, 12);
        box.area = (box.x1 - box.x0) * (box.y1 - box.y0);
        float threshold = thresholds[random_int(r, 0, 6)];
        size_t some = (size_t)random_int(r, 0, (int)n);
        assert_int_equal(plain.overlaps(&boxes, some, &box, threshold),
                         fast.overlaps(&boxes, some, &box, threshold));
    }
    for (int c = 0; c < 5; c++) {
        free(columns[c]);
    }
}

static void test_overlaps(void **state)
{
    (void)state;
    for_each_isa(check_overlaps, 5);
}

static void check_dot(pt_isa isa, randoms *r)
{
    pt_region_kernels plain = pt_region_kernels_for(PT_ISA_C), fast = pt_region_kernels_for(isa);
    int channels = random_int(r, 1, 90), zero = random_int(r, 0, 255);
    size_t count = (size_t)random_int(r, 1, 9), stride = (size_t)channels + (size_t)random_int(r, 0, 3);
    size_t size = (count - 1) * stride + (size_t)channels;
    float *pixels = odd_floats(r, size), *weights = block((size_t)channels * sizeof *weights);
    uint8_t *bytes = bytes_of(r, size);
    float x[9], y[9];
    random_fill(r, weights, (size_t)channels, -2, 2);
    plain.dot_f32(pixels, count, stride, weights, channels, x);
    fast.dot_f32(pixels, count, stride, weights, channels, y);
    assert_same(x, y, count);
    plain.dot_u8(bytes, count, stride, zero, weights, channels, x);
    fast.dot_u8(bytes, count, stride, zero, weights, channels, y);
    assert_same(x, y, count);
    free(pixels);
    free(weights);
    free(bytes);
}

static void test_dot(void **state)
{
    (void)state;
    for_each_isa(check_dot, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image),   cmocka_unit_test(test_max), cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_sigmoid), cmocka_unit_test(test_roi), cmocka_unit_test(test_overlaps),
        cmocka_unit_test(test_dot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
