/* 3x3 FP32 convolutions at stride 1 by Winograd's F(4x4, 3x3): inputs of 6x6 pixels are transformed into 36
 * numbers per channel, which makes 36 products of matrices, tiles x input channels x output channels, whose
 * sums are transformed back into 4x4 outputs. A task does all of it for a block of tiles and a block of
 * output channels.
 *
 * An output depends on the tile's inputs alone and channels are summed in rising order, so how the work is
 * cut changes no bit of the result. */
#include "engine/backend/native/native_f32.h"

#include "engine/kernels/conv_f32.h"
#include "tiling/base/alloc.h"

#include <string.h>

/* Measured on a Zen 5 (1 MiB of L2) with bench_kernels. */
enum {
    BLOCK_TILES = 112, /* full tiles of 14 and 4 rows */
    LEAST_TILES = 28,
    TASKS_PER_THREAD = 4,
};

enum {
    TILE = PT_WINOGRAD_TILE,
    PATCH = PT_WINOGRAD_PATCH,
    PLANES = PT_WINOGRAD_PLANES,
    LINE = PT_ALIGNMENT / sizeof(float),
};

typedef struct winograd {
    pt_conv base;
    const pt_f32_kernels *kernels;
    int panels;     /* of PT_F32_PANEL outputs */
    float *weights; /* panels x PLANES x in_channels x PT_F32_PANEL */
    float *bias;    /* whole panels */
    float *zeros;   /* in_channels: what lies beyond the map */
} winograd;

typedef struct cut {
    size_t tiles, tile_block, tile_blocks;
    int panel_block, panel_blocks;
    size_t in_row, in_plane; /* floats between transformed tiles and planes */
    size_t sum_plane;        /* between planes of one panel's sums */
} cut;

typedef struct job {
    const winograd *layer;
    pt_native *native;
    const pt_map *in, *summand;
    pt_map *out;
    int rows, columns; /* of tiles in an image */
    cut cut;
} job;

/* What a task works on, and its scratch. */
typedef struct block {
    size_t tile, tiles;
    int panel, panels;
    float *inputs, *sums;
} block;

