/* Every kind of node, what is shown of values, sharing of layers, cached plans, reports. */
#include "engine/graph/graph.h"
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
    return pt_backend_open("portable", 2, &backend).code;
}

static int close_backend(void **state)
{
    (void)state;
    pt_backend_close(&backend);
    return 0;
}

static float *two(float a, float b)
{
    float *values = pt_alloc_aligned(2, sizeof *values);
    assert_non_null(values);
    values[0] = a;
    values[1] = b;
    return values;
}

/* Every unfused operator in a row, on two channels: image -> affine -> relu6 -> pooled -> upsampled, added to
 * the image, beside it (concat). */
typedef struct operators {
    pt_graph *graph;
    int image, affine, active, pooled, large, sum, both;
} operators;

static operators make_operators(void)
{
    operators o;
    o.graph = graphs_new(backend, 2, &o.image);
    pt_graph *g = o.graph;
    assert_int_equal(
        pt_graph_affine(g, graphs_name("affine"), o.image, two(2, -1), two(1, 5), &o.affine).code, PT_OK);
    assert_int_equal(pt_graph_activate(g, graphs_name("active"), o.affine, PT_ACT_RELU6, &o.active).code,
                     PT_OK);
    assert_int_equal(pt_graph_max_pool(g, graphs_name("pooled"), o.active, 2, 2, 0, &o.pooled).code, PT_OK);
    assert_int_equal(pt_graph_upsample(g, graphs_name("large"), o.pooled, o.image, &o.large).code, PT_OK);
    assert_int_equal(pt_graph_add(g, graphs_name("sum"), o.large, o.image, &o.sum).code, PT_OK);
    const int parts[] = {o.image, o.sum};
    assert_int_equal(pt_graph_concat(g, graphs_name("both"), parts, 2, &o.both).code, PT_OK);
    pt_graph_keep(g, o.both, PT_STEP_BOXES);
    return o;
}

static float relu6(float v)
{
    return v < 0 ? 0 : v > 6 ? 6 : v;
}

static void test_operators(void **state)
{
    (void)state;
    operators o = make_operators();
    assert_int_equal(pt_graph_plan(o.graph, 1, 2, 2).code, PT_OK);
    graphs_count_up(o.graph, o.image); /* pixels (0, 1) (2, 3) (4, 5) (6, 7) */
    pt_graph_run(o.graph, 1);
    float top[2] = {0, 0};
    for (int p = 0; p < 4; p++) {
        float a = relu6(2 * (float)(2 * p) + 1), b = relu6(5 - (float)(2 * p + 1));
        top[0] = a > top[0] ? a : top[0];
        top[1] = b > top[1] ? b : top[1];
    }
    pt_map both = pt_graph_map(o.graph, o.both);
    assert_true(both.c == 4 && both.h == 2 && both.w == 2 && both.n == 1 && both.elem == PT_F32);
    for (int i = 0; i < 8; i++) {
        const float *pixel = graphs_floats(o.graph, o.both) + i / 2 * 4;
        assert_true(pixel[i % 2] == (float)i);
        assert_true(pixel[2 + i % 2] == (float)i + top[i % 2]);
    }
    pt_graph_free(&o.graph);
}

/* The same memory serves an operator's input and output where nothing reads the input afterwards. */
static void test_operators_in_place(void **state)
{
    (void)state;
    operators o = make_operators();
    assert_int_equal(pt_graph_plan(o.graph, 1, 8, 8).code, PT_OK);
    assert_ptr_equal(pt_graph_memory(o.graph, o.affine), pt_graph_memory(o.graph, o.active));
    assert_ptr_equal(pt_graph_memory(o.graph, o.large), pt_graph_memory(o.graph, o.sum));
    assert_ptr_not_equal(pt_graph_memory(o.graph, o.image), pt_graph_memory(o.graph, o.affine));
    size_t map = 8 * 8 * 2 * sizeof(float);
    assert_true(pt_graph_unshared_bytes(o.graph) == 5 * map + map / 4 + 2 * map);
    assert_true(pt_graph_arena_bytes(o.graph) == 4 * map); /* image, sum, both */
    pt_graph_free(&o.graph);
}

