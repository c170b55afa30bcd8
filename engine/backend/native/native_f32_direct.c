/* Direct FP32 convolutions as products of matrices: output pixels x (taps x input channels) x output
 * channels. A task computes a block of pixels by a block of output channels, in blocks of depth between which
 * the sums rest in scratch. Pixels' inputs are gathered into rows next to each other first, unless they
 * already lie so.
 *
 * How the work is cut changes no bit of the result (kernels/conv_f32.h). */
#include "engine/backend/native/native_f32.h"

#include "engine/kernels/conv_f32.h"
#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <string.h>

/* Measured on a Zen 5 (48 KiB of L1, 1 MiB of L2) with bench_kernels. */
enum {
    BLOCK_PIXELS = 168, /* full tiles of 14, 6 and 4 rows */
    LEAST_PIXELS = 42,
    BLOCK_COLUMNS = 256,
    LEAST_COLUMNS = 64,
    BLOCK_DEPTH = 384,
    WANTED_TASKS = 64, /* more than threads, so that none waits long for the last */
    LINE = PT_ALIGNMENT / sizeof(float),
    PAGE = 4096 / sizeof(float),
};

typedef struct direct {
    pt_conv base;
    const pt_f32_kernels *kernels;
    int group_in, group_out, panels; /* of one group; panels of PT_F32_PANEL outputs */
    size_t depth;                    /* taps x group_in */
    float *weights;                  /* groups x panels x depth x PT_F32_PANEL; 0 beyond group_out */
    float *bias;                     /* groups x panels x PT_F32_PANEL */
} direct;

/* How a layer's work at one size is cut. */
typedef struct cut {
    size_t pixels, pixel_block, pixel_blocks;
    int panel_block, panel_blocks; /* per group */
    size_t depth_block;
    size_t row; /* floats from one gathered pixel to the next */
} cut;

typedef struct job {
    const direct *layer;
    pt_native *native;
    const pt_map *in, *summand;
    pt_map *out;
    cut cut;
} job;

static size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Rows of an odd number of cache lines: rows of a tile then lie in different sets of the cache. */
static size_t row_of(size_t depth)
{
    size_t lines = (depth + LINE - 1) / LINE;
    return (lines | 1) * LINE;
}

static cut cut_work(const direct *layer, size_t pixels)
{
    cut c = {.pixels = pixels, .pixel_block = BLOCK_PIXELS, .panel_block = BLOCK_COLUMNS / PT_F32_PANEL};
    for (;;) {
        c.panel_block = least(c.panel_block, layer->panels);
        c.panel_blocks = (layer->panels + c.panel_block - 1) / c.panel_block;
        c.pixel_blocks = (pixels + c.pixel_block - 1) / c.pixel_block;
        if (c.pixel_blocks * (size_t)c.panel_blocks * (size_t)layer->base.spec.groups >= WANTED_TASKS) {
            break;
        }
        if (c.pixel_block > LEAST_PIXELS) {
            c.pixel_block /= 2;
        } else if (c.panel_block > LEAST_COLUMNS / PT_F32_PANEL) {
            c.panel_block /= 2;
        } else {
            break;
        }
    }
    size_t blocks = (layer->depth + BLOCK_DEPTH - 1) / BLOCK_DEPTH;
    c.depth_block = round_up((layer->depth + blocks - 1) / blocks, LINE);
    c.row = row_of(c.depth_block);
    return c;
}

/* Pixels' rows lie in the input as the kernel wants them: no window, and no stride that puts the rows of a
 * tile into the same few sets of the cache. */
static bool is_plain(const direct *layer)
{
    const pt_conv_spec *s = &layer->base.spec;
    return s->kernel_h == 1 && s->kernel_w == 1 && s->stride == 1 && s->pad == 0 &&
           s->in_channels % PAGE != 0;
}

/* Copies whole lines: up to LINE - 1 floats more than asked for are read and written. */
static inline void copy_lines(float *to, const float *from, size_t count)
{
    for (size_t i = 0; i < count; i += LINE) {
        memcpy(to + i, from + i, LINE * sizeof *to);
    }
}

/* Floats [skip, skip + count) of a stretch of `width` input columns from column x on, in row y of image n;
 * zeros beyond the map. The stretch is contiguous: all channels, or `width` is 1. */
static void gather_stretch(const pt_map *in, int n, int y, int x, int width, size_t first_channel,
                           size_t channels, size_t skip, size_t count, float *to)
{
    const size_t inside_from = (size_t)(x < 0 ? least(-x, width) : 0) * channels;
    const int past = x + width - in->w;
    size_t inside_to = (size_t)(width - (past > 0 ? least(past, width) : 0)) * channels;
    if (y < 0 || y >= in->h || inside_to < inside_from) {
        inside_to = inside_from;
    }
    const size_t end = skip + count;
    const size_t from = inside_from < skip ? skip : inside_from < end ? inside_from : end;
    const size_t until = inside_to < from ? from : inside_to < end ? inside_to : end;
    memset(to, 0, (from - skip) * sizeof *to);
    if (until > from) {
        const size_t row = ((size_t)n * (size_t)in->h + (size_t)y) * (size_t)in->w;
        const float *pixel = pt_map_f32(in) + row * (size_t)in->c + first_channel;
        copy_lines(to + (from - skip), pixel + ((ptrdiff_t)x * in->c + (ptrdiff_t)from), until - from);
    }
    memset(to + (until - skip), 0, (end - until) * sizeof *to);
}

