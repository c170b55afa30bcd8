#include "coordinator/assemble/record.h"
#include "coordinator/assemble/spool.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static pt_grid grid_of(int64_t size)
{
    pt_grid grid;
    assert_int_equal(pt_grid_init(size, size, 64, 32, 32, &grid).code, PT_OK);
    return grid;
}

static void add_ring(pt_polygon *polygon, double x, double y, double side)
{
    double corners[] = {x, y, x + side, y, x + side, y + side, x, y + side, x, y};
    polygon->rings = realloc(polygon->rings, (polygon->count + 1) * sizeof *polygon->rings);
    pt_ring *ring = &polygon->rings[polygon->count++];
    ring->count = 5;
    ring->xy = pt_alloc(10, sizeof(double));
    assert_non_null(ring->xy);
    memcpy(ring->xy, corners, sizeof corners);
}

/* Two polygons, the first with a hole. */
static pt_feature feature_at(int64_t x, int64_t y, int32_t class_id, uint16_t score, double side)
{
    pt_feature f = {
        .class_id = class_id, .score_q = score, .tiles = 2, .merged = true, .anchor_x = x, .anchor_y = y};
    f.polygons = pt_calloc(2, sizeof *f.polygons);
    f.count = 2;
    add_ring(&f.polygons[0], (double)x, (double)y, side);
    add_ring(&f.polygons[0], (double)x + 1, (double)y + 1, side / 4);
    add_ring(&f.polygons[1], (double)x + 2 * side, (double)y, side);
    return f;
}

static void assert_same(const pt_feature *a, const pt_feature *b)
{
    pt_record left = {0};
    pt_record right = {0};
    assert_int_equal(pt_record_encode(&left, a).code, PT_OK);
    assert_int_equal(pt_record_encode(&right, b).code, PT_OK);
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.bytes, right.bytes, left.size);
    pt_record_fini(&left);
    pt_record_fini(&right);
}

static void test_record_round_trip(void **state)
{
    (void)state;
    pt_feature f = feature_at(5, 6, 3, 40000, 8);
    f.truncated = true;
    pt_record record = {0};
    pt_feature back = {0};
    assert_int_equal(pt_record_encode(&record, &f).code, PT_OK);
    assert_int_equal(pt_record_decode(record.bytes, record.size, &back).code, PT_OK);
    assert_int_equal(back.count, 2);
    assert_int_equal(back.polygons[0].count, 2);
    assert_int_equal(back.polygons[0].rings[1].count, 5);
    assert_true(back.polygons[0].rings[1].xy[0] == 6.0);
    assert_int_equal(back.class_id, 3);
    assert_int_equal(back.score_q, 40000);
    assert_int_equal(back.tiles, 2);
    assert_true(back.merged && back.truncated);
    assert_same(&f, &back);
    pt_feature_fini(&back);
    pt_feature_fini(&f);
    pt_record_fini(&record);
}

/* Cut anywhere, a record is refused, not read beyond its end; what is too long is refused too. */
static void test_record_refuses_cuts(void **state)
{
    (void)state;
    pt_feature f = feature_at(5, 6, 3, 40000, 8);
    pt_record record = {0};
    assert_int_equal(pt_record_encode(&record, &f).code, PT_OK);
    for (size_t size = 0; size < record.size; size++) {
        unsigned char *cut = malloc(size ? size : 1);
        memcpy(cut, record.bytes, size);
        pt_feature back = {0};
        assert_int_equal(pt_record_decode(cut, size, &back).code, PT_E_INTERNAL);
        assert_null(back.polygons);
        free(cut);
    }
    unsigned char *longer = calloc(1, record.size + 8);
    memcpy(longer, record.bytes, record.size);
    pt_feature back = {0};
    assert_int_equal(pt_record_decode(longer, record.size + 8, &back).code, PT_E_INTERNAL);
    free(longer);
    pt_feature_fini(&f);
    pt_record_fini(&record);
}

enum { FEATURES = 60 };

