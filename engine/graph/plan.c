/* Shapes, lifetimes and offsets. Values are laid out largest first, each at the lowest offset where it meets
 * no value of an overlapping life (greedy by size: Pisarchyk and Lee, Efficient Memory Management for Deep
 * Neural Net Inference, 2020, section 5.2). */
#include "engine/graph/internal.h"
#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <string.h>

static pt_status too_large(void)
{
    return PT_NOMEM("the network's activations");
}

static void drop_plan(pt_graph *graph, pt_plan *plan)
{
    pt_free(plan->places);
    *plan = (pt_plan){0};
    graph->plan = graph->plan == plan ? NULL : graph->plan;
}

void pt_graph_drop_plans(pt_graph *graph)
{
    for (int i = 0; i < PT_GRAPH_MAX_PLANS; i++) {
        drop_plan(graph, &graph->plans[i]);
    }
}

static pt_status misfit(const pt_graph *graph, const pt_node *node, const pt_place *in)
{
    return pt_error(PT_E_INPUT, "%s does not fit an input of %d x %d pixels and %d channels",
                    graph->values[node->out].name, in->w, in->h, in->c);
}

static pt_status window_shape(const pt_graph *graph, const pt_node *node, const pt_place *places,
                              pt_place *out)
{
    const pt_place *in = &places[node->inputs[0]];
    int kh = node->kernel, kw = node->kernel, stride = node->stride, pad = node->pad;
    if (node->kind == PT_NODE_CONV) {
        const pt_conv_spec *s = &graph->layers[node->layer].spec;
        kh = s->kernel_h;
        kw = s->kernel_w;
        stride = s->stride;
        pad = s->pad;
        if (in->c != s->in_channels) {
            return misfit(graph, node, in);
        }
    }
    out->h = pt_window_out(in->h, kh, stride, pad);
    out->w = pt_window_out(in->w, kw, stride, pad);
    if (out->h < 1 || out->w < 1) {
        return pt_error(PT_E_USAGE, "an image of %d x %d pixels is too small for the network", places[0].w,
                        places[0].h);
    }
    return pt_ok();
}

static pt_status node_shape(const pt_graph *graph, const pt_node *node, pt_place *places)
{
    const pt_place *in = &places[node->inputs[0]];
    const pt_place *second = node->input_count > 1 ? &places[node->inputs[1]] : NULL;
    pt_place *out = &places[node->out];
    int channels = graph->values[node->out].channels;
    *out = (pt_place){.n = in->n, .h = in->h, .w = in->w, .c = channels < 0 ? in->c : channels};
    if (node->kind == PT_NODE_CONV || node->kind == PT_NODE_POOL) {
        PT_TRY(window_shape(graph, node, places, out));
    } else if (node->kind == PT_NODE_UPSAMPLE) {
        out->h = second->h;
        out->w = second->w;
    } else if (node->kind == PT_NODE_FLATTEN) {
        size_t all;
        if (!pt_size_mul((size_t)in->h * (size_t)in->w, (size_t)in->c, &all) || all > INT32_MAX) {
            return too_large();
        }
        *out = (pt_place){.n = in->n, .h = 1, .w = 1, .c = (int)all};
    }
    bool whole = node->kind == PT_NODE_ADD || node->kind == PT_NODE_CONCAT ||
                 (node->kind == PT_NODE_CONV && graph->layers[node->layer].spec.add == PT_ADD_SAME);
    for (int i = 1; whole && i < node->input_count; i++) {
        const pt_place *other = &places[node->inputs[i]];
        if (other->h != out->h || other->w != out->w ||
            (node->kind != PT_NODE_CONCAT && other->c != out->c)) {
            return misfit(graph, node, other);
        }
    }
    return pt_ok();
}

/* The last step of all values that share `home`. */
static int home_last(const pt_graph *graph, const pt_place *places, size_t count, int home)
{
    int last = 0;
    for (size_t i = 0; i < count; i++) {
        const pt_value *v = &graph->values[i];
        last = places[i].home == home && v->last > last ? v->last : last;
    }
    return last;
}

/* Whether the node may write where its input `k` lies, as far as its kind and the sizes go. */
static bool may_overwrite(const pt_graph *graph, const pt_node *node, int k)
{
    switch (node->kind) {
    case PT_NODE_CONV:
        return k == 1 && graph->layers[node->layer].spec.add == PT_ADD_SAME;
    case PT_NODE_AFFINE:
    case PT_NODE_ACTIVATE:
    case PT_NODE_ADD:
        return true;
    case PT_NODE_POOL:
    case PT_NODE_CONVERT:
    case PT_NODE_FLATTEN:
    case PT_NODE_UPSAMPLE:
    case PT_NODE_CONCAT:
        break;
    }
    return false;
}

