/* What the conformance suite of all backends does not reach: maps of many bands and chunks, backends that run
 * one layer at the same time, and sums that only exact integers survive. */
#include "engine/backend/backend.h"
#include "tests/engine/kernels/conv_case.h"
#include "tiling/base/alloc.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef struct shape {
    int n, h, w, in, out, kernel, stride, groups;
    pt_add add;
} shape;

static const pt_elem elems[][2] = {{PT_F32, PT_F32}, {PT_U8, PT_U8}, {PT_U8, PT_F32}};
enum { ELEMS = sizeof elems / sizeof *elems };

static void make_case(const shape *l, const pt_elem elem[2], conv_case *c)
{
    randoms r = {17};
    pt_conv_spec spec = {.in_channels = l->in,
                         .out_channels = l->out,
                         .kernel_h = l->kernel,
                         .kernel_w = l->kernel,
                         .stride = l->stride,
                         .pad = l->kernel / 2,
                         .groups = l->groups,
                         .activation = PT_ACT_RELU6,
                         .add = l->add,
                         .in_elem = elem[0],
                         .out_elem = elem[1]};
    case_make_of(&r, &spec, l->n, l->h, l->w, c);
}

static pt_backend *open_onednn(int threads)
{
    pt_backend *backend = NULL;
    assert_int_equal(pt_backend_open("onednn", threads, &backend).code, PT_OK);
    assert_non_null(strstr(backend->description, "oneDNN"));
    return backend;
}

static void reserve(pt_backend *backend, pt_conv *conv, const conv_case *c)
{
    assert_int_equal(backend->ops->conv_reserve(backend, conv, c->in.n, c->in.h, c->in.w).code, PT_OK);
}

static void check_shape(pt_backend *backend, const shape *l, const pt_elem elem[2])
{
    conv_case c;
    pt_conv *conv = NULL;
    make_case(l, elem, &c);
    assert_int_equal(case_layer(&c, backend, &conv).code, PT_OK);
    reserve(backend, conv, &c);
    for (int n = c.in.n; n > 0; n -= 1 + n / 3) {
        case_run(&c, backend, conv, n, false);
        case_check(&c, n);
    }
    case_run(&c, backend, conv, c.in.n, true);
    case_check(&c, c.in.n);
    backend->ops->conv_free(backend, conv);
    case_free(&c);
}

/* Bands of one row and of many, a last one that is smaller, chunks with and without a remainder; one image
 * and so many that each is one band. */
static void test_cuts(void **state)
{
    (void)state;
    static const shape shapes[] = {
        {1, 67, 33, 8, 16, 3, 1, 1, PT_ADD_NONE},     {2, 41, 37, 16, 8, 3, 2, 1, PT_ADD_SAME},
        {18, 7, 9, 8, 8, 3, 1, 1, PT_ADD_UPSAMPLED},  {1, 90, 31, 24, 24, 3, 1, 24, PT_ADD_NONE},
        {1, 70, 37, 4, 16, 7, 2, 1, PT_ADD_NONE},     {1, 64, 64, 8, 16, 1, 1, 1, PT_ADD_SAME},
        {2, 61, 47, 8, 8, 1, 1, 1, PT_ADD_UPSAMPLED}, {300, 1, 1, 70, 30, 1, 1, 1, PT_ADD_NONE},
        {3, 1, 1, 2050, 2049, 1, 1, 1, PT_ADD_NONE},  {1, 35, 30, 12, 20, 1, 2, 1, PT_ADD_NONE}};
    pt_backend *backend = open_onednn(3);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        bool large = shapes[i].in > 1000; /* the reference takes its time */
        for (int e = 0; e < (large ? 1 : ELEMS); e++) {
            check_shape(backend, &shapes[i], elems[e]);
        }
    }
    pt_backend_close(&backend);
}

typedef struct sharer {
    pt_backend *backend;
    pt_conv *conv;
    conv_case layer;
} sharer;

static void *run_often(void *context)
{
    sharer *self = context;
    pt_map out = self->layer.out;
    for (int i = 0; i < 20; i++) {
        self->backend->ops->conv_run(self->backend, self->conv, &self->layer.in, NULL, &out);
    }
    return NULL;
}

