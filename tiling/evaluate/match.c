#include "tiling/evaluate/match.h"

#include <math.h>

enum { THRESHOLDS = 10, RECALLS = 101 };

typedef enum outcome { MISS, HIT, IGNORED } outcome;

static double over(double a, double b)
{
    return b > 0 ? a / b : 0;
}

/* COCO's rule (pycocotools, COCOeval.evaluateImg): the best free truth that counts goes before any that is
 * ignored; what matches an ignored truth, or nothing while itself ignored, is ignored. */
static void match(const pt_contest *c, double threshold, bool *taken, outcome *outcomes, double *iou)
{
    for (size_t t = 0; t < c->truth_count; t++) {
        taken[t] = false;
    }
    size_t k = 0;
    for (size_t p = 0; p < c->predicted_count; p++) {
        const pt_pair *best = NULL;
        for (; k < c->pair_count && c->pairs[k].predicted == (int32_t)p; k++) {
            const pt_pair *pair = &c->pairs[k];
            if (taken[pair->truth] || pair->iou < threshold) {
                continue;
            }
            bool ignored = c->truth_ignored[pair->truth];
            bool best_ignored = best && c->truth_ignored[best->truth];
            if (!best || (best_ignored && !ignored) || (best_ignored == ignored && pair->iou > best->iou)) {
                best = pair;
            }
        }
        outcomes[p] = best                      ? c->truth_ignored[best->truth] ? IGNORED : HIT
                      : c->predicted_ignored[p] ? IGNORED
                                                : MISS;
        iou[p] = best ? best->iou : 0;
        if (best) {
            taken[best->truth] = true;
        }
    }
}

/* The mean over recalls 0, 0.01, ... 1 of the highest precision at that recall or a higher one. */
static double average_precision(const pt_contest *c, int64_t truth, const outcome *outcomes,
                                double *precision, double *recall)
{
    int64_t hits = 0, misses = 0;
    size_t count = 0;
    for (size_t p = 0; p < c->predicted_count; p++) {
        if (outcomes[p] != IGNORED) {
            hits += outcomes[p] == HIT;
            misses += outcomes[p] == MISS;
            precision[count] = (double)hits / (double)(hits + misses);
            recall[count++] = (double)hits / (double)truth;
        }
    }
    for (size_t i = count; i-- > 1;) {
        precision[i - 1] = fmax(precision[i - 1], precision[i]);
    }
    double sum = 0;
    size_t at = 0;
    for (int i = 0; i < RECALLS; i++) {
        while (at < count && recall[at] < i / 100.0) {
            at++;
        }
        sum += at < count ? precision[at] : 0;
    }
    return sum / RECALLS;
}

static void count_hits(const pt_contest *c, double min_score, const outcome *outcomes, const double *iou,
                       pt_score *score, pt_sums *sums)
{
    for (size_t p = 0; p < c->predicted_count && c->scores[p] >= min_score; p++) {
        score->predicted += outcomes[p] != IGNORED;
        if (outcomes[p] == HIT) {
            score->hits++;
            sums->iou_of_hits += iou[p];
        }
    }
}

static void sum_best(const pt_contest *c, double min_score, double *best, pt_sums *sums)
{
    for (size_t t = 0; t < c->truth_count; t++) {
        best[t] = 0;
    }
    for (size_t k = 0; k < c->pair_count; k++) {
        const pt_pair *pair = &c->pairs[k];
        if (c->scores[pair->predicted] >= min_score) {
            best[pair->truth] = fmax(best[pair->truth], pair->iou);
        }
    }
    for (size_t t = 0; t < c->truth_count; t++) {
        sums->best_of_truth += c->truth_ignored[t] ? 0 : best[t];
    }
}

void pt_score_quotients(pt_score *s, const pt_sums *sums)
{
    s->precision = over((double)s->hits, (double)s->predicted);
    s->recall = over((double)s->hits, (double)s->truth);
    s->f1 = over(2 * (double)s->hits, (double)(s->predicted + s->truth));
    s->rq = s->f1;
    s->sq = over(sums->iou_of_hits, (double)s->hits);
    s->pq = s->sq * s->rq;
    s->mean_iou = over(sums->best_of_truth, (double)s->truth);
}

pt_status pt_contest_score(const pt_contest *c, double min_score, pt_score *out, pt_sums *sums_out)
{
    size_t n = c->predicted_count;
    bool *taken = pt_alloc(c->truth_count, sizeof *taken);
    outcome *outcomes = pt_alloc(n, sizeof *outcomes);
    double *iou = pt_alloc(n, sizeof *iou), *precision = pt_alloc(n, sizeof *precision);
    double *recall = pt_alloc(n, sizeof *recall), *best = pt_alloc(c->truth_count, sizeof *best);
    pt_status status = pt_ok();
    pt_score score = {.truth = 0};
    pt_sums sums = {0};
    if (!taken || !outcomes || !iou || !precision || !recall || !best) {
        status = PT_NOMEM("matching polygons");
        goto out;
    }
    for (size_t t = 0; t < c->truth_count; t++) {
        score.truth += !c->truth_ignored[t];
    }
    for (int i = 0; i < THRESHOLDS; i++) {
        match(c, (50 + 5 * i) / 100.0, taken, outcomes, iou);
        double ap = score.truth > 0 ? average_precision(c, score.truth, outcomes, precision, recall) : 0;
        score.ap += ap / THRESHOLDS;
        if (i == 0) {
            score.ap50 = ap;
            count_hits(c, min_score, outcomes, iou, &score, &sums);
        } else if (i == 5) {
            score.ap75 = ap;
        }
    }
    sum_best(c, min_score, best, &sums);
    pt_score_quotients(&score, &sums);
    *out = score;
    *sums_out = sums;
out:
    pt_free(taken);
    pt_free(outcomes);
    pt_free(iou);
    pt_free(precision);
    pt_free(recall);
    pt_free(best);
    return status;
}