/* The node writes over an input that nothing reads afterwards, where its kind allows that; a convolution's
 * summand must not be its map as well. A flat value is its input. */
static void choose_home(const pt_graph *graph, const pt_node *node, int step, pt_place *places)
{
    pt_place *out = &places[node->out];
    out->home = node->out;
    if (node->kind == PT_NODE_FLATTEN) {
        out->home = places[node->inputs[0]].home;
        return;
    }
    for (int k = 0; k < node->input_count; k++) {
        int home = places[node->inputs[k]].home;
        bool read_as_map = node->kind == PT_NODE_CONV && home == places[node->inputs[0]].home;
        if (may_overwrite(graph, node, k) && !read_as_map &&
            home_last(graph, places, (size_t)node->out, home) == step) {
            out->home = home;
            return;
        }
    }
}

static pt_status count_bytes(const pt_graph *graph, size_t value, pt_place *place)
{
    const pt_value *v = &graph->values[value];
    size_t pixels, count;
    if (v->channels == 0) {
        place->bytes = v->bytes;
        return pt_ok();
    }
    if (!pt_size_mul((size_t)place->h, (size_t)place->w, &pixels) ||
        !pt_size_mul(pixels, (size_t)place->n, &pixels) || pixels > INT32_MAX ||
        !pt_size_mul(pixels, (size_t)place->c, &count) ||
        !pt_size_mul(count, pt_elem_size(v->elem), &place->bytes)) {
        return too_large();
    }
    return pt_ok();
}

static pt_status measure(pt_graph *graph, pt_plan *plan)
{
    pt_place *places = plan->places;
    for (size_t i = 0; i < graph->value_count; i++) {
        const pt_value *v = &graph->values[i];
        places[i] = (pt_place){.n = plan->n, .h = plan->h, .w = plan->w, .c = v->channels, .home = (int)i};
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        const pt_node *node = &graph->nodes[i];
        PT_TRY(node_shape(graph, node, places));
        choose_home(graph, node, (int)i + 1, places);
    }
    for (size_t i = 0; i < graph->value_count; i++) {
        PT_TRY(count_bytes(graph, i, &places[i]));
    }
    return pt_ok();
}

static pt_status reserve_layers(pt_graph *graph, const pt_plan *plan)
{
    for (size_t i = 0; i < graph->node_count; i++) {
        const pt_node *node = &graph->nodes[i];
        if (node->kind == PT_NODE_CONV) {
            const pt_place *in = &plan->places[node->inputs[0]];
            pt_conv *conv = graph->layers[node->layer].conv;
            PT_TRY(graph->backend->ops->conv_reserve(graph->backend, conv, in->n, in->h, in->w));
        }
    }
    return pt_ok();
}

/* Values that have memory of their own, sizes falling; equal sizes keep the order of the values. qsort_r is
 * not portable, so a plain insertion sort. */
static size_t sort_homes(const pt_graph *graph, const pt_place *places, int *order)
{
    size_t n = 0;
    for (size_t i = 0; i < graph->value_count; i++) {
        if (places[i].home != (int)i) {
            continue;
        }
        size_t at = n++;
        while (at > 0 && places[order[at - 1]].bytes < places[i].bytes) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = (int)i;
    }
    return n;
}

static size_t round_up(size_t bytes)
{
    return (bytes + PT_ALIGNMENT - 1) / PT_ALIGNMENT * PT_ALIGNMENT;
}

/* The lowest offset for the k-th of the ordered homes, the earlier ones being placed. */
static pt_status place_home(const pt_graph *graph, pt_place *places, const int *order, const int *lasts,
                            size_t k, size_t *end)
{
    pt_place *place = &places[order[k]];
    int first = graph->values[order[k]].first, last = lasts[order[k]];
    size_t offset = 0;
    if (place->bytes > SIZE_MAX - PT_ALIGNMENT) {
        return too_large();
    }
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < k; i++) {
            const pt_place *other = &places[order[i]];
            bool together = graph->values[order[i]].first <= last && first <= lasts[order[i]];
            size_t other_end = other->offset + round_up(other->bytes);
            if (together && offset < other_end && other->offset < offset + round_up(place->bytes)) {
                offset = other_end;
                moved = true;
            }
        }
    }
    place->offset = offset;
    return pt_size_add(offset, round_up(place->bytes), end) ? pt_ok() : too_large();
}

