/* The executor: nodes that read and write values, planned once per input size into one arena.
 *
 *   pt_graph_new, pt_graph_input / _layer / _conv / _max_pool / ... / _buffer    build, once (lower.c does)
 *   pt_graph_plan(graph, n, h, w)   shapes, lifetimes -> offsets; cached per size
 *   pt_graph_bind(graph, memory)    where the arena lies: its own when never called
 *   pt_graph_run(graph, n)          runs the nodes in order; pt_graph_map gives the values
 *   pt_graph_free
 *
 * A value lives from the node that writes it to the last that reads it, or longer when it is kept for a later
 * step of the detector; values whose lives do not meet share memory. The image's part of the network is one
 * graph; the box head and the mask head are graphs over n regions whose arenas are buffers of the first.
 */
#ifndef PANTILE_ENGINE_GRAPH_GRAPH_H
#define PANTILE_ENGINE_GRAPH_GRAPH_H

#include "engine/backend/backend.h"
#include "engine/graph/tap.h"
#include "engine/quant/precision.h"

typedef struct pt_graph pt_graph;

/* Steps after the nodes, for values that outlive them. */
enum { PT_STEP_PROPOSALS = 1 << 20, PT_STEP_BOXES, PT_STEP_MASKS };

/* The backend is borrowed. */
pt_status pt_graph_new(pt_backend *backend, pt_graph **out);
/* A second graph of the same nodes over the same prepared layers, with plans, memory and a backend (of the
 * same kind) of its own, so that both may run side by side. `of` is borrowed and must not change. */
pt_status pt_graph_share(const pt_graph *of, pt_backend *backend, pt_graph **out);
void pt_graph_free(pt_graph **graph);

/* Builders return the new value's or layer's number by pointer; PT_E_NOMEM, or PT_E_INPUT where channels do
 * not fit. Names are copied: a value is named after the last of the model's layers that are in it ("image"
 * for the input). The component says where its time is booked. */
typedef struct pt_node_name {
    const char *name;
    pt_component component;
} pt_node_name;

pt_status pt_graph_input(pt_graph *graph, const char *name, int channels, pt_elem elem, pt_quant quant,
                         int *out);
/* A layer may serve several nodes. Takes the convolution, also when it fails. */
pt_status pt_graph_layer(pt_graph *graph, pt_conv *conv, const pt_conv_spec *spec, int *out);
/* summand: a value, or -1 when the layer adds nothing. */
pt_status pt_graph_conv(pt_graph *graph, pt_node_name name, int layer, int in, int summand, int *out);
pt_status pt_graph_max_pool(pt_graph *graph, pt_node_name name, int in, int kernel, int stride, int pad,
                            int *out);
pt_status pt_graph_convert(pt_graph *graph, pt_node_name name, int in, pt_elem elem, pt_quant quant,
                           int *out);
/* Rows of h * w * c elements as 1 x 1 x (h * w * c) pixels: no copy. */
pt_status pt_graph_flatten(pt_graph *graph, pt_node_name name, int in, int *out);
/* The unfused operators (F32): scale and shift, one each per channel, are taken, also on failure. */
pt_status pt_graph_affine(pt_graph *graph, pt_node_name name, int in, float *scale, float *shift, int *out);
pt_status pt_graph_activate(pt_graph *graph, pt_node_name name, int in, pt_activation activation, int *out);
pt_status pt_graph_add(pt_graph *graph, pt_node_name name, int a, int b, int *out);
pt_status pt_graph_upsample(pt_graph *graph, pt_node_name name, int in, int like, int *out);
pt_status pt_graph_concat(pt_graph *graph, pt_node_name name, const int *parts, int count, int *out);
/* Plain memory of `bytes` in use from step to step. */
pt_status pt_graph_buffer(pt_graph *graph, size_t bytes, int from, int to, int *out);
pt_status pt_graph_resize_buffer(pt_graph *graph, int buffer, size_t bytes); /* before the next plan */

void pt_graph_keep(pt_graph *graph, int value, int step);
/* Shows the value to the tap once it is written: a row of channels for each pixel, bytes as the numbers that
 * they stand for. `name` is a constant. */
void pt_graph_mark(pt_graph *graph, int value, const char *name, int level);
void pt_graph_set_tap(pt_graph *graph, pt_tap *tap, void *user); /* NULL: none */

/* The most images or regions, height and width of the input value. Several plans are kept, so that sizes may
 * take turns. PT_E_USAGE when a layer's window does not fit, PT_E_INPUT when channels do not, PT_E_NOMEM. */
pt_status pt_graph_plan(pt_graph *graph, int n, int h, int w);
bool pt_graph_has_plan(const pt_graph *graph, int n, int h, int w); /* whether the next is at hand */
size_t pt_graph_weight_bytes(const pt_graph *graph);                /* of the prepared layers */
size_t pt_graph_arena_bytes(const pt_graph *graph);                 /* of the current plan */
size_t pt_graph_unshared_bytes(const pt_graph *graph); /* what it would take if no memory were shared */
/* The arena is `memory` (aligned, with PT_MAP_SLACK more bytes): borrowed. NULL before the first plan: told
 * later, so that the plan allocates none. */
void pt_graph_bind(pt_graph *graph, void *memory);
void pt_graph_run(pt_graph *graph, int n);             /* n: 0 (nothing happens) to the planned */
pt_map pt_graph_map(const pt_graph *graph, int value); /* n as of the last run; before it, as planned */
void *pt_graph_memory(const pt_graph *graph, int value);

void pt_graph_observe(pt_graph *graph, pt_observer *observer, void *user);

/* What a node is and costs, at the planned size, and the time of all runs since the last reset when timing is
 * on. */
typedef struct pt_node_report {
    const char *name; /* valid until the graph is freed, as all texts here */
    pt_component component;
    const char *kind;   /* "conv 3x3", "depthwise 3x3", "linear", "max pool", "convert", ... */
    const char *method; /* the backend's */
    pt_elem in_elem, out_elem;
    int n, h, w, c;                        /* of the output */
    double flops;                          /* two per multiplication and addition */
    size_t weight_bytes, activation_bytes; /* read and written */
    double seconds;
    uint64_t runs;
} pt_node_report;

size_t pt_graph_node_count(const pt_graph *graph);
pt_node_report pt_graph_node(const pt_graph *graph, size_t index);
void pt_graph_time(pt_graph *graph, bool on); /* and reset */

#endif
