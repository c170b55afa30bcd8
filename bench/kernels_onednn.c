/* Times the networks' FP32 layers on oneDNN alone, in the layouts that it likes best, for comparison with
 * bench_kernels --cpu: one thread, processor time, the least of all runs.
 *
 *   OMP_NUM_THREADS=1 bench_kernels_onednn [--network r50|mobilenet] [--layer TEXT] [--seconds S]
 * [--winograd]
 *
 * --winograd: oneDNN's Winograd, for the layers that it has it for. Activations and summands are left out. */
#include "bench/kernels_layers.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void check(dnnl_status_t status)
{
    if (status != dnnl_success) {
        fprintf(stderr, "oneDNN: status %d\n", (int)status);
        exit(1);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static dnnl_memory_desc_t any(int dims, const dnnl_dims_t sizes)
{
    dnnl_memory_desc_t desc;
    check(dnnl_memory_desc_init_by_tag(&desc, dims, sizes, dnnl_f32, dnnl_format_tag_any));
    return desc;
}

/* False: oneDNN has no such algorithm for the layer. */
static bool describe(dnnl_engine_t engine, const bench_layer *l, dnnl_alg_kind_t algorithm,
                     dnnl_primitive_desc_t *out)
{
    const int pad = l->kernel / 2, per_group = l->in / l->groups;
    const int h = pt_window_out(l->h, l->kernel, l->stride, pad),
              w = pt_window_out(l->w, l->kernel, l->stride, pad);
    const dnnl_memory_desc_t src = any(4, (dnnl_dims_t){l->n, l->in, l->h, l->w});
    const dnnl_memory_desc_t dst = any(4, (dnnl_dims_t){l->n, l->out, h, w});
    const dnnl_memory_desc_t bias = any(1, (dnnl_dims_t){l->out});
    const dnnl_memory_desc_t weights =
        l->groups > 1 ? any(5, (dnnl_dims_t){l->groups, l->out / l->groups, per_group, l->kernel, l->kernel})
                      : any(4, (dnnl_dims_t){l->out, l->in, l->kernel, l->kernel});
    const dnnl_dims_t strides = {l->stride, l->stride}, padding = {pad, pad};
    dnnl_convolution_desc_t desc;
    return dnnl_convolution_forward_desc_init(&desc, dnnl_forward_inference, algorithm, &src, &weights, &bias,
                                              &dst, strides, padding, padding) == dnnl_success &&
           dnnl_primitive_desc_create(out, &desc, NULL, engine, NULL) == dnnl_success;
}

/* Memory of an operand, filled with small numbers. */
static dnnl_memory_t memory_of(dnnl_engine_t engine, const_dnnl_primitive_desc_t primitive, dnnl_query_t what,
                               int index)
{
    dnnl_memory_t memory;
    const dnnl_memory_desc_t *desc = dnnl_primitive_desc_query_md(primitive, what, index);
    check(dnnl_memory_create(&memory, desc, engine, DNNL_MEMORY_ALLOCATE));
    float *data = NULL;
    check(dnnl_memory_get_data_handle(memory, (void **)&data));
    for (size_t i = 0; i < dnnl_memory_desc_get_size(desc) / sizeof *data; i++) {
        data[i] = (float)(i * 2654435761u % 1000) * 0.001f - 0.5f;
    }
    return memory;
}

static double time_of(dnnl_engine_t engine, dnnl_stream_t stream, dnnl_primitive_desc_t desc, double seconds)
{
    dnnl_primitive_t primitive;
    check(dnnl_primitive_create(&primitive, desc));
    dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, memory_of(engine, desc, dnnl_query_src_md, 0)},
        {DNNL_ARG_WEIGHTS, memory_of(engine, desc, dnnl_query_weights_md, 0)},
        {DNNL_ARG_BIAS, memory_of(engine, desc, dnnl_query_weights_md, 1)},
        {DNNL_ARG_DST, memory_of(engine, desc, dnnl_query_dst_md, 0)},
    };
    double best = 1e9;
    const double end = now() + seconds;
    for (double from = now(), to; from < end; from = to) {
        check(dnnl_primitive_execute(primitive, stream, 4, arguments));
        check(dnnl_stream_wait(stream));
        to = now();
        best = to - from < best ? to - from : best;
    }
    for (int i = 0; i < 4; i++) {
        check(dnnl_memory_destroy(arguments[i].memory));
    }
    check(dnnl_primitive_destroy(primitive));
    return best;
}

int main(int argc, char **argv)
{
    const char *network = NULL, *name = NULL;
    double seconds = 0.3;
    dnnl_alg_kind_t algorithm = dnnl_convolution_direct;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--winograd") == 0) {
            algorithm = dnnl_convolution_winograd;
        } else if (value && strcmp(argv[i], "--network") == 0) {
            network = argv[++i];
        } else if (value && strcmp(argv[i], "--layer") == 0) {
            name = argv[++i];
        } else if (value && strcmp(argv[i], "--seconds") == 0) {
            seconds = strtod(argv[++i], NULL);
        } else {
            fprintf(stderr, "unknown option %s; see the head of bench/kernels_onednn.c\n", argv[i]);
            return 2;
        }
    }
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    check(dnnl_engine_create(&engine, dnnl_cpu, 0));
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    printf("%-10s %-22s %5s %-34s %8s %8s\n", "network", "layer", "times", "implementation", "ms", "GFLOP/s");
    for (size_t i = 0; i < bench_layer_count; i++) {
        const bench_layer *l = &bench_layers[i];
        dnnl_primitive_desc_t desc;
        if ((network && strcmp(l->network, network) != 0) || (name && !strstr(l->name, name)) ||
            !describe(engine, l, algorithm, &desc)) {
            continue;
        }
        const char *implementation = NULL;
        check(dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &implementation));
        const double best = time_of(engine, stream, desc, seconds);
        const double pixels = (double)pt_window_out(l->h, l->kernel, l->stride, l->kernel / 2) *
                              pt_window_out(l->w, l->kernel, l->stride, l->kernel / 2) * l->n;
        const double flops = 2.0 * pixels * l->out * (l->in / l->groups) * l->kernel * l->kernel;
        printf("%-10s %-22s %5d %-34s %8.3f %8.1f\n", l->network, l->name, l->times, implementation,
               best * 1e3, flops / best * 1e-9);
        check(dnnl_primitive_desc_destroy(desc));
    }
    check(dnnl_stream_destroy(stream));
    check(dnnl_engine_destroy(engine));
    return 0;
}
