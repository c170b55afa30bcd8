/* A supervisor and small children that end as they are told. Arguments: the child's program. */
#include "worker/supervise/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const char *program;
static char path[64]; /* of the file in which the children sign in */

typedef struct start_line {
    pid_t pid;
    char slot[40], devices[40];
} start_line;

enum { LINES_MAX = 64 };
static start_line lines[LINES_MAX];

/* Who has signed in so far. */
static int read_lines(void)
{
    FILE *file = fopen(path, "r");
    int count = 0;
    long pid;
    while (file && count < LINES_MAX &&
           fscanf(file, "%ld %39s %39s", &pid, lines[count].slot, lines[count].devices) == 3) {
        lines[count++].pid = (pid_t)pid;
    }
    if (file) {
        fclose(file);
    }
    return count;
}

static int new_path(void **state)
{
    (void)state;
    strcpy(path, "supervise-XXXXXX");
    int fd = mkstemp(path);
    close(fd);
    return fd >= 0 ? 0 : -1;
}

static int remove_path(void **state)
{
    (void)state;
    char tell[80];
    snprintf(tell, sizeof tell, "%s.tell", path);
    unlink(tell);
    return unlink(path);
}

static void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* "ends 3 -9" becomes the arguments; `words` is cut up. */
typedef struct run {
    char words[128];
    const char *arguments[16];
    pt_supervise_options options;
    pt_supervise_report report;
    atomic_int drain;
    int wake;
    pthread_t thread;
    pt_status status;
} run;

static void prepare(run *r, const char *words)
{
    size_t count = 0;
    memset(r, 0, sizeof *r);
    snprintf(r->words, sizeof r->words, "%s", words);
    for (char *word = strtok(r->words, " "); word; word = strtok(NULL, " ")) {
        r->arguments[count++] = word;
        if (count == 1) {
            r->arguments[count++] = path;
        }
    }
    r->options = pt_supervise_defaults();
    r->options.program = program;
    r->options.arguments = r->arguments;
    r->options.argument_count = count;
    r->options.drain = &r->drain;
    r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->options.wake_fd = r->wake;
}

static void *supervise(void *user)
{
    run *r = user;
    r->status = pt_supervise(&r->options, &r->report);
    return NULL;
}

static void ask(run *r, int wish)
{
    uint64_t one = 1;
    atomic_store(&r->drain, wish);
    assert_int_equal(write(r->wake, &one, sizeof one), sizeof one);
}

static void join(run *r)
{
    pthread_join(r->thread, NULL);
    close(r->wake);
}

static pt_code run_to_end(run *r, const char *words)
{
    prepare(r, words);
    supervise(r);
    close(r->wake);
    return r->status.code;
}

static void wait_for_lines(int count)
{
    for (int i = 0; read_lines() < count; i++) {
        assert_true(i < 3000);
        sleep_ms(10);
    }
}

static void test_who_is_done_stays_done(void **state)
{
    (void)state;
    run r;
    assert_int_equal(run_to_end(&r, "ends 0"), PT_OK);
    assert_int_equal(read_lines(), 1);
    assert_int_equal(r.report.started, 1);
    assert_int_equal(r.report.done, 1);
    assert_int_equal(r.report.died, 0);
}

static void test_refused_and_lost(void **state)
{
    (void)state;
    run r;
    assert_int_equal(run_to_end(&r, "ends 77"), PT_E_INPUT);
    assert_int_equal(r.report.refused, 1);
    assert_int_equal(run_to_end(&r, "ends 77 69"), PT_E_STOPPED); /* the file knows of the first start */
    assert_int_equal(r.report.lost, 1);
    assert_int_equal(read_lines(), 2);
}

/* By signal or by code; each new life has the slot of the one before, and its own process. */
static void test_the_dead_are_replaced(void **state)
{
    (void)state;
    run r;
    assert_int_equal(run_to_end(&r, "ends -9 5 -11 0"), PT_OK);
    assert_int_equal(read_lines(), 4);
    assert_int_equal(r.report.started, 4);
    assert_int_equal(r.report.died, 3);
    for (int i = 1; i < 4; i++) {
        assert_string_equal(lines[i].slot, lines[0].slot);
        assert_int_not_equal(lines[i].pid, lines[i - 1].pid);
    }
    assert_int_equal(strlen(lines[0].slot), 32);
}

