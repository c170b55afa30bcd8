/* How far a network in bytes is from the same network in floats: which layers the difference comes from.
 *
 *   bench_precision MODEL IMAGE.ppm PRECISION...
 *
 * runs the image (of pantile run --dump-tiles, or "-" for a made one) in FP32 and at each precision, such as
 * fp32,rpn.head=int8. Prints the relative L2 differences of the backbone's maps, the pyramid, the RPN's
 * answers, and, where the proposals are the same, the box head's answers; and the number of detections. */
#include "engine/engine.h"
#include "engine/graph/tap.h"
#include "engine/measure/measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TABLES = 64, KINDS = 4 };

static const char *const kinds[KINDS] = {"C", "P", "rpn", "answers"};

typedef struct table {
    char name[16];
    size_t count;
    float *data;
} table;

typedef struct outcome {
    table tables[MOST_TABLES];
    int count;
    size_t detections;
} outcome;

static void need(pt_status status, const char *what)
{
    if (status.code != PT_OK) {
        fprintf(stderr, "bench_precision: %s: %s\n", what, status.message);
        exit(1);
    }
}

static void *must(void *block)
{
    if (!block) {
        need(PT_NOMEM("a table"), "bench_precision");
    }
    return block;
}

static void keep(void *user, const pt_tap_view *view)
{
    outcome *o = user;
    if (o->count == MOST_TABLES) {
        return;
    }
    table *t = &o->tables[o->count++];
    snprintf(t->name, sizeof t->name, "%s", view->name);
    t->count = view->rows * view->columns;
    t->data = must(calloc(t->count + 1, sizeof *t->data));
    memcpy(t->data, view->data, t->count * sizeof *t->data);
}

static outcome run(const char *model, const pt_image *image, const char *precision)
{
    outcome o = {.count = 0};
    pt_engine *engine = NULL;
    pt_engine_options options = pt_engine_defaults();
    options.precision = precision;
    need(pt_engine_open(model, &options, &engine), precision);
    pt_engine_set_tap(engine, keep, &o);
    need(pt_engine_infer(engine, image, 1), precision);
    const pt_detection *items;
    need(pt_engine_detections(engine, 0, &items, &o.detections), precision);
    pt_engine_close(&engine);
    return o;
}

static const table *find(const outcome *o, const char *name)
{
    for (int i = 0; i < o->count; i++) {
        if (strcmp(o->tables[i].name, name) == 0) {
            return &o->tables[i];
        }
    }
    return NULL;
}

static bool same_proposals(const outcome *a, const outcome *b)
{
    const table *p = find(a, "proposals"), *q = find(b, "proposals");
    return p && q && p->count == q->count && memcmp(p->data, q->data, p->count * sizeof *p->data) == 0;
}

/* Over all levels together. */
static double difference(const outcome *wanted, const outcome *got, const char *kind)
{
    double error = 0, size = 0;
    for (int i = 0; i < wanted->count; i++) {
        const table *t = &wanted->tables[i], *u = &got->tables[i];
        for (size_t k = 0; strcmp(t->name, kind) == 0 && k < t->count; k++) {
            double d = (double)u->data[k] - (double)t->data[k];
            error += d * d;
            size += (double)t->data[k] * (double)t->data[k];
        }
    }
    return sqrt(error / size);
}

static void forget(outcome *o)
{
    for (int i = 0; i < o->count; i++) {
        free(o->tables[i].data);
    }
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: bench_precision MODEL IMAGE.ppm PRECISION...\n");
        return 1;
    }
    pt_image image;
    need(strcmp(argv[2], "-") ? pt_measure_image_read(argv[2], &image) : pt_measure_image_new(1024, &image),
         argv[2]);
    outcome wanted = run(argv[1], &image, "fp32");
    printf("%-60s %8s %8s %8s %8s %s\n", "precision", kinds[0], kinds[1], kinds[2], kinds[3], "detections");
    printf("%-60s %8d %8d %8d %8d %zu\n", "fp32", 0, 0, 0, 0, wanted.detections);
    for (int i = 3; i < argc; i++) {
        outcome got = run(argv[1], &image, argv[i]);
        printf("%-60s", argv[i]);
        for (int k = 0; k < KINDS; k++) {
            if (k < KINDS - 1 || same_proposals(&wanted, &got)) {
                printf(" %8.4f", difference(&wanted, &got, kinds[k]));
            } else {
                printf(" %8s", "-");
            }
        }
        printf(" %zu\n", got.detections);
        forget(&got);
    }
    forget(&wanted);
    pt_measure_image_free(&image);
    return 0;
}
