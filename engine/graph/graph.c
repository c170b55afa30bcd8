#include "engine/graph/internal.h"
#include "tiling/base/alloc.h"

pt_status pt_graph_new(pt_backend *backend, pt_graph **out)
{
    pt_graph *graph = pt_calloc(1, sizeof *graph);
    if (!graph) {
        return PT_NOMEM("the network");
    }
    graph->backend = backend;
    *out = graph;
    return pt_ok();
}

void pt_graph_free(pt_graph **graph)
{
    pt_graph *g = *graph;
    if (!g) {
        return;
    }
    for (size_t i = 0; i < g->layer_count; i++) {
        g->backend->ops->conv_free(g->backend, g->layers[i].conv);
    }
    pt_free(g->layers);
    pt_free(g->nodes);
    pt_free(g->values);
    pt_free(g->order);
    pt_free(g->arena);
    pt_free(g);
    *graph = NULL;
}

pt_status pt_graph_layer(pt_graph *graph, pt_conv *conv, const pt_conv_spec *spec, int *out)
{
    pt_status status =
        pt_grow(&graph->layers, &graph->layer_capacity, graph->layer_count + 1, sizeof *graph->layers);
    if (status.code != PT_OK) {
        graph->backend->ops->conv_free(graph->backend, conv);
        return status;
    }
    *out = (int)graph->layer_count;
    graph->layers[graph->layer_count++] = (pt_layer){conv, *spec};
    return pt_ok();
}

static pt_status add_value(pt_graph *graph, pt_value value, int *out)
{
    PT_TRY(pt_grow(&graph->values, &graph->value_capacity, graph->value_count + 1, sizeof *graph->values));
    value.home = (int)graph->value_count;
    *out = value.home;
    graph->values[graph->value_count++] = value;
    graph->planned_h = graph->planned_w = 0;
    return pt_ok();
}

pt_status pt_graph_input(pt_graph *graph, int channels, int *out)
{
    return add_value(graph, (pt_value){.channels = channels}, out);
}

/* Adds the node and the value that it writes, and lets the values that it reads live until then. */
static pt_status add_node(pt_graph *graph, pt_node node, int channels, int *out)
{
    int step = (int)graph->node_count + 1; /* the input is written at step 0 */
    PT_TRY(pt_grow(&graph->nodes, &graph->node_capacity, graph->node_count + 1, sizeof *graph->nodes));
    PT_TRY(add_value(graph, (pt_value){.channels = channels, .first = step, .last = step}, &node.out));
    pt_graph_keep(graph, node.in, step);
    if (node.add >= 0) {
        pt_graph_keep(graph, node.add, step);
    }
    graph->nodes[graph->node_count++] = node;
    *out = node.out;
    return pt_ok();
}

pt_status pt_graph_conv(pt_graph *graph, int layer, int in, int add, int *out)
{
    const pt_conv_spec *spec = &graph->layers[layer].spec;
    if (graph->values[in].channels != spec->in_channels ||
        (add >= 0 && graph->values[add].channels != spec->out_channels)) {
        return pt_error(PT_E_INPUT, "a convolution takes %d channels but gets %d", spec->in_channels,
                        graph->values[in].channels);
    }
    pt_node node = {.kind = PT_NODE_CONV, .in = in, .add = add, .layer = layer};
    return add_node(graph, node, spec->out_channels, out);
}

pt_status pt_graph_pool(pt_graph *graph, int in, int kernel, int stride, int pad, int *out)
{
    pt_node node = {
        .kind = PT_NODE_POOL, .in = in, .add = -1, .kernel = kernel, .stride = stride, .pad = pad};
    return add_node(graph, node, graph->values[in].channels, out);
}

pt_status pt_graph_upsample_add(pt_graph *graph, int top, int lateral, int *out)
{
    if (graph->values[top].channels != graph->values[lateral].channels) {
        return pt_error(PT_E_INPUT, "pyramid levels of %d and %d channels cannot be added",
                        graph->values[top].channels, graph->values[lateral].channels);
    }
    pt_node node = {.kind = PT_NODE_UPSAMPLE_ADD, .in = top, .add = lateral};
    return add_node(graph, node, graph->values[lateral].channels, out);
}

pt_status pt_graph_buffer(pt_graph *graph, size_t floats, int from, int to, int *out)
{
    return add_value(graph, (pt_value){.floats = floats, .first = from, .last = to}, out);
}

void pt_graph_keep(pt_graph *graph, int value, int step)
{
    pt_value *v = &graph->values[value];
    v->last = step > v->last ? step : v->last;
}

void pt_graph_mark(pt_graph *graph, int value, const char *name, int level)
{
    graph->values[value].mark = name;
    graph->values[value].level = level;
}

float *pt_graph_memory(const pt_graph *graph, int value)
{
    return graph->arena + graph->values[value].offset;
}

pt_map pt_graph_map(const pt_graph *graph, int value)
{
    const pt_value *v = &graph->values[value];
    return (pt_map){pt_graph_memory(graph, value), v->channels, 1, v->h, v->w};
}

size_t pt_graph_arena_bytes(const pt_graph *graph)
{
    return graph->arena_floats * sizeof(float);
}

typedef struct plane_job {
    const pt_node *node;
    pt_map in, out;
} plane_job;

static void pool_plane(void *context, size_t channel, int worker)
{
    (void)worker;
    const plane_job *job = context;
    const pt_node *n = job->node;
    pt_k_window window = {1,         job->in.h, job->in.w, job->out.h, job->out.w,
                          n->kernel, n->kernel, n->stride, n->pad};
    pt_k_max_pool(&window, job->in.data + channel * pt_map_pixels(&job->in),
                  job->out.data + channel * pt_map_pixels(&job->out));
}

static void add_plane(void *context, size_t channel, int worker)
{
    (void)worker;
    const plane_job *job = context;
    pt_k_upsample_add(job->in.data + channel * pt_map_pixels(&job->in), job->in.h, job->in.w,
                      job->out.data + channel * pt_map_pixels(&job->out), job->out.h, job->out.w);
}

static void run_node(pt_graph *graph, const pt_node *node)
{
    pt_backend *backend = graph->backend;
    plane_job job = {node, pt_graph_map(graph, node->in), pt_graph_map(graph, node->out)};
    switch (node->kind) {
    case PT_NODE_CONV: {
        const float *add = node->add >= 0 ? pt_graph_memory(graph, node->add) : NULL;
        backend->ops->conv_run(backend, graph->layers[node->layer].conv, &job.in, add, &job.out);
        break;
    }
    case PT_NODE_POOL:
        pt_pool_run(backend->pool, (size_t)job.in.c, pool_plane, &job);
        break;
    case PT_NODE_UPSAMPLE_ADD:
        pt_pool_run(backend->pool, (size_t)job.in.c, add_plane, &job);
        break;
    }
}

void pt_graph_run(pt_graph *graph, pt_tap *tap, void *user)
{
    for (size_t i = 0; i < graph->node_count; i++) {
        const pt_node *node = &graph->nodes[i];
        run_node(graph, node);
        pt_backend_step(graph->backend);
        const pt_value *value = &graph->values[node->out];
        if (tap && value->mark) {
            pt_map map = pt_graph_map(graph, node->out);
            pt_tap_view view = {value->mark, value->level, map.data, (size_t)map.c, pt_map_pixels(&map)};
            tap(user, &view);
        }
    }
}
