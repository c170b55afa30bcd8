/* What every backend must do, run on each: layers against direct loops, the same bytes for any number of
 * threads. */
#include "engine/backend/backend.h"
#include "tests/engine/kernels/random.h"
#include "tiling/base/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>
#include <cmocka.h>

static const char *const names[] = {"portable"};

static float *random_block(randoms *r, size_t count)
{
    float *block = pt_alloc_aligned(count, sizeof *block);
    assert_non_null(block);
    random_fill(r, block, count, -1, 1);
    return block;
}

static pt_backend *open_backend(const char *name, int threads)
{
    pt_backend *backend = NULL;
    assert_int_equal(pt_backend_open(name, threads, &backend).code, PT_OK);
    assert_int_equal(pt_pool_threads(backend->pool), threads);
    return backend;
}

static float activated(double v, pt_activation activation)
{
    v = activation != PT_ACT_NONE && v < 0 ? 0 : v;
    return (float)(activation == PT_ACT_RELU6 && v > 6 ? 6 : v);
}

typedef struct conv_case {
    pt_conv_spec spec;
    pt_map in, out;
    float *weights, *bias, *add;
    double *exact;
} conv_case;

static double input_at(const conv_case *c, int channel, int n, int y, int x)
{
    const pt_map *in = &c->in;
    bool inside = y >= 0 && y < in->h && x >= 0 && x < in->w;
    return inside ? (double)in->data[((channel * in->n + n) * in->h + y) * in->w + x] : 0;
}

static double direct(const conv_case *c, int o, int n, int oy, int ox)
{
    const pt_conv_spec *s = &c->spec;
    int per_group = s->in_channels / s->groups, first = o / (s->out_channels / s->groups) * per_group;
    const float *w = c->weights + o * per_group * s->kernel_h * s->kernel_w;
    double sum = (double)c->bias[o];
    for (int i = 0; i < per_group; i++) {
        for (int ky = 0; ky < s->kernel_h; ky++) {
            for (int kx = 0; kx < s->kernel_w; kx++) {
                sum += (double)*w++ *
                       input_at(c, first + i, n, oy * s->stride - s->pad + ky, ox * s->stride - s->pad + kx);
            }
        }
    }
    return sum;
}

static bool make_case(randoms *r, int kind, conv_case *c)
{
    pt_conv_spec s = {
        .stride = random_int(r, 1, 2), .groups = 1, .activation = (pt_activation)random_int(r, 0, 2)};
    s.kernel_h = kind == 0 ? 1 : kind == 1 ? 3 : random_int(r, 1, 7);
    s.kernel_w = kind < 2 ? s.kernel_h : random_int(r, 1, 7);
    s.pad = kind == 1 ? 1 : random_int(r, 0, 3);
    s.in_channels = random_int(r, 1, 20);
    s.out_channels = random_int(r, 1, 20);
    if (kind == 0) {
        s.pad = 0;
        s.stride = 1;
    } else if (kind == 1) {
        s.groups = s.out_channels = s.in_channels;
    } else if (kind == 2) {
        s.groups = random_int(r, 1, 3);
        s.in_channels = s.groups * random_int(r, 1, 4);
        s.out_channels = s.groups * random_int(r, 1, 4);
    }
    *c = (conv_case){
        .spec = s,
        .in = {NULL, s.in_channels, random_int(r, 1, 3), random_int(r, 1, 23), random_int(r, 1, 40)}};
    c->out = (pt_map){NULL, s.out_channels, c->in.n, pt_k_window_out(c->in.h, s.kernel_h, s.stride, s.pad),
                      pt_k_window_out(c->in.w, s.kernel_w, s.stride, s.pad)};
    if (c->out.h < 1 || c->out.w < 1) {
        return false;
    }
    c->in.data = random_block(r, pt_map_count(&c->in));
    c->out.data = random_block(r, pt_map_count(&c->out));
    c->weights =
        random_block(r, (size_t)(s.out_channels * s.in_channels / s.groups * s.kernel_h * s.kernel_w));
    c->bias = random_block(r, (size_t)s.out_channels);
    c->add = kind != 1 && random_int(r, 0, 1) ? random_block(r, pt_map_count(&c->out)) : NULL;
    c->exact = calloc(pt_map_count(&c->out), sizeof *c->exact);
    assert_non_null(c->exact);
    size_t plane = (size_t)(c->out.h * c->out.w);
    for (size_t i = 0; i < pt_map_count(&c->out); i++) {
        int o = (int)(i / plane) / c->out.n, n = (int)(i / plane) % c->out.n, p = (int)(i % plane);
        c->exact[i] = direct(c, o, n, p / c->out.w, p % c->out.w) + (c->add ? (double)c->add[i] : 0);
    }
    return true;
}

