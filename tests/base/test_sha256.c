#include "tiling/base/alloc.h"
#include "tiling/base/sha256.h"
#include "tiling/base/sha256_blocks.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void check_sha(const void *bytes, size_t size, size_t step, const char *wanted)
{
    pt_sha256 sha;
    uint8_t digest[PT_SHA256_BYTES];
    char hex[PT_SHA256_HEX];
    pt_sha256_init(&sha);
    for (size_t at = 0; at < size; at += step) {
        pt_sha256_update(&sha, (const char *)bytes + at, size - at < step ? size - at : step);
    }
    pt_sha256_final(&sha, digest);
    pt_sha256_hex(digest, hex);
    uint8_t back[PT_SHA256_BYTES];
    pt_sha256_of_hex(hex, back);
    assert_memory_equal(back, digest, sizeof back);
    assert_string_equal(hex, wanted);
}

/* FIPS 180-4's examples ("abc", two blocks, a million a's), the empty text, and lengths around a block's edge
 * (checked with sha256sum). */
static void digests_equal_the_standards(void **state)
{
    (void)state;
    static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    char *a = malloc(1000000);
    assert_non_null(a);
    memset(a, 'a', 1000000);
    check_sha("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha("abc", 3, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    static const size_t steps[] = {1, 3, 55, 63, 64, 65, 1000, 1000000};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        check_sha(two, 56, steps[i], "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        check_sha(a, 1000000, steps[i], "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
        check_sha(a, 55, steps[i], "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
        check_sha(a, 64, steps[i], "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
    }
    free(a);
}

/* Instructions for it, where the CPU has them, or plain C: the same state from any bytes at any address. */
static void both_ways_add_the_same(void **state)
{
    (void)state;
    uint8_t bytes[64 * 9 + 3];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * i * 7 + i / 5);
    }
    for (size_t count = 0; count <= 9; count++) {
        uint32_t one[8], two[8];
        for (uint32_t i = 0; i < 8; i++) {
            one[i] = two[i] = 0x9e3779b9u * (i + 1);
        }
        const uint8_t *from = bytes + count % 4;
        pt_sha256_add_plain(one, from, count);
        pt_sha256_add_best()(two, from, count);
        assert_memory_equal(one, two, sizeof one);
    }
}

/* Larger than one read, and of no round size. */
static void a_file_has_the_digest_of_its_bytes(void **state)
{
    (void)state;
    enum { SIZE = 700001 };
    char path[] = "sha256-XXXXXX";
    int fd = mkstemp(path);
    uint8_t *bytes = malloc(SIZE), wanted[PT_SHA256_BYTES], got[PT_SHA256_BYTES];
    assert_true(fd >= 0 && bytes);
    for (size_t i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)(i * i >> 3);
    }
    assert_int_equal(write(fd, bytes, SIZE), SIZE);
    close(fd);
    pt_sha256 sha;
    pt_sha256_init(&sha);
    pt_sha256_update(&sha, bytes, SIZE);
    pt_sha256_final(&sha, wanted);
    assert_int_equal(pt_sha256_file(path, got).code, PT_OK);
    assert_memory_equal(got, wanted, sizeof got);
    pt_alloc_fail_after(0);
    pt_status status = pt_sha256_file(path, got);
    pt_alloc_fail_after(-1);
    assert_int_equal(status.code, PT_E_NOMEM);
    unlink(path);
    free(bytes);
}

static void refuse(const char *path, const char *why)
{
    uint8_t digest[PT_SHA256_BYTES] = {7};
    pt_status status = pt_sha256_file(path, digest);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, path));
    assert_non_null(strstr(status.message, why));
    assert_int_equal(digest[0], 7);
}

/* A pipe without a writer does not hold it up either. */
static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    char dir[] = "sha256-XXXXXX", pipe[64];
    assert_non_null(mkdtemp(dir));
    snprintf(pipe, sizeof pipe, "%s/pipe", dir);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    refuse("sha256-missing", strerror(ENOENT));
    refuse(dir, "not a regular file");
    refuse(pipe, "not a regular file");
    unlink(pipe);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_add_the_same),
        cmocka_unit_test(digests_equal_the_standards),
        cmocka_unit_test(a_file_has_the_digest_of_its_bytes),
        cmocka_unit_test(what_is_no_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