static void test_who_never_starts_is_given_up(void **state)
{
    (void)state;
    run r;
    assert_int_equal(run_to_end(&r, "ends -11"), PT_E_INTERNAL);
    assert_int_equal(read_lines(), PT_DEATHS_AT_START);
    assert_int_equal(r.report.died, PT_DEATHS_AT_START);
    assert_int_equal(r.report.given_up, 1);
    assert_non_null(strstr(r.status.message, "signal 11"));
}

/* Each settled tile ends the row of deaths. */
static void test_deaths_with_work_in_between(void **state)
{
    (void)state;
    run r;
    assert_int_equal(run_to_end(&r, "ends 1003 3 3 1003 3 3 991 3 3 3 0"), PT_OK);
    assert_int_equal(read_lines(), 11);
    assert_int_equal(r.report.died, 10);
}

static void test_memory(void **state)
{
    (void)state;
    run r;
    /* Once is forgiven; then the last one's counts as deaths. */
    assert_int_equal(run_to_end(&r, "ends 75 75 75 0"), PT_OK);
    assert_int_equal(read_lines(), 4);
    assert_int_equal(r.report.died, 2);
    /* Of two, one less from the second time on; the file counts on from 4. */
    prepare(&r, "ends 0 0 0 0 75 75 75 0");
    r.options.workers = 2;
    supervise(&r);
    close(r.wake);
    assert_int_equal(r.status.code, PT_OK);
    assert_int_equal(r.report.given_up + r.report.done, 2);
    assert_int_equal(r.report.given_up, 1);
}

static void test_who_hangs_is_killed(void **state)
{
    (void)state;
    run r;
    prepare(&r, "hang");
    r.options.stall_seconds = 1;
    supervise(&r);
    close(r.wake);
    assert_int_equal(r.status.code, PT_OK);
    assert_int_equal(r.report.killed, 1);
    assert_int_equal(r.report.died, 1);
    assert_int_equal(read_lines(), 2);
    int status;
    assert_true(waitpid(lines[0].pid, &status, WNOHANG) < 0 && errno == ECHILD); /* reaped */
}

static void test_draining(void **state)
{
    (void)state;
    run r;
    prepare(&r, "work");
    r.options.workers = 3;
    r.options.stall_seconds = 20;
    assert_int_equal(pthread_create(&r.thread, NULL, supervise, &r), 0);
    wait_for_lines(3);
    assert_string_not_equal(lines[0].slot, lines[1].slot);
    assert_string_not_equal(lines[1].slot, lines[2].slot);
    ask(&r, 1);
    join(&r);
    assert_int_equal(r.status.code, PT_OK);
    assert_int_equal(r.report.started, 3);
    assert_int_equal(r.report.done, 3);
}

static void test_killing(void **state)
{
    (void)state;
    run r;
    prepare(&r, "deaf");
    r.options.workers = 2;
    assert_int_equal(pthread_create(&r.thread, NULL, supervise, &r), 0);
    wait_for_lines(2);
    ask(&r, 1);
    sleep_ms(200);
    ask(&r, 2);
    join(&r);
    assert_int_equal(r.status.code, PT_OK);
    assert_int_equal(r.report.started, 2);
}

/* Asked before it has begun; and while a dead worker waits for its turn. */
static void test_draining_early(void **state)
{
    (void)state;
    run r;
    prepare(&r, "work");
    atomic_store(&r.drain, 1);
    supervise(&r);
    close(r.wake);
    assert_int_equal(r.status.code, PT_OK);
    assert_int_equal(read_lines(), 0);
    prepare(&r, "ends 5");
    assert_int_equal(pthread_create(&r.thread, NULL, supervise, &r), 0);
    wait_for_lines(3);
    ask(&r, 1);
    join(&r);
    assert_int_equal(r.status.code, PT_OK);
}

