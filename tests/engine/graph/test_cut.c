/* Labels by minimum cut against trying all of them. */
#include "engine/graph/cut.h"
#include "tests/engine/kernels/random.h"
#include "tiling/base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { NODES = 8, GROUPS = 9, MEMBERS = 4 };

typedef struct groups {
    int members[GROUPS][MEMBERS], cost[GROUPS];
} groups;

static int cost_of(const groups *g, const bool *is_first)
{
    int cost = 0;
    for (int i = 0; i < GROUPS; i++) {
        bool differs = false;
        for (int k = 1; k < MEMBERS; k++) {
            differs |= is_first[g->members[i][k]] != is_first[g->members[i][0]];
        }
        cost += differs ? g->cost[i] : 0;
    }
    return cost;
}

static void test_random_groups(void **state)
{
    (void)state;
    randoms r = {5};
    for (int round = 0; round < 300; round++) {
        groups g;
        bool is_first[2 + NODES] = {true, false};
        pt_cut *cut = NULL;
        assert_int_equal(pt_cut_new(NODES, &cut).code, PT_OK);
        for (int i = 0; i < GROUPS; i++) {
            for (int k = 0; k < MEMBERS; k++) {
                g.members[i][k] = random_int(&r, 0, 1 + NODES);
            }
            g.cost[i] = random_int(&r, 1, 9);
            assert_int_equal(pt_cut_group(cut, g.members[i], MEMBERS, g.cost[i]).code, PT_OK);
        }
        int least = 1 << 20, fewest = 0;
        for (int labels = 0; labels < 1 << NODES; labels++) {
            for (int i = 0; i < NODES; i++) {
                is_first[2 + i] = labels >> i & 1;
            }
            int cost = cost_of(&g, is_first), count = __builtin_popcount((unsigned)labels);
            fewest = cost < least || (cost == least && count < fewest) ? count : fewest;
            least = cost < least ? cost : least;
        }
        assert_int_equal(pt_cut_solve(cut, is_first).code, PT_OK);
        assert_true(is_first[PT_CUT_FIRST] && !is_first[PT_CUT_SECOND]);
        assert_int_equal(cost_of(&g, is_first), least);
        int count = 0;
        for (int i = 0; i < NODES; i++) {
            count += is_first[2 + i];
        }
        assert_int_equal(count, fewest);
        pt_cut_free(&cut);
        assert_null(cut);
    }
}

static pt_status solve_one(bool *is_first)
{
    const int members[3] = {PT_CUT_FIRST, 2, PT_CUT_SECOND};
    pt_cut *cut = NULL;
    pt_status status;
    PT_TRY_OUT(pt_cut_new(1, &cut));
    PT_TRY_OUT(pt_cut_group(cut, members, 2, 1));
    PT_TRY_OUT(pt_cut_group(cut, members + 1, 2, 3));
    PT_TRY_OUT(pt_cut_solve(cut, is_first));
out:
    pt_cut_free(&cut);
    return status;
}

static void test_allocation_failures(void **state)
{
    (void)state;
    bool is_first[3];
    int n = 0;
    for (pt_status status = {.code = PT_E_NOMEM}; status.code != PT_OK; n++) {
        pt_alloc_fail_after(n);
        status = solve_one(is_first);
        pt_alloc_fail_after(-1);
        assert_true(status.code == PT_OK || status.code == PT_E_NOMEM);
    }
    assert_true(n > 3);
    assert_false(is_first[2]); /* the dearer group keeps together */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_groups),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
