#include "tests/coordinator/protocol/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

static void encode(const pt_instance_list *list, uint8_t **bytes, size_t *size)
{
    pt_status status = pt_instances_encode(list, bytes, size);
    assert_string_equal(status.message, "");
}

/* From a block of exactly that size, so that a byte read beyond is noticed. */
static pt_status decode(const uint8_t *bytes, size_t size, pt_instance_list *out)
{
    uint8_t *exact = malloc(size ? size : 1);
    memcpy(exact, bytes, size);
    pt_status status = pt_instances_decode(exact, size, sample_window, out);
    free(exact);
    return status;
}

static void test_lists_come_back(void **state)
{
    (void)state;
    for (int n = 0; n < 60; n++) {
        pt_instance_list list = sample_instances((size_t)n, 5 + n, n % 2);
        uint8_t *bytes, *again;
        size_t size, again_size;
        encode(&list, &bytes, &size);
        pt_instance_list back;
        pt_status status = decode(bytes, size, &back);
        assert_string_equal(status.message, "");
        assert_true(sample_lists_equal(&list, &back));
        encode(&back, &again, &again_size);
        assert_int_equal(size, again_size);
        assert_memory_equal(bytes, again, size);
        pt_free(bytes);
        pt_free(again);
        pt_instance_list_fini(&list);
        pt_instance_list_fini(&back);
    }
}

static void test_extremes_come_back(void **state)
{
    (void)state;
    pt_instance_list list = {0};
    pt_instance in = {.class_id = 1, .score = 1};
    const pt_rect far = {(INT64_C(1) << 40) - 1, -(INT64_C(1) << 40), 1, 1};
    assert_int_equal(pt_mask_from_rect(far, &in.mask).code, PT_OK);
    assert_int_equal(pt_instance_list_push(&list, &in).code, PT_OK);
    in = (pt_instance){.class_id = 1 << 20, .score = 0x1p-149F, .truncated = true};
    pt_rect near = {-(INT64_C(1) << 40), (INT64_C(1) << 40) - 300, 5, 300};
    assert_int_equal(pt_mask_from_rect(near, &in.mask).code, PT_OK);
    assert_int_equal(pt_instance_list_push(&list, &in).code, PT_OK);
    uint8_t *bytes;
    size_t size;
    encode(&list, &bytes, &size);
    pt_instance_list back;
    pt_rect all = {-(INT64_C(1) << 40), -(INT64_C(1) << 40), INT64_C(1) << 41, INT64_C(1) << 41};
    assert_int_equal(pt_instances_decode(bytes, size, all, &back).code, PT_OK);
    assert_true(sample_lists_equal(&list, &back));
    pt_free(bytes);
    pt_instance_list_fini(&list);
    pt_instance_list_fini(&back);
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    pt_instance_list list = sample_instances(4, 12, true);
    uint8_t *bytes;
    size_t size;
    encode(&list, &bytes, &size);
    pt_instance_list back = {.count = 99};
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(decode(bytes, cut, &back).code, PT_E_INPUT);
    }
    uint8_t *longer = calloc(size + 1, 1);
    memcpy(longer, bytes, size);
    pt_status status = decode(longer, size + 1, &back);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, "left behind"));
    assert_int_equal(back.count, 99);
    free(longer);
    pt_free(bytes);
    pt_instance_list_fini(&list);
}

/* What instance.h promises of a mask. */
static void check(const pt_instance *in)
{
    assert_true(in->class_id >= 1 && in->score >= 0 && in->score <= 1);
    assert_true(pt_rect_contains(sample_window, in->mask.box) && in->mask.count > 0);
    uint8_t *painted = calloc((size_t)pt_rect_area(in->mask.box), 1);
    pt_mask_paint(&in->mask, in->mask.box, painted, in->mask.box.w, 1);
    pt_mask again;
    assert_int_equal(pt_mask_from_bytes(in->mask.box, painted, in->mask.box.w, 1, &again).code, PT_OK);
    assert_true(pt_mask_equal(&in->mask, &again));
    pt_mask_fini(&again);
    free(painted);
    if (in->prob.q) {
        assert_true(pt_rect_contains(sample_window, in->prob.box) &&
                    pt_rect_contains(in->prob.box, in->mask.box));
    }
}

