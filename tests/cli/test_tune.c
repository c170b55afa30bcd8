/* What `pantile tune` counts and chooses, on tiles whose answers can be worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/tune_grid.h"
#include "cli/tune_score.h"

#include <math.h>
#include <string.h>

static void add(pt_instance_list *list, pt_rect rect, int class_id, float score)
{
    pt_instance instance = {.class_id = class_id, .score = score};
    assert_int_equal(pt_mask_from_rect(rect, &instance.mask).code, PT_OK);
    assert_int_equal(pt_instance_list_push(list, &instance).code, PT_OK);
}

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-12;
}

static void test_nothing(void **state)
{
    (void)state;
    pt_tune_score score = {0};
    pt_instance_list none = {0}, one = {0};
    assert_true(pt_tune_score_f1(&score, 0.5) == 1 && pt_tune_score_ap(&score) == 1);
    assert_int_equal(pt_tune_score_add(&score, &none, &none).code, PT_OK);
    assert_true(pt_tune_score_f1(&score, 0.5) == 1 && pt_tune_score_ap(&score) == 1);
    add(&one, (pt_rect){0, 0, 10, 10}, 1, 0.9F);
    assert_int_equal(pt_tune_score_add(&score, &none, &one).code, PT_OK);
    assert_true(pt_tune_score_f1(&score, 0.5) == 0 && pt_tune_score_ap(&score) == 0);
    assert_true(pt_tune_score_f1(&score, 0.95) == 1); /* it is below that */
    pt_tune_score_fini(&score);
    assert_int_equal(pt_tune_score_add(&score, &one, &none).code, PT_OK);
    assert_true(pt_tune_score_f1(&score, 0.5) == 0 && pt_tune_score_ap(&score) == 0);
    pt_tune_score_fini(&score);
    pt_instance_list_fini(&one);
}

static void test_perfect(void **state)
{
    (void)state;
    pt_tune_score score = {0};
    pt_instance_list list = {0};
    for (int i = 0; i < 7; i++) {
        add(&list, (pt_rect){20 * i, 5, 10, 10}, 1 + i % 2, 1 - 0.1F * (float)i);
    }
    assert_int_equal(pt_tune_score_add(&score, &list, &list).code, PT_OK);
    assert_int_equal(pt_tune_score_add(&score, &list, &list).code, PT_OK);
    assert_int_equal(score.truth, 14);
    assert_true(pt_tune_score_f1(&score, 0) == 1 && near(pt_tune_score_ap(&score), 1));
    pt_tune_score_fini(&score);
    pt_instance_list_fini(&list);
}

/* Truth of 10 x 10; found shifted by d has an IoU of (10 - d) / (10 + d). */
static void test_matching(void **state)
{
    (void)state;
    pt_tune_score score = {0};
    pt_instance_list truth = {0}, found = {0};
    add(&truth, (pt_rect){0, 0, 10, 10}, 1, 1);
    add(&truth, (pt_rect){100, 0, 10, 10}, 1, 1);
    add(&found, (pt_rect){1, 0, 10, 10}, 1, 0.6F);   /* 9 / 11 = 0.818: the second to ask, of one truth */
    add(&found, (pt_rect){2, 0, 10, 10}, 1, 0.9F);   /* 8 / 12 = 0.667: takes it where that is enough */
    add(&found, (pt_rect){100, 0, 10, 10}, 2, 0.8F); /* another class */
    add(&found, (pt_rect){104, 0, 10, 10}, 1, 0.3F); /* 6 / 14 = 0.429: too far off */
    assert_int_equal(pt_tune_score_add(&score, &truth, &found).code, PT_OK);
    /* With a score of 0.5 or more: 3 found, 1 hit, 2 truths. */
    assert_true(near(pt_tune_score_f1(&score, 0.5), 2.0 / 5));
    assert_true(near(pt_tune_score_f1(&score, 0), 2.0 / 6));
    /* 0.50 .. 0.65: the first of the ranks hits, half of the truth: 51 of 101 recalls at precision 1. 0.70 ..
     * 0.80: the third does, at precision 1 / 3. Above: none. */
    double wanted = (4 * (51.0 / 101) + 3 * (51.0 / 101 / 3)) / 10;
    assert_true(near(pt_tune_score_ap(&score), wanted));
    pt_tune_score_fini(&score);
    pt_instance_list_fini(&truth);
    pt_instance_list_fini(&found);
}

static void test_no_memory(void **state)
{
    (void)state;
    pt_instance_list list = {0};
    add(&list, (pt_rect){0, 0, 10, 10}, 1, 1);
    for (long n = 0;; n++) {
        pt_tune_score score = {0};
        pt_alloc_fail_after(n);
        pt_status status = pt_tune_score_add(&score, &list, &list);
        pt_alloc_fail_after(-1);
        pt_tune_score_fini(&score);
        if (status.code == PT_OK) {
            assert_true(n >= 3);
            break;
        }
        assert_int_equal(status.code, PT_E_NOMEM);
    }
    pt_instance_list_fini(&list);
}

static void test_choice(void **state)
{
    (void)state;
    pt_tune_row rows[] = {{.f1 = 0.800, .ms = 100}, {.f1 = 0.799, .ms = 60}, {.f1 = 0.798, .ms = 70},
                          {.f1 = 0.790, .ms = 30},  {.f1 = 0.810, .ms = 90}, {.f1 = 0.799, .ms = 60}};
    pt_tune_choose(rows, 6, 0.003);
    static const bool pareto[] = {false, true, false, true, true, true};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(rows[i].pareto, pareto[i]);
        assert_int_equal(rows[i].chosen, i == 1); /* of equals the first */
    }
    assert_ptr_equal(pt_tune_chosen(rows, 6), &rows[1]);
    pt_tune_choose(rows, 6, 0.011);
    assert_ptr_equal(pt_tune_chosen(rows, 6), &rows[3]);
    pt_tune_choose(rows, 6, 0);
    assert_ptr_equal(pt_tune_chosen(rows, 6), &rows[4]);
    pt_tune_choose(rows, 1, 0);
    assert_true(rows[0].pareto && rows[0].chosen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),   cmocka_unit_test(test_perfect), cmocka_unit_test(test_matching),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
