#include "engine/backend/onednn/internal.h"

#include "engine/kernels/cpu.h"
#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* oneDNN asks OpenMP how many threads to use; the answer shall be one, and the caller's own setting stay. */
static int enter_alone(void)
{
    int before = omp_get_max_threads();
    omp_set_num_threads(1);
    return before;
}

static pthread_once_t engine_once = PTHREAD_ONCE_INIT;
static dnnl_engine_t engine_of_all;
static dnnl_status_t engine_status;

static void make_engine(void)
{
    engine_status = dnnl_engine_create(&engine_of_all, dnnl_cpu, 0);
}

pt_status pt_onednn_engine(dnnl_engine_t *out)
{
    pthread_once(&engine_once, make_engine);
    if (engine_status != dnnl_success) {
        return pt_error(PT_E_UNSUPPORTED, "oneDNN cannot run on this CPU (status %d); use --backend portable",
                        (int)engine_status);
    }
    *out = engine_of_all;
    return pt_ok();
}

static void onednn_close(pt_backend *backend)
{
    pt_onednn *self = (pt_onednn *)backend;
    for (int i = 0; self->streams && i < self->threads; i++) {
        dnnl_stream_destroy(self->streams[i]);
    }
    pt_backend_close(&self->portable);
    pt_pool_free(&self->base.pool);
    pt_free(self->streams);
    pt_free(self->scratch);
    pt_free(self);
}

static pt_status start(pt_onednn *self)
{
    dnnl_engine_t engine;
    PT_TRY(pt_onednn_engine(&engine));
    PT_TRY(pt_pool_new(self->threads, &self->base.pool));
    self->streams = pt_calloc((size_t)self->threads, sizeof(dnnl_stream_t));
    if (!self->streams) {
        return PT_NOMEM("the oneDNN backend");
    }
    for (int i = 0; i < self->threads; i++) {
        if (dnnl_stream_create(&self->streams[i], engine, dnnl_stream_default_flags) != dnnl_success) {
            return PT_NOMEM("the oneDNN backend");
        }
    }
    return pt_ok();
}

static const char *isa_name(void)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } names[] = {{dnnl_cpu_isa_avx512_core_amx, "amx"},   {dnnl_cpu_isa_avx512_core_bf16, "vnni"},
                 {dnnl_cpu_isa_avx512_core_vnni, "vnni"}, {dnnl_cpu_isa_avx512_core, "avx512"},
                 {dnnl_cpu_isa_avx2_vnni, "avx2"},        {dnnl_cpu_isa_avx2, "avx2"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].isa == dnnl_get_effective_cpu_isa()) {
            return names[i].name;
        }
    }
    return "sse";
}

static pt_status onednn_open(int threads, pt_backend **out)
{
    pt_onednn *self = pt_calloc(1, sizeof *self);
    if (!self) {
        return PT_NOMEM("the oneDNN backend");
    }
    self->base.ops = &pt_backend_onednn;
    self->threads = threads;
    int before = enter_alone();
    pt_status status = start(self);
    omp_set_num_threads(before);
    if (status.code != PT_OK) {
        onednn_close(&self->base);
        return status;
    }
    const dnnl_version_t *version = dnnl_version();
    snprintf(self->base.description, sizeof self->base.description, "onednn (oneDNN %d.%d.%d %s)",
             version->major, version->minor, version->patch, isa_name());
    *out = &self->base;
    return pt_ok();
}

/* Without VNNI oneDNN multiplies bytes by an instruction that saturates. */
static bool multiplies_bytes_exactly(void)
{
#ifdef PANTILE_HAVE_AVX512
    int isa = (int)dnnl_get_effective_cpu_isa(), vnni = (int)dnnl_cpu_isa_avx512_core_vnni;
    return (isa & vnni) == vnni && pt_isa_best() >= PT_ISA_AVX512;
#else
    return false; /* nothing to finish the sums with */
#endif
}

