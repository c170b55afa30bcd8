/* Shapes, lifetimes and offsets. Values are laid out largest first, each at the lowest offset where it meets
 * no value of an overlapping life (greedy by size: Pisarchyk and Lee, Efficient Memory Management for Deep
 * Neural Net Inference, 2020, section 5.2). */
#include "engine/graph/internal.h"
#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <stdlib.h>

enum { LINE = PT_ALIGNMENT / sizeof(float) };

static pt_status node_shape(pt_graph *graph, const pt_node *node)
{
    const pt_value *in = &graph->values[node->in];
    pt_value *out = &graph->values[node->out];
    if (node->kind == PT_NODE_UPSAMPLE_ADD) {
        out->h = graph->values[node->add].h;
        out->w = graph->values[node->add].w;
        return pt_ok();
    }
    int kh = node->kernel, kw = node->kernel, stride = node->stride, pad = node->pad;
    if (node->kind == PT_NODE_CONV) {
        const pt_layer *layer = &graph->layers[node->layer];
        kh = layer->spec.kernel_h;
        kw = layer->spec.kernel_w;
        stride = layer->spec.stride;
        pad = layer->spec.pad;
        PT_TRY(graph->backend->ops->conv_reserve(graph->backend, layer->conv, 1, in->h, in->w));
    }
    out->h = pt_k_window_out(in->h, kh, stride, pad);
    out->w = pt_k_window_out(in->w, kw, stride, pad);
    if (out->h < 1 || out->w < 1) {
        return pt_error(PT_E_USAGE, "an image of %d x %d pixels is too small for the network",
                        graph->values[0].w, graph->values[0].h);
    }
    return pt_ok();
}

/* A node that adds writes where its summand lies when nothing reads that later and it is not the input as
 * well. */
static void share_home(pt_graph *graph, const pt_node *node, int step)
{
    pt_value *out = &graph->values[node->out];
    out->home = node->out;
    if (node->add < 0) {
        return;
    }
    const pt_value *add = &graph->values[node->add];
    if (add->last == step && add->home != graph->values[node->in].home) {
        out->home = add->home;
    }
}

static pt_status measure(pt_graph *graph, int h, int w)
{
    graph->values[0].h = h;
    graph->values[0].w = w;
    for (size_t i = 0; i < graph->node_count; i++) {
        PT_TRY(node_shape(graph, &graph->nodes[i]));
        share_home(graph, &graph->nodes[i], (int)i + 1);
    }
    for (size_t i = 0; i < graph->value_count; i++) {
        pt_value *v = &graph->values[i];
        size_t pixels;
        if (v->channels > 0 && (!pt_size_mul((size_t)v->h, (size_t)v->w, &pixels) || pixels > INT32_MAX ||
                                !pt_size_mul(pixels, (size_t)v->channels, &v->floats))) {
            return PT_NOMEM("the network's activations");
        }
    }
    return pt_ok();
}

/* The last step of all values that share `home`. */
static int home_last(const pt_graph *graph, int home)
{
    int last = 0;
    for (size_t i = 0; i < graph->value_count; i++) {
        const pt_value *v = &graph->values[i];
        last = v->home == home && v->last > last ? v->last : last;
    }
    return last;
}

/* Sizes fall; equal sizes keep the order of the values. qsort_r is not portable, so a plain insertion sort.
 */
static size_t sort_homes(pt_graph *graph)
{
    size_t n = 0;
    for (size_t i = 0; i < graph->value_count; i++) {
        if (graph->values[i].home != (int)i) {
            continue;
        }
        size_t at = n++;
        while (at > 0 && graph->values[graph->order[at - 1]].floats < graph->values[i].floats) {
            graph->order[at] = graph->order[at - 1];
            at--;
        }
        graph->order[at] = (int)i;
    }
    return n;
}

/* The lowest offset for the k-th of the ordered homes, the earlier ones being placed. */
static pt_status place(pt_graph *graph, size_t k, const int *lasts, size_t *end)
{
    pt_value *v = &graph->values[graph->order[k]];
    size_t room;
    if (!pt_size_add(v->floats, LINE - 1, &room)) {
        return PT_NOMEM("the network's activations");
    }
    room = room / LINE * LINE;
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < k; i++) {
            const pt_value *u = &graph->values[graph->order[i]];
            bool together = u->first <= lasts[graph->order[k]] && v->first <= lasts[graph->order[i]];
            size_t u_end = u->offset + (u->floats + LINE - 1) / LINE * LINE;
            if (together && offset < u_end && u->offset < offset + room) {
                offset = u_end;
                moved = true;
            }
        }
    }
    v->offset = offset;
    return pt_size_add(offset, room, end) ? pt_ok() : PT_NOMEM("the network's activations");
}

static pt_status lay_out(pt_graph *graph, size_t *total)
{
    size_t count = graph->value_count;
    PT_TRY(pt_grow(&graph->order, &graph->order_capacity, 2 * count, sizeof *graph->order));
    int *lasts = graph->order + count;
    for (size_t i = 0; i < count; i++) {
        lasts[i] = home_last(graph, (int)i);
    }
    size_t homes = sort_homes(graph);
    *total = 0;
    for (size_t k = 0; k < homes; k++) {
        size_t end = 0;
        PT_TRY(place(graph, k, lasts, &end));
        *total = end > *total ? end : *total;
    }
    for (size_t i = 0; i < count; i++) {
        graph->values[i].offset = graph->values[graph->values[i].home].offset;
    }
    return pt_ok();
}

pt_status pt_graph_plan(pt_graph *graph, int h, int w)
{
    if (h < 1 || w < 1 || graph->value_count == 0) {
        return pt_error(PT_E_USAGE, "an image of %d x %d pixels is empty", w, h);
    }
    if (graph->planned_h == h && graph->planned_w == w) {
        return pt_ok();
    }
    graph->planned_h = graph->planned_w = 0;
    size_t total;
    PT_TRY(measure(graph, h, w));
    PT_TRY(lay_out(graph, &total));
    if (total > graph->arena_floats) {
        pt_free(graph->arena); /* first, so that the peak is one arena */
        graph->arena_floats = 0;
        graph->arena = pt_alloc_aligned(total, sizeof *graph->arena);
        if (!graph->arena) {
            return pt_error(PT_E_NOMEM,
                            "out of memory for activations of an image of %d x %d pixels; use smaller tiles",
                            w, h);
        }
        graph->arena_floats = total;
    }
    graph->planned_h = h;
    graph->planned_w = w;
    return pt_ok();
}
