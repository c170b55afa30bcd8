#include "coordinator/protocol/codec.h"
#include "tests/coordinator/protocol/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

static void encode(const pt_job_spec *spec, uint8_t **bytes, size_t *size)
{
    pt_status status = pt_job_spec_encode(spec, bytes, size);
    assert_string_equal(status.message, "");
}

/* The differences as one text: "field: was -> is; ...". */
static void note(void *user, const char *field, const char *was, const char *is)
{
    char *text = user;
    size_t length = strlen(text);
    snprintf(text + length, 4096 - length, "%s: %s -> %s; ", field, was, is);
}

static void assert_same(const pt_job_spec *a, const pt_job_spec *b)
{
    char text[4096] = "";
    assert_int_equal(pt_job_spec_compare(a, b, note, text), 0);
    assert_string_equal(text, "");
}

static void test_specs_come_back(void **state)
{
    (void)state;
    pt_job_spec spec = sample_spec();
    uint8_t *bytes, *again;
    size_t size, again_size;
    encode(&spec, &bytes, &size);
    pt_job_spec back;
    pt_status status = pt_job_spec_decode(bytes, size, &back);
    assert_string_equal(status.message, "");
    assert_same(&spec, &back);
    encode(&back, &again, &again_size);
    assert_int_equal(size, again_size);
    assert_memory_equal(bytes, again, size);
    uint8_t hash[32], hash_again[32];
    assert_int_equal(pt_job_spec_hash(&spec, hash).code, PT_OK);
    assert_int_equal(pt_job_spec_hash(&back, hash_again).code, PT_OK);
    assert_memory_equal(hash, hash_again, 32);
    back.output.square = !back.output.square;
    assert_int_equal(pt_job_spec_hash(&back, hash_again).code, PT_OK);
    assert_memory_not_equal(hash, hash_again, 32);
    pt_free(bytes);
    pt_free(again);
    pt_job_spec_fini(&back);
    pt_job_spec_fini(&spec);
    pt_job_spec_fini(&spec);
    assert_null(spec.groups);
}

static void test_what_is_optional_may_miss(void **state)
{
    (void)state;
    pt_job_spec spec = sample_spec();
    assert_int_equal(pt_job_spec_set_text(&spec.scene.aoi, NULL).code, PT_OK);
    assert_int_equal(pt_job_spec_set_text(&spec.engine.path, NULL).code, PT_OK);
    assert_int_equal(pt_job_spec_set_text(&spec.engine.precision, NULL).code, PT_OK);
    spec.engine.kind = PT_ENGINE_NULL;
    spec.scene.has_bbox = false;
    spec.scene.has_range = false;
    spec.scene.bbox[0] = NAN; /* nobody looks */
    uint8_t *bytes;
    size_t size;
    encode(&spec, &bytes, &size);
    pt_job_spec back;
    assert_int_equal(pt_job_spec_decode(bytes, size, &back).code, PT_OK);
    assert_same(&spec, &back);
    assert_null(back.scene.aoi);
    assert_null(back.engine.path);
    assert_null(back.engine.precision);
    assert_false(back.scene.has_bbox || back.scene.has_range);
    pt_free(bytes);
    pt_job_spec_fini(&spec);
    pt_job_spec_fini(&back);
}

static void test_zeros_have_one_spelling(void **state)
{
    (void)state;
    pt_job_spec a = sample_spec();
    pt_job_spec b = sample_spec();
    a.output.simplify = 0;
    b.output.simplify = -0.0;
    a.scene.bbox[2] = -0.0;
    b.scene.bbox[2] = 0;
    assert_same(&a, &b);
    uint8_t hash[2][32];
    assert_int_equal(pt_job_spec_hash(&a, hash[0]).code, PT_OK);
    assert_int_equal(pt_job_spec_hash(&b, hash[1]).code, PT_OK);
    assert_memory_equal(hash[0], hash[1], 32);
    pt_job_spec_fini(&a);
    pt_job_spec_fini(&b);
}

