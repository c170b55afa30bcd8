/* Private to the executor: graph.c builds, plan.c lays out, run.c runs and reports. */
#ifndef PANTILE_ENGINE_GRAPH_INTERNAL_H
#define PANTILE_ENGINE_GRAPH_INTERNAL_H

#include "engine/graph/graph.h"

enum {
    PT_NODE_MAX_INPUTS = 8,
    PT_GRAPH_MAX_PLANS = 8, /* of different sizes that are kept; the one unused for longest goes */
};

typedef enum pt_node_kind {
    PT_NODE_CONV,
    PT_NODE_POOL,
    PT_NODE_CONVERT,
    PT_NODE_FLATTEN,
    PT_NODE_AFFINE,
    PT_NODE_ACTIVATE,
    PT_NODE_ADD,
    PT_NODE_UPSAMPLE,
    PT_NODE_CONCAT
} pt_node_kind;

typedef struct pt_node {
    pt_node_kind kind;
    pt_component component;
    int inputs[PT_NODE_MAX_INPUTS], input_count, out; /* values; of a convolution: the map, the summand */
    int layer;                                        /* of a convolution */
    int kernel, stride, pad;                          /* of pooling */
    pt_activation activation;
    float *scale, *shift; /* of an affine node */
    char text[24];        /* "conv 3x3" */
    double seconds;       /* of all runs since timing began */
    uint64_t runs;
} pt_node;

typedef struct pt_value {
    char *name;   /* NULL: a buffer */
    int channels; /* 0: a buffer; -1: follows from the plan */
    pt_elem elem;
    pt_quant quant;
    int first, last; /* steps at which it is written and last read */
    const char *mark;
    int level;
    size_t bytes; /* of a buffer */
} pt_value;

/* Where a value lies. */
typedef struct pt_place {
    int n, h, w, c;
    int home; /* the value whose memory it uses; itself unless it is written in place */
    size_t bytes, offset;
} pt_place;

typedef struct pt_plan {
    int n, h, w; /* n 0: none */
    pt_place *places;
    size_t total, unshared; /* bytes */
    uint64_t used;          /* the turn of its last use */
} pt_plan;

typedef struct pt_layer {
    pt_conv *conv;
    pt_conv_spec spec;
} pt_layer;

struct pt_graph {
    pt_backend *backend;
    bool shares; /* layers, names and numbers belong to another graph */
    pt_layer *layers;
    pt_node *nodes;
    pt_value *values;
    size_t layer_count, layer_capacity, node_count, node_capacity, value_count, value_capacity;
    pt_plan plans[PT_GRAPH_MAX_PLANS];
    const pt_plan *plan; /* the current one, NULL: none */
    uint64_t turns;
    char *arena; /* owned unless `bound` */
    size_t arena_bytes;
    bool bound;
    int n; /* of the last run */
    bool timed;
    pt_tap *tap;
    void *tap_user;
    pt_observer *observer;
    void *observer_user;
};

void pt_graph_drop_plans(pt_graph *graph);

#endif