/* Floats -> bytes -> other bytes -> floats, then all of a region's bytes in one row for a layer. */
static void test_bytes_and_rows(void **state)
{
    (void)state;
    int image, bytes, others, floats, row, sum;
    const pt_quant half = {.5f, 10}, quarter = {.25f, 0};
    pt_graph *g = graphs_new(backend, 3, &image);
    assert_int_equal(pt_graph_convert(g, graphs_name("bytes"), image, PT_U8, half, &bytes).code, PT_OK);
    assert_int_equal(pt_graph_convert(g, graphs_name("others"), bytes, PT_U8, quarter, &others).code, PT_OK);
    assert_int_equal(
        pt_graph_convert(g, graphs_name("floats"), others, PT_F32, graphs_no_quant, &floats).code, PT_OK);
    assert_int_equal(pt_graph_flatten(g, graphs_name("row"), floats, &row).code, PT_OK);
    int layer = graphs_layer(g, backend, graphs_spec(12, 1, 1, 1, PT_ADD_NONE), 1);
    assert_int_equal(pt_graph_conv(g, graphs_name("sum"), layer, row, -1, &sum).code, PT_OK);
    assert_int_equal(pt_graph_plan(g, 5, 2, 2).code, PT_OK);
    assert_ptr_equal(pt_graph_memory(g, row), pt_graph_memory(g, floats));
    graphs_count_up(g, image);
    pt_graph_run(g, 3); /* fewer than planned */
    pt_map out = pt_graph_map(g, sum);
    assert_true(out.n == 3 && out.h == 1 && out.w == 1 && out.c == 1);
    for (int i = 0; i < 3; i++) {
        assert_true(graphs_floats(g, sum)[i] == 12 * 12 * (float)i + 66); /* 12i + (12i + 1) + ... */
    }
    pt_graph_run(g, 0); /* no regions: nothing is computed */
    assert_true(pt_graph_map(g, sum).n == 0 && graphs_floats(g, sum)[2] == 12 * 12 * 2 + 66);
    assert_int_equal(pt_graph_plan(g, 5, 3, 2).code, PT_E_INPUT); /* 18 numbers a row */
    pt_graph_free(&g);
}

typedef struct seen {
    char names[256];
    float first, last;
    size_t rows, columns;
    int taps;
} seen;

static void observe(void *user, const char *value, const pt_map *map)
{
    seen *s = user;
    strcat(s->names, value);
    strcat(s->names, map->elem == PT_U8 ? ":u8 " : " ");
}

static void tap(void *user, const pt_tap_view *view)
{
    seen *s = user;
    assert_string_equal(view->name, "C");
    assert_int_equal(view->level, 3);
    s->first = view->data[0];
    s->last = view->data[view->rows * view->columns - 1];
    s->rows = view->rows;
    s->columns = view->columns;
    s->taps++;
}

static void test_what_is_shown(void **state)
{
    (void)state;
    int image, bytes, floats;
    pt_graph *g = graphs_new(backend, 3, &image);
    const pt_quant half = {.5f, 10};
    assert_int_equal(pt_graph_convert(g, graphs_name("bytes"), image, PT_U8, half, &bytes).code, PT_OK);
    assert_int_equal(pt_graph_convert(g, graphs_name("floats"), bytes, PT_F32, graphs_no_quant, &floats).code,
                     PT_OK);
    pt_graph_mark(g, bytes, "C", 3);
    seen s = {0};
    pt_graph_observe(g, observe, &s);
    pt_graph_set_tap(g, tap, &s);
    assert_int_equal(pt_graph_plan(g, 1, 2, 2).code, PT_OK);
    graphs_count_up(g, image);
    pt_graph_run(g, 1);
    assert_string_equal(s.names, "image bytes:u8 floats ");
    assert_true(s.taps == 1 && s.first == 0 && s.last == 11 && s.rows == 4 && s.columns == 3);
    pt_graph_observe(g, NULL, NULL);
    pt_graph_set_tap(g, NULL, NULL);
    pt_graph_run(g, 1);
    assert_true(s.taps == 1 && strlen(s.names) == 22);
    pt_graph_free(&g);
}