/* Inputs [depth0, depth0 + depth) of one output pixel, in the order of the weights. */
static void gather_pixel(const job *j, int group, size_t pixel, size_t depth0, size_t depth, float *to)
{
    const direct *layer = j->layer;
    const pt_conv_spec *s = &layer->base.spec;
    const int plane = j->out->h * j->out->w, position = (int)(pixel % (size_t)plane);
    const int n = (int)(pixel / (size_t)plane);
    const int y = position / j->out->w * s->stride - s->pad, x = position % j->out->w * s->stride - s->pad;
    /* With one group the taps of a row of the window lie next to each other. */
    const int width = s->groups == 1 ? s->kernel_w : 1, steps = s->kernel_w / width;
    const size_t channels = (size_t)layer->group_in, stretch = channels * (size_t)width;
    for (size_t k = depth0; k < depth0 + depth;) {
        const size_t index = k / stretch, skip = k % stretch, left = depth0 + depth - k;
        const size_t count = stretch - skip < left ? stretch - skip : left;
        gather_stretch(j->in, n, y + (int)index / steps, x + (int)index % steps, width,
                       (size_t)group * channels, channels, skip, count, to);
        to += count;
        k += count;
    }
}

/* The summand's pixel for an output pixel. */
static const float *summand_at(const job *j, size_t pixel)
{
    const pt_map *sum = j->summand, *out = j->out;
    if (j->layer->base.spec.add == PT_ADD_UPSAMPLED) {
        const size_t h = (size_t)out->h, w = (size_t)out->w;
        const size_t n = pixel / (h * w), y = pixel / w % h, x = pixel % w;
        pixel = (n * (size_t)sum->h + y * (size_t)sum->h / h) * (size_t)sum->w + x * (size_t)sum->w / w;
    }
    return pt_map_f32(sum) + pixel * (size_t)sum->c;
}

/* What a task works on: pixels [pixel, pixel + pixels), panels [panel, panel + panels) of a group. */
typedef struct block {
    size_t pixel, pixels;
    int group, panel, panels;
    float *rows, *sums; /* scratch */
} block;

static void run_panel(const job *j, const block *b, int panel, pt_f32_tile *tile, bool last)
{
    const direct *layer = j->layer;
    const pt_conv_spec *s = &layer->base.spec;
    const int column = panel * PT_F32_PANEL, channel = b->group * layer->group_out + column;
    pt_f32_finish finish = {.activation = s->activation, .out_stride = (size_t)j->out->c};
    finish.bias = layer->bias + (b->group * layer->panels + panel) * PT_F32_PANEL;
    const float *a = tile->a;
    tile->columns = least(layer->group_out - column, PT_F32_PANEL);
    tile->finish = last ? &finish : NULL;
    const size_t tiles = (b->pixels + (size_t)layer->kernels->rows - 1) / (size_t)layer->kernels->rows;
    for (size_t i = 0; i < tiles; i++) {
        const size_t from = b->pixels * i / tiles, to = b->pixels * (i + 1) / tiles;
        tile->a = a + from * tile->a_stride;
        tile->rows = (int)(to - from);
        tile->sums = b->sums + ((size_t)(panel - b->panel) * b->pixels + from) * PT_F32_PANEL;
        finish.out = pt_map_f32(j->out) + (b->pixel + from) * (size_t)j->out->c + channel;
        for (size_t p = from; last && j->summand && p < to; p++) {
            finish.add[p - from] = summand_at(j, b->pixel + p) + channel;
        }
        layer->kernels->tile(tile);
    }
    tile->a = a;
}

static void run_block(const job *j, const block *b)
{
    const direct *layer = j->layer;
    const cut *c = &j->cut;
    const bool plain = is_plain(layer);
    pt_f32_tile tile = {.a_stride = plain ? (size_t)j->in->c : c->row, .sums_stride = PT_F32_PANEL};
    for (size_t depth = 0; depth < layer->depth; depth += c->depth_block) {
        const size_t left = layer->depth - depth;
        tile.depth = left < c->depth_block ? left : c->depth_block;
        tile.begin = depth == 0;
        tile.a = b->rows;
        if (plain) {
            tile.a = pt_map_f32(j->in) + b->pixel * (size_t)j->in->c + b->group * layer->group_in + depth;
        }
        for (size_t p = 0; !plain && p < b->pixels; p++) {
            gather_pixel(j, b->group, b->pixel + p, depth, tile.depth, b->rows + p * c->row);
        }
        for (int panel = b->panel; panel < b->panel + b->panels; panel++) {
            const size_t at = ((size_t)(b->group * layer->panels + panel) * layer->depth + depth);
            tile.b = layer->weights + at * PT_F32_PANEL;
            run_panel(j, b, panel, &tile, tile.depth == left);
        }
    }
}

