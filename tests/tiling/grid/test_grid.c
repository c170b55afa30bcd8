#include "tiling/grid/grid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t seed = 12345;

static int64_t random_to(int64_t n) /* 0 .. n - 1 */
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

static pt_grid make(int64_t width, int64_t height, int64_t tile, int64_t overlap)
{
    pt_grid grid;
    pt_status status = pt_grid_init(width, height, tile, overlap, 1, &grid);
    assert_string_equal(status.message, "");
    return grid;
}

static pt_grid random_grid(void)
{
    int64_t tile = 2 + random_to(40);
    return make(1 + random_to(150), 1 + random_to(150), tile, 1 + random_to(tile - 1));
}

/* Each pixel is in exactly one core, that of its owner; each window and core is where it should be. */
static void check_cover(const pt_grid *g)
{
    int *cores = calloc((size_t)(g->width * g->height), sizeof *cores);
    assert_non_null(cores);
    pt_rect scene = {0, 0, g->width, g->height};
    for (int64_t i = 0; i < pt_grid_count(g); i++) {
        pt_rect window = pt_grid_window(g, i);
        pt_rect core = pt_grid_core(g, i);
        assert_false(pt_rect_is_empty(core));
        assert_true(pt_rect_contains(window, core));
        assert_true(pt_rect_contains(scene, window));
        assert_true(window.w <= g->tile && window.h <= g->tile);
        assert_true(window.w >= (g->width < g->overlap + 1 ? g->width : g->overlap + 1));
        assert_true(window.h >= (g->height < g->overlap + 1 ? g->height : g->overlap + 1));
        for (int64_t y = core.y; y < core.y + core.h; y++) {
            for (int64_t x = core.x; x < core.x + core.w; x++) {
                cores[y * g->width + x]++;
                assert_int_equal(pt_grid_owner(g, x, y), i);
            }
        }
    }
    for (int64_t p = 0; p < g->width * g->height; p++) {
        assert_int_equal(cores[p], 1);
    }
    free(cores);
}

static void every_pixel_has_one_core(void **state)
{
    (void)state;
    for (int n = 0; n < 300; n++) {
        pt_grid grid = random_grid();
        check_cover(&grid);
    }
}

static void touching_equals_brute_force(void **state)
{
    (void)state;
    for (int n = 0; n < 2000; n++) {
        pt_grid g = random_grid();
        pt_rect rect = {random_to(200) - 30, random_to(200) - 30, random_to(60), random_to(60)};
        pt_grid_range range = pt_grid_touching(&g, rect);
        for (int64_t i = 0; i < pt_grid_count(&g); i++) {
            int64_t col = i % g.cols;
            int64_t row = i / g.cols;
            bool listed = col >= range.col0 && col < range.col1 && row >= range.row0 && row < range.row1;
            assert_int_equal(listed, !pt_rect_is_empty(pt_rect_intersect(rect, pt_grid_window(&g, i))));
        }
    }
}

static void small_scenes_and_remainders(void **state)
{
    (void)state;
    pt_grid g = make(1, 1, 1024, 256);
    assert_int_equal(pt_grid_count(&g), 1);
    assert_true(pt_rect_equal(pt_grid_window(&g, 0), (pt_rect){0, 0, 1, 1}));
    g = make(1024, 1025, 1024, 256);
    assert_int_equal(g.cols, 1);
    assert_int_equal(g.rows, 2);
    assert_true(pt_rect_equal(pt_grid_window(&g, 1), (pt_rect){0, 768, 1024, 257}));
    assert_true(pt_rect_equal(pt_grid_core(&g, 0), (pt_rect){0, 0, 1024, 896}));
    assert_true(pt_rect_equal(pt_grid_core(&g, 1), (pt_rect){0, 896, 1024, 129}));
    /* Two steps exactly, and one pixel more. */
    assert_int_equal(make(1024 + 768, 5, 1024, 256).cols, 2);
    assert_int_equal(make(1024 + 769, 5, 1024, 256).cols, 3);
}