/* Two graphs over one layer compute apart: memory and plans are their own. */
static void test_sharing(void **state)
{
    (void)state;
    int image, twice;
    pt_graph *one = graphs_new(backend, 1, &image), *other = NULL;
    int layer = graphs_layer(one, backend, graphs_spec(1, 1, 1, 1, PT_ADD_NONE), 2);
    assert_int_equal(pt_graph_conv(one, graphs_name("twice"), layer, image, -1, &twice).code, PT_OK);
    pt_backend *second = NULL;
    assert_int_equal(pt_backend_open("portable", 1, &second).code, PT_OK);
    assert_int_equal(pt_graph_share(one, second, &other).code, PT_OK);
    assert_int_equal(pt_graph_plan(one, 1, 3, 3).code, PT_OK);
    assert_int_equal(pt_graph_plan(other, 1, 2, 2).code, PT_OK);
    graphs_count_up(one, image);
    graphs_count_up(other, image);
    pt_graph_run(one, 1);
    pt_graph_run(other, 1);
    assert_true(graphs_floats(one, twice)[8] == 16 && graphs_floats(other, twice)[3] == 6);
    assert_true(pt_graph_weight_bytes(one) == pt_graph_weight_bytes(other));
    pt_graph_free(&other);
    pt_graph_run(one, 1);
    assert_true(graphs_floats(one, twice)[7] == 14);
    pt_graph_free(&one);
    pt_backend_close(&second);
}

/* Sizes may take turns without cost; with more of them than are kept, all still compute. */
static void test_plans(void **state)
{
    (void)state;
    int image, twice;
    pt_graph *g = graphs_new(backend, 1, &image);
    int layer = graphs_layer(g, backend, graphs_spec(1, 1, 1, 1, PT_ADD_NONE), 2);
    assert_int_equal(pt_graph_conv(g, graphs_name("twice"), layer, image, -1, &twice).code, PT_OK);
    for (int side = 20; side > 0; side--) {
        assert_false(pt_graph_has_plan(g, 1, side, side));
        assert_int_equal(pt_graph_plan(g, 1, side, side).code, PT_OK);
        assert_true(pt_graph_has_plan(g, 1, side, side));
        graphs_count_up(g, image);
        pt_graph_run(g, 1);
        assert_true(graphs_floats(g, twice)[side * side - 1] == 2 * (float)(side * side - 1));
    }
    long before = pt_alloc_count();
    for (int turn = 0; turn < 20; turn++) {
        int side = 1 + turn % 3;
        assert_int_equal(pt_graph_plan(g, 1, side, side).code, PT_OK);
        assert_int_equal(pt_graph_map(g, twice).w, side);
    }
    assert_int_equal(pt_alloc_count(), before);
    pt_graph_free(&g);
}

