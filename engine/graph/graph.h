/* The convolutional part of the network: nodes that read and write values, and for each input size a plan
 * that lays all values into one arena.
 *
 *   pt_graph_new, pt_graph_layer / _conv / _pool / _upsample_add / _buffer    build, once
 *   pt_graph_plan(graph, h, w)   shapes, lifetimes -> offsets; the arena grows when it must, and only here
 *   pt_graph_run                 runs the nodes in order; pt_graph_map / pt_graph_memory give the values
 *   pt_graph_free
 *
 * A value lives from the node that writes it to the last that reads it, or longer when it is kept for a later
 * step of the detector; values whose lives do not meet share memory.
 */
#ifndef PANTILE_ENGINE_GRAPH_GRAPH_H
#define PANTILE_ENGINE_GRAPH_GRAPH_H

#include "engine/backend/backend.h"
#include "engine/graph/tap.h"

typedef struct pt_graph pt_graph;

/* Steps after the nodes, for values that outlive them. */
enum { PT_STEP_PROPOSALS = 1 << 20, PT_STEP_BOXES, PT_STEP_MASKS };

/* The backend is borrowed. */
pt_status pt_graph_new(pt_backend *backend, pt_graph **out);
void pt_graph_free(pt_graph **graph);

/* All builders return the new value's or layer's number by pointer; PT_E_NOMEM, or PT_E_INPUT where channels
 * do not fit. A layer may serve several nodes. Takes the convolution, also when it fails. */
pt_status pt_graph_layer(pt_graph *graph, pt_conv *conv, const pt_conv_spec *spec, int *out);
pt_status pt_graph_input(pt_graph *graph, int channels, int *out);
/* add: a value of the result's shape, or -1. */
pt_status pt_graph_conv(pt_graph *graph, int layer, int in, int add, int *out);
pt_status pt_graph_pool(pt_graph *graph, int in, int kernel, int stride, int pad, int *out);
/* The result takes the place of `lateral`, which nothing else may read. */
pt_status pt_graph_upsample_add(pt_graph *graph, int top, int lateral, int *out);
/* Plain memory for `floats` numbers in use from step to step. */
pt_status pt_graph_buffer(pt_graph *graph, size_t floats, int from, int to, int *out);

void pt_graph_keep(pt_graph *graph, int value, int step);
/* Shows the value to the tap once it is written. */
void pt_graph_mark(pt_graph *graph, int value, const char *name, int level);

/* Height and width of the input value. PT_E_USAGE when a layer's window does not fit, PT_E_NOMEM. */
pt_status pt_graph_plan(pt_graph *graph, int h, int w);
void pt_graph_run(pt_graph *graph, pt_tap *tap, void *user);
pt_map pt_graph_map(const pt_graph *graph, int value);
float *pt_graph_memory(const pt_graph *graph, int value);
size_t pt_graph_arena_bytes(const pt_graph *graph);

#endif