static void onednn_conv_free(pt_backend *backend, pt_conv *conv)
{
    if (!conv) {
        return;
    }
    pt_onednn *self = (pt_onednn *)backend;
    if (conv->portable) {
        pt_backend_portable.conv_free(self->portable, conv->portable);
    }
    pt_onednn_pieces_free(conv);
    pt_onednn_plan *next;
    for (pt_onednn_plan *p = atomic_load(&conv->plans); p; p = next) {
        next = p->next;
        pt_free(p->bands);
        pt_free(p);
    }
    pthread_mutex_destroy(&conv->lock);
    pt_free(conv->bias);
    pt_free(conv->multiplier);
    pt_free(conv->shift);
    pt_free(conv);
}

static pt_status reach_portable(pt_onednn *self)
{
    return self->portable ? pt_ok() : pt_backend_open("portable", self->threads, &self->portable);
}

/* multiplier and shift: the sum of (x - zero) * w is the sum of x * w less zero * the sum of w. */
static pt_status prepare_bytes(pt_conv *conv, const pt_conv_weights *weights)
{
    const pt_conv_spec *s = &conv->spec;
    size_t out = (size_t)s->out_channels;
    size_t each = (size_t)(s->in_channels / s->groups) * (size_t)s->kernel_h * (size_t)s->kernel_w;
    conv->multiplier = pt_alloc_aligned(out, sizeof *conv->multiplier);
    conv->shift = pt_alloc_aligned(out, sizeof *conv->shift);
    if (!conv->multiplier || !conv->shift) {
        return PT_NOMEM("a convolution");
    }
    for (size_t o = 0; o < out; o++) {
        int32_t sum = 0;
        for (size_t i = 0; i < each; i++) {
            sum += weights->s8[o * each + i];
        }
        conv->multiplier[o] = s->in.scale * weights->scale[o];
        conv->shift[o] = -s->in.zero * sum;
    }
    return pt_ok();
}

static pt_status prepare_bias(pt_conv *conv)
{
    dnnl_engine_t engine;
    dnnl_memory_desc_t desc;
    dnnl_dims_t dims = {conv->spec.out_channels};
    PT_TRY(pt_onednn_engine(&engine));
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&desc, 1, dims, dnnl_f32, dnnl_x);
    status = status ? status : dnnl_memory_create(&conv->bias_memory, &desc, engine, conv->bias);
    return pt_onednn_status(status, "bias", &conv->spec);
}

static pt_status prepare(pt_conv *conv, pt_conv_weights *weights)
{
    const pt_conv_spec *s = &conv->spec;
    conv->bias = weights->bias;
    weights->bias = NULL;
    if (s->in_elem == PT_U8) {
        PT_TRY(prepare_bytes(conv, weights));
        void *data = weights->s8;
        weights->s8 = NULL;
        PT_TRY(pt_onednn_pack_first(conv, data));
    } else {
        PT_TRY(prepare_bias(conv));
        void *data = weights->f32;
        weights->f32 = NULL;
        PT_TRY(pt_onednn_pack_first(conv, data));
    }
    if (conv->flat) {
        int pixels = pt_onednn_chunk_pixels(s);
        pt_onednn_shape shape = {.in_h = 1, .in_w = pixels, .out_h = 1, .out_w = pixels};
        PT_TRY(pt_onednn_piece_get(conv, &shape, &conv->chunk));
    }
    return pt_ok();
}

static pt_conv *new_conv(const pt_conv_spec *s)
{
    pt_conv *conv = pt_calloc(1, sizeof *conv);
    if (conv) {
        conv->spec = *s;
        conv->flat = s->kernel_h == 1 && s->kernel_w == 1 && s->stride == 1 && s->pad == 0 && s->groups == 1;
        /* Where a window may lie in the padding alone oneDNN refuses the padding. */
        conv->copied = s->pad > 0 && (s->in_elem == PT_U8 || s->pad >= s->kernel_h || s->pad >= s->kernel_w);
        pthread_mutex_init(&conv->lock, NULL);
    }
    return conv;
}

