#include "coordinator/protocol/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/pantile-keys-XXXXXX";

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void ok(pt_status status)
{
    assert_string_equal(status.message, "");
    assert_int_equal(status.code, PT_OK);
}

static void refused(pt_status status, pt_code code, const char *what)
{
    assert_int_equal(status.code, code);
    assert_non_null(strstr(status.message, what));
}

static void write_text(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static mode_t mode_of(const char *path)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    return about.st_mode & 07777;
}

static pt_key_pair new_pair(void)
{
    pt_key_pair keys;
    ok(pt_key_pair_new(&keys));
    return keys;
}

static void test_pairs_differ_and_are_wiped(void **state)
{
    (void)state;
    pt_key_pair a = new_pair();
    pt_key_pair b = new_pair();
    assert_int_equal(strlen(a.secret), 40);
    assert_int_equal(strlen(a.public_key.text), 40);
    assert_string_not_equal(a.secret, b.secret);
    assert_string_not_equal(a.public_key.text, b.public_key.text);
    pt_key_pair_wipe(&a);
    const pt_key_pair nothing = {0};
    assert_memory_equal(&a, &nothing, sizeof a);
}

static void test_files_come_back(void **state)
{
    (void)state;
    pt_key_pair keys = new_pair();
    pt_key_pair server = new_pair();
    const char *path = in_folder("a.key");
    ok(pt_keys_save(path, &keys, NULL, false));
    assert_int_equal(mode_of(path), 0600);
    pt_key_pair back;
    pt_public_key other;
    bool has = true;
    ok(pt_keys_load(path, &back, NULL, NULL));
    assert_memory_equal(&back, &keys, sizeof keys);
    ok(pt_keys_load(path, &back, &other, &has));
    assert_false(has);
    refused(pt_keys_load(path, &back, &other, NULL), PT_E_INPUT, "lacks the server's key");

    refused(pt_keys_save(path, &keys, &server.public_key, false), PT_E_EXISTS, "--overwrite");
    ok(pt_keys_load(path, &back, &other, &has));
    assert_false(has); /* the old file stays */
    ok(pt_keys_save(path, &keys, &server.public_key, true));
    assert_int_equal(mode_of(path), 0600);
    ok(pt_keys_load(path, &back, &other, &has));
    assert_true(has);
    assert_string_equal(other.text, server.public_key.text);
    ok(pt_keys_load(path, &back, &other, NULL));
    assert_memory_equal(&back, &keys, sizeof keys);
}

static void test_overwriting_goes_through_no_link(void **state)
{
    (void)state;
    pt_key_pair keys = new_pair();
    const char *target = in_folder("elsewhere");
    const char *link = in_folder("link.key");
    write_text(target, "precious", 0644);
    assert_int_equal(symlink(target, link), 0);
    refused(pt_keys_save(link, &keys, NULL, false), PT_E_EXISTS, "link.key");
    ok(pt_keys_save(link, &keys, NULL, true));
    struct stat about;
    assert_int_equal(lstat(link, &about), 0);
    assert_true(S_ISREG(about.st_mode));
    assert_int_equal(mode_of(target), 0644);
    assert_int_equal(stat(target, &about), 0);
    assert_int_equal(about.st_size, strlen("precious"));
}

static void test_what_cannot_be_written_is_named(void **state)
{
    (void)state;
    pt_key_pair keys = new_pair();
    refused(pt_keys_save(in_folder("no/such.key"), &keys, NULL, false), PT_E_WRITE, "no/such.key");
    refused(pt_keys_save(in_folder("no/such.key"), &keys, NULL, true), PT_E_WRITE, "no/such.key");
    if (access("/dev/full", W_OK) == 0) {
        /* A new file is wanted, never a device. */
        refused(pt_keys_save("/dev/full", &keys, NULL, false), PT_E_EXISTS, "/dev/full");
    }
}

static void test_secrets_that_others_may_read_are_refused(void **state)
{
    (void)state;
    static const mode_t modes[] = {0644, 0640, 0604, 0620, 0601};
    pt_key_pair keys = new_pair();
    const char *path = in_folder("open.key");
    ok(pt_keys_save(path, &keys, NULL, true));
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        pt_key_pair back;
        refused(pt_keys_load(path, &back, NULL, NULL), PT_E_INPUT, "chmod 600");
    }
    assert_int_equal(chmod(path, 0400), 0);
    ok(pt_keys_load(path, &keys, NULL, NULL));
}

