#include "engine/graph/network.h"

#include "engine/graph/build.h"
#include "engine/ops/rpn.h"
#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <math.h>

enum {
    SIZE_DIVISOR = 32, /* torchvision pads images to a multiple of it, whatever the strides */
    IMAGE_ROWS = 32,   /* of a task that converts pixels */
};

typedef enum buffer_name {
    BUFFER_FEATURES,
    BUFFER_HIDDEN_0,
    BUFFER_HIDDEN_1,
    BUFFER_ANSWERS,
    BUFFER_MASK_0,
    BUFFER_MASK_1,
    BUFFER_EXPANDED,
    BUFFER_COUNT
} buffer_name;

struct pt_network {
    pt_model_config config; /* the model's, with the options' thresholds and caps */
    pt_backend *backend;
    pt_graph *graph;
    pt_backbone_values values;
    int buffers[BUFFER_COUNT];
    pt_rpn *rpn;
    pt_select *select;
    pt_box_head box_head;
    pt_mask_head mask_head;
    pt_roi_space roi_space;
    float table[3][256];                            /* byte -> normalised value, by channel */
    int width, height, padded_width, padded_height; /* as planned */
    pt_tap *tap;
    void *tap_user;
};

/* In the order of torchvision: byte / 255, minus mean, by std, each step in single precision. */
static void fill_table(pt_network *network)
{
    for (int c = 0; c < 3; c++) {
        float mean = (float)network->config.mean[c], std = (float)network->config.std[c];
        for (int v = 0; v < 256; v++) {
            network->table[c][v] = ((float)v / 255.0f - mean) / std;
        }
    }
}

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

/* Memory of the heads, which the plan lays over that of the backbone. The model reader bounds every factor,
 * so the products stay far below SIZE_MAX. */
static pt_status make_buffers(pt_network *network)
{
    const pt_box_head *box = &network->box_head;
    const pt_mask_head *mask = &network->mask_head;
    size_t rows = (size_t)network->config.rpn_post_nms;
    size_t box_cells = (size_t)box->roi_size * (size_t)box->roi_size;
    size_t mask_cells = (size_t)mask->roi_size * (size_t)mask->roi_size * PT_MASK_CHUNK;
    size_t wider = (size_t)(mask->in_channels > mask->channels ? mask->in_channels : mask->channels);
    const size_t floats[BUFFER_COUNT] = {
        [BUFFER_FEATURES] = rows * (size_t)box->channels * box_cells,
        [BUFFER_HIDDEN_0] = rows * (size_t)box->width,
        [BUFFER_HIDDEN_1] = rows * (size_t)box->width,
        [BUFFER_ANSWERS] = rows * 5 * (size_t)box->classes,
        [BUFFER_MASK_0] = wider * mask_cells,
        [BUFFER_MASK_1] = wider * mask_cells,
        [BUFFER_EXPANDED] = 4 * (size_t)mask->channels * mask_cells,
    };
    for (int i = 0; i < BUFFER_COUNT; i++) {
        int step = i < BUFFER_MASK_0 ? PT_STEP_BOXES : PT_STEP_MASKS;
        PT_TRY(pt_graph_buffer(network->graph, floats[i], step, step, &network->buffers[i]));
    }
    return pt_mask_head_reserve(mask, network->backend);
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
    fill_table(network);
    PT_TRY_OUT(pt_graph_new(backend, &network->graph));
    PT_TRY_OUT(pt_build_graph(model, backend, network->graph, &network->values));
    PT_TRY_OUT(pt_build_box_head(model, backend, &network->box_head));
    PT_TRY_OUT(pt_build_mask_head(model, backend, &network->mask_head));
    PT_TRY_OUT(make_rpn(network));
    PT_TRY_OUT(make_select(network));
    PT_TRY_OUT(make_buffers(network));
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
    pt_graph_free(&n->graph);
    pt_free_heads(n->backend, &n->box_head, &n->mask_head);
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
    PT_TRY(pt_graph_plan(network->graph, padded_height, padded_width));
    /* Regions are cut from the finest level's maps at widest. */
    int box_side = network->config.box_roi_size, mask_side = network->config.mask_roi_size;
    PT_TRY(pt_roi_space_reserve(
        &network->roi_space, network->config.sampling_ratio, box_side > mask_side ? box_side : mask_side,
        pt_graph_map(network->graph, network->values.levels[0]).w, pt_pool_threads(network->backend->pool)));
    network->width = width;
    network->height = height;
    network->padded_width = padded_width;
    network->padded_height = padded_height;
    return pt_ok();
}

