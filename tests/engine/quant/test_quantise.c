/* Ranges and weights to bytes: what the formulas promise, on hand-made and on random numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/quant/quantise.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static uint32_t next_random;

static float random_float(void) /* -1 .. 1 */
{
    next_random = next_random * 1664525u + 1013904223u;
    return (float)((double)next_random / 2147483648.0 - 1);
}

static int byte_of(pt_quant quant, double real)
{
    return (int)fmin(255, fmax(0, rint(real / (double)quant.scale) + quant.zero));
}

static double real_of(pt_quant quant, int byte)
{
    return (byte - quant.zero) * (double)quant.scale;
}

static void test_ranges(void **state)
{
    (void)state;
    pt_quant relu6 = pt_quant_of_range(0, 6);
    assert_int_equal(relu6.zero, 0);
    assert_true(relu6.scale == (float)(6.0 / 255));
    pt_quant symmetric = pt_quant_of_range(-127.5F, 127.5F);
    assert_int_equal(symmetric.zero, 128); /* 127.5, to even */
    assert_true(symmetric.scale == 1.0F);
    pt_quant negative = pt_quant_of_range(-51, 0);
    assert_int_equal(negative.zero, 255);
    pt_quant widened = pt_quant_of_range(2, 255); /* holds 0 */
    assert_int_equal(widened.zero, 0);
    assert_true(widened.scale == 1.0F);
    assert_true(pt_quant_of_range(-255, -2).zero == 255 && pt_quant_of_range(-255, -2).scale == 1.0F);
}

static void test_empty_ranges(void **state)
{
    (void)state;
    static const float ranges[][2] = {{0, 0}, {-0.0F, 0.0F}, {0, 1e-40F}, {-1e-7F, 1e-7F}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        pt_quant quant = pt_quant_of_range(ranges[i][0], ranges[i][1]);
        assert_int_equal(quant.zero, 0);
        assert_true(quant.scale == (float)(1e-6 / 255));
    }
    pt_quant widest = pt_quant_of_range(-FLT_MAX, FLT_MAX);
    assert_true(isfinite(widest.scale) && widest.zero == 128);
}

/* Every real number of the range is at most one step from a byte's (half of one but where the zero point's
 * rounding has shifted an end), and 0 is met exactly. */
static void test_range_error(void **state)
{
    (void)state;
    next_random = 1;
    for (int i = 0; i < 1000; i++) {
        float low = -fabsf(random_float()) * powf(10, 4 * random_float());
        float high = fabsf(random_float()) * powf(10, 4 * random_float());
        pt_quant quant = pt_quant_of_range(low, high);
        assert_true(quant.zero >= 0 && quant.zero <= 255 && quant.scale > 0);
        assert_true(real_of(quant, byte_of(quant, 0)) == 0);
        for (int part = 0; part <= 16; part++) {
            double real = (double)low + ((double)high - (double)low) * part / 16;
            double error = fabs(real_of(quant, byte_of(quant, real)) - real);
            assert_true(error <= (double)quant.scale * 1.0001);
        }
    }
}

static void test_weights(void **state)
{
    (void)state;
    static const float w[] = {127,    -64.4F,  0.5F, -127, /* step 1 */
                              0,      0,       0,    0,    /* nothing */
                              -2,     1,       0,    2,    /* step 2 / 127 */
                              1e-42F, -1e-42F, 0,    0};   /* as good as nothing */
    int8_t q[16];
    float scale[4];
    pt_quantise_weights(w, 4, 4, q, scale);
    static const int8_t wanted[] = {127, -64, 0, -127, 0, 0, 0, 0, -127, 64, 0, 127, 0, 0, 0, 0};
    assert_memory_equal(q, wanted, sizeof wanted);
    assert_true(scale[0] == 1 && scale[1] == 1 && scale[2] == 2.0F / 127 && scale[3] == 1);
}