static void run_task(void *context, size_t task, int worker)
{
    const job *j = context;
    const cut *c = &j->cut;
    const size_t columns = task / c->pixel_blocks, pixel = task % c->pixel_blocks * c->pixel_block;
    block b = {.pixel = pixel, .rows = pt_native_scratch(j->native, worker)};
    b.pixels = c->pixels - pixel < c->pixel_block ? c->pixels - pixel : c->pixel_block;
    b.group = (int)columns / c->panel_blocks;
    b.panel = (int)columns % c->panel_blocks * c->panel_block;
    b.panels = least(j->layer->panels - b.panel, c->panel_block);
    b.sums = b.rows + c->pixel_block * c->row + LINE; /* a gathered row may end up to a line late */
    run_block(j, &b);
}

static void direct_run(const pt_conv *conv, pt_native *native, const pt_map *in, const pt_map *summand,
                       pt_map *out)
{
    const direct *layer = (const direct *)conv;
    job j = {.layer = layer, .native = native, .in = in, .summand = summand, .out = out};
    j.cut = cut_work(layer, pt_map_pixels(out));
    const size_t columns = (size_t)(conv->spec.groups * j.cut.panel_blocks);
    pt_pool_run(native->base.pool, j.cut.pixel_blocks * columns, run_task, &j);
}

/* The most that any size takes. */
static pt_status direct_reserve(const pt_conv *conv, pt_native *native, int n, int h, int w)
{
    (void)n, (void)h, (void)w;
    const direct *layer = (const direct *)conv;
    const cut c = cut_work(layer, (size_t)BLOCK_PIXELS * WANTED_TASKS);
    const size_t sums = c.pixel_block * (size_t)c.panel_block * PT_F32_PANEL;
    return pt_native_reserve_scratch(native, (c.pixel_block * c.row + LINE + sums) * sizeof(float));
}

static void direct_free(pt_conv *conv)
{
    direct *layer = (direct *)conv;
    pt_free(layer->weights);
    pt_free(layer->bias);
    pt_free(layer);
}

static size_t padded_outputs(const direct *layer)
{
    return (size_t)layer->base.spec.groups * (size_t)layer->panels * PT_F32_PANEL;
}

static size_t direct_bytes(const pt_conv *conv)
{
    const direct *layer = (const direct *)conv;
    return padded_outputs(layer) * (layer->depth + 1) * sizeof(float);
}

static const char *direct_method(const pt_conv *conv)
{
    const pt_conv_spec *s = &conv->spec;
    return s->groups > 1 ? "direct grouped" : s->kernel_h == 1 && s->kernel_w == 1 ? "direct 1x1" : "direct";
}

static void pack(direct *layer, const float *weights, const float *bias)
{
    const int groups = layer->base.spec.groups;
    memset(layer->weights, 0, padded_outputs(layer) * layer->depth * sizeof *layer->weights);
    memset(layer->bias, 0, padded_outputs(layer) * sizeof *layer->bias);
    for (int o = 0; o < groups * layer->group_out; o++) {
        const int within = o % layer->group_out;
        const int panel = o / layer->group_out * layer->panels + within / PT_F32_PANEL;
        float *to = layer->weights + (size_t)panel * layer->depth * PT_F32_PANEL + within % PT_F32_PANEL;
        for (size_t k = 0; k < layer->depth; k++) {
            to[k * PT_F32_PANEL] = weights[(size_t)o * layer->depth + k];
        }
        layer->bias[panel * PT_F32_PANEL + within % PT_F32_PANEL] = bias[o];
    }
}

pt_status pt_native_f32_direct_new(const pt_conv_spec *spec, pt_conv_weights *weights, pt_isa isa,
                                   pt_conv **out)
{
    static const pt_native_ops ops = {direct_free, direct_reserve, direct_run, direct_bytes, direct_method};
    direct *layer = pt_calloc(1, sizeof *layer);
    if (!layer) {
        return PT_NOMEM("a convolution");
    }
    layer->base = (pt_conv){.ops = &ops, .spec = *spec};
    layer->kernels = pt_f32_kernels_for(isa);
    layer->group_in = spec->in_channels / spec->groups;
    layer->group_out = spec->out_channels / spec->groups;
    layer->panels = (layer->group_out + PT_F32_PANEL - 1) / PT_F32_PANEL;
    layer->depth = (size_t)spec->kernel_h * (size_t)spec->kernel_w * (size_t)layer->group_in;
    size_t count;
    if (pt_size_mul(padded_outputs(layer), layer->depth, &count)) {
        layer->weights = pt_alloc_aligned(count, sizeof *layer->weights);
        layer->bias = pt_alloc_aligned(padded_outputs(layer), sizeof *layer->bias);
    }
    if (!layer->weights || !layer->bias) {
        direct_free(&layer->base);
        return PT_NOMEM("a convolution's weights");
    }
    pack(layer, weights->f32, weights->bias);
    *out = &layer->base;
    return pt_ok();
}
