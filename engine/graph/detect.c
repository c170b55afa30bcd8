/* One image through the network: the steps of the detector, in order. */
#include "engine/graph/network_internal.h"
#include "engine/ops/mask_logits.h"

static void show(const pt_network *network, const char *name, const float *data, size_t rows, size_t columns)
{
    if (network->tap) {
        pt_tap_view view = {name, 0, data, rows, columns};
        network->tap(network->tap_user, &view);
    }
}

static double begin(const pt_network *network)
{
    return network->timed ? pt_network_clock() : 0;
}

static void end(pt_network *network, pt_stage_name name, double start)
{
    if (network->timed) {
        network->stages[name].seconds += pt_network_clock() - start;
        network->stages[name].runs++;
    }
}

static void run_backbone(pt_network *network, const pt_image *image)
{
    pt_map map = pt_graph_map(network->parts.image, network->parts.input);
    double start = begin(network);
    pt_op_image(network->backend->pool, &network->parts.rule, image->rgb, image->row_stride, image->width,
                image->height, &map);
    end(network, PT_STAGE_IMAGE, start);
    pt_graph_run(network->parts.image, 1);
}

static pt_proposals propose(pt_network *network)
{
    pt_map maps[PT_MODEL_MAX_LEVELS];
    for (int l = 0; l < network->config.level_count; l++) {
        maps[l] = pt_graph_map(network->parts.image, network->parts.rpn[l]);
    }
    double start = begin(network);
    pt_proposals proposals = pt_rpn_run(network->rpn, network->backend->pool, maps, network->padded_width,
                                        network->padded_height, network->width, network->height);
    end(network, PT_STAGE_PROPOSE, start);
    network->proposals = proposals.count;
    show(network, "proposals", &proposals.boxes->x0, proposals.count, 4);
    return proposals;
}

static pt_pyramid get_pyramid(const pt_network *network, const int *levels)
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
        pyramid.maps[l] = pt_graph_map(network->parts.image, levels[l]);
        pyramid.scale[l] = 1.0f / (float)c->strides[l];
    }
    return pyramid;
}

/* The features of `count` regions for a head's input. */
static void align(pt_network *network, const pt_pyramid *pyramid, pt_graph *head, int in, const pt_box *boxes,
                  size_t count, pt_stage_name stage)
{
    double start = begin(network);
    pt_map features = pt_graph_map(head, in);
    features.n = (int)count;
    pt_roi_align(pyramid, &network->roi_space, network->backend->pool, boxes, count, features.h, &features);
    end(network, stage, start);
}

static size_t find_boxes(pt_network *network, const pt_proposals *proposals, const pt_found **found,
                         bool *capped)
{
    const pt_parts *parts = &network->parts;
    pt_pyramid pyramid = get_pyramid(network, parts->box_levels);
    align(network, &pyramid, parts->box, parts->box_in, proposals->boxes, proposals->count, PT_STAGE_BOX_ROI);
    pt_graph_run(parts->box, (int)proposals->count);
    pt_map answers = pt_graph_map(parts->box, parts->box_out);
    show(network, "answers", pt_map_f32(&answers), proposals->count, (size_t)answers.c);
    double start = begin(network);
    size_t count = pt_select_run(network->select, pt_map_f32(&answers), proposals->boxes, proposals->count,
                                 network->width, network->height, found, capped);
    end(network, PT_STAGE_SELECT, start);
    network->detections = count;
    return count;
}

/* Logits of the masks, a chunk of detections after the other. */
static void find_masks(pt_network *network, const pt_found *found, size_t count, float *masks)
{
    const pt_parts *parts = &network->parts;
    pt_pyramid pyramid = get_pyramid(network, parts->mask_levels);
    size_t side = (size_t)network->config.mask_size;
    for (size_t first = 0; first < count; first += PT_MASK_CHUNK) {
        pt_box boxes[PT_MASK_CHUNK];
        int classes[PT_MASK_CHUNK];
        size_t n = count - first < PT_MASK_CHUNK ? count - first : PT_MASK_CHUNK;
        for (size_t i = 0; i < n; i++) {
            boxes[i] = found[first + i].box;
            classes[i] = found[first + i].class_id;
        }
        align(network, &pyramid, parts->mask, parts->mask_in, boxes, n, PT_STAGE_MASK_ROI);
        pt_graph_run(parts->mask, (int)n);
        pt_map expanded = pt_graph_map(parts->mask, parts->mask_out);
        double start = begin(network);
        pt_op_mask_logits(network->backend->pool, &expanded, classes, parts->logits_weights,
                          parts->logits_bias, masks + first * side * side);
        end(network, PT_STAGE_LOGITS, start);
    }
    show(network, "masks", masks, count, side * side);
    pt_op_sigmoid(network->backend->pool, masks, count * side * side);
}

size_t pt_network_run(pt_network *network, const pt_image *image, const pt_found **found, float *masks,
                      pt_engine_caps *caps)
{
    run_backbone(network, image);
    pt_proposals proposals = propose(network);
    bool capped;
    size_t count = find_boxes(network, &proposals, found, &capped);
    caps->proposals += proposals.caps;
    caps->detections += capped;
    find_masks(network, *found, count, masks);
    return count;
}
