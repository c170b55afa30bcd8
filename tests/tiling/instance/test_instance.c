#include "tiling/instance/feature.h"
#include "tiling/instance/georef.h"
#include "tiling/instance/instance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

enum { SIDE = 24 };

static uint64_t seed = 99;

static int64_t random_to(int64_t n) /* 0 .. n - 1 */
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

/* A picture with its place; the stride is wider than the picture, and what lies between is set. */
typedef struct picture {
    pt_rect area;
    ptrdiff_t stride;
    uint8_t bytes[SIDE * SIDE];
} picture;

static picture random_picture(void)
{
    picture p = {.stride = SIDE};
    p.area = (pt_rect){random_to(20) - 10, random_to(20) - 10, random_to(SIDE), random_to(SIDE)};
    memset(p.bytes, 255, sizeof p.bytes);
    int64_t density = random_to(256);
    for (int64_t y = 0; y < p.area.h; y++) {
        for (int64_t x = 0; x < p.area.w; x++) {
            p.bytes[y * SIDE + x] = (uint8_t)(random_to(3) ? random_to(256) > density : 0);
        }
    }
    return p;
}

static bool set_at(const picture *p, int64_t x, int64_t y)
{
    return pt_rect_contains_pixel(p->area, x, y) && p->bytes[(y - p->area.y) * p->stride + x - p->area.x];
}

static pt_mask mask_of(const picture *p)
{
    pt_mask mask;
    assert_int_equal(pt_mask_from_bytes(p->area, p->bytes, p->stride, 1, &mask).code, PT_OK);
    return mask;
}

/* The invariants that instance.h promises. */
static void check_mask(const pt_mask *mask)
{
    int64_t area = 0;
    bool left = false;
    bool right = false;
    for (size_t i = 0; i < mask->count; i++) {
        const pt_span *s = &mask->spans[i];
        assert_true(s->x0 < s->x1 && s->x0 >= 0 && s->x1 <= mask->box.w && s->y >= 0 && s->y < mask->box.h);
        if (i > 0) {
            assert_true(s->y > s[-1].y || (s->y == s[-1].y && s->x0 > s[-1].x1));
        }
        area += s->x1 - s->x0;
        left = left || s->x0 == 0;
        right = right || s->x1 == mask->box.w;
    }
    assert_int_equal(area, mask->area);
    if (mask->count == 0) {
        assert_true(pt_rect_equal(mask->box, (pt_rect){0, 0, 0, 0}));
        return;
    }
    assert_true(left && right);
    assert_int_equal(mask->spans[0].y, 0);
    assert_int_equal(mask->spans[mask->count - 1].y, mask->box.h - 1);
}

static void masks_hold_what_the_bytes_hold(void **state)
{
    (void)state;
    for (int n = 0; n < 2000; n++) {
        picture p = random_picture();
        pt_mask mask = mask_of(&p);
        check_mask(&mask);
        uint8_t painted[SIDE * SIDE];
        memset(painted, 0, sizeof painted);
        pt_mask_paint(&mask, p.area, painted, SIDE, 1);
        for (int64_t y = 0; y < p.area.h; y++) {
            assert_memory_equal(painted + y * SIDE, p.bytes + y * SIDE, (size_t)p.area.w);
        }
        pt_mask_fini(&mask);
        pt_mask_fini(&mask);
    }
}

static void thresholds_are_inclusive(void **state)
{
    (void)state;
    const uint8_t bytes[] = {127, 128, 129, 0};
    pt_mask mask;
    assert_int_equal(pt_mask_from_bytes((pt_rect){7, 3, 4, 1}, bytes, 4, PT_PROB_HALF, &mask).code, PT_OK);
    assert_true(pt_rect_equal(mask.box, (pt_rect){8, 3, 2, 1}));
    pt_mask_fini(&mask);
}

