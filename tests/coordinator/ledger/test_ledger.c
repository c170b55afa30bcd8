/* What a job's ledger promises while nothing goes wrong with the disk. */
#include "coordinator/ledger/internal.h"
#include "support.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LARGEST = 40000 };

static const uint8_t sha[32] = {1, 2, 3, 250};

static void must(pt_status status)
{
    assert_string_equal(status.message, "");
    assert_int_equal(status.code, PT_OK);
}

static void must_fail(pt_status status, pt_code code, const char *text)
{
    assert_int_equal(status.code, code);
    if (!strstr(status.message, text)) {
        fail_msg("\"%s\" does not say \"%s\"", status.message, text);
    }
    assert_null(strchr(status.message, '\n'));
}

static int set_up(void **state)
{
    (void)state;
    ledger_scratch();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pt_alloc_fail_after(-1);
    ledger_scratch_remove();
    return 0;
}

static pt_ledger *create(void)
{
    pt_ledger *ledger = NULL;
    pt_job_spec spec = ledger_spec(4);
    must(pt_ledger_create(ledger_path("job"), &spec, false, &ledger));
    pt_job_spec_fini(&spec);
    return ledger;
}

static pt_ledger *resume(void)
{
    pt_ledger *ledger = NULL;
    pt_job_spec spec = ledger_spec(4);
    must(pt_ledger_resume(ledger_path("job"), &spec, &ledger));
    pt_job_spec_fini(&spec);
    return ledger;
}

/* Tiles [first, end) in one batch. */
static pt_status record(pt_ledger *ledger, int64_t first, int64_t end)
{
    pt_settlement items[32];
    size_t count = 0;
    for (int64_t tile = first; tile < end; tile++, count++) {
        items[count] = ledger_settlement(tile, LARGEST, (int)count);
    }
    return pt_ledger_record(ledger, items, count);
}

typedef struct seen {
    bool payloads;
    int tiles, strikes, wrong, disorder;
    int64_t last;
    int64_t struck_tile;
    int struck, lives;
    int stop_after; /* 0: never */
} seen;

static pt_status see_tile(void *user, const pt_settlement *settlement)
{
    seen *s = user;
    s->tiles++;
    s->wrong += !ledger_is_settlement(settlement, LARGEST, s->payloads);
    s->disorder += settlement->tile <= s->last;
    s->last = settlement->tile;
    return s->stop_after == s->tiles ? pt_error(PT_E_STOPPED, "enough") : pt_ok();
}

static pt_status see_strike(void *user, int64_t tile, int strikes, int lives)
{
    seen *s = user;
    s->strikes++;
    s->struck_tile = tile;
    s->struck = strikes;
    s->lives = lives;
    return s->stop_after < 0 ? pt_error(PT_E_STOPPED, "enough") : pt_ok();
}

static seen replay(pt_ledger *ledger, bool payloads)
{
    seen s = {.payloads = payloads, .last = -1};
    must(pt_ledger_replay(ledger, see_tile, see_strike, &s));
    assert_int_equal(s.wrong, 0);
    assert_int_equal(s.disorder, 0);
    return s;
}

static void counts_are(pt_ledger *ledger, int done, int empty, int quarantined)
{
    pt_ledger_counts c = {0};
    must(pt_ledger_verify(ledger, &c));
    assert_int_equal(c.tiles, TILES);
    assert_int_equal(c.done, done);
    assert_int_equal(c.empty, empty);
    assert_int_equal(c.quarantined, quarantined);
    assert_int_equal(c.missing, TILES - done - empty - quarantined);
    assert_int_equal(c.foreign + c.doubled + c.damaged, 0);
}

/* Of tiles 0 .. 24: tile % 7 is 4 or 6 for six of them, 5 for three. */
enum { EMPTY = 6, QUARANTINED = 3, DONE = TILES - EMPTY - QUARANTINED };

