#include "coordinator/control/roster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 3000 };

static void name_instance(uint8_t *instance, unsigned number)
{
    memset(instance, 0, PT_INSTANCE_ID);
    memcpy(instance + 3, &number, sizeof number); /* also outside the part that is hashed */
    memcpy(instance + 10, &number, sizeof number);
}

static pt_member *add(pt_roster *r, unsigned number)
{
    uint8_t instance[PT_INSTANCE_ID];
    pt_member *m = NULL;
    name_instance(instance, number);
    assert_string_equal(pt_roster_add(r, 1000 + number, number, instance, &m).message, "");
    m->slot = number % 7;
    return m;
}

static void assert_found(const pt_roster *r, unsigned number, pt_peer peer, bool there)
{
    uint8_t instance[PT_INSTANCE_ID];
    name_instance(instance, number);
    const pt_member *m = pt_roster_worker(r, number);
    assert_true((m != NULL) == there);
    assert_ptr_equal(pt_roster_peer(r, peer), m);
    assert_ptr_equal(pt_roster_instance(r, instance), m);
    assert_true(!m || (m->worker == number && r->members[m->place] == m));
}

/* Members come, go and reconnect; whoever is there is found by all three names, and nobody else. */
static void test_members_are_found(void **state)
{
    (void)state;
    pt_roster r = {0};
    pt_peer peers[MANY + 1] = {0};
    bool there[MANY + 1] = {false};
    unsigned seed = 1;
    assert_null(pt_roster_peer(&r, 1));
    assert_null(pt_roster_worker(&r, 1));
    for (int i = 0; i < 4 * MANY; i++) {
        seed = seed * 1664525u + 1013904223u;
        unsigned n = 1 + (seed >> 10) % MANY;
        if (!there[n]) {
            add(&r, n);
            peers[n] = 1000 + n;
            there[n] = true;
        } else if (seed >> 30 == 0) {
            peers[n] = 1000000 + (pt_peer)i;
            pt_roster_rebind(&r, pt_roster_worker(&r, n), peers[n]);
        } else if (seed >> 30 == 1) {
            pt_member *m = pt_roster_worker(&r, n);
            pt_roster_remove(&r, &m);
            assert_null(m);
            there[n] = false;
        }
        assert_found(&r, n, peers[n], there[n]);
    }
    size_t count = 0;
    for (unsigned n = 1; n <= MANY; n++) {
        assert_found(&r, n, peers[n], there[n]);
        count += there[n];
    }
    assert_int_equal(r.count, count);
    pt_roster_fini(&r);
    pt_roster_fini(&r);
}

static void test_slots(void **state)
{
    (void)state;
    pt_roster r = {0};
    uint8_t instance[PT_INSTANCE_ID];
    add(&r, 7); /* no slot */
    pt_member *first = add(&r, 8);
    name_instance(instance, 8);
    assert_null(pt_roster_slot(&r, 1, instance)); /* itself */
    name_instance(instance, 15);
    assert_ptr_equal(pt_roster_slot(&r, 1, instance), first);
    assert_null(pt_roster_slot(&r, 0, instance));
    assert_null(pt_roster_slot(&r, 2, instance));
    pt_roster_fini(&r);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    pt_roster r = {0};
    uint8_t instance[PT_INSTANCE_ID];
    for (unsigned n = 1; n <= 200; n++) {
        pt_status status = pt_error(PT_E_NOMEM, "none yet");
        name_instance(instance, n);
        for (long k = 0; status.code == PT_E_NOMEM; k++) {
            pt_member *m = NULL;
            pt_alloc_fail_after(k);
            status = pt_roster_add(&r, 1000 + n, n, instance, &m);
            pt_alloc_fail_after(-1);
            assert_true((m != NULL) == (status.code == PT_OK));
            assert_found(&r, n, 1000 + n, m != NULL);
        }
        assert_string_equal(status.message, "");
    }
    assert_int_equal(r.count, 200);
    pt_roster_fini(&r);
}

static void test_backends_that_differ(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool differ;
    } cases[] = {{"native (vnni)", "native (avx2)", false},
                 {"", "", false},
                 {"portable (OpenBLAS 0.3.21 Haswell)", "portable (OpenBLAS 0.3.21 Haswell)", false},
                 {"portable (OpenBLAS 0.3.21 Haswell)", "portable (OpenBLAS 0.3.21 SkylakeX)", true},
                 {"native (vnni)", "portable (OpenBLAS 0.3.21 Nehalem)", true},
                 {"onednn (2.6)", "native (avx2)", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pt_roster r = {0};
        pt_member *a = add(&r, 1);
        strcpy(a->backend, cases[i].a);
        assert_null(pt_roster_differs(&r, a));
        pt_member *b = add(&r, 2);
        strcpy(b->backend, cases[i].b);
        assert_ptr_equal(pt_roster_differs(&r, b), cases[i].differ ? a : NULL);
        assert_ptr_equal(pt_roster_differs(&r, a), cases[i].differ ? b : NULL);
        pt_roster_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_are_found),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_backends_that_differ),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
