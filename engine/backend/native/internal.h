/* What the parts of the native backend share. A layer is one of several implementations, each with a table of
 * functions; native.c knows none of them beyond that table and their constructors.
 *
 * Scratch is memory that a task needs while it runs: one block per worker, the same block for every layer. A
 * layer says in `reserve` how much it needs at most; blocks only grow, and only there. A layer itself does
 * not change after its constructor, so several backends may run it side by side. */
#ifndef PANTILE_ENGINE_BACKEND_NATIVE_INTERNAL_H
#define PANTILE_ENGINE_BACKEND_NATIVE_INTERNAL_H

#include "engine/backend/backend.h"
#include "engine/kernels/cpu.h"

typedef struct pt_native {
    pt_backend base;
    unsigned char *scratch; /* scratch_each bytes per worker, at PT_ALIGNMENT */
    size_t scratch_each;    /* a multiple of PT_ALIGNMENT */
} pt_native;

typedef struct pt_native_ops {
    void (*free)(pt_conv *conv);
    /* Calls pt_native_reserve_scratch when run needs any. */
    pt_status (*reserve)(const pt_conv *conv, pt_native *native, int n, int h, int w);
    /* As pt_backend_ops.conv_run; cuts the work into tasks for native->base.pool. */
    void (*run)(const pt_conv *conv, pt_native *native, const pt_map *in, const pt_map *summand, pt_map *out);
    size_t (*bytes)(const pt_conv *conv);
    const char *(*method)(const pt_conv *conv);
} pt_native_ops;

/* What every implementation's struct begins with. */
struct pt_conv {
    const pt_native_ops *ops;
    pt_conv_spec spec;
};

/* Makes every worker's block at least `bytes` large; what the blocks held is lost. */
pt_status pt_native_reserve_scratch(pt_native *native, size_t bytes);

static inline void *pt_native_scratch(const pt_native *native, int worker)
{
    return native->scratch + (size_t)worker * native->scratch_each;
}

/* Constructors fill a layer for `isa` and return it ready to run, but for ops and spec's checks, which are
 * native.c's. They take from *weights what they keep, by nulling it; native.c frees the rest. */
typedef pt_status pt_native_new(const pt_conv_spec *spec, pt_conv_weights *weights, pt_isa isa,
                                pt_conv **out);

#endif
