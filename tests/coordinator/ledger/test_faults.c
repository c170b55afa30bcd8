/* The disk's faults and sudden death: a process that keeps a ledger is killed before every single thing it
 * does to its folder, its writes are torn, its syncs fail, its disk fills up. What it had acknowledged is
 * there each time, nothing is there by half, and the next process goes on.
 *
 * test_faults DRIVER SHIM */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { BATCH = 5, LARGEST = 20000, MOST_CALLS = 2000, KILLED = -1 };

static const char *driver, *shim;

static int set_up(void **state)
{
    (void)state;
    ledger_scratch();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ledger_scratch_remove();
    return 0;
}

/* Runs the driver in the scratch folder `home`; `fault` is a variable of the shim ("NAME=VALUE"), NULL:
 * without it. Its exit code, or KILLED. */
static int run(const char *home, const char *fault, const char *calls, const char *stop_after)
{
    char preload[600], path[500], log[500], only[100], copy[100];
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", shim);
    snprintf(path, sizeof path, "PANTILE_SHIM_PATH=%s", home);
    snprintf(log, sizeof log, "PANTILE_SHIM_LOG=%s", ledger_path("log"));
    snprintf(only, sizeof only, "PANTILE_SHIM_CALLS=%s", calls ? calls : "");
    snprintf(copy, sizeof copy, "%s", fault ? fault : "");
    /* The shim comes before the sanitizer's library, which it passes everything on to. */
    char asan[] = "ASAN_OPTIONS=verify_asan_link_order=0";
    char *variables[] = {asan, fault ? preload : NULL, path, log, copy, calls ? only : NULL, NULL};
    char *arguments[] = {(char *)(uintptr_t)driver, (char *)(uintptr_t)home, (char *)(uintptr_t)stop_after,
                         NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    pid_t child = 0;
    int status = 0;
    assert_int_equal(posix_spawn(&child, driver, &actions, NULL, arguments, variables), 0);
    posix_spawn_file_actions_destroy(&actions);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return KILLED;
    }
    return WEXITSTATUS(status);
}

typedef struct promised {
    bool open, strike, done;
    int batches;
} promised;

static promised read_acks(const char *home)
{
    char path[400], line[80];
    promised p = {0};
    snprintf(path, sizeof path, "%s/acks", home);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        int number;
        p.open = p.open || strcmp(line, "open\n") == 0;
        p.strike = p.strike || strcmp(line, "strike\n") == 0;
        p.done = p.done || strcmp(line, "done\n") == 0;
        p.batches += sscanf(line, "batch %d\n", &number) == 1 && strchr(line, '\n');
    }
    if (file) {
        fclose(file);
    }
    return p;
}

typedef struct seen {
    bool payloads;
    int tiles, wrong, strikes;
} seen;

/* What is there must be the first tiles, without gaps. */
static pt_status see_tile(void *user, const pt_settlement *settlement)
{
    seen *s = user;
    s->wrong += settlement->tile != s->tiles || !ledger_is_settlement(settlement, LARGEST, s->payloads);
    s->tiles++;
    return pt_ok();
}

static pt_status see_strike(void *user, int64_t tile, int strikes, int lives)
{
    seen *s = user;
    s->strikes += tile == TILES - 1 && strikes == 2 && lives == 1;
    return pt_ok();
}

static void check_counts(pt_ledger *ledger, int tiles)
{
    pt_ledger_counts c = {0};
    pt_status status = pt_ledger_verify(ledger, &c);
    assert_string_equal(status.message, "");
    assert_int_equal(c.done + c.empty + c.quarantined, tiles);
    assert_int_equal(c.missing, TILES - tiles);
    assert_int_equal(c.foreign + c.doubled + c.damaged, 0);
}

/* Holds what lies there against what was acknowledged, before anyone has repaired anything. */
static void check(const char *home)
{
    char dir[400];
    promised p = read_acks(home);
    pt_ledger *ledger = NULL;
    snprintf(dir, sizeof dir, "%s/job", home);
    pt_status status = pt_ledger_read(dir, &ledger);
    if (status.code == PT_E_INPUT && strstr(status.message, "holds no job")) {
        assert_false(p.open);
        return;
    }
    assert_string_equal(status.message, "");
    bool done = pt_ledger_state(ledger) == PT_JOB_DONE;
    seen s = {.payloads = !done};
    status = pt_ledger_replay(ledger, see_tile, see_strike, &s);
    assert_string_equal(status.message, "");
    assert_int_equal(s.wrong, 0);
    assert_int_equal(s.tiles % BATCH, 0); /* never half a batch */
    assert_true(s.tiles >= p.batches * BATCH && s.tiles <= (p.batches + 1) * BATCH);
    assert_true(s.strikes == 1 || !p.strike || s.tiles == TILES);
    assert_true(done || !p.done);
    check_counts(ledger, s.tiles);
    pt_ledger_close(&ledger);
}

