#define _GNU_SOURCE /* memmem */
/* pantile verify on jobs in every state: what it prints, and the exit codes of docs/exit-codes.md. */
#include "cli/commands.h"

#include "tests/coordinator/ledger/support.h"
#include "tiling/base/sha256.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LARGEST = 40000 };

static char printed[4000], said[4000]; /* on standard output and error */

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

static void read_back(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

/* Runs the command with its output caught; returns the exit code. */
static int verify(const char *job, const char *option)
{
    char program[] = "pantile", command[] = "verify";
    char *arguments[] = {program, command, (char *)(uintptr_t)job, (char *)(uintptr_t)option, NULL};
    const char *paths[] = {ledger_path("stdout"), ledger_path("stderr")};
    int kept[2];
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        kept[i] = dup(i + 1);
        int file = open(paths[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(file, i + 1);
        close(file);
    }
    int code = pt_program(option ? 4 : 3, arguments);
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        dup2(kept[i], i + 1);
        close(kept[i]);
    }
    read_back(paths[0], printed, sizeof printed);
    read_back(paths[1], said, sizeof said);
    return code;
}

static bool has(const char *text, const char *what)
{
    return strstr(text, what) != NULL;
}

/* A job beside out.geojson with tiles 0 .. count - 1 settled; finished when the file is there. `clean`: tiles
 * that fail are done instead. */
static void make_job(int count, bool finish, bool clean)
{
    pt_ledger *ledger = NULL;
    pt_job_spec spec = ledger_spec(4);
    pt_settlement items[TILES];
    for (int i = 0; i < count; i++) {
        items[i] = ledger_settlement(i, LARGEST, i);
        if (clean && items[i].outcome == PT_TILE_FAILED) {
            items[i].outcome = PT_TILE_DONE;
            items[i].reason = NULL;
            items[i].digest = pt_result_digest(PT_TILE_DONE, false, NULL, 0);
        }
    }
    assert_int_equal(pt_ledger_create(ledger_path("out.geojson.pantile"), &spec, true, &ledger).code, PT_OK);
    assert_int_equal(pt_ledger_record(ledger, items, (size_t)count).code, PT_OK);
    if (finish) {
        uint8_t sha[PT_SHA256_BYTES];
        const char *output = ledger_path("out.geojson");
        FILE *file = fopen(output, "w");
        fputs("{}\n", file);
        fclose(file);
        assert_int_equal(pt_sha256_file(output, sha).code, PT_OK);
        assert_int_equal(pt_ledger_finish(ledger, output, sha).code, PT_OK);
    }
    pt_ledger_close(&ledger);
    pt_job_spec_fini(&spec);
}

static void test_complete(void **state)
{
    (void)state;
    make_job(TILES, true, true);
    const char *names[] = {"out.geojson", "out.geojson.pantile", "out.geojson.pantile/"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(verify(ledger_path(names[i]), NULL), 0);
        assert_string_equal(said, "");
        assert_true(has(printed, "tiles         25\n  done        19\n  empty       6\n  quarantined 0\n"));
        assert_true(has(printed, "missing     0\n  doubled     0\n  foreign     0\n  damaged     0\n"));
        assert_true(has(printed, "as written"));
    }
    assert_int_equal(verify(ledger_path("out.geojson"), "--json"), 0);
    assert_true(has(printed, "\"complete\": true"));
    assert_true(has(printed, "\"state\": \"as written\""));
}

static void test_quarantined(void **state)
{
    (void)state;
    make_job(TILES, true, false);
    assert_int_equal(verify(ledger_path("out.geojson"), NULL), 3);
    assert_true(has(printed, "done        16\n  empty       6\n  quarantined 3\n"));
    assert_string_equal(said, "");
}

static void test_interrupted(void **state)
{
    (void)state;
    make_job(10, false, false);
    assert_int_equal(verify(ledger_path("out.geojson"), NULL), 2); /* the file itself is not there yet */
    assert_true(has(printed, "state         interrupted"));
    assert_true(has(said, "15 of 25 tiles are missing") && has(said, "--resume"));
    assert_int_equal(verify(ledger_path("out.geojson"), "--json"), 2);
    assert_true(has(printed, "\"missing\": 15") && has(printed, "\"complete\": false"));
    assert_true(has(printed, "\"output\": null"));
    make_job(TILES, false, false); /* all settled, but the output was never put in place */
    assert_int_equal(verify(ledger_path("out.geojson"), NULL), 2);
    assert_true(has(said, "not at its end"));
    make_job(24, true, false); /* a coordinator that ended too early would be found out */
    assert_int_equal(verify(ledger_path("out.geojson"), NULL), 2);
    assert_true(has(said, "without 1 of its 25 tiles"));
}

static void test_output(void **state)
{
    (void)state;
    make_job(TILES, true, true);
    assert_int_equal(rename(ledger_path("out.geojson"), ledger_path("other.geojson")), 0);
    assert_int_equal(rename(ledger_path("out.geojson.pantile"), ledger_path("other.geojson.pantile")), 0);
    assert_int_equal(verify(ledger_path("other.geojson.pantile"), NULL), 0); /* moved together */
    FILE *file = fopen(ledger_path("other.geojson"), "a");
    fputs("\n", file);
    fclose(file);
    assert_int_equal(verify(ledger_path("other.geojson"), NULL), 2);
    assert_true(has(said, "was changed") && has(printed, "changed"));
    unlink(ledger_path("other.geojson"));
    assert_int_equal(verify(ledger_path("other.geojson.pantile"), NULL), 2);
    assert_true(has(said, "is gone"));
}

/* Finds the reason of a quarantined tile in the file, and changes a letter. */
static void damage(void)
{
    static const char text[] = "tile 5 kills";
    static char bytes[1 << 20];
    FILE *file = fopen(ledger_path("out.geojson.pantile/ledger.db"), "r+");
    size_t size = fread(bytes, 1, sizeof bytes, file);
    char *at = memmem(bytes, size, text, sizeof text - 1);
    assert_non_null(at);
    assert_int_equal(fseek(file, at - bytes, SEEK_SET), 0);
    fputc('T', file);
    fclose(file);
}

static void test_damaged(void **state)
{
    (void)state;
    make_job(TILES, true, false);
    damage();
    assert_int_equal(verify(ledger_path("out.geojson"), NULL), 2);
    assert_true(has(printed, "damaged     1\n") && has(printed, "missing     1\n"));
    assert_true(has(said, "is damaged") && has(said, "--overwrite"));
    assert_int_equal(truncate(ledger_path("out.geojson.pantile/ledger.db"), 20000), 0);
    assert_int_equal(verify(ledger_path("out.geojson"), NULL), 2);
    assert_true(has(said, "is damaged"));
    assert_string_equal(printed, "");
}

static void test_refusals(void **state)
{
    (void)state;
    assert_int_equal(verify(ledger_path("out.geojson"), NULL), 2);
    assert_true(has(said, "no job") && has(said, "--job-dir"));
    assert_int_equal(verify(ledger_path(""), NULL), 2);
    assert_true(has(said, "holds no job"));
    make_job(3, false, false);
    pt_ledger *ledger = NULL;
    pt_job_spec spec = ledger_spec(4);
    assert_int_equal(pt_ledger_resume(ledger_path("out.geojson.pantile"), &spec, &ledger).code, PT_OK);
    assert_int_equal(verify(ledger_path("out.geojson"), NULL), 2);
    assert_true(has(said, "in use"));
    pt_ledger_close(&ledger);
    pt_job_spec_fini(&spec);
    assert_int_equal(verify("--json", NULL), 1);
    assert_int_equal(verify("a", "b"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_complete, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_quarantined, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_interrupted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_output, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