static void test_new_job(void **state)
{
    (void)state;
    struct stat folder;
    pt_ledger *ledger = create();
    assert_int_equal(stat(ledger_path("job"), &folder), 0);
    assert_int_equal(folder.st_mode & 0777, 0700);
    assert_int_equal(pt_ledger_state(ledger), PT_JOB_RUNNING);
    assert_int_equal(pt_ledger_epoch(ledger), 1);
    assert_string_equal(pt_ledger_dir(ledger), ledger_path("job"));
    assert_int_equal(pt_job_spec_tiles(pt_ledger_spec(ledger)), TILES);
    uint8_t found[32] = {77};
    assert_null(pt_ledger_output(ledger, found));
    assert_int_equal(found[0], 77);
    assert_int_equal(replay(ledger, true).tiles, 0);
    counts_are(ledger, 0, 0, 0);
    pt_ledger_close(&ledger);
    assert_null(ledger);
    pt_ledger_close(&ledger); /* nothing to close */
}

static void test_record_and_replay(void **state)
{
    (void)state;
    pt_ledger *ledger = create();
    must(record(ledger, 20, 25)); /* in any order */
    must(record(ledger, 0, 1));
    must(record(ledger, 1, 1)); /* an empty batch */
    must(record(ledger, 1, 20));
    assert_int_equal(replay(ledger, true).tiles, TILES);
    counts_are(ledger, DONE, EMPTY, QUARANTINED);
    pt_ledger_close(&ledger);

    ledger = resume();
    assert_int_equal(pt_ledger_epoch(ledger), 2);
    assert_int_equal(replay(ledger, true).tiles, TILES);
    seen listed = {.payloads = false, .last = -1};
    must(pt_ledger_list(ledger, see_tile, &listed));
    assert_int_equal(listed.tiles, TILES);
    assert_int_equal(listed.wrong + listed.disorder, 0);
    pt_ledger_close(&ledger);
    ledger = resume();
    assert_int_equal(pt_ledger_epoch(ledger), 3);
    pt_ledger_close(&ledger);
}

static void test_sink_stops(void **state)
{
    (void)state;
    pt_ledger *ledger = create();
    must(record(ledger, 0, 9));
    must(pt_ledger_strike(ledger, 20, 1, 1));
    seen s = {.payloads = true, .last = -1, .stop_after = 4};
    must_fail(pt_ledger_replay(ledger, see_tile, see_strike, &s), PT_E_STOPPED, "enough");
    assert_int_equal(s.tiles, 4);
    s = (seen){.last = -1, .stop_after = 2};
    must_fail(pt_ledger_list(ledger, see_tile, &s), PT_E_STOPPED, "enough");
    assert_int_equal(s.tiles, 2);
    s = (seen){.payloads = true, .last = -1, .stop_after = -1};
    must_fail(pt_ledger_replay(ledger, see_tile, see_strike, &s), PT_E_STOPPED, "enough");
    assert_int_equal(s.tiles, 9);
    must(record(ledger, 9, 10)); /* the walks have let go of the tables */
    assert_int_equal(replay(ledger, true).tiles, 10);
    pt_ledger_close(&ledger);
}

static void test_strikes(void **state)
{
    (void)state;
    pt_ledger *ledger = create();
    must(pt_ledger_strike(ledger, 3, 1, 1));
    must(pt_ledger_strike(ledger, 8, 1, 1));
    must(pt_ledger_strike(ledger, 8, 2, 1));
    pt_ledger_close(&ledger);
    ledger = resume();
    assert_int_equal(replay(ledger, true).strikes, 2);
    must(record(ledger, 3, 4)); /* settled: its strikes are history */
    seen s = replay(ledger, true);
    assert_int_equal(s.strikes, 1);
    assert_int_equal(s.struck_tile, 8);
    assert_int_equal(s.struck, 2);
    assert_int_equal(s.lives, 1);
    must_fail(pt_ledger_strike(ledger, TILES, 1, 1), PT_E_INTERNAL, "25");
    must_fail(pt_ledger_strike(ledger, -1, 1, 1), PT_E_INTERNAL, "-1");
    must_fail(pt_ledger_strike(ledger, 1, -1, 1), PT_E_INTERNAL, "tile 1");
    pt_ledger_close(&ledger);
}

