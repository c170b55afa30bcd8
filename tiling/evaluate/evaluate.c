#include "tiling/evaluate/evaluate.h"

#include "tiling/evaluate/layer.h"
#include "tiling/evaluate/match.h"

#include <cpl_error.h>
#include <gdal.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One class of both layers. */
typedef struct side {
    const pt_shape_item **items; /* owned array of borrowed items */
    bool *ignored;               /* owned */
    double *scores;              /* owned */
    size_t count;
} side;

typedef struct pairs {
    pt_pair *items;
    size_t count, capacity;
} pairs;

/* A query of the tree: one prediction against the truth around it. */
typedef struct query {
    GEOSContextHandle_t geos;
    const side *truth;
    const pt_shape_item *predicted;
    int32_t index;
    pairs *found;
    pt_status status;
} query;

pt_evaluate_options pt_evaluate_defaults(void)
{
    return (pt_evaluate_options){.min_score = 0};
}

static void side_fini(side *s)
{
    pt_free(s->items);
    pt_free(s->ignored);
    pt_free(s->scores);
    *s = (side){0};
}

static int by_falling_score(const void *a, const void *b)
{
    const pt_shape_item *p = *(const pt_shape_item *const *)a, *q = *(const pt_shape_item *const *)b;
    if (p->score != q->score) {
        return p->score > q->score ? -1 : 1;
    }
    return p < q ? -1 : p > q; /* the file's order: items lie in one array */
}

static pt_status side_init(const pt_layer *layer, int32_t class_id, side *out)
{
    side s = {.items = pt_alloc(layer->count, sizeof *s.items),
              .ignored = pt_alloc(layer->count, sizeof *s.ignored),
              .scores = pt_alloc(layer->count, sizeof *s.scores)};
    if (!s.items || !s.ignored || !s.scores) {
        side_fini(&s);
        return PT_NOMEM("comparing polygons");
    }
    for (size_t i = 0; i < layer->count; i++) {
        if (layer->items[i].class_id == class_id) {
            s.items[s.count++] = &layer->items[i];
        }
    }
    qsort(s.items, s.count, sizeof *s.items, by_falling_score);
    for (size_t i = 0; i < s.count; i++) {
        s.ignored[i] = s.items[i]->ignored;
        s.scores[i] = s.items[i]->score;
    }
    *out = s;
    return pt_ok();
}

static void compare(void *item, void *user)
{
    query *q = user;
    if (q->status.code != PT_OK) {
        return;
    }
    int32_t t = (int32_t)((const pt_shape_item *const *)item - q->truth->items);
    const pt_shape_item *truth = q->truth->items[t];
    double common = 0;
    GEOSGeometry *both = GEOSIntersection_r(q->geos, q->predicted->geometry, truth->geometry);
    if (!both || !GEOSArea_r(q->geos, both, &common)) {
        q->status = pt_error(PT_E_INTERNAL, "GEOS could not intersect two polygons");
    }
    GEOSGeom_destroy_r(q->geos, both);
    if (q->status.code == PT_OK && common > 0) {
        q->status =
            pt_grow(&q->found->items, &q->found->capacity, q->found->count + 1, sizeof *q->found->items);
    }
    if (q->status.code == PT_OK && common > 0) {
        double iou = common / (q->predicted->area + truth->area - common);
        q->found->items[q->found->count++] = (pt_pair){q->index, t, iou};
    }
}

static int by_prediction(const void *a, const void *b)
{
    const pt_pair *p = a, *q = b;
    if (p->predicted != q->predicted) {
        return p->predicted < q->predicted ? -1 : 1;
    }
    return p->truth < q->truth ? -1 : p->truth > q->truth;
}

static pt_status find_pairs(GEOSContextHandle_t geos, const side *predicted, const side *truth, pairs *out)
{
    if (predicted->count == 0 || truth->count == 0) {
        return pt_ok();
    }
    GEOSSTRtree *tree = GEOSSTRtree_create_r(geos, 10);
    if (!tree) {
        return PT_NOMEM("an index of polygons");
    }
    for (size_t i = 0; i < truth->count; i++) {
        GEOSSTRtree_insert_r(geos, tree, truth->items[i]->geometry, &truth->items[i]);
    }
    query q = {.geos = geos, .truth = truth, .found = out, .status = pt_ok()};
    for (size_t i = 0; i < predicted->count && q.status.code == PT_OK; i++) {
        q.predicted = predicted->items[i];
        q.index = (int32_t)i;
        GEOSSTRtree_query_r(geos, tree, q.predicted->geometry, compare, &q);
    }
    GEOSSTRtree_destroy_r(geos, tree);
    if (out->count > 1) {
        qsort(out->items, out->count, sizeof *out->items, by_prediction);
    }
    return q.status;
}

static pt_status score_class(const pt_layer *predicted, const pt_layer *truth, int32_t class_id,
                             double min_score, pt_score *out, pt_sums *sums)
{
    side p = {0}, t = {0};
    pairs found = {0};
    pt_status status;
    PT_TRY_OUT(side_init(predicted, class_id, &p));
    PT_TRY_OUT(side_init(truth, class_id, &t));
    PT_TRY_OUT(find_pairs(predicted->geos, &p, &t, &found));
    pt_contest contest = {p.scores, p.ignored, p.count, t.ignored, t.count, found.items, found.count};
    status = pt_contest_score(&contest, min_score, out, sums);
out:
    side_fini(&p);
    side_fini(&t);
    pt_free(found.items);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const pt_score *)a)->name, ((const pt_score *)b)->name);
}

