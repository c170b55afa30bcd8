#include "worker/detect/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 40, GRID = 28 };

static uint8_t rgb[SIDE * SIDE * 3];
static uint8_t valid[SIDE * SIDE];
static float full[GRID * GRID];

/* A window at (100, 200) of a scene of 1000 x 1000, all valid. */
static pt_window new_window(void)
{
    memset(valid, 1, sizeof valid);
    for (int i = 0; i < GRID * GRID; i++) {
        full[i] = 1.0f;
    }
    return (pt_window){
        .rect = {100, 200, SIDE, SIDE}, .rgb = rgb, .valid = valid, .valid_count = SIDE * SIDE};
}

static void invalidate(pt_window *window, int x, int y)
{
    window->valid_count -= window->valid[y * SIDE + x];
    window->valid[y * SIDE + x] = 0;
}

static const pt_rect scene = {0, 0, 1000, 1000};

static pt_detection box(float x0, float y0, float x1, float y1)
{
    return (pt_detection){x0, y0, x1, y1, 0.75f, 2, full};
}

static pt_instance_list place(const pt_window *window, pt_rect whole, pt_detection d)
{
    pt_placer placer = {.scene = whole};
    pt_instance_list list = {0};
    assert_int_equal(pt_place_detection(&placer, window, &d, GRID, &list).code, PT_OK);
    pt_placer_fini(&placer);
    return list;
}

static void test_lands_in_the_scene(void **state)
{
    (void)state;
    pt_window window = new_window();
    pt_instance_list list = place(&window, scene, box(10, 12, 20, 30));
    assert_int_equal(list.count, 1);
    const pt_instance *i = &list.items[0];
    assert_int_equal(i->class_id, 2);
    assert_true(i->score == 0.75f);
    assert_false(i->truncated);
    /* Zero padding softens the outermost pixels; the mask still is the box within a pixel. */
    assert_true(pt_rect_contains((pt_rect){109, 211, 12, 20}, i->mask.box));
    assert_true(pt_rect_contains(i->mask.box, (pt_rect){111, 213, 8, 16}));
    /* One pixel of probabilities more on each side. */
    assert_true(pt_rect_equal(i->prob.box, pt_rect_margin(i->mask.box, 1)));
    for (int64_t y = 0; y < i->prob.box.h; y++) {
        for (int64_t x = 0; x < i->prob.box.w; x++) {
            pt_rect pixel = {i->prob.box.x + x, i->prob.box.y + y, 1, 1};
            bool set = pt_mask_area_in(&i->mask, pixel) == 1;
            assert_int_equal(set, i->prob.q[y * i->prob.box.w + x] >= PT_PROB_HALF);
        }
    }
    pt_instance_list_fini(&list);
}

static void test_probabilities_end_at_the_window(void **state)
{
    (void)state;
    pt_window window = new_window();
    pt_instance_list list = place(&window, scene, box(0, 10, 40, 20));
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].mask.box.x, 100);
    assert_int_equal(list.items[0].mask.box.w, SIDE);
    assert_int_equal(list.items[0].prob.box.x, 100);
    assert_int_equal(list.items[0].prob.box.w, SIDE);
    assert_false(list.items[0].truncated); /* the window's side is not the scene's */
    pt_instance_list_fini(&list);
}

static void test_scene_edge_truncates(void **state)
{
    (void)state;
    pt_window window = new_window();
    pt_rect scenes[] = {{100, 0, 500, 500}, {0, 0, 140, 500}, {0, 200, 500, 500}, {0, 0, 500, 240}};
    for (size_t i = 0; i < 4; i++) {
        pt_instance_list list = place(&window, scenes[i], box(0, 0, 40, 40));
        assert_int_equal(list.count, 1);
        assert_true(list.items[0].truncated);
        pt_instance_list_fini(&list);
        list = place(&window, scenes[i], box(5, 5, 35, 35));
        assert_false(list.items[0].truncated);
        pt_instance_list_fini(&list);
    }
}