static void areas_equal_brute_force(void **state)
{
    (void)state;
    for (int n = 0; n < 3000; n++) {
        picture p = random_picture();
        picture q = random_picture();
        pt_mask a = mask_of(&p);
        pt_mask b = mask_of(&q);
        pt_rect rect = {random_to(40) - 15, random_to(40) - 15, random_to(40), random_to(40)};
        int64_t area = 0;
        int64_t both = 0;
        for (int64_t y = rect.y; y < rect.y + rect.h; y++) {
            for (int64_t x = rect.x; x < rect.x + rect.w; x++) {
                area += set_at(&p, x, y);
                both += set_at(&p, x, y) && set_at(&q, x, y);
            }
        }
        assert_int_equal(pt_mask_area_in(&a, rect), area);
        assert_int_equal(pt_mask_intersection_in(&a, &b, rect), both);
        assert_int_equal(pt_mask_intersection_in(&b, &a, rect), both);
        pt_mask_fini(&a);
        pt_mask_fini(&b);
    }
}

static void painting_skips_what_lies_outside(void **state)
{
    (void)state;
    for (int n = 0; n < 1000; n++) {
        picture p = random_picture();
        pt_mask mask = mask_of(&p);
        pt_rect area = {random_to(30) - 15, random_to(30) - 15, random_to(SIDE), random_to(SIDE)};
        uint8_t bytes[SIDE * SIDE];
        memset(bytes, 7, sizeof bytes);
        pt_mask_paint(&mask, area, bytes, SIDE, 9);
        for (int64_t y = 0; y < SIDE; y++) {
            for (int64_t x = 0; x < SIDE; x++) {
                bool inside = x < area.w && y < area.h;
                int expected = inside && set_at(&p, area.x + x, area.y + y) ? 9 : 7;
                assert_int_equal(bytes[y * SIDE + x], expected);
            }
        }
        pt_mask_fini(&mask);
    }
}

static void copies_are_equal_and_others_not(void **state)
{
    (void)state;
    for (int n = 0; n < 500; n++) {
        picture p = random_picture();
        pt_mask a = mask_of(&p);
        pt_mask copy;
        assert_int_equal(pt_mask_copy(&a, &copy).code, PT_OK);
        check_mask(&copy);
        assert_true(pt_mask_equal(&a, &copy));
        if (a.count > 0) {
            p.area.x++;
            pt_mask moved = mask_of(&p);
            assert_false(pt_mask_equal(&a, &moved));
            pt_mask_fini(&moved);
            copy.spans[a.count - 1].x1++;
            assert_false(pt_mask_equal(&a, &copy));
        }
        pt_mask_fini(&copy);
        pt_mask_fini(&a);
    }
}

static void rects_become_masks(void **state)
{
    (void)state;
    pt_mask mask;
    assert_int_equal(pt_mask_from_rect((pt_rect){-3, 5, 4, 3}, &mask).code, PT_OK);
    check_mask(&mask);
    assert_int_equal(mask.area, 12);
    assert_true(pt_rect_equal(mask.box, (pt_rect){-3, 5, 4, 3}));
    pt_mask_fini(&mask);
    assert_int_equal(pt_mask_from_rect((pt_rect){-3, 5, 0, 3}, &mask).code, PT_OK);
    check_mask(&mask);
}

static void too_large_masks_are_refused(void **state)
{
    (void)state;
    pt_mask mask = {.area = 42};
    pt_rect large = {0, 0, (int64_t)INT32_MAX + 1, 1};
    assert_int_equal(pt_mask_from_rect(large, &mask).code, PT_E_INTERNAL);
    assert_int_equal(pt_mask_from_bytes(large, NULL, 0, 1, &mask).code, PT_E_INTERNAL);
    assert_int_equal(mask.area, 42);
}

