#include "cli/coco.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Written from the format's description, apart from the encoder: text -> counts -> pixels. */
static void decode(const char *text, int64_t *counts, size_t *count)
{
    size_t n = 0;
    while (*text) {
        int64_t value = 0;
        int shift = 0;
        int c;
        do {
            c = *text++ - 48;
            assert_in_range(c, 0, 63);
            value |= (int64_t)(c & 31) << shift;
            shift += 5;
        } while (c & 32);
        if (c & 16) {
            value -= (int64_t)1 << shift; /* the sign of the last group */
        }
        counts[n] = n > 2 ? value + counts[n - 2] : value;
        n++;
    }
    *count = n;
}

enum { WIDTH = 13, HEIGHT = 9, PIXELS = WIDTH * HEIGHT };

static void check(pt_rect area, const uint8_t *bytes)
{
    pt_coco_text text = {0};
    int64_t counts[2 * PIXELS + 2];
    size_t count;
    assert_int_equal(pt_coco_encode(WIDTH, HEIGHT, area, bytes, &text).code, PT_OK);
    assert_int_equal(strlen(text.text), text.length);
    decode(text.text, counts, &count);
    int64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        assert_true(counts[i] > 0 || i == 0); /* only the first run may be empty */
        for (int64_t k = 0; k < counts[i]; k++, at++) {
            int64_t x = at / HEIGHT;
            int64_t y = at % HEIGHT;
            bool set = pt_rect_contains_pixel(area, x, y) && bytes[(y - area.y) * area.w + x - area.x];
            assert_int_equal(set, i % 2);
        }
    }
    assert_int_equal(at, PIXELS);
    pt_coco_text_fini(&text);
}

static void test_random_masks(void **state)
{
    (void)state;
    uint8_t bytes[PIXELS];
    unsigned seed = 3;
    for (int round = 0; round < 2000; round++) {
        int64_t v[4];
        for (int i = 0; i < 4; i++) {
            seed = seed * 1103515245u + 12345u;
            v[i] = (int64_t)(seed >> 16);
        }
        pt_rect area = {v[0] % WIDTH, v[1] % HEIGHT, 0, 0};
        area.w = v[2] % (WIDTH - area.x + 1);
        area.h = v[3] % (HEIGHT - area.y + 1);
        for (int64_t i = 0; i < area.w * area.h; i++) {
            seed = seed * 1103515245u + 12345u;
            bytes[i] = (seed >> 16) % 5 < (unsigned)(round % 6);
        }
        check(area, bytes);
    }
}

/* By hand; the comments count. */
static void test_known_texts(void **state)
{
    (void)state;
    pt_coco_text text = {0};
    uint8_t ones[64];
    memset(ones, 1, sizeof ones);
    /* Nothing set: one run of 12 zeros: 12 + 48 = '<'. */
    assert_int_equal(pt_coco_encode(4, 3, (pt_rect){0, 0, 0, 0}, ones, &text).code, PT_OK);
    assert_string_equal(text.text, "<");
    /* All set: no zeros, 12 ones. */
    assert_int_equal(pt_coco_encode(4, 3, (pt_rect){0, 0, 4, 3}, ones, &text).code, PT_OK);
    assert_string_equal(text.text, "0<");
    /* One pixel at (1, 2) of 4 x 3: 5 zeros, 1 one, 6 zeros. */
    assert_int_equal(pt_coco_encode(4, 3, (pt_rect){1, 2, 1, 1}, ones, &text).code, PT_OK);
    assert_string_equal(text.text, "516");
    /* 40 zeros take two groups: 40 = 8 + 32 * 1 -> (8 | 32) + 48 = 'X', 1 + 48 = '1'. 16 needs one more, for
     * its sign bit. */
    assert_int_equal(pt_coco_encode(7, 8, (pt_rect){5, 0, 2, 8}, ones, &text).code, PT_OK);
    assert_string_equal(text.text, "X1`0");
    /* Columns (1, 0..1) and (2, 0..1) of 3 x 3: counts 3 2 1 2 1: from the fourth on differences: 2-2=0,
     * 1-1=0. */
    assert_int_equal(pt_coco_encode(3, 3, (pt_rect){1, 0, 2, 2}, ones, &text).code, PT_OK);
    assert_string_equal(text.text, "32100");
    pt_coco_text_fini(&text);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    uint8_t one = 1;
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    for (long n = 0; status.code == PT_E_NOMEM; n++) {
        pt_coco_text text = {0};
        pt_alloc_fail_after(n);
        status = pt_coco_encode(4, 3, (pt_rect){1, 2, 1, 1}, &one, &text);
        pt_alloc_fail_after(-1);
        pt_coco_text_fini(&text);
    }
    assert_string_equal(status.message, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_masks),
        cmocka_unit_test(test_known_texts),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