/* A batch with a fault in it leaves nothing, and the ledger goes on. */
static void refuse(pt_ledger *ledger, pt_settlement bad, const char *text)
{
    pt_settlement items[] = {ledger_settlement(10, LARGEST, 0), bad};
    must_fail(pt_ledger_record(ledger, items, 2), PT_E_INTERNAL, text);
    assert_int_equal(replay(ledger, true).tiles, 1);
}

static void test_bad_settlements(void **state)
{
    (void)state;
    pt_ledger *ledger = create();
    must(record(ledger, 5, 6));
    refuse(ledger, ledger_settlement(5, LARGEST, 1), "tile 5");   /* settled already */
    refuse(ledger, ledger_settlement(10, LARGEST, 1), "tile 10"); /* twice in the batch */
    refuse(ledger, ledger_settlement(TILES, LARGEST, 1), "tile 25");
    pt_settlement t = ledger_settlement(7, LARGEST, 1);
    t.digest ^= 1;
    refuse(ledger, t, "tile 7");
    t = ledger_settlement(7, LARGEST, 1);
    t.tile = -1;
    refuse(ledger, t, "tile -1");
    t = ledger_settlement(7, LARGEST, 1);
    t.read_seconds = 1 / 0.0;
    refuse(ledger, t, "tile 7");
    t = ledger_settlement(7, LARGEST, 1);
    t.reason = "of a tile that is done";
    refuse(ledger, t, "tile 7");
    t = ledger_settlement(7, LARGEST, 1);
    t.outcome = (pt_tile_outcome)4;
    refuse(ledger, t, "tile 7");
    t = ledger_settlement(12, LARGEST, 1);
    t.reason = NULL; /* of a tile that failed */
    refuse(ledger, t, "tile 12");
    must(record(ledger, 10, 11));
    assert_int_equal(replay(ledger, true).tiles, 2);
    pt_ledger_close(&ledger);
}

static void test_existing_job(void **state)
{
    (void)state;
    pt_ledger *ledger = create(), *other = NULL;
    pt_job_spec same = ledger_spec(4), different = ledger_spec(5);
    const char *dir = ledger_path("job");
    must(record(ledger, 0, 5));
    /* Locked, within this process as well. */
    must_fail(pt_ledger_create(dir, &same, true, &other), PT_E_EXISTS, "in use");
    must_fail(pt_ledger_resume(dir, &same, &other), PT_E_EXISTS, "in use");
    must_fail(pt_ledger_read(dir, &other), PT_E_EXISTS, "in use");
    pt_ledger_close(&ledger);

    must_fail(pt_ledger_create(dir, &same, false, &other), PT_E_EXISTS, "--resume");
    must_fail(pt_ledger_create(dir, &different, false, &other), PT_E_EXISTS, "--overwrite");
    must_fail(pt_ledger_resume(dir, &different, &other), PT_E_INPUT, "output.min_area was 4, is 5");
    assert_null(other);
    ledger = resume(); /* none of them has changed it */
    assert_int_equal(pt_ledger_epoch(ledger), 2);
    assert_int_equal(replay(ledger, true).tiles, 5);
    pt_ledger_close(&ledger);

    must(pt_ledger_create(dir, &different, true, &ledger));
    assert_int_equal(pt_ledger_epoch(ledger), 3); /* workers of the old job must not take it for an older */
    assert_int_equal(replay(ledger, true).tiles, 0);
    pt_ledger_close(&ledger);
    pt_job_spec_fini(&same);
    pt_job_spec_fini(&different);
}