static void test_cuts_and_flips_are_refused_or_canonical(void **state)
{
    (void)state;
    pt_job_spec spec = sample_spec();
    uint8_t *bytes;
    size_t size;
    encode(&spec, &bytes, &size);
    pt_job_spec back = {0};
    int taken = 0;
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(pt_job_spec_decode(bytes, cut, &back).code, PT_E_INPUT);
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        pt_status status = pt_job_spec_decode(bytes, size, &back);
        if (status.code == PT_OK) {
            uint8_t *again;
            size_t again_size;
            encode(&back, &again, &again_size);
            assert_int_equal(size, again_size);
            assert_memory_equal(bytes, again, size);
            pt_free(again);
            pt_job_spec_fini(&back);
            taken++;
        } else {
            assert_int_equal(status.code, PT_E_INPUT);
        }
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(taken > 100);
    pt_free(bytes);
    pt_job_spec_fini(&spec);
}

static void refuse(pt_job_spec *spec, const char *what)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    pt_status status = pt_job_spec_encode(spec, &bytes, &size);
    assert_int_equal(status.code, PT_E_USAGE);
    assert_non_null(strstr(status.message, what));
    assert_null(bytes);
    uint8_t hash[32];
    assert_int_equal(pt_job_spec_hash(spec, hash).code, PT_E_USAGE);
    pt_job_spec_fini(spec);
}

#define REFUSE(change, what)                                                                                 \
    do {                                                                                                     \
        pt_job_spec spec = sample_spec();                                                                    \
        change;                                                                                              \
        refuse(&spec, what);                                                                                 \
    } while (0)
#define SET(field, text) assert_int_equal(pt_job_spec_set_text(&(field), (text)).code, PT_OK)

static void test_bad_fields_are_named(void **state)
{
    (void)state;
    static const char *const paths[] = {"",
                                        "/etc/passwd",
                                        "..",
                                        "a/../b",
                                        "a/./b",
                                        "a//b",
                                        "a/",
                                        "a\nb",
                                        "./a",
                                        "../a",
                                        "/vsicurl/https://h/../x"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        REFUSE(SET(spec.groups[1].paths[0], paths[i]), "group 1: the job's path must");
        REFUSE(SET(spec.scene.aoi, paths[i]), "scene.aoi must");
        REFUSE(SET(spec.engine.path, paths[i]), "engine.path must");
    }
    REFUSE(SET(spec.program, NULL), "program");
    REFUSE(SET(spec.program, ""), "program");
    REFUSE(SET(spec.engine.backend, "\xff"), "engine.backend");
    REFUSE(SET(spec.engine.precision, "int8\n"), "engine.precision");
    REFUSE(SET(spec.engine.precision, ""), "engine.precision");
    REFUSE(SET(spec.engine.precision, NULL), "engine.precision");
    REFUSE(spec.engine.kind = PT_ENGINE_ORACLE, "engine.precision");
    REFUSE(SET(spec.scene.drivers[0], ""), "scene.drivers");
    REFUSE(SET(spec.engine.path, NULL), "engine.path");
    REFUSE(spec.engine.kind = PT_ENGINE_NULL, "engine.path");
    REFUSE(spec.engine.kind = (pt_engine_kind)5, "engine.kind");
    REFUSE(spec.groups[0].width = 0, "group 0");
    REFUSE(spec.groups[0].range_lo[1] = NAN, "range");
    REFUSE(spec.groups[0].range_hi[2] = INFINITY, "range");
    REFUSE(spec.grid.overlap = 512, "overlap");
    REFUSE(spec.grid.tile = 500, "stride");
    REFUSE(spec.scene.bands[2] = -1, "scene.bands");
    REFUSE(spec.scene.gsd_mode = 3, "scene.gsd_mode");
    REFUSE(spec.scene.gsd = -1, "scene.gsd");
    REFUSE(spec.scene.bbox[3] = NAN, "scene.bbox");
    REFUSE(spec.scene.range_hi = NAN, "scene.range");
    REFUSE(spec.engine.score = 1.5, "engine.score");
    REFUSE(spec.engine.proposals = -1, "engine.proposals");
    REFUSE(spec.output.min_area = -1, "output.min_area");
    REFUSE(spec.output.attempts = 0, "output.attempts");
    /* One tile a pixel, 2^62 of them. */
    REFUSE((spec.grid.tile = 2, spec.grid.overlap = 1, spec.grid.lattice = 1,
            spec.groups[1].width = INT32_MAX, spec.groups[1].height = INT32_MAX),
           "too many tiles");
    pt_job_spec empty = {0};
    refuse(&empty, "program");
    REFUSE((free(spec.groups[1].paths[0]), free(spec.groups[1].paths[1]), spec.groups[1].path_count = 0),
           "number of paths");
}

