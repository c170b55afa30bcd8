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

/* Objects that reach the window's edge end exactly there, with sharp corners. */
static void test_window_edge(void **state)
{
    (void)state;
    uint8_t q[6 * 5];
    memset(q, 250, sizeof q);
    pt_instance instance = instance_from_q(40, 30, 6, 5, q);
    pt_vectorise_options options = exact();
    pt_feature f = vectorise(&instance, &options);
    assert_int_equal(feature_points(&f), 4);
    assert_true(feature_area(&f) == 30);
    pt_feature_fini(&f);
    pt_instance_fini(&instance);

    /* Probabilities fall from 255 to 0 between columns 2 and 3: the outline is at the edge between them. */
    for (int i = 0; i < 30; i++) {
        q[i] = i % 6 < 3 ? 255 : 0;
    }
    instance = instance_from_q(40, 30, 6, 5, q);
    f = vectorise(&instance, &options);
    assert_int_equal(feature_points(&f), 4);
    assert_true(feature_area(&f) == 15);
    pt_feature_fini(&f);
    pt_instance_fini(&instance);
}

/* (q + 0.5) / 256 falls from 0.75 to 0.25: 0.5 is half-way; from 0.998 to 0.25, two thirds of the way. */
static void test_level_between_centres(void **state)
{
    (void)state;
    const struct {
        uint8_t in, out;
        double at;
    } cases[] = {{191, 64, 0.5}, {255, 64, 127.5 / 191}, {128, 0, 0.5 / 128}, {255, 127, 127.5 / 128}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        uint8_t q[4] = {cases[k].in, cases[k].out, cases[k].in, cases[k].out};
        pt_instance instance = instance_from_q(0, 0, 2, 2, q);
        pt_vectorise_options options = exact();
        pt_feature f = vectorise(&instance, &options);
        assert_true(fabs(feature_area(&f) - 2 * (0.5 + cases[k].at)) < 1e-12);
        pt_feature_fini(&f);
        pt_instance_fini(&instance);
    }
}

/* Pixels that were cleared as invalid have high probabilities outside the mask; the outline runs half-way. */
static void test_cleared_pixels(void **state)
{
    (void)state;
    uint8_t q[5 * 4], bytes[5 * 4];
    for (int i = 0; i < 20; i++) {
        q[i] = 240;
        bytes[i] = i % 5 < 3;
    }
    pt_instance instance = instance_from_bytes(0, 0, 5, 4, bytes);
    instance.prob = (pt_prob){{0, 0, 5, 4}, pt_alloc(sizeof q, 1)};
    memcpy(instance.prob.q, q, sizeof q);
    pt_vectorise_options options = exact();
    pt_feature f = vectorise(&instance, &options);
    assert_true(feature_area(&f) == 12);
    assert_int_equal(feature_points(&f), 4);
    pt_feature_fini(&f);
    pt_instance_fini(&instance);
}

static void test_min_area(void **state)
{
    (void)state;
    const char *rows[] = {"########..#", "#......#...", "#.####.#.##", "#.#..#.#.##",
                          "#.####.#...", "#......#...", "########..."};
    pt_instance instance = instance_from_picture(0, 0, rows, 7);
    const struct {
        double min_area, pixel_m;
        size_t polygons, holes;
    } cases[] = {{0, 1, 4, 2},  {2, 1, 3, 2},  {3, 1, 3, 1},  {4.5, 1, 2, 1},
                 {18, 3, 3, 2}, {13, 1, 1, 1}, {31, 1, 1, 0}, {100, 1, 0, 0}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        pt_vectorise_options options = exact();
        options.min_area = cases[k].min_area;
        options.pixel_m = cases[k].pixel_m;
        pt_feature f = vectorise(&instance, &options);
        assert_int_equal(f.count, cases[k].polygons);
        assert_int_equal(feature_holes(&f), cases[k].holes);
        pt_feature_fini(&f);
    }
    pt_instance_fini(&instance);
}

