/* The seam between the network and what computes its dense layers: convolutions, and fully connected layers,
 * which are 1x1 convolutions over a map of rows x 1 x 1.
 *
 *   pt_backend_open("native", threads, &backend)
 *   conv_new                     prepares a layer's weights once (packs, reorders)
 *   conv_reserve(conv, n, h, w)  for each input size before it is run (n: the most); run memory grows here
 *                                alone
 *   conv_run                     validates nothing, allocates nothing, cannot fail
 *   conv_free, pt_backend_close
 *
 * A backend and its layers belong to one thread at a time, but conv_new's result may be run by several
 * backends of the same kind side by side, each with its own threads and scratch. What a
 * layer computes is the same bytes for any number of threads.
 *
 * What a layer computes, for output channel o (fmaf rounds once; sums of bytes are exact in 32 bits):
 *   F32 input: y = sum over taps and channels of x * w, plus bias[o]; order of the sum: the backend's
 *   U8 input:  acc = sum of (x - in.zero) * w_q, an integer; y = fmaf((float)acc, multiplier[o], bias[o])
 * with multiplier[o] = in.scale * scale[o] then       y += summand (F32), or y = fmaf((float)(s - sum.zero),
 * sum.scale, y) (U8) then       the activation U8 output: q = clamp(rint(y * (1 / out.scale)) + out.zero, 0,
 * 255), ties to even, 1 / out.scale rounded to float Bytes are therefore the same for every backend and
 * instruction set; floats of F32 layers agree within a tolerance between backends, and are the same for all
 * instruction sets of one backend unless its header says otherwise.
 */
#ifndef PANTILE_ENGINE_BACKEND_BACKEND_H
#define PANTILE_ENGINE_BACKEND_BACKEND_H

#include "engine/backend/pool.h"
#include "engine/kernels/map.h"

#include <stdatomic.h>

typedef struct pt_backend pt_backend;
typedef struct pt_conv pt_conv;

typedef enum pt_add {
    PT_ADD_NONE,
    PT_ADD_SAME,      /* a map of the output's size; may be the output itself */
    PT_ADD_UPSAMPLED, /* a smaller map: output pixel (y, x) adds its pixel (y * sh / h, x * sw / w), floored
                       */
} pt_add;

typedef struct pt_conv_spec {
    int in_channels, out_channels; /* multiples of groups */
    int kernel_h, kernel_w, stride, pad, groups;
    pt_activation activation;
    pt_add add;
    pt_elem in_elem, out_elem; /* F32 -> F32, U8 -> U8, U8 -> F32; the summand has out_elem */
    pt_quant in, sum, out;     /* of operands that are U8 */
    uint8_t outside[4];        /* U8: what channel c reads beyond the map is outside[c % 4] */
} pt_conv_spec;

/* A layer's numbers; all from pt_alloc_aligned or NULL. */
typedef struct pt_conv_weights {
    float *f32;   /* out x kernel_h x kernel_w x in / groups, of an F32 layer */
    int8_t *s8;   /* the same order, -127 .. 127, of a U8 layer */
    float *scale; /* out, of a U8 layer: real weight = s8 * scale */
    float *bias;  /* out */
} pt_conv_weights;

void pt_conv_weights_free(pt_conv_weights *weights); /* and zeroes */
/* How many products one output is the sum of. */
size_t pt_conv_rows(const pt_conv_spec *spec);
/* What no backend computes: PT_E_UNSUPPORTED for F32 -> U8, and for sums of bytes that may exceed 32 bits. */
pt_status pt_conv_spec_check(const pt_conv_spec *spec);

typedef struct pt_backend_ops {
    const char *name;
    pt_status (*open)(int threads, pt_backend **out);
    void (*close)(pt_backend *backend);

    /* Takes the weights (*weights is zeroed), also when it fails. PT_E_UNSUPPORTED, PT_E_NOMEM. */
    pt_status (*conv_new)(pt_backend *backend, const pt_conv_spec *spec, pt_conv_weights *weights,
                          pt_conv **out);
    void (*conv_free)(pt_backend *backend, pt_conv *conv);
    pt_status (*conv_reserve)(pt_backend *backend, pt_conv *conv, int n, int h, int w);
    /* in->n is 1 to what was reserved; h and w are as reserved. summand: NULL as spec.add says.
     * in and out must not overlap. */
    void (*conv_run)(pt_backend *backend, pt_conv *conv, const pt_map *in, const pt_map *summand,
                     pt_map *out);
    size_t (*conv_bytes)(const pt_conv *conv); /* memory of the prepared weights */
    /* How the layer is computed, for people: "direct 3x3 avx512", "winograd 4x4", "im2col"; a constant. */
    const char *(*conv_method)(const pt_conv *conv);
} pt_backend_ops;

/* What every backend begins with. */
struct pt_backend {
    const pt_backend_ops *ops;
    pt_pool *pool;         /* for the work around the layers; owned by the backend */
    char description[128]; /* for people */
    atomic_ulong steps;    /* layers that were run; any thread may look */
};

/* The executor calls it after each layer, so that others see that the network moves. */
static inline void pt_backend_step(pt_backend *backend)
{
    atomic_fetch_add_explicit(&backend->steps, 1, memory_order_relaxed);
}

extern const pt_backend_ops pt_backend_portable; /* OpenBLAS and plain C; the reference */
extern const pt_backend_ops pt_backend_native;   /* own kernels for x86-64 vectors */
extern const pt_backend_ops pt_backend_onednn;   /* only when built with oneDNN: PANTILE_ONEDNN */

/* name NULL or "auto": the best of this build for this CPU; threads 0: all cores of this process. PT_E_USAGE
 * for a name that this build has not, listing those it has; PT_E_UNSUPPORTED when this CPU lacks what it
 * needs. */
pt_status pt_backend_open(const char *name, int threads, pt_backend **out);
/* PT_E_USAGE for a name that no build has, listing those there are. */
pt_status pt_backend_check_name(const char *name);
void pt_backend_close(pt_backend **backend);
/* The names of this build, in order of preference, NULL at the end. */
const char *const *pt_backend_names(void);

/* The OPENBLAS_CORETYPE with which OpenBLAS would use this CPU's widest vectors although it has chosen other
 * kernels; NULL when its choice is right, or when the user has set that variable. */
const char *pt_blas_core_wanted(void);
/* pt_engine_blas_end_threads. */
void pt_blas_end_threads(void);
/* The same for a choice `core` on a CPU that has these vectors. */
const char *pt_blas_core_for(const char *core, bool avx512, bool avx2);

#endif
