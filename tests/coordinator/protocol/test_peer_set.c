#include "coordinator/protocol/peer_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_the_last_ones_are_kept(void **state)
{
    (void)state;
    pt_peer_set set = {0};
    assert_false(pt_peer_set_has(&set, 1));
    enum { MANY = 5 * PT_PEER_SET + 123 };
    for (pt_peer peer = 1; peer <= MANY; peer++) {
        assert_true(pt_peer_set_add(&set, peer * 7));
        assert_true(pt_peer_set_add(&set, peer * 7)); /* counts once */
        assert_true(pt_peer_set_has(&set, peer * 7));
        assert_false(pt_peer_set_has(&set, peer * 7 + 1));
    }
    size_t kept = 0;
    for (pt_peer peer = 1; peer <= MANY; peer++) {
        bool has = pt_peer_set_has(&set, peer * 7);
        assert_true(has || peer <= MANY - PT_PEER_SET);
        kept += has;
    }
    assert_int_equal(kept, PT_PEER_SET + 123);
    pt_peer_set_fini(&set);
    pt_peer_set_fini(&set);
    assert_false(pt_peer_set_has(&set, 7));
}

static void test_one_place_for_many(void **state)
{
    (void)state;
    pt_peer_set set = {0};
    for (pt_peer n = 1; n <= 1000; n++) {
        assert_true(pt_peer_set_add(&set, n << 32)); /* all of the same low bits */
    }
    for (pt_peer n = 1; n <= 1000; n++) {
        assert_true(pt_peer_set_has(&set, n << 32));
    }
    assert_false(pt_peer_set_has(&set, 1001ULL << 32));
    pt_peer_set_fini(&set);
}

static void test_no_memory(void **state)
{
    (void)state;
    pt_peer_set set = {0};
    pt_alloc_fail_after(0);
    assert_false(pt_peer_set_add(&set, 5));
    pt_alloc_fail_after(-1);
    assert_false(pt_peer_set_has(&set, 5));
    assert_true(pt_peer_set_add(&set, 5));
    pt_peer_set_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_ones_are_kept),
        cmocka_unit_test(test_one_place_for_many),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
