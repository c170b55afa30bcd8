/* Boxes, ranking and suppression. */
#include "engine/ops/nms.h"
#include "engine/ops/rpn.h"
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
    const uint32_t wanted[] = {9, 3, 7, 4, 2, 0, 1};
    pt_rank_sort(keys, 7);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(pt_rank_index(keys[i]), wanted[i]);
    }
}

static int falling(const void *a, const void *b)
{
    const float *x = *(const float *const *)a, *y = *(const float *const *)b;
    return *x > *y ? -1 : *x < *y ? 1 : (x > y) - (x < y);
}

static void test_top_k(void **state)
{
    (void)state;
    enum { PIXELS = 300, ANCHORS = 3, COUNT = PIXELS * ANCHORS, STRIDE = 15 };
    randoms r = {20};
    uint32_t *histogram = malloc(65536 * sizeof *histogram);
    float values[PIXELS * STRIDE], flat[COUNT];
    const float *sorted[COUNT];
    uint64_t keys[COUNT];
    assert_non_null(histogram);
    random_fill(&r, values, PIXELS * STRIDE, 50, 60); /* what lies between must not be seen */
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < COUNT; i++) { /* coarse, so that there are ties */
            flat[i] = round % 2 ? (float)random_int(&r, -20, 20) : random_float(&r, -3, 3);
            values[i / ANCHORS * STRIDE + i % ANCHORS] = flat[i];
            sorted[i] = &flat[i];
        }
        qsort(sorted, COUNT, sizeof *sorted, falling);
        size_t k = (size_t)random_int(&r, 1, COUNT + 50);
        float cut;
        size_t n = pt_top_k(values, PIXELS, ANCHORS, STRIDE, k, histogram, keys, &cut);
        assert_int_equal(n, k < COUNT ? k : COUNT);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(pt_rank_index(keys[i]), sorted[i] - flat);
        }
        assert_true(k < COUNT ? cut == *sorted[k] : cut == -INFINITY);
    }
    float cut;
    assert_int_equal(pt_top_k(values, PIXELS, ANCHORS, STRIDE, 0, histogram, keys, &cut), 0);
    values[STRIDE] = NAN; /* an infinite activation somewhere upstream must not break anything */
    assert_int_equal(pt_top_k(values, PIXELS, ANCHORS, STRIDE, 10, histogram, keys, &cut), 10);
    free(histogram);
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