static void test_no_job(void **state)
{
    (void)state;
    pt_ledger *ledger = NULL;
    pt_job_spec spec = ledger_spec(4);
    const char *dir = ledger_path("nothing");
    must_fail(pt_ledger_resume(dir, &spec, &ledger), PT_E_INPUT, "holds no job");
    must_fail(pt_ledger_read(dir, &ledger), PT_E_INPUT, "holds no job");
    assert_int_equal(access(dir, F_OK), -1); /* nothing was made */
    must_fail(pt_ledger_create(ledger_path("no/parent"), &spec, false, &ledger), PT_E_WRITE, "no/parent");
    FILE *file = fopen(ledger_path("file"), "w");
    fclose(file);
    must_fail(pt_ledger_create(ledger_path("file"), &spec, false, &ledger), PT_E_WRITE, "file");
    must_fail(pt_ledger_read(ledger_path("file"), &ledger), PT_E_INPUT, "file");
    assert_null(ledger);
    pt_job_spec_fini(&spec);
}

/* The lock goes with the process, however that ends. */
static void test_lock_dies(void **state)
{
    (void)state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        pt_ledger *ledger = create();
        if (write(ready[1], ledger ? "y" : "n", 1) != 1) {
            _exit(1);
        }
        pause();
        _exit(0);
    }
    char answer = 0;
    assert_int_equal(read(ready[0], &answer, 1), 1);
    pt_ledger *ledger = NULL;
    char name[40];
    snprintf(name, sizeof name, "process %ld ", (long)child);
    must_fail(pt_ledger_read(ledger_path("job"), &ledger), PT_E_EXISTS, name);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    ledger = resume();
    assert_int_equal(pt_ledger_epoch(ledger), 2);
    pt_ledger_close(&ledger);
}

static void test_finish(void **state)
{
    (void)state;
    struct stat before, after;
    pt_ledger *ledger = create();
    must(record(ledger, 0, TILES));
    must(pt_ledger_strike(ledger, 1, 1, 1));
    pt_ledger_close(&ledger);
    stat(ledger_path("job/ledger.db"), &before);
    ledger = resume();
    must(pt_ledger_finish(ledger, "out.geojson", sha));
    assert_int_equal(pt_ledger_state(ledger), PT_JOB_DONE);
    must_fail(pt_ledger_finish(ledger, "out.geojson", sha), PT_E_INTERNAL, "twice");
    must_fail(record(ledger, 0, 1), PT_E_INTERNAL, "closed");
    counts_are(ledger, DONE, EMPTY, QUARANTINED);
    pt_ledger_close(&ledger);

    stat(ledger_path("job/ledger.db"), &after);
    assert_true(after.st_size < before.st_size / 2); /* the results are gone, and so is their space */
    assert_int_equal(access(ledger_path("job/ledger.db-wal"), F_OK), -1);
    must(pt_ledger_read(ledger_path("job"), &ledger));
    uint8_t found[32];
    assert_int_equal(pt_ledger_state(ledger), PT_JOB_DONE);
    assert_string_equal(pt_ledger_output(ledger, found), "out.geojson");
    assert_memory_equal(found, sha, 32);
    counts_are(ledger, DONE, EMPTY, QUARANTINED);
    seen s = replay(ledger, false);
    assert_int_equal(s.tiles, TILES);
    assert_int_equal(s.strikes, 0);
    pt_ledger_close(&ledger);
    ledger = resume();
    assert_int_equal(pt_ledger_state(ledger), PT_JOB_DONE);
    pt_ledger_close(&ledger);
    pt_job_spec spec = ledger_spec(4);
    must_fail(pt_ledger_create(ledger_path("job"), &spec, false, &ledger), PT_E_EXISTS, "done already");
    pt_job_spec_fini(&spec);
}

