/* Compares predicted with true polygons: AP, precision, recall, F1 and PQ, per class and over all.
 *
 * Matching is greedy as COCO does it: predictions by falling score, each takes the free truth with the highest
 * IoU at or above the threshold. AP is the mean of precision at 101 recalls. PQ counts all predictions at or
 * above `min_score` at IoU 0.5: sum of IoU of hits / (TP + FP / 2 + FN / 2).
 *
 * Geometries are compared in WGS 84 degrees (IoU does not change under the locally affine map to metres), or
 * as they are when a file has no CRS (both must then lack it). Any vector file that OGR opens will do.
 */
#ifndef PANTILE_TILING_EVALUATE_EVALUATE_H
#define PANTILE_TILING_EVALUATE_EVALUATE_H

#include "tiling/base/base.h"

#include <stdint.h>

typedef struct pt_evaluate_options {
    double min_score;   /* predictions below it count for AP but not for precision, recall, F1, PQ; default 0 */
    const char *within; /* vector or raster file, or NULL: truth less than half inside its extent is ignored, and so
                           are predictions with less than half inside */
    const char *class_field; /* attribute holding the class, default "class"; a layer without it has one class */
} pt_evaluate_options;

pt_evaluate_options pt_evaluate_defaults(void);

typedef struct pt_score {
    char name[64]; /* class, or "all" */
    int64_t truth, predicted, hits; /* at IoU 0.5 and min_score */
    double precision, recall, f1, pq, sq, rq, mean_iou;
    double ap50, ap75, ap; /* ap: mean over IoU 0.50, 0.55, ... 0.95 */
} pt_score;

typedef struct pt_evaluation {
    pt_score all;
    pt_score *classes; /* owned */
    size_t class_count;
} pt_evaluation;

pt_status pt_evaluate(const char *predicted, const char *truth, const pt_evaluate_options *options,
                      pt_evaluation *out);
void pt_evaluation_fini(pt_evaluation *evaluation);

#endif