/* Features of all kinds of ties: same anchors, classes, scores, areas; some differ in geometry alone. */
static pt_feature nth_feature(int i, int64_t *area)
{
    int kind = i % 6;
    *area = kind < 4 ? 100 : 100 + kind;
    return feature_at(10 + 37 * (i / 6 % 5), 20 + 90 * (i / 30), 1 + (kind == 1),
                      (uint16_t)(kind == 2 ? 500 : 900), kind == 3 ? 9 : 8);
}

static pt_spool *spool_in_order(const int *order)
{
    pt_grid grid = grid_of(256);
    pt_spool *spool = NULL;
    assert_int_equal(pt_spool_new(".", &grid, &spool).code, PT_OK);
    for (int i = 0; i < FEATURES; i++) {
        int64_t area;
        pt_feature f = nth_feature(order[i], &area);
        assert_int_equal(pt_spool_add(spool, &f, area).code, PT_OK);
        pt_feature_fini(&f);
    }
    assert_int_equal(pt_spool_sort(spool).code, PT_OK);
    assert_int_equal(pt_spool_count(spool), FEATURES);
    return spool;
}

static void test_order_is_that_of_the_features(void **state)
{
    (void)state;
    int order[FEATURES];
    unsigned seed = 1;
    for (int i = 0; i < FEATURES; i++) {
        order[i] = i;
    }
    pt_spool *first = spool_in_order(order);
    for (int round = 0; round < 20; round++) {
        for (int i = FEATURES - 1; i > 0; i--) {
            seed = seed * 1103515245u + 12345u;
            int j = (int)((seed >> 16) % (unsigned)(i + 1));
            int t = order[i];
            order[i] = order[j];
            order[j] = t;
        }
        pt_spool *other = spool_in_order(order);
        for (size_t i = 0; i < FEATURES; i++) {
            pt_feature a = {0};
            pt_feature b = {0};
            assert_int_equal(pt_spool_read(first, i, &a).code, PT_OK);
            assert_int_equal(pt_spool_read(other, i, &b).code, PT_OK);
            assert_same(&a, &b);
            pt_feature_fini(&a);
            pt_feature_fini(&b);
        }
        pt_spool_free(&other);
    }
    pt_feature none = {0};
    assert_int_equal(pt_spool_read(first, FEATURES, &none).code, PT_E_USAGE);
    pt_spool_free(&first);
}

static void test_owner_tiles_come_row_by_row(void **state)
{
    (void)state;
    pt_grid grid = grid_of(256);
    pt_spool *spool = NULL;
    assert_int_equal(pt_spool_new(".", &grid, &spool).code, PT_OK);
    for (int64_t i = 0; i < 100; i++) {
        pt_feature f = feature_at(i * 67 % 256, i * 41 % 256, 1, 1, 3);
        assert_int_equal(pt_spool_add(spool, &f, 9).code, PT_OK);
        pt_feature_fini(&f);
    }
    assert_int_equal(pt_spool_sort(spool).code, PT_OK);
    int64_t before = -1;
    for (size_t i = 0; i < pt_spool_count(spool); i++) {
        pt_feature f = {0};
        assert_int_equal(pt_spool_read(spool, i, &f).code, PT_OK);
        int64_t owner = pt_grid_owner(&grid, f.anchor_x, f.anchor_y);
        assert_true(owner >= before);
        before = owner;
        pt_feature_fini(&f);
    }
    pt_spool_free(&spool);
}