typedef struct image_job {
    pt_network *network;
    const pt_image *image;
    pt_map map;
} image_job;

static void convert_rows(void *context, size_t task, int worker)
{
    (void)worker;
    image_job *job = context;
    int y0 = (int)task * IMAGE_ROWS;
    int y1 = job->map.h - y0 < IMAGE_ROWS ? job->map.h : y0 + IMAGE_ROWS;
    pt_k_image_rows(job->image->rgb, job->image->row_stride, job->image->width, job->image->height,
                    job->network->table, job->map.w, job->map.h, y0, y1, job->map.data);
}

static void run_backbone(pt_network *network, const pt_image *image)
{
    image_job job = {network, image, pt_graph_map(network->graph, network->values.input)};
    pt_pool_run(network->backend->pool, ((size_t)job.map.h + IMAGE_ROWS - 1) / IMAGE_ROWS, convert_rows,
                &job);
    pt_graph_run(network->graph, network->tap, network->tap_user);
}

static pt_proposals propose(pt_network *network)
{
    pt_map maps[PT_MODEL_MAX_LEVELS];
    for (int l = 0; l < network->config.level_count; l++) {
        maps[l] = pt_graph_map(network->graph, network->values.rpn[l]);
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
        pyramid.maps[l] = pt_graph_map(network->graph, network->values.levels[l]);
        pyramid.scale[l] = 1.0f / (float)c->strides[l];
    }
    return pyramid;
}

static size_t find_boxes(pt_network *network, const pt_pyramid *pyramid, const pt_proposals *proposals,
                         const pt_found **found, bool *capped)
{
    const pt_graph *graph = network->graph;
    const int *ids = network->buffers;
    pt_box_buffers buffers = {
        .features = pt_graph_memory(graph, ids[BUFFER_FEATURES]),
        .hidden = {pt_graph_memory(graph, ids[BUFFER_HIDDEN_0]),
                   pt_graph_memory(graph, ids[BUFFER_HIDDEN_1])},
        .answers = pt_graph_memory(graph, ids[BUFFER_ANSWERS]),
    };
    pt_box_head_run(&network->box_head, network->backend, pyramid, &network->roi_space, proposals->boxes,
                    proposals->count, &buffers);
    show(network, "answers", buffers.answers, proposals->count, 5 * (size_t)network->config.class_count);
    return pt_select_run(network->select, buffers.answers, proposals->boxes, proposals->count, network->width,
                         network->height, found, capped);
}

size_t pt_network_run(pt_network *network, const pt_image *image, const pt_found **found, float *masks,
                      pt_engine_caps *caps)
{
    const pt_graph *graph = network->graph;
    run_backbone(network, image);
    pt_proposals proposals = propose(network);
    pt_pyramid pyramid = get_pyramid(network);
    bool capped;
    size_t count = find_boxes(network, &pyramid, &proposals, found, &capped);
    caps->proposals += proposals.caps;
    caps->detections += capped;
    pt_mask_buffers buffers = {
        .maps = {pt_graph_memory(graph, network->buffers[BUFFER_MASK_0]),
                 pt_graph_memory(graph, network->buffers[BUFFER_MASK_1])},
        .expanded = pt_graph_memory(graph, network->buffers[BUFFER_EXPANDED]),
    };
    pt_mask_head_run(&network->mask_head, network->backend, &pyramid, &network->roi_space, *found, count,
                     &buffers, masks);
    size_t side = (size_t)network->config.mask_size;
    show(network, "masks", masks, count, side * side);
    pt_k_sigmoid(masks, count * side * side);
    return count;
}
