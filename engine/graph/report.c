/* What the network's layers and the steps between them cost. */
#include "engine/graph/network_internal.h"
#include "tiling/base/alloc.h"

void pt_network_time(pt_network *network, bool on)
{
    network->timed = on;
    for (int i = 0; i < PT_STAGES; i++) {
        network->stages[i] = (pt_stage){0};
    }
    pt_graph_time(network->parts.image, on);
    pt_graph_time(network->parts.box, on);
    pt_graph_time(network->parts.mask, on);
}

typedef struct list {
    pt_layer_report *items;
    size_t count;
} list;

static const char *elem_name(pt_elem elem)
{
    return elem == PT_U8 ? "u8" : "f32";
}

/* A step that reads `in` and writes `out`. */
static void add_stage(const pt_network *network, list *to, pt_stage_name stage, pt_map in, pt_map out)
{
    static const struct {
        const char *name, *component, *kind;
    } texts[PT_STAGES] = {
        [PT_STAGE_IMAGE] = {"image", "other", "image"},
        [PT_STAGE_PROPOSE] = {"rpn.proposals", "rpn", "propose"},
        [PT_STAGE_BOX_ROI] = {"roi_heads.box_roi_pool", "box", "roi align"},
        [PT_STAGE_SELECT] = {"roi_heads.detections", "box", "select"},
        [PT_STAGE_MASK_ROI] = {"roi_heads.mask_roi_pool", "mask", "roi align"},
        [PT_STAGE_LOGITS] = {"roi_heads.mask_predictor.mask_fcn_logits", "mask", "mask logits"},
    };
    double channels = stage == PT_STAGE_LOGITS ? (double)in.c / 4 : 0;
    to->items[to->count++] = (pt_layer_report){
        .name = texts[stage].name,
        .component = texts[stage].component,
        .kind = texts[stage].kind,
        .method = "",
        .in = stage == PT_STAGE_IMAGE ? "u8" : elem_name(in.elem),
        .out = elem_name(out.elem),
        .n = out.n,
        .h = out.h,
        .w = out.w,
        .c = out.c,
        .flops = 2 * channels * (double)pt_map_count(&out),
        .activation_bytes = pt_map_bytes(&in) + pt_map_bytes(&out),
        .seconds = network->stages[stage].seconds,
        .runs = network->stages[stage].runs,
    };
}

/* The nodes of a graph for `regions` of them in all (the image: 1); the last run may have been of fewer. */
static void add_nodes(const pt_graph *graph, size_t regions, list *to)
{
    for (size_t i = 0; i < pt_graph_node_count(graph); i++) {
        pt_node_report r = pt_graph_node(graph, i);
        double share = r.n > 0 ? (double)regions / (double)r.n : 0;
        to->items[to->count++] = (pt_layer_report){
            .name = r.name,
            .component = pt_component_name(r.component),
            .kind = r.kind,
            .method = r.method,
            .in = elem_name(r.in_elem),
            .out = elem_name(r.out_elem),
            .n = (int)regions,
            .h = r.h,
            .w = r.w,
            .c = r.c,
            .flops = r.flops * share,
            .weight_bytes = r.weight_bytes,
            .activation_bytes = (size_t)((double)r.activation_bytes * share),
            .seconds = r.seconds,
            .runs = r.runs,
        };
    }
}

static pt_map of_regions(const pt_graph *graph, int value, size_t regions)
{
    pt_map map = pt_graph_map(graph, value);
    map.n = (int)regions;
    return map;
}

pt_status pt_network_layers(const pt_network *network, pt_layer_report **items, size_t *capacity,
                            size_t *count)
{
    const pt_parts *p = &network->parts;
    if (network->width == 0) {
        return pt_error(PT_E_USAGE, "the layers' sizes are known after the first image only");
    }
    size_t most = pt_graph_node_count(p->image) + pt_graph_node_count(p->box) + pt_graph_node_count(p->mask) +
                  PT_STAGES;
    PT_TRY(pt_grow(items, capacity, most, sizeof **items));
    list to = {*items, 0};
    int side = network->config.mask_size;
    pt_map image = pt_graph_map(p->image, p->input), answers = pt_graph_map(p->image, p->rpn[0]);
    pt_map box_level = pt_graph_map(p->image, p->box_levels[0]);
    pt_map mask_level = pt_graph_map(p->image, p->mask_levels[0]);
    pt_map rgb = {.n = 1, .h = network->height, .w = network->width, .c = 3, .elem = PT_U8};
    pt_map boxes = {.n = (int)network->proposals, .h = 1, .w = 1, .c = 4};
    pt_map detections = {.n = (int)network->detections, .h = 1, .w = 1, .c = 6};
    pt_map logits = {.n = (int)network->detections, .h = side, .w = side, .c = 1};
    add_stage(network, &to, PT_STAGE_IMAGE, rgb, image);
    add_nodes(p->image, 1, &to);
    add_stage(network, &to, PT_STAGE_PROPOSE, answers, boxes);
    add_stage(network, &to, PT_STAGE_BOX_ROI, box_level, of_regions(p->box, p->box_in, network->proposals));
    add_nodes(p->box, network->proposals, &to);
    add_stage(network, &to, PT_STAGE_SELECT, of_regions(p->box, p->box_out, network->proposals), detections);
    add_stage(network, &to, PT_STAGE_MASK_ROI, mask_level,
              of_regions(p->mask, p->mask_in, network->detections));
    add_nodes(p->mask, network->detections, &to);
    add_stage(network, &to, PT_STAGE_LOGITS, of_regions(p->mask, p->mask_out, network->detections), logits);
    *count = to.count;
    return pt_ok();
}

pt_engine_memory pt_network_memory_use(const pt_network *network)
{
    const pt_parts *p = &network->parts;
    size_t heads = pt_graph_arena_bytes(p->box) + pt_graph_arena_bytes(p->mask) + 2 * PT_MAP_SLACK;
    size_t unshared = pt_graph_unshared_bytes(p->box) + pt_graph_unshared_bytes(p->mask);
    bool planned = network->width > 0;
    return (pt_engine_memory){
        .weights =
            pt_graph_weight_bytes(p->image) + pt_graph_weight_bytes(p->box) + pt_graph_weight_bytes(p->mask),
        .arena = pt_graph_arena_bytes(p->image),
        .unshared = planned ? pt_graph_unshared_bytes(p->image) - heads + unshared : 0,
        .plan_seconds = network->plan_seconds,
        .operators = p->operators,
        .layers = p->layers,
    };
}
