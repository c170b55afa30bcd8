#include "engine/backend/onednn/internal.h"

#include <omp.h>
#include <stdatomic.h>
#include <string.h>

typedef struct job {
    pt_onednn *backend;
    const pt_conv *conv;
    const pt_onednn_plan *plan; /* of bands */
    const pt_map *in, *summand;
    pt_map *out;
} job;

static unsigned char *scratch_of(const job *j, int worker)
{
    return j->backend->scratch + (size_t)worker * j->backend->scratch_each;
}

/* Cannot fail: the arguments are those that the primitive was made for. */
static void execute(const job *j, const pt_onednn_piece *piece, int worker, const void *in, void *out)
{
    const pt_onednn_seats *seats = atomic_load_explicit(&piece->seats, memory_order_acquire);
    while (seats->backend != j->backend || seats->count < j->backend->threads) {
        seats = seats->next;
    }
    const struct pt_onednn_seat *seat = &seats->items[worker];
    (void)dnnl_memory_set_data_handle(seat->in, (void *)(uintptr_t)in);
    (void)dnnl_memory_set_data_handle(seat->out, out);
    (void)dnnl_memory_set_data_handle(seat->scratch, scratch_of(j, worker));
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, seat->in},
                                   {DNNL_ARG_WEIGHTS, piece->weights->memory},
                                   {DNNL_ARG_DST, seat->out},
                                   {DNNL_ARG_SCRATCHPAD, seat->scratch},
                                   {DNNL_ARG_BIAS, j->conv->bias_memory}};
    omp_set_num_threads(1); /* of this thread alone */
    (void)dnnl_primitive_execute(piece->primitive, j->backend->streams[worker], j->conv->bias_memory ? 5 : 4,
                                 arguments);
}

/* The summand of the output's pixel number p, or NULL. */
static const void *summand_of(const job *j, size_t p)
{
    const pt_conv_spec *s = &j->conv->spec;
    const pt_map *sum = j->summand;
    if (s->add == PT_ADD_NONE) {
        return NULL;
    }
    if (s->add == PT_ADD_UPSAMPLED) {
        size_t w = (size_t)j->out->w, h = (size_t)j->out->h;
        size_t x = p % w, y = p / w % h, n = p / w / h;
        size_t row = y * (size_t)sum->h / h, column = x * (size_t)sum->w / w;
        p = (n * (size_t)sum->h + row) * (size_t)sum->w + column;
    }
    return (const char *)sum->data + p * (size_t)s->out_channels * pt_elem_size(s->out_elem);
}

/* oneDNN adds to what stands in the output: the summands of `count` pixels from p on. */
static void place_summands(const job *j, size_t p, size_t count, float *out)
{
    size_t channels = (size_t)j->conv->spec.out_channels;
    if (j->conv->spec.add == PT_ADD_SAME) {
        const float *from = summand_of(j, p);
        if (from != out) {
            memcpy(out, from, count * channels * sizeof *out);
        }
    } else if (j->conv->spec.add == PT_ADD_UPSAMPLED) {
        for (size_t i = 0; i < count; i++) {
            memcpy(out + i * channels, summand_of(j, p + i), channels * sizeof *out);
        }
    }
}

static void *out_pixel(const job *j, size_t p)
{
    const pt_conv_spec *s = &j->conv->spec;
    return (char *)j->out->data + p * (size_t)s->out_channels * pt_elem_size(s->out_elem);
}

static const void *in_pixel(const job *j, size_t p)
{
    const pt_conv_spec *s = &j->conv->spec;
    return (const char *)j->in->data + p * (size_t)s->in_channels * pt_elem_size(s->in_elem);
}

#ifdef PANTILE_HAVE_AVX512
static void finish_pixels(const job *j, const int32_t *sums, size_t p, size_t count)
{
    size_t channels = (size_t)j->conv->spec.out_channels;
    for (size_t i = 0; i < count; i++) {
        pt_onednn_finish(j->conv, sums + i * channels, summand_of(j, p + i), out_pixel(j, p + i));
    }
}
#endif

/* `in` -> the output's pixels from p on; sums, or an output of more pixels than `count`, lie in `place`. */
static void compute(const job *j, const pt_onednn_piece *piece, int worker, const void *in, size_t p,
                    size_t count, void *place)
{
#ifdef PANTILE_HAVE_AVX512
    if (j->conv->spec.in_elem == PT_U8) {
        execute(j, piece, worker, in, place);
        finish_pixels(j, place, p, count);
        return;
    }
#endif
    size_t whole = (size_t)piece->shape.out_h * (size_t)piece->shape.out_w;
    float *out = count < whole ? place : out_pixel(j, p);
    place_summands(j, p, count, out);
    execute(j, piece, worker, in, out);
    if (count < whole) {
        memcpy(out_pixel(j, p), out, count * (size_t)j->conv->spec.out_channels * sizeof *out);
    }
}

