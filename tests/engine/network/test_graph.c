/* The memory plan: values that live at the same time never share memory, and little more is taken than must
 * be. */
#include "engine/graph/graph.h"
#include "tests/engine/kernels/random.h"
#include "tests/engine/network/graphs.h"
#include "tiling/base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static pt_backend *backend;

static int open_backend(void **state)
{
    (void)state;
    return pt_backend_open("portable", 1, &backend).code;
}

static int close_backend(void **state)
{
    (void)state;
    pt_backend_close(&backend);
    return 0;
}

static const pt_node_name name = {"node", PT_COMPONENT_FPN};

static int add_layer(pt_graph *graph, int in, int out, int kernel, int stride, pt_add add, float weight)
{
    return graphs_layer(graph, backend, graphs_spec(in, out, kernel, stride, add), weight);
}

static void test_chain(void **state)
{
    (void)state;
    int at;
    pt_graph *graph = graphs_new(backend, 1, &at);
    int input = at, layer = add_layer(graph, 1, 1, 1, 1, PT_ADD_NONE, 2);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pt_graph_conv(graph, name, layer, at, -1, &at).code, PT_OK);
    }
    assert_int_equal(pt_graph_plan(graph, 1, 16, 16).code, PT_OK);
    assert_int_equal(pt_graph_arena_bytes(graph), 2 * 16 * 16 * sizeof(float)); /* to and fro */
    pt_map in = pt_graph_map(graph, input);
    for (int i = 0; i < 256; i++) {
        pt_map_f32(&in)[i] = (float)i;
    }
    pt_graph_run(graph, 1);
    pt_map out = pt_graph_map(graph, at);
    for (int i = 0; i < 256; i++) {
        assert_true(pt_map_f32(&out)[i] == 256.0f * (float)i);
    }
    pt_graph_free(&graph);
    assert_null(graph);
    pt_graph_free(&graph);
}

/* y = 3x + x: the summand's memory is the result's, unless the summand is read later. */
static void test_sums_in_place(void **state)
{
    (void)state;
    for (int kept = 0; kept < 2; kept++) {
        int input, once, sum;
        pt_graph *graph = graphs_new(backend, 1, &input);
        int one = add_layer(graph, 1, 1, 1, 1, PT_ADD_NONE, 1);
        int three = add_layer(graph, 1, 1, 1, 1, PT_ADD_SAME, 3);
        assert_int_equal(pt_graph_conv(graph, name, one, input, -1, &once).code, PT_OK);
        assert_int_equal(pt_graph_conv(graph, name, three, input, once, &sum).code, PT_OK);
        if (kept) {
            pt_graph_keep(graph, once, PT_STEP_MASKS);
        }
        assert_int_equal(pt_graph_plan(graph, 1, 4, 4).code, PT_OK);
        assert_int_equal(pt_graph_memory(graph, once) == pt_graph_memory(graph, sum), !kept);
        pt_map in = pt_graph_map(graph, input);
        for (int i = 0; i < 16; i++) {
            pt_map_f32(&in)[i] = (float)i;
        }
        pt_graph_run(graph, 1);
        assert_true(graphs_floats(graph, sum)[5] == 20);
        assert_true(!kept || graphs_floats(graph, once)[5] == 5);
        pt_graph_free(&graph);
    }
}

/* A convolution cannot write over what it reads, even if that is the summand, too. */
static void test_input_as_summand(void **state)
{
    (void)state;
    int input, sum;
    pt_graph *graph = graphs_new(backend, 2, &input);
    int layer = add_layer(graph, 2, 2, 1, 1, PT_ADD_SAME, 1);
    assert_int_equal(pt_graph_conv(graph, name, layer, input, input, &sum).code, PT_OK);
    assert_int_equal(pt_graph_plan(graph, 1, 1, 2).code, PT_OK);
    assert_true(pt_graph_memory(graph, input) != pt_graph_memory(graph, sum));
    memcpy(pt_graph_memory(graph, input), ((float[]){1, 2, 30, 40}), 4 * sizeof(float));
    pt_graph_run(graph, 1);
    assert_memory_equal(pt_graph_memory(graph, sum), ((float[]){4, 5, 100, 110}), 4 * sizeof(float));
    pt_graph_free(&graph);
}

