/* Which names on the wire a worker follows. */
#include "worker/job/access.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A root with a file, a folder, and links inside, to the outside, and to nothing; and a file beside it. */
static char base[PATH_MAX], root[PATH_MAX + 8];

static void touch(const char *format, const char *folder)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, format, folder);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void link_to(const char *target, const char *name)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(symlink(target, path), 0);
}

static int make_folders(void **state)
{
    (void)state;
    char made[] = "access-XXXXXX", path[PATH_MAX + 64];
    if (!mkdtemp(made) || !realpath(made, base)) {
        return -1;
    }
    snprintf(root, sizeof root, "%s/root", base);
    mkdir(root, 0700);
    snprintf(path, sizeof path, "%s/in", root);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/rootless", base);
    mkdir(path, 0700);
    touch("%s/in/a.tif", root);
    touch("%s/b c.tif", root);
    touch("%s/outside.tif", base);
    touch("%s/rootless/c.tif", base);
    link_to("in/a.tif", "inner.tif");
    link_to("../outside.tif", "outer.tif");
    link_to("/etc", "etc");
    link_to("nothing", "dangling.tif");
    return 0;
}

static int remove_folders(void **state)
{
    (void)state;
    char command[PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -r '%s'", base);
    return system(command);
}

static void allow(const pt_worker_access *access, const char *path, const char *wanted)
{
    char *found = NULL;
    pt_status status = pt_access_resolve(access, "scene", path, &found);
    assert_string_equal(status.message, "");
    assert_string_equal(found, wanted);
    pt_free(found);
}

static void refuse(const pt_worker_access *access, const char *path, const char *why)
{
    char *found = (char *)"untouched";
    pt_status status = pt_access_resolve(access, "scene", path, &found);
    assert_string_equal(found, "untouched");
    if (status.code != PT_E_INPUT || !strstr(status.message, why) || !strstr(status.message, "scene")) {
        fail_msg("%s: wanted \"%s\", got %s: %s", path, why, pt_code_name(status.code), status.message);
    }
}

static void test_files_below_the_root(void **state)
{
    (void)state;
    pt_worker_access access = {.root = root};
    char wanted[PATH_MAX + 64];
    static const char *const good[] = {"in/a.tif", "b c.tif", "inner.tif", "in"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(wanted, sizeof wanted, "%s/%s", root, good[i]);
        allow(&access, good[i], wanted);
    }
    snprintf(wanted, sizeof wanted, "GTIFF_DIR:2:%s/in/a.tif", root);
    allow(&access, "GTIFF_DIR:2:in/a.tif", wanted);
    snprintf(wanted, sizeof wanted, "GTIFF_DIR:off:408:%s/in/a.tif", root);
    allow(&access, "GTIFF_DIR:off:408:in/a.tif", wanted);
    /* The whole machine, as when both ends see the same files. */
    static const char *const whole[] = {NULL, "", "/"};
    snprintf(wanted, sizeof wanted, "%s/outside.tif", base);
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        access.root = whole[i];
        allow(&access, wanted + 1, wanted);
    }
}

static void test_what_is_not(void **state)
{
    (void)state;
    pt_worker_access access = {.root = root};
    static const char *const odd[] = {"",
                                      "/etc/passwd",
                                      "..",
                                      "../outside.tif",
                                      "in/../..",
                                      "./in/a.tif",
                                      "in//a.tif",
                                      "in/./a.tif",
                                      "in/",
                                      "in/a.tif/..",
                                      "in/a\n.tif",
                                      "in/..",
                                      "GTIFF_DIR:1:/etc/passwd",
                                      "GTIFF_DIR:1:../outside.tif"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        refuse(&access, odd[i], "no path below a root");
    }
    refuse(&access, "outer.tif", "outside of this worker's root");
    refuse(&access, "etc/passwd", "outside of this worker's root");
    refuse(&access, "missing.tif", strerror(ENOENT));
    refuse(&access, "dangling.tif", strerror(ENOENT));
    refuse(&access, "in/a.tif/b", strerror(ENOTDIR));
    refuse(&access, "GTIFF_DIR:x:in/a.tif", strerror(ENOENT)); /* taken for a folder's name */
    refuse(&access, "HDF5:in/a.tif", strerror(ENOENT));
    char without[PATH_MAX + 64];
    snprintf(without, sizeof without, "%s/missing", base);
    access.root = without;
    char *found = NULL;
    pt_status status = pt_access_resolve(&access, "scene", "in/a.tif", &found);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, without));
}

