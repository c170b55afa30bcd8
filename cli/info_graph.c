#include "cli/info_graph.h"

#include <stdio.h>
#include <string.h>

/* Of a component, or of all layers. */
typedef struct sum {
    const char *component;
    int layers, operators;
    double flops, byte_flops; /* byte_flops: of layers that compute in bytes */
    size_t weights, activations;
} sum;

enum { COMPONENTS = 6 }; /* the last: all */

static void add(sum *to, const pt_model_layer *layer)
{
    to->layers++;
    to->operators += layer->fused;
    to->flops += layer->flops;
    to->byte_flops += strcmp(layer->in, "u8") == 0 ? layer->flops : 0;
    to->weights += layer->weight_bytes;
    to->activations += layer->activation_bytes;
}

static void sum_up(const pt_model_graph *graph, sum sums[COMPONENTS])
{
    static const char *const names[COMPONENTS] = {"backbone", "fpn", "rpn", "box", "mask", "all"};
    for (int i = 0; i < COMPONENTS; i++) {
        sums[i] = (sum){.component = names[i]};
        for (size_t k = 0; k < graph->layer_count; k++) {
            if (i == COMPONENTS - 1 || strcmp(graph->layers[k].component, names[i]) == 0) {
                add(&sums[i], &graph->layers[k]);
            }
        }
    }
}

static double mib(size_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void print_layer(const pt_model_layer *l, int name_width)
{
    char shape[48], numbers[16];
    snprintf(shape, sizeof shape, "%d x %d x %d x %d", l->n, l->h, l->w, l->c);
    snprintf(numbers, sizeof numbers, strcmp(l->in, l->out) ? "%s>%s" : "%s", l->in, l->out);
    printf("%-*s  %-9s %-26s %-22s %8.3f %10.1f %9.2f  %-7s %3d\n", name_width, l->name, l->component,
           l->kind, shape, l->flops / 1e9, (double)l->weight_bytes / 1024, mib(l->activation_bytes), numbers,
           l->fused);
}

void pt_info_graph_print(const pt_model_graph *graph)
{
    sum sums[COMPONENTS];
    int width = 5;
    for (size_t i = 0; i < graph->layer_count; i++) {
        int length = (int)strlen(graph->layers[i].name);
        width = length > width ? length : width;
    }
    printf("%-*s  %-9s %-26s %-22s %8s %10s %9s  %-7s %s\n", width, "layer", "part", "what",
           "output (n x h x w x c)", "GFLOP", "weight KiB", "moved MiB", "numbers", "operators");
    for (size_t i = 0; i < graph->layer_count; i++) {
        print_layer(&graph->layers[i], width);
    }
    sum_up(graph, sums);
    printf("\n%-9s %9s %6s %9s %9s %11s %10s\n", "part", "operators", "layers", "GFLOP", "in bytes",
           "weight MiB", "moved MiB");
    for (int i = 0; i < COMPONENTS; i++) {
        const sum *s = &sums[i];
        printf("%-9s %9d %6d %9.2f %8.1f%% %11.2f %10.1f\n", s->component, s->operators, s->layers,
               s->flops / 1e9, s->flops > 0 ? 100 * s->byte_flops / s->flops : 0, mib(s->weights),
               mib(s->activations));
    }
    printf("\nimage %d x %d, precision %s: operators %d -> layers %zu", graph->width, graph->height,
           graph->precision, graph->operators, graph->layer_count);
    int dropped = graph->operators - sums[COMPONENTS - 1].operators;
    if (dropped > 0) {
        printf(" (%d dropped)", dropped);
    }
    putchar('\n');
}

static json_t *layer_json(const pt_model_layer *l)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:[i,i,i,i],s:f,s:I,s:I,s:i}", "name", l->name, "component",
                     l->component, "kind", l->kind, "in", l->in, "out", l->out, "shape", l->n, l->h, l->w,
                     l->c, "flops", l->flops, "weight_bytes", (json_int_t)l->weight_bytes, "activation_bytes",
                     (json_int_t)l->activation_bytes, "operators", l->fused);
}

json_t *pt_info_graph_json(const pt_model_graph *graph)
{
    sum sums[COMPONENTS];
    json_t *layers = json_array(), *components = json_object();
    for (size_t i = 0; i < graph->layer_count; i++) {
        json_array_append_new(layers, layer_json(&graph->layers[i]));
    }
    sum_up(graph, sums);
    for (int i = 0; i < COMPONENTS; i++) {
        const sum *s = &sums[i];
        json_object_set_new(components, s->component,
                            json_pack("{s:i,s:i,s:f,s:f,s:I,s:I}", "operators", s->operators, "layers",
                                      s->layers, "flops", s->flops, "int8_flops", s->byte_flops,
                                      "weight_bytes", (json_int_t)s->weights, "activation_bytes",
                                      (json_int_t)s->activations));
    }
    return json_pack("{s:s,s:[i,i],s:i,s:i,s:o,s:o}", "precision", graph->precision, "size", graph->width,
                     graph->height, "operators", graph->operators, "layer_count", (int)graph->layer_count,
                     "components", components, "layers", layers);
}
