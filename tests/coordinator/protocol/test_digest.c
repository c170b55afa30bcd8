#include "coordinator/protocol/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Digests are stored, so they must stay what they are. */
static void test_digests_do_not_change(void **state)
{
    (void)state;
    const uint8_t bytes[] = "more than one stride of thirty-two bytes, and some";
    assert_true(pt_result_digest(PT_TILE_DONE, false, NULL, 0) == UINT64_C(0xde7cf0cebc68fcac));
    assert_true(pt_result_digest(PT_TILE_DONE, true, bytes, 11) == UINT64_C(0xfe9d4b5908a1c9b1));
    assert_true(pt_result_digest(PT_TILE_EMPTY, false, bytes, sizeof bytes - 1) ==
                UINT64_C(0xe17b9662e7a4e18f));
}

static void test_any_difference_shows(void **state)
{
    (void)state;
    uint8_t bytes[100] = {0};
    for (size_t size = 0; size <= sizeof bytes; size++) {
        uint64_t whole = pt_result_digest(PT_TILE_DONE, false, bytes, size);
        assert_true(whole == pt_result_digest(PT_TILE_DONE, false, bytes, size));
        assert_true(whole != pt_result_digest(PT_TILE_DONE, true, bytes, size));
        assert_true(whole != pt_result_digest(PT_TILE_EMPTY, false, bytes, size));
        for (size_t bit = 0; bit < 8 * size; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_true(whole != pt_result_digest(PT_TILE_DONE, false, bytes, size));
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        if (size > 0) {
            assert_true(whole != pt_result_digest(PT_TILE_DONE, false, bytes, size - 1));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests_do_not_change),
        cmocka_unit_test(test_any_difference_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