static void test_weight_error(void **state)
{
    (void)state;
    enum { OUT = 16, EACH = 99 };
    static float w[OUT * EACH];
    static int8_t q[OUT * EACH];
    float scale[OUT];
    next_random = 2;
    for (int i = 0; i < OUT * EACH; i++) {
        w[i] = random_float() * (float)(1 + i / EACH);
    }
    pt_quantise_weights(w, OUT, EACH, q, scale);
    for (int o = 0; o < OUT; o++) {
        int most = 0;
        for (int i = o * EACH; i < (o + 1) * EACH; i++) {
            double error = fabs((double)q[i] * (double)scale[o] - (double)w[i]);
            assert_true(error <= 0.50001 * (double)scale[o]);
            most = abs(q[i]) > most ? abs(q[i]) : most;
        }
        assert_int_equal(most, 127); /* every channel uses its range */
    }
}

/* After the correction the mean output of the quantised layer is that of the float one. */
static void check_bias(int out, size_t taps, size_t channels, bool depthwise)
{
    static float w[4096];
    static int8_t q[4096];
    float scale[16], bias[16], mean[16];
    size_t row = taps * (depthwise ? 1 : channels);
    next_random = 3;
    for (size_t i = 0; i < row * (size_t)out; i++) {
        w[i] = random_float();
    }
    for (size_t c = 0; c < channels; c++) {
        mean[c] = 3 * random_float();
    }
    pt_quantise_weights(w, out, row, q, scale);
    for (int o = 0; o < out; o++) {
        bias[o] = (float)o;
    }
    pt_bias_correct(w, q, scale, out, taps, channels, depthwise, mean, bias);
    for (int o = 0; o < out; o++) {
        double exact = o, quantised = (double)bias[o];
        for (size_t i = 0; i < row; i++) {
            double x = (double)mean[depthwise ? (size_t)o : i % channels];
            exact += (double)w[(size_t)o * row + i] * x;
            quantised += (double)q[(size_t)o * row + i] * (double)scale[o] * x;
        }
        assert_true(fabs(exact - quantised) < 1e-5);
    }
}

static void test_bias(void **state)
{
    (void)state;
    check_bias(7, 9, 16, false);
    check_bias(3, 1, 5, false);
    check_bias(16, 9, 16, true);
}

/* The folded layer on bytes computes what the plain one computes on normalised floats. */
static void test_image_rule(void **state)
{
    (void)state;
    enum { OUT = 2, TAPS = 9 };
    static const double mean[3] = {0.485, 0.456, 0.406}, std[3] = {0.229, 0.224, 0.225};
    float w[OUT * TAPS * 3], folded[OUT * TAPS * 4], bias[OUT] = {0.25F, -4};
    uint8_t image[TAPS * 3], outside[4] = {9, 9, 9, 9};
    next_random = 4;
    for (int i = 0; i < OUT * TAPS * 3; i++) {
        w[i] = random_float();
        image[i % (TAPS * 3)] = (uint8_t)(i * 37);
    }
    double wanted[OUT] = {0.25, -4}, got[OUT];
    for (int i = 0; i < OUT * TAPS * 3; i++) {
        int c = i % 3;
        wanted[i / (TAPS * 3)] += (double)w[i] * (image[i % (TAPS * 3)] / 255.0 - mean[c]) / std[c];
    }
    pt_fold_image_rule(w, OUT, TAPS, mean, std, folded, bias, outside);
    for (int o = 0; o < OUT; o++) {
        got[o] = (double)bias[o];
        for (int i = 0; i < TAPS * 4; i++) {
            double byte = i % 4 == 3 ? 255 : image[i / 4 * 3 + i % 4]; /* the fourth has no say */
            got[o] += (double)folded[o * TAPS * 4 + i] * byte;
        }
        assert_true(fabs(got[o] - wanted[o]) < 1e-5);
    }
    static const uint8_t nearest[4] = {124, 116, 104, 0}; /* 123.675, 116.28, 103.53 */
    assert_memory_equal(outside, nearest, 4);
    static const double odd[3] = {-3, 7, 1};
    pt_fold_image_rule(w, OUT, TAPS, odd, std, folded, bias, outside);
    static const uint8_t clamped[4] = {0, 255, 255, 0};
    assert_memory_equal(outside, clamped, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),       cmocka_unit_test(test_empty_ranges),
        cmocka_unit_test(test_range_error),  cmocka_unit_test(test_weights),
        cmocka_unit_test(test_weight_error), cmocka_unit_test(test_bias),
        cmocka_unit_test(test_image_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