/* The polygon's coverage of a pixel, by 8 x 8 points, blurred and noisy: what a mask head makes of it. */
static uint8_t noisy_coverage(const double (*corners)[2], int count, double x, double y, uint32_t *seed)
{
    int inside = 0;
    for (int k = 0; k < 64; k++) {
        double px = x - 0.5 + (k % 8) / 4.0, py = y - 0.5 + (k / 8) / 4.0;
        bool in = false;
        for (int i = 0, j = count - 1; i < count; j = i++) {
            if ((corners[i][1] > py) != (corners[j][1] > py) &&
                px < corners[i][0] + (py - corners[i][1]) / (corners[j][1] - corners[i][1]) *
                                         (corners[j][0] - corners[i][0])) {
                in = !in;
            }
        }
        inside += in;
    }
    int q = inside * 4 + (int)(next_random(seed) % 41) - 20;
    return (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
}

static void turn(const double (*from)[2], int count, double angle, double (*to)[2])
{
    for (int i = 0; i < count; i++) {
        to[i][0] = 40 + from[i][0] * cos(angle) - from[i][1] * sin(angle);
        to[i][1] = 40 + from[i][0] * sin(angle) + from[i][1] * cos(angle);
    }
}

static pt_feature feature_from_corners(const double (*corners)[2], int count)
{
    pt_feature f = {.polygons = pt_calloc(1, sizeof *f.polygons), .count = 1};
    f.polygons[0] = (pt_polygon){pt_calloc(1, sizeof(pt_ring)), 1};
    pt_ring *ring = &f.polygons[0].rings[0];
    *ring = (pt_ring){pt_alloc((size_t)count + 1, 2 * sizeof(double)), (size_t)count + 1};
    for (int i = 0; i <= count; i++) {
        ring->xy[2 * i] = corners[i % count][0];
        ring->xy[2 * i + 1] = corners[i % count][1];
    }
    return f;
}

static void assert_right_angles(const pt_feature *f, double aspect)
{
    const pt_ring *ring = &f->polygons[0].rings[0];
    for (size_t i = 0; i + 1 < ring->count; i++) {
        const double *a = ring->xy + 2 * i, *b = a + 2, *c = i + 2 < ring->count ? b + 2 : ring->xy + 2;
        double ux = b[0] - a[0], uy = (b[1] - a[1]) * aspect, vx = c[0] - b[0], vy = (c[1] - b[1]) * aspect;
        assert_true(fabs(ux * vx + uy * vy) / (hypot(ux, uy) * hypot(vx, vy)) < 1e-6);
    }
}

static void test_square_shapes(void **state)
{
    (void)state;
    static const double rectangle[][2] = {{-20, -12}, {20, -12}, {20, 12}, {-20, 12}};
    static const double ell[][2] = {{-24, -20}, {24, -20}, {24, 0}, {0, 0}, {0, 20}, {-24, 20}};
    static const double tee[][2] = {{-25, -18}, {25, -18}, {25, -4}, {8, -4},
                                    {8, 18},    {-8, 18},  {-8, -4}, {-25, -4}};
    const struct {
        const double (*corners)[2];
        int count;
    } shapes[] = {{rectangle, 4}, {ell, 6}, {tee, 8}};
    uint32_t seed = 3;
    for (size_t k = 0; k < 3; k++) {
        for (int degrees = 0; degrees < 90; degrees += 7) {
            double corners[8][2];
            turn(shapes[k].corners, shapes[k].count, degrees * M_PI / 180, corners);
            uint8_t *q = malloc(80 * 80);
            for (int i = 0; i < 80 * 80; i++) {
                q[i] = noisy_coverage((const double(*)[2])corners, shapes[k].count, i % 80, i / 80, &seed);
            }
            pt_instance instance = instance_from_q(0, 0, 80, 80, q);
            pt_vectorise_options options = pt_vectorise_defaults();
            options.square = true;
            pt_feature f = vectorise(&instance, &options),
                       truth = feature_from_corners((const double(*)[2])corners, shapes[k].count);
            assert_int_equal(f.count, 1);
            assert_int_equal(feature_points(&f), shapes[k].count);
            assert_right_angles(&f, 1);
            assert_true(features_iou(&f, &truth) > 0.95);
            pt_feature_fini(&f);
            pt_feature_fini(&truth);
            pt_instance_fini(&instance);
            free(q);
        }
    }
}

/* A round object has no right-angled form and stays as it is; its square hole, turned with it, would. */
static void test_square_refuses_round(void **state)
{
    (void)state;
    uint8_t *q = malloc(60 * 60);
    for (int i = 0; i < 60 * 60; i++) {
        double d = hypot(i % 60 - 29.5, i / 60 - 29.5);
        q[i] = d < 25 ? 255 : 0;
    }
    pt_instance instance = instance_from_q(0, 0, 60, 60, q);
    pt_vectorise_options options = pt_vectorise_defaults();
    pt_feature plain = vectorise(&instance, &options);
    options.square = true;
    pt_feature squared = vectorise(&instance, &options);
    assert_true(features_iou(&plain, &squared) > 0.9999);
    assert_int_equal(feature_points(&plain), feature_points(&squared));
    pt_feature_fini(&plain);
    pt_feature_fini(&squared);
    pt_instance_fini(&instance);
    free(q);
}

/* With pixels twice as high as wide, a ground rectangle is a slanted parallelogram in pixels. */
static void test_square_aspect(void **state)
{
    (void)state;
    static const double rectangle[][2] = {{-25, -15}, {25, -15}, {25, 15}, {-25, 15}};
    double corners[4][2];
    turn(rectangle, 4, 0.5, corners);
    uint32_t seed = 5;
    uint8_t *q = malloc(80 * 80);
    for (int i = 0; i < 4; i++) {
        corners[i][1] /= 2;
    }
    for (int i = 0; i < 80 * 80; i++) {
        q[i] = noisy_coverage((const double(*)[2])corners, 4, i % 80, i / 80, &seed);
    }
    pt_instance instance = instance_from_q(0, 0, 80, 80, q);
    pt_vectorise_options options = pt_vectorise_defaults();
    options.square = true;
    options.aspect = 2;
    pt_feature f = vectorise(&instance, &options);
    assert_int_equal(feature_points(&f), 4);
    assert_right_angles(&f, 2);
    pt_feature_fini(&f);
    pt_instance_fini(&instance);
    free(q);
}

/* Half the vertices at least go, and the area stays. */
static void test_default_simplification(void **state)
{
    (void)state;
    uint8_t *q = malloc(90 * 90);
    for (int soft = 0; soft < 2; soft++) {
        for (int i = 0; i < 90 * 90; i++) {
            double dx = i % 90 - 44.3, dy = i / 90 - 45.1,
                   v = 36 - fabs(dx * 0.8 + dy * 0.6) - fabs(dy * 0.8 - dx * 0.6) / 2;
            double level = 128 + 40 * v;
            q[i] = (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
        }
        pt_instance instance = instance_from_q(0, 0, 90, 90, q);
        if (!soft) {
            pt_prob_fini(&instance.prob);
        }
        pt_vectorise_options options = exact();
        pt_feature full = vectorise(&instance, &options);
        options = pt_vectorise_defaults();
        pt_feature thin = vectorise(&instance, &options);
        assert_true(feature_points(&thin) * 2 <= feature_points(&full));
        assert_true(features_iou(&full, &thin) > 0.97);
        pt_feature_fini(&full);
        pt_feature_fini(&thin);
        pt_instance_fini(&instance);
    }
    free(q);
}

static void fill_large(uint8_t *bytes, int size, int kind)
{
    uint32_t seed = 9;
    for (int i = 0; i < size * size; i++) {
        int x = i % size, y = i / size, ring = x < y ? x : y;
        ring = size - 1 - x < ring ? size - 1 - x : ring;
        ring = size - 1 - y < ring ? size - 1 - y : ring;
        /* noise blobs; nested rings joined along the diagonal to one comb */
        bytes[i] = kind == 0 ? next_random(&seed) % 16 != 0 : (ring % 2 == 0 || x == y);
    }
}

static void test_large(void **state)
{
    (void)state;
    enum { SIZE = 2000 };
    uint8_t *bytes = malloc(SIZE * SIZE);
    for (int kind = 0; kind < 2; kind++) {
        fill_large(bytes, SIZE, kind);
        pt_instance instance = instance_from_bytes(0, 0, SIZE, SIZE, bytes);
        pt_vectorise_options options = pt_vectorise_defaults();
        options.min_area = 4;
        options.simplify = 0;
        pt_feature f = {0};
        assert_int_equal(pt_vectorise(&instance, &options, &f).code, PT_OK);
        assert_true(feature_wound(&f));
        pt_feature_fini(&f);
        pt_instance_fini(&instance);
    }
    free(bytes);
}

/* Noise of more outline points than the limit stays as traced; of fewer, it is simplified and remains valid.
 */
static void test_noise(void **state)
{
    (void)state;
    enum { SIZE = 1000 };
    uint32_t seed = 4;
    uint8_t *bytes = malloc(SIZE * SIZE);
    for (int size = 200; size <= SIZE; size += SIZE - 200) {
        for (int i = 0; i < size * size; i++) {
            bytes[i] = next_random(&seed) % 2 == 0;
        }
        pt_instance instance = instance_from_bytes(0, 0, size, size, bytes);
        pt_vectorise_options options = exact();
        pt_feature full = {0}, thin = {0};
        assert_int_equal(pt_vectorise(&instance, &options, &full).code, PT_OK);
        options = pt_vectorise_defaults();
        options.square = true;
        assert_int_equal(pt_vectorise(&instance, &options, &thin).code, PT_OK);
        assert_true(feature_area(&full) == (double)instance.mask.area);
        assert_true(feature_wound(&thin));
        if (size == SIZE) {
            assert_true(feature_points(&full) > PT_VECTORISE_POINTS);
            assert_int_equal(feature_points(&thin), feature_points(&full));
        } else {
            assert_true(feature_points(&thin) < feature_points(&full));
            assert_true(feature_valid(&thin));
        }
        pt_feature_fini(&full);
        pt_feature_fini(&thin);
        pt_instance_fini(&instance);
    }
    free(bytes);
}

static void refuse(const pt_instance *instance, const pt_vectorise_options *options)
{
    pt_feature f = {.count = 77};
    pt_status status = pt_vectorise(instance, options, &f);
    assert_int_equal(status.code, PT_E_USAGE);
    assert_true(strlen(status.message) > 10);
    assert_int_equal(f.count, 77);
    assert_null(f.polygons);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    const char *rows[] = {"##", "##"};
    pt_instance good = instance_from_picture(0, 0, rows, 2), bad = good;
    pt_vectorise_options options = exact();
    options.pixel_m = 0;
    refuse(&good, &options);
    options = exact();
    options.min_area = -1;
    refuse(&good, &options);
    options = exact();
    options.simplify = NAN;
    refuse(&good, &options);
    options = exact();
    options.aspect = 0;
    refuse(&good, &options);
    options = exact();
    bad.mask.count = 0;
    refuse(&bad, &options);
    bad = good;
    bad.mask.box.w = 1;
    refuse(&bad, &options);
    uint8_t q[4] = {200, 200, 200, 200};
    bad = good;
    bad.prob = (pt_prob){{1, 0, 2, 2}, q};
    refuse(&bad, &options);
    pt_instance_fini(&good);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    const char *rows[] = {"####.#", "#..#..", "####.#", ".....#"};
    pt_instance instance = instance_from_picture(0, 0, rows, 4);
    instance.prob = (pt_prob){instance.mask.box, pt_calloc(24, 1)};
    pt_mask_paint(&instance.mask, instance.mask.box, instance.prob.q, 6, 255);
    for (int mode = 0; mode < 2; mode++) {
        pt_vectorise_options options = pt_vectorise_defaults();
        options.square = true;
        pt_status status = pt_error(PT_E_NOMEM, "not yet");
        int fails = 0;
        for (long n = 0; status.code != PT_OK; n++, fails++) {
            pt_feature f = {0};
            pt_alloc_fail_after(n);
            status = pt_vectorise(&instance, &options, &f);
            pt_alloc_fail_after(-1);
            assert_true(status.code == PT_OK || status.code == PT_E_NOMEM);
            assert_true((f.polygons != NULL) == (status.code == PT_OK));
            pt_feature_fini(&f);
        }
        assert_true(fails > 20);
        pt_prob_fini(&instance.prob);
    }
    pt_instance_fini(&instance);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_random_masks_return_exactly),
        cmocka_unit_test(test_random_probabilities),
        cmocka_unit_test(test_window_edge),
        cmocka_unit_test(test_level_between_centres),
        cmocka_unit_test(test_cleared_pixels),
        cmocka_unit_test(test_min_area),
        cmocka_unit_test(test_square_shapes),
        cmocka_unit_test(test_square_refuses_round),
        cmocka_unit_test(test_square_aspect),
        cmocka_unit_test(test_default_simplification),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
