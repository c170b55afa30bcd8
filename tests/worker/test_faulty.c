/* Faults on purpose do what they are asked, where and as often as they are asked. */
#include "worker/detect/detector.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static pt_detector *make(const char *faults)
{
    pt_detector *inner = NULL, *out = NULL;
    assert_int_equal(pt_detector_new_null(&inner).code, PT_OK);
    pt_status status = pt_detector_new_faulty(faults, inner, &out);
    assert_string_equal(status.message, "");
    return out;
}

static void test_the_null_detector_finds_nothing(void **state)
{
    (void)state;
    pt_detector *null = NULL;
    pt_instance_list found = {0};
    bool capped = false;
    pt_window window = {.rect = {0, 0, 64, 64}}; /* without pixels */
    assert_int_equal(pt_detector_new_null(&null).code, PT_OK);
    assert_true(null->blind);
    assert_false(pt_detector_has_begin(null));
    assert_int_equal(pt_detector_begin(null, 3, 1).code, PT_OK);
    assert_int_equal(pt_detector_detect(null, 3, &window, &found, &capped).code, PT_OK);
    assert_int_equal(found.count, 0);
    assert_false(capped);
    pt_detector_free(&null);
    assert_null(null);
    pt_alloc_fail_after(0);
    pt_status status = pt_detector_new_null(&null);
    pt_alloc_fail_after(-1);
    assert_int_equal(status.code, PT_E_NOMEM);
}

static void test_failures_of_tiles(void **state)
{
    (void)state;
    pt_detector *d = make("fail@5x2,bad@6,nomem@7,slow@8:0.01,fail@5000000000");
    pt_instance_list found = {0};
    bool capped = false;
    pt_window window = {.rect = {0, 0, 64, 64}};
    assert_true(d->blind);
    assert_true(pt_detector_has_begin(d));
    assert_int_equal(pt_detector_begin(d, 4, 1).code, PT_OK);
    assert_int_equal(pt_detector_begin(d, 5, 1).code, PT_E_READ);
    assert_int_equal(pt_detector_begin(d, 5, 2).code, PT_E_READ);
    assert_int_equal(pt_detector_begin(d, 5, 3).code, PT_OK);
    assert_int_equal(pt_detector_begin(d, 6, 9).code, PT_E_TILE);
    assert_int_equal(pt_detector_begin(d, 7, 1).code, PT_E_NOMEM);
    assert_int_equal(pt_detector_begin(d, 8, 1).code, PT_OK);
    assert_int_equal(pt_detector_begin(d, 5000000000, 1).code, PT_E_READ);
    assert_int_equal(pt_detector_detect(d, 4, &window, &found, &capped).code, PT_OK);
    pt_detector_free(&d);
}

/* The end of a child process that begins tile 17. */
static int end_of(const char *faults, int options)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pt_detector *inner = NULL, *d = NULL;
        alarm(60);
        if (pt_detector_new_null(&inner).code == PT_OK &&
            pt_detector_new_faulty(faults, inner, &d).code == PT_OK) {
            pt_detector_begin(d, 17, 1);
        }
        _exit(99);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, options), child);
    if (WIFSTOPPED(status)) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return status;
}

static void test_ends_of_processes(void **state)
{
    (void)state;
    int status = end_of("kill@17", 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = end_of("exit@17:3", 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    status = end_of("exit@17:0x1", 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    status = end_of("stop@17", WUNTRACED);
    assert_true(WIFSTOPPED(status));
    status = end_of("kill@16,exit@18:1", 0); /* not this one */
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 99);
}

static void test_hanging(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(60);
        pt_detector *d = make("hang@17");
        pt_detector_begin(d, 17, 1);
        _exit(99);
    }
    struct timespec moment = {.tv_nsec = 300000000};
    nanosleep(&moment, NULL);
    assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_what_is_not_understood(void **state)
{
    (void)state;
    static const char *const bad[] = {"kill",    "kill@",   "kill@x",      "die@3",     "kill@3:1",
                                      "exit@3",  "exit@3:", "exit@3:256",  "slow@3:-1", "slow@3:1e9",
                                      "fail@-1", "fail@3x", "fail@3x0",    "fail@3;",   "fail@3,die@4",
                                      ",fail@3", "@3",      "slow@3:1.2.3"};
    pt_detector *inner = NULL;
    assert_int_equal(pt_detector_new_null(&inner).code, PT_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pt_detector *out = NULL;
        pt_status status = pt_detector_new_faulty(bad[i], inner, &out);
        assert_null(out);
        if (status.code != PT_E_USAGE || !strstr(status.message, "ATTEMPTS")) {
            fail_msg("%s: %s", bad[i], status.message);
        }
    }
    for (long n = 0; n < 2; n++) {
        pt_detector *out = NULL;
        pt_alloc_fail_after(n);
        pt_status status = pt_detector_new_faulty("fail@3", inner, &out);
        pt_alloc_fail_after(-1);
        assert_int_equal(status.code, PT_E_NOMEM);
    }
    pt_detector_free(&inner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_null_detector_finds_nothing),
        cmocka_unit_test(test_failures_of_tiles),
        cmocka_unit_test(test_ends_of_processes),
        cmocka_unit_test(test_hanging),
        cmocka_unit_test(test_what_is_not_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
