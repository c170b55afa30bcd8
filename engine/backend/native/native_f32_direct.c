/* Direct FP32 convolutions as products of matrices: output pixels x (taps x input channels) x output
 * channels. A task computes a block of pixels by a block of output channels, in blocks of depth between which
 * the sums rest in scratch. Tiles of pixels whose windows lie within the map are read where they are, as one
 * stretch of memory per row of the window; those at its edge are gathered into scratch first.
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
    BLOCK_COLUMNS = 512,
    LEAST_COLUMNS = 64,
    BLOCK_DEPTH = 1024,
    WIDE_PANELS = 16,
    KEPT_WEIGHTS = 1 << 18, /* floats that stay in L2 beside the rest */
    LEAST_RUN = 8, /* output columns: narrower maps are gathered, so that tiles need not end with the row */
    TASKS_PER_THREAD = 4, /* so that none waits long for the last */
    LINE = PT_ALIGNMENT / sizeof(float),
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
    int segments;                  /* of a block of depth: stretches of the input */
    size_t depth_block;            /* of each */
    size_t row;                    /* floats from one gathered pixel to the next */
} cut;

typedef struct job {
    const direct *layer;
    pt_native *native;
    const pt_map *in, *summand;
    pt_map *out;
    cut cut;
} job;

/* Pixels of a block that make a tile. */
typedef struct piece {
    int from, rows;
    bool gathered;
} piece;

/* What a task works on: pixels [pixel, pixel + pixels), panels [panel, panel + panels) of a group. */
typedef struct block {
    size_t pixel, pixels;
    int group, panel, panels;
    float *rows, *sums; /* scratch */
    int piece_count;
    piece pieces[BLOCK_PIXELS];
} block;

static size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* What lies in one piece in the input: the taps of a row of the window with all their channels. Groups are
 * gathered, and then all is one piece. */
static size_t stretch_of(const direct *layer)
{
    const pt_conv_spec *s = &layer->base.spec;
    return s->groups > 1 ? layer->depth : (size_t)s->kernel_w * (size_t)layer->group_in;
}

static void cut_depth(const direct *layer, cut *c)
{
    const size_t stretch = stretch_of(layer);
    c->segments = (int)(layer->depth / stretch);
    c->depth_block = stretch;
    if (layer->depth > BLOCK_DEPTH) {
        const size_t parts = (stretch + BLOCK_DEPTH - 1) / BLOCK_DEPTH;
        c->segments = 1;
        c->depth_block = parts > 1 ? round_up((stretch + parts - 1) / parts, LINE) : stretch;
    }
    /* Rows of an odd number of cache lines: rows of a tile then lie in different sets of the cache. */
    c->row = ((c->depth_block * (size_t)c->segments + LINE - 1) / LINE | 1) * LINE;
}

