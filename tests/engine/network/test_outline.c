/* What a model's network is said to be, against what the engine runs. */
#include "tests/engine/network/tiny.h"
#include "tiling/base/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const pt_model_layer *find(const pt_model_graph *graph, const pt_layer_report *wanted)
{
    for (size_t i = 0; i < graph->layer_count; i++) {
        const pt_model_layer *l = &graph->layers[i];
        if (strcmp(l->name, wanted->name) == 0 && l->h == wanted->h && l->w == wanted->w) {
            return l;
        }
    }
    return NULL;
}

/* Every convolution that is run is told, with its size, work and forms. */
static void test_as_it_runs(void **state)
{
    (void)state;
    for (int kind = TINY_MOBILENET; kind <= TINY_RESNET; kind++) {
        char *path = tiny_model((tiny_kind)kind);
        tiny_image t = tiny_make_image(96, 70, 1);
        pt_engine_options options = pt_engine_defaults();
        options.threads = 1;
        pt_engine *engine = NULL;
        assert_int_equal(pt_engine_open(path, &options, &engine).code, PT_OK);
        assert_int_equal(pt_engine_infer(engine, &t.image, 1).code, PT_OK);
        const pt_layer_report *items;
        size_t count, convolutions = 0;
        assert_int_equal(pt_engine_layers(engine, &items, &count).code, PT_OK);
        pt_model_graph *graph = NULL;
        assert_int_equal(pt_model_graph_read(path, NULL, 96, 70, &graph).code, PT_OK);
        assert_true(graph->width == 96 && graph->height == 96);
        assert_string_equal(graph->precision, "fp32");
        pt_engine_memory memory = pt_engine_memory_use(engine);
        assert_int_equal(graph->operators, memory.operators);
        assert_int_equal(graph->layer_count, memory.layers);
        for (size_t i = 0; i < count; i++) {
            if (strncmp(items[i].kind, "conv", 4) != 0 || items[i].n != 1) {
                continue; /* regions: as many as there were */
            }
            const pt_model_layer *l = find(graph, &items[i]);
            assert_non_null(l);
            assert_true(fabs(l->flops - items[i].flops) < 1e-6 * l->flops);
            assert_true(strcmp(l->component, items[i].component) == 0 && strcmp(l->in, items[i].in) == 0 &&
                        strcmp(l->out, items[i].out) == 0 && l->c == items[i].c);
            convolutions++;
        }
        assert_true(convolutions > 40);
        pt_model_graph_free(&graph);
        assert_null(graph);
        pt_engine_close(&engine);
        free(t.pixels);
        unlink(path);
        free(path);
    }
}

static void test_options(void **state)
{
    (void)state;
    char *path = tiny_model(TINY_MOBILENET);
    pt_engine_options options = pt_engine_defaults();
    pt_model_graph *graph = NULL;
    options.without_passes = "all";
    options.max_proposals = 17;
    options.max_detections = 3;
    assert_int_equal(pt_model_graph_read(path, &options, 64, 64, &graph).code, PT_OK);
    assert_int_equal(graph->layer_count, graph->operators);
    const pt_model_layer *last = &graph->layers[graph->layer_count - 1];
    assert_true(strcmp(last->name, "masks") == 0 && last->n == 3);
    bool found = false;
    for (size_t i = 0; i < graph->layer_count; i++) {
        const pt_model_layer *l = &graph->layers[i];
        found |= strcmp(l->name, "roi_heads.box_head.fc6") == 0 && l->n == 17 && strcmp(l->kind, "relu") == 0;
        assert_int_equal(l->fused, 1);
    }
    assert_true(found);
    pt_model_graph_free(&graph);
    options.without_passes = "abacus";
    assert_int_equal(pt_model_graph_read(path, &options, 64, 64, &graph).code, PT_E_USAGE);
    options.without_passes = NULL;
    options.precision = "int8";
    assert_int_equal(pt_model_graph_read(path, &options, 64, 64, &graph).code, PT_E_INPUT);
    options.precision = "int9";
    assert_int_equal(pt_model_graph_read(path, &options, 64, 64, &graph).code, PT_E_USAGE);
    assert_int_equal(pt_model_graph_read(path, NULL, 0, 64, &graph).code, PT_E_USAGE);
    assert_int_equal(pt_model_graph_read(path, NULL, 64, 20000, &graph).code, PT_E_USAGE);
    assert_int_equal(pt_model_graph_read(NULL, NULL, 64, 64, &graph).code, PT_E_USAGE);
    assert_int_equal(pt_model_graph_read("/nowhere", NULL, 64, 64, &graph).code, PT_E_INPUT);
    assert_null(graph);
    unlink(path);
    free(path);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    char *path = tiny_model(TINY_MOBILENET);
    pt_model_graph *graph = NULL;
    long n = 0;
    for (pt_status status = {.code = PT_E_NOMEM}; status.code != PT_OK; n++) {
        pt_alloc_fail_after(n);
        status = pt_model_graph_read(path, NULL, 64, 64, &graph);
        pt_alloc_fail_after(-1);
        assert_true(status.code == PT_OK || (status.code == PT_E_NOMEM && !graph));
    }
    assert_true(n > 10);
    pt_model_graph_free(&graph);
    pt_model_graph_free(&graph);
    unlink(path);
    free(path);
}

static void test_precisions(void **state)
{
    (void)state;
    static const struct {
        const char *precision, *says;
        pt_code code;
    } cases[] = {
        {"auto", "", PT_OK},
        {"fp32,roi_heads.box_head.fc6=fp32", "", PT_OK},
        {"int4", "int4", PT_E_USAGE},
        {"fp32,neck=fp32", "no layer neck", PT_E_USAGE},
        {"fp32,mask=int8", "pantile calibrate", PT_E_INPUT},
    };
    char *path = tiny_model(TINY_MOBILENET);
    pt_model_summary *summary = NULL;
    assert_int_equal(pt_model_summary_read(path, &summary).code, PT_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pt_status status = pt_model_check_precision(summary, cases[i].precision);
        assert_int_equal(status.code, cases[i].code);
        assert_non_null(strstr(status.message, cases[i].says));
    }
    long n = 0;
    for (pt_status status = {.code = PT_E_NOMEM}; status.code != PT_OK; n++) {
        pt_alloc_fail_after(n);
        status = pt_model_check_precision(summary, "fp32");
        pt_alloc_fail_after(-1);
        assert_true(status.code == PT_OK || status.code == PT_E_NOMEM);
    }
    assert_true(n > 5);
    pt_model_summary_free(&summary);
    unlink(path);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_it_runs),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_precisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
