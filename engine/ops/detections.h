/* Detections from the box head's answers: per proposal a softmax over the classes, per class a box; without
 * weak and tiny ones, suppressed class by class, the best of them. As torchvision's
 * RoIHeads.postprocess_detections; ties are broken by proposal, then class. */
#ifndef PANTILE_ENGINE_OPS_DETECTIONS_H
#define PANTILE_ENGINE_OPS_DETECTIONS_H

#include "engine/ops/box.h"
#include "tiling/base/status.h"

typedef struct pt_select_params {
    int classes; /* background, class 0, included */
    float weights[4];
    float score_threshold; /* a score must be above it */
    float nms_threshold, min_size;
    int max_detections;
} pt_select_params;

typedef struct pt_found {
    pt_box box;
    float score;
    int class_id;
} pt_found;

typedef struct pt_select pt_select;

/* For up to `proposals` of them at a time. */
pt_status pt_select_new(const pt_select_params *params, size_t proposals, pt_select **out);
void pt_select_free(pt_select **select);

/* answers: count rows of `classes` logits and 4 * classes deltas; the logits become probabilities in place.
 * Returns how many were found (falling score; *items is valid until the next run); *capped when the cap cut
 * some off. */
size_t pt_select_run(pt_select *select, float *answers, const pt_box *proposals, size_t count, int width,
                     int height, const pt_found **items, bool *capped);

#endif
