#include "tiling/evaluate/evaluate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <gdal.h>
#include <gdal_utils.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/pantile-evaluate-XXXXXX");
    return mkdtemp(folder) ? 0 : 1;
}

static const char *const files[] = {"p.geojson",   "t.geojson", "w.geojson", "w.asc",       "w.prj",
                                    "bad.geojson", "u.asc",     "cut.fgb",   "cut.geojsonl"};

static int remove_folder(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    return rmdir(folder);
}

/* An axis-parallel box in units of 1e-4 degrees at (10, 45). */
typedef struct box {
    double x, y, w, h;
    const char *class; /* NULL: none */
    double score;      /* negative: none */
} box;

static const char *path_of(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *write_text(const char *name, const char *text)
{
    const char *path = path_of(name);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    return path;
}

static const char *write_boxes(const char *name, const box *boxes, size_t count, const char *head)
{
    char *text = malloc(1000 + count * 400);
    char *to = text + sprintf(text, "{\"type\":\"FeatureCollection\",%s\"features\":[", head);
    for (size_t i = 0; i < count; i++) {
        const box *b = &boxes[i];
        double x0 = 10 + b->x * 1e-4, y0 = 45 + b->y * 1e-4, x1 = x0 + b->w * 1e-4, y1 = y0 + b->h * 1e-4;
        to += sprintf(to, "%s{\"type\":\"Feature\",\"properties\":{\"n\":%zu", i ? "," : "", i);
        to += b->class ? sprintf(to, ",\"class\":\"%s\"", b->class) : 0;
        to += b->score >= 0 ? sprintf(to, ",\"score\":%g", b->score) : 0;
        to += sprintf(to,
                      "},\"geometry\":{\"type\":\"Polygon\",\"coordinates\":[[[%.9f,%.9f],[%.9f,%.9f],"
                      "[%.9f,%.9f],[%.9f,%.9f],[%.9f,%.9f]]]}}",
                      x0, y0, x1, y0, x1, y1, x0, y1, x0, y0);
    }
    sprintf(to, "]}");
    const char *path = write_text(name, text);
    free(text);
    return path;
}

static pt_evaluation evaluate(const box *p, size_t np, const box *t, size_t nt,
                              const pt_evaluate_options *options)
{
    pt_evaluation e = {.classes = NULL};
    pt_status status =
        pt_evaluate(write_boxes("p.geojson", p, np, ""), write_boxes("t.geojson", t, nt, ""), options, &e);
    assert_string_equal(status.message, "");
    assert_int_equal(status.code, PT_OK);
    return e;
}

static void close_to(double a, double b)
{
    if (!(fabs(a - b) < 1e-4)) {
        fail_msg("%.6f is not %.6f", a, b);
    }
}

static void test_perfect(void **state)
{
    (void)state;
    const box boxes[] = {{0, 0, 10, 10, NULL, -1}, {20, 0, 10, 10, NULL, -1}};
    pt_evaluate_options o = pt_evaluate_defaults();
    pt_evaluation e = evaluate(boxes, 2, boxes, 2, &o);
    assert_int_equal(e.all.truth, 2);
    assert_int_equal(e.all.predicted, 2);
    assert_int_equal(e.all.hits, 2);
    close_to(e.all.pq, 1);
    close_to(e.all.ap, 1);
    assert_int_equal(e.class_count, 1);
    assert_string_equal(e.classes[0].name, "object");
    assert_string_equal(e.all.name, "all");
    pt_evaluation_fini(&e);
}

/* One truth of 10 x 10, hit by 0.9 (IoU 0.8), and doubled by 0.8 (IoU 0.9, which comes too late); a second
 * truth missed; a false alarm of 0.7. By hand: precision 1/3, recall 1/2, RQ = 2 / 5, SQ = 0.8. AP at 0.50:
 * precision 1 up to recall 0.5, that is 51 of 101 recalls. At 0.85 the first is a miss and the second a hit:
 * precision 1/2 there; the same at 0.90. At 0.95 nothing. AP = (7 * 51 + 2 * 51 / 2) / 101 / 10. */
static void test_by_hand(void **state)
{
    (void)state;
    const box truth[] = {{0, 0, 10, 10, NULL, -1}, {50, 0, 10, 10, NULL, -1}};
    const box predicted[] = {
        {100, 0, 10, 10, NULL, 0.7}, {0, 0, 9.0001, 10, NULL, 0.8}, {0, 0, 10, 8.0001, NULL, 0.9}};
    pt_evaluate_options o = pt_evaluate_defaults();
    pt_evaluation e = evaluate(predicted, 3, truth, 2, &o);
    assert_int_equal(e.all.truth, 2);
    assert_int_equal(e.all.predicted, 3);
    assert_int_equal(e.all.hits, 1);
    close_to(e.all.precision, 1.0 / 3);
    close_to(e.all.recall, 0.5);
    close_to(e.all.f1, 0.4);
    close_to(e.all.rq, 0.4);
    close_to(e.all.sq, 0.80001);
    close_to(e.all.pq, 0.4 * 0.80001);
    close_to(e.all.mean_iou, 0.45);
    close_to(e.all.ap50, 51.0 / 101);
    close_to(e.all.ap75, 51.0 / 101);
    close_to(e.all.ap, (7 * 51 + 51) / 101.0 / 10);
    pt_evaluation_fini(&e);
    o.min_score = 0.85; /* leaves AP alone */
    e = evaluate(predicted, 3, truth, 2, &o);
    assert_int_equal(e.all.predicted, 1);
    close_to(e.all.precision, 1);
    close_to(e.all.mean_iou, 0.40001 / 1);
    close_to(e.all.ap50, 51.0 / 101);
    pt_evaluation_fini(&e);
}

static uint32_t draw(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

enum { TRUTHS = 40, PREDICTIONS = 60 };
static const char *const letters[] = {"a", "b", "c", "d"};

static void draw_boxes(box *truth, box *predicted)
{
    uint32_t seed = 42;
    for (int i = 0; i < TRUTHS; i++) {
        /* fractions, so that no IoU lies on a threshold */
        double w = 10.137 + draw(&seed, 10), h = 10.071 + draw(&seed, 10);
        truth[i] = (box){i % 8 * 30, i / 8 * 30, w, h, letters[draw(&seed, 3)], -1};
    }
    for (int i = 0; i < PREDICTIONS; i++) {
        const box *t = &truth[i % TRUTHS];
        double v[4];
        const uint32_t near[] = {5, 5, 5, 5}, far[] = {220, 130, 16, 16};
        for (int k = 0; k < 4; k++) {
            v[k] = draw(&seed, i < 45 ? near[k] : far[k]);
        }
        if (i < 45) {
            const char *class = draw(&seed, 6) ? t->class : letters[draw(&seed, 3)];
            predicted[i] =
                (box){t->x + v[0] - 1, t->y + v[1] - 1, t->w + v[2] - 2, t->h + v[3] - 2, class, 0};
        } else {
            predicted[i] = (box){v[0], v[1], 6 + v[2], 6 + v[3], letters[draw(&seed, 4)], 0};
        }
        predicted[i].score = (draw(&seed, 99) + 1) / 100.0;
    }
}

typedef struct expected {
    const char *name;
    int truth, predicted, hits;
    double sq, ap, ap50, ap75, mean_iou;
} expected;

static void check(const pt_score *s, const expected *x)
{
    assert_string_equal(s->name, x->name);
    assert_int_equal(s->truth, x->truth);
    assert_int_equal(s->predicted, x->predicted);
    assert_int_equal(s->hits, x->hits);
    close_to(s->sq, x->sq);
    close_to(s->ap, x->ap);
    close_to(s->ap50, x->ap50);
    close_to(s->ap75, x->ap75);
    close_to(s->mean_iou, x->mean_iou);
    close_to(s->precision, x->predicted ? (double)x->hits / x->predicted : 0);
    close_to(s->recall, x->truth ? (double)x->hits / x->truth : 0);
    close_to(s->f1, 2.0 * x->hits / (x->predicted + x->truth));
    close_to(s->pq, s->sq * s->f1);
}

/* The figures come from a second implementation of COCO's rules, in Python and on boxes. */
static const expected by_class[] = {{"a", 11, 9, 4, 0.760604, 0.237252, 0.508663, 0.179455, 0.340367},
                                    {"b", 16, 19, 14, 0.689254, 0.290213, 0.735361, 0.115212, 0.631449},
                                    {"c", 13, 9, 6, 0.68437, 0.222743, 0.717156, 0.11357, 0.315863},
                                    {"d", 0, 6, 0, 0, 0, 0, 0, 0}};
static const expected inside[] = {{"a", 7, 4, 2, 0.750674, 0.274158, 0.570297, 0.127723, 0.214478},
                                  {"b", 6, 10, 6, 0.68479, 0.325945, 0.74314, 0.252475, 0.68479},
                                  {"c", 7, 5, 4, 0.691096, 0.294714, 0.69802, 0.159653, 0.394912},
                                  {"d", 0, 1, 0, 0, 0, 0, 0, 0}};

static void test_classes(void **state)
{
    (void)state;
    box truth[TRUTHS], predicted[PREDICTIONS];
    draw_boxes(truth, predicted);
    pt_evaluate_options o = pt_evaluate_defaults();
    o.min_score = 0.3;
    pt_evaluation e = evaluate(predicted, PREDICTIONS, truth, TRUTHS, &o);
    assert_int_equal(e.class_count, 4);
    for (int i = 0; i < 4; i++) {
        check(&e.classes[i], &by_class[i]);
    }
    const expected all = {"all",
                          40,
                          43,
                          24,
                          (4 * 0.760604 + 14 * 0.689254 + 6 * 0.68437) / 24,
                          (0.237252 + 0.290213 + 0.222743) / 3,
                          (0.508663 + 0.735361 + 0.717156) / 3,
                          (0.179455 + 0.115212 + 0.11357) / 3,
                          (11 * 0.340367 + 16 * 0.631449 + 13 * 0.315863) / 40};
    check(&e.all, &all);
    pt_evaluation_fini(&e);
}

/* With classes on one side only, everything is one class. */
static void test_one_class(void **state)
{
    (void)state;
    box truth[TRUTHS], predicted[PREDICTIONS];
    draw_boxes(truth, predicted);
    for (int i = 0; i < TRUTHS; i++) {
        truth[i].class = NULL;
    }
    pt_evaluate_options o = pt_evaluate_defaults();
    o.min_score = 0.3;
    pt_evaluation e = evaluate(predicted, PREDICTIONS, truth, TRUTHS, &o);
    const expected one = {"object", 40, 43, 26, 0.692074, 0.221502, 0.614408, 0.071947, 0.489443};
    assert_int_equal(e.class_count, 1);
    check(&e.classes[0], &one);
    pt_evaluation_fini(&e);
}

static void test_within(void **state)
{
    (void)state;
    box truth[TRUTHS], predicted[PREDICTIONS];
    draw_boxes(truth, predicted);
    const box halves[] = {{0, -50, 60, 500, NULL, -1}, {50, -50, 50, 500, NULL, -1}};
    char raster[128];
    snprintf(raster, sizeof raster, "%s",
             write_text("w.asc",
                        "ncols 1\nnrows 5\nxllcorner 10\nyllcorner 44.995\ncellsize 0.01\n1\n1\n1\n1\n1\n"));
    write_text("w.prj",
               "GEOGCS[\"GCS_WGS_1984\",DATUM[\"D_WGS_1984\",SPHEROID[\"WGS_1984\",6378137,298.257223563]],"
               "PRIMEM[\"Greenwich\",0],UNIT[\"Degree\",0.0174532925199433]]");
    pt_evaluate_options o = pt_evaluate_defaults();
    o.min_score = 0.3;
    for (int k = 0; k < 2; k++) {
        o.within = k ? raster : write_boxes("w.geojson", halves, 2, "");
        pt_evaluation e = evaluate(predicted, PREDICTIONS, truth, TRUTHS, &o);
        assert_int_equal(e.class_count, 4);
        for (int i = 0; i < 4; i++) {
            check(&e.classes[i], &inside[i]);
        }
        pt_evaluation_fini(&e);
    }
}

/* The same places in another CRS compare as equal. */
static void test_other_crs(void **state)
{
    (void)state;
    const char *degrees = write_text(
        "t.geojson",
        "{\"type\":\"FeatureCollection\",\"features\":[{\"type\":\"Feature\",\"properties\":{},\"geometry\":"
        "{\"type\":\"Polygon\",\"coordinates\":[[[0,0],[0.001,0],[0.001,0.001],[0,0.001],[0,0]]]}}]}");
    const char *metres = write_text(
        "p.geojson",
        "{\"type\":\"FeatureCollection\",\"crs\":{\"type\":\"name\",\"properties\":{\"name\":\"EPSG:3857\"}},"
        "\"features\":[{\"type\":\"Feature\",\"properties\":{},\"geometry\":{\"type\":\"Polygon\","
        "\"coordinates\":[[[0,0],[111.3194908,0],[111.3194908,111.3194908],[0,111.3194908],[0,0]]]}}]}");
    pt_evaluate_options o = pt_evaluate_defaults();
    pt_evaluation e = {.classes = NULL};
    assert_int_equal(pt_evaluate(metres, degrees, &o, &e).code, PT_OK);
    assert_true(e.all.sq > 0.9999);
    pt_evaluation_fini(&e);
}

/* A bow tie is repaired, points and empty geometries are left out with a warning. */
static void test_odd_geometries(void **state)
{
    (void)state;
    const char *odd = write_text(
        "p.geojson",
        "{\"type\":\"FeatureCollection\",\"features\":["
        "{\"type\":\"Feature\",\"properties\":{},\"geometry\":{\"type\":\"Point\",\"coordinates\":[0,0]}},"
        "{\"type\":\"Feature\",\"properties\":{},\"geometry\":null},"
        "{\"type\":\"Feature\",\"properties\":{\"score\":null},\"geometry\":{\"type\":\"Polygon\","
        "\"coordinates\":"
        "[[[0,0],[2,2],[2,0],[0,2],[0,0]]]}},"
        "{\"type\":\"Feature\",\"properties\":{},\"geometry\":{\"type\":\"Polygon\",\"coordinates\":"
        "[[[5,5],[6,6],[5,5],[5,5]]]}},"
        "{\"type\":\"Feature\",\"properties\":{\"score\":0.5},\"geometry\":{\"type\":\"MultiPolygon\","
        "\"coordinates\":"
        "[[[[10,0,7],[12,0,7],[12,2,7],[10,0,7]]]]}}]}");
    const char *straight = write_text(
        "t.geojson",
        "{\"type\":\"FeatureCollection\",\"features\":["
        "{\"type\":\"Feature\",\"properties\":{},\"geometry\":{\"type\":\"MultiPolygon\",\"coordinates\":"
        "[[[[0,0],[1,1],[0,2],[0,0]]],[[[2,0],[2,2],[1,1],[2,0]]]]}},"
        "{\"type\":\"Feature\",\"properties\":{},\"geometry\":{\"type\":\"Polygon\",\"coordinates\":"
        "[[[10,0],[12,0],[12,2],[10,0]]]}}]}");
    pt_evaluate_options o = pt_evaluate_defaults();
    pt_evaluation e = {.classes = NULL};
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    assert_int_equal(pt_evaluate(odd, straight, &o, &e).code, PT_OK);
    pt_log_setup(PT_LOG_INFO, PT_LOG_TEXT);
    assert_int_equal(e.all.predicted, 2);
    assert_int_equal(e.all.hits, 2);
    close_to(e.all.sq, 1);
    pt_evaluation_fini(&e);
}

static void test_empty(void **state)
{
    (void)state;
    const box one[] = {{0, 0, 10, 10, NULL, 0.5}};
    pt_evaluate_options o = pt_evaluate_defaults();
    for (int k = 0; k < 4; k++) {
        pt_evaluation e = evaluate(one, k & 1, one, k >> 1, &o);
        assert_int_equal(e.all.predicted, k & 1);
        assert_int_equal(e.all.truth, k >> 1);
        close_to(e.all.f1, k == 3);
        close_to(e.all.ap, k == 3);
        assert_int_equal(e.class_count, 1);
        pt_evaluation_fini(&e);
    }
}

static void refuse(const char *predicted, const char *truth, const pt_evaluate_options *o, pt_code code,
                   const char *say)
{
    pt_evaluation e = {.class_count = 77};
    pt_status status = pt_evaluate(predicted, truth, o, &e);
    assert_int_equal(status.code, code);
    assert_non_null(strstr(status.message, say));
    assert_null(strchr(status.message, '\n'));
    assert_int_equal(e.class_count, 77);
}

static void test_bad_input(void **state)
{
    (void)state;
    const box one[] = {{0, 0, 10, 10, NULL, 0.5}};
    pt_evaluate_options o = pt_evaluate_defaults();
    const char *good = write_boxes("p.geojson", one, 1, ""),
               *bad = write_text("bad.geojson", "no json at all");
    refuse(bad, good, &o, PT_E_INPUT, "bad.geojson");
    refuse(good, bad, &o, PT_E_INPUT, "bad.geojson");
    refuse(good, "/no/such/file.gpkg", &o, PT_E_INPUT, "/no/such/file.gpkg");
    o.class_field = "kind";
    refuse(good, good, &o, PT_E_INPUT, "kind");
    o = pt_evaluate_defaults();
    o.within = bad;
    refuse(good, good, &o, PT_E_INPUT, "bad.geojson");
    o.within = write_boxes("w.geojson", one, 0, "");
    refuse(good, good, &o, PT_E_INPUT, "w.geojson");
    o.within = write_text("u.asc", "ncols 1\nnrows 1\nxllcorner 10\nyllcorner 45\ncellsize 1\n1\n");
    refuse(good, good, &o, PT_E_INPUT, "u.asc: it has no coordinate reference system");
    o = pt_evaluate_defaults();
    o.min_score = NAN;
    refuse(good, good, &o, PT_E_USAGE, "score");
}

static const char *convert(const char *from, const char *to, const char *driver)
{
    GDALDatasetH source = GDALOpenEx(from, GDAL_OF_VECTOR, NULL, NULL, NULL);
    char format[] = "-f", name[32];
    char *arguments[] = {format, name, NULL};
    snprintf(name, sizeof name, "%s", driver);
    GDALVectorTranslateOptions *how = GDALVectorTranslateOptionsNew(arguments, NULL);
    const char *path = path_of(to);
    GDALDatasetH made = GDALVectorTranslate(path, NULL, 1, &source, how, NULL);
    assert_non_null(made);
    GDALVectorTranslateOptionsFree(how);
    GDALClose(made);
    GDALClose(source);
    return path;
}

/* Half a file must not count as all of it: its figures would be wrong and nobody would know. */
static void test_cut_files(void **state)
{
    (void)state;
    static const char *const kinds[][2] = {{"cut.fgb", "FlatGeobuf"}, {"cut.geojsonl", "GeoJSONSeq"}};
    box boxes[50];
    for (int i = 0; i < 50; i++) {
        boxes[i] = (box){20 * i, 0, 10, 10, NULL, 0.5};
    }
    GDALAllRegister();
    pt_evaluate_options o = pt_evaluate_defaults();
    const char *whole = write_boxes("p.geojson", boxes, 50, "");
    for (size_t k = 0; k < 2; k++) {
        const char *path = convert(whole, kinds[k][0], kinds[k][1]);
        pt_evaluation e = {.classes = NULL};
        assert_int_equal(pt_evaluate(path, whole, &o, &e).code, PT_OK);
        assert_int_equal(e.all.hits, 50);
        pt_evaluation_fini(&e);
        struct stat info;
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(truncate(path, info.st_size * 2 / 3), 0);
        refuse(path, whole, &o, PT_E_INPUT, "cannot be read to its end");
        refuse(whole, path, &o, PT_E_INPUT, kinds[k][0]);
        o.within = path;
        refuse(whole, whole, &o, PT_E_INPUT, kinds[k][0]);
        o.within = NULL;
    }
}

static void test_allocation_failures(void **state)
{
    (void)state;
    const box boxes[] = {{0, 0, 10, 10, "a", 0.5}, {20, 0, 10, 10, "b", 0.5}};
    const char *path = write_boxes("p.geojson", boxes, 2, ""),
               *within = write_boxes("w.geojson", boxes, 2, "");
    pt_evaluate_options o = pt_evaluate_defaults();
    o.within = within;
    pt_status status = pt_error(PT_E_NOMEM, "not yet");
    int fails = 0;
    for (long n = 0; status.code != PT_OK; n++, fails++) {
        pt_evaluation e = {.classes = NULL};
        pt_alloc_fail_after(n);
        status = pt_evaluate(path, path, &o, &e);
        pt_alloc_fail_after(-1);
        assert_true(status.code == PT_OK || status.code == PT_E_NOMEM);
        pt_evaluation_fini(&e);
    }
    assert_true(fails > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_perfect),        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_classes),        cmocka_unit_test(test_one_class),
        cmocka_unit_test(test_within),         cmocka_unit_test(test_other_crs),
        cmocka_unit_test(test_odd_geometries), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_bad_input),      cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_cut_files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