static void free_case(conv_case *c)
{
    pt_free(c->in.data);
    pt_free(c->out.data);
    pt_free(c->weights);
    pt_free(c->bias);
    pt_free(c->add);
    free(c->exact);
}

static float *copy(const float *from, size_t count)
{
    float *block = pt_alloc_aligned(count, sizeof *block);
    assert_non_null(block);
    memcpy(block, from, count * sizeof *block);
    return block;
}

/* Runs a case; `in_place` puts the summand where the result goes. */
static void run_case(pt_backend *backend, conv_case *c, bool in_place)
{
    const pt_conv_spec *s = &c->spec;
    size_t weights = (size_t)(s->out_channels * s->in_channels / s->groups * s->kernel_h * s->kernel_w);
    pt_conv *conv = NULL;
    assert_int_equal(
        backend->ops
            ->conv_new(backend, s, copy(c->weights, weights), copy(c->bias, (size_t)s->out_channels), &conv)
            .code,
        PT_OK);
    assert_int_equal(backend->ops->conv_reserve(backend, conv, c->in.n, c->in.h, c->in.w).code, PT_OK);
    const float *add = c->add;
    if (add && in_place) {
        memcpy(c->out.data, add, pt_map_count(&c->out) * sizeof *add);
        add = c->out.data;
    }
    long before = pt_alloc_count();
    backend->ops->conv_run(backend, conv, &c->in, add, &c->out);
    assert_int_equal(pt_alloc_count(), before);
    backend->ops->conv_free(backend, conv);
}

static void test_convolutions(void **state)
{
    (void)state;
    for (size_t b = 0; b < sizeof names / sizeof *names; b++) {
        pt_backend *backend = open_backend(names[b], 2);
        randoms r = {10};
        for (int round = 0; round < 200; round++) {
            conv_case c;
            if (!make_case(&r, round % 4, &c)) {
                continue;
            }
            run_case(backend, &c, round / 4 % 2);
            for (size_t i = 0; i < pt_map_count(&c.out); i++) {
                float wanted = activated(c.exact[i], c.spec.activation);
                assert_true(fabsf(c.out.data[i] - wanted) < 1e-4f);
            }
            free_case(&c);
        }
        pt_backend_close(&backend);
        assert_null(backend);
    }
}

/* Maps of several blocks, so that work is really shared out. */
static void test_threads_give_the_same_bytes(void **state)
{
    (void)state;
    randoms r = {11};
    static const pt_conv_spec specs[] = {{33, 17, 3, 3, 1, 1, 1, PT_ACT_RELU},
                                         {40, 24, 1, 1, 1, 0, 1, PT_ACT_NONE},
                                         {12, 12, 3, 3, 2, 1, 12, PT_ACT_RELU6},
                                         {8, 8, 5, 5, 2, 2, 2, PT_ACT_RELU}};
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++) {
        const pt_conv_spec *s = &specs[k];
        conv_case c = {.spec = *s, .in = {NULL, s->in_channels, 2, 61, 47}};
        c.out = (pt_map){NULL, s->out_channels, 2, pt_k_window_out(61, s->kernel_h, s->stride, s->pad),
                         pt_k_window_out(47, s->kernel_w, s->stride, s->pad)};
        c.in.data = random_block(&r, pt_map_count(&c.in));
        c.out.data = random_block(&r, pt_map_count(&c.out));
        c.weights = random_block(
            &r, (size_t)(s->out_channels * s->in_channels / s->groups * s->kernel_h * s->kernel_w));
        c.bias = random_block(&r, (size_t)s->out_channels);
        float *first = NULL;
        for (int threads = 1; threads <= 3; threads++) {
            pt_backend *backend = open_backend("portable", threads);
            run_case(backend, &c, false);
            pt_backend_close(&backend);
            if (!first) {
                first = copy(c.out.data, pt_map_count(&c.out));
            }
            assert_memory_equal(first, c.out.data, pt_map_count(&c.out) * sizeof *first);
        }
        pt_free(first);
        free_case(&c);
    }
}