static void test_invalid_pixels_are_no_object(void **state)
{
    (void)state;
    pt_window window = new_window();
    for (int y = 0; y < SIDE; y++) {
        for (int x = 15; x < SIDE; x++) {
            invalidate(&window, x, y);
        }
    }
    pt_instance_list list = place(&window, scene, box(5, 5, 30, 30));
    assert_int_equal(list.count, 1);
    assert_true(list.items[0].truncated);
    assert_int_equal(list.items[0].mask.box.x + list.items[0].mask.box.w, 115);
    const pt_prob *prob = &list.items[0].prob;
    for (int64_t y = 0; y < prob->box.h; y++) {
        assert_int_equal(prob->q[y * prob->box.w + prob->box.w - 1], 0);
    }
    pt_instance_list_fini(&list);
    /* All of it invalid: no instance. */
    list = place(&window, scene, box(20, 5, 30, 30));
    assert_int_equal(list.count, 0);
    pt_instance_list_fini(&list);
}

/* One invalid pixel truncates when it is one of the mask's eight-neighbours, not when it is further away. */
static void test_neighbours_truncate(void **state)
{
    (void)state;
    uint8_t bytes[4 * 4];
    memset(bytes, 1, sizeof bytes);
    pt_placer placer = {.scene = scene};
    for (int y = 8; y < 18; y++) {
        for (int x = 8; x < 18; x++) {
            pt_window window = new_window();
            pt_instance_list list = {0};
            bool inside = x >= 11 && x < 15 && y >= 11 && y < 15;
            bool near = x >= 10 && x < 16 && y >= 10 && y < 16;
            invalidate(&window, x, y);
            pt_rect area = {111, 211, 4, 4};
            assert_int_equal(pt_place_mask(&placer, &window, area, bytes, 1, 1.0f, &list).code, PT_OK);
            assert_int_equal(list.count, 1);
            assert_int_equal(list.items[0].mask.area, inside ? 15 : 16);
            assert_int_equal(list.items[0].truncated, near);
            assert_null(list.items[0].prob.q);
            pt_instance_list_fini(&list);
        }
    }
    pt_placer_fini(&placer);
}

static void test_invalid_at_window_corner(void **state)
{
    (void)state;
    uint8_t bytes[4] = {1, 1, 1, 1};
    pt_placer placer = {.scene = scene};
    pt_window window = new_window();
    pt_instance_list list = {0};
    invalidate(&window, SIDE - 1, SIDE - 1);
    assert_int_equal(pt_place_mask(&placer, &window, (pt_rect){138, 238, 2, 2}, bytes, 1, 1.0f, &list).code,
                     PT_OK);
    assert_int_equal(pt_place_mask(&placer, &window, (pt_rect){100, 200, 2, 2}, bytes, 1, 1.0f, &list).code,
                     PT_OK);
    assert_int_equal(list.count, 2);
    assert_true(list.items[0].truncated);
    assert_int_equal(list.items[0].mask.area, 3);
    assert_false(list.items[1].truncated);
    pt_instance_list_fini(&list);
    pt_placer_fini(&placer);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    pt_window window = new_window();
    pt_detection d = box(10, 10, 20, 20);
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    for (long n = 0; status.code == PT_E_NOMEM; n++) {
        pt_placer placer = {.scene = scene};
        pt_instance_list list = {0};
        pt_alloc_fail_after(n);
        status = pt_place_detection(&placer, &window, &d, GRID, &list);
        pt_alloc_fail_after(-1);
        assert_int_equal(list.count, status.code == PT_OK);
        pt_instance_list_fini(&list);
        pt_placer_fini(&placer);
    }
    assert_string_equal(status.message, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lands_in_the_scene),   cmocka_unit_test(test_probabilities_end_at_the_window),
        cmocka_unit_test(test_scene_edge_truncates), cmocka_unit_test(test_invalid_pixels_are_no_object),
        cmocka_unit_test(test_neighbours_truncate),  cmocka_unit_test(test_invalid_at_window_corner),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
