#include "tests/engine/network/graphs.h"

#include "tiling/base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

pt_conv_spec graphs_spec(int in, int out, int kernel, int stride, pt_add add)
{
    return (pt_conv_spec){.in_channels = in,
                          .out_channels = out,
                          .kernel_h = kernel,
                          .kernel_w = kernel,
                          .stride = stride,
                          .pad = kernel / 2,
                          .groups = 1,
                          .add = add};
}

int graphs_layer(pt_graph *graph, pt_backend *backend, pt_conv_spec spec, float weight)
{
    size_t outputs = (size_t)spec.out_channels, count = outputs * pt_conv_rows(&spec);
    pt_conv_weights weights = {.f32 = pt_alloc_aligned(count, sizeof(float)),
                               .bias = pt_alloc_aligned(outputs, sizeof(float))};
    assert_true(weights.f32 && weights.bias);
    for (size_t i = 0; i < count; i++) {
        weights.f32[i] = weight;
    }
    memset(weights.bias, 0, outputs * sizeof(float));
    pt_conv *conv = NULL;
    int layer = -1;
    assert_int_equal(backend->ops->conv_new(backend, &spec, &weights, &conv).code, PT_OK);
    assert_int_equal(pt_graph_layer(graph, conv, &spec, &layer).code, PT_OK);
    return layer;
}

pt_graph *graphs_new(pt_backend *backend, int channels, int *input)
{
    pt_graph *graph = NULL;
    assert_int_equal(pt_graph_new(backend, &graph).code, PT_OK);
    assert_int_equal(pt_graph_input(graph, "image", channels, PT_F32, graphs_no_quant, input).code, PT_OK);
    return graph;
}

const float *graphs_floats(const pt_graph *graph, int value)
{
    return pt_graph_memory(graph, value);
}

void graphs_count_up(const pt_graph *graph, int input)
{
    pt_map map = pt_graph_map(graph, input);
    for (size_t i = 0; i < pt_map_count(&map); i++) {
        pt_map_f32(&map)[i] = (float)i;
    }
}