static void test_linear(void **state)
{
    (void)state;
    static const int sizes[][3] = {{1, 1, 1}, {5, 7, 3}, {300, 33, 290}, {513, 20, 257}}; /* rows, in, out */
    randoms r = {12};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        size_t rows = (size_t)sizes[k][0], in = (size_t)sizes[k][1], out = (size_t)sizes[k][2];
        float *x = random_block(&r, rows * in), *y = random_block(&r, rows * out), *first = NULL;
        float *w = random_block(&r, in * out), *b = random_block(&r, out);
        for (int threads = 1; threads <= 3; threads++) {
            pt_backend *backend = open_backend("portable", threads);
            pt_linear_spec spec = {(int)in, (int)out, PT_ACT_RELU};
            pt_linear *linear = NULL;
            assert_int_equal(
                backend->ops->linear_new(backend, &spec, copy(w, in * out), copy(b, out), &linear).code,
                PT_OK);
            backend->ops->linear_run(backend, linear, x, rows, y);
            backend->ops->linear_run(backend, linear, x, 0, y);
            backend->ops->linear_free(backend, linear);
            pt_backend_close(&backend);
            if (!first) {
                first = copy(y, rows * out);
            }
            assert_memory_equal(first, y, rows * out * sizeof *y);
        }
        for (size_t i = 0; i < rows * out; i++) {
            double sum = (double)b[i % out];
            for (size_t j = 0; j < in; j++) {
                sum += (double)x[i / out * in + j] * (double)w[i % out * in + j];
            }
            assert_true(fabsf(y[i] - activated(sum, PT_ACT_RELU)) < 1e-4f);
        }
        pt_free(x);
        pt_free(y);
        pt_free(w);
        pt_free(b);
        pt_free(first);
    }
}

typedef struct tally {
    atomic_int runs[1000];
    atomic_int wrong_worker;
    int threads;
} tally;

static void count_task(void *context, size_t task, int worker)
{
    tally *t = context;
    atomic_fetch_add(&t->runs[task], 1);
    atomic_fetch_add(&t->wrong_worker, worker < 0 || worker >= t->threads);
}

static void test_pool(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        pt_pool *pool = NULL;
        assert_int_equal(pt_pool_new(threads, &pool).code, PT_OK);
        assert_int_equal(pt_pool_threads(pool), threads);
        tally *t = calloc(1, sizeof *t);
        assert_non_null(t);
        t->threads = threads;
        for (int round = 0; round < 50; round++) {
            pt_pool_run(pool, (size_t)(round * 20), count_task, t);
        }
        for (int i = 0; i < 1000; i++) {
            assert_int_equal(atomic_load(&t->runs[i]), 49 - i / 20);
        }
        assert_int_equal(atomic_load(&t->wrong_worker), 0);
        free(t);
        pt_pool_free(&pool);
        assert_null(pool);
        pt_pool_free(&pool);
    }
    pt_pool *none = NULL;
    assert_int_equal(pt_pool_new(0, &none).code, PT_E_USAGE);
    assert_null(none);
    assert_true(pt_cpu_count() >= 1);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    pt_backend *backend = NULL;
    pt_status status = pt_backend_open("abacus", 1, &backend);
    assert_int_equal(status.code, PT_E_USAGE);
    assert_non_null(strstr(status.message, "abacus"));
    assert_int_equal(pt_backend_open(NULL, -1, &backend).code, PT_E_USAGE);
    assert_int_equal(pt_backend_open(NULL, 100000, &backend).code, PT_E_USAGE);
    assert_null(backend);
    pt_backend_close(&backend);
    backend = open_backend(NULL, 1);
    assert_non_null(strstr(backend->description, "portable (OpenBLAS "));
    pt_backend_close(&backend);
}