static cut cut_work(const direct *layer, size_t pixels, int threads)
{
    const size_t wanted = threads > 1 ? (size_t)threads * TASKS_PER_THREAD : 1;
    cut c = {.pixels = pixels, .pixel_block = BLOCK_PIXELS, .panel_block = BLOCK_COLUMNS / PT_F32_PANEL};
    for (;;) {
        c.panel_block = least(c.panel_block, layer->panels);
        c.panel_blocks = (layer->panels + c.panel_block - 1) / c.panel_block;
        c.pixel_blocks = (pixels + c.pixel_block - 1) / c.pixel_block;
        if (c.pixel_blocks * (size_t)c.panel_blocks * (size_t)layer->base.spec.groups >= wanted) {
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
    cut_depth(layer, &c);
    return c;
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

/* Output pixel (y, x) of image n. */
typedef struct place {
    int n, y, x;
} place;

static place place_of(const pt_map *out, size_t pixel)
{
    const size_t w = (size_t)out->w, h = (size_t)out->h;
    return (place){(int)(pixel / (w * h)), (int)(pixel / w % h), (int)(pixel % w)};
}

/* Inputs [depth0, depth0 + depth) of one output pixel, in the order of the weights. */
static void gather_pixel(const job *j, int group, size_t pixel, size_t depth0, size_t depth, float *to)
{
    const direct *layer = j->layer;
    const pt_conv_spec *s = &layer->base.spec;
    const place at = place_of(j->out, pixel);
    const int y = at.y * s->stride - s->pad, x = at.x * s->stride - s->pad;
    /* With one group the taps of a row of the window lie next to each other. */
    const int width = s->groups == 1 ? s->kernel_w : 1, steps = s->kernel_w / width;
    const size_t channels = (size_t)layer->group_in, stretch = channels * (size_t)width;
    for (size_t k = depth0; k < depth0 + depth;) {
        const size_t index = k / stretch, skip = k % stretch, left = depth0 + depth - k;
        const size_t count = stretch - skip < left ? stretch - skip : left;
        gather_stretch(j->in, at.n, y + (int)index / steps, x + (int)index % steps, width,
                       (size_t)group * channels, channels, skip, count, to);
        to += count;
        k += count;
    }
}

/* Cuts pixels [from, to) into tiles of about the same height. Those of a row of the map with windows within
 * the map are not gathered. */
static void add_pieces(const job *j, block *b, size_t from, size_t to, bool in_place)
{
    const pt_conv_spec *s = &j->layer->base.spec;
    const size_t most = (size_t)j->layer->kernels->rows, tiles = (to - from + most - 1) / most;
    for (size_t i = 0; i < tiles; i++) {
        const size_t first = from + (to - from) * i / tiles, end = from + (to - from) * (i + 1) / tiles;
        const place a = place_of(j->out, first), z = place_of(j->out, end - 1);
        const bool within = a.y * s->stride >= s->pad && a.x * s->stride >= s->pad &&
                            a.y * s->stride - s->pad + s->kernel_h <= j->in->h &&
                            z.x * s->stride - s->pad + s->kernel_w <= j->in->w;
        b->pieces[b->piece_count++] =
            (piece){(int)(first - b->pixel), (int)(end - first), !(in_place && within)};
    }
}

static void cut_block(const job *j, block *b)
{
    const pt_conv_spec *s = &j->layer->base.spec;
    const size_t end = b->pixel + b->pixels, w = (size_t)j->out->w;
    /* Pixels of a 1x1 layer follow each other beyond the rows' ends. */
    const bool flat = s->kernel_h == 1 && s->kernel_w == 1 && s->stride == 1 && s->pad == 0;
    const bool in_place = flat || (s->groups == 1 && w >= LEAST_RUN);
    b->piece_count = 0;
    for (size_t from = b->pixel; from < end;) {
        size_t to = end;
        if (in_place && !flat && from - from % w + w < end) {
            to = from - from % w + w;
        }
        add_pieces(j, b, from, to, in_place);
        from = to;
    }
}

/* The summand's pixel for an output pixel. */
static const float *summand_at(const job *j, size_t pixel)
{
    const pt_map *sum = j->summand, *out = j->out;
    if (j->layer->base.spec.add == PT_ADD_UPSAMPLED) {
        const place at = place_of(out, pixel);
        const size_t y = (size_t)at.y * (size_t)sum->h / (size_t)out->h;
        const size_t x = (size_t)at.x * (size_t)sum->w / (size_t)out->w;
        pixel = ((size_t)at.n * (size_t)sum->h + y) * (size_t)sum->w + x;
    }
    return pt_map_f32(sum) + pixel * (size_t)sum->c;
}

/* A block's rows in one block of depth: `depth` inputs from depth0 on. */
typedef struct layer_part {
    size_t depth0, depth; /* of all its segments together */
    bool last;
} layer_part;

/* Points the tile at a piece's inputs. */
static void find_rows(const job *j, const block *b, const piece *p, const layer_part *part, pt_f32_tile *tile)
{
    const pt_conv_spec *s = &j->layer->base.spec;
    const pt_map *in = j->in;
    tile->rows = p->rows;
    tile->segments = p->gathered ? 1 : j->cut.segments;
    tile->depth = part->depth / (size_t)tile->segments;
    if (p->gathered) {
        tile->a = b->rows + (size_t)p->from * j->cut.row;
        tile->a_stride = j->cut.row;
        return;
    }
    const size_t stretch = stretch_of(j->layer), channels = (size_t)in->c;
    const place at = place_of(j->out, b->pixel + (size_t)p->from);
    const size_t y = (size_t)(at.y * s->stride - s->pad) + part->depth0 / stretch;
    const size_t row = (size_t)at.n * (size_t)in->h + y;
    const size_t pixel = row * (size_t)in->w + (size_t)(at.x * s->stride - s->pad);
    tile->a = pt_map_f32(in) + pixel * channels + b->group * j->layer->group_in + part->depth0 % stretch;
    tile->a_stride = (size_t)s->stride * channels;
    tile->segment_stride = (size_t)in->w * channels;
}

static void run_tile(const job *j, const block *b, int panel, const piece *p, const layer_part *part)
{
    const direct *layer = j->layer;
    const int column = panel * PT_F32_PANEL, channel = b->group * layer->group_out + column;
    const size_t index = (size_t)(b->group * layer->panels + panel), pixel = b->pixel + (size_t)p->from;
    pt_f32_finish finish = {.activation = layer->base.spec.activation, .out_stride = (size_t)j->out->c};
    finish.bias = layer->bias + index * PT_F32_PANEL;
    finish.out = pt_map_f32(j->out) + pixel * (size_t)j->out->c + channel;
    for (int r = 0; part->last && j->summand && r < p->rows; r++) {
        finish.add[r] = summand_at(j, pixel + (size_t)r) + channel;
    }
    pt_f32_tile tile = {.sums_stride = PT_F32_PANEL, .begin = part->depth0 == 0};
    tile.b = layer->weights + (index * layer->depth + part->depth0) * PT_F32_PANEL;
    tile.columns = least(layer->group_out - column, PT_F32_PANEL);
    tile.finish = part->last ? &finish : NULL;
    tile.sums = b->sums + ((size_t)(panel - b->panel) * b->pixels + (size_t)p->from) * PT_F32_PANEL;
    find_rows(j, b, p, part, &tile);
    layer->kernels->tile(&tile);
}

static void run_part(const job *j, const block *b, const layer_part *part)
{
    for (int i = 0; i < b->piece_count; i++) {
        const piece *p = &b->pieces[i];
        for (int r = p->from; p->gathered && r < p->from + p->rows; r++) {
            gather_pixel(j, b->group, b->pixel + (size_t)r, part->depth0, part->depth,
                         b->rows + (size_t)r * j->cut.row);
        }
    }
    /* Weights are read once per tile or once per block; the former writes wide outputs row by row. */
    const size_t weights = part->depth * (size_t)b->panels * PT_F32_PANEL;
    if (b->panels >= WIDE_PANELS && weights <= KEPT_WEIGHTS) {
        for (int i = 0; i < b->piece_count * b->panels; i++) {
            run_tile(j, b, b->panel + i % b->panels, &b->pieces[i / b->panels], part);
        }
        return;
    }
    for (int i = 0; i < b->piece_count * b->panels; i++) {
        run_tile(j, b, b->panel + i / b->piece_count, &b->pieces[i % b->piece_count], part);
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
    cut_block(j, &b);
    const size_t all = j->layer->depth, stretch = stretch_of(j->layer);
    for (size_t depth = 0; depth < all;) {
        const size_t most = c->segments > 1 ? all : stretch - depth % stretch;
        layer_part part = {.depth0 = depth, .depth = c->depth_block * (size_t)c->segments};
        part.depth = part.depth < most ? part.depth : most;
        depth += part.depth;
        part.last = depth == all;
        run_part(j, &b, &part);
    }
}

static void direct_run(const pt_conv *conv, pt_native *native, const pt_map *in, const pt_map *summand,
                       pt_map *out)
{
    const direct *layer = (const direct *)conv;
    job j = {.layer = layer, .native = native, .in = in, .summand = summand, .out = out};
    j.cut = cut_work(layer, pt_map_pixels(out), pt_pool_threads(native->base.pool));
    const size_t columns = (size_t)(conv->spec.groups * j.cut.panel_blocks);
    pt_pool_run(native->base.pool, j.cut.pixel_blocks * columns, run_task, &j);
}

/* The most that any size takes. */
static pt_status direct_reserve(const pt_conv *conv, pt_native *native, int n, int h, int w)
{
    (void)n, (void)h, (void)w;
    const cut c = cut_work((const direct *)conv, BLOCK_PIXELS, 1);
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
