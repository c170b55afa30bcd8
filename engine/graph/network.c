#include "engine/graph/network.h"

#include "engine/graph/build.h"
#include "engine/ops/mask_logits.h"
#include "engine/ops/roi_align.h"
#include "engine/ops/rpn.h"
#include "tiling/base/alloc.h"

#include <string.h>

enum {
    SIZE_DIVISOR = 32, /* torchvision pads images to a multiple of it, whatever the strides */
    /* Regions that go through the mask head together: enough pixels to keep every core busy, few enough for
     * the activations to stay near the caches. Measured: 8 to 64 are within 5% of each other on two cores. */
    MASK_CHUNK = 32,
};

struct pt_network {
    pt_model_config config; /* the model's, with the options' thresholds and caps */
    pt_backend *backend;
    pt_parts parts;
    int box_buffer, mask_buffer; /* of the image graph: the arenas of the heads' graphs */
    pt_rpn *rpn;
    pt_select *select;
    pt_roi_space roi_space;
    int width, height, padded_width, padded_height; /* as planned */
    pt_tap *tap;
    void *tap_user;
};

static pt_status make_rpn(pt_network *network)
{
    const pt_model_config *c = &network->config;
    pt_rpn_params params = {
        .levels = c->level_count,
        .anchors = c->anchors_per_cell,
        .pre_nms = c->rpn_pre_nms,
        .post_nms = c->rpn_post_nms,
        .nms_threshold = c->rpn_nms_threshold,
        .score_threshold = c->rpn_score_threshold,
        .min_size = c->rpn_min_size,
    };
    memcpy(params.weights, c->rpn_box_weights, sizeof params.weights);
    for (int l = 0; l < c->level_count; l++) {
        pt_anchors_of_cell(c->anchor_sizes[l], c->anchor_size_count[l], c->anchor_ratios,
                           c->anchor_ratio_count, params.base[l]);
    }
    return pt_rpn_new(&params, &network->rpn);
}

static pt_status make_select(pt_network *network)
{
    const pt_model_config *c = &network->config;
    pt_select_params params = {
        .classes = c->class_count,
        .score_threshold = c->score_threshold,
        .nms_threshold = c->nms_threshold,
        .min_size = c->min_box_size,
        .max_detections = c->max_detections,
    };
    memcpy(params.weights, c->box_weights, sizeof params.weights);
    return pt_select_new(&params, (size_t)c->rpn_post_nms, &network->select);
}

/* The heads are planned once, for the most regions of a run; their arenas lie over the memory of the
 * backbone, whose maps are no longer needed then. */
static pt_status plan_head(pt_network *network, pt_graph *head, int regions, int side, int step, int *buffer)
{
    pt_graph_bind(head, NULL);
    PT_TRY(pt_graph_plan(head, regions, side, side));
    size_t bytes = pt_graph_arena_bytes(head) + PT_MAP_SLACK;
    return pt_graph_buffer(network->parts.image, bytes, step, step, buffer);
}

static pt_status plan_heads(pt_network *network)
{
    const pt_model_config *c = &network->config;
    PT_TRY(plan_head(network, network->parts.box, c->rpn_post_nms, c->box_roi_size, PT_STEP_BOXES,
                     &network->box_buffer));
    return plan_head(network, network->parts.mask, MASK_CHUNK, c->mask_roi_size, PT_STEP_MASKS,
                     &network->mask_buffer);
}

static pt_model_config configure(const pt_model_config *model, const pt_engine_options *options)
{
    pt_model_config config = *model;
    if (options->score_threshold >= 0) {
        config.score_threshold = options->score_threshold;
    }
    if (options->max_detections > 0) {
        config.max_detections = options->max_detections;
    }
    if (options->max_proposals > 0) {
        config.rpn_pre_nms = options->max_proposals;
        config.rpn_post_nms = options->max_proposals;
    }
    return config;
}

pt_status pt_network_new(const pt_model *model, pt_backend *backend, const pt_engine_options *options,
                         pt_network **out)
{
    pt_status status;
    pt_network *network = pt_calloc(1, sizeof *network);
    if (!network) {
        return PT_NOMEM("the network");
    }
    network->config = configure(pt_model_get_config(model), options);
    network->backend = backend;
    PT_TRY_OUT(pt_parts_build(model, backend, &network->parts));
    PT_TRY_OUT(make_rpn(network));
    PT_TRY_OUT(make_select(network));
    PT_TRY_OUT(plan_heads(network));
    *out = network;
    network = NULL;
out:
    pt_network_free(&network);
    return status;
}

void pt_network_free(pt_network **network)
{
    pt_network *n = *network;
    if (!n) {
        return;
    }
    pt_parts_free(&n->parts);
    pt_rpn_free(&n->rpn);
    pt_select_free(&n->select);
    pt_roi_space_fini(&n->roi_space);
    pt_free(n);
    *network = NULL;
}

void pt_network_set_tap(pt_network *network, pt_tap *tap, void *user)
{
    network->tap = tap;
    network->tap_user = user;
    pt_graph_set_tap(network->parts.image, tap, user);
}

int pt_network_max_detections(const pt_network *network)
{
    return network->config.max_detections;
}

static void show(const pt_network *network, const char *name, const float *data, size_t rows, size_t columns)
{
    if (network->tap) {
        pt_tap_view view = {name, 0, data, rows, columns};
        network->tap(network->tap_user, &view);
    }
}

