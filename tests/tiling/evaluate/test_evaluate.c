#include "tiling/evaluate/evaluate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/pantile-evaluate-XXXXXX");
    return mkdtemp(folder) ? 0 : 1;
}

static const char *const files[] = {"p.geojson", "t.geojson", "w.geojson", "w.asc", "w.prj", "bad.geojson"};

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_perfect),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