static void test_differences_are_named(void **state)
{
    (void)state;
    pt_job_spec a = sample_spec();
    pt_job_spec b = sample_spec();
    b.scene.bands[0] = 3;
    b.scene.gsd_mode = 0;
    b.grid.tile = 1024;
    b.engine.kind = PT_ENGINE_ORACLE;
    b.engine.score = 0.1 + 0.2;
    SET(b.engine.precision, "fp32");
    b.scene.has_range = false;
    b.scene.range_lo = 77;
    b.engine.sha256[31] = 0xab;
    SET(b.scene.aoi, NULL);
    SET(b.groups[1].paths[0], "c.tif");
    b.groups[1].range_hi[0] = 0.1;
    SET(b.output.format, "GPKG");
    char text[4096] = "";
    assert_int_equal(pt_job_spec_compare(&a, &b, note, text), 12);
    assert_string_equal(
        text, "scene.bands: 1,2,3 -> 3,2,3; scene.gsd_mode: a number -> auto; scene.aoi: "
              "areas/aoi.geojson -> none; "
              "scene.has_range: true -> false; grid.tile: 512 -> 1024; "
              "engine.kind: model -> oracle; "
              "engine.sha256: 0909090909090909090909090909090909090909090909090909090909090909 -> "
              "09090909090909090909090909090909090909090909090909090909090909ab; "
              "engine.score: 0.05 -> 0.30000000000000004; engine.precision: int8,mask=fp32 -> fp32; "
              "output.format: GeoJSON -> GPKG; "
              "groups[1].paths: a/b.tif,a/...tif -> c.tif,a/...tif; "
              "groups[1].range_hi: 1001,1002,1003 -> 0.1,1002,1003; ");
    pt_job_spec_fini(&b);
    b = sample_spec();
    pt_job_group *group = NULL;
    assert_int_equal(pt_job_spec_add_group(&b, &group).code, PT_OK);
    text[0] = '\0';
    assert_int_equal(pt_job_spec_compare(&a, &b, note, text), 1);
    assert_string_equal(text, "groups: 2 -> 3; ");
    pt_job_spec_fini(&a);
    pt_job_spec_fini(&b);
}

static void test_long_differences_end_in_dots(void **state)
{
    (void)state;
    pt_job_spec a = sample_spec();
    pt_job_spec b = sample_spec();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(
            pt_job_spec_add_text(&b.groups[0].paths, &b.groups[0].path_count, "another.tif").code, PT_OK);
    }
    char text[4096] = "";
    assert_int_equal(pt_job_spec_compare(&a, &b, note, text), 1);
    assert_non_null(strstr(text, "another.tif,anoth"));
    assert_string_equal(text + strlen(text) - 5, "...; ");
    pt_job_spec_fini(&a);
    pt_job_spec_fini(&b);
}