static void test_damaged_bytes_are_refused_or_sane(void **state)
{
    (void)state;
    int taken = 0;
    int refused = 0;
    pt_instance_list list = sample_instances(6, 20, false);
    uint8_t *bytes, *again;
    size_t size, again_size;
    encode(&list, &bytes, &size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        pt_instance_list back;
        pt_status status = decode(bytes, size, &back);
        if (status.code == PT_OK) {
            for (size_t i = 0; i < back.count; i++) {
                check(&back.items[i]);
            }
            encode(&back, &again, &again_size);
            assert_int_equal(size, again_size);
            assert_memory_equal(bytes, again, size); /* one list has one spelling */
            pt_free(again);
            pt_instance_list_fini(&back);
            taken++;
        } else {
            assert_int_equal(status.code, PT_E_INPUT);
            refused++;
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(taken > 10 && refused > 100);
    pt_free(bytes);
    pt_instance_list_fini(&list);
}

static void refuse_bytes(const void *bytes, size_t size, const char *what)
{
    pt_instance_list back;
    pt_status status = decode(bytes, size, &back);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, what));
}

/* Version, one instance: class 1, score 0.5, no flags, box of 2 x 1 at (1000, 3000), one span of 2. The
 * numbers of the box are zigzag: 2000 is d0 0f, 6000 is f0 2e. */
#define HEAD "\x01\x01\x01\x00\x00\x00\x3f"
#define PLACE "\xd0\x0f\xf0\x2e"

static void test_rules_are_held(void **state)
{
    (void)state;
    pt_instance_list back;
    assert_int_equal(decode((const uint8_t *)HEAD "\x00" PLACE "\x02\x01\x01\x00\x00\x02", 18, &back).code,
                     PT_OK);
    assert_int_equal(back.count, 1);
    assert_true(back.items[0].score == 0.5F && back.items[0].mask.area == 2);
    pt_instance_list_fini(&back);
    refuse_bytes("", 0, "no encoded instances");
    refuse_bytes("\x02\x00", 2, "no encoded instances");
    refuse_bytes("\x01\x01", 2, "no encoded instances"); /* more than can be there */
    refuse_bytes("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01 12345678901234", 26, "no encoded instances");
    refuse_bytes(HEAD "\x00" PLACE "\x82\x00\x01\x01\x00\x00\x02", 19,
                 "mask");                                                    /* a number with a spare byte */
    refuse_bytes(HEAD "\x04" PLACE "\x02\x01\x01\x00\x00\x02", 18, "flags"); /* an unknown flag */
    refuse_bytes(HEAD "\x00" PLACE "\x02\x01\x01\x00\x02\x01", 18, "mask");  /* not tight on the left */
    refuse_bytes(HEAD "\x00" PLACE "\x02\x01\x01\x00\x00\x01", 18, "mask");  /* nor on the right */
    refuse_bytes(HEAD "\x00" PLACE "\x02\x02\x01\x00\x00\x02", 18, "mask");  /* nor at the bottom */
    refuse_bytes(HEAD "\x00" PLACE "\x02\x01\x01\x00\x00\x03", 18, "mask");  /* beyond the box */
    refuse_bytes(HEAD "\x00" PLACE "\x02\x01\x01\x00\x00\x00", 18, "mask");  /* empty */
    refuse_bytes(HEAD "\x00" PLACE "\x02\x01\x02\x00\x00\x01\x00\x00\x01", 21, "mask"); /* touching */
    refuse_bytes(HEAD "\x00\xce\x0f\xf0\x2e\x02\x01\x01\x00\x00\x02", 18, "window");
    refuse_bytes("\x01\x01\x00\x00\x00\x00\x3f\x00" PLACE "\x02\x01\x01\x00\x00\x02", 18, "class");
    refuse_bytes("\x01\x01\x01\x00\x00\xc0\x7f\x00" PLACE "\x02\x01\x01\x00\x00\x02", 18, "score"); /* NaN */
    refuse_bytes("\x01\x01\x01\x00\x00\x80\x3f\x00" PLACE "\x02\x01\x01\x00\x00\x03", 18, "mask");
    refuse_bytes("\x01\x01\x01\x01\x00\x80\x3f\x00" PLACE "\x02\x01\x01\x00\x00\x02", 18,
                 "score"); /* above 1 */
    refuse_bytes("\x01\x01\x01\x00\x00\x00\x80\x00" PLACE "\x02\x01\x01\x00\x00\x02", 18, "score"); /* -0 */
    /* Probabilities: outside the window, and fewer than the box has pixels. */
    refuse_bytes(HEAD "\x02" PLACE "\x02\x01\x01\x00\x00\x02\x01\x00\x00\x00qqq", 25, "probabilities");
    refuse_bytes(HEAD "\x02" PLACE "\x02\x01\x01\x00\x00\x02\x00\x00\x01\x00qq", 24, "probabilities");
}

