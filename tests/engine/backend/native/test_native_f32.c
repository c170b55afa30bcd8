/* FP32 layers of the native backend: by definition bit for bit, on every instruction set of this CPU and for
 * any number of threads. */
#include "engine/backend/native/native_f32.h"
#include "tests/engine/backend/native/f32_case.h"
#include "tiling/base/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void assert_same_bits(const f32_case *c, const float *wanted)
{
    assert_memory_equal(c->out.data, wanted, pt_map_count(&c->out) * sizeof(float));
}

static void check_chain(randoms *r, pt_native_new *implementation, const pt_conv_spec *spec, int n, int h,
                        int w)
{
    f32_case c = f32_case_new(r, spec, n, h, w, random_int(r, 1, 9), random_int(r, 1, 9));
    for (int isa = PT_ISA_C; isa <= (int)pt_isa_best(); isa++) {
        f32_case_run(&c, implementation, (pt_isa)isa, 1 + isa % 3, isa % 2);
        assert_same_bits(&c, c.chain);
    }
    f32_case_free(&c);
}

static void test_direct_layers_are_one_chain(void **state)
{
    (void)state;
    randoms r = {20};
    for (int round = 0; round < 120; round++) {
        pt_conv_spec s = {.kernel_h = random_int(&r, 1, 4), .kernel_w = random_int(&r, 1, 4)};
        s.stride = random_int(&r, 1, 3);
        s.pad = random_int(&r, 0, 3);
        s.groups = round % 4 == 0 ? random_int(&r, 2, 3) : 1;
        s.in_channels = s.groups * random_int(&r, 1, 40);
        s.out_channels = s.groups * random_int(&r, 1, 75);
        s.activation = (pt_activation)random_int(&r, 0, 2);
        s.add = (pt_add)random_int(&r, 0, 2);
        check_chain(&r, pt_native_f32_direct_new, &s, random_int(&r, 1, 3), random_int(&r, 4, 12),
                    random_int(&r, 4, 12));
    }
}

/* The kinds that the networks have, and sizes that cut work and depth into several blocks. */
static void test_direct_layers_of_networks(void **state)
{
    (void)state;
    static const pt_conv_spec specs[] = {
        {.in_channels = 3, .out_channels = 64, .kernel_h = 7, .kernel_w = 7, .stride = 2, .pad = 3},
        {.in_channels = 3, .out_channels = 32, .kernel_h = 3, .kernel_w = 3, .stride = 2, .pad = 1},
        {.in_channels = 1024, .out_channels = 48, .kernel_h = 1, .kernel_w = 1, .stride = 1},
        {.in_channels = 100, .out_channels = 130, .kernel_h = 3, .kernel_w = 3, .stride = 1, .pad = 1},
        {.in_channels = 64, .out_channels = 40, .kernel_h = 1, .kernel_w = 1, .stride = 2},
    };
    randoms r = {21};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        pt_conv_spec s = specs[i];
        s.groups = 1;
        s.activation = PT_ACT_RELU6;
        s.add = i % 2 ? PT_ADD_SAME : PT_ADD_NONE;
        check_chain(&r, pt_native_f32_direct_new, &s, 1, 23, 19);
    }
    const pt_conv_spec rows = {.in_channels = 2000,
                               .out_channels = 33,
                               .kernel_h = 1,
                               .kernel_w = 1,
                               .stride = 1,
                               .groups = 1,
                               .activation = PT_ACT_RELU};
    check_chain(&r, pt_native_f32_direct_new, &rows, 100, 1, 1);
}

static void test_depthwise_layers_are_one_chain(void **state)
{
    (void)state;
    randoms r = {22};
    for (int round = 0; round < 120; round++) {
        pt_conv_spec s = {.kernel_h = 3, .kernel_w = 3, .pad = 1};
        if (round % 3 == 0) {
            s.kernel_h = random_int(&r, 1, 5);
            s.kernel_w = random_int(&r, 1, 5);
            s.pad = random_int(&r, 0, 3);
        }
        s.stride = random_int(&r, 1, round % 3 ? 2 : 3);
        s.groups = s.in_channels = s.out_channels = random_int(&r, 2, 70);
        s.activation = (pt_activation)random_int(&r, 0, 2);
        check_chain(&r, pt_native_f32_depthwise_new, &s, random_int(&r, 1, 3), random_int(&r, 5, 19),
                    random_int(&r, 5, 19));
    }
}

