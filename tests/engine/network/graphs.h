/* Small graphs whose values are known. */
#ifndef PANTILE_TESTS_ENGINE_NETWORK_GRAPHS_H
#define PANTILE_TESTS_ENGINE_NETWORK_GRAPHS_H

#include "engine/graph/graph.h"

static const pt_quant graphs_no_quant = {0, 0};

/* A node's name, of the pyramid. */
static inline pt_node_name graphs_name(const char *name)
{
    return (pt_node_name){name, PT_COMPONENT_FPN};
}

/* A layer all of whose weights are `weight`, without bias. */
int graphs_layer(pt_graph *graph, pt_backend *backend, pt_conv_spec spec, float weight);
/* Floats, groups 1, pad kernel / 2. */
pt_conv_spec graphs_spec(int in, int out, int kernel, int stride, pt_add add);
/* A graph with an input of floats named "image". */
pt_graph *graphs_new(pt_backend *backend, int channels, int *input);
const float *graphs_floats(const pt_graph *graph, int value);
/* input[i] = i */
void graphs_count_up(const pt_graph *graph, int input);

#endif
