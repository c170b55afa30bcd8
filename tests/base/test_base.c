#include "tiling/base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void statuses_carry_code_and_message(void **state)
{
    (void)state;
    assert_int_equal(pt_ok().code, PT_OK);
    assert_string_equal(pt_ok().message, "");
    pt_status status = pt_error(PT_E_READ, "%s: row %d", "a.tif", 7);
    assert_int_equal(status.code, PT_E_READ);
    assert_string_equal(status.message, "a.tif: row 7");
}

static void context_goes_before_a_failure_only(void **state)
{
    (void)state;
    pt_status status = pt_context(pt_error(PT_E_TILE, "no pixels"), "tile %d", 5);
    assert_int_equal(status.code, PT_E_TILE);
    assert_string_equal(status.message, "tile 5: no pixels");
    assert_string_equal(pt_context(pt_ok(), "tile %d", 5).message, "");
    assert_int_equal(pt_context(pt_ok(), "tile %d", 5).code, PT_OK);
}

static void long_messages_end_in_dots(void **state)
{
    (void)state;
    char text[2 * PT_STATUS_MESSAGE];
    memset(text, 'x', sizeof text);
    for (size_t length = PT_STATUS_MESSAGE - 3; length <= PT_STATUS_MESSAGE + 3; length++) {
        pt_status status = pt_error(PT_E_INPUT, "%.*s", (int)length, text);
        bool fits = length < PT_STATUS_MESSAGE;
        assert_int_equal(strlen(status.message), fits ? length : PT_STATUS_MESSAGE - 1);
        assert_int_equal(strcmp(status.message + strlen(status.message) - 3, "...") == 0, !fits);
    }
    pt_status status = pt_context(pt_error(PT_E_INPUT, "%.500s", text), "%.600s", text);
    assert_int_equal(strlen(status.message), PT_STATUS_MESSAGE - 1);
    assert_string_equal(status.message + PT_STATUS_MESSAGE - 4, "...");
}

static void every_code_has_its_own_name(void **state)
{
    (void)state;
    for (int code = PT_OK; code <= PT_E_INTERNAL; code++) {
        const char *name = pt_code_name((pt_code)code);
        assert_string_not_equal(name, "unknown");
        for (int other = PT_OK; other < code; other++) {
            assert_string_not_equal(name, pt_code_name((pt_code)other));
        }
    }
    assert_string_equal(pt_code_name((pt_code)99), "unknown");
}

static pt_status try_and_say(pt_status given, bool *went_on)
{
    PT_TRY(given);
    *went_on = true;
    return pt_ok();
}

static pt_status try_out_and_say(pt_status given, bool *went_on)
{
    pt_status status;
    PT_TRY_OUT(given);
    *went_on = true;
out:
    return status;
}

static void failures_return_at_once(void **state)
{
    (void)state;
    bool on = false;
    assert_int_equal(try_and_say(pt_error(PT_E_WRITE, "x"), &on).code, PT_E_WRITE);
    assert_int_equal(try_out_and_say(pt_error(PT_E_WRITE, "x"), &on).code, PT_E_WRITE);
    assert_false(on);
    assert_int_equal(try_and_say(pt_ok(), &on).code, PT_OK);
    assert_true(on);
    on = false;
    assert_int_equal(try_out_and_say(pt_ok(), &on).code, PT_OK);
    assert_true(on);
}

static void blocks_are_what_was_asked_for(void **state)
{
    (void)state;
    unsigned char *zeroed = pt_calloc(10, 10);
    assert_non_null(zeroed);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(zeroed[i], 0);
    }
    zeroed[99] = 7;
    zeroed = pt_realloc(zeroed, 20, 10);
    assert_non_null(zeroed);
    assert_int_equal(zeroed[99], 7);
    pt_free(zeroed);
    for (size_t size = 0; size < 200; size += 13) {
        void *aligned = pt_alloc_aligned(size, 1);
        assert_non_null(aligned);
        assert_int_equal((uintptr_t)aligned % PT_ALIGNMENT, 0);
        memset(aligned, 1, size);
        pt_free(aligned);
    }
    void *nothing = pt_alloc(0, 8);
    assert_non_null(nothing);
    pt_free(nothing);
    pt_free(NULL);
}