static void pool(pt_score *all, pt_sums *sums, const pt_score *one, const pt_sums *of_one)
{
    all->truth += one->truth;
    all->predicted += one->predicted;
    all->hits += one->hits;
    sums->iou_of_hits += of_one->iou_of_hits;
    sums->best_of_truth += of_one->best_of_truth;
    if (one->truth > 0) {
        all->ap += one->ap;
        all->ap50 += one->ap50;
        all->ap75 += one->ap75;
    }
}

static pt_status score_all(const pt_layer *predicted, const pt_layer *truth, const pt_names *names,
                           double min_score, pt_evaluation *out)
{
    pt_evaluation e = {.classes = pt_calloc(names->count, sizeof *e.classes)};
    pt_sums sums = {0};
    int with_truth = 0;
    if (!e.classes) {
        return PT_NOMEM("the classes' scores");
    }
    for (size_t i = 0; i < names->count; i++) {
        pt_sums of_one = {0};
        pt_score *one = &e.classes[e.class_count++];
        pt_status status = score_class(predicted, truth, (int32_t)i, min_score, one, &of_one);
        if (status.code != PT_OK) {
            pt_evaluation_fini(&e);
            return status;
        }
        memcpy(one->name, names->items[i], sizeof one->name);
        pool(&e.all, &sums, one, &of_one);
        with_truth += one->truth > 0;
    }
    qsort(e.classes, e.class_count, sizeof *e.classes, by_name);
    snprintf(e.all.name, sizeof e.all.name, "all");
    pt_score_quotients(&e.all, &sums);
    e.all.ap /= with_truth ? with_truth : 1;
    e.all.ap50 /= with_truth ? with_truth : 1;
    e.all.ap75 /= with_truth ? with_truth : 1;
    *out = e;
    return pt_ok();
}

/* One class for everything unless both layers tell theirs. */
static pt_status settle_classes(pt_layer *predicted, pt_layer *truth, pt_names *names)
{
    int32_t only;
    if (predicted->has_classes && truth->has_classes && names->count > 0) {
        return pt_ok();
    }
    names->count = 0;
    PT_TRY(pt_names_find(names, "object", &only));
    for (size_t i = 0; i < predicted->count; i++) {
        predicted->items[i].class_id = only;
    }
    for (size_t i = 0; i < truth->count; i++) {
        truth->items[i].class_id = only;
    }
    return pt_ok();
}

static pt_status apply_within(const char *within, pt_layer *predicted, pt_layer *truth)
{
    GEOSGeometry *extent = NULL;
    PT_TRY(pt_extent_read(truth->geos, within, truth->has_crs, &extent));
    pt_status status = pt_layer_ignore_outside(predicted, extent);
    if (status.code == PT_OK) {
        status = pt_layer_ignore_outside(truth, extent);
    }
    GEOSGeom_destroy_r(truth->geos, extent);
    return status;
}

static pt_status evaluate(GEOSContextHandle_t geos, const char *const paths[2],
                          const pt_evaluate_options *options, pt_evaluation *out)
{
    pt_names names = {0};
    pt_layer predicted = {0}, truth = {0};
    pt_status status;
    PT_TRY_OUT(pt_layer_read(geos, paths[0], options->class_field, &names, &predicted));
    PT_TRY_OUT(pt_layer_read(geos, paths[1], options->class_field, &names, &truth));
    if (predicted.has_crs != truth.has_crs) {
        status = pt_error(PT_E_INPUT,
                          "%s has no coordinate reference system and %s has one; they cannot be compared",
                          predicted.has_crs ? paths[1] : paths[0], predicted.has_crs ? paths[0] : paths[1]);
        goto out;
    }
    if (options->class_field && !predicted.has_classes && !truth.has_classes) {
        status = pt_error(PT_E_INPUT, "neither %s nor %s has an attribute \"%s\"", paths[0], paths[1],
                          options->class_field);
        goto out;
    }
    PT_TRY_OUT(settle_classes(&predicted, &truth, &names));
    if (options->within) {
        PT_TRY_OUT(apply_within(options->within, &predicted, &truth));
    }
    status = score_all(&predicted, &truth, &names, options->min_score, out);
out:
    pt_layer_fini(&predicted);
    pt_layer_fini(&truth);
    pt_free(names.items);
    return status;
}

static void ignore_message(const char *message, void *user)
{
    (void)message;
    (void)user;
}

pt_status pt_evaluate(const char *predicted, const char *truth, const pt_evaluate_options *options,
                      pt_evaluation *out)
{
    if (!isfinite(options->min_score)) {
        return pt_error(PT_E_USAGE, "the lowest score is %g; it must be a number", options->min_score);
    }
    GDALAllRegister();
    GEOSContextHandle_t geos = GEOS_init_r();
    if (!geos) {
        return PT_NOMEM("GEOS");
    }
    GEOSContext_setErrorMessageHandler_r(geos, ignore_message, NULL);
    CPLPushErrorHandler(CPLQuietErrorHandler);
    CPLErrorReset();
    pt_status status = evaluate(geos, (const char *const[]){predicted, truth}, options, out);
    CPLPopErrorHandler();
    GEOS_finish_r(geos);
    return status;
}

void pt_evaluation_fini(pt_evaluation *evaluation)
{
    pt_free(evaluation->classes);
    *evaluation = (pt_evaluation){.classes = NULL};
}