static void scores_are_quantised(void **state)
{
    (void)state;
    assert_int_equal(pt_score_quantise(0), 0);
    assert_int_equal(pt_score_quantise(1), 65535);
    assert_int_equal(pt_score_quantise(0.5f), 32768);
    assert_int_equal(pt_score_quantise(-1), 0);
    assert_int_equal(pt_score_quantise(7), 65535);
    assert_int_equal(pt_score_quantise(NAN), 0);
    assert_int_equal(pt_score_quantise(INFINITY), 65535);
}

static void lists_take_their_instances(void **state)
{
    (void)state;
    pt_instance_list list = {0};
    for (int i = 0; i < 100; i++) {
        pt_instance instance = {.class_id = i};
        assert_int_equal(pt_mask_from_rect((pt_rect){i, 0, 2, 2}, &instance.mask).code, PT_OK);
        instance.prob.q = pt_calloc(4, 1);
        assert_int_equal(pt_instance_list_push(&list, &instance).code, PT_OK);
        assert_null(instance.mask.spans);
        assert_null(instance.prob.q);
    }
    assert_int_equal(list.count, 100);
    assert_int_equal(list.items[99].class_id, 99);
    pt_instance_list_fini(&list);
    pt_instance_list_fini(&list);
    assert_null(list.items);
}

static void allocation_failures_leave_results_alone(void **state)
{
    (void)state;
    const uint8_t bytes[4] = {1, 0, 1, 1};
    pt_mask mask = {.area = 42};
    pt_mask good;
    assert_int_equal(pt_mask_from_rect((pt_rect){0, 0, 1, 1}, &good).code, PT_OK);
    pt_instance instance = {.class_id = 5};
    pt_instance_list list = {0};
    pt_alloc_fail_after(0);
    pt_code rect = pt_mask_from_rect((pt_rect){0, 0, 2, 2}, &mask).code;
    pt_code from_bytes = pt_mask_from_bytes((pt_rect){0, 0, 4, 1}, bytes, 4, 1, &mask).code;
    pt_code copy = pt_mask_copy(&good, &mask).code;
    pt_code push = pt_instance_list_push(&list, &instance).code;
    pt_alloc_fail_after(-1);
    assert_int_equal(rect, PT_E_NOMEM);
    assert_int_equal(from_bytes, PT_E_NOMEM);
    assert_int_equal(copy, PT_E_NOMEM);
    assert_int_equal(push, PT_E_NOMEM);
    assert_int_equal(mask.area, 42);
    assert_int_equal(instance.class_id, 5);
    assert_int_equal(list.count, 0);
    pt_mask_fini(&good);
}

static void features_free_all_rings(void **state)
{
    (void)state;
    pt_feature feature = {.count = 2, .class_id = 1};
    pt_feature_fini(&(pt_feature){0});
    feature.polygons = pt_calloc(2, sizeof *feature.polygons);
    assert_non_null(feature.polygons);
    for (size_t i = 0; i < 2; i++) {
        feature.polygons[i] = (pt_polygon){pt_calloc(2, sizeof(pt_ring)), 2};
        assert_non_null(feature.polygons[i].rings);
        for (size_t r = 0; r < 2; r++) {
            feature.polygons[i].rings[r] = (pt_ring){pt_calloc(8, sizeof(double)), 4};
        }
    }
    pt_feature_fini(&feature);
    assert_null(feature.polygons);
    assert_int_equal(feature.class_id, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_hold_what_the_bytes_hold),
        cmocka_unit_test(thresholds_are_inclusive),
        cmocka_unit_test(areas_equal_brute_force),
        cmocka_unit_test(painting_skips_what_lies_outside),
        cmocka_unit_test(copies_are_equal_and_others_not),
        cmocka_unit_test(rects_become_masks),
        cmocka_unit_test(too_large_masks_are_refused),
        cmocka_unit_test(scores_are_quantised),
        cmocka_unit_test(lists_take_their_instances),
        cmocka_unit_test(allocation_failures_leave_results_alone),
        cmocka_unit_test(features_free_all_rings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
