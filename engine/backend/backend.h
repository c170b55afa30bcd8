/* The seam between the network and what computes its dense layers.
 *
 *   pt_backend_open("portable", threads, &backend)
 *   conv_new / linear_new                prepare a layer's weights once (pack, reorder)
 *   conv_reserve(layer, n, h, w)         for each size before it is run: the only place where run memory
 * grows conv_run / linear_run                validate nothing, allocate nothing, cannot fail conv_free /
 * linear_free, pt_backend_close
 *
 * A backend and its layers belong to one thread at a time; several backends may live in one process. What a
 * layer computes must be the same bytes for any number of threads.
 */
#ifndef PANTILE_ENGINE_BACKEND_BACKEND_H
#define PANTILE_ENGINE_BACKEND_BACKEND_H

#include "engine/backend/pool.h"
#include "engine/kernels/kernels.h"

#include <stdatomic.h>

typedef struct pt_backend pt_backend;
typedef struct pt_conv pt_conv;
typedef struct pt_linear pt_linear;

typedef struct pt_conv_spec {
    int in_channels, out_channels; /* multiples of groups */
    int kernel_h, kernel_w, stride, pad, groups;
    pt_activation activation;
} pt_conv_spec;

typedef struct pt_linear_spec {
    int inputs, outputs;
    pt_activation activation;
} pt_linear_spec;

typedef struct pt_backend_ops {
    const char *name;
    pt_status (*open)(int threads, pt_backend **out);
    void (*close)(pt_backend *backend);

    /* weights: out x in / groups x kh x kw, bias: out floats, both from pt_alloc_aligned. Takes both, also
     * when it fails. */
    pt_status (*conv_new)(pt_backend *backend, const pt_conv_spec *spec, float *weights, float *bias,
                          pt_conv **out);
    void (*conv_free)(pt_backend *backend, pt_conv *conv);
    pt_status (*conv_reserve)(pt_backend *backend, const pt_conv *conv, int n, int h, int w);
    /* out = activation(conv(in) + bias + add). add may be NULL (always for a depthwise convolution), a map of
     * out's size, or out->data itself. in and out must not overlap. */
    void (*conv_run)(pt_backend *backend, const pt_conv *conv, const pt_map *in, const float *add,
                     pt_map *out);

    /* weights: outputs x inputs. Takes both, as conv_new. */
    pt_status (*linear_new)(pt_backend *backend, const pt_linear_spec *spec, float *weights, float *bias,
                            pt_linear **out);
    void (*linear_free)(pt_backend *backend, pt_linear *linear);
    /* out (rows x outputs) = activation(in (rows x inputs) * weights^T + bias). */
    void (*linear_run)(pt_backend *backend, const pt_linear *linear, const float *in, size_t rows,
                       float *out);
} pt_backend_ops;

/* What every backend begins with. */
struct pt_backend {
    const pt_backend_ops *ops;
    pt_pool *pool;         /* for the work around the layers; owned by the backend */
    char description[128]; /* for people */
    atomic_ulong steps;    /* layers that were run; any thread may look */
};

/* Called after each layer, so that others see that the network moves. */
static inline void pt_backend_step(pt_backend *backend)
{
    atomic_fetch_add_explicit(&backend->steps, 1, memory_order_relaxed);
}

extern const pt_backend_ops pt_backend_portable;

/* name NULL: the best of this build; threads 0: all cores of this process. PT_E_USAGE for an unknown name. */
pt_status pt_backend_open(const char *name, int threads, pt_backend **out);
void pt_backend_close(pt_backend **backend);

/* The OPENBLAS_CORETYPE with which OpenBLAS would use this CPU's widest vectors although it has chosen other
 * kernels; NULL when its choice is right, or when the user has set that variable. */
const char *pt_blas_core_wanted(void);
/* The same for a choice `core` on a CPU that has these vectors. */
const char *pt_blas_core_for(const char *core, bool avx512, bool avx2);

#endif
