/* Running the nodes, showing values, and reports of what each node costs. */
#include "engine/graph/internal.h"
#include "engine/ops/maps.h"
#include "tiling/base/alloc.h"

#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void *pt_graph_memory(const pt_graph *graph, int value)
{
    return graph->arena + graph->plan->places[value].offset;
}

pt_map pt_graph_map(const pt_graph *graph, int value)
{
    const pt_value *v = &graph->values[value];
    const pt_place *place = &graph->plan->places[value];
    return (pt_map){pt_graph_memory(graph, value), graph->n, place->h, place->w, place->c, v->elem, v->quant};
}

void pt_graph_set_tap(pt_graph *graph, pt_tap *tap, void *user)
{
    graph->tap = tap;
    graph->tap_user = user;
}

void pt_graph_observe(pt_graph *graph, pt_observer *observer, void *user)
{
    graph->observer = observer;
    graph->observer_user = user;
}

/* Bytes are shown as floats; a table that finds no memory is left out. */
static void show_marked(const pt_graph *graph, const pt_value *value, const pt_map *map)
{
    pt_map floats = *map;
    if (map->elem == PT_U8) {
        floats.elem = PT_F32;
        floats.data = pt_alloc_aligned(pt_map_bytes(&floats) + PT_MAP_SLACK, 1);
        if (!floats.data) {
            return;
        }
        pt_op_convert(graph->backend->pool, map, &floats);
    }
    pt_tap_view view = {value->mark, value->level, pt_map_f32(&floats), pt_map_pixels(map), (size_t)map->c};
    graph->tap(graph->tap_user, &view);
    if (map->elem == PT_U8) {
        pt_free(floats.data);
    }
}

static void show(const pt_graph *graph, int index)
{
    const pt_value *value = &graph->values[index];
    if (!graph->observer && !(graph->tap && value->mark)) {
        return;
    }
    pt_map map = pt_graph_map(graph, index);
    if (graph->observer && value->name) {
        graph->observer(graph->observer_user, value->name, &map);
    }
    if (graph->tap && value->mark) {
        show_marked(graph, value, &map);
    }
}

static void run_conv(pt_graph *graph, const pt_node *node, const pt_map *in, pt_map *out)
{
    pt_map summand;
    bool adds = node->input_count > 1;
    if (adds) {
        summand = pt_graph_map(graph, node->inputs[1]);
    }
    graph->backend->ops->conv_run(graph->backend, graph->layers[node->layer].conv, in, adds ? &summand : NULL,
                                  out);
}

static void run_concat(const pt_graph *graph, const pt_node *node, pt_map *out)
{
    pt_map maps[PT_NODE_MAX_INPUTS];
    const pt_map *parts[PT_NODE_MAX_INPUTS];
    for (int i = 0; i < node->input_count; i++) {
        maps[i] = pt_graph_map(graph, node->inputs[i]);
        parts[i] = &maps[i];
    }
    pt_op_concat(graph->backend->pool, parts, node->input_count, out);
}

static void run_node(pt_graph *graph, const pt_node *node)
{
    pt_pool *pool = graph->backend->pool;
    pt_map in = pt_graph_map(graph, node->inputs[0]), out = pt_graph_map(graph, node->out), second;
    switch (node->kind) {
    case PT_NODE_CONV:
        run_conv(graph, node, &in, &out);
        break;
    case PT_NODE_POOL:
        pt_op_max_pool(pool, &in, node->kernel, node->stride, node->pad, &out);
        break;
    case PT_NODE_CONVERT:
        pt_op_convert(pool, &in, &out);
        break;
    case PT_NODE_FLATTEN:
        break;
    case PT_NODE_AFFINE:
        pt_op_affine(pool, &in, node->scale, node->shift, &out);
        break;
    case PT_NODE_ACTIVATE:
        pt_op_activate(pool, &in, node->activation, &out);
        break;
    case PT_NODE_ADD:
        second = pt_graph_map(graph, node->inputs[1]);
        pt_op_add(pool, &in, &second, &out);
        break;
    case PT_NODE_UPSAMPLE:
        pt_op_upsample(pool, &in, &out);
        break;
    case PT_NODE_CONCAT:
        run_concat(graph, node, &out);
        break;
    }
}

static void show_inputs(const pt_graph *graph)
{
    for (size_t i = 0; i < graph->value_count; i++) {
        if (graph->values[i].first == 0 && graph->values[i].channels > 0) {
            show(graph, (int)i);
        }
    }
}

void pt_graph_run(pt_graph *graph, int n)
{
    graph->n = n;
    show_inputs(graph);
    for (size_t i = 0; n > 0 && i < graph->node_count; i++) {
        pt_node *node = &graph->nodes[i];
        double start = graph->timed ? now() : 0;
        run_node(graph, node);
        if (graph->timed) {
            node->seconds += now() - start;
            node->runs++;
        }
        pt_backend_step(graph->backend);
        show(graph, node->out);
    }
}

void pt_graph_time(pt_graph *graph, bool on)
{
    graph->timed = on;
    for (size_t i = 0; i < graph->node_count; i++) {
        graph->nodes[i].seconds = 0;
        graph->nodes[i].runs = 0;
    }
}

size_t pt_graph_node_count(const pt_graph *graph)
{
    return graph->node_count;
}

/* Multiplications and additions of one output element. */
static double operations(const pt_graph *graph, const pt_node *node)
{
    switch (node->kind) {
    case PT_NODE_CONV:
        return 2 * (double)pt_conv_rows(&graph->layers[node->layer].spec);
    case PT_NODE_AFFINE:
        return 2;
    case PT_NODE_ADD:
        return 1;
    case PT_NODE_POOL:
    case PT_NODE_CONVERT:
    case PT_NODE_FLATTEN:
    case PT_NODE_ACTIVATE:
    case PT_NODE_UPSAMPLE:
    case PT_NODE_CONCAT:
        break;
    }
    return 0;
}

pt_node_report pt_graph_node(const pt_graph *graph, size_t index)
{
    const pt_node *node = &graph->nodes[index];
    const pt_value *value = &graph->values[node->out];
    pt_map out = pt_graph_map(graph, node->out);
    pt_node_report report = {
        .name = value->name,
        .component = node->component,
        .kind = node->text,
        .method = "",
        .in_elem = graph->values[node->inputs[0]].elem,
        .out_elem = value->elem,
        .n = out.n,
        .h = out.h,
        .w = out.w,
        .c = out.c,
        .flops = operations(graph, node) * (double)pt_map_count(&out),
        .activation_bytes = node->kind == PT_NODE_FLATTEN ? 0 : pt_map_bytes(&out),
        .seconds = node->seconds,
        .runs = node->runs,
    };
    for (int i = 0; i < node->input_count && node->kind != PT_NODE_FLATTEN; i++) {
        pt_map in = pt_graph_map(graph, node->inputs[i]);
        bool read = i == 0 || node->kind != PT_NODE_UPSAMPLE; /* of its second input the size alone counts */
        report.activation_bytes += read ? pt_map_bytes(&in) : 0;
    }
    if (node->kind == PT_NODE_CONV) {
        const pt_conv *conv = graph->layers[node->layer].conv;
        report.kind = out.h == 1 && out.w == 1 ? "linear" : node->text;
        report.method = graph->backend->ops->conv_method(conv);
        report.weight_bytes = graph->backend->ops->conv_bytes(conv);
    }
    return report;
}
