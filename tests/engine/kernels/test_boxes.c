/* Boxes, ranking and suppression. */
#include "engine/ops/nms.h"
#include "engine/ops/top_k.h"
#include "tests/engine/kernels/random.h"
#include "tiling/base/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static pt_box random_box(randoms *r, float side)
{
    float x = random_float(r, 0, side), y = random_float(r, 0, side);
    return (pt_box){x, y, x + random_float(r, 1, side / 2), y + random_float(r, 1, side / 2)};
}

static double iou(pt_box a, pt_box b)
{
    double w = fmin((double)a.x1, (double)b.x1) - fmax((double)a.x0, (double)b.x0);
    double h = fmin((double)a.y1, (double)b.y1) - fmax((double)a.y0, (double)b.y0);
    double inter = w > 0 && h > 0 ? w * h : 0;
    double area_a = (double)(a.x1 - a.x0) * (double)(a.y1 - a.y0);
    double area_b = (double)(b.x1 - b.x0) * (double)(b.y1 - b.y0);
    return inter / (area_a + area_b - inter);
}

static void test_decode(void **state)
{
    (void)state;
    const float weights[4] = {10, 10, 5, 5};
    pt_box from = {10, 20, 30, 60};
    pt_box same = pt_box_decode(from, (float[]){0, 0, 0, 0}, weights);
    assert_memory_equal(&same, &from, sizeof from);
    /* Shifted by a tenth of its size, twice as wide. */
    pt_box moved = pt_box_decode(from, (float[]){1, 1, 5 * logf(2), 0}, weights);
    assert_true(fabsf(moved.x0 - 2) < 1e-4f && fabsf(moved.x1 - 42) < 1e-4f);
    assert_true(fabsf(moved.y0 - 24) < 1e-4f && fabsf(moved.y1 - 64) < 1e-4f);
    pt_box huge = pt_box_decode(from, (float[]){0, 0, 1e6f, 1e6f}, weights);
    assert_true(fabsf(huge.x1 - huge.x0 - 20 * 62.5f) < .01f);
}

static void test_clip_and_size(void **state)
{
    (void)state;
    pt_box box = pt_box_clip((pt_box){-5, 3, 700, 900}, 640, 480);
    assert_true(box.x0 == 0 && box.y0 == 3 && box.x1 == 640 && box.y1 == 480);
    assert_true(pt_box_is_large((pt_box){0, 0, 1, 1}, 1));
    assert_false(pt_box_is_large((pt_box){0, 0, 1, .5f}, 1));
    assert_false(pt_box_is_large((pt_box){NAN, 0, 1, 1}, .1f));
}

static void test_anchors(void **state)
{
    (void)state;
    const float sizes[] = {32}, ratios[] = {.5f, 1, 2};
    pt_box anchors[3];
    pt_anchors_of_cell(sizes, 1, ratios, 3, anchors);
    /* torchvision's AnchorGenerator((32,), (0.5, 1.0, 2.0)) */
    const pt_box wanted[3] = {{-23, -11, 23, 11}, {-16, -16, 16, 16}, {-11, -23, 11, 23}};
    assert_memory_equal(anchors, wanted, sizeof wanted);
    const float odd[] = {5, 7}; /* halves round to even: 2.5 -> 2, 3.5 -> 4 */
    pt_anchors_of_cell(odd, 2, (float[]){1}, 1, anchors);
    assert_true(anchors[0].x1 == 2 && anchors[0].x0 == -2 && anchors[1].x1 == 4 && anchors[1].y0 == -4);
}

static void test_rank_keys(void **state)
{
    (void)state;
    uint64_t keys[] = {pt_rank_key(.5f, 7),      pt_rank_key(-1, 0), pt_rank_key(.5f, 3),
                       pt_rank_key(INFINITY, 9), pt_rank_key(0, 2),  pt_rank_key(-INFINITY, 1),
                       pt_rank_key(1e-30f, 4)};
    const uint32_t wanted[] = {9, 7, 3, 4, 2, 0, 1};
    uint64_t spare[500], many[500];
    pt_rank_sort(keys, spare, 7);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(pt_rank_index(keys[i]), wanted[i]);
    }
    randoms r = {19};
    for (int round = 0; round < 50; round++) {
        size_t n = (size_t)random_int(&r, 0, 500);
        for (size_t i = 0; i < n; i++) {
            float score = round % 2 ? (float)random_int(&r, -3, 3) : random_float(&r, -9, 9);
            many[i] = pt_rank_key(score, (uint32_t)i);
        }
        pt_rank_sort(many, spare, n);
        for (size_t i = 1; i < n; i++) { /* ties by the order in which they came, which was the index's */
            assert_true(many[i - 1] < many[i]);
        }
    }
}

static int falling(const void *a, const void *b)
{
    const float *x = *(const float *const *)a, *y = *(const float *const *)b;
    return *x > *y ? -1 : *x < *y ? 1 : (x > y) - (x < y);
}

static void run_top_k(pt_top_k *top, const float *values, size_t pixels, int anchors, size_t stride)
{
    pt_top_k_begin(top, values, pixels, anchors, stride);
    for (size_t c = top->chunks; c-- > 0;) {
        pt_top_k_count(top, c);
    }
    pt_top_k_limit(top);
    for (size_t c = top->chunks; c-- > 0;) {
        pt_top_k_collect(top, c);
    }
    pt_top_k_finish(top);
}

enum { PIXELS = 7000, ANCHORS = 3, STRIDE = 15, COUNT = PIXELS * ANCHORS };