/* What a VRT names, by GDAL's names: absolute. */
static void test_files_behind_others(void **state)
{
    (void)state;
    pt_worker_access access = {.root = root};
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/in/a.tif", root);
    assert_int_equal(pt_access_check(&access, "scene", path).code, PT_OK);
    snprintf(path, sizeof path, "%s/in/../../outside.tif", root);
    assert_int_equal(pt_access_check(&access, "scene", path).code, PT_E_INPUT);
    snprintf(path, sizeof path, "%s/rootless/c.tif", base); /* begins with the root's letters */
    assert_int_equal(pt_access_check(&access, "scene", path).code, PT_E_INPUT);
    assert_int_equal(pt_access_check(&access, "scene", "/vsicurl/https://host/a.tif").code, PT_E_INPUT);
}

static void test_urls(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"/vsicurl/https://host/data/", "/vsis3/bucket", "/vsimem/"};
    pt_worker_access access = {.root = root, .urls = prefixes, .url_count = 3};
    static const char *const good[] = {
        "/vsicurl/https://host/data/a.tif", "/vsicurl/https://host/data/b//c.tif",
        "/vsicurl/https://host/data/a.tif?key=1%20%2B", "/vsis3/bucket/a..b/c.tif", "/vsimem/a.tif"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        allow(&access, good[i], good[i]);
    }
    allow(&access, "GTIFF_DIR:1:/vsimem/a.tif", "GTIFF_DIR:1:/vsimem/a.tif");
    static const char *const bad[] = {
        "/vsicurl/https://host/a.tif",
        "/vsicurl/https://host/data",
        "/vsicurl/http://host/data/a.tif",
        "/vsicurl/https://host/data/../secret.tif",
        "/vsicurl/https://host/data/x/./y.tif",
        "/vsicurl/https://host/data/%2e%2e/secret.tif",
        "/vsicurl/https://host/data/..%2Fsecret.tif",
        "/vsicurl/https://host/data/..%5csecret.tif",
        "/vsicurl/https://host/data/..\\secret.tif",
        "/vsicurl/https://host/data/a.tif\n",
        "/vsicurl/https://host/data//vsizip/x.zip/a.tif",
        "/vsicurl?url=https://host/data/a.tif",
        "/vsis3/bucket.evil/a.tif",
        "/vsis3/bucketful/a.tif",
        "/vsizip//vsicurl/https://host/data/a.zip/a.tif",
        "/vsizip/root/a.zip",
        "/vsisubfile/0_100,/etc/passwd",
        "/vsistdin/",
        "/vsi",
        "GTIFF_DIR:1:/vsicurl/https://host/a.tif",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        refuse(&access, bad[i], "no address that this worker allows");
    }
    static const char *const any[] = {"/vsi"};
    access.urls = any;
    access.url_count = 1;
    allow(&access, "/vsizip//vsicurl/https://host/a.zip/a.tif", "/vsizip//vsicurl/https://host/a.zip/a.tif");
    refuse(&access, "/vsicurl/https://host/a\n.tif", "no address that this worker allows");
    access.url_count = 0;
    refuse(&access, "/vsimem/a.tif", "no address that this worker allows");
}

static void test_out_of_memory(void **state)
{
    (void)state;
    pt_worker_access access = {.root = root};
    char *found = NULL;
    pt_alloc_fail_after(0);
    pt_status status = pt_access_resolve(&access, "scene", "in/a.tif", &found);
    pt_alloc_fail_after(-1);
    assert_int_equal(status.code, PT_E_NOMEM);
    assert_null(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_below_the_root), cmocka_unit_test(test_what_is_not),
        cmocka_unit_test(test_files_behind_others),  cmocka_unit_test(test_urls),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
