/* What every backend must do, run on each: layers against direct loops, bytes exactly, the same bytes for any
 * number of threads. PANTILE_ISA chooses the instruction set; ctest runs this program once for each. */
#include "engine/backend/backend.h"
#include "tests/engine/kernels/conv_case.h"
#include "tests/engine/kernels/random.h"
#include "tiling/base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>
#include <cmocka.h>

static const pt_elem elems[][2] = {{PT_F32, PT_F32}, {PT_U8, PT_U8}, {PT_U8, PT_F32}};
enum { ELEMS = sizeof elems / sizeof *elems };

static pt_backend *open_backend(const char *name, int threads)
{
    pt_backend *backend = NULL;
    pt_status status = pt_backend_open(name, threads, &backend);
    if (status.code != PT_OK) {
        fail_msg("%s: %s", name ? name : "auto", status.message);
    }
    assert_int_equal(pt_pool_threads(backend->pool), threads);
    assert_true(!name || strcmp(backend->ops->name, name) == 0);
    return backend;
}

static pt_conv *new_layer(const conv_case *c, pt_backend *backend, int n)
{
    pt_conv *conv = NULL;
    pt_status status = case_layer(c, backend, &conv);
    if (status.code == PT_OK) {
        status = backend->ops->conv_reserve(backend, conv, n, c->in.h, c->in.w);
    }
    if (status.code != PT_OK) {
        fail_msg("%s: %s", backend->ops->name, status.message);
    }
    return conv;
}

/* Alone, in place, with fewer images than were reserved. */
static void check_layer(randoms *r, pt_backend *backend, conv_case *c)
{
    pt_conv *conv = new_layer(c, backend, c->in.n + random_int(r, 0, 2));
    assert_true(backend->ops->conv_bytes(conv) >= (size_t)c->spec.out_channels);
    assert_non_null(backend->ops->conv_method(conv));
    case_run(c, backend, conv, c->in.n, false);
    case_check(c, c->in.n);
    case_run(c, backend, conv, c->in.n, true);
    case_check(c, c->in.n);
    int fewer = random_int(r, 1, c->in.n);
    case_run(c, backend, conv, fewer, false);
    if (c->spec.add != PT_ADD_SAME) { /* in place, the rest of the output was the summand */
        case_check(c, fewer);
    }
    backend->ops->conv_free(backend, conv);
}

enum { MAX_BACKENDS = 4 };

static size_t open_all(int threads, pt_backend *backends[MAX_BACKENDS])
{
    size_t count = 0;
    for (const char *const *name = pt_backend_names(); *name; name++) {
        assert_true(count < MAX_BACKENDS);
        backends[count++] = open_backend(*name, threads);
    }
    return count;
}

/* Layers of each kind and element; few under ThreadSanitizer, which takes minutes over more and looks at the
 * tasks, not at the numbers. */
#if defined(__SANITIZE_THREAD__)
enum { ROUNDS = 2 };
#else
enum { ROUNDS = 16 };
#endif

static void test_layers(void **state)
{
    (void)state;
    pt_backend *backends[MAX_BACKENDS];
    size_t count = open_all(2, backends);
    randoms r = {10};
    for (int round = 0; round < ROUNDS * CASE_KINDS * ELEMS; round++) {
        const pt_elem *elem = elems[round / CASE_KINDS % ELEMS];
        conv_case c;
        if (!case_make(&r, (case_kind)(round % CASE_KINDS), elem[0], elem[1], &c)) {
            continue;
        }
        for (size_t b = 0; b < count; b++) {
            check_layer(&r, backends[b], &c);
        }
        case_free(&c);
    }
    for (size_t b = 0; b < count; b++) {
        pt_backend_close(&backends[b]);
        assert_null(backends[b]);
    }
}

/* A layer keeps every size that it was prepared for, and serves several backends of its kind. */
static void test_sizes_and_sharing(void **state)
{
    (void)state;
    for (const char *const *name = pt_backend_names(); *name; name++) {
        pt_backend *first = open_backend(*name, 2), *second = open_backend(*name, 1);
        for (int e = 0; e < ELEMS; e++) {
            randoms r = {13};
            conv_case c;
            while (!case_make(&r, CASE_USUAL, elems[e][0], elems[e][1], &c)) {
            }
            pt_conv *conv = new_layer(&c, first, c.in.n);
            assert_int_equal(first->ops->conv_reserve(first, conv, 2, 50, 60).code, PT_OK);
            assert_int_equal(second->ops->conv_reserve(second, conv, c.in.n, c.in.h, c.in.w).code, PT_OK);
            case_run(&c, first, conv, c.in.n, false);
            case_check(&c, c.in.n);
            case_run(&c, second, conv, c.in.n, false);
            case_check(&c, c.in.n);
            first->ops->conv_free(first, conv);
            case_free(&c);
        }
        pt_backend_close(&first);
        pt_backend_close(&second);
    }
}

static void check_threads(const char *name, conv_case *c)
{
    size_t bytes = pt_map_bytes(&c->out);
    unsigned char *first = malloc(bytes);
    assert_non_null(first);
    for (int threads = 1; threads <= 3; threads++) {
        pt_backend *backend = open_backend(name, threads);
        pt_conv *conv = new_layer(c, backend, c->in.n);
        case_run(c, backend, conv, c->in.n, false);
        if (threads == 1) {
            memcpy(first, c->out.data, bytes);
        }
        assert_memory_equal(first, c->out.data, bytes);
        backend->ops->conv_free(backend, conv);
        pt_backend_close(&backend);
    }
    case_check(c, c->in.n);
    free(first);
}

