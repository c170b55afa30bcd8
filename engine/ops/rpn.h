/* Proposals from the region proposal network's answers: per level the best anchors, decoded, clipped to the
 * image, without the tiny ones, suppressed; then the best of all levels. As torchvision's
 * RegionProposalNetwork; ties are broken by level, row, column, anchor. */
#ifndef PANTILE_ENGINE_OPS_RPN_H
#define PANTILE_ENGINE_OPS_RPN_H

#include "engine/backend/pool.h"
#include "engine/kernels/map.h"
#include "engine/ops/box.h"

enum { PT_RPN_MAX_LEVELS = 8, PT_RPN_MAX_ANCHORS = 64 };

typedef struct pt_rpn_params {
    int levels;
    int anchors; /* per cell */
    pt_box base[PT_RPN_MAX_LEVELS][PT_RPN_MAX_ANCHORS];
    int pre_nms, post_nms; /* caps per level and per image */
    float nms_threshold, score_threshold, min_size;
    float weights[4];
} pt_rpn_params;

typedef struct pt_rpn pt_rpn;

pt_status pt_rpn_new(const pt_rpn_params *params, pt_rpn **out);
void pt_rpn_free(pt_rpn **rpn);

typedef struct pt_proposals {
    const pt_box *boxes; /* falling objectness; valid until the next run */
    const float *scores;
    size_t count;
    int caps; /* how often a cap cut off anchors or proposals with an objectness of 0.5 or more */
} pt_proposals;

/* maps[level]: F32, 5 * anchors channels (objectness of each anchor, then dx, dy, dw, dh of each), n = 1. The
 * image is width x height pixels and lies in the padded one, whose size gives the strides as torchvision
 * computes them. */
pt_proposals pt_rpn_run(pt_rpn *rpn, pt_pool *pool, const pt_map *maps, int padded_width, int padded_height,
                        int width, int height);

#endif
