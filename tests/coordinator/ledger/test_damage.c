/* A ledger whose bytes have changed is refused, or was changed where it does not matter; no wrong row ever
 * comes out of it, and none goes missing unseen. */
#include "support.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { LARGEST = 30000, PAGE = 16384 };

static uint8_t *sound; /* the undamaged file */
static size_t size;

static void put(size_t length)
{
    int file = open(ledger_path("job/ledger.db"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(file, sound, length), (ssize_t)length);
    close(file);
    unlink(ledger_path("job/ledger.db-wal"));
}

/* Twenty of the job's tiles and a strike, checkpointed. */
static int set_up(void **state)
{
    (void)state;
    ledger_scratch();
    pt_ledger *ledger = NULL;
    pt_job_spec spec = ledger_spec(4);
    assert_int_equal(pt_ledger_create(ledger_path("job"), &spec, false, &ledger).code, PT_OK);
    pt_settlement items[20];
    for (int i = 0; i < 20; i++) {
        items[i] = ledger_settlement(i, LARGEST, i);
    }
    assert_int_equal(pt_ledger_record(ledger, items, 20).code, PT_OK);
    assert_int_equal(pt_ledger_strike(ledger, 22, 2, 1).code, PT_OK);
    pt_ledger_close(&ledger);
    pt_job_spec_fini(&spec);

    struct stat found;
    assert_int_equal(stat(ledger_path("job/ledger.db"), &found), 0);
    size = (size_t)found.st_size;
    sound = malloc(size);
    int file = open(ledger_path("job/ledger.db"), O_RDONLY);
    assert_int_equal(read(file, sound, size), (ssize_t)size);
    close(file);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(sound);
    ledger_scratch_remove();
    return 0;
}

typedef struct seen {
    int tiles, wrong, strikes;
} seen;

static pt_status see_tile(void *user, const pt_settlement *settlement)
{
    seen *s = user;
    s->tiles++;
    s->wrong +=
        settlement->tile < 0 || settlement->tile >= 20 || !ledger_is_settlement(settlement, LARGEST, true);
    return pt_ok();
}

static pt_status see_strike(void *user, int64_t tile, int strikes, int lives)
{
    seen *s = user;
    s->strikes++;
    s->wrong += tile != 22 || strikes != 2 || lives != 1;
    return pt_ok();
}

static bool refuses(pt_status status)
{
    if (status.code == PT_OK) {
        return false;
    }
    if (status.code != PT_E_INPUT && status.code != PT_E_UNSUPPORTED) {
        fail_msg("%s: %s", pt_code_name(status.code), status.message);
    }
    assert_non_null(strstr(status.message, "job")); /* names the folder */
    return true;
}

/* Returns whether the damage was noticed. */
static bool read_notices(void)
{
    pt_ledger *ledger = NULL;
    seen s = {0};
    pt_ledger_counts c = {0};
    bool noticed = refuses(pt_ledger_read(ledger_path("job"), &ledger)) ||
                   refuses(pt_ledger_replay(ledger, see_tile, see_strike, &s));
    bool refused = ledger && refuses(pt_ledger_verify(ledger, &c));
    if (ledger && !refused && c.damaged == 0) {
        assert_int_equal(c.done + c.empty + c.quarantined, 20);
        assert_int_equal(c.missing, TILES - 20);
    }
    pt_ledger_close(&ledger);
    assert_int_equal(s.wrong, 0);
    if (!noticed && !refused) {
        assert_int_equal(s.tiles, 20);
        assert_int_equal(s.strikes, 1);
    }
    return noticed || refused || c.damaged > 0;
}

static bool resume_notices(void)
{
    pt_ledger *ledger = NULL;
    seen s = {0};
    pt_job_spec spec = ledger_spec(4);
    bool noticed = refuses(pt_ledger_resume(ledger_path("job"), &spec, &ledger)) ||
                   refuses(pt_ledger_replay(ledger, see_tile, see_strike, &s));
    pt_ledger_close(&ledger);
    pt_job_spec_fini(&spec);
    assert_int_equal(s.wrong, 0);
    if (!noticed) {
        assert_int_equal(s.tiles, 20);
        assert_int_equal(s.strikes, 1);
    }
    return noticed;
}

static void test_flipped_bits(void **state)
{
    (void)state;
    put(size);
    assert_false(read_notices());
    int noticed = 0, flips = 0;
    for (size_t at = 0; at < size; at += at < 200 ? 1 : 271, flips++) {
        uint8_t mask = (uint8_t)(1 << (at / 3 % 8));
        sound[at] ^= mask;
        put(size);
        noticed += read_notices();
        if (flips % 5 == 0) {
            resume_notices();
        }
        sound[at] ^= mask;
    }
    print_message("%d of %d flipped bits lay where it matters\n", noticed, flips);
    assert_true(noticed > flips / 3);
}

static void test_cut_short(void **state)
{
    (void)state;
    for (size_t length = 0; length < size; length += length < 200 ? 20 : 4999) {
        put(length);
        assert_true(read_notices());
        put(length);
        assert_true(resume_notices());
    }
}

static void test_zeroed_pages(void **state)
{
    (void)state;
    assert_int_equal(size % PAGE, 0);
    for (size_t page = 0; page < size; page += PAGE) {
        uint8_t kept[PAGE];
        memcpy(kept, sound + page, PAGE);
        memset(sound + page, 0, PAGE);
        put(size);
        assert_true(read_notices());
        put(size);
        assert_true(resume_notices());
        memcpy(sound + page, kept, PAGE);
    }
}

/* What is damaged is in the way of a new job, and goes with --overwrite. */
static void test_overwrite(void **state)
{
    (void)state;
    put(size / 2);
    pt_ledger *ledger = NULL;
    pt_job_spec spec = ledger_spec(4);
    pt_status status = pt_ledger_create(ledger_path("job"), &spec, false, &ledger);
    assert_int_equal(status.code, PT_E_EXISTS);
    assert_non_null(strstr(status.message, "damaged"));
    assert_non_null(strstr(status.message, "--overwrite"));
    assert_int_equal(pt_ledger_create(ledger_path("job"), &spec, true, &ledger).code, PT_OK);
    pt_ledger_close(&ledger);
    pt_job_spec_fini(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_flipped_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cut_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_zeroed_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_overwrite, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