pt_status pt_network_plan(pt_network *network, int width, int height)
{
    int padded_width = (width + SIZE_DIVISOR - 1) / SIZE_DIVISOR * SIZE_DIVISOR;
    int padded_height = (height + SIZE_DIVISOR - 1) / SIZE_DIVISOR * SIZE_DIVISOR;
    const pt_parts *parts = &network->parts;
    PT_TRY(pt_graph_plan(parts->image, 1, padded_height, padded_width));
    pt_graph_bind(parts->box, pt_graph_memory(parts->image, network->box_buffer));
    pt_graph_bind(parts->mask, pt_graph_memory(parts->image, network->mask_buffer));
    int box_side = network->config.box_roi_size, mask_side = network->config.mask_roi_size;
    PT_TRY(pt_roi_space_reserve(&network->roi_space, network->config.sampling_ratio,
                                box_side > mask_side ? box_side : mask_side,
                                pt_pool_threads(network->backend->pool)));
    network->width = width;
    network->height = height;
    network->padded_width = padded_width;
    network->padded_height = padded_height;
    return pt_ok();
}

static void run_backbone(pt_network *network, const pt_image *image)
{
    pt_map map = pt_graph_map(network->parts.image, network->parts.input);
    pt_op_image(network->backend->pool, &network->parts.rule, image->rgb, image->row_stride, image->width,
                image->height, &map);
    pt_graph_run(network->parts.image, 1);
}

static pt_proposals propose(pt_network *network)
{
    pt_map maps[PT_MODEL_MAX_LEVELS];
    for (int l = 0; l < network->config.level_count; l++) {
        maps[l] = pt_graph_map(network->parts.image, network->parts.rpn[l]);
    }
    pt_proposals proposals = pt_rpn_run(network->rpn, network->backend->pool, maps, network->padded_width,
                                        network->padded_height, network->width, network->height);
    show(network, "proposals", &proposals.boxes->x0, proposals.count, 4);
    return proposals;
}

static pt_pyramid get_pyramid(const pt_network *network)
{
    const pt_model_config *c = &network->config;
    pt_pyramid pyramid = {
        .levels = c->roi_level_count,
        .canonical_size = c->canonical_size,
        .canonical_level = c->canonical_level,
        .sampling_ratio = c->sampling_ratio,
        .aligned = c->aligned,
    };
    for (int l = 0; l < c->roi_level_count; l++) {
        pyramid.maps[l] = pt_graph_map(network->parts.image, network->parts.levels[l]);
        pyramid.scale[l] = 1.0f / (float)c->strides[l];
    }
    return pyramid;
}

/* Runs a head on the features of `count` regions. Returns its output. */
static pt_map run_head(pt_network *network, const pt_pyramid *pyramid, pt_graph *head, int in, int out,
                       const pt_box *boxes, size_t count)
{
    pt_map features = pt_graph_map(head, in);
    features.n = (int)count;
    pt_roi_align(pyramid, &network->roi_space, network->backend->pool, boxes, count, features.h, &features);
    pt_graph_run(head, (int)count);
    return pt_graph_map(head, out);
}

static size_t find_boxes(pt_network *network, const pt_pyramid *pyramid, const pt_proposals *proposals,
                         const pt_found **found, bool *capped)
{
    const pt_parts *parts = &network->parts;
    pt_map answers = run_head(network, pyramid, parts->box, parts->box_in, parts->box_out, proposals->boxes,
                              proposals->count);
    show(network, "answers", pt_map_f32(&answers), proposals->count, (size_t)answers.c);
    return pt_select_run(network->select, pt_map_f32(&answers), proposals->boxes, proposals->count,
                         network->width, network->height, found, capped);
}

/* Logits of the masks, a chunk of detections after the other. */
static void find_masks(pt_network *network, const pt_pyramid *pyramid, const pt_found *found, size_t count,
                       float *masks)
{
    const pt_parts *parts = &network->parts;
    size_t side = (size_t)network->config.mask_size;
    for (size_t first = 0; first < count; first += MASK_CHUNK) {
        pt_box boxes[MASK_CHUNK];
        int classes[MASK_CHUNK];
        size_t n = count - first < MASK_CHUNK ? count - first : MASK_CHUNK;
        for (size_t i = 0; i < n; i++) {
            boxes[i] = found[first + i].box;
            classes[i] = found[first + i].class_id;
        }
        pt_map expanded = run_head(network, pyramid, parts->mask, parts->mask_in, parts->mask_out, boxes, n);
        pt_op_mask_logits(network->backend->pool, &expanded, classes, parts->logits_weights,
                          parts->logits_bias, masks + first * side * side);
    }
    show(network, "masks", masks, count, side * side);
    pt_op_sigmoid(network->backend->pool, masks, count * side * side);
}

size_t pt_network_run(pt_network *network, const pt_image *image, const pt_found **found, float *masks,
                      pt_engine_caps *caps)
{
    run_backbone(network, image);
    pt_proposals proposals = propose(network);
    pt_pyramid pyramid = get_pyramid(network);
    bool capped;
    size_t count = find_boxes(network, &pyramid, &proposals, found, &capped);
    caps->proposals += proposals.caps;
    caps->detections += capped;
    find_masks(network, &pyramid, *found, count, masks);
    return count;
}
