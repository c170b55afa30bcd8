/* The two heads that look at regions: the box head on all proposals, the mask head on the final detections.
 */
#ifndef PANTILE_ENGINE_OPS_HEADS_H
#define PANTILE_ENGINE_OPS_HEADS_H

#include "engine/backend/backend.h"
#include "engine/ops/detections.h"
#include "engine/ops/roi_align.h"

enum {
    PT_MASK_MAX_CONVS = 16,
    /* Regions that go through the mask head together: enough pixels to keep every core busy, few enough for
     * the activations to stay near the caches. Measured: 8 to 64 are within 5% of each other on two cores. */
    PT_MASK_CHUNK = 32,
};

/* Layers are owned by whoever fills the struct in. */
typedef struct pt_box_head {
    int channels, roi_size;           /* of the pyramid; cells a side */
    int width, classes;               /* of fc6 and fc7 */
    pt_linear *fc6, *fc7, *predictor; /* predictor: classes logits, then 4 * classes deltas */
} pt_box_head;

/* Floats of working memory for `count` regions: features, two hidden layers, answers. */
typedef struct pt_box_buffers {
    float *features;  /* count * channels * roi_size^2 */
    float *hidden[2]; /* count * width each */
    float *answers;   /* count * 5 * classes */
} pt_box_buffers;

void pt_box_head_run(const pt_box_head *head, pt_backend *backend, const pt_pyramid *pyramid,
                     pt_roi_space *space, const pt_box *proposals, size_t count,
                     const pt_box_buffers *buffers);

typedef struct pt_mask_head {
    int in_channels, channels, roi_size, classes;
    int conv_count;
    pt_conv *convs[PT_MASK_MAX_CONVS];
    pt_conv *deconv; /* as a 1x1 convolution with 4 * channels outputs: channel by channel, sub-position by
                        sub-position (dy, dx) */
    float *weights;  /* classes x channels */
    float *bias;
} pt_mask_head;

typedef struct pt_mask_buffers {
    float *maps[2];  /* max(in_channels, channels) * PT_MASK_CHUNK * roi_size^2 each */
    float *expanded; /* 4 * channels * PT_MASK_CHUNK * roi_size^2 */
} pt_mask_buffers;

/* Prepares the backend for a chunk. */
pt_status pt_mask_head_reserve(const pt_mask_head *head, pt_backend *backend);
/* masks: count * (2 * roi_size)^2 logits of each detection's own class. */
void pt_mask_head_run(const pt_mask_head *head, pt_backend *backend, const pt_pyramid *pyramid,
                      pt_roi_space *space, const pt_found *found, size_t count,
                      const pt_mask_buffers *buffers, float *masks);

#endif
