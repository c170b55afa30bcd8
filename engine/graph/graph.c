/* Building a graph: layers, nodes, values. */
#include "engine/graph/internal.h"
#include "tiling/base/alloc.h"

#include <stdio.h>
#include <string.h>

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

static void *copy_items(const void *items, size_t count, size_t size)
{
    void *copy = pt_alloc(count, size);
    if (copy && count > 0) {
        memcpy(copy, items, count * size);
    }
    return copy;
}

pt_status pt_graph_share(const pt_graph *of, pt_backend *backend, pt_graph **out)
{
    pt_graph *graph;
    PT_TRY(pt_graph_new(backend, &graph));
    graph->shares = true;
    graph->layers = copy_items(of->layers, of->layer_count, sizeof *of->layers);
    graph->nodes = copy_items(of->nodes, of->node_count, sizeof *of->nodes);
    graph->values = copy_items(of->values, of->value_count, sizeof *of->values);
    if (!graph->layers || !graph->nodes || !graph->values) {
        pt_graph_free(&graph);
        return PT_NOMEM("the network");
    }
    graph->layer_count = graph->layer_capacity = of->layer_count;
    graph->node_count = graph->node_capacity = of->node_count;
    graph->value_count = graph->value_capacity = of->value_count;
    graph->bound = of->bound;
    for (size_t i = 0; i < graph->node_count; i++) {
        graph->nodes[i].seconds = 0;
        graph->nodes[i].runs = 0;
    }
    *out = graph;
    return pt_ok();
}

static void free_contents(pt_graph *graph)
{
    for (size_t i = 0; i < graph->layer_count; i++) {
        graph->backend->ops->conv_free(graph->backend, graph->layers[i].conv);
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        pt_free(graph->nodes[i].scale);
        pt_free(graph->nodes[i].shift);
    }
    for (size_t i = 0; i < graph->value_count; i++) {
        pt_free(graph->values[i].name);
    }
}

