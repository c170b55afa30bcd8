/* The layers of the networks that the bench times. */
#ifndef PANTILE_BENCH_KERNELS_LAYERS_H
#define PANTILE_BENCH_KERNELS_LAYERS_H

#include "engine/backend/backend.h"

typedef struct bench_layer {
    const char *network, *name;
    int n, h, w; /* input */
    int in, out; /* channels */
    int kernel, stride, groups;
    int times; /* how often the network has it */
    bool adds; /* a summand of the output's size */
    pt_activation activation;
} bench_layer;

extern const bench_layer bench_layers[];
extern const size_t bench_layer_count;

/* The layer in floats, or in bytes: an image then has 4 channels. */
pt_conv_spec bench_layer_spec(const bench_layer *layer, bool int8);

#endif