/* Opens a backend and both kinds of layers; the weights are made beforehand, since each layer takes its own.
 */
static pt_status everything(void)
{
    pt_backend *backend = NULL;
    pt_conv *conv = NULL;
    pt_linear *linear = NULL;
    PT_TRY(pt_backend_open(NULL, 2, &backend));
    pt_conv_spec spec = {2, 3, 3, 3, 1, 1, 1, PT_ACT_NONE};
    pt_linear_spec full = {2, 3, PT_ACT_NONE};
    float *blocks[4] = {aligned_alloc(64, 256), aligned_alloc(64, 256), aligned_alloc(64, 256),
                        aligned_alloc(64, 256)};
    pt_status status = backend->ops->conv_new(backend, &spec, blocks[0], blocks[1], &conv);
    pt_status other = backend->ops->linear_new(backend, &full, blocks[2], blocks[3], &linear);
    if (status.code == PT_OK) {
        status = backend->ops->conv_reserve(backend, conv, 1, 4, 4);
    }
    backend->ops->conv_free(backend, conv);
    backend->ops->linear_free(backend, linear);
    pt_backend_close(&backend);
    return status.code == PT_OK ? other : status;
}

static void test_allocation_failures(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        pt_alloc_fail_after(n);
        pt_status status = everything();
        pt_alloc_fail_after(-1);
        if (status.code == PT_OK) {
            assert_true(n >= 5);
            break;
        }
        assert_int_equal(status.code, PT_E_NOMEM);
    }
}

/* ctest runs this program again under OPENBLAS_CORETYPE=Prescott: the kernels that an OpenBLAS takes which
 * does not know the CPU. */
static void test_blas_core(void **state)
{
    (void)state;
    unsetenv("OPENBLAS_CORETYPE"); /* it was read as OpenBLAS was loaded */
    const char *core = pt_blas_core_wanted();
    assert_true(!core || strcmp(core, "SkylakeX") == 0 || strcmp(core, "Haswell") == 0);
#if defined(__x86_64__)
    if (strcmp(openblas_get_corename(), "Prescott") == 0 && __builtin_cpu_supports("avx2")) {
        assert_non_null(core);
    }
#endif
    setenv("OPENBLAS_CORETYPE", "Whatever", 1);
    assert_null(
        pt_blas_core_wanted()); /* the user's own choice stands, and a restart does not repeat itself */
    unsetenv("OPENBLAS_CORETYPE");
}

static void test_blas_core_for(void **state)
{
    (void)state;
    static const char *const widest[] = {"SkylakeX", "Cooperlake", "SapphireRapids", "Sapphirerapids"};
    for (size_t i = 0; i < sizeof widest / sizeof *widest; i++) {
        assert_null(pt_blas_core_for(widest[i], true, true));
    }
    assert_string_equal(pt_blas_core_for("Prescott", true, true), "SkylakeX");
    assert_string_equal(pt_blas_core_for("Zen", true, true), "SkylakeX");
    assert_string_equal(pt_blas_core_for("Prescott", false, true), "Haswell");
    assert_null(pt_blas_core_for("Zen", false, true));
    assert_null(pt_blas_core_for("Haswell", false, true));
    assert_null(pt_blas_core_for("Prescott", false, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolutions),  cmocka_unit_test(test_threads_give_the_same_bytes),
        cmocka_unit_test(test_linear),        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_bad_arguments), cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_blas_core),     cmocka_unit_test(test_blas_core_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
