#include "engine/measure/measure.h"

#include <jansson.h>

static const double mib = 1024 * 1024;

static double share_of(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static json_t *components_json(const pt_measurement *r)
{
    json_t *all = json_object();
    for (size_t i = 0; all && i < r->component_count; i++) {
        const pt_measure_component *c = &r->components[i];
        json_t *one = json_pack("{s:f,s:f}", "ms", c->ms, "gflop", c->gflop);
        if (json_object_set_new(all, c->name, one) != 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static json_t *layers_json(const pt_measurement *r)
{
    json_t *all = json_array();
    for (size_t i = 0; all && i < r->layer_count; i++) {
        const pt_layer_report *l = &r->layers[i];
        double ms = 1e3 * l->seconds / r->layer_images;
        json_t *one = json_pack(
            "{s:s,s:s,s:s,s:s,s:s,s:s,s:[i,i,i,i],s:f,s:f,s:f,s:f,s:f}", "name", l->name, "component",
            l->component, "kind", l->kind, "method", l->method, "in", l->in, "out", l->out, "shape", l->n,
            l->h, l->w, l->c, "ms", ms, "gflop", 1e-9 * l->flops, "gflops", 1e-6 * share_of(l->flops, ms),
            "weight_mib", (double)l->weight_bytes / mib, "activation_mib", (double)l->activation_bytes / mib);
        if (json_array_append_new(all, one) != 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static int set_run(json_t *root, const pt_measurement *r)
{
    const pt_model_summary *model = pt_engine_model(r->engine);
    json_t *name = json_string(model->name); /* a file's name may be no UTF-8: then null */
    return json_object_update_new(
        root, json_pack("{s:o,s:s,s:s,s:s,s:i,s:i,s:i,s:i,s:i,s:I,s:f}", "model", name ? name : json_null(),
                        "architecture", model->architecture, "backend", pt_engine_backend(r->engine),
                        "precision", pt_engine_precision(r->engine), "threads", pt_engine_threads(r->engine),
                        "streams", pt_engine_streams(r->engine), "batch", r->batch, "width", r->width,
                        "height", r->height, "tiles", (json_int_t)r->tiles, "detections", r->detections));
}

static int set_speed(json_t *root, const pt_measurement *r)
{
    return json_object_update_new(
        root, json_pack("{s:{s:f,s:f,s:f},s:f,s:f,s:f,s:f,s:f,s:f,s:s,s:s,s:f,s:f,s:f,s:f}", "ms_per_tile",
                        "min", r->ms_min, "median", r->ms_median, "max", r->ms_max, "cpu_ms_per_tile",
                        r->cpu_ms, "mpx_per_s", r->mpx_per_s, "gflop_per_tile", r->gflop, "gflops", r->gflops,
                        "peak_fma_gflops", r->peak_gflops, "peak_vnni_gops", r->peak_gops, "peak_fma_by",
                        r->peak_f32, "peak_vnni_by", r->peak_u8, "share_of_peak", r->share,
                        "share_of_peak_cpu", r->cpu_share, "open_ms", r->open_ms, "plan_ms", r->plan_ms));
}

static int set_memory(json_t *root, const pt_measurement *r)
{
    const pt_engine_memory *m = &r->memory;
    return json_object_update_new(
        root, json_pack("{s:f,s:f,s:f,s:f,s:f,s:i,s:i}", "new_size_ms", r->new_size_ms, "peak_rss_mib",
                        r->peak_rss_mib, "weights_mib", (double)m->weights / mib, "arena_mib",
                        (double)m->arena / mib, "unshared_mib", (double)m->unshared / mib, "operators",
                        m->operators, "layers_run", m->layers));
}

pt_status pt_measure_json(const pt_measurement *r, bool layers, FILE *out)
{
    json_t *root = json_object();
    if (!root || set_run(root, r) != 0 || set_speed(root, r) != 0 || set_memory(root, r) != 0 ||
        json_object_set_new(root, "components", components_json(r)) != 0 ||
        (layers && json_object_set_new(root, "layers", layers_json(r)) != 0)) {
        json_decref(root);
        return PT_NOMEM("the measurement as JSON");
    }
    (void)json_dumpf(root, out, JSON_INDENT(1) | JSON_REAL_PRECISION(7)); /* the caller asks the stream */
    fputc('\n', out);
    json_decref(root);
    return pt_ok();
}

static void print_layers(const pt_measurement *r, FILE *out)
{
    fprintf(out, "\n%-40s %-16s %-22s %-9s %-18s %8s %8s %8s\n", "layer", "kind", "method", "in > out",
            "shape", "ms", "GFLOP", "GFLOP/s");
    for (size_t i = 0; i < r->layer_count; i++) {
        const pt_layer_report *l = &r->layers[i];
        char shape[48], types[16];
        double ms = 1e3 * l->seconds / r->layer_images;
        snprintf(shape, sizeof shape, "%dx%dx%dx%d", l->n, l->h, l->w, l->c);
        snprintf(types, sizeof types, "%s > %s", l->in, l->out);
        fprintf(out, "%-40s %-16s %-22s %-9s %-18s %8.3f %8.3f %8.1f\n", l->name, l->kind, l->method, types,
                shape, ms, 1e-9 * l->flops, 1e-6 * share_of(l->flops, ms));
    }
}

void pt_measure_print(const pt_measurement *r, bool layers, FILE *out)
{
    const pt_engine_memory *m = &r->memory;
    fprintf(out, "model      %s, %s, %s\n", pt_engine_model(r->engine)->name, pt_engine_precision(r->engine),
            pt_engine_backend(r->engine));
    fprintf(out, "work       %d x %d px, %d threads, %d streams, batches of %d, %zu tiles timed\n", r->width,
            r->height, pt_engine_threads(r->engine), pt_engine_streams(r->engine), r->batch, r->tiles);
    fprintf(out,
            "tile       %.2f ms (median; %.2f to %.2f), %.2f of all threads, %.2f Mpx/s, %.0f detections\n",
            r->ms_median, r->ms_min, r->ms_max, r->cpu_ms, r->mpx_per_s, r->detections);
    fprintf(
        out,
        "rate       %.2f GFLOP a tile, %.1f GFLOP/s, %.1f%% of the peak (%.1f%% by the processors' time)\n",
        r->gflop, r->gflops, 100 * r->share, 100 * r->cpu_share);
    fprintf(out, "peak       %.1f GFLOP/s of floats (%s), %.1f GOP/s of bytes (%s)\n", r->peak_gflops,
            r->peak_f32, r->peak_gops, r->peak_u8);
    fprintf(out, "memory     %.1f MiB at the most; weights %.1f, activations %.1f (%.1f unshared)\n",
            r->peak_rss_mib, (double)m->weights / mib, (double)m->arena / mib, (double)m->unshared / mib);
    fprintf(out, "start      %.0f ms to open, %.1f ms to plan, %.1f ms more for a new size\n", r->open_ms,
            r->plan_ms, r->new_size_ms);
    fprintf(out, "layers     %d operators in the model, %d layers run\n\n", m->operators, m->layers);
    fprintf(out, "%-10s %9s %9s %9s\n", "component", "ms", "GFLOP", "GFLOP/s");
    for (size_t i = 0; i < r->component_count; i++) {
        const pt_measure_component *c = &r->components[i];
        fprintf(out, "%-10s %9.2f %9.2f %9.1f\n", c->name, c->ms, c->gflop, 1e3 * share_of(c->gflop, c->ms));
    }
    if (layers) {
        print_layers(r, out);
    }
}