static pt_status lay_out(const pt_graph *graph, pt_plan *plan)
{
    size_t count = graph->value_count;
    pt_place *places = plan->places;
    int *order = pt_alloc(2 * count, sizeof *order);
    if (!order) {
        return too_large();
    }
    int *lasts = order + count;
    for (size_t i = 0; i < count; i++) {
        lasts[i] = home_last(graph, places, count, (int)i);
    }
    size_t homes = sort_homes(graph, places, order);
    pt_status status = pt_ok();
    for (size_t k = 0; k < homes && status.code == PT_OK; k++) {
        size_t end = 0;
        status = place_home(graph, places, order, lasts, k, &end);
        plan->total = end > plan->total ? end : plan->total;
    }
    for (size_t i = 0; i < count; i++) {
        places[i].offset = places[places[i].home].offset;
        plan->unshared += graph->values[i].channels < 0 ? 0 : round_up(places[i].bytes); /* flat: no memory */
    }
    pt_free(order);
    return status;
}

static pt_status make_plan(pt_graph *graph, pt_plan *plan)
{
    plan->places = pt_calloc(graph->value_count, sizeof *plan->places);
    if (!plan->places) {
        return too_large();
    }
    PT_TRY(measure(graph, plan));
    PT_TRY(lay_out(graph, plan));
    return reserve_layers(graph, plan);
}

/* The plan of this size, or the place for one: an empty one, or that which was unused for longest. */
static pt_plan *find_plan(pt_graph *graph, int n, int h, int w)
{
    pt_plan *best = &graph->plans[0];
    for (int i = 0; i < PT_GRAPH_MAX_PLANS; i++) {
        pt_plan *plan = &graph->plans[i];
        if (plan->n == n && plan->h == h && plan->w == w) {
            return plan;
        }
        best = plan->used < best->used ? plan : best;
    }
    return best;
}

bool pt_graph_has_plan(const pt_graph *graph, int n, int h, int w)
{
    for (int i = 0; i < PT_GRAPH_MAX_PLANS; i++) {
        const pt_plan *plan = &graph->plans[i];
        if (n > 0 && plan->n == n && plan->h == h && plan->w == w) {
            return true;
        }
    }
    return false;
}

static pt_status grow_arena(pt_graph *graph, const pt_plan *plan)
{
    if (graph->bound || plan->total + PT_MAP_SLACK <= graph->arena_bytes) {
        return pt_ok();
    }
    pt_free(graph->arena); /* first, so that the peak is one arena */
    graph->arena_bytes = 0;
    graph->arena = pt_alloc_aligned(plan->total + PT_MAP_SLACK, 1);
    if (!graph->arena) {
        return pt_error(PT_E_NOMEM,
                        "out of memory for activations of an image of %d x %d pixels; use smaller tiles",
                        plan->w, plan->h);
    }
    graph->arena_bytes = plan->total + PT_MAP_SLACK;
    return pt_ok();
}

pt_status pt_graph_plan(pt_graph *graph, int n, int h, int w)
{
    if (n < 1 || h < 1 || w < 1 || graph->value_count == 0) {
        return pt_error(PT_E_USAGE, "%d images of %d x %d pixels are empty", n, w, h);
    }
    graph->plan = NULL;
    pt_plan *plan = find_plan(graph, n, h, w);
    if (plan->n != n || plan->h != h || plan->w != w) {
        drop_plan(graph, plan);
        *plan = (pt_plan){.n = n, .h = h, .w = w};
        pt_status status = make_plan(graph, plan);
        if (status.code != PT_OK) {
            drop_plan(graph, plan);
            return status;
        }
    }
    PT_TRY(grow_arena(graph, plan));
    plan->used = ++graph->turns;
    graph->plan = plan;
    graph->n = n;
    return pt_ok();
}

void pt_graph_bind(pt_graph *graph, void *memory)
{
    if (!graph->bound) {
        pt_free(graph->arena);
        graph->arena_bytes = 0;
    }
    graph->bound = true;
    graph->arena = memory;
}

size_t pt_graph_arena_bytes(const pt_graph *graph)
{
    return graph->plan ? graph->plan->total : 0;
}

size_t pt_graph_unshared_bytes(const pt_graph *graph)
{
    return graph->plan ? graph->plan->unshared : 0;
}
