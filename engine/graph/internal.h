#ifndef PANTILE_ENGINE_GRAPH_INTERNAL_H
#define PANTILE_ENGINE_GRAPH_INTERNAL_H

#include "engine/graph/graph.h"

typedef enum pt_node_kind { PT_NODE_CONV, PT_NODE_POOL, PT_NODE_UPSAMPLE_ADD } pt_node_kind;

typedef struct pt_node {
    pt_node_kind kind;
    int in, add, out; /* values; add -1: none */
    int layer;        /* of a convolution */
    int kernel, stride, pad;
} pt_node;

typedef struct pt_value {
    int channels;
    int first, last; /* steps at which it is written and last read */
    const char *mark;
    int level;
    /* by the plan: */
    int h, w;
    int home;      /* the value whose memory it uses; itself unless it is written in place */
    size_t floats; /* fixed for a buffer, whose channels are 0 */
    size_t offset; /* into the arena, floats */
} pt_value;

typedef struct pt_layer {
    pt_conv *conv;
    pt_conv_spec spec;
} pt_layer;

struct pt_graph {
    pt_backend *backend;
    pt_layer *layers;
    pt_node *nodes;
    pt_value *values;
    size_t layer_count, layer_capacity, node_count, node_capacity, value_count, value_capacity;
    int *order; /* scratch of the plan: values by falling size; order_capacity of them */
    size_t order_capacity;
    float *arena;
    size_t arena_floats;
    int planned_h, planned_w; /* 0: none */
};

#endif
