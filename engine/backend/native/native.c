/* Own kernels for x86-64 vectors, and plain C where there are none. Every version of a kernel computes the
 * same bits, so a layer's result is the same on any CPU and for any number of threads. */
#include "engine/backend/native/internal.h"
#include "engine/backend/native/native_f32.h"
#include "engine/backend/native/native_u8.h"

#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <stdio.h>

static void native_close(pt_backend *backend)
{
    pt_native *self = (pt_native *)backend;
    pt_pool_free(&self->base.pool);
    pt_free(self->scratch);
    pt_free(self);
}

static pt_status native_open(int threads, pt_backend **out)
{
    pt_native *self = pt_calloc(1, sizeof *self);
    if (!self) {
        return PT_NOMEM("the native backend");
    }
    self->base.ops = &pt_backend_native;
    pt_status status = pt_pool_new(threads, &self->base.pool);
    if (status.code != PT_OK) {
        native_close(&self->base);
        return status;
    }
    snprintf(self->base.description, sizeof self->base.description, "native (%s)",
             pt_isa_name(pt_isa_best()));
    *out = &self->base;
    return pt_ok();
}

pt_status pt_native_reserve_scratch(pt_native *native, size_t bytes)
{
    size_t each, all;
    if (!pt_size_add(bytes, PT_ALIGNMENT - 1, &each)) {
        return PT_NOMEM("the native backend's scratch");
    }
    each -= each % PT_ALIGNMENT;
    if (each <= native->scratch_each) {
        return pt_ok();
    }
    unsigned char *scratch = NULL;
    if (pt_size_mul(each, (size_t)pt_pool_threads(native->base.pool), &all)) {
        scratch = pt_alloc_aligned(all, 1);
    }
    if (!scratch) {
        return PT_NOMEM("the native backend's scratch");
    }
    pt_free(native->scratch);
    native->scratch = scratch;
    native->scratch_each = each;
    return pt_ok();
}

static pt_status native_conv_new(pt_backend *backend, const pt_conv_spec *spec, pt_conv_weights *weights,
                                 pt_conv **out)
{
    (void)backend;
    pt_native_new *make = spec->in_elem == PT_U8 ? pt_native_u8_new : pt_native_f32_new;
    pt_status status = pt_conv_spec_check(spec);
    if (status.code == PT_OK) {
        status = make(spec, weights, pt_isa_best(), out);
    }
    pt_conv_weights_free(weights);
    return status;
}

static void native_conv_free(pt_backend *backend, pt_conv *conv)
{
    (void)backend;
    if (conv) {
        conv->ops->free(conv);
    }
}

static pt_status native_conv_reserve(pt_backend *backend, pt_conv *conv, int n, int h, int w)
{
    return conv->ops->reserve(conv, (pt_native *)backend, n, h, w);
}

static void native_conv_run(pt_backend *backend, pt_conv *conv, const pt_map *in, const pt_map *summand,
                            pt_map *out)
{
    conv->ops->run(conv, (pt_native *)backend, in, summand, out);
}

static size_t native_conv_bytes(const pt_conv *conv)
{
    return conv->ops->bytes(conv);
}

static const char *native_conv_method(const pt_conv *conv)
{
    return conv->ops->method(conv);
}

const pt_backend_ops pt_backend_native = {
    .name = "native",
    .open = native_open,
    .close = native_close,
    .conv_new = native_conv_new,
    .conv_free = native_conv_free,
    .conv_reserve = native_conv_reserve,
    .conv_run = native_conv_run,
    .conv_bytes = native_conv_bytes,
    .conv_method = native_conv_method,
};
