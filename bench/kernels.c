/* Times the layers of the networks alone, on one backend: milliseconds, GFLOP/s (or GOP/s), share of
 * what as many cores do at the most.
 *
 *   bench_kernels [--int8] [--network r50|mobilenet] [--layer TEXT] [--threads N] [--direct] [--seconds S]
 *                 [--cpu] [--backend NAME] [--rows N] [--cold]
 *
 * Each time is the least of all runs in S seconds. --direct: no Winograd (native). --int8: bytes to bytes;
 * the stem reads 4 channels. The sums are those of all layers of the network at 1024 x 1024, 1,000 proposals
 * and 100 detections, or N regions each with --rows.
 * --cold: weights come from memory, as in a network, where other layers were between; the input is in the
 * caches as far as it fits. */
#include "bench/kernels_layers.h"
#include "engine/backend/native/native_f32.h"
#include "engine/kernels/peak.h"
#include "tiling/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct options {
    const char *network, *layer, *backend;
    int threads, rows;
    bool direct, int8, cold;
    double seconds;
} options;

static clockid_t measuring_clock = CLOCK_MONOTONIC;

static double now(void)
{
    struct timespec t;
    clock_gettime(measuring_clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Multiply-adds a second of one core; the best of many short loops. */
static double peak_rate(bool int8)
{
    const pt_peak peak = pt_peak_best();
    double best = 0;
    for (int i = 0; i < 100; i++) {
        const double from = now();
        const double count = (double)(int8 ? peak.u8 : peak.f32)(1 << 15);
        const double rate = count / (now() - from);
        best = rate > best ? rate : best;
    }
    return best;
}

static void *numbers(size_t count)
{
    float *block = pt_alloc_aligned(count + PT_MAP_SLACK / sizeof *block, sizeof *block);
    if (!block) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    for (size_t i = 0; i < count + PT_MAP_SLACK / sizeof *block; i++) {
        block[i] = (float)(i * 2654435761u % 1000) * 0.001f - 0.5f;
    }
    return block;
}

static void check(pt_status status)
{
    if (status.code != PT_OK) {
        fprintf(stderr, "%s\n", status.message);
        exit(1);
    }
}

typedef struct measured {
    double seconds, flops;
    const char *method;
} measured;

static void *bytes(size_t count)
{
    uint8_t *block = pt_alloc_aligned(count + PT_MAP_SLACK, 1);
    if (!block) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    for (size_t i = 0; i < count + PT_MAP_SLACK; i++) {
        block[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    return block;
}

static void *map_data(const pt_map *map)
{
    return map->elem == PT_U8 ? bytes(pt_map_count(map)) : numbers(pt_map_count(map));
}

static pt_conv *prepare(pt_backend *backend, const pt_conv_spec *spec, size_t each, const options *o)
{
    size_t out = (size_t)spec->out_channels;
    pt_conv_weights weights = {.bias = numbers(out)};
    pt_conv *conv = NULL;
    if (o->int8) {
        weights.s8 = bytes(out * each);
        weights.scale = numbers(out);
    } else {
        weights.f32 = numbers(out * each);
    }
    if (o->direct && !o->int8) {
        check(pt_native_f32_direct_new(spec, &weights, pt_isa_best(), &conv));
        pt_conv_weights_free(&weights);
    } else {
        check(backend->ops->conv_new(backend, spec, &weights, &conv));
    }
    return conv;
}

/* Leaves nothing in the caches but `input`. */
static void cool(const pt_map *input, volatile uint8_t *sink)
{
    enum { ROOM = 128 << 20, LINE = 64 }; /* bytes; the largest last caches that one core fills are smaller */
    static uint8_t *room;
    const size_t size = pt_map_count(input) * (input->elem == PT_U8 ? 1 : sizeof(float));
    room = room ? room : bytes(ROOM);
    for (size_t i = 0; i < ROOM; i += LINE) {
        room[i]++;
    }
    for (size_t i = 0; i < size; i += LINE) {
        *sink = ((const uint8_t *)input->data)[i];
    }
}

static measured measure(pt_backend *backend, const bench_layer *layer, const options *o)
{
    const pt_conv_spec spec = bench_layer_spec(layer, o->int8);
    pt_map in = {NULL, layer->n, layer->h, layer->w, spec.in_channels, spec.in_elem, spec.in};
    pt_map out = {NULL, layer->n, 0, 0, layer->out, spec.out_elem, spec.out};
    out.h = pt_window_out(in.h, spec.kernel_h, spec.stride, spec.pad);
    out.w = pt_window_out(in.w, spec.kernel_w, spec.stride, spec.pad);
    const size_t each = (size_t)(spec.kernel_h * spec.kernel_w * (spec.in_channels / spec.groups));
    pt_conv *conv = prepare(backend, &spec, each, o);
    check(backend->ops->conv_reserve(backend, conv, in.n, in.h, in.w));
    in.data = map_data(&in);
    out.data = map_data(&out);
    const size_t real = (size_t)(layer->kernel * layer->kernel * (layer->in / layer->groups));
    measured m = {1e9, 2.0 * (double)pt_map_count(&out) * (double)real, backend->ops->conv_method(conv)};
    const double end = now() + o->seconds;
    for (double from = now(); from < end; from = now()) {
        if (o->cold) {
            uint8_t sink;
            cool(&in, &sink);
            from = now();
        }
        backend->ops->conv_run(backend, conv, &in, spec.add == PT_ADD_NONE ? NULL : &out, &out);
        const double took = now() - from;
        m.seconds = took < m.seconds ? took : m.seconds;
    }
    pt_free(in.data);
    pt_free(out.data);
    backend->ops->conv_free(backend, conv);
    return m;
}

static options read_options(int argc, char **argv)
{
    options o = {.backend = "native", .threads = pt_cpu_count(), .seconds = 0.3};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--direct") == 0) {
            o.direct = true;
        } else if (strcmp(argv[i], "--cpu") == 0) {
            measuring_clock = CLOCK_THREAD_CPUTIME_ID;
            o.threads = 1;
        } else if (strcmp(argv[i], "--int8") == 0) {
            o.int8 = true;
        } else if (strcmp(argv[i], "--cold") == 0) {
            o.cold = true;
        } else if (value && strcmp(argv[i], "--rows") == 0) {
            o.rows = atoi(argv[++i]);
        } else if (value && strcmp(argv[i], "--network") == 0) {
            o.network = argv[++i];
        } else if (value && strcmp(argv[i], "--backend") == 0) {
            o.backend = argv[++i];
        } else if (value && strcmp(argv[i], "--layer") == 0) {
            o.layer = argv[++i];
        } else if (value && strcmp(argv[i], "--threads") == 0) {
            o.threads = atoi(argv[++i]);
        } else if (value && strcmp(argv[i], "--seconds") == 0) {
            o.seconds = strtod(argv[++i], NULL);
        } else {
            fprintf(stderr, "unknown option %s; see the head of bench/kernels.c\n", argv[i]);
            exit(2);
        }
    }
    return o;
}

int main(int argc, char **argv)
{
    const options o = read_options(argc, argv);
    pt_backend *backend = NULL;
    check(pt_backend_open(o.backend, o.threads, &backend));
    const double peak = 2 * peak_rate(o.int8) * o.threads;
    printf("%s, %d threads, peak %.0f GFLOP/s\n", backend->description, o.threads, peak * 1e-9);
    printf("%-10s %-22s %5s %-18s %9s %8s %8s %6s\n", "network", "layer", "times", "method", "GFLOP", "ms",
           "GFLOP/s", "peak");
    measured sum = {0};
    for (size_t i = 0; i < bench_layer_count; i++) {
        bench_layer one = bench_layers[i];
        const bench_layer *layer = &one;
        if ((o.network && strcmp(layer->network, o.network) != 0) ||
            (o.layer && !strstr(layer->name, o.layer))) {
            continue;
        }
        one.n = one.n > 1 && o.rows > 0 ? o.rows : one.n; /* the heads' layers */
        const measured m = measure(backend, layer, &o);
        printf("%-10s %-22s %5d %-18s %9.3f %8.3f %8.1f %5.0f%%\n", layer->network, layer->name, layer->times,
               m.method, m.flops * 1e-9, m.seconds * 1e3, m.flops / m.seconds * 1e-9,
               100 * m.flops / m.seconds / peak);
        sum.seconds += layer->times * m.seconds;
        sum.flops += layer->times * m.flops;
    }
    printf("%-52s %14.1f %8.1f %8.1f %5.0f%%\n", "all", sum.flops * 1e-9, sum.seconds * 1e3,
           sum.flops / sum.seconds * 1e-9, 100 * sum.flops / sum.seconds / peak);
    backend->ops->close(backend);
    return 0;
}
