/* Reads layers' weights for build.c and build_heads.c. */
#ifndef PANTILE_ENGINE_GRAPH_LOAD_H
#define PANTILE_ENGINE_GRAPH_LOAD_H

#include "engine/graph/graph.h"
#include "engine/model/model.h"

enum { PT_LAYER_NAME = 128 };

typedef struct pt_layer_name {
    char text[PT_LAYER_NAME];
} pt_layer_name;

pt_layer_name pt_name(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* name.weight or name.bias; PT_E_INPUT when it is missing. */
pt_status pt_load_find(const pt_model *model, const char *name, const char *part, const pt_tensor **out);
/* Newly allocated floats (aligned) of a whole tensor. */
pt_status pt_load_floats(const pt_model *model, const char *name, const char *part, float **out);

/* Weights of `outputs` x channels x taps, as models store them, become outputs x taps x channels, as backends
 * want them; *weights may be replaced. */
pt_status pt_load_permute(float **weights, size_t outputs, size_t channels, size_t taps);

/* A convolution with the batch norm `bn` (NULL: none) folded in; pad is half the kernel. The group count
 * follows from the shape and `in_channels`. */
typedef struct pt_load_layer {
    const char *name, *bn;
    int in_channels, stride;
    pt_activation activation;
    pt_add add;
} pt_load_layer;

pt_status pt_load_conv(const pt_model *model, pt_backend *backend, const pt_load_layer *layer,
                       pt_conv_spec *spec, pt_conv **out);

#endif