/* A graph may lie in memory of its caller, and a buffer may change its size between plans. */
static void test_bound_memory(void **state)
{
    (void)state;
    int image, twice, outer_image, buffer;
    pt_graph *inner = graphs_new(backend, 1, &image), *outer = graphs_new(backend, 1, &outer_image);
    int layer = graphs_layer(inner, backend, graphs_spec(1, 1, 1, 1, PT_ADD_NONE), 2);
    assert_int_equal(pt_graph_conv(inner, graphs_name("twice"), layer, image, -1, &twice).code, PT_OK);
    pt_graph_bind(inner, NULL);
    assert_int_equal(pt_graph_plan(inner, 1, 16, 16).code, PT_OK);
    size_t bytes = pt_graph_arena_bytes(inner);
    assert_int_equal(bytes, 2 * 16 * 16 * sizeof(float));
    assert_int_equal(pt_graph_buffer(outer, 1, PT_STEP_BOXES, PT_STEP_BOXES, &buffer).code, PT_OK);
    assert_int_equal(pt_graph_resize_buffer(outer, buffer, bytes + PT_MAP_SLACK).code, PT_OK);
    assert_int_equal(pt_graph_resize_buffer(outer, outer_image, 4).code, PT_E_USAGE);
    assert_int_equal(pt_graph_plan(outer, 1, 2, 2).code, PT_OK);
    assert_true(pt_graph_arena_bytes(outer) == bytes + PT_MAP_SLACK); /* the image's life is over by then */
    pt_graph_bind(inner, pt_graph_memory(outer, buffer));
    graphs_count_up(inner, image);
    pt_graph_run(inner, 1);
    assert_true(graphs_floats(inner, twice)[255] == 510);
    pt_graph_free(&inner);
    pt_graph_free(&outer);
}

static void test_reports(void **state)
{
    (void)state;
    int image, first, second, row, answer;
    pt_graph *g = graphs_new(backend, 3, &image);
    int wide = graphs_layer(g, backend, graphs_spec(3, 8, 3, 2, PT_ADD_NONE), 1);
    pt_conv_spec spec = graphs_spec(8, 8, 3, 1, PT_ADD_SAME);
    spec.groups = 8;
    int deep = graphs_layer(g, backend, spec, 1),
        all = graphs_layer(g, backend, graphs_spec(128, 5, 1, 1, PT_ADD_NONE), 1);
    assert_int_equal(pt_graph_conv(g, graphs_name("first"), wide, image, -1, &first).code, PT_OK);
    pt_node_name named = {"second", PT_COMPONENT_BACKBONE};
    assert_int_equal(pt_graph_conv(g, named, deep, first, first, &second).code, PT_OK);
    assert_int_equal(pt_graph_flatten(g, graphs_name("row"), second, &row).code, PT_OK);
    assert_int_equal(pt_graph_conv(g, graphs_name("answer"), all, row, -1, &answer).code, PT_OK);
    assert_int_equal(pt_graph_plan(g, 2, 8, 8).code, PT_OK);
    assert_int_equal(pt_graph_node_count(g), 4);
    pt_graph_time(g, true);
    pt_graph_run(g, 2);
    pt_graph_run(g, 2);
    pt_node_report r = pt_graph_node(g, 0);
    assert_string_equal(r.name, "first");
    assert_string_equal(r.kind, "conv 3x3");
    assert_true(r.n == 2 && r.h == 4 && r.w == 4 && r.c == 8 && r.runs == 2 && r.seconds > 0);
    assert_true(r.flops == 2.0 * 2 * 4 * 4 * 8 * 27 && r.component == PT_COMPONENT_FPN);
    assert_true(r.activation_bytes == (2 * 64 * 3 + 2 * 16 * 8) * sizeof(float));
    assert_true(r.weight_bytes == (8 * 27 + 8) * sizeof(float) && r.in_elem == PT_F32);
    r = pt_graph_node(g, 1);
    assert_string_equal(r.kind, "depthwise 3x3");
    assert_true(r.flops == 2.0 * 2 * 16 * 8 * 9 && r.component == PT_COMPONENT_BACKBONE);
    assert_true(r.activation_bytes == 3 * 2 * 16 * 8 * sizeof(float));
    r = pt_graph_node(g, 2);
    assert_string_equal(r.kind, "flatten");
    assert_true(r.activation_bytes == 0 && r.flops == 0);
    assert_string_equal(pt_graph_node(g, 3).kind, "linear");
    pt_graph_time(g, false);
    pt_graph_run(g, 2);
    assert_true(pt_graph_node(g, 0).runs == 0 && pt_graph_node(g, 0).seconds == 0);
    pt_graph_free(&g);
}