static void must(pt_status status)
{
    assert_string_equal(status.message, "");
    assert_int_equal(status.code, PT_OK);
}

/* The next coordinator ends the job. */
static void check_goes_on(const char *home)
{
    char dir[400];
    pt_ledger *ledger = NULL;
    pt_job_spec spec = ledger_spec(4);
    snprintf(dir, sizeof dir, "%s/job", home);
    pt_status status = pt_ledger_resume(dir, &spec, &ledger);
    if (status.code == PT_E_INPUT && strstr(status.message, "holds no job")) {
        status = pt_ledger_create(dir, &spec, false, &ledger);
    }
    must(status);
    pt_job_spec_fini(&spec);
    seen s = {.payloads = pt_ledger_state(ledger) == PT_JOB_RUNNING};
    must(pt_ledger_replay(ledger, see_tile, see_strike, &s));
    for (int tile = s.tiles; tile < TILES; tile++) {
        pt_settlement next = ledger_settlement(tile, LARGEST, 0);
        must(pt_ledger_record(ledger, &next, 1));
    }
    if (s.payloads) {
        must(pt_ledger_finish(ledger, "out.geojson", (const uint8_t[32]){1, 2, 3}));
    }
    pt_ledger_close(&ledger);
    must(pt_ledger_read(dir, &ledger));
    assert_int_equal(pt_ledger_state(ledger), PT_JOB_DONE);
    check_counts(ledger, TILES);
    pt_ledger_close(&ledger);
}

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 20];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in && out);
    size_t size = fread(bytes, 1, sizeof bytes, in);
    assert_true(size < sizeof bytes && fwrite(bytes, 1, size, out) == size);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* Puts what a process that has gone after two batches left behind into `home`. */
static void interrupt(const char *home)
{
    static const char *const names[] = {"acks", "job/ledger.db", "job/ledger.db-wal", "job/lock"};
    char model[400], from[500], to[500];
    snprintf(model, sizeof model, "%s", ledger_path("model"));
    if (mkdir(model, 0700) == 0) {
        assert_int_equal(run(model, NULL, NULL, "2"), 0);
        assert_int_equal(read_acks(model).batches, 2);
    }
    snprintf(to, sizeof to, "%s/job", home);
    assert_int_equal(mkdir(to, 0700), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(from, sizeof from, "%s/%s", model, names[i]);
        snprintf(to, sizeof to, "%s/%s", home, names[i]);
        copy_file(from, to);
    }
}

/* An empty folder, or one with an interrupted job. */
static const char *begin(int n, bool interrupted)
{
    char name[40];
    snprintf(name, sizeof name, "run%d", n);
    const char *home = ledger_path(name);
    assert_int_equal(mkdir(home, 0700), 0);
    unlink(ledger_path("log"));
    if (interrupted) {
        interrupt(home);
    }
    return ledger_path(name);
}

/* Kills before the n-th call, for every n until the driver gets through. */
static int kill_everywhere(const char *variable, const char *calls, bool interrupted)
{
    for (int n = 1; n < MOST_CALLS; n++) {
        char fault[60], home[400];
        snprintf(home, sizeof home, "%s", begin(n, interrupted));
        snprintf(fault, sizeof fault, "%s=%d", variable, n);
        int code = run(home, fault, calls, NULL);
        check(home);
        if (code == KILLED) {
            check_goes_on(home);
        }
        ledger_remove(home);
        if (code != KILLED) {
            assert_int_equal(code, 0);
            return n - 1;
        }
    }
    fail_msg("the driver never got through");
    return 0;
}

static void test_killed_while_new(void **state)
{
    (void)state;
    int kills = kill_everywhere("PANTILE_SHIM_KILL_AT", NULL, false);
    print_message("killed %d times\n", kills);
    assert_true(kills > 60); /* the shim sees what SQLite does */
}

static void test_killed_while_resuming(void **state)
{
    (void)state;
    int kills = kill_everywhere("PANTILE_SHIM_KILL_AT", NULL, true);
    print_message("killed %d times\n", kills);
    assert_true(kills > 40);
}

static void test_torn_writes(void **state)
{
    (void)state;
    int kills = kill_everywhere("PANTILE_SHIM_TEAR_AT", "write,pwrite", true);
    print_message("torn %d times\n", kills);
    assert_true(kills > 30);
}

static bool is_call(const char *line, const char *call)
{
    char found[40] = "";
    return sscanf(line, "%*d %*d %39s", found) == 1 && strcmp(found, call) == 0;
}

static bool is_sync(const char *line)
{
    return is_call(line, "fsync") || is_call(line, "fdatasync");
}