/* kind 0: all different; 1: many ties; 2: all beyond the histogram; 3: all alike. */
static float draw(randoms *r, int kind)
{
    switch (kind) {
    case 0:
        return random_float(r, -3, 3);
    case 1:
        return (float)random_int(r, -400, 400) / 20;
    case 2:
        return random_float(r, 100, 200);
    default:
        return .5f;
    }
}

static void test_top_k(void **state)
{
    (void)state;
    randoms r = {20};
    float *values = calloc(PIXELS * STRIDE, sizeof *values), *flat = calloc(COUNT, sizeof *flat);
    const float **sorted = calloc(COUNT, sizeof *sorted);
    assert_true(values && flat && sorted);
    random_fill(&r, values, PIXELS * STRIDE, 50, 60); /* what lies between must not be seen */
    for (int round = 0; round < 16; round++) {
        size_t pixels = (size_t)(round % 3 ? PIXELS : random_int(&r, 1, 40)), count = pixels * ANCHORS;
        for (size_t i = 0; i < count; i++) {
            flat[i] = draw(&r, round % 4);
            values[i / ANCHORS * STRIDE + i % ANCHORS] = flat[i];
            sorted[i] = &flat[i];
        }
        qsort(sorted, count, sizeof *sorted, falling);
        size_t k = (size_t)random_int(&r, 1, round % 2 ? 1500 : COUNT + 50);
        pt_top_k top = {0};
        assert_int_equal(pt_top_k_reserve(&top, k).code, PT_OK);
        run_top_k(&top, values, pixels, ANCHORS, STRIDE);
        assert_int_equal(top.found, k < count ? k : count);
        for (size_t i = 0; i < top.found; i++) {
            assert_int_equal(pt_rank_index(top.keys[i]), sorted[i] - flat);
        }
        assert_true(k < count ? top.cut == *sorted[k] : top.cut == -INFINITY);
        values[STRIDE] = NAN; /* an infinite activation somewhere upstream must not break anything */
        run_top_k(&top, values, pixels, ANCHORS, STRIDE);
        assert_int_equal(top.found, k < count ? k : count);
        pt_top_k_fini(&top);
    }
    free(values);
    free(flat);
    free(sorted);
    pt_top_k top = {0};
    for (long n = 0; n < 2; n++) {
        pt_alloc_fail_after(n);
        assert_int_equal(pt_top_k_reserve(&top, 10).code, PT_E_NOMEM);
        pt_alloc_fail_after(-1);
        assert_null(top.keys);
    }
}

/* Kept boxes do not overlap each other too much; each dropped one overlaps a kept one of higher rank. */
static void test_nms_properties(void **state)
{
    (void)state;
    enum { N = 200 };
    randoms r = {21};
    pt_nms_space space = {0};
    pt_box boxes[N];
    uint32_t kept[N];
    for (int round = 0; round < 40; round++) {
        size_t n = (size_t)random_int(&r, 0, N);
        assert_int_equal(pt_nms_space_reserve(&space, n).code, PT_OK);
        float threshold = random_float(&r, .1f, .9f);
        for (size_t i = 0; i < n; i++) {
            boxes[i] = random_box(&r, 60);
        }
        size_t count = pt_nms(&space, boxes, n, threshold, kept);
        assert_true(n == 0 ? count == 0 : count >= 1 && kept[0] == 0);
        size_t next = 0;
        for (uint32_t i = 0; i < n; i++) {
            bool is_kept = next < count && kept[next] == i;
            next += is_kept;
            double worst = 0;
            for (size_t k = 0; k < count && kept[k] < i; k++) {
                worst = fmax(worst, iou(boxes[kept[k]], boxes[i]));
            }
            assert_true(is_kept ? worst <= (double)threshold + 1e-5 : worst >= (double)threshold - 1e-5);
        }
        assert_int_equal(next, count);
    }
    pt_nms_space_fini(&space);
}

static void test_nms_edges(void **state)
{
    (void)state;
    pt_nms_space space = {0};
    assert_int_equal(pt_nms_space_reserve(&space, 4).code, PT_OK);
    uint32_t kept[4];
    /* An IoU of exactly the threshold survives; the chain's third falls to the first alone. */
    pt_box halves[2] = {{0, 0, 2, 1}, {0, 0, 1, 1}};
    assert_int_equal(pt_nms(&space, halves, 2, .5f, kept), 2);
    pt_box chain[3] = {{0, 0, 10, 10}, {3, 0, 13, 10}, {6, 0, 16, 10}};
    assert_int_equal(pt_nms(&space, chain, 3, .5f, kept), 2);
    assert_int_equal(kept[1], 2);
    pt_box same[4] = {{1, 1, 5, 5}, {1, 1, 5, 5}, {1, 1, 5, 5}, {1, 1, 5, 5}};
    assert_int_equal(pt_nms(&space, same, 4, .99f, kept), 1);
    pt_box empty[2] = {{3, 3, 3, 3}, {3, 3, 3, 3}}; /* 0 / 0 is no overlap */
    assert_int_equal(pt_nms(&space, empty, 2, .5f, kept), 2);
    pt_nms_space_fini(&space);
    pt_alloc_fail_after(0);
    assert_int_equal(pt_nms_space_reserve(&space, 4).code, PT_E_NOMEM);
    pt_alloc_fail_after(-1);
    pt_nms_space_fini(&space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),    cmocka_unit_test(test_clip_and_size),
        cmocka_unit_test(test_anchors),   cmocka_unit_test(test_rank_keys),
        cmocka_unit_test(test_top_k),     cmocka_unit_test(test_nms_properties),
        cmocka_unit_test(test_nms_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
