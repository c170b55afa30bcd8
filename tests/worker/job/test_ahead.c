/* An engine that is prepared before the job is known. */
#include "tests/engine/network/tiny.h"
#include "tiling/base/sha256.h"
#include "worker/job/ahead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *model;
static char sha256[PT_SHA256_HEX];

static int make_model(void **state)
{
    (void)state;
    uint8_t digest[PT_SHA256_BYTES];
    model = tiny_model(TINY_MOBILENET);
    if (!model || pt_sha256_file(model, digest).code != PT_OK) {
        return -1;
    }
    pt_sha256_hex(digest, sha256);
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    unlink(model);
    free(model);
    return 0;
}

static pt_engine_options options(void)
{
    pt_engine_options o = pt_engine_defaults();
    o.threads = 2;
    o.score_threshold = 0.25f;
    o.max_detections = 7;
    o.max_proposals = 11;
    o.precision = "fp32";
    return o;
}

static pt_engine *take(const char *path, const pt_engine_options *wanted, const char *digest)
{
    pt_engine_options o = options();
    pt_ahead *ahead = NULL;
    assert_int_equal(pt_ahead_start(path, &o, &ahead).code, PT_OK);
    pt_engine *engine = pt_ahead_take(ahead, wanted, digest);
    pt_ahead_free(&ahead);
    assert_null(ahead);
    return engine;
}

static void test_taken(void **state)
{
    (void)state;
    char precision[] = "fp32"; /* as much as the other, but not the same text in memory */
    pt_engine_options wanted = options();
    wanted.precision = precision;
    pt_engine *engine = take(model, &wanted, sha256);
    assert_non_null(engine);
    assert_string_equal(pt_engine_model(engine)->sha256, sha256);
    assert_int_equal(pt_engine_threads(engine), 2);
    pt_engine_close(&engine);
}

static void test_another_is_wanted(void **state)
{
    (void)state;
    pt_engine_options wanted[6];
    for (int i = 0; i < 6; i++) {
        wanted[i] = options();
    }
    wanted[0].threads = 1;
    wanted[1].score_threshold = 0.5f;
    wanted[2].max_detections = 8;
    wanted[3].max_proposals = 10;
    wanted[4].backend = "portable";
    wanted[5].precision = NULL;
    for (int i = 0; i < 6; i++) {
        assert_null(take(model, &wanted[i], sha256));
    }
    char other[PT_SHA256_HEX];
    memcpy(other, sha256, sizeof other);
    other[0] = other[0] == '0' ? '1' : '0';
    pt_engine_options same = options();
    assert_null(take(model, &same, other));
}

static void test_no_model(void **state)
{
    (void)state;
    pt_engine_options o = options();
    assert_null(take("/nowhere.safetensors", &o, sha256));
}

static void test_nobody_takes_it(void **state)
{
    (void)state;
    pt_engine_options o = options();
    pt_ahead *ahead = NULL;
    assert_int_equal(pt_ahead_start(model, &o, &ahead).code, PT_OK);
    pt_ahead_free(&ahead);
    pt_ahead_free(&ahead); /* NULL */
}

static void test_no_memory(void **state)
{
    (void)state;
    pt_engine_options o = options();
    for (long n = 0; n < 3; n++) { /* itself, and two texts */
        pt_ahead *ahead = NULL;
        pt_alloc_fail_after(n);
        pt_status status = pt_ahead_start(model, &o, &ahead);
        pt_alloc_fail_after(-1);
        assert_int_equal(status.code, PT_E_NOMEM);
        assert_null(ahead);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),     cmocka_unit_test(test_another_is_wanted),
        cmocka_unit_test(test_no_model),  cmocka_unit_test(test_nobody_takes_it),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