static pt_status onednn_conv_new(pt_backend *backend, const pt_conv_spec *spec, pt_conv_weights *weights,
                                 pt_conv **out)
{
    pt_onednn *self = (pt_onednn *)backend;
    pt_status status = pt_conv_spec_check(spec);
    pt_conv *conv = status.code == PT_OK ? new_conv(spec) : NULL;
    if (!conv) {
        pt_conv_weights_free(weights);
        return status.code == PT_OK ? PT_NOMEM("a convolution") : status;
    }
    if (spec->in_elem == PT_U8 && !multiplies_bytes_exactly()) {
        status = reach_portable(self);
        if (status.code == PT_OK) {
            status = self->portable->ops->conv_new(self->portable, spec, weights, &conv->portable);
        }
    } else {
        int before = enter_alone();
        status = prepare(conv, weights);
        omp_set_num_threads(before);
    }
    pt_conv_weights_free(weights);
    if (status.code != PT_OK) {
        onednn_conv_free(backend, conv);
        return status;
    }
    *out = conv;
    return pt_ok();
}

static pt_status reserve_scratch(pt_onednn *self, size_t bytes)
{
    size_t all;
    if (bytes <= self->scratch_each) {
        return pt_ok();
    }
    unsigned char *scratch = NULL;
    if (pt_size_mul(bytes, (size_t)self->threads, &all)) {
        scratch = pt_alloc_aligned(all, 1);
    }
    if (!scratch) {
        return PT_NOMEM("the oneDNN backend's scratch");
    }
    pt_free(self->scratch);
    self->scratch = scratch;
    self->scratch_each = bytes;
    return pt_ok();
}

static pt_status reserve_piece(pt_onednn *self, const pt_conv *conv, pt_onednn_piece *piece)
{
    PT_TRY(pt_onednn_piece_seat(piece, self));
    return reserve_scratch(self, pt_onednn_scratch_of(conv, piece).all);
}

static pt_status reserve(pt_onednn *self, pt_conv *conv, int n, int h, int w)
{
    if (conv->flat) {
        return reserve_piece(self, conv, conv->chunk);
    }
    pt_onednn_plan *plan;
    PT_TRY(pt_onednn_plan_get(conv, n, h, w, &plan));
    for (size_t b = 0; b < plan->band_count; b++) {
        PT_TRY(reserve_piece(self, conv, plan->bands[b].piece));
    }
    return pt_ok();
}

static pt_status onednn_conv_reserve(pt_backend *backend, pt_conv *conv, int n, int h, int w)
{
    pt_onednn *self = (pt_onednn *)backend;
    if (conv->portable) {
        PT_TRY(reach_portable(self));
        return self->portable->ops->conv_reserve(self->portable, conv->portable, n, h, w);
    }
    int before = enter_alone();
    pthread_mutex_lock(&conv->lock);
    pt_status status = reserve(self, conv, n, h, w);
    pthread_mutex_unlock(&conv->lock);
    omp_set_num_threads(before);
    return status;
}

static void onednn_conv_run(pt_backend *backend, pt_conv *conv, const pt_map *in, const pt_map *summand,
                            pt_map *out)
{
    pt_onednn *self = (pt_onednn *)backend;
    if (conv->portable) {
        self->portable->ops->conv_run(self->portable, conv->portable, in, summand, out);
    } else {
        int before = enter_alone();
        if (conv->flat) {
            pt_onednn_run_flat(self, conv, in, summand, out);
        } else {
            pt_onednn_run_bands(self, conv, in, summand, out);
        }
        omp_set_num_threads(before);
    }
    pt_backend_step(backend);
}

static size_t onednn_conv_bytes(const pt_conv *conv)
{
    if (conv->portable) {
        return pt_backend_portable.conv_bytes(conv->portable);
    }
    size_t vectors = conv->spec.in_elem == PT_U8 ? 3 : 1;
    size_t bytes = vectors * (size_t)conv->spec.out_channels * sizeof(float);
    for (const pt_onednn_packed *p = conv->packed; p; p = p->next) {
        bytes += p->bytes;
    }
    return bytes;
}

static const char *onednn_conv_method(const pt_conv *conv)
{
    return conv->portable ? pt_backend_portable.conv_method(conv->portable) : conv->method;
}

const pt_backend_ops pt_backend_onednn = {
    .name = "onednn",
    .open = onednn_open,
    .close = onednn_close,
    .conv_new = onednn_conv_new,
    .conv_free = onednn_conv_free,
    .conv_reserve = onednn_conv_reserve,
    .conv_run = onednn_conv_run,
    .conv_bytes = onednn_conv_bytes,
    .conv_method = onednn_conv_method,
};