/* Maps of several blocks, so that work is really shared out. */
static void test_threads_give_the_same_bytes(void **state)
{
    (void)state;
    static const struct {
        int in, out, kernel, stride, groups, h, w;
    } layers[] = {{33, 17, 3, 1, 1, 23, 47},  {40, 24, 1, 1, 1, 50, 47}, {12, 12, 3, 2, 12, 61, 47},
                  {8, 8, 5, 2, 2, 61, 47},    {64, 64, 3, 1, 1, 11, 13}, {32, 32, 3, 1, 32, 40, 47},
                  {100, 290, 1, 1, 1, 1, 140}};
    randoms r = {11};
    for (size_t k = 0; k < ELEMS * sizeof layers / sizeof *layers; k++) {
        pt_conv_spec s = {.in_channels = layers[k / ELEMS].in,
                          .out_channels = layers[k / ELEMS].out,
                          .kernel_h = layers[k / ELEMS].kernel,
                          .kernel_w = layers[k / ELEMS].kernel,
                          .stride = layers[k / ELEMS].stride,
                          .pad = layers[k / ELEMS].kernel / 2,
                          .groups = layers[k / ELEMS].groups,
                          .activation = PT_ACT_RELU,
                          .in_elem = elems[k % ELEMS][0],
                          .out_elem = elems[k % ELEMS][1]};
        conv_case c;
        case_make_of(&r, &s, 2, layers[k / ELEMS].h, layers[k / ELEMS].w, &c);
        for (const char *const *name = pt_backend_names(); *name; name++) {
            check_threads(*name, &c);
        }
        case_free(&c);
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
    assert_non_null(strstr(status.message, "native, onednn, portable"));
    assert_int_equal(pt_backend_check_name("abacus").code, PT_E_USAGE);
    assert_int_equal(pt_backend_check_name("").code, PT_E_USAGE);
    assert_int_equal(pt_backend_check_name(NULL).code, PT_OK);
    assert_int_equal(pt_backend_check_name("auto").code, PT_OK);
    assert_int_equal(pt_backend_check_name("onednn").code, PT_OK); /* in this build or not */
    assert_int_equal(pt_backend_open(NULL, -1, &backend).code, PT_E_USAGE);
    assert_int_equal(pt_backend_open(NULL, 100000, &backend).code, PT_E_USAGE);
    assert_null(backend);
    pt_backend_close(&backend);
    assert_int_equal(pt_backend_open("auto", 1, &backend).code, PT_OK);
    pt_backend_close(&backend);
    backend = open_backend("portable", 1);
    assert_non_null(strstr(backend->description, "portable (OpenBLAS "));
    pt_backend_close(&backend);
}

/* A convolution of floats to bytes, and sums of bytes that 32 bits do not hold. */
static void test_unsupported_layers(void **state)
{
    (void)state;
    for (const char *const *name = pt_backend_names(); *name; name++) {
        pt_backend *backend = open_backend(*name, 1);
        pt_conv_spec mixed = {.in_channels = 1,
                              .out_channels = 1,
                              .kernel_h = 1,
                              .kernel_w = 1,
                              .stride = 1,
                              .groups = 1,
                              .in_elem = PT_F32,
                              .out_elem = PT_U8};
        pt_conv_spec deep = mixed;
        deep.in_elem = PT_U8;
        deep.in_channels = 70000;
        const pt_conv_spec *const specs[] = {&mixed, &deep};
        for (int i = 0; i < 2; i++) {
            pt_conv_weights weights = {.f32 = pt_alloc_aligned(1, 4),
                                       .s8 = pt_alloc_aligned(70000, 1),
                                       .scale = pt_alloc_aligned(1, 4),
                                       .bias = pt_alloc_aligned(1, 4)};
            pt_conv *conv = NULL;
            assert_int_equal(backend->ops->conv_new(backend, specs[i], &weights, &conv).code,
                             PT_E_UNSUPPORTED);
            assert_null(conv);
            assert_true(!weights.f32 && !weights.s8 && !weights.scale && !weights.bias);
        }
        pt_backend_close(&backend);
    }
}

static pt_status open_and_prepare(const char *name, const conv_case *c)
{
    pt_backend *backend = NULL;
    pt_conv *conv = NULL;
    PT_TRY(pt_backend_open(name, 2, &backend));
    pt_status status = case_layer(c, backend, &conv);
    if (status.code == PT_OK) {
        status = backend->ops->conv_reserve(backend, conv, 1, c->in.h, c->in.w);
    }
    backend->ops->conv_free(backend, conv);
    pt_backend_close(&backend);
    return status;
}

static void test_allocation_failures(void **state)
{
    (void)state;
    for (const char *const *name = pt_backend_names(); *name; name++) {
        for (int k = 0; k < CASE_KINDS * ELEMS; k++) {
            randoms r = {14};
            conv_case c;
            while (!case_make(&r, (case_kind)(k % CASE_KINDS), elems[k / CASE_KINDS][0],
                              elems[k / CASE_KINDS][1], &c)) {
            }
            pt_status status = {.code = PT_E_NOMEM};
            long n = 0;
            for (; status.code != PT_OK; n++) {
                pt_alloc_fail_after(n);
                status = open_and_prepare(*name, &c);
                pt_alloc_fail_after(-1);
                assert_true(status.code == PT_OK || status.code == PT_E_NOMEM);
            }
            assert_true(n > 3);
            case_free(&c);
        }
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
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_sizes_and_sharing),
        cmocka_unit_test(test_threads_give_the_same_bytes),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_unsupported_layers),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_blas_core),
        cmocka_unit_test(test_blas_core_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
