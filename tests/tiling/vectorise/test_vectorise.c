#include "shapes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static pt_feature vectorise(const pt_instance *instance, const pt_vectorise_options *options)
{
    pt_feature feature = {0};
    pt_status status = pt_vectorise(instance, options, &feature);
    assert_string_equal(status.message, "");
    assert_int_equal(status.code, PT_OK);
    assert_true(feature_wound(&feature));
    assert_true(feature_valid(&feature));
    return feature;
}

static pt_vectorise_options exact(void)
{
    pt_vectorise_options options = pt_vectorise_defaults();
    options.simplify = 0;
    return options;
}

typedef struct picture {
    const char *name;
    const char *rows[9];
    size_t polygons, holes, points;
} picture;

static const picture pictures[] = {
    {"one pixel", {"#"}, 1, 0, 4},
    {"a line one pixel wide", {"#####"}, 1, 0, 4},
    {"a column", {"#", "#", "#"}, 1, 0, 4},
    {"two that touch at a corner", {"#.", ".#"}, 2, 0, 8},
    {"the other corner", {".#", "#."}, 2, 0, 8},
    {"checkerboard", {"#.#.#", ".#.#.", "#.#.#"}, 8, 0, 32},
    {"a hole", {"###", "#.#", "###"}, 1, 1, 8},
    {"holes that touch at a corner", {"####", "#.##", "##.#", "####"}, 1, 2, 12},
    {"a ring closed over a corner", {".##", "#.#", "###"}, 1, 1, 0},
    {"a hole that touches the outside twice", {"##.", "#.#", ".##"}, 2, 0, 0},
    {"a part inside a hole", {"#####", "#...#", "#.#.#", "#...#", "#####"}, 2, 1, 12},
    {"spiral", {"#######", "......#", "#####.#", "#...#.#", "#.###.#", "#.....#", "#######"}, 1, 0, 0},
};

static void test_pictures(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof pictures / sizeof *pictures; k++) {
        const picture *p = &pictures[k];
        int h = 0;
        while (h < 9 && p->rows[h]) {
            h++;
        }
        pt_instance instance = instance_from_picture(1000, -7, p->rows, h);
        pt_vectorise_options options = exact();
        pt_feature f = vectorise(&instance, &options);
        assert_int_equal(f.count, p->polygons);
        assert_int_equal(feature_holes(&f), p->holes);
        if (p->points) {
            assert_int_equal(feature_points(&f), p->points);
        }
        assert_true(feature_area(&f) == (double)instance.mask.area);
        assert_int_equal(feature_differs(&f, &instance.mask), 0);
        pt_feature_fini(&f);
        pt_instance_fini(&instance);
    }
}

static void test_random_masks_return_exactly(void **state)
{
    (void)state;
    uint32_t seed = 7;
    pt_vectorise_options options = exact();
    for (int round = 0; round < 300; round++) {
        int w = 1 + (int)(next_random(&seed) % 24), h = 1 + (int)(next_random(&seed) % 24);
        uint32_t density = 1 + next_random(&seed) % 9;
        uint8_t bytes[24 * 24];
        for (int i = 0; i < w * h; i++) {
            bytes[i] = next_random(&seed) % 10 < density;
        }
        bytes[0] = 1;
        pt_instance instance = instance_from_bytes(-50, 1 << 20, w, h, bytes);
        pt_feature f = vectorise(&instance, &options);
        assert_true(feature_area(&f) == (double)instance.mask.area);
        assert_int_equal(feature_differs(&f, &instance.mask), 0);
        pt_feature_fini(&f);
        pt_instance_fini(&instance);
    }
}

static void fill_noise(uint8_t *q, int w, int h, uint32_t *seed, int smooth)
{
    for (int i = 0; i < w * h; i++) {
        q[i] = (uint8_t)next_random(seed);
    }
    for (int pass = 0; pass < smooth; pass++) {
        for (int i = w; i + 1 < w * h; i++) {
            q[i] = (uint8_t)((q[i] + q[i - 1] + q[i + 1] + q[i - w]) / 4);
        }
    }
    q[0] = 200;
}

/* The samples' sides are those of the mask whatever the probabilities; the outline passes between them. */
static void test_random_probabilities(void **state)
{
    (void)state;
    uint32_t seed = 11;
    for (int round = 0; round < 300; round++) {
        int w = 1 + (int)(next_random(&seed) % 24), h = 1 + (int)(next_random(&seed) % 24);
        uint8_t q[24 * 24];
        fill_noise(q, w, h, &seed, round % 3);
        pt_instance instance = instance_from_q(90, 80, w, h, q);
        pt_vectorise_options options = exact();
        pt_feature f = vectorise(&instance, &options);
        assert_int_equal(feature_differs(&f, &instance.mask), 0);
        pt_feature_fini(&f);
        options = pt_vectorise_defaults();
        f = vectorise(&instance, &options);
        pt_feature_fini(&f);
        options.square = true;
        f = vectorise(&instance, &options);
        pt_feature_fini(&f);
        pt_instance_fini(&instance);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_random_masks_return_exactly),
        cmocka_unit_test(test_random_probabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
