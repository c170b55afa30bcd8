/* Private to the network: network.c builds, detect.c runs, report.c says what it costs. */
#ifndef PANTILE_ENGINE_GRAPH_NETWORK_INTERNAL_H
#define PANTILE_ENGINE_GRAPH_NETWORK_INTERNAL_H

#include "engine/graph/network.h"
#include "engine/graph/parts.h"
#include "engine/ops/roi_align.h"
#include "engine/ops/rpn.h"

/* Regions that go through the mask head together: enough pixels to keep every core busy, few enough for the
 * activations to stay near the caches. Measured: 8 to 64 are within 5% of each other on two cores. */
enum { PT_MASK_CHUNK = 32 };

/* What happens between the layers, in order. */
typedef enum pt_stage_name {
    PT_STAGE_IMAGE,
    PT_STAGE_PROPOSE,
    PT_STAGE_BOX_ROI,
    PT_STAGE_SELECT,
    PT_STAGE_MASK_ROI,
    PT_STAGE_LOGITS,
    PT_STAGES
} pt_stage_name;

typedef struct pt_stage {
    double seconds; /* since timing began */
    uint64_t runs;
} pt_stage;

struct pt_network {
    pt_model_config config; /* the model's, with the options' thresholds and caps */
    pt_backend *backend;
    pt_parts parts;
    int box_buffer, mask_buffer; /* of the image graph: the arenas of the heads' graphs */
    pt_rpn *rpn;
    pt_select *select;
    pt_roi_space roi_space;
    int width, height, padded_width, padded_height; /* as planned; 0: not yet */
    double plan_seconds;                            /* of the last plan that was not there yet */
    size_t proposals, detections;                   /* of the last run */
    bool timed;
    pt_stage stages[PT_STAGES];
    pt_tap *tap;
    void *tap_user;
};

double pt_network_clock(void); /* seconds, monotonic */

#endif