static void refuse_list(pt_instance_list *list, const char *what)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    pt_status status = pt_instances_encode(list, &bytes, &size);
    assert_int_equal(status.code, PT_E_USAGE);
    assert_non_null(strstr(status.message, what));
    assert_null(bytes);
    pt_instance_list_fini(list);
}

#define REFUSE(change, what)                                                                                 \
    do {                                                                                                     \
        pt_instance_list list = sample_instances(2, 10, true);                                               \
        pt_instance *in = &list.items[1];                                                                    \
        change;                                                                                              \
        refuse_list(&list, what);                                                                            \
    } while (0)

static void test_bad_instances_are_not_encoded(void **state)
{
    (void)state;
    REFUSE(in->class_id = 0, "instance 1 cannot be encoded: its class is 0");
    REFUSE(in->score = NAN, "score");
    REFUSE(in->score = 1.5F, "score");
    REFUSE(in->mask.box.w++, "mask");
    REFUSE(in->mask.box.x = INT64_MIN, "mask");
    REFUSE(in->mask.spans[1].y = 0, "mask");
    REFUSE(in->mask.count = 0, "mask");
    REFUSE(in->prob.box.w = 1, "probabilities");
    REFUSE(in->prob.box.h = INT64_MAX, "probabilities");
}

/* Small bytes of large lists: what they would take in memory is bounded. */
static void test_too_many_are_refused(void **state)
{
    (void)state;
    const size_t least = 14, most = (size_t)1 << 20, size = 4 + least * (most + 1);
    uint8_t *bytes = pt_calloc(size, 1);
    assert_non_null(bytes);
    memcpy(bytes, "\x01\x81\x80\x40", 4); /* the version, and 2^20 + 1 */
    refuse_bytes(bytes, size, "no encoded instances");
    bytes[1] = 0x80; /* 2^20 */
    refuse_bytes(bytes, size, "instance 0");
    pt_free(bytes);
    const pt_instance_list list = {.count = most + 1};
    uint8_t *encoded = NULL;
    size_t length = 0;
    assert_int_equal(pt_instances_encode(&list, &encoded, &length).code, PT_E_USAGE);
    assert_null(encoded);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    pt_instance_list list = sample_instances(20, 10, true);
    uint8_t *bytes = NULL;
    size_t size = 0;
    long n = 0;
    for (; bytes == NULL; n++) {
        pt_alloc_fail_after(n);
        pt_status status = pt_instances_encode(&list, &bytes, &size);
        pt_alloc_fail_after(-1);
        assert_int_equal(status.code, bytes ? PT_OK : PT_E_NOMEM);
    }
    assert_true(n > 3);
    pt_instance_list back = {0};
    for (n = 0; back.count == 0; n++) {
        pt_alloc_fail_after(n);
        pt_status status = pt_instances_decode(bytes, size, sample_window, &back);
        pt_alloc_fail_after(-1);
        assert_int_equal(status.code, back.count ? PT_OK : PT_E_NOMEM);
    }
    assert_true(n > 40);
    pt_free(bytes);
    pt_instance_list_fini(&list);
    pt_instance_list_fini(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_come_back),      cmocka_unit_test(test_extremes_come_back),
        cmocka_unit_test(test_every_cut_is_refused), cmocka_unit_test(test_damaged_bytes_are_refused_or_sane),
        cmocka_unit_test(test_rules_are_held),       cmocka_unit_test(test_bad_instances_are_not_encoded),
        cmocka_unit_test(test_too_many_are_refused), cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