static void overflowing_sizes_fail(void **state)
{
    (void)state;
    char *block = pt_alloc(4, 1);
    assert_null(pt_alloc(SIZE_MAX, 2));
    assert_null(pt_calloc(SIZE_MAX / 2, 3));
    assert_null(pt_realloc(block, SIZE_MAX / 4, 8));
    assert_null(pt_alloc_aligned(SIZE_MAX, 1));
    assert_null(pt_alloc(PTRDIFF_MAX, 1));
    block[3] = 1;
    pt_free(block);
}

static void strings_are_copied_and_made(void **state)
{
    (void)state;
    char *copy = pt_strdup("tile");
    char *made = pt_asprintf("%s-%03d", "tile", 7);
    assert_string_equal(copy, "tile");
    assert_string_equal(made, "tile-007");
    pt_free(copy);
    pt_free(made);
}

static void arrays_grow_and_keep_their_items(void **state)
{
    (void)state;
    int *items = NULL;
    size_t capacity = 0;
    int moves = 0;
    for (int i = 0; i < 1000; i++) {
        size_t before = capacity;
        assert_int_equal(pt_grow(&items, &capacity, (size_t)i + 1, sizeof *items).code, PT_OK);
        moves += capacity != before;
        items[i] = i;
    }
    assert_true(capacity >= 1000 && moves <= 8);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(items[i], i);
    }
    int *before = items;
    size_t old = capacity;
    assert_int_equal(pt_grow(&items, &capacity, SIZE_MAX / 2, sizeof *items).code, PT_E_NOMEM);
    assert_ptr_equal(items, before);
    assert_int_equal(capacity, old);
    pt_free(items);
}

static void the_hook_fails_the_nth_allocation_and_all_after(void **state)
{
    (void)state;
    long count = pt_alloc_count();
    pt_alloc_fail_after(2);
    void *first = pt_alloc(1, 1);
    void *second = pt_calloc(1, 1);
    void *third = pt_alloc(1, 1);
    void *fourth = pt_alloc_aligned(1, 1);
    char *copy = pt_strdup("x");
    char *made = pt_asprintf("x");
    void *grown = pt_realloc(first, 9, 1);
    pt_alloc_fail_after(-1);
    void *fifth = pt_alloc(1, 1);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(third);
    assert_null(fourth);
    assert_null(copy);
    assert_null(made);
    assert_null(grown);
    assert_non_null(fifth);
    assert_int_equal(pt_alloc_count() - count, 8);
    pt_free(first);
    pt_free(second);
    pt_free(fifth);
    assert_string_equal(PT_NOMEM("a mask").message, "out of memory for a mask");
}

static void checked_sizes_say_when_they_overflow(void **state)
{
    (void)state;
    size_t size = 42;
    assert_true(pt_size_mul(6, 7, &size));
    assert_int_equal(size, 42);
    assert_false(pt_size_mul(SIZE_MAX, 2, &size));
    assert_false(pt_size_add(SIZE_MAX, 1, &size));
    assert_int_equal(size, 42);
    assert_true(pt_size_add(SIZE_MAX - 1, 1, &size));
    assert_true(size == SIZE_MAX);
    int64_t wide = 42;
    assert_false(pt_i64_mul(INT64_MIN, -1, &wide));
    assert_false(pt_i64_add(INT64_MAX, 1, &wide));
    assert_int_equal(wide, 42);
    assert_true(pt_i64_mul(-3, 5, &wide));
    assert_int_equal(wide, -15);
    assert_true(pt_i64_add(INT64_MAX, INT64_MIN, &wide));
    assert_int_equal(wide, -1);
    int narrow = 42;
    assert_false(pt_i64_to_int((int64_t)INT32_MAX + 1, &narrow));
    assert_false(pt_i64_to_int((int64_t)INT32_MIN - 1, &narrow));
    assert_int_equal(narrow, 42);
    assert_true(pt_i64_to_int(INT32_MIN, &narrow));
    assert_int_equal(narrow, INT32_MIN);
}