static void test_bad_nodes(void **state)
{
    (void)state;
    int image, bytes, out;
    pt_graph *g = graphs_new(backend, 2, &image);
    assert_int_equal(pt_graph_convert(g, graphs_name("bytes"), image, PT_U8, (pt_quant){1, 0}, &bytes).code,
                     PT_OK);
    int layer = graphs_layer(g, backend, graphs_spec(2, 2, 1, 1, PT_ADD_NONE), 1);
    int adding = graphs_layer(g, backend, graphs_spec(2, 2, 1, 1, PT_ADD_SAME), 1);
    pt_node_name name = graphs_name("node");
    pt_status status = pt_graph_conv(g, name, layer, bytes, -1, &out);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, "node"));
    assert_int_equal(pt_graph_conv(g, name, layer, image, image, &out).code, PT_E_INPUT);
    assert_int_equal(pt_graph_conv(g, name, adding, image, -1, &out).code, PT_E_INPUT);
    assert_int_equal(pt_graph_affine(g, name, bytes, two(1, 1), two(1, 1), &out).code, PT_E_INPUT);
    assert_int_equal(pt_graph_activate(g, name, bytes, PT_ACT_RELU, &out).code, PT_E_INPUT);
    assert_int_equal(pt_graph_add(g, name, image, bytes, &out).code, PT_E_INPUT);
    assert_int_equal(pt_graph_upsample(g, name, bytes, image, &out).code, PT_E_INPUT);
    int many[9] = {image, image, image, image, image, image, image, image, image};
    assert_int_equal(pt_graph_concat(g, name, many, 9, &out).code, PT_E_UNSUPPORTED);
    assert_int_equal(pt_graph_concat(g, name, many, 0, &out).code, PT_E_UNSUPPORTED);
    many[1] = bytes;
    assert_int_equal(pt_graph_concat(g, name, many, 2, &out).code, PT_E_INPUT);
    assert_int_equal(pt_graph_plan(g, 0, 4, 4).code, PT_E_USAGE);
    pt_graph_free(&g);
}

static pt_status build_and_share(void)
{
    pt_graph *graph = NULL, *other = NULL;
    int image, bytes, sum;
    pt_status status = pt_graph_new(backend, &graph);
    if (status.code != PT_OK) {
        return status;
    }
    PT_TRY_OUT(pt_graph_input(graph, "image", 2, PT_F32, graphs_no_quant, &image));
    PT_TRY_OUT(pt_graph_convert(graph, graphs_name("bytes"), image, PT_U8, (pt_quant){1, 0}, &bytes));
    PT_TRY_OUT(pt_graph_add(graph, graphs_name("sum"), image, image, &sum));
    PT_TRY_OUT(pt_graph_share(graph, backend, &other));
    PT_TRY_OUT(pt_graph_plan(other, 1, 8, 8));
out:
    pt_graph_free(&other);
    pt_graph_free(&graph);
    return status;
}

static void test_allocation_failures(void **state)
{
    (void)state;
    pt_status status = {.code = PT_E_NOMEM};
    long n = 0;
    for (; status.code != PT_OK; n++) {
        pt_alloc_fail_after(n);
        status = build_and_share();
        pt_alloc_fail_after(-1);
        assert_true(status.code == PT_OK || status.code == PT_E_NOMEM);
    }
    assert_true(n > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operators),      cmocka_unit_test(test_operators_in_place),
        cmocka_unit_test(test_bytes_and_rows), cmocka_unit_test(test_what_is_shown),
        cmocka_unit_test(test_sharing),        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_bound_memory),   cmocka_unit_test(test_reports),
        cmocka_unit_test(test_bad_nodes),      cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, open_backend, close_backend);
}
