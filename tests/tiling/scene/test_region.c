/* Areas of interest, boxes, and burning of vector layers. */
#include "raster.h"

#include <cpl_vsi.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* 100 x 80 pixels of 1 m, top left at (500000, 5000080) of UTM 33N: CRS y = 5000080 - row. */
static raster make_field(const char *path)
{
    raster r = {.path = path,
                .width = 100,
                .height = 80,
                .bands = 3,
                .epsg = 32633,
                .transform = {500000, 1, 0, 5000080, 0, -1}};
    raster_make(&r);
    return r;
}

static void reads_inside_the_aoi_alone(void **state)
{
    (void)state;
    raster r = make_field("/vsimem/aoi.tif");
    /* A square with a hole, and a triangle elsewhere; in the scene's CRS. */
    const char *const shapes[2] = {
        "POLYGON ((500010 5000070,500030 5000070,500030 5000050,500010 5000050,500010 5000070),"
        "(500015 5000065,500025 5000065,500025 5000055,500015 5000055,500015 5000065))",
        "POLYGON ((500060 5000040,500080 5000040,500060 5000020,500060 5000040))"};
    vector_make("/vsimem/aoi.gpkg", "GPKG", 32633, shapes, 2, NULL);
    pt_scene_options options = pt_scene_defaults();
    options.aoi = "/vsimem/aoi.gpkg";
    pt_scene *scene = scene_open(r.path, &options);
    assert_true(pt_rect_equal(pt_scene_describe(scene)->area, (pt_rect){10, 10, 70, 50}));
    pt_window window = scene_read(scene, (pt_rect){0, 0, 100, 80});
    /* The triangle's row k has 20 - k - 0.5 pixels: its slope meets centres exactly, and they are outside. */
    assert_int_equal(window.valid_count, 20 * 20 - 10 * 10 + 20 * 19 / 2);
    assert_int_equal(window.valid[10 * 100 + 10], 1);
    assert_int_equal(window.valid[20 * 100 + 20], 0);
    assert_int_equal(window.valid[9 * 100 + 10], 0);
    assert_int_equal(window.rgb[3 * (9 * 100 + 10)], options.fill[0]);
    assert_int_equal(window.rgb[3 * (10 * 100 + 10)], raster_pattern(1, 10, 10));
    pt_window_fini(&window);

    pt_scene_reader *reader = NULL;
    pt_area_state area;
    assert_int_equal(pt_scene_reader_open(scene, &reader).code, PT_OK);
    static const struct {
        pt_rect rect;
        pt_area_state state;
    } cases[] = {{{0, 0, 10, 80}, PT_AREA_OUTSIDE},   {{0, 0, 11, 11}, PT_AREA_DATA},
                 {{15, 15, 10, 10}, PT_AREA_OUTSIDE}, {{15, 15, 11, 10}, PT_AREA_DATA},
                 {{31, 10, 20, 70}, PT_AREA_OUTSIDE}, {{70, 55, 20, 20}, PT_AREA_OUTSIDE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(pt_scene_reader_state(reader, cases[i].rect, &area).code, PT_OK);
        assert_int_equal(area, cases[i].state);
    }
    pt_scene_reader_close(&reader);
    pt_scene_close(&scene);

    /* With a box as well, both must hold. */
    options.has_bbox = true;
    memcpy(options.bbox, (double[4]){500000, 5000060, 500020, 5000080}, sizeof options.bbox);
    scene = scene_open(r.path, &options);
    assert_true(pt_rect_equal(pt_scene_describe(scene)->area, (pt_rect){10, 10, 10, 10}));
    window = scene_read(scene, (pt_rect){0, 0, 100, 80});
    assert_int_equal(window.valid_count, 75);
    pt_window_fini(&window);
    pt_scene_close(&scene);
}

static void transforms_the_aoi(void **state)
{
    (void)state;
    raster r = make_field("/vsimem/aoi84.tif");
    /* In degrees: 15 E is x = 500000; a generous box in latitude, 0.0005 degrees (39.5 m) in longitude. */
    const char *const shapes[1] = {"POLYGON ((15 45,15.0005 45,15.0005 46,15 46,15 45))"};
    static const char *const files[][2] = {{"/vsimem/aoi84.geojson", "GeoJSON"},
                                           {"/vsimem/aoi84.kml", "KML"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        vector_make(files[i][0], files[i][1], 4326, shapes, 1, NULL);
        pt_scene_options options = pt_scene_defaults();
        options.aoi = files[i][0];
        pt_scene *scene = scene_open(r.path, &options);
        const pt_scene_info *info = pt_scene_describe(scene);
        assert_int_equal(info->area.x, 0);
        assert_true(llabs(info->area.w - 39) <= 1);
        assert_int_equal(info->area.h, 80);
        pt_scene_close(&scene);
    }
}

static void refuses_bad_areas(void **state)
{
    (void)state;
    raster r = make_field("/vsimem/bad.tif");
    const char *const outside[1] = {"POLYGON ((0 0,1 0,1 1,0 0))"}, *const line[1] = {"LINESTRING (0 0,1 1)"};
    /* Between pixel centres: inside the scene, but no pixel. */
    const char *const sliver[1] = {
        "POLYGON ((500010.6 5000010,500010.9 5000010,500010.9 5000020,500010.6 5000010))"};
    vector_make("/vsimem/outside.geojson", "GeoJSON", 4326, outside, 1, NULL);
    vector_make("/vsimem/line.geojson", "GeoJSON", 4326, line, 1, NULL);
    vector_make("/vsimem/sliver.gpkg", "GPKG", 32633, sliver, 1, NULL);
    vector_make("/vsimem/empty.gpkg", "GPKG", 32633, NULL, 0, NULL);
    pt_scene_options options = pt_scene_defaults();
    options.aoi = "/vsimem/outside.geojson";
    assert_status(try_open(r.path, &options), PT_E_INPUT, "outside.geojson", "CRS");
    options.aoi = "/vsimem/sliver.gpkg";
    assert_status(try_open(r.path, &options), PT_E_INPUT, "sliver.gpkg", "outside");
    options.aoi = "/vsimem/line.geojson";
    assert_status(try_open(r.path, &options), PT_E_INPUT, "line.geojson", "no polygon");
    options.aoi = "/vsimem/empty.gpkg";
    assert_status(try_open(r.path, &options), PT_E_INPUT, "empty.gpkg", "no polygon");
    options.aoi = "/vsimem/none.gpkg";
    assert_status(try_open(r.path, &options), PT_E_INPUT, "none.gpkg", "no such file");
    options.aoi = r.path;
    assert_status(try_open(r.path, &options), PT_E_INPUT, "bad.tif", "not a vector file");
    options.aoi = NULL;
    options.has_bbox = true;
    assert_status(try_open(r.path, &options), PT_E_USAGE, "empty", "min x, min y");
    memcpy(options.bbox, (double[4]){0, 0, 1, 1}, sizeof options.bbox);
    assert_status(try_open(r.path, &options), PT_E_INPUT, "--bbox", "outside");
}

/* --- burning --- */

typedef struct canvas {
    int64_t w, h;
    int32_t *ids; /* the last object of each pixel */
    int calls;
    int32_t last_class;
    int64_t pixels[8]; /* of each object */
} canvas;

static pt_status paint(void *user, int64_t object, int32_t class_id, pt_rect area, const uint8_t *bytes)
{
    canvas *c = user;
    c->calls++;
    c->last_class = class_id;
    int64_t count = 0;
    for (int64_t y = 0; y < area.h; y++) {
        for (int64_t x = 0; x < area.w; x++) {
            if (bytes[y * area.w + x]) {
                c->ids[(area.y + y) * c->w + area.x + x] = (int32_t)object;
                count++;
            }
        }
    }
    assert_true(count > 0);
    if (object < 8) {
        c->pixels[object] += count;
    }
    return pt_ok();
}

static canvas new_canvas(int64_t w, int64_t h)
{
    return (canvas){.w = w, .h = h, .ids = calloc((size_t)(w * h), sizeof(int32_t))};
}

static void burns_by_pixel_centre(void **state)
{
    (void)state;
    raster r = make_field("/vsimem/burn.tif");
    const char *const shapes[4] = {
        "POLYGON ((500010.4 5000070,500012.4 5000070,500012.4 5000069.4,500010.4 5000069.4,500010.4 "
        "5000070))",
        "POINT (500020 5000020)",
        "MULTIPOLYGON (((500020 5000060,500030 5000060,500030 5000050,500020 5000050,500020 5000060)),"
        "((500025 5000055,500035 5000055,500035 5000045,500025 5000045,500025 5000055)))",
        "POLYGON ((500095 5000010,500200 5000010,500200 4999990,500095 4999990,500095 5000010))"};
    const int classes[4] = {3, 1, 2, 5};
    vector_make("/vsimem/burn.gpkg", "GPKG", 32633, shapes, 4, classes);
    pt_scene *scene = scene_open(r.path, NULL);
    pt_burner *burner = NULL;
    canvas c = new_canvas(100, 80);
    assert_int_equal(pt_burner_open("/vsimem/burn.gpkg", scene, &burner).code, PT_OK);
    assert_int_equal(pt_burner_burn(burner, (pt_rect){0, 0, 100, 80}, paint, &c).code, PT_OK);
    assert_int_equal(c.calls, 3);
    assert_int_equal(c.last_class, 5);
    assert_int_equal(c.pixels[1], 2); /* centres at 10.5 and 11.5 */
    assert_int_equal(c.ids[10 * 100 + 10], 1);
    assert_int_equal(c.pixels[3], 100 + 100 - 25); /* parts that overlap are one object */
    assert_int_equal(c.pixels[4], 5 * 10);         /* clipped by the scene */
    c.calls = 0;
    assert_int_equal(pt_burner_burn(burner, (pt_rect){50, 0, 20, 20}, paint, &c).code, PT_OK);
    assert_int_equal(c.calls, 0);
    free(c.ids);
    pt_burner_close(&burner);
    pt_burner_close(&burner);
    assert_status(pt_burner_open("/vsimem/nothing.gpkg", scene, &burner), PT_E_INPUT, "nothing.gpkg",
                  "no such file");
    assert_status(pt_burner_open("", scene, &burner), PT_E_USAGE, "", "");
    assert_status(pt_burner_open(r.path, scene, &burner), PT_E_INPUT, "burn.tif", "not a vector file");
    pt_scene_close(&scene);
}

static pt_status refuse(void *user, int64_t object, int32_t class_id, pt_rect area, const uint8_t *bytes)
{
    (void)user;
    (void)class_id;
    (void)area;
    (void)bytes;
    return pt_error(PT_E_STOPPED, "at object %d", (int)object);
}

/* Polygons that share every edge leave no pixel out and share none, whole or in pieces, even though their
 * corners lie on pixel centres and their edges meet some exactly. */
static void burns_the_same_in_pieces(void **state)
{
    (void)state;
    raster r = make_field("/vsimem/fan.tif");
    enum { SPOKES = 24 };
    static char wkts[SPOKES][256];
    const char *shapes[SPOKES];
    for (int i = 0; i < SPOKES; i++) {
        double a = i * 2 * M_PI / SPOKES, b = (i + 1) % SPOKES * 2 * M_PI / SPOKES;
        double cx = 500050.5, cy = 5000040.5;
        double ax = cx + rint(37 * cos(a)), ay = cy + rint(37 * sin(a));
        double bx = cx + rint(37 * cos(b)), by = cy + rint(37 * sin(b));
        snprintf(wkts[i], sizeof wkts[i], "POLYGON ((%.1f %.1f,%.1f %.1f,%.1f %.1f,%.1f %.1f))", cx, cy, ax,
                 ay, bx, by, cx, cy);
        shapes[i] = wkts[i];
    }
    vector_make("/vsimem/fan.gpkg", "GPKG", 32633, shapes, SPOKES, NULL);
    pt_scene_options options = pt_scene_defaults();
    for (int pass = 0; pass < 2; pass++) {
        options.gsd_mode = PT_GSD_VALUE;
        options.gsd = pass ? 0.37 : 1;
        pt_scene *scene = scene_open(r.path, &options);
        const pt_scene_info *info = pt_scene_describe(scene);
        pt_rect all = {0, 0, info->width, info->height};
        pt_burner *burner = NULL;
        assert_int_equal(pt_burner_open("/vsimem/fan.gpkg", scene, &burner).code, PT_OK);
        canvas whole = new_canvas(all.w, all.h), pieces = new_canvas(all.w, all.h);
        assert_int_equal(pt_burner_burn(burner, all, paint, &whole).code, PT_OK);
        for (int64_t y = 0; y < all.h; y += 7) {
            for (int64_t x = 0; x < all.w; x += 13) {
                pt_rect rect = pt_rect_intersect((pt_rect){x, y, 13, 7}, all);
                assert_int_equal(pt_burner_burn(burner, rect, paint, &pieces).code, PT_OK);
            }
        }
        assert_memory_equal(whole.ids, pieces.ids, (size_t)(all.w * all.h) * sizeof *whole.ids);
        int64_t inside = 0, sum = 0;
        for (int64_t i = 0; i < all.w * all.h; i++) {
            inside += whole.ids[i] != 0;
        }
        for (int i = 1; i < 8; i++) {
            assert_int_equal(whole.pixels[i], pieces.pixels[i]);
            sum += whole.pixels[i];
        }
        assert_true(inside > sum);
        assert_int_equal(pt_burner_burn(burner, all, refuse, NULL).code, PT_E_STOPPED);
        free(whole.ids);
        free(pieces.ids);
        pt_burner_close(&burner);
        pt_scene_close(&scene);
    }
}

static pt_status add_up(void *user, int64_t object, int32_t class_id, pt_rect area, const uint8_t *bytes)
{
    int *counts = user;
    assert_int_equal(class_id, 1);
    assert_true(object >= 1);
    for (int64_t y = 0; y < area.h; y++) {
        for (int64_t x = 0; x < area.w; x++) {
            counts[(area.y + y) * 100 + area.x + x] += bytes[y * area.w + x];
        }
    }
    return pt_ok();
}

static void shares_out_common_edges(void **state)
{
    (void)state;
    raster r = make_field("/vsimem/edges.tif");
    const char *const shapes[4] = {
        "POLYGON ((500000 5000000,500100 5000000,500033.3 5000041.7,500000 5000000))",
        "POLYGON ((500100 5000000,500100 5000080,500033.3 5000041.7,500100 5000000))",
        "POLYGON ((500100 5000080,500000 5000080,500033.3 5000041.7,500100 5000080))",
        "POLYGON ((500000 5000080,500000 5000000,500033.3 5000041.7,500000 5000080))"};
    vector_make("/vsimem/edges.gpkg", "GPKG", 32633, shapes, 4, NULL);
    pt_scene *scene = scene_open(r.path, NULL);
    pt_burner *burner = NULL;
    int *counts = calloc(100 * 80, sizeof *counts);
    assert_int_equal(pt_burner_open("/vsimem/edges.gpkg", scene, &burner).code, PT_OK);
    assert_int_equal(pt_burner_burn(burner, (pt_rect){0, 0, 100, 80}, add_up, counts).code, PT_OK);
    for (int i = 0; i < 100 * 80; i++) {
        assert_int_equal(counts[i], 1);
    }
    free(counts);
    pt_burner_close(&burner);
    pt_scene_close(&scene);
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    raster r = make_field("/vsimem/memory.tif");
    const char *const shapes[1] = {"POLYGON ((500010 5000070,500030 5000070,500030 5000050,500010 5000070))"};
    vector_make("/vsimem/memory.gpkg", "GPKG", 32633, shapes, 1, NULL);
    pt_scene_options options = pt_scene_defaults();
    options.aoi = "/vsimem/memory.gpkg";
    bool done = false;
    for (long n = 0; !done; n++) {
        pt_scene *scene = NULL;
        pt_scene_reader *reader = NULL;
        pt_burner *burner = NULL;
        pt_window window = {0};
        canvas c = new_canvas(100, 80);
        const char *path = r.path;
        pt_alloc_fail_after(n);
        pt_status status = pt_scene_open(&path, 1, &options, &scene);
        if (status.code == PT_OK) {
            status = pt_scene_reader_open(scene, &reader);
        }
        if (status.code == PT_OK) {
            status = pt_scene_reader_read(reader, (pt_rect){0, 0, 100, 80}, &window);
        }
        if (status.code == PT_OK) {
            status = pt_burner_open("/vsimem/memory.gpkg", scene, &burner);
        }
        if (status.code == PT_OK) {
            status = pt_burner_burn(burner, (pt_rect){0, 0, 100, 80}, paint, &c);
        }
        pt_alloc_fail_after(-1);
        done = status.code == PT_OK;
        assert_true(done || status.code == PT_E_NOMEM);
        free(c.ids);
        pt_window_fini(&window);
        pt_burner_close(&burner);
        pt_scene_reader_close(&reader);
        pt_scene_close(&scene);
        assert_true(n < 1000);
    }
}

int main(void)
{
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_inside_the_aoi_alone), cmocka_unit_test(transforms_the_aoi),
        cmocka_unit_test(refuses_bad_areas),          cmocka_unit_test(burns_by_pixel_centre),
        cmocka_unit_test(burns_the_same_in_pieces),   cmocka_unit_test(shares_out_common_edges),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
