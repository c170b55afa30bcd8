#include "cli/tune_score.h"

#include <stdlib.h>
#include <string.h>

enum { RECALLS = 101 };

void pt_tune_score_fini(pt_tune_score *score)
{
    pt_free(score->found);
    memset(score, 0, sizeof *score);
}

static double iou(const pt_instance *a, const pt_instance *b)
{
    pt_rect both = pt_rect_intersect(a->mask.box, b->mask.box);
    if (a->class_id != b->class_id || pt_rect_is_empty(both)) {
        return 0;
    }
    int64_t shared = pt_mask_intersection_in(&a->mask, &b->mask, both);
    return (double)shared / (double)(a->mask.area + b->mask.area - shared);
}

static int by_score(const void *a, const void *b)
{
    float x = (*(const pt_instance *const *)a)->score, y = (*(const pt_instance *const *)b)->score;
    return (x < y) - (x > y);
}

/* Marks the best free truth as taken; false when none has the IoU. */
static bool take_best(const double *ious, size_t count, double least, bool *taken)
{
    size_t best = count;
    for (size_t t = 0; t < count; t++) {
        if (!taken[t] && ious[t] >= least && (best == count || ious[t] > ious[best])) {
            best = t;
        }
    }
    if (best < count) {
        taken[best] = true;
    }
    return best < count;
}

/* `ious`: found x truth. */
static void match(const double *ious, size_t truth, size_t found, bool *taken, pt_tune_found *out)
{
    for (int level = 0; level < PT_TUNE_IOUS; level++) {
        memset(taken, 0, truth);
        for (size_t f = 0; f < found; f++) {
            out[f].hit[level] = take_best(ious + f * truth, truth, 0.5 + 0.05 * level, taken);
        }
    }
}

pt_status pt_tune_score_add(pt_tune_score *score, const pt_instance_list *truth,
                            const pt_instance_list *found)
{
    size_t pairs;
    PT_TRY(pt_grow(&score->found, &score->capacity, score->count + found->count, sizeof *score->found));
    if (!pt_size_mul(truth->count, found->count, &pairs)) {
        return PT_NOMEM("the comparison of a tile");
    }
    const pt_instance **sorted = pt_calloc(found->count, sizeof *sorted);
    double *ious = pt_calloc(pairs, sizeof *ious);
    bool *taken = pt_calloc(truth->count, sizeof *taken);
    pt_status status = pt_ok();
    if (!sorted || !ious || !taken) {
        status = PT_NOMEM("the comparison of a tile");
        goto out;
    }
    for (size_t f = 0; f < found->count; f++) {
        sorted[f] = &found->items[f];
    }
    qsort(sorted, found->count, sizeof *sorted, by_score);
    for (size_t f = 0; f < found->count; f++) {
        score->found[score->count + f] = (pt_tune_found){.score = sorted[f]->score};
        for (size_t t = 0; t < truth->count; t++) {
            ious[f * truth->count + t] = iou(sorted[f], &truth->items[t]);
        }
    }
    match(ious, truth->count, found->count, taken, score->found + score->count);
    score->count += found->count;
    score->truth += (int64_t)truth->count;
out:
    pt_free(sorted);
    pt_free(ious);
    pt_free(taken);
    return status;
}

double pt_tune_score_f1(const pt_tune_score *score, double least)
{
    int64_t found = 0, hits = 0;
    for (size_t i = 0; i < score->count; i++) {
        bool counts = (double)score->found[i].score >= least;
        found += counts;
        hits += counts && score->found[i].hit[0];
    }
    int64_t all = found + score->truth;
    return all > 0 ? 2 * (double)hits / (double)all : 1;
}

static int by_falling_score(const void *a, const void *b)
{
    const pt_tune_found *x = a, *y = b;
    if (x->score != y->score) {
        return x->score < y->score ? 1 : -1;
    }
    return memcmp(y->hit, x->hit, sizeof x->hit); /* the same order whatever the sort does with equals */
}

/* The precision at a recall is the best at that recall or a higher one: walked from the end, it only rises.
 */
static double ap_at(const pt_tune_score *score, int level)
{
    int64_t hits = 0;
    for (size_t i = 0; i < score->count; i++) {
        hits += score->found[i].hit[level];
    }
    double best = 0, sum = 0;
    int recall = RECALLS - 1;
    for (size_t i = score->count; i > 0 && recall >= 0; i--) {
        while (recall >= 0 && hits * (RECALLS - 1) < recall * score->truth) {
            sum += best;
            recall--;
        }
        double precision = (double)hits / (double)i;
        best = precision > best ? precision : best;
        hits -= score->found[i - 1].hit[level];
    }
    return (sum + best * (recall + 1)) / RECALLS;
}

double pt_tune_score_ap(pt_tune_score *score)
{
    if (score->truth == 0 || score->count == 0) {
        return score->truth == 0 && score->count == 0 ? 1 : 0;
    }
    qsort(score->found, score->count, sizeof *score->found, by_falling_score);
    double sum = 0;
    for (int level = 0; level < PT_TUNE_IOUS; level++) {
        sum += ap_at(score, level);
    }
    return sum / PT_TUNE_IOUS;
}