static void divisions_round_as_named(void **state)
{
    (void)state;
    for (int64_t a = -20; a <= 20; a++) {
        for (int64_t b = 1; b <= 7; b++) {
            int64_t down = pt_floor_div(a, b);
            int64_t up = pt_ceil_div(a, b);
            assert_true(down * b <= a && (down + 1) * b > a);
            assert_true(up * b >= a && (up - 1) * b < a);
        }
    }
}

static uint64_t seed = 3;

static int64_t random_to(int64_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

static pt_rect random_rect(void)
{
    return (pt_rect){random_to(12) - 4, random_to(12) - 4, random_to(9) - 1, random_to(9) - 1};
}

/* Against sets of pixels. */
static void rectangles_equal_brute_force(void **state)
{
    (void)state;
    for (int n = 0; n < 3000; n++) {
        pt_rect a = random_rect();
        pt_rect b = random_rect();
        pt_rect both = pt_rect_intersect(a, b);
        pt_rect around = pt_rect_union(a, b);
        int64_t area = 0;
        int64_t only_b = 0;
        for (int64_t y = -6; y < 20; y++) {
            for (int64_t x = -6; x < 20; x++) {
                bool in_a = pt_rect_contains_pixel(a, x, y);
                bool in_b = pt_rect_contains_pixel(b, x, y);
                assert_int_equal(pt_rect_contains_pixel(both, x, y), in_a && in_b);
                assert_true(pt_rect_contains_pixel(around, x, y) || !(in_a || in_b));
                area += in_a;
                only_b += in_b && !in_a;
            }
        }
        assert_int_equal(pt_rect_area(a), area);
        assert_int_equal(pt_rect_is_empty(a), area == 0);
        assert_int_equal(pt_rect_contains(a, b), only_b == 0);
        assert_true(pt_rect_contains(around, a) && pt_rect_contains(around, b));
        if (pt_rect_is_empty(both)) {
            assert_true(pt_rect_equal(both, (pt_rect){0, 0, 0, 0}));
        }
    }
}

static void rectangles_move_and_grow(void **state)
{
    (void)state;
    pt_rect r = {1, 2, 3, 4};
    assert_true(pt_rect_equal(pt_rect_margin(r, 2), (pt_rect){-1, 0, 7, 8}));
    assert_true(pt_rect_is_empty(pt_rect_margin(r, -2)));
    assert_true(pt_rect_equal(pt_rect_shift(r, -5, 5), (pt_rect){-4, 7, 3, 4}));
    assert_true(pt_rect_equal(pt_rect_union(r, (pt_rect){100, 100, 0, 5}), r));
    assert_false(pt_rect_equal(r, (pt_rect){1, 2, 3, 5}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_carry_code_and_message),
        cmocka_unit_test(context_goes_before_a_failure_only),
        cmocka_unit_test(long_messages_end_in_dots),
        cmocka_unit_test(every_code_has_its_own_name),
        cmocka_unit_test(failures_return_at_once),
        cmocka_unit_test(blocks_are_what_was_asked_for),
        cmocka_unit_test(overflowing_sizes_fail),
        cmocka_unit_test(strings_are_copied_and_made),
        cmocka_unit_test(arrays_grow_and_keep_their_items),
        cmocka_unit_test(the_hook_fails_the_nth_allocation_and_all_after),
        cmocka_unit_test(checked_sizes_say_when_they_overflow),
        cmocka_unit_test(divisions_round_as_named),
        cmocka_unit_test(rectangles_equal_brute_force),
        cmocka_unit_test(rectangles_move_and_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