static void test_bad_files_are_named_with_their_line(void **state)
{
    (void)state;
    pt_key_pair keys = new_pair();
    pt_key_pair other = new_pair();
    const char *p = keys.public_key.text;
    const char *s = keys.secret;
    char text[1024];
    const char *path = in_folder("bad.key");
    pt_key_pair back = {.secret = "untouched"};
#define REFUSED(what, ...)                                                                                   \
    do {                                                                                                     \
        snprintf(text, sizeof text, __VA_ARGS__);                                                            \
        write_text(path, text, 0600);                                                                        \
        refused(pt_keys_load(path, &back, NULL, NULL), PT_E_INPUT, what);                                    \
    } while (0)
    REFUSED("lacks the secret key", "%s", "");
    REFUSED("lacks the secret key", "public %s\n", p);
    REFUSED("lacks the public key", "secret %s\n", s);
    REFUSED("bad.key:2: expected a name and a key", "# x\npublic\n");
    REFUSED("bad.key:1: expected a name and a key", "public %s %s\n", p, s);
    REFUSED("bad.key:1: this is no key", "public %.39s\n", p);
    REFUSED("bad.key:1: this is no key", "public %s~\n", p);
    REFUSED("bad.key:1: this is no key", "public \"%.39s\n", p);
    REFUSED("bad.key:1: this is no key",
            "public #####################################xxx\n"); /* beyond 2^32 */
    REFUSED("bad.key:3: this key is given twice", "public %s\nsecret %s\npublic %s\n", p, s, p);
    REFUSED("bad.key:1: expected public, secret or server", "private %s\n", s);
    REFUSED("does not belong", "public %s\nsecret %s\n", other.public_key.text, s);
#undef REFUSED
    assert_string_equal(back.secret, "untouched");
    snprintf(text, sizeof text, "\r\n\t \n  public\t%s  \r\n#x\nsecret %s", p, s);
    write_text(path, text, 0600);
    ok(pt_keys_load(path, &back, NULL, NULL));
    refused(pt_keys_load(in_folder("missing.key"), &back, NULL, NULL), PT_E_INPUT, "missing.key");
    refused(pt_keys_load(folder, &back, NULL, NULL), PT_E_INPUT, "no regular file");
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 20000; i++) {
        fputc('#', file);
    }
    fclose(file);
    refused(pt_keys_load(path, &back, NULL, NULL), PT_E_INPUT, "more than");
    file = fopen(path, "w");
    fwrite("a\0b", 1, 3, file);
    fclose(file);
    refused(pt_keys_load(path, &back, NULL, NULL), PT_E_INPUT, "no text");
}

static void test_lists(void **state)
{
    (void)state;
    pt_key_pair a = new_pair();
    pt_key_pair b = new_pair();
    const char *path = in_folder("a.pub");
    ok(pt_public_key_save(path, &a.public_key, false));
    assert_int_equal(mode_of(path), 0644);
    refused(pt_public_key_save(path, &a.public_key, false), PT_E_EXISTS, "a.pub");
    ok(pt_public_key_save(path, &b.public_key, true));
    pt_public_key *keys = NULL;
    size_t count = 0;
    ok(pt_public_keys_load(path, &keys, &count));
    assert_int_equal(count, 1);
    assert_string_equal(keys[0].text, b.public_key.text);
    pt_free(keys);
    char text[256];
    snprintf(text, sizeof text, "public %s # not a comment\n", a.public_key.text);
    write_text(path, text, 0644);
    refused(pt_public_keys_load(path, &keys, &count), PT_E_INPUT, "a.pub:1");
    snprintf(text, sizeof text, "# two\npublic %s\n\npublic %s\n", a.public_key.text, b.public_key.text);
    write_text(path, text, 0644);
    ok(pt_public_keys_load(path, &keys, &count));
    assert_int_equal(count, 2);
    assert_string_equal(keys[0].text, a.public_key.text);
    assert_string_equal(keys[1].text, b.public_key.text);
    pt_free(keys);
    write_text(path, "# none\n", 0644);
    refused(pt_public_keys_load(path, &keys, &count), PT_E_INPUT, "no public key");
    snprintf(text, sizeof text, "secret %s\n", a.secret);
    write_text(path, text, 0644);
    refused(pt_public_keys_load(path, &keys, &count), PT_E_INPUT, "no line 'secret'");
}

static void test_pipes(void **state)
{
    (void)state;
    pt_key_pair keys = new_pair();
    pt_key_pair server = new_pair();
    for (int with = 0; with < 2; with++) {
        int fd = -1;
        ok(pt_keys_to_fd(&keys, with ? &server.public_key : NULL, &fd));
        pt_key_pair back;
        pt_public_key other;
        bool has = !with;
        ok(pt_keys_load_fd(fd, &back, &other, &has));
        assert_memory_equal(&back, &keys, sizeof keys);
        assert_int_equal(has, with);
        assert_true(!with || strcmp(other.text, server.public_key.text) == 0);
        assert_int_equal(close(fd), -1); /* it was closed */
    }
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    close(ends[1]);
    refused(pt_keys_load_fd(ends[0], &keys, NULL, NULL), PT_E_INPUT, "inherited keys");
}

static void test_allocation_failures(void **state)
{
    (void)state;
    pt_key_pair keys = new_pair();
    const char *path = in_folder("memory.key");
    ok(pt_keys_save(path, &keys, NULL, false));
    pt_alloc_fail_after(0);
    pt_status status = pt_keys_load(path, &keys, NULL, NULL);
    pt_alloc_fail_after(-1);
    assert_int_equal(status.code, PT_E_NOMEM);
    pt_alloc_fail_after(0);
    status = pt_keys_save(path, &keys, NULL, true);
    pt_alloc_fail_after(-1);
    assert_int_equal(status.code, PT_E_NOMEM);
    path = in_folder("memory.pub");
    ok(pt_public_key_save(path, &keys.public_key, false));
    for (long n = 0; n < 2; n++) {
        pt_public_key *list = NULL;
        size_t count = 0;
        pt_alloc_fail_after(n);
        status = pt_public_keys_load(path, &list, &count);
        pt_alloc_fail_after(-1);
        assert_int_equal(status.code, PT_E_NOMEM);
        assert_null(list);
    }
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"a.key",   "elsewhere", "link.key",   "open.key",
                                        "bad.key", "a.pub",     "memory.key", "memory.pub"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unlink(in_folder(names[i]));
    }
    return rmdir(folder); /* fails when something was left behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs_differ_and_are_wiped),
        cmocka_unit_test(test_files_come_back),
        cmocka_unit_test(test_overwriting_goes_through_no_link),
        cmocka_unit_test(test_what_cannot_be_written_is_named),
        cmocka_unit_test(test_secrets_that_others_may_read_are_refused),
        cmocka_unit_test(test_bad_files_are_named_with_their_line),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_pipes),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