static void test_what_is_inherited(void **state)
{
    (void)state;
    run r;
    char name[80], text[400] = "", wanted[400];
    pt_key_pair keys, server;
    assert_int_equal(pt_key_pair_new(&keys).code, PT_OK);
    assert_int_equal(pt_key_pair_new(&server).code, PT_OK);
    prepare(&r, "tell");
    r.options.keys = &keys;
    r.options.server = &server.public_key;
    int stray = dup(1); /* not marked to be closed by exec */
    supervise(&r);
    close(stray);
    close(r.wake);
    assert_int_equal(r.status.code, PT_OK);
    snprintf(name, sizeof name, "%s.tell", path);
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    snprintf(wanted, sizeof wanted,
             "open 2, secret %s, server %s, INT ignored, USR1 blocked, TERM blocked, HUP open\n", keys.secret,
             server.public_key.text);
    assert_string_equal(text, wanted);
}

static void read_tell(char *text, size_t size)
{
    char name[80];
    snprintf(name, sizeof name, "%s.tell", path);
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

/* Two children, each of which dies once and is replaced, are told where to go once they wait for it. */
static void test_a_door(void **state)
{
    (void)state;
    run r;
    char text[800], wanted[400];
    pt_key_pair keys, server;
    pt_supervise_door door = {.endpoint = "tcp://127.0.0.1:7", .keys = &keys, .server = &server.public_key};
    assert_int_equal(pt_key_pair_new(&keys).code, PT_OK);
    assert_int_equal(pt_key_pair_new(&server).code, PT_OK);
    prepare(&r, "go dies");
    r.options.workers = 2;
    r.options.door = &door;
    assert_int_equal(pthread_create(&r.thread, NULL, supervise, &r), 0);
    wait_for_lines(4);
    atomic_store(&door.open, true);
    ask(&r, 0);
    join(&r);
    assert_int_equal(r.status.code, PT_OK);
    assert_int_equal(r.report.done, 2);
    assert_int_equal(r.report.died, 2);
    snprintf(wanted, sizeof wanted, "tcp://127.0.0.1:7 %s %s\n", keys.secret, server.public_key.text);
    read_tell(text, sizeof text);
    assert_int_equal(strlen(text), 2 * strlen(wanted));
    assert_memory_equal(text, wanted, strlen(wanted));
    assert_string_equal(text + strlen(wanted), wanted);
}

/* The door stays shut: who waits there is let go by a wish to drain, which it cannot hear. */
static void test_a_shut_door(void **state)
{
    (void)state;
    run r;
    char name[80];
    pt_supervise_door door = {.endpoint = NULL};
    prepare(&r, "go");
    r.options.door = &door;
    assert_int_equal(pthread_create(&r.thread, NULL, supervise, &r), 0);
    wait_for_lines(1);
    ask(&r, 1);
    join(&r);
    assert_int_equal(r.status.code, PT_OK);
    assert_int_equal(r.report.done, 1);
    assert_int_equal(r.report.died, 0);
    snprintf(name, sizeof name, "%s.tell", path);
    assert_int_not_equal(access(name, F_OK), 0);
}

#if !defined(__SANITIZE_THREAD__) /* where spawn.c has to fork as everybody does */
static bool hold;                 /* the children of forks */

static void hold_child(void)
{
    while (hold) {
        pause();
    }
}

/* As PROJ's, when another thread has its lock. */
static void test_handlers_of_forks_are_not_run(void **state)
{
    (void)state;
    run r;
    assert_int_equal(pthread_atfork(NULL, NULL, hold_child), 0);
    hold = true;
    assert_int_equal(run_to_end(&r, "ends 0"), PT_OK);
    hold = false;
    assert_int_equal(r.report.done, 1);
}
#endif

static void test_devices(void **state)
{
    (void)state;
    run r;
    setenv("CUDA_VISIBLE_DEVICES", "4,5,GPU-7", 1);
    prepare(&r, "ends 0");
    r.options.workers = 2;
    r.options.first_device = 1;
    supervise(&r);
    close(r.wake);
    assert_int_equal(read_lines(), 2);
    const char *first = lines[0].devices, *second = lines[1].devices;
    assert_true((strcmp(first, "5") == 0 && strcmp(second, "GPU-7") == 0) ||
                (strcmp(second, "5") == 0 && strcmp(first, "GPU-7") == 0));
    assert_int_equal(run_to_end(&r, "ends 0"), PT_OK); /* as they are */
    assert_int_equal(read_lines(), 3);
    assert_string_equal(lines[2].devices, "4,5,GPU-7");
    prepare(&r, "ends 0");
    r.options.first_device = 3;
    supervise(&r);
    close(r.wake);
    assert_int_equal(r.status.code, PT_E_USAGE);
    assert_non_null(strstr(r.status.message, "4,5,GPU-7"));
    unsetenv("CUDA_VISIBLE_DEVICES");
    char device[64];
    assert_int_equal(pt_device_choose(NULL, 6, device, sizeof device).code, PT_OK);
    assert_string_equal(device, "6");
    assert_int_equal(pt_device_choose("", 0, device, sizeof device).code, PT_E_USAGE);
    assert_int_equal(pt_device_choose("1,,2", 1, device, sizeof device).code, PT_E_USAGE);
}

/* All workers of a host have devices of their own, or all see what there is. */
static void test_first_device(void **state)
{
    (void)state;
    bool taken[4] = {false};
    for (int rank = 0; rank < 2; rank++) {
        int first = pt_supervise_first_device("0,1,GPU-2,3", rank, 2, 2);
        for (int worker = 0; worker < 2; worker++) {
            assert_in_range(first + worker, 0, 3);
            assert_false(taken[first + worker]);
            taken[first + worker] = true;
        }
    }
    assert_int_equal(pt_supervise_first_device("0,1,2", 1, 2, 2), -1); /* one too few */
    assert_int_equal(pt_supervise_first_device("5", 0, 1, 1), -1);     /* its only one is its own */
    assert_int_equal(pt_supervise_first_device("", 0, 1, 1), -1);
    assert_int_equal(pt_supervise_first_device(NULL, 0, 1, 1), -1);
}

/* The supervisor is killed: its child must not stay behind. */
static void test_no_orphans(void **state)
{
    (void)state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* so that the end of the grandchild shows here */
    pid_t supervisor = fork();
    assert_true(supervisor >= 0);
    if (supervisor == 0) {
        run r;
        prepare(&r, "deaf");
        supervise(&r);
        _exit(0);
    }
    wait_for_lines(1);
    pid_t child = lines[0].pid;
    kill(supervisor, SIGKILL);
    assert_int_equal(waitpid(supervisor, NULL, 0), supervisor);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void test_what_cannot_be_started(void **state)
{
    (void)state;
    run r;
    prepare(&r, "work");
    r.options.program = "/no/such/program";
    supervise(&r);
    assert_int_equal(r.status.code, PT_E_INTERNAL);
    assert_non_null(strstr(r.status.message, "/no/such/program"));
    assert_int_equal(r.report.given_up, 1);
    r.options.workers = 0;
    supervise(&r);
    assert_int_equal(r.status.code, PT_E_USAGE);
    r.options.workers = 1;
    r.options.program = program;
    pt_alloc_fail_after(0);
    supervise(&r);
    pt_alloc_fail_after(-1);
    assert_int_equal(r.status.code, PT_E_NOMEM);
    pt_alloc_fail_after(2); /* each child's arguments */
    supervise(&r);
    pt_alloc_fail_after(-1);
    assert_int_equal(r.status.code, PT_E_NOMEM);
    assert_int_equal(r.report.started, 0);
    close(r.wake);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CHILD\n", argv[0]);
        return 2;
    }
    program = argv[1];
#define TEST(name) cmocka_unit_test_setup_teardown(name, new_path, remove_path)
    const struct CMUnitTest tests[] = {
        TEST(test_who_is_done_stays_done),
        TEST(test_refused_and_lost),
        TEST(test_the_dead_are_replaced),
        TEST(test_who_never_starts_is_given_up),
        TEST(test_deaths_with_work_in_between),
        TEST(test_memory),
        TEST(test_who_hangs_is_killed),
        TEST(test_draining),
        TEST(test_killing),
        TEST(test_draining_early),
        TEST(test_what_is_inherited),
        TEST(test_a_door),
        TEST(test_a_shut_door),
#if !defined(__SANITIZE_THREAD__)
        TEST(test_handlers_of_forks_are_not_run),
#endif
        TEST(test_devices),
        TEST(test_first_device),
        TEST(test_no_orphans),
        TEST(test_what_cannot_be_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