/* How far from exact: relative to the root of the mean square, as rounding errors are. */
static double distance(const f32_case *c)
{
    double wrong = 0, all = 0;
    for (size_t i = 0; i < pt_map_count(&c->out); i++) {
        const double d = (double)pt_map_f32(&c->out)[i] - c->exact[i];
        wrong += d * d;
        all += c->exact[i] * c->exact[i];
    }
    return sqrt(wrong / all);
}

/* Vectors of any width give the bits of plain C, which are as near to exact as this way of summing is. */
static void test_winograd_layers(void **state)
{
    (void)state;
    randoms r = {23};
    for (int round = 0; round < 24; round++) {
        pt_conv_spec s = {.kernel_h = 3, .kernel_w = 3, .stride = 1, .pad = 1, .groups = 1};
        s.in_channels = 16 * random_int(&r, 1, 9);
        s.out_channels = 16 * random_int(&r, 1, 7);
        s.activation = (pt_activation)random_int(&r, 0, 2);
        s.add = (pt_add)(round % 3);
        f32_case c = f32_case_new(&r, &s, random_int(&r, 1, 4), random_int(&r, 1, 19), random_int(&r, 1, 19),
                                  random_int(&r, 1, 9), random_int(&r, 1, 9));
        f32_case_run(&c, pt_native_f32_winograd_new, PT_ISA_C, 1, false);
        assert_true(distance(&c) < 2e-6);
        memcpy(c.chain, c.out.data, pt_map_count(&c.out) * sizeof(float));
        for (int isa = PT_ISA_C; isa <= (int)pt_isa_best(); isa++) {
            f32_case_run(&c, pt_native_f32_winograd_new, (pt_isa)isa, 1 + isa % 3, true);
            assert_same_bits(&c, c.chain);
        }
        f32_case_free(&c);
    }
}

static pt_conv_weights weights_of(const pt_conv_spec *s)
{
    const size_t outputs = (size_t)s->out_channels;
    const size_t each = (size_t)(s->kernel_h * s->kernel_w * (s->in_channels / s->groups));
    pt_conv_weights w = {.f32 = pt_alloc_aligned(outputs * each, sizeof(float)),
                         .bias = pt_alloc_aligned(outputs, sizeof(float))};
    assert_non_null(w.f32);
    assert_non_null(w.bias);
    memset(w.f32, 0, outputs * each * sizeof(float));
    memset(w.bias, 0, outputs * sizeof(float));
    return w;
}

static void test_no_memory(void **state)
{
    (void)state;
    const pt_conv_spec s = {.in_channels = 64,
                            .out_channels = 64,
                            .kernel_h = 3,
                            .kernel_w = 3,
                            .stride = 1,
                            .pad = 1,
                            .groups = 1};
    pt_backend *backend = NULL;
    assert_int_equal(pt_backend_native.open(2, &backend).code, PT_OK);
    int failures = 0;
    for (bool done = false; !done;) {
        pt_conv_weights weights = weights_of(&s);
        pt_conv *conv = NULL;
        pt_alloc_fail_after(failures);
        pt_status status = backend->ops->conv_new(backend, &s, &weights, &conv);
        if (status.code == PT_OK) {
            status = backend->ops->conv_reserve(backend, conv, 1, 8, 8);
        }
        pt_alloc_fail_after(-1);
        assert_null(weights.f32);
        assert_null(weights.bias);
        done = status.code == PT_OK;
        assert_true(done || status.code == PT_E_NOMEM);
        failures += !done;
        backend->ops->conv_free(backend, conv);
    }
    assert_true(failures >= 4); /* layer, weights, bias, scratch */
    backend->ops->close(backend);
}

static void test_says_what_it_is(void **state)
{
    (void)state;
    const pt_conv_spec s = {
        .in_channels = 8, .out_channels = 40, .kernel_h = 1, .kernel_w = 1, .stride = 1, .groups = 1};
    pt_backend *backend = NULL;
    assert_int_equal(pt_backend_native.open(1, &backend).code, PT_OK);
    pt_conv_weights weights = weights_of(&s);
    pt_conv *conv = NULL;
    assert_int_equal(backend->ops->conv_new(backend, &s, &weights, &conv).code, PT_OK);
    assert_string_equal(backend->ops->conv_method(conv), "direct 1x1");
    assert_int_equal(backend->ops->conv_bytes(conv), 64 * (8 + 1) * sizeof(float));
    backend->ops->conv_free(backend, conv);
    backend->ops->close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct_layers_are_one_chain),
        cmocka_unit_test(test_direct_layers_of_networks),
        cmocka_unit_test(test_depthwise_layers_are_one_chain),
        cmocka_unit_test(test_winograd_layers),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_says_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
