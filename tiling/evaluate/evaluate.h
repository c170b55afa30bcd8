/* Compares predicted with true polygons: AP, precision, recall, F1 and PQ, per class and over all.
 *
 * Matching is greedy as COCO does it: predictions by falling score (ties in the file's order), each takes the
 * free truth with the highest IoU at or above the threshold. What is matched to an ignored truth, and what is
 * itself ignored and matches nothing, counts for nothing. AP is the mean of the interpolated precision at 101
 * recalls. PQ = SQ * RQ counts all predictions at or above `min_score` at IoU 0.5, where SQ is the mean IoU
 * of the hits and RQ is F1.
 *
 * Geometries are compared in WGS 84 degrees (IoU does not change under the locally affine map to metres), or
 * as they are when a file has no CRS (both must then lack it). Any vector file that OGR opens will do; the
 * first layer that may hold polygons is read, invalid polygons are repaired, other geometries skipped with a
 * warning.
 *
 * The score is the attribute "score", 1 where it is missing. When only one of the two files has classes, or
 * neither has, everything is one class named "object".
 */
#ifndef PANTILE_TILING_EVALUATE_EVALUATE_H
#define PANTILE_TILING_EVALUATE_EVALUATE_H

#include "tiling/base/base.h"

#include <stdint.h>

typedef struct pt_evaluate_options {
    double min_score; /* predictions below it count for AP but not for precision, recall, F1, PQ; default 0 */
    /* Vector or raster file, or NULL. Truth less than half inside its polygons or footprint is ignored, and
     * so are unmatched predictions less than half inside. */
    const char *within;
    const char *class_field; /* attribute with the class; NULL: "class", else "class_id" */
} pt_evaluate_options;

pt_evaluate_options pt_evaluate_defaults(void);

/* Quotients of nothing by nothing are 0, so a class without truth has AP 0. */
typedef struct pt_score {
    char name[64];                  /* class, or "all" */
    int64_t truth, predicted, hits; /* not ignored; at IoU 0.5 and min_score */
    double precision, recall, f1, pq, sq, rq;
    double
        mean_iou; /* over the truth: highest IoU with any prediction at or above min_score, 0 without one */
    double ap50, ap75,
        ap; /* ap: mean over IoU 0.50, 0.55, ... 0.95; of "all": means over classes with truth */
} pt_score;

typedef struct pt_evaluation {
    pt_score all;      /* counts pooled over the classes */
    pt_score *classes; /* owned; by name */
    size_t class_count;
} pt_evaluation;

/* PT_E_INPUT: a file that cannot be read to its end, CRS on one side only, a class_field that neither has. */
pt_status pt_evaluate(const char *predicted, const char *truth, const pt_evaluate_options *options,
                      pt_evaluation *out);
void pt_evaluation_fini(pt_evaluation *evaluation);

#endif