/* Names that an URI would read as something else. */
static void test_strange_name(void **state)
{
    (void)state;
    pt_ledger *ledger = NULL;
    pt_job_spec spec = ledger_spec(4);
    const char *dir = ledger_path("a?b#c%41 \xc3\xbc");
    must(pt_ledger_create(dir, &spec, false, &ledger));
    must(record(ledger, 0, 4));
    pt_ledger_close(&ledger);
    must(pt_ledger_read(dir, &ledger));
    assert_int_equal(replay(ledger, true).tiles, 4);
    pt_ledger_close(&ledger);
    pt_job_spec_fini(&spec);
}

static void test_discard(void **state)
{
    (void)state;
    pt_ledger *ledger = create(), *reader = NULL;
    must(record(ledger, 0, 3));
    pt_ledger_discard(&ledger);
    assert_null(ledger);
    assert_int_equal(access(ledger_path("job"), F_OK), -1);
    pt_ledger_discard(&ledger); /* nothing to discard */

    ledger = create();
    FILE *file = fopen(ledger_path("job/coordinator.key"), "w"); /* not the ledger's to remove */
    fclose(file);
    pt_ledger_discard(&ledger);
    must_fail(pt_ledger_read(ledger_path("job"), &reader), PT_E_INPUT, "holds no job");
    assert_int_equal(access(ledger_path("job/coordinator.key"), F_OK), 0);
    ledger = create();
    pt_ledger_close(&ledger);
    must(pt_ledger_read(ledger_path("job"), &reader));
    pt_ledger_discard(&reader);
    ledger = resume();
    pt_ledger_close(&ledger);
}

enum { CONTENDERS = 4, TURNS = 8, TRIES = 100000 };

/* Makes and discards the job until it has had it so many times; false when another has been at it meanwhile.
 */
static bool contend(void)
{
    int had = 0;
    pt_job_spec spec = ledger_spec(4);
    for (int i = 0; had < TURNS && i < TRIES; i++) {
        pt_ledger *ledger = NULL;
        pt_status status = pt_ledger_create(ledger_path("job"), &spec, true, &ledger);
        if (status.code == PT_OK && record(ledger, 0, 1).code != PT_OK) {
            return false;
        }
        had += status.code == PT_OK;
        pt_ledger_discard(&ledger);
        usleep(100);
    }
    pt_job_spec_fini(&spec);
    return had == TURNS;
}

/* A lock file that is removed under one who waits for it never lets two in. */
static void test_discard_among_others(void **state)
{
    (void)state;
    pid_t children[CONTENDERS];
    for (int i = 0; i < CONTENDERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            _exit(contend() ? 0 : 1);
        }
    }
    for (int i = 0; i < CONTENDERS; i++) {
        int status = 0;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(access(ledger_path("job"), F_OK), -1);
}

/* A reader changes nothing, keeps coordinators out, and others in. */
static void test_reader(void **state)
{
    (void)state;
    pt_ledger *ledger = create(), *reader = NULL, *second = NULL;
    must(record(ledger, 0, 7));
    pt_ledger_close(&ledger);
    must(pt_ledger_read(ledger_path("job"), &reader));
    must(pt_ledger_read(ledger_path("job"), &second));
    assert_int_equal(replay(reader, true).tiles, 7);
    assert_int_equal(pt_ledger_epoch(reader), 1);
    must_fail(record(reader, 7, 8), PT_E_INTERNAL, "reading");
    must_fail(pt_ledger_strike(reader, 7, 1, 1), PT_E_INTERNAL, "reading");
    must_fail(pt_ledger_finish(reader, "out", sha), PT_E_INTERNAL, "reader");
    pt_job_spec spec = ledger_spec(4);
    must_fail(pt_ledger_resume(ledger_path("job"), &spec, &ledger), PT_E_EXISTS, "in use");
    pt_ledger_close(&reader);
    pt_ledger_close(&second);
    pt_job_spec_fini(&spec);
    ledger = resume();
    pt_ledger_close(&ledger);
}