/* Before each acknowledgement the last thing done to the ledger is a sync. */
static void test_synced_before_acknowledged(void **state)
{
    (void)state;
    char line[600];
    bool synced = false;
    int acks = 0;
    const char *home = begin(1, false);
    assert_int_equal(run(home, "PANTILE_SHIM_KILL_AT=0", NULL, NULL), 0);
    FILE *log = fopen(ledger_path("log"), "r");
    assert_non_null(log);
    while (fgets(line, sizeof line, log)) {
        if (strstr(line, "/acks")) {
            acks++;
            assert_true(synced || acks == 1 || strstr(line, "create"));
        } else if (strstr(line, "/job/ledger.db")) {
            /* Folders are synced as well; what is cut or removed after a sync takes nothing away. */
            synced = is_sync(line) || (synced && !is_call(line, "pwrite"));
        }
    }
    fclose(log);
    assert_int_equal(acks, 1 + 1 + TILES / BATCH + 1 + 1);
}

static int count_lines(void)
{
    char line[600];
    int lines = 0;
    FILE *log = fopen(ledger_path("log"), "r");
    while (log && fgets(line, sizeof line, log)) {
        lines++;
    }
    if (log) {
        fclose(log);
    }
    return lines;
}

/* Whether anything was written to the ledger, or synced, after the n-th line of the log. */
static bool wrote_after(int n)
{
    char line[600];
    bool wrote = false;
    FILE *log = fopen(ledger_path("log"), "r");
    for (int i = 1; log && fgets(line, sizeof line, log); i++) {
        bool ledger = strstr(line, "/ledger.db") && !strstr(line, ".partial");
        wrote = wrote || (i > n && ledger && (is_call(line, "pwrite") || is_sync(line)));
    }
    fclose(log);
    return wrote;
}

/* Lets the n-th of `calls` fail, for every n. */
static int fail_everywhere(const char *error, const char *calls, pt_code expected, bool interrupted)
{
    int failures = 0;
    for (int n = 1; n < MOST_CALLS; n++) {
        char fault[60], home[400];
        snprintf(home, sizeof home, "%s", begin(n, interrupted));
        snprintf(fault, sizeof fault, "PANTILE_SHIM_ERRNO_AT=%d%s", n, error);
        int code = run(home, fault, calls, NULL);
        int lines = count_lines();
        check(home);
        if (code != 0) {
            assert_int_equal(code, 10 + (int)expected);
            assert_false(wrote_after(n));
            failures++;
        }
        check_goes_on(home);
        ledger_remove(home);
        if (lines < n) {
            assert_int_equal(code, 0);
            return failures;
        }
    }
    fail_msg("the driver never got through");
    return 0;
}

static void test_failing_syncs(void **state)
{
    (void)state;
    int failures = fail_everywhere(":EIO", "fsync,fdatasync", PT_E_WRITE, true);
    print_message("%d syncs failed the job\n", failures);
    assert_true(failures >= 6); /* at least one for each batch, the strike, the epoch and the end */
}

static void test_failing_writes(void **state)
{
    (void)state;
    int failures = fail_everywhere(":EIO", "pwrite,ftruncate", PT_E_WRITE, true);
    print_message("%d writes failed the job\n", failures);
    assert_true(failures > 20);
}

static void test_full_disk_in_writes(void **state)
{
    (void)state;
    int failures = fail_everywhere("+:ENOSPC", "pwrite", PT_E_NOSPACE, false);
    print_message("%d writes found the disk full\n", failures);
    assert_true(failures > 20);
}

/* A real file system that fills up, at many sizes. */
static void test_full_disk(void **state)
{
    (void)state;
    const char *disk = ledger_path("disk");
    assert_int_equal(mkdir(disk, 0700), 0);
    int full = 0;
    for (int blocks = 8; blocks < 240; blocks += 13) {
        char size[40], home[400];
        snprintf(home, sizeof home, "%s", ledger_path("disk"));
        snprintf(size, sizeof size, "size=%dk", 4 * blocks);
        if (mount("tmpfs", home, "tmpfs", 0, size) != 0) {
            print_message("SKIPPED: a disk that runs full needs the right to mount (%s)\n", strerror(errno));
            skip();
        }
        int code = run(home, NULL, NULL, NULL);
        check(home);
        if (code != 0) {
            assert_int_equal(code, 10 + (int)PT_E_NOSPACE);
            full++;
        }
        assert_int_equal(mount("tmpfs", home, "tmpfs", MS_REMOUNT, "size=8m"), 0);
        check_goes_on(home);
        assert_int_equal(umount(home), 0);
    }
    assert_true(full > 3);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s DRIVER SHIM\n", argv[0]);
        return 1;
    }
    driver = argv[1];
    shim = argv[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_synced_before_acknowledged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed_while_new, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed_while_resuming, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_torn_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failing_syncs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failing_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk_in_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
