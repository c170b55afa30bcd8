/* Histograms of activations, and the ranges that the methods choose on distributions whose best one is known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/quant/histogram.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 200000 };

static float values[COUNT];
static uint64_t next_random;

static double random_unit(void) /* 0 .. 1, open */
{
    next_random = next_random * 6364136223846793005u + 1442695040888963407u;
    return ((double)(next_random >> 11) + 0.5) / 9007199254740992.0;
}

static double random_normal(void)
{
    return sqrt(-2 * log(random_unit())) * cos(6.283185307179586 * random_unit());
}

static void fill(double (*draw)(void))
{
    next_random = 7;
    for (int i = 0; i < COUNT; i++) {
        values[i] = (float)draw();
    }
}

static uint64_t total(const pt_histogram *h)
{
    uint64_t sum = h->zeros;
    for (int i = 0; i < PT_HISTOGRAM_BINS; i++) {
        sum += h->bins[i];
    }
    assert_true(sum == h->zeros + h->others);
    return sum;
}

static uint64_t at(const pt_histogram *h, double value)
{
    int64_t bin = (int64_t)floor(value / h->width) - h->first;
    return bin >= 0 && bin < PT_HISTOGRAM_BINS ? h->bins[bin] : 0;
}

static void test_counts(void **state)
{
    (void)state;
    static pt_histogram h;
    memset(&h, 0, sizeof h);
    static const float first[] = {1, 1, 2, 0, -0.0F, 2047};
    pt_histogram_add(&h, first, 6);
    assert_true(h.width == 1 && h.first == 0 && h.zeros == 2 && h.others == 4);
    assert_true(at(&h, 1) == 2 && at(&h, 2) == 1 && at(&h, 2047) == 1);
    static const float more[] = {-3, NAN, INFINITY, -INFINITY, 3.5F};
    pt_histogram_add(&h, more, 5);
    assert_true(h.width == 2 && h.first == -2); /* [-4, -2) is the lowest */
    assert_true(h.low == -3 && h.high == 2047);
    assert_true(at(&h, -3) == 1 && at(&h, 1) == 2 && at(&h, 2) == 2 && at(&h, 2047) == 1);
    assert_int_equal(total(&h), 8);
}

static void test_nothing(void **state)
{
    (void)state;
    static pt_histogram h;
    memset(&h, 0, sizeof h);
    float low = 1, high = 1;
    pt_histogram_add(&h, values, 0);
    static const float zeros[3] = {0};
    pt_histogram_add(&h, zeros, 3);
    for (int method = PT_RANGE_MINMAX; method <= PT_RANGE_MSE; method++) {
        pt_histogram_range(&h, (pt_range_method)method, &low, &high);
        assert_true(low == 0 && high == 0);
    }
    assert_int_equal(total(&h), 3);
}

/* Values of any size, down to the smallest and up to the largest, in either order. */
static void test_extremes(void **state)
{
    (void)state;
    static pt_histogram up, down;
    memset(&up, 0, sizeof up);
    memset(&down, 0, sizeof down);
    float each[300];
    int count = 0;
    for (float x = 1e-45F; x < FLT_MAX / 4; x *= 2, count++) {
        each[count] = count % 2 ? x : -x;
    }
    for (int i = 0; i < count; i++) {
        pt_histogram_add(&up, &each[i], 1);
        pt_histogram_add(&down, &each[count - 1 - i], 1);
    }
    assert_memory_equal(&up, &down, sizeof up);
    assert_int_equal(total(&up), (uint64_t)count);
    static const float ends[] = {-FLT_MAX, FLT_MAX};
    pt_histogram_add(&up, ends, 2);
    assert_int_equal(total(&up), (uint64_t)count + 2);
    for (int method = PT_RANGE_MINMAX; method <= PT_RANGE_MSE; method++) {
        float low, high;
        pt_histogram_range(&up, (pt_range_method)method, &low, &high);
        assert_true(isfinite(low) && isfinite(high) && low <= 0 && high >= 0);
    }
}

/* The histogram is that of the set: cut into pieces and shuffled, it is the same to the last byte. */
/* From next to nothing to ordinary numbers: by more than 64 bits hold of the first one's bins. */
static void test_a_leap(void **state)
{
    (void)state;
    static pt_histogram h;
    static const float ordinary[] = {1, 0.5F, -0.25F};
    for (float tiny = 1e-45F; tiny < 1; tiny *= 1e6F) {
        memset(&h, 0, sizeof h);
        pt_histogram_add(&h, &tiny, 1);
        pt_histogram_add(&h, ordinary, 3);
        assert_true(h.width == 1.0 / 1024); /* of 2048 bins from -0.25 to 1, the smallest power of two */
        assert_int_equal(h.first, -256);
        assert_true(at(&h, 1) == 1 && at(&h, 0.5) == 1 && at(&h, -0.25) == 1);
        assert_true(at(&h, (double)tiny) >= 1);
        assert_int_equal(total(&h), 4);
    }
}

static void test_order(void **state)
{
    (void)state;
    static pt_histogram whole, parts;
    fill(random_normal);
    memset(&whole, 0, sizeof whole);
    pt_histogram_add(&whole, values, COUNT);
    memset(&parts, 0, sizeof parts);
    for (int i = COUNT; i > 0;) {
        int size = i < 777 ? i : 777;
        i -= size;
        pt_histogram_add(&parts, values + i, (size_t)size);
    }
    assert_memory_equal(&whole, &parts, sizeof whole);
    double span = (double)whole.high - (double)whole.low;
    assert_true(span / whole.width <= PT_HISTOGRAM_BINS && span / whole.width > PT_HISTOGRAM_BINS / 2 - 2);
}

