/* Private to tiling/evaluate: greedy matching and what follows from it, on plain numbers. */
#ifndef PANTILE_TILING_EVALUATE_MATCH_H
#define PANTILE_TILING_EVALUATE_MATCH_H

#include "tiling/evaluate/evaluate.h"

typedef struct pt_pair {
    int32_t predicted, truth; /* indices below */
    double iou;               /* > 0 */
} pt_pair;

/* One class. Predictions stand by falling score, pairs by prediction, then truth. */
typedef struct pt_contest {
    const double *scores;          /* borrowed, predicted_count */
    const bool *predicted_ignored; /* borrowed */
    size_t predicted_count;
    const bool *truth_ignored; /* borrowed */
    size_t truth_count;
    const pt_pair *pairs; /* borrowed */
    size_t pair_count;
} pt_contest;

/* Fills everything of *out but the name; sum_iou and sum_best allow pooling. */
typedef struct pt_sums {
    double iou_of_hits, best_of_truth;
} pt_sums;

pt_status pt_contest_score(const pt_contest *contest, double min_score, pt_score *out, pt_sums *sums);

/* precision, recall, f1, pq, sq, rq, mean_iou from counts and sums. */
void pt_score_quotients(pt_score *score, const pt_sums *sums);

#endif
