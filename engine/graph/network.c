#include "engine/graph/network_internal.h"

#include "tiling/base/alloc.h"

#include <string.h>
#include <time.h>

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
    return network->parts.shares ? pt_graph_resize_buffer(network->parts.image, *buffer, bytes)
                                 : pt_graph_buffer(network->parts.image, bytes, step, step, buffer);
}

static pt_status plan_heads(pt_network *network)
{
    const pt_model_config *c = &network->config;
    PT_TRY(plan_head(network, network->parts.box, c->rpn_post_nms, c->box_roi_size, PT_STEP_BOXES,
                     &network->box_buffer));
    return plan_head(network, network->parts.mask, PT_MASK_CHUNK, c->mask_roi_size, PT_STEP_MASKS,
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

/* What every network has of its own, once config, backend and parts are set. */
static pt_status complete(pt_network *network)
{
    PT_TRY(make_rpn(network));
    PT_TRY(make_select(network));
    return plan_heads(network);
}

pt_status pt_network_new(const pt_model *model, pt_backend *backend, const pt_engine_options *options,
                         const pt_precision *precision, bool strict, pt_network **out)
{
    pt_status status;
    pt_network *network = pt_calloc(1, sizeof *network);
    if (!network) {
        return PT_NOMEM("the network");
    }
    network->config = configure(pt_model_get_config(model), options);
    network->backend = backend;
    PT_TRY_OUT(pt_parts_build(model, backend, precision, strict, options->without_passes, &network->parts));
    PT_TRY_OUT(complete(network));
    *out = network;
    network = NULL;
out:
    pt_network_free(&network);
    return status;
}

pt_status pt_network_share(const pt_network *of, pt_backend *backend, pt_network **out)
{
    pt_status status;
    pt_network *network = pt_calloc(1, sizeof *network);
    if (!network) {
        return PT_NOMEM("the network");
    }
    network->config = of->config;
    network->backend = backend;
    network->box_buffer = of->box_buffer;
    network->mask_buffer = of->mask_buffer;
    PT_TRY_OUT(pt_parts_share(&of->parts, backend, &network->parts));
    PT_TRY_OUT(complete(network));
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
    const pt_model_config *c = &network->config;
    int64_t found =
        (int64_t)c->rpn_post_nms * (c->class_count - 1); /* each proposal may be one of each class */
    return found < c->max_detections ? (int)found : c->max_detections;
}

void pt_network_observe(pt_network *network, pt_observer *observer, void *user)
{
    pt_graph_observe(network->parts.image, observer, user);
    pt_graph_observe(network->parts.box, observer, user);
    pt_graph_observe(network->parts.mask, observer, user);
}

double pt_network_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The image graph's plan for the padded size, and the heads' memory in it. */
static pt_status plan_graphs(pt_network *network, int width, int height)
{
    const pt_parts *parts = &network->parts;
    double start = pt_network_clock();
    bool is_new = !pt_graph_has_plan(parts->image, 1, height, width);
    PT_TRY(pt_graph_plan(parts->image, 1, height, width));
    pt_graph_bind(parts->box, pt_graph_memory(parts->image, network->box_buffer));
    pt_graph_bind(parts->mask, pt_graph_memory(parts->image, network->mask_buffer));
    if (is_new) {
        network->plan_seconds = pt_network_clock() - start;
    }
    return pt_ok();
}

pt_status pt_network_plan(pt_network *network, int width, int height)
{
    int padded_width = (width + PT_IR_PADDING - 1) / PT_IR_PADDING * PT_IR_PADDING;
    int padded_height = (height + PT_IR_PADDING - 1) / PT_IR_PADDING * PT_IR_PADDING;
    network->width = 0; /* until all is well */
    int box_side = network->config.box_roi_size, mask_side = network->config.mask_roi_size;
    PT_TRY(pt_roi_space_reserve(&network->roi_space, network->config.sampling_ratio,
                                box_side > mask_side ? box_side : mask_side,
                                pt_pool_threads(network->backend->pool)));
    PT_TRY(plan_graphs(network, padded_width, padded_height));
    network->width = width;
    network->height = height;
    network->padded_width = padded_width;
    network->padded_height = padded_height;
    return pt_ok();
}
