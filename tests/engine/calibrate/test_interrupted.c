/* A model file that is written over, by a process that dies or fails while it writes: the old file or the new
 * one, whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/calibrate/calibrate.h"
#include "tests/engine/network/tiny.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const char own[] = "model.safetensors";
static char folder[] = "/tmp/pantile-interrupted-XXXXXX";
static char *plain; /* a model without calibration */
static pt_calibrator *calibrator;

static void good(pt_status status)
{
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
}

static pt_status write_calibrated(const char *to)
{
    return pt_calibrator_write(calibrator, PT_RANGE_MINMAX, "int8", to);
}

static pt_status write_tuned(const char *to)
{
    return pt_calibrate_set_precision(own, "int8,mask=fp32", to);
}

typedef pt_status writer(const char *to);
static writer *const writers[] = {write_calibrated, write_tuned};
enum { WRITERS = sizeof writers / sizeof *writers };

typedef struct content {
    char *bytes;
    size_t size;
} content;

static content read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    content c = {.size = (size_t)ftell(file)};
    c.bytes = malloc(c.size);
    assert_non_null(c.bytes);
    rewind(file);
    assert_int_equal(fread(c.bytes, 1, c.size, file), c.size);
    fclose(file);
    return c;
}

static bool is(const char *path, const content *wanted)
{
    content c = read_file(path);
    bool same = c.size == wanted->size && memcmp(c.bytes, wanted->bytes, c.size) == 0;
    free(c.bytes);
    return same;
}

/* How many files lie beside the model; they are removed. */
static int clear_others(void)
{
    int count = 0;
    DIR *dir = opendir(".");
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, own) != 0) {
            assert_int_equal(unlink(entry->d_name), 0);
            count++;
        }
    }
    closedir(dir);
    return count;
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    plain = tiny_model(TINY_RESNET);
    tiny_image t = tiny_make_image(64, 64, 1);
    good(pt_calibrator_open(plain, 1, &calibrator));
    good(pt_calibrator_add(calibrator, &t.image));
    free(t.pixels);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pt_calibrator_close(&calibrator);
    unlink(plain);
    free(plain);
    unlink(own);
    clear_others();
    return rmdir(folder);
}

/* In a process of its own whose files cannot grow beyond `limit` bytes: the kernel ends it in the middle of
 * what it writes, or, when it ignores the signal, lets the write fail as a full disk does. */
static int write_in_child(writer *by, size_t limit, bool ignore)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit most = {limit, limit}, no_core = {0, 0};
        signal(SIGXFSZ, ignore ? SIG_IGN : SIG_DFL);
        setrlimit(RLIMIT_CORE, &no_core);
        setrlimit(RLIMIT_FSIZE, &most);
        _exit((int)by(own).code);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    return how;
}

static void test_ends_anywhere_in_the_file(void **state)
{
    (void)state;
    for (int w = 0; w < WRITERS; w++) {
        good(pt_calibrator_write(calibrator, PT_RANGE_PERCENTILE, "fp32", own));
        content old = read_file(own);
        good(writers[w]("new"));
        content new = read_file("new");
        clear_others();
        assert_false(is(own, &new));
        const size_t limits[] = {0, 1, 8, 4096, new.size / 3, new.size / 2, new.size - 1};
        for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
            int how = write_in_child(writers[w], limits[i], false);
            assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGXFSZ);
            assert_true(is(own, &old));
            assert_int_equal(clear_others(), 1); /* what nobody was left to remove */
            how = write_in_child(writers[w], limits[i], true);
            assert_true(WIFEXITED(how));
            assert_int_equal(WEXITSTATUS(how), PT_E_WRITE);
            assert_true(is(own, &old));
            assert_int_equal(clear_others(), 0);
        }
        int how = write_in_child(writers[w], new.size, false);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == PT_OK);
        assert_true(is(own, &new));
        assert_int_equal(clear_others(), 0);
        free(old.bytes);
        free(new.bytes);
    }
}

/* SIGKILL at no moment in particular, while two choices are written in turn. */
static void test_killed(void **state)
{
    (void)state;
    enum { KILLS = 20 };
    content versions[2];
    static const char *const precisions[2] = {"int8", "fp32"};
    good(write_calibrated(own));
    for (int i = 0; i < 2; i++) {
        good(pt_calibrate_set_precision(own, precisions[i], "version"));
        versions[i] = read_file("version");
    }
    clear_others();
    for (int i = 0; i < KILLS; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (int k = 0;; k++) {
                (void)pt_calibrate_set_precision(own, precisions[k % 2], own);
            }
        }
        usleep((useconds_t)(1000 + 700 * i));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_true(is(own, &versions[0]) || is(own, &versions[1]));
        assert_true(clear_others() <= 1);
        good(pt_calibrate_set_precision(own, "int8", own)); /* the next one goes on with either */
        assert_true(is(own, &versions[0]));
    }
    free(versions[0].bytes);
    free(versions[1].bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends_anywhere_in_the_file),
        cmocka_unit_test(test_killed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