/* Larger than the write buffer, with records larger than it too. */
static void test_large(void **state)
{
    (void)state;
    pt_grid grid = grid_of(256);
    pt_spool *spool = NULL;
    assert_int_equal(pt_spool_new(".", &grid, &spool).code, PT_OK);
    size_t points = 200001;
    for (int64_t i = 0; i < 3; i++) {
        pt_feature f = feature_at(3 - i, 0, 1, 1, 3);
        pt_ring *ring = &f.polygons[1].rings[0];
        pt_free(ring->xy);
        ring->xy = pt_calloc(points * 2, sizeof(double));
        ring->count = points;
        ring->xy[points] = (double)i;
        assert_int_equal(pt_spool_add(spool, &f, 9).code, PT_OK);
        pt_feature_fini(&f);
    }
    assert_true(pt_spool_bytes(spool) > 3 * points * 16);
    assert_int_equal(pt_spool_sort(spool).code, PT_OK);
    for (size_t i = 0; i < 3; i++) {
        pt_feature f = {0};
        assert_int_equal(pt_spool_read(spool, i, &f).code, PT_OK);
        assert_int_equal(f.polygons[1].rings[0].count, points);
        assert_true(f.polygons[1].rings[0].xy[points] == (double)(2 - i));
        pt_feature_fini(&f);
    }
    pt_spool_free(&spool);
}

static void test_empty_and_bad_folder(void **state)
{
    (void)state;
    pt_grid grid = grid_of(64);
    pt_spool *spool = NULL;
    assert_int_equal(pt_spool_new(".", &grid, &spool).code, PT_OK);
    assert_int_equal(pt_spool_sort(spool).code, PT_OK);
    assert_int_equal(pt_spool_count(spool), 0);
    pt_spool_free(&spool);
    pt_spool_free(&spool);
    pt_spool_free(NULL);
    pt_status status = pt_spool_new("no/such/folder", &grid, &spool);
    assert_int_equal(status.code, PT_E_WRITE);
    assert_non_null(strstr(status.message, "no/such/folder"));
    assert_null(spool);
}

static void test_disk_full(void **state)
{
    (void)state;
    char folder[] = "/tmp/pantile-spool-XXXXXX";
    assert_non_null(mkdtemp(folder));
    if (mount("none", folder, "tmpfs", 0, "size=1m") != 0) {
        print_message("SKIPPED: a disk that runs full needs the right to mount (%s)\n", strerror(errno));
        rmdir(folder);
        skip();
    }
    pt_grid grid = grid_of(256);
    pt_spool *spool = NULL;
    pt_status status = pt_spool_new(folder, &grid, &spool);
    for (int i = 0; status.code == PT_OK && i < 100000; i++) {
        pt_feature f = feature_at(1, 1, 1, 1, 3);
        status = pt_spool_add(spool, &f, 9);
        pt_feature_fini(&f);
    }
    pt_spool_free(&spool);
    umount(folder);
    rmdir(folder);
    assert_int_equal(status.code, PT_E_NOSPACE);
    assert_non_null(strstr(status.message, folder));
}

static pt_status whole_life(void)
{
    pt_grid grid = grid_of(64);
    pt_spool *spool = NULL;
    pt_feature f = feature_at(1, 1, 1, 1, 3);
    pt_feature back = {0};
    pt_status status = pt_spool_new(".", &grid, &spool);
    if (status.code == PT_OK) {
        status = pt_spool_add(spool, &f, 9);
    }
    if (status.code == PT_OK) {
        status = pt_spool_add(spool, &f, 9);
    }
    if (status.code == PT_OK) {
        status = pt_spool_sort(spool);
    }
    if (status.code == PT_OK) {
        status = pt_spool_read(spool, 1, &back);
    }
    pt_feature_fini(&back);
    pt_feature_fini(&f);
    pt_spool_free(&spool);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    long first = pt_alloc_count();
    pt_feature f = feature_at(1, 1, 1, 1, 3);
    long making = pt_alloc_count() - first;
    pt_feature_fini(&f);
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    for (long n = making; status.code == PT_E_NOMEM; n++) {
        pt_alloc_fail_after(n);
        status = whole_life();
        pt_alloc_fail_after(-1);
    }
    assert_string_equal(status.message, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_round_trip),
        cmocka_unit_test(test_record_refuses_cuts),
        cmocka_unit_test(test_order_is_that_of_the_features),
        cmocka_unit_test(test_owner_tiles_come_row_by_row),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_empty_and_bad_folder),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
