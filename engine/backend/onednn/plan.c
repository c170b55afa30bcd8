/* How a layer is cut into tasks. Empirical numbers: two cores of a Zen 5 with 1 MiB of L2 each, R50 and
 * MobileNetV2 at 1024 x 1024. */
#include "engine/backend/onednn/internal.h"

#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <stdatomic.h>

enum {
    TASKS = 16,             /* wanted of a layer, for any number of threads */
    OUT_BYTES = 256 * 1024, /* of 32-bit sums: they shall stay in L2 until they are finished */
    CHUNK_MOST = 1024,      /* pixels */
    CHUNK_LEAST = 64,
    CHUNK_HEAVY = 128, /* least where the weights exceed L2: they are read again for each chunk */
    HEAVY_WEIGHTS = 1 << 22,
};
static const double task_flops = 40e6; /* 0.2 ms of floats: long against a start of oneDNN's, about 2 us */

static int clamp(double value, int least, int most)
{
    return value < least ? least : value > most ? most : (int)value;
}

static double pixel_flops(const pt_conv_spec *s)
{
    return 2.0 * s->out_channels * (s->in_channels / s->groups) * s->kernel_h * s->kernel_w;
}

/* Pixels whose sums fit OUT_BYTES. */
static int most_pixels(const pt_conv_spec *s)
{
    int pixels = s->in_elem == PT_U8 ? OUT_BYTES / 4 / s->out_channels : CHUNK_MOST;
    return clamp(pixels, 1, CHUNK_MOST);
}

int pt_onednn_chunk_pixels(const pt_conv_spec *s)
{
    bool heavy = (int64_t)s->in_channels * s->out_channels > HEAVY_WEIGHTS;
    int least = heavy ? CHUNK_HEAVY : CHUNK_LEAST, most = most_pixels(s);
    return clamp(task_flops / pixel_flops(s), least, most > least ? most : least);
}

static int band_rows(const pt_conv_spec *s, int n, int out_h, int out_w)
{
    int bands = n >= TASKS ? 1 : (TASKS + n - 1) / n;
    int most = out_h / bands > 1 ? out_h / bands : 1;
    if (s->in_elem == PT_U8) {
        most = clamp(most_pixels(s) / out_w, 1, most);
    }
    return clamp(task_flops / (pixel_flops(s) * out_w), 1, most);
}

static int at_least_0(int value)
{
    return value > 0 ? value : 0;
}

static pt_onednn_shape shape_of(const pt_conv *conv, const pt_onednn_plan *plan, const pt_onednn_band *band)
{
    const pt_conv_spec *s = &conv->spec;
    int out_w = pt_window_out(plan->w, s->kernel_w, s->stride, s->pad);
    int reach = (out_w - 1) * s->stride + s->kernel_w;
    if (conv->copied) {
        return (pt_onednn_shape){.in_h = band->in_rows, .in_w = reach, .out_h = band->rows, .out_w = out_w};
    }
    int top = at_least_0(-band->in_row), bottom = at_least_0(band->in_row + band->in_rows - plan->h);
    return (pt_onednn_shape){.in_h = band->in_rows - top - bottom,
                             .in_w = plan->w,
                             .out_h = band->rows,
                             .out_w = out_w,
                             .top = top,
                             .bottom = bottom,
                             .left = s->pad,
                             .right = at_least_0(reach - plan->w - s->pad)};
}

static pt_status fill(pt_conv *conv, pt_onednn_plan *plan, int out_h, int rows)
{
    const pt_conv_spec *s = &conv->spec;
    for (size_t b = 0; b < plan->band_count; b++) {
        pt_onednn_band *band = &plan->bands[b];
        band->row = (int)b * rows;
        band->rows = out_h - band->row < rows ? out_h - band->row : rows;
        band->in_row = band->row * s->stride - s->pad;
        band->in_rows = (band->rows - 1) * s->stride + s->kernel_h;
        pt_onednn_shape shape = shape_of(conv, plan, band);
        pt_onednn_piece *piece = NULL;
        PT_TRY(pt_onednn_piece_get(conv, &shape, &piece));
        band->piece = piece;
    }
    return pt_ok();
}

pt_status pt_onednn_plan_get(pt_conv *conv, int n, int h, int w, pt_onednn_plan **out)
{
    for (pt_onednn_plan *p = atomic_load(&conv->plans); p; p = p->next) {
        if (p->h == h && p->w == w) {
            *out = p;
            return pt_ok();
        }
    }
    const pt_conv_spec *s = &conv->spec;
    int out_h = pt_window_out(h, s->kernel_h, s->stride, s->pad);
    int rows = band_rows(s, n, out_h, pt_window_out(w, s->kernel_w, s->stride, s->pad));
    size_t count = (size_t)((out_h + rows - 1) / rows);
    pt_onednn_plan *plan = pt_calloc(1, sizeof *plan);
    pt_onednn_band *bands = pt_calloc(count, sizeof *bands);
    if (!plan || !bands) {
        pt_free(plan);
        pt_free(bands);
        return PT_NOMEM("a layer's plan");
    }
    *plan = (pt_onednn_plan){
        .next = atomic_load(&conv->plans), .h = h, .w = w, .band_count = count, .bands = bands};
    pt_status status = fill(conv, plan, out_h, rows);
    if (status.code != PT_OK) {
        pt_free(bands);
        pt_free(plan);
        return status;
    }
    atomic_store(&conv->plans, plan);
    *out = plan;
    return pt_ok();
}

static size_t round_up(size_t bytes)
{
    return (bytes + PT_ALIGNMENT - 1) / PT_ALIGNMENT * PT_ALIGNMENT;
}

pt_onednn_scratch pt_onednn_scratch_of(const pt_conv *conv, const pt_onednn_piece *piece)
{
    const pt_conv_spec *s = &conv->spec;
    pt_onednn_scratch scratch = {.in = round_up(dnnl_memory_desc_get_size(&piece->scratch))};
    bool copies = conv->flat || conv->copied;
    bool keeps = conv->flat || s->in_elem == PT_U8;
    scratch.out = scratch.in + (copies ? round_up(dnnl_memory_desc_get_size(&piece->in)) : 0);
    scratch.all = scratch.out + (keeps ? round_up(dnnl_memory_desc_get_size(&piece->out)) : 0);
    return scratch;
}