/* Random graphs: each kept value holds what a run that shares no memory would leave. */
static void test_random_graphs(void **state)
{
    (void)state;
    randoms r = {30};
    for (int round = 0; round < 60; round++) {
        enum { NODES = 14 };
        int values[NODES + 1], buffer;
        double wanted[NODES + 1] = {1};
        bool kept[NODES + 1] = {false};
        pt_graph *graph = graphs_new(backend, 1, &values[0]);
        for (int i = 1; i <= NODES; i++) {
            int from = random_int(&r, 0, i - 1), add = random_int(&r, -1, i - 1);
            float weight = (float)random_int(&r, -2, 2);
            int layer = add_layer(graph, 1, 1, 1, 1, add < 0 ? PT_ADD_NONE : PT_ADD_SAME, weight);
            assert_int_equal(
                pt_graph_conv(graph, name, layer, values[from], add < 0 ? -1 : values[add], &values[i]).code,
                PT_OK);
            wanted[i] = (double)weight * wanted[from] + (add < 0 ? 0 : wanted[add]);
            kept[i] = random_int(&r, 0, 2) == 0;
            if (kept[i]) {
                pt_graph_keep(graph, values[i], PT_STEP_BOXES);
            }
        }
        assert_int_equal(
            pt_graph_buffer(graph, 50 * sizeof(float), PT_STEP_BOXES, PT_STEP_BOXES, &buffer).code, PT_OK);
        assert_int_equal(pt_graph_plan(graph, 1, 3, 5).code, PT_OK);
        pt_map in = pt_graph_map(graph, values[0]);
        for (int i = 0; i < 15; i++) {
            pt_map_f32(&in)[i] = 1;
        }
        pt_graph_run(graph, 1);
        memset(pt_graph_memory(graph, buffer), 77, 50 * sizeof(float)); /* in use beside the kept ones */
        for (int i = 1; i <= NODES; i++) {
            pt_map map = pt_graph_map(graph, values[i]);
            for (int p = 0; kept[i] && p < 15; p++) {
                assert_true((double)pt_map_f32(&map)[p] == wanted[i]);
            }
        }
        pt_graph_free(&graph);
    }
}

static void test_shapes_and_sizes(void **state)
{
    (void)state;
    int input, a, b, c;
    pt_graph *graph = graphs_new(backend, 2, &input);
    int halve = add_layer(graph, 2, 2, 3, 2, PT_ADD_NONE, 1);
    assert_int_equal(pt_graph_conv(graph, name, halve, input, -1, &a).code, PT_OK);
    assert_int_equal(pt_graph_max_pool(graph, name, a, 3, 2, 1, &b).code, PT_OK);
    int laterally = add_layer(graph, 2, 2, 1, 1, PT_ADD_UPSAMPLED, 1);
    assert_int_equal(pt_graph_conv(graph, name, laterally, a, b, &c).code, PT_OK);
    assert_int_equal(pt_graph_plan(graph, 1, 33, 64).code, PT_OK);
    pt_map map = pt_graph_map(graph, b);
    assert_true(map.c == 2 && map.n == 1 && map.h == 9 && map.w == 16);
    map = pt_graph_map(graph, c);
    assert_true(map.h == 17 && map.w == 32);
    size_t large = pt_graph_arena_bytes(graph);
    assert_int_equal(pt_graph_plan(graph, 1, 8, 8).code, PT_OK);
    assert_true(pt_graph_has_plan(graph, 1, 33, 64) && !pt_graph_has_plan(graph, 1, 64, 33));
    long before = pt_alloc_count();
    assert_int_equal(pt_graph_plan(graph, 1, 8, 8).code, PT_OK);
    assert_int_equal(pt_graph_plan(graph, 1, 33, 64).code, PT_OK);
    assert_int_equal(pt_alloc_count(), before);
    assert_int_equal(pt_graph_arena_bytes(graph), large);
    assert_int_equal(pt_graph_plan(graph, 1, 0, 8).code, PT_E_USAGE);
    assert_int_equal(pt_graph_plan(graph, 1, 1 << 20, 1 << 20).code, PT_E_NOMEM);
    pt_graph_free(&graph);
}

static void test_bad_graphs(void **state)
{
    (void)state;
    int input, out, other;
    pt_graph *graph = graphs_new(backend, 2, &input);
    int narrow = add_layer(graph, 3, 2, 1, 1, PT_ADD_NONE, 1),
        wide = add_layer(graph, 2, 4, 1, 1, PT_ADD_NONE, 1);
    assert_int_equal(pt_graph_conv(graph, name, narrow, input, -1, &out).code, PT_E_INPUT);
    assert_int_equal(pt_graph_conv(graph, name, wide, input, input, &out).code, PT_E_INPUT);
    assert_int_equal(pt_graph_conv(graph, name, wide, input, -1, &out).code, PT_OK);
    assert_int_equal(pt_graph_add(graph, name, out, input, &other).code, PT_E_INPUT);
    assert_int_equal(pt_graph_max_pool(graph, name, out, 9, 1, 0, &other).code, PT_OK);
    assert_int_equal(pt_graph_plan(graph, 1, 4, 4).code, PT_E_USAGE); /* the window does not fit */
    assert_int_equal(pt_graph_plan(graph, 1, 9, 9).code, PT_OK);
    pt_graph_free(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_sums_in_place),
        cmocka_unit_test(test_input_as_summand),
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_shapes_and_sizes),
        cmocka_unit_test(test_bad_graphs),
    };
    return cmocka_run_group_tests(tests, open_backend, close_backend);
}