/* The last chunk may have fewer pixels than the primitive: it works on a copy then, and what it makes of the
 * rest is dropped. */
static void run_chunk(void *context, size_t task, int worker)
{
    const job *j = context;
    const pt_onednn_piece *piece = j->conv->chunk;
    const pt_conv_spec *s = &j->conv->spec;
    pt_onednn_scratch offsets = pt_onednn_scratch_of(j->conv, piece);
    unsigned char *scratch = scratch_of(j, worker);
    size_t whole = (size_t)piece->shape.in_w, p = task * whole, pixels = pt_map_pixels(j->out);
    size_t count = pixels - p < whole ? pixels - p : whole;
    const void *in = in_pixel(j, p);
    if (count < whole) {
        size_t pixel = (size_t)s->in_channels * pt_elem_size(s->in_elem);
        memcpy(scratch + offsets.in, in, count * pixel);
        memset(scratch + offsets.in + count * pixel, 0, (whole - count) * pixel);
        in = scratch + offsets.in;
    }
    compute(j, piece, worker, in, p, count, scratch + offsets.out);
}

/* `count` pixels as the layer reads them outside the map; returns what follows. */
static unsigned char *fill_outside(const pt_conv_spec *s, unsigned char *to, int count)
{
    size_t elements = (size_t)count * (size_t)s->in_channels;
    if (s->in_elem == PT_F32) {
        memset(to, 0, elements * sizeof(float));
        return to + elements * sizeof(float);
    }
    for (int p = 0; p < count; p++) {
        for (int c = 0; c < s->in_channels; c++) {
            *to++ = s->outside[c % 4];
        }
    }
    return to;
}

/* The input of a band with what lies beyond the map. */
static void copy_padded(const job *j, const pt_onednn_band *band, size_t image, unsigned char *to)
{
    const pt_conv_spec *s = &j->conv->spec;
    int width = band->piece->shape.in_w, inside = width - s->pad < j->in->w ? width - s->pad : j->in->w;
    size_t bytes = (size_t)(inside > 0 ? inside : 0) * (size_t)s->in_channels * pt_elem_size(s->in_elem);
    for (int row = band->in_row; row < band->in_row + band->in_rows; row++) {
        if (row < 0 || row >= j->in->h || inside <= 0) {
            to = fill_outside(s, to, width);
            continue;
        }
        to = fill_outside(s, to, s->pad);
        memcpy(to, in_pixel(j, (image * (size_t)j->in->h + (size_t)row) * (size_t)j->in->w), bytes);
        to = fill_outside(s, to + bytes, width - s->pad - inside);
    }
}

static void run_band(void *context, size_t task, int worker)
{
    const job *j = context;
    size_t image = task / j->plan->band_count;
    const pt_onednn_band *band = &j->plan->bands[task % j->plan->band_count];
    pt_onednn_scratch offsets = pt_onednn_scratch_of(j->conv, band->piece);
    unsigned char *scratch = scratch_of(j, worker);
    const void *in = scratch + offsets.in;
    if (j->conv->copied) {
        copy_padded(j, band, image, scratch + offsets.in);
    } else {
        size_t row = image * (size_t)j->in->h + (size_t)(band->in_row > 0 ? band->in_row : 0);
        in = in_pixel(j, row * (size_t)j->in->w);
    }
    size_t p = (image * (size_t)j->out->h + (size_t)band->row) * (size_t)j->out->w;
    compute(j, band->piece, worker, in, p, (size_t)band->rows * (size_t)j->out->w, scratch + offsets.out);
}

void pt_onednn_run_flat(pt_onednn *backend, const pt_conv *conv, const pt_map *in, const pt_map *summand,
                        pt_map *out)
{
    job j = {.backend = backend, .conv = conv, .in = in, .summand = summand, .out = out};
    size_t whole = (size_t)conv->chunk->shape.in_w;
    pt_pool_run(backend->base.pool, (pt_map_pixels(out) + whole - 1) / whole, run_chunk, &j);
}

void pt_onednn_run_bands(pt_onednn *backend, const pt_conv *conv, const pt_map *in, const pt_map *summand,
                         pt_map *out)
{
    job j = {.backend = backend, .conv = conv, .in = in, .summand = summand, .out = out};
    j.plan = atomic_load_explicit(&conv->plans, memory_order_acquire);
    while (j.plan->h != in->h || j.plan->w != in->w) {
        j.plan = j.plan->next;
    }
    pt_pool_run(backend->base.pool, (size_t)in->n * j.plan->band_count, run_band, &j);
}