/* Rows that the ledger itself would never write. */
static void test_strange_rows(void **state)
{
    (void)state;
    pt_ledger *ledger = create();
    must(record(ledger, 0, TILES));
    pt_ledger_counts c = {0};
    ledger->spec.groups[0].height = 640; /* three rows of five tiles: the others are not of this job */
    must(pt_ledger_verify(ledger, &c));
    assert_int_equal(c.tiles, 15);
    assert_int_equal(c.foreign, 10);
    assert_int_equal(c.missing, 0);
    ledger->spec.groups[0].height = 1000;
    /* A table without its key takes a tile twice. */
    const char *sql = "PRAGMA foreign_keys = OFF; CREATE TABLE loose AS SELECT * FROM tiles; "
                      "INSERT INTO loose SELECT * FROM tiles WHERE tile IN (3, 4); "
                      "UPDATE loose SET detections = 77 WHERE tile = 9; "
                      "CREATE TABLE free (tile INTEGER PRIMARY KEY, payload BLOB); "
                      "INSERT INTO free SELECT * FROM results; DROP TABLE results; DROP TABLE tiles; "
                      "ALTER TABLE free RENAME TO results; ALTER TABLE loose RENAME TO tiles";
    assert_int_equal(sqlite3_exec(ledger->db, sql, NULL, NULL, NULL), SQLITE_OK);
    must(pt_ledger_verify(ledger, &c));
    assert_int_equal(c.doubled, 2);
    assert_int_equal(c.damaged, 1);
    assert_int_equal(c.done + c.empty + c.quarantined, TILES - 1);
    assert_int_equal(c.missing, 1); /* the damaged one */
    pt_ledger_close(&ledger);
}

/* Every allocation that fails is told, nothing leaks, and the job is as it was. */
static void test_no_memory(void **state)
{
    (void)state;
    pt_job_spec spec = ledger_spec(4);
    pt_ledger *ledger = NULL;
    long n = 0;
    for (pt_status status = pt_error(PT_E_NOMEM, "not yet"); status.code != PT_OK; n++) {
        assert_int_equal(status.code, PT_E_NOMEM);
        assert_null(ledger);
        pt_alloc_fail_after(n);
        status = pt_ledger_create(ledger_path("job"), &spec, true, &ledger);
        pt_alloc_fail_after(-1);
    }
    assert_true(n > 5);
    must(record(ledger, 0, 3));
    pt_ledger_close(&ledger);
    n = 0;
    for (pt_status status = pt_error(PT_E_NOMEM, "not yet"); status.code != PT_OK; n++) {
        assert_int_equal(status.code, PT_E_NOMEM);
        pt_alloc_fail_after(n);
        status = pt_ledger_resume(ledger_path("job"), &spec, &ledger);
        pt_alloc_fail_after(-1);
    }
    assert_true(n > 3);
    assert_int_equal(replay(ledger, true).tiles, 3);
    pt_alloc_fail_after(0);
    must_fail(pt_ledger_finish(ledger, "out", sha), PT_E_NOMEM, "memory");
    pt_alloc_fail_after(-1);
    assert_int_equal(pt_ledger_state(ledger), PT_JOB_RUNNING);
    must(record(ledger, 3, 4));
    pt_ledger_close(&ledger);
    n = 0;
    for (pt_status status = pt_error(PT_E_NOMEM, "not yet"); status.code != PT_OK; n++) {
        assert_int_equal(status.code, PT_E_NOMEM);
        pt_alloc_fail_after(n);
        status = pt_ledger_read(ledger_path("job"), &ledger);
        pt_alloc_fail_after(-1);
    }
    assert_true(n > 3);
    pt_ledger_close(&ledger);
    pt_job_spec_fini(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_job, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_record_and_replay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sink_stops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strikes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_settlements, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_existing_job, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_job, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock_dies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_finish, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strange_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_discard, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_discard_among_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strange_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