void pt_graph_free(pt_graph **graph)
{
    pt_graph *g = *graph;
    if (!g) {
        return;
    }
    if (!g->shares) {
        free_contents(g);
    }
    pt_graph_drop_plans(g);
    pt_free(g->layers);
    pt_free(g->nodes);
    pt_free(g->values);
    if (!g->bound) {
        pt_free(g->arena);
    }
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

size_t pt_graph_weight_bytes(const pt_graph *graph)
{
    size_t bytes = 0;
    for (size_t i = 0; i < graph->layer_count; i++) {
        bytes += graph->backend->ops->conv_bytes(graph->layers[i].conv);
    }
    return bytes;
}

/* name NULL: a buffer. */
static pt_status add_value(pt_graph *graph, const char *name, pt_value value, int *out)
{
    PT_TRY(pt_grow(&graph->values, &graph->value_capacity, graph->value_count + 1, sizeof *graph->values));
    if (name) {
        value.name = pt_strdup(name);
        if (!value.name) {
            return PT_NOMEM(name);
        }
    }
    *out = (int)graph->value_count;
    graph->values[graph->value_count++] = value;
    pt_graph_drop_plans(graph);
    return pt_ok();
}

pt_status pt_graph_input(pt_graph *graph, const char *name, int channels, pt_elem elem, pt_quant quant,
                         int *out)
{
    return add_value(graph, name, (pt_value){.channels = channels, .elem = elem, .quant = quant}, out);
}

pt_status pt_graph_buffer(pt_graph *graph, size_t bytes, int from, int to, int *out)
{
    return add_value(graph, NULL, (pt_value){.bytes = bytes, .first = from, .last = to}, out);
}

pt_status pt_graph_resize_buffer(pt_graph *graph, int buffer, size_t bytes)
{
    pt_value *value = &graph->values[buffer];
    if (value->channels != 0) {
        return pt_error(PT_E_USAGE, "value %d of the network is no buffer", buffer);
    }
    if (value->bytes != bytes) {
        value->bytes = bytes;
        pt_graph_drop_plans(graph);
    }
    return pt_ok();
}

/* Adds the node and the value that it writes, and lets the values that it reads live until then. */
static pt_status add_node(pt_graph *graph, pt_node_name name, pt_node node, pt_value value, int *out)
{
    int step = (int)graph->node_count + 1; /* the input is written at step 0 */
    PT_TRY(pt_grow(&graph->nodes, &graph->node_capacity, graph->node_count + 1, sizeof *graph->nodes));
    value.first = value.last = step;
    PT_TRY(add_value(graph, name.name, value, &node.out));
    for (int i = 0; i < node.input_count; i++) {
        pt_graph_keep(graph, node.inputs[i], step);
    }
    node.component = name.component;
    graph->nodes[graph->node_count++] = node;
    *out = node.out;
    return pt_ok();
}

static pt_node new_node(pt_node_kind kind, const char *text, int in)
{
    pt_node node = {.kind = kind, .inputs = {in}, .input_count = 1};
    snprintf(node.text, sizeof node.text, "%s", text);
    return node;
}

/* A value like `in`: the same channels, element and quant. */
static pt_value like(const pt_graph *graph, int in)
{
    const pt_value *v = &graph->values[in];
    return (pt_value){.channels = v->channels, .elem = v->elem, .quant = v->quant};
}

static pt_status misfit(const pt_graph *graph, pt_node_name name, int value)
{
    const pt_value *v = &graph->values[value];
    return pt_error(PT_E_INPUT, "%s does not fit its input %s of %d channels of %s", name.name, v->name,
                    v->channels, v->elem == PT_U8 ? "bytes" : "floats");
}

/* Whether channels known at this time are as wanted; others are checked by the plan. */
static bool fits(const pt_graph *graph, int value, int channels, pt_elem elem)
{
    const pt_value *v = &graph->values[value];
    return v->elem == elem && (v->channels < 0 || channels < 0 || v->channels == channels);
}

pt_status pt_graph_conv(pt_graph *graph, pt_node_name name, int layer, int in, int summand, int *out)
{
    const pt_conv_spec *s = &graph->layers[layer].spec;
    if (!fits(graph, in, s->in_channels, s->in_elem)) {
        return misfit(graph, name, in);
    }
    if ((summand >= 0) != (s->add != PT_ADD_NONE)) {
        return pt_error(PT_E_INPUT, "%s %s", name.name, summand < 0 ? "lacks its summand" : "adds nothing");
    }
    pt_node node = new_node(PT_NODE_CONV, "", in);
    if (summand >= 0) {
        if (!fits(graph, summand, s->out_channels, s->out_elem)) {
            return misfit(graph, name, summand);
        }
        node.inputs[node.input_count++] = summand;
    }
    node.layer = layer;
    bool depthwise = s->groups > 1 && s->groups == s->in_channels && s->groups == s->out_channels;
    snprintf(node.text, sizeof node.text, "%s %dx%d",
             depthwise       ? "depthwise"
             : s->groups > 1 ? "grouped"
                             : "conv",
             s->kernel_h, s->kernel_w);
    pt_value value = {.channels = s->out_channels, .elem = s->out_elem, .quant = s->out};
    return add_node(graph, name, node, value, out);
}

pt_status pt_graph_max_pool(pt_graph *graph, pt_node_name name, int in, int kernel, int stride, int pad,
                            int *out)
{
    pt_node node = new_node(PT_NODE_POOL, "max pool", in);
    node.kernel = kernel;
    node.stride = stride;
    node.pad = pad;
    return add_node(graph, name, node, like(graph, in), out);
}

pt_status pt_graph_convert(pt_graph *graph, pt_node_name name, int in, pt_elem elem, pt_quant quant, int *out)
{
    pt_value value = {.channels = graph->values[in].channels, .elem = elem, .quant = quant};
    return add_node(graph, name, new_node(PT_NODE_CONVERT, "convert", in), value, out);
}

pt_status pt_graph_flatten(pt_graph *graph, pt_node_name name, int in, int *out)
{
    pt_value value = like(graph, in);
    value.channels = -1;
    return add_node(graph, name, new_node(PT_NODE_FLATTEN, "flatten", in), value, out);
}

pt_status pt_graph_affine(pt_graph *graph, pt_node_name name, int in, float *scale, float *shift, int *out)
{
    pt_node node = new_node(PT_NODE_AFFINE, "affine", in);
    node.scale = scale;
    node.shift = shift;
    pt_status status = fits(graph, in, -1, PT_F32) ? add_node(graph, name, node, like(graph, in), out)
                                                   : misfit(graph, name, in);
    if (status.code != PT_OK) {
        pt_free(scale);
        pt_free(shift);
    }
    return status;
}

pt_status pt_graph_activate(pt_graph *graph, pt_node_name name, int in, pt_activation activation, int *out)
{
    if (!fits(graph, in, -1, PT_F32)) {
        return misfit(graph, name, in);
    }
    pt_node node = new_node(PT_NODE_ACTIVATE, activation == PT_ACT_RELU6 ? "relu6" : "relu", in);
    node.activation = activation;
    return add_node(graph, name, node, like(graph, in), out);
}

pt_status pt_graph_add(pt_graph *graph, pt_node_name name, int a, int b, int *out)
{
    if (!fits(graph, a, -1, PT_F32) || !fits(graph, b, graph->values[a].channels, PT_F32)) {
        return misfit(graph, name, fits(graph, a, -1, PT_F32) ? b : a);
    }
    pt_node node = new_node(PT_NODE_ADD, "add", a);
    node.inputs[node.input_count++] = b;
    return add_node(graph, name, node, like(graph, a), out);
}

pt_status pt_graph_upsample(pt_graph *graph, pt_node_name name, int in, int size_of, int *out)
{
    if (!fits(graph, in, -1, PT_F32)) {
        return misfit(graph, name, in);
    }
    pt_node node = new_node(PT_NODE_UPSAMPLE, "upsample", in);
    node.inputs[node.input_count++] = size_of;
    return add_node(graph, name, node, like(graph, in), out);
}

pt_status pt_graph_concat(pt_graph *graph, pt_node_name name, const int *parts, int count, int *out)
{
    if (count < 1 || count > PT_NODE_MAX_INPUTS) {
        return pt_error(PT_E_UNSUPPORTED, "%s puts %d maps together; 1 to %d are supported", name.name, count,
                        PT_NODE_MAX_INPUTS);
    }
    pt_node node = new_node(PT_NODE_CONCAT, "concat", parts[0]);
    pt_value value = like(graph, parts[0]);
    value.channels = 0;
    for (int i = 0; i < count; i++) {
        if (graph->values[parts[i]].channels < 1 || !fits(graph, parts[i], -1, PT_F32)) {
            return misfit(graph, name, parts[i]);
        }
        node.inputs[i] = parts[i];
        value.channels += graph->values[parts[i]].channels;
    }
    node.input_count = count;
    return add_node(graph, name, node, value, out);
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