static void test_tiles_are_numbered_over_groups(void **state)
{
    (void)state;
    pt_job_spec spec = sample_spec();
    pt_grid grids[2], grid;
    assert_int_equal(pt_job_spec_grid(&spec, 0, &grids[0]).code, PT_OK);
    assert_int_equal(pt_job_spec_grid(&spec, 1, &grids[1]).code, PT_OK);
    assert_int_equal(pt_job_spec_grid(&spec, 2, &grid).code, PT_E_INPUT);
    int64_t first = pt_grid_count(&grids[0]);
    int64_t all = first + pt_grid_count(&grids[1]);
    assert_true(pt_job_spec_tiles(&spec) == all && all > first);
    for (int64_t tile = 0; tile < all; tile++) {
        size_t group;
        int64_t index;
        assert_int_equal(pt_job_spec_locate(&spec, tile, &group, &grid, &index).code, PT_OK);
        assert_int_equal(group, tile >= first);
        assert_true(index == tile - (group ? first : 0));
        assert_true(grid.width == 3000 + (int64_t)group);
    }
    size_t group = 9;
    int64_t index = 9;
    assert_int_equal(pt_job_spec_locate(&spec, all, &group, &grid, &index).code, PT_E_INPUT);
    assert_int_equal(pt_job_spec_locate(&spec, -1, &group, &grid, &index).code, PT_E_INPUT);
    assert_int_equal(group, 9);
    pt_job_spec_fini(&spec);
    assert_true(pt_job_spec_tiles(&spec) == 0);
}

/* Paths of one letter are what grows most. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    pt_job_spec spec = sample_spec();
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(pt_job_spec_add_text(&spec.groups[0].paths, &spec.groups[0].path_count, "a").code,
                         PT_OK);
    }
    uint8_t *bytes;
    size_t size;
    encode(&spec, &bytes, &size);
    pt_job_spec back;
    pt_status status = pt_job_spec_decode(bytes, size, &back);
    assert_string_equal(status.message, "");
    assert_same(&spec, &back);
    pt_job_spec_fini(&back);
    pt_free(bytes);
    pt_job_spec_fini(&spec);
    uint8_t *large = calloc((size_t)17 << 20, 1);
    status = pt_job_spec_decode(large, (size_t)17 << 20, &back);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, "more than"));
    free(large);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    pt_job_spec spec = sample_spec();
    uint8_t *bytes = NULL;
    size_t size = 0;
    for (long n = 0; !bytes; n++) {
        pt_alloc_fail_after(n);
        pt_status status = pt_job_spec_encode(&spec, &bytes, &size);
        pt_alloc_fail_after(-1);
        assert_int_equal(status.code, bytes ? PT_OK : PT_E_NOMEM);
    }
    pt_job_spec back = {0};
    long failures = 0;
    for (; !back.program; failures++) {
        pt_alloc_fail_after(failures);
        pt_status status = pt_job_spec_decode(bytes, size, &back);
        pt_alloc_fail_after(-1);
        assert_int_equal(status.code, back.program ? PT_OK : PT_E_NOMEM);
    }
    assert_true(failures > 20);
    pt_alloc_fail_after(0);
    assert_int_equal(pt_job_spec_set_text(&back.program, "x").code, PT_E_NOMEM);
    assert_int_equal(pt_job_spec_add_text(&back.scene.drivers, &back.scene.driver_count, "x").code,
                     PT_E_NOMEM);
    pt_job_group *group = NULL;
    assert_int_equal(pt_job_spec_add_group(&back, &group).code, PT_E_NOMEM);
    uint8_t hash[32];
    assert_int_equal(pt_job_spec_hash(&back, hash).code, PT_E_NOMEM);
    pt_alloc_fail_after(-1);
    assert_same(&spec, &back);
    pt_free(bytes);
    pt_job_spec_fini(&back);
    pt_job_spec_fini(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_specs_come_back),
        cmocka_unit_test(test_what_is_optional_may_miss),
        cmocka_unit_test(test_zeros_have_one_spelling),
        cmocka_unit_test(test_cuts_and_flips_are_refused_or_canonical),
        cmocka_unit_test(test_bad_fields_are_named),
        cmocka_unit_test(test_differences_are_named),
        cmocka_unit_test(test_long_differences_end_in_dots),
        cmocka_unit_test(test_tiles_are_numbered_over_groups),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