static void share(const shape *l, const pt_elem elem[2])
{
    enum { SHARERS = 3 };
    sharer sharers[SHARERS];
    pthread_t threads[SHARERS];
    for (int i = 0; i < SHARERS; i++) {
        sharers[i] = (sharer){.backend = open_onednn(1 + i % 2)};
        make_case(l, elem, &sharers[i].layer);
        if (i == 0) {
            assert_int_equal(case_layer(&sharers[0].layer, sharers[0].backend, &sharers[0].conv).code, PT_OK);
        }
        sharers[i].conv = sharers[0].conv;
        reserve(sharers[i].backend, sharers[i].conv, &sharers[i].layer);
        case_run(&sharers[i].layer, sharers[i].backend, sharers[i].conv, l->n, false); /* sets the guard */
    }
    for (int i = 0; i < SHARERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_often, &sharers[i]), 0);
    }
    for (int i = 0; i < SHARERS; i++) {
        pthread_join(threads[i], NULL);
        case_check(&sharers[i].layer, l->n);
    }
    sharers[1].backend->ops->conv_free(sharers[1].backend, sharers[0].conv);
    for (int i = 0; i < SHARERS; i++) {
        pt_backend_close(&sharers[i].backend);
        case_free(&sharers[i].layer);
    }
}

static void test_backends_run_a_layer_at_the_same_time(void **state)
{
    (void)state;
    static const shape bands = {1, 20, 21, 16, 24, 3, 1, 1, PT_ADD_NONE};
    static const shape chunks = {150, 1, 1, 100, 30, 1, 1, 1, PT_ADD_NONE};
    for (int e = 0; e < ELEMS; e++) {
        share(&bands, elems[e]);
        share(&chunks, elems[e]);
    }
}

/* Every input byte is 129, one is 130, the zero 128, every weight 127: the result is small, the sum that
 * oneDNN forms is beyond the integers that floats hold, and not a multiple of what they skip. */
static void check_long_sum(pt_backend *backend, int h, int in, int kernel, int groups)
{
    pt_conv_spec spec = {.in_channels = in,
                         .out_channels = 16 * groups,
                         .kernel_h = kernel,
                         .kernel_w = kernel,
                         .stride = 1,
                         .groups = groups,
                         .in_elem = PT_U8,
                         .out_elem = PT_F32,
                         .in = {.scale = 1, .zero = 128}};
    size_t rows = pt_conv_rows(&spec), outputs = (size_t)spec.out_channels;
    pt_conv_weights weights = {.s8 = pt_alloc_aligned(rows * outputs, 1),
                               .scale = pt_alloc_aligned(outputs, sizeof(float)),
                               .bias = pt_alloc_aligned(outputs, sizeof(float))};
    pt_map input = {.n = 1, .h = h, .w = h, .c = in, .elem = PT_U8, .quant = spec.in};
    pt_map out = {.n = 1, .h = h - kernel + 1, .w = h - kernel + 1, .c = spec.out_channels, .elem = PT_F32};
    input.data = pt_alloc_aligned(pt_map_bytes(&input) + PT_MAP_SLACK, 1);
    out.data = pt_alloc_aligned(pt_map_bytes(&out) + PT_MAP_SLACK, 1);
    memset(weights.s8, 127, rows * outputs);
    memset(input.data, 129, pt_map_bytes(&input));
    for (size_t o = 0; o < outputs; o++) {
        weights.scale[o] = 1;
        weights.bias[o] = 0;
    }
    for (int g = 0; g < groups; g++) {
        pt_map_u8(&input)[g * in / groups] = 130;
    }
    pt_conv *conv = NULL;
    assert_int_equal(backend->ops->conv_new(backend, &spec, &weights, &conv).code, PT_OK);
    assert_int_equal(backend->ops->conv_reserve(backend, conv, 1, h, h).code, PT_OK);
    backend->ops->conv_run(backend, conv, &input, NULL, &out);
    for (size_t o = 0; o < outputs; o++) {
        assert_int_equal((long)pt_map_f32(&out)[o], 127 * (long)(rows + 1));
    }
    backend->ops->conv_free(backend, conv);
    pt_free(input.data);
    pt_free(out.data);
}

static void test_long_sums_are_exact(void **state)
{
    (void)state;
    pt_backend *backend = open_onednn(1);
    check_long_sum(backend, 1, 12544, 1, 1);
    check_long_sum(backend, 4, 512, 3, 1);
    check_long_sum(backend, 4, 512, 3, 2);
    check_long_sum(backend, 5, 2048, 3, 16);
    pt_backend_close(&backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_backends_run_a_layer_at_the_same_time),
        cmocka_unit_test(test_long_sums_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