static void huge_scenes_do_not_overflow(void **state)
{
    (void)state;
    pt_grid g = make(200000, 200000, 1024, 256);
    assert_int_equal(g.cols, 261);
    assert_int_equal(pt_grid_count(&g), 261 * 261);
    pt_rect last = pt_grid_window(&g, pt_grid_count(&g) - 1);
    assert_int_equal(last.x + last.w, 200000);
    assert_int_equal(last.y + last.h, 200000);
    for (int n = 0; n < 20000; n++) {
        int64_t x = random_to(200000);
        int64_t y = random_to(200000);
        assert_true(pt_rect_contains_pixel(pt_grid_core(&g, pt_grid_owner(&g, x, y)), x, y));
    }
    /* The largest scene with the smallest step: 2^62 tiles. */
    g = make(INT32_MAX, INT32_MAX, 2, 1);
    assert_int_equal(g.cols, INT32_MAX - 1);
    int64_t end = pt_grid_count(&g) - 1;
    assert_int_equal(end, ((int64_t)INT32_MAX - 1) * (INT32_MAX - 1) - 1);
    assert_int_equal(pt_grid_owner(&g, INT32_MAX - 1, INT32_MAX - 1), end);
    assert_int_equal(pt_grid_index(&g, g.cols - 1, g.rows - 1), end);
}

static void pixels_beyond_the_scene_go_to_the_nearest_tile(void **state)
{
    (void)state;
    pt_grid g = make(3000, 2000, 1024, 256);
    assert_int_equal(pt_grid_owner(&g, -5000, -1), 0);
    assert_int_equal(pt_grid_owner(&g, 99999, -1), g.cols - 1);
    assert_int_equal(pt_grid_owner(&g, 99999, 99999), pt_grid_count(&g) - 1);
    pt_grid_range none = pt_grid_touching(&g, (pt_rect){3000, 0, 10, 10});
    assert_true(none.col0 == none.col1 && none.row0 == none.row1);
    none = pt_grid_touching(&g, (pt_rect){5, 5, 0, 10});
    assert_true(none.col0 == none.col1 && none.row0 == none.row1);
}

static void expect_refused(int64_t width, int64_t tile, int64_t overlap, int64_t lattice, pt_code code,
                           const char *says)
{
    pt_grid grid;
    memset(&grid, 0x5a, sizeof grid);
    pt_grid before = grid;
    pt_status status = pt_grid_init(width, 100, tile, overlap, lattice, &grid);
    assert_int_equal(status.code, code);
    assert_non_null(strstr(status.message, says));
    assert_memory_equal(&grid, &before, sizeof grid);
}

static void bad_arguments_name_good_ones(void **state)
{
    (void)state;
    expect_refused(0, 1024, 256, 32, PT_E_INPUT, "0 x 100");
    expect_refused(-3, 1024, 256, 32, PT_E_INPUT, "-3 x 100");
    expect_refused((int64_t)INT32_MAX + 1, 1024, 256, 32, PT_E_INPUT, "2147483648 x 100");
    expect_refused(100, 1000, 256, 32, PT_E_USAGE, "use 992 or 1024");
    expect_refused(100, 1024, 250, 32, PT_E_USAGE, "use 224 or 256");
    expect_refused(100, 1024, 7, 32, PT_E_USAGE, "use 32");
    expect_refused(100, 1024, 0, 32, PT_E_USAGE, "overlap of 0");
    expect_refused(100, 1024, 1024, 32, PT_E_USAGE, "overlap of 1024");
    expect_refused(100, 0, 256, 32, PT_E_USAGE, "tile of 0");
    expect_refused(100, INT64_MAX, 256, 32, PT_E_USAGE, "tile of");
    expect_refused(100, 1024, 256, 0, PT_E_USAGE, "stride of 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pixel_has_one_core),
        cmocka_unit_test(touching_equals_brute_force),
        cmocka_unit_test(small_scenes_and_remainders),
        cmocka_unit_test(huge_scenes_do_not_overflow),
        cmocka_unit_test(pixels_beyond_the_scene_go_to_the_nearest_tile),
        cmocka_unit_test(bad_arguments_name_good_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
