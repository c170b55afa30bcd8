/* How well what was found on tiles agrees with what should have been: F1 at IoU 0.5 and AP of masks.
 *
 * Life cycle: zeroed -> pt_tune_score_add per tile -> pt_tune_score_f1, _ap -> pt_tune_score_fini. */
#ifndef PANTILE_CLI_TUNE_SCORE_H
#define PANTILE_CLI_TUNE_SCORE_H

#include "tiling/instance/instance.h"

enum { PT_TUNE_IOUS = 10 }; /* 0.50, 0.55, ... 0.95 */

typedef struct pt_tune_found {
    float score;
    bool hit[PT_TUNE_IOUS]; /* matched at that IoU */
} pt_tune_found;

typedef struct pt_tune_score {
    int64_t truth;
    pt_tune_found *found; /* owned */
    size_t count, capacity;
} pt_tune_score;

void pt_tune_score_fini(pt_tune_score *score);
/* Of one tile. By falling score each takes the free truth of its class with the highest IoU, as COCO matches,
 * for every IoU anew. PT_E_NOMEM. */
pt_status pt_tune_score_add(pt_tune_score *score, const pt_instance_list *truth,
                            const pt_instance_list *found);
/* Of those with at least this score. 1 when there is neither truth nor anything found. */
double pt_tune_score_f1(const pt_tune_score *score, double least);
/* Mean over the IoUs of the interpolated precision at 101 recalls, all classes together; 1 without truth when
 * nothing was found. Sorts what was found. */
double pt_tune_score_ap(pt_tune_score *score);

#endif