/* An odd number of cache lines, so that what lies that far apart spreads over the cache's sets. */
static size_t odd_lines(size_t floats)
{
    return ((floats + LINE - 1) / LINE | 1) * LINE;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

static size_t blocks_of(size_t count, size_t each)
{
    return (count + each - 1) / each;
}

/* Few large blocks read the weights seldom; more than the threads, so that none waits long for the last. */
static cut cut_work(const winograd *layer, size_t tiles, int threads)
{
    const size_t wanted = threads > 1 ? (size_t)threads * TASKS_PER_THREAD : 1;
    cut c = {.tiles = tiles, .tile_block = BLOCK_TILES, .panel_block = layer->panels};
    for (;;) {
        c.tile_blocks = blocks_of(tiles, c.tile_block);
        c.panel_blocks = (int)blocks_of((size_t)layer->panels, (size_t)c.panel_block);
        if (c.tile_blocks * (size_t)c.panel_blocks >= wanted) {
            break;
        }
        if (c.tile_block > LEAST_TILES) {
            c.tile_block /= 2;
        } else if (c.panel_block > 1) {
            c.panel_block = (c.panel_block + 1) / 2;
        } else {
            break;
        }
    }
    c.in_row = odd_lines((size_t)layer->base.spec.in_channels);
    c.in_plane = odd_lines(c.tile_block * c.in_row);
    c.sum_plane = odd_lines(c.tile_block * PT_F32_PANEL);
    return c;
}

/* Where a tile lies: its image and its first output pixel. */
typedef struct place {
    int n, y, x;
} place;

static place place_of(const job *j, size_t tile)
{
    const size_t each = (size_t)j->rows * (size_t)j->columns, within = tile % each;
    return (place){(int)(tile / each), (int)(within / (size_t)j->columns) * TILE,
                   (int)(within % (size_t)j->columns) * TILE};
}

static void find_pixels(const job *j, size_t tile, const float *pixels[PLANES])
{
    const pt_map *in = j->in;
    const place at = place_of(j, tile);
    for (int i = 0; i < PLANES; i++) {
        const int y = at.y - 1 + i / PATCH, x = at.x - 1 + i % PATCH;
        const bool inside = y >= 0 && y < in->h && x >= 0 && x < in->w;
        const size_t row = (size_t)at.n * (size_t)in->h + (size_t)y;
        pixels[i] =
            inside ? pt_map_f32(in) + (row * (size_t)in->w + (size_t)x) * (size_t)in->c : j->layer->zeros;
    }
}

static void transform_inputs(const job *j, const block *b)
{
    const float *pixels[2][PLANES];
    find_pixels(j, b->tile, pixels[0]);
    for (size_t t = 0; t < b->tiles; t++) {
        const float **now = pixels[t % 2], **next = pixels[(t + 1) % 2];
        find_pixels(j, b->tile + (t + 1 < b->tiles ? t + 1 : t), next);
        j->layer->kernels->winograd_in(now, next, j->in->c, b->inputs + t * j->cut.in_row, j->cut.in_plane);
    }
}

/* One panel's sums in every plane. */
static void multiply(const job *j, const block *b, int panel)
{
    const winograd *layer = j->layer;
    const cut *c = &j->cut;
    const size_t depth = (size_t)layer->base.spec.in_channels;
    const size_t tiles = blocks_of(b->tiles, (size_t)layer->kernels->rows);
    pt_f32_tile tile = {.a_stride = c->in_row, .segments = 1, .depth = depth, .begin = true};
    tile.sums_stride = PT_F32_PANEL;
    tile.columns = least(layer->base.spec.out_channels - panel * PT_F32_PANEL, PT_F32_PANEL);
    for (size_t plane = 0; plane < PLANES; plane++) {
        tile.b = layer->weights + ((size_t)panel * PLANES + plane) * depth * PT_F32_PANEL;
        for (size_t i = 0; i < tiles; i++) {
            const size_t from = b->tiles * i / tiles, to = b->tiles * (i + 1) / tiles;
            tile.rows = (int)(to - from);
            tile.a = b->inputs + plane * c->in_plane + from * c->in_row;
            tile.sums = b->sums + plane * c->sum_plane + from * PT_F32_PANEL;
            layer->kernels->tile(&tile);
        }
    }
}

/* The summand's pixel for output pixel (y, x) of image n. */
static const float *summand_at(const job *j, int n, int y, int x)
{
    const pt_map *sum = j->summand;
    if (j->layer->base.spec.add == PT_ADD_UPSAMPLED) {
        y = (int)((size_t)y * (size_t)sum->h / (size_t)j->out->h);
        x = (int)((size_t)x * (size_t)sum->w / (size_t)j->out->w);
    }
    const size_t row = (size_t)n * (size_t)sum->h + (size_t)y;
    return pt_map_f32(sum) + (row * (size_t)sum->w + (size_t)x) * (size_t)sum->c;
}

/* A tile's output pixels, NULL beyond the map, from `channel` on. */
static void find_outputs(const job *j, size_t tile, int channel, pt_f32_winograd_out *w)
{
    const pt_map *out = j->out;
    const place at = place_of(j, tile);
    for (int i = 0; i < PT_WINOGRAD_PIXELS; i++) {
        const int y = at.y + i / TILE, x = at.x + i % TILE;
        const bool inside = y < out->h && x < out->w;
        const size_t row = (size_t)at.n * (size_t)out->h + (size_t)y;
        const size_t pixel = row * (size_t)out->w + (size_t)x;
        w->out[i] = inside ? pt_map_f32(out) + pixel * (size_t)out->c + channel : NULL;
        w->add[i] = inside && j->summand ? summand_at(j, at.n, y, x) + channel : NULL;
    }
}

static void transform_sums(const job *j, const block *b, int panel)
{
    const winograd *layer = j->layer;
    const int channel = panel * PT_F32_PANEL;
    const pt_f32_winograd_out every = {.plane = j->cut.sum_plane,
                                       .activation = layer->base.spec.activation,
                                       .bias = layer->bias + channel,
                                       .channels = least(j->out->c - channel, PT_F32_PANEL)};
    pt_f32_winograd_out tiles[2] = {every, every};
    find_outputs(j, b->tile, channel, &tiles[0]);
    for (size_t t = 0; t < b->tiles; t++) {
        pt_f32_winograd_out *now = &tiles[t % 2], *next = &tiles[(t + 1) % 2];
        find_outputs(j, b->tile + (t + 1 < b->tiles ? t + 1 : t), channel, next);
        for (int i = 0; i < PT_WINOGRAD_PIXELS; i++) {
            now->next[i] = next->out[i] ? next->out[i] : next->out[0];
        }
        now->sums = b->sums + t * PT_F32_PANEL;
        layer->kernels->winograd_out(now);
    }
}

static void run_task(void *context, size_t task, int worker)
{
    const job *j = context;
    const cut *c = &j->cut;
    block b = {.tile = task / (size_t)c->panel_blocks * c->tile_block};
    b.tiles = c->tiles - b.tile < c->tile_block ? c->tiles - b.tile : c->tile_block;
    b.panel = (int)(task % (size_t)c->panel_blocks) * c->panel_block;
    b.panels = least(j->layer->panels - b.panel, c->panel_block);
    b.inputs = pt_native_scratch(j->native, worker);
    b.sums = b.inputs + PLANES * c->in_plane;
    transform_inputs(j, &b);
    for (int panel = b.panel; panel < b.panel + b.panels; panel++) {
        multiply(j, &b, panel);
        transform_sums(j, &b, panel);
    }
}

static size_t tile_count(int n, int h, int w)
{
    return (size_t)n * (size_t)((h + TILE - 1) / TILE) * (size_t)((w + TILE - 1) / TILE);
}

static void winograd_run(const pt_conv *conv, pt_native *native, const pt_map *in, const pt_map *summand,
                         pt_map *out)
{
    job j = {.layer = (const winograd *)conv, .native = native, .in = in, .summand = summand, .out = out};
    j.rows = (out->h + TILE - 1) / TILE;
    j.columns = (out->w + TILE - 1) / TILE;
    j.cut = cut_work(j.layer, tile_count(out->n, out->h, out->w), pt_pool_threads(native->base.pool));
    pt_pool_run(native->base.pool, j.cut.tile_blocks * (size_t)j.cut.panel_blocks, run_task, &j);
}

static pt_status winograd_reserve(const pt_conv *conv, pt_native *native, int n, int h, int w)
{
    const int threads = pt_pool_threads(native->base.pool);
    const cut c = cut_work((const winograd *)conv, tile_count(n, h, w), threads);
    return pt_native_reserve_scratch(native, PLANES * (c.in_plane + c.sum_plane) * sizeof(float));
}

static void winograd_free(pt_conv *conv)
{
    winograd *layer = (winograd *)conv;
    pt_free(layer->weights);
    pt_free(layer->bias);
    pt_free(layer->zeros);
    pt_free(layer);
}

static size_t weights_count(const winograd *layer)
{
    return (size_t)layer->panels * PT_F32_PANEL * (size_t)layer->base.spec.in_channels * PLANES;
}

static size_t winograd_bytes(const pt_conv *conv)
{
    const winograd *layer = (const winograd *)conv;
    const size_t rest = (size_t)layer->panels * PT_F32_PANEL + (size_t)conv->spec.in_channels;
    return (weights_count(layer) + rest) * sizeof(float);
}

static const char *winograd_method(const pt_conv *conv)
{
    (void)conv;
    return "winograd 4x4";
}

/* One panel's weights of one input channel, in all planes. */
static void pack_channel(winograd *layer, const float *weights, int panel, int channel)
{
    const int depth = layer->base.spec.in_channels, outputs = layer->base.spec.out_channels;
    for (int o = 0; o < PT_F32_PANEL; o++) {
        float window[9] = {0}, planes[PLANES];
        const int output = panel * PT_F32_PANEL + o;
        for (int tap = 0; tap < 9 && output < outputs; tap++) {
            window[tap] = weights[((size_t)output * 9 + (size_t)tap) * (size_t)depth + (size_t)channel];
        }
        pt_f32_winograd_weights(window, planes);
        for (int plane = 0; plane < PLANES; plane++) {
            const size_t row = ((size_t)panel * PLANES + (size_t)plane) * (size_t)depth + (size_t)channel;
            layer->weights[row * PT_F32_PANEL + (size_t)o] = planes[plane];
        }
    }
}

pt_status pt_native_f32_winograd_new(const pt_conv_spec *spec, pt_conv_weights *weights, pt_isa isa,
                                     pt_conv **out)
{
    static const pt_native_ops ops = {winograd_free, winograd_reserve, winograd_run, winograd_bytes,
                                      winograd_method};
    winograd *layer = pt_calloc(1, sizeof *layer);
    if (!layer) {
        return PT_NOMEM("a convolution");
    }
    layer->base = (pt_conv){.ops = &ops, .spec = *spec};
    layer->kernels = pt_f32_kernels_for(isa);
    layer->panels = (spec->out_channels + PT_F32_PANEL - 1) / PT_F32_PANEL;
    layer->weights = pt_alloc_aligned(weights_count(layer), sizeof *layer->weights);
    layer->bias = pt_alloc_aligned((size_t)layer->panels * PT_F32_PANEL, sizeof *layer->bias);
    layer->zeros = pt_alloc_aligned((size_t)spec->in_channels, sizeof *layer->zeros);
    if (!layer->weights || !layer->bias || !layer->zeros) {
        winograd_free(&layer->base);
        return PT_NOMEM("a convolution's weights");
    }
    memset(layer->zeros, 0, (size_t)spec->in_channels * sizeof *layer->zeros);
    memset(layer->bias, 0, (size_t)layer->panels * PT_F32_PANEL * sizeof *layer->bias);
    memcpy(layer->bias, weights->bias, (size_t)spec->out_channels * sizeof *layer->bias);
    for (int panel = 0; panel < layer->panels; panel++) {
        for (int channel = 0; channel < spec->in_channels; channel++) {
            pack_channel(layer, weights->f32, panel, channel);
        }
    }
    *out = &layer->base;
    return pt_ok();
}
