/* The backend that runs everywhere and is the reference for the others: floats by OpenBLAS's SGEMM, bytes by
 * plain integer loops. Tasks are blocks of output pixels of a fixed size, so that any number of threads gives
 * the same bytes; OpenBLAS runs single-threaded inside each. */
#include "engine/backend/portable.h"

#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <cblas.h>
#include <stdio.h>

static void portable_close(pt_backend *backend)
{
    pt_portable *self = (pt_portable *)backend;
    pt_pool_free(&self->base.pool);
    pt_free(self->scratch);
    pt_free(self);
}

static pt_status portable_open(int threads, pt_backend **out)
{
    pt_portable *self = pt_calloc(1, sizeof *self);
    if (!self) {
        return PT_NOMEM("the portable backend");
    }
    self->base.ops = &pt_backend_portable;
    pt_status status = pt_pool_new(threads, &self->base.pool);
    if (status.code != PT_OK) {
        portable_close(&self->base);
        return status;
    }
    openblas_set_num_threads(1);
    const char *config = openblas_get_config(); /* "OpenBLAS 0.3.21 NO_LAPACKE ..." */
    int length = 0;
    for (int words = 0; config[length] && (config[length] != ' ' || ++words < 2);) {
        length++;
    }
    snprintf(self->base.description, sizeof self->base.description, "portable (%.*s %s)", length, config,
             openblas_get_corename());
    *out = &self->base;
    return pt_ok();
}

static pt_portable_kind kind_of(const pt_conv_spec *s)
{
    if (s->groups == 1 && s->kernel_h == 1 && s->kernel_w == 1 && s->stride == 1 && s->pad == 0) {
        return PT_PORTABLE_GEMM;
    }
    bool depthwise = s->groups == s->in_channels && s->groups == s->out_channels;
    return depthwise ? PT_PORTABLE_DEPTHWISE : PT_PORTABLE_IM2COL;
}

static void portable_conv_free(pt_backend *backend, pt_conv *conv)
{
    (void)backend;
    if (conv) {
        pt_free(conv->f32);
        pt_free(conv->s16);
        pt_free(conv->multiplier);
        pt_free(conv->bias);
        pt_free(conv);
    }
}

static pt_status portable_conv_new(pt_backend *backend, const pt_conv_spec *spec, pt_conv_weights *weights,
                                   pt_conv **out)
{
    pt_status status;
    pt_conv *conv = NULL;
    PT_TRY_OUT(pt_conv_spec_check(spec));
    conv = pt_calloc(1, sizeof *conv);
    if (!conv) {
        status = PT_NOMEM("a convolution");
        goto out;
    }
    conv->spec = *spec;
    conv->kind = kind_of(spec);
    conv->rows = pt_conv_rows(spec);
    PT_TRY_OUT(spec->in_elem == PT_U8 ? pt_portable_u8_prepare(conv, weights)
                                      : pt_portable_f32_prepare(conv, weights));
    conv->bias = weights->bias;
    weights->bias = NULL;
    *out = conv;
    conv = NULL;
out:
    portable_conv_free(backend, conv);
    pt_conv_weights_free(weights);
    return status;
}

/* A block's size does not depend on the map's. */
static pt_status portable_conv_reserve(pt_backend *backend, pt_conv *conv, int n, int h, int w)
{
    pt_portable *self = (pt_portable *)backend;
    (void)n, (void)h, (void)w;
    size_t each, all;
    bool counted = conv->spec.in_elem == PT_U8 ? pt_portable_u8_scratch(conv, &each)
                                               : pt_portable_f32_scratch(conv, &each);
    each = counted ? (each + PT_ALIGNMENT - 1) / PT_ALIGNMENT * PT_ALIGNMENT : 0;
    if (!counted || !pt_size_mul(each, (size_t)pt_pool_threads(self->base.pool), &all)) {
        return PT_NOMEM("a convolution's columns");
    }
    if (each <= self->scratch_each) {
        return pt_ok();
    }
    char *scratch = pt_alloc_aligned(all, 1);
    if (!scratch) {
        return PT_NOMEM("a convolution's columns");
    }
    pt_free(self->scratch);
    self->scratch = scratch;
    self->scratch_each = each;
    return pt_ok();
}

pt_portable_pixel pt_portable_locate(const pt_map *map, size_t pixel)
{
    size_t w = (size_t)map->w, h = (size_t)map->h;
    return (pt_portable_pixel){(int)(pixel / w / h), (int)(pixel / w % h), (int)(pixel % w)};
}

size_t pt_portable_summand(const pt_portable_job *job, size_t pixel)
{
    if (job->conv->spec.add == PT_ADD_SAME) {
        return pixel;
    }
    const pt_map *from = job->summand, *to = job->out;
    pt_portable_pixel at = pt_portable_locate(to, pixel);
    size_t y = (size_t)at.y * (size_t)from->h / (size_t)to->h;
    size_t x = (size_t)at.x * (size_t)from->w / (size_t)to->w;
    return ((size_t)at.n * (size_t)from->h + y) * (size_t)from->w + x;
}

static void portable_conv_run(pt_backend *backend, pt_conv *conv, const pt_map *in, const pt_map *summand,
                              pt_map *out)
{
    pt_portable_job job = {
        .backend = (const pt_portable *)backend, .conv = conv, .in = in, .summand = summand, .out = out};
    if (conv->spec.in_elem == PT_U8) {
        pt_portable_u8_run(&job);
    } else {
        pt_portable_f32_run(&job);
    }
}

static size_t portable_conv_bytes(const pt_conv *conv)
{
    size_t outputs = (size_t)conv->spec.out_channels;
    size_t each = conv->s16 ? sizeof *conv->s16 : sizeof *conv->f32;
    return outputs * (conv->rows * each + sizeof(float) * (conv->s16 ? 2 : 1));
}

static const char *portable_conv_method(const pt_conv *conv)
{
    static const char *const floats[] = {
        [PT_PORTABLE_GEMM] = "sgemm", [PT_PORTABLE_IM2COL] = "im2col", [PT_PORTABLE_DEPTHWISE] = "depthwise"};
    return conv->spec.in_elem == PT_U8 ? "integers" : floats[conv->kind];
}

const pt_backend_ops pt_backend_portable = {
    .name = "portable",
    .open = portable_open,
    .close = portable_close,
    .conv_new = portable_conv_new,
    .conv_free = portable_conv_free,
    .conv_reserve = portable_conv_reserve,
    .conv_run = portable_conv_run,
    .conv_bytes = portable_conv_bytes,
    .conv_method = portable_conv_method,
};