static void choose(pt_range_method method, float *low, float *high)
{
    static pt_histogram h;
    memset(&h, 0, sizeof h);
    pt_histogram_add(&h, values, COUNT);
    pt_histogram_range(&h, method, low, high);
    assert_true(low[0] >= h.low && high[0] <= h.high && low[0] <= 0 && high[0] >= 0);
}

static double random_uniform(void)
{
    return 3 * random_unit() - 1;
}

static double random_relu(void)
{
    return fmax(0, random_normal());
}

/* One of two thousand values is far off. */
static double random_outlier(void)
{
    return random_unit() < 0.00005 ? 1000 : fmax(0, random_normal());
}

static void test_minmax(void **state)
{
    (void)state;
    float low, high, lowest = 0, highest = 0;
    fill(random_normal);
    for (int i = 0; i < COUNT; i++) {
        lowest = fminf(lowest, values[i]);
        highest = fmaxf(highest, values[i]);
    }
    choose(PT_RANGE_MINMAX, &low, &high);
    assert_true(low == lowest && high == highest);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void test_percentile(void **state)
{
    (void)state;
    float low, high;
    fill(random_normal);
    choose(PT_RANGE_PERCENTILE, &low, &high);
    qsort(values, COUNT, sizeof *values, by_value);
    enum { CUT = COUNT / 10000 };
    double bin = 8.0 / (PT_HISTOGRAM_BINS / 2); /* 4 sigma a side; a bin at most so wide */
    assert_true(low <= values[CUT] && (double)low >= (double)values[CUT] - 2 * bin);
    assert_true(high >= values[COUNT - 1 - CUT] && (double)high <= (double)values[COUNT - 1 - CUT] + 2 * bin);
    fill(random_outlier);
    choose(PT_RANGE_PERCENTILE, &low, &high);
    assert_true(low == 0 && high < 10);
    for (int i = 0; i < COUNT; i++) { /* all on one side */
        values[i] = -1 - (float)(i % 100);
    }
    choose(PT_RANGE_PERCENTILE, &low, &high);
    assert_true(low == -100 && high == 0);
}

static void test_kl(void **state)
{
    (void)state;
    float low, high;
    fill(random_uniform); /* nothing can be cut off without being missed */
    choose(PT_RANGE_KL, &low, &high);
    assert_true(low < -0.99F && high > 1.99F);
    fill(random_outlier); /* what 256 levels over 1000 would do to the rest is far worse than losing ten
                             values */
    choose(PT_RANGE_KL, &low, &high);
    assert_true(low == 0 && high < 130);
    fill(random_relu);
    choose(PT_RANGE_KL, &low, &high);
    assert_true(low == 0 && high > 2.5F);
    for (int i = 0; i < COUNT; i++) { /* either side alone */
        values[i] = -values[i];
    }
    float mirrored;
    choose(PT_RANGE_KL, &mirrored, &low);
    assert_true(low == 0 && fabsf(mirrored + high) < 0.1F);
    fill(random_normal);
    choose(PT_RANGE_KL, &low, &high);
    assert_true(low < -2.5F && high > 2.5F);
}

/* A normal distribution in 256 levels: the best ends lie at 3.92 standard deviations (found numerically; the
 * loss is flat around it), or at the outermost value where that is nearer. */
static void test_mse(void **state)
{
    (void)state;
    float low, high;
    fill(random_normal);
    choose(PT_RANGE_MSE, &low, &high);
    assert_true(low < -3.6F && low > -4.4F && high > 3.6F && high < 4.4F);
    fill(random_uniform);
    choose(PT_RANGE_MSE, &low, &high);
    assert_true(low < -0.99F && high > 1.99F);
    fill(random_outlier); /* ten values of 1000 weigh more than what all others gain */
    choose(PT_RANGE_MSE, &low, &high);
    assert_true(low == 0 && high > 900);
    /* One of 30 does not: of (30 - T)^2 + n T^2 / (255^2 * 12), n half of all, the least is at T = 26.6. */
    for (int i = 0; i < COUNT; i++) {
        values[i] = i == 0 ? 30 : fabsf(values[i]) > 5 ? 0 : values[i];
    }
    choose(PT_RANGE_MSE, &low, &high);
    assert_true(low == 0 && fabsf(high - 26.6F) < 1);
}

static void test_names(void **state)
{
    (void)state;
    pt_range_method method;
    assert_true(pt_range_method_find("kl", &method) && method == PT_RANGE_KL);
    assert_true(pt_range_method_find("minmax", &method) && method == PT_RANGE_MINMAX);
    assert_false(pt_range_method_find("", &method));
    assert_string_equal(pt_range_method_name(PT_RANGE_PERCENTILE), "percentile");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),     cmocka_unit_test(test_nothing), cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_a_leap),     cmocka_unit_test(test_order),   cmocka_unit_test(test_minmax),
        cmocka_unit_test(test_percentile), cmocka_unit_test(test_kl),      cmocka_unit_test(test_mse),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
