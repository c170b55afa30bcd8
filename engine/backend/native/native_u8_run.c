/* Runs dense layers on bytes.
 *
 * A task computes a rectangle of output pixels of one image for a range of channel blocks. The rectangle is
 * so small that what it reads stays in the L2 cache while the blocks pass, each block's weights being read
 * once for every tile of pixels. Where the window reaches beyond the map, or the kernels want 16-bit
 * elements, the task first copies what it reads; a 1x1 layer without either reads the map itself, and without
 * a stride sees it as one long row. */
#include "engine/backend/native/native_u8_plan.h"

#include "tiling/base/alloc.h"

#include <string.h>

enum {
    /* Weights that stay in the L1 cache while all of a part's blocks pass over one tile after the other. */
    RESIDENT_BYTES = 16 << 10,
    RESIDENT_BLOCKS = 16, /* the most of such a part */
    AHEAD_TILES = 2,      /* of output that are fetched before they are written */
    CACHE_LINE = 64,
};

typedef struct dense_job {
    const pt_u8_dense *dense;
    const pt_native *native;
    pt_u8_plan plan;
    const pt_map *in, *summand;
    pt_map *out;
} dense_job;

pt_status pt_u8_dense_reserve(const pt_conv *conv, pt_native *native, int n, int h, int w)
{
    (void)n;
    return pt_native_reserve_scratch(native, pt_u8_scratch_bytes((const pt_u8_dense *)conv, h, w));
}

/* What one task reads and writes. */
typedef struct area {
    int image, y, x, rows, columns; /* of the output */
    int first_block, end_block;
    const void *in;       /* the first output's window */
    ptrdiff_t row, pixel; /* input elements from one output row, pixel, to the next */
    int32_t *offsets;     /* of the window's steps */
    unsigned char *space; /* the rest of the worker's scratch */
} area;

static area find_area(const dense_job *job, size_t task)
{
    const pt_u8_plan *plan = &job->plan;
    size_t column = task % (size_t)plan->column_tasks;
    size_t rest = task / (size_t)plan->column_tasks;
    size_t row = rest % (size_t)plan->row_tasks;
    rest /= (size_t)plan->row_tasks;
    size_t image = rest % (size_t)plan->images;
    int part = (int)(rest / (size_t)plan->images);
    area a = {.image = (int)image, .y = (int)row * plan->rows, .x = (int)column * plan->columns};
    a.rows = min(plan->rows, plan->oh - a.y);
    a.columns = min(plan->columns, plan->ow - a.x);
    a.first_block = part * plan->part_blocks;
    a.end_block = min(a.first_block + plan->part_blocks, job->dense->block_count);
    return a;
}

/* Where a window's steps lie when input rows are `pitch` elements apart. */
static void find_offsets(const dense_job *job, ptrdiff_t pitch, area *a)
{
    const pt_u8_dense *dense = job->dense;
    const pt_conv_spec *s = &dense->base.spec;
    int32_t *to = a->offsets;
    int steps = job->plan.long_run ? PT_U8_PART_STEPS : dense->run_steps;
    for (int r = 0; r < dense->run_count; r++) {
        ptrdiff_t run = s->groups == 1
                            ? r * pitch
                            : r / s->kernel_w * pitch + r % s->kernel_w * (ptrdiff_t)s->in_channels;
        for (int i = 0; i < steps; i++) {
            *to++ = (int32_t)run + i * dense->kernels->group;
        }
    }
    a->row = s->stride * pitch;
    a->pixel = (ptrdiff_t)s->stride * s->in_channels;
}

static void copy_elements(const uint8_t *from, size_t count, bool wide, void *to, size_t at)
{
    if (!wide) {
        memcpy((uint8_t *)to + at, from, count);
        return;
    }
    int16_t *words = (int16_t *)to + at;
    for (size_t i = 0; i < count; i++) {
        words[i] = from[i];
    }
}

/* `count` pixels of what lies outside the map. */
static void put_outside(const pt_conv_spec *s, size_t count, bool wide, void *to, size_t at)
{
    const uint8_t *o = s->outside;
    bool same = o[0] == o[1] && o[0] == o[2] && o[0] == o[3];
    size_t channels = (size_t)s->in_channels;
    if (same && !wide) {
        memset((uint8_t *)to + at, o[0], count * channels);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t c = 0; c < channels; c++, at++) {
            if (wide) {
                ((int16_t *)to)[at] = o[c % 4];
            } else {
                ((uint8_t *)to)[at] = o[c % 4];
            }
        }
    }
}

/* Copies what the area's windows read, without gaps. */
static void copy_input(const dense_job *job, area *a)
{
    void *to = a->space;
    const pt_conv_spec *s = &job->dense->base.spec;
    const pt_u8_plan *plan = &job->plan;
    bool wide = job->dense->kernels->wide;
    size_t channels = (size_t)s->in_channels;
    int rows = pt_u8_span(a->rows, s->kernel_h, s->stride),
        columns = pt_u8_span(a->columns, s->kernel_w, s->stride);
    int y0 = a->y * s->stride - s->pad, x0 = a->x * s->stride - s->pad;
    int left = min(columns, max(0, -x0)), inside = max(0, min(columns, plan->w - x0) - left);
    size_t pitch = (size_t)columns * channels;
    const uint8_t *image =
        pt_map_u8(job->in) + (size_t)a->image * (size_t)plan->h * (size_t)plan->w * channels;
    for (int y = 0; y < rows; y++) {
        size_t at = (size_t)y * pitch;
        if (y0 + y < 0 || y0 + y >= plan->h) {
            put_outside(s, (size_t)columns, wide, to, at);
            continue;
        }
        const uint8_t *row = image + ((size_t)(y0 + y) * (size_t)plan->w + (size_t)(x0 + left)) * channels;
        put_outside(s, (size_t)left, wide, to, at);
        copy_elements(row, (size_t)inside * channels, wide, to, at + (size_t)left * channels);
        put_outside(s, (size_t)(columns - left - inside), wide, to, at + (size_t)(left + inside) * channels);
    }
    a->in = to;
    find_offsets(job, (ptrdiff_t)pitch, a);
}

static void point_at_input(const dense_job *job, area *a)
{
    const pt_conv_spec *s = &job->dense->base.spec;
    const pt_u8_plan *plan = &job->plan;
    size_t pitch = (size_t)plan->w * (size_t)s->in_channels;
    size_t row = (size_t)a->image * (size_t)plan->h + (size_t)(a->y * s->stride);
    a->in = pt_map_u8(job->in) + row * pitch + (size_t)(a->x * s->stride) * (size_t)s->in_channels;
    find_offsets(job, (ptrdiff_t)pitch, a);
}

/* Pixels [x, end) of row y of an area. */
typedef struct row_part {
    int y, x, end;
} row_part;

/* What of a tile is the same for all tiles of a block. */
static pt_u8_tile start_block(const dense_job *job, const area *a, const pt_u8_block *block, int32_t *sums)
{
    const pt_u8_dense *dense = job->dense;
    return (pt_u8_tile){
        .step = a->pixel,
        .offsets = a->offsets,
        .steps = dense->run_count * dense->run_steps,
        .weights = (const char *)dense->weights + block->weights,
        .start = dense->start + block->constants,
        .sums = sums,
        .finish = &dense->finish,
        .multiplier = dense->multiplier + block->constants,
        .bias = dense->bias + block->constants,
        .out_step = job->out->c,
        .channels = block->channels,
    };
}

/* Where a pixel of the smaller map begins, in elements. */
static ptrdiff_t upsampled_at(const dense_job *job, const area *a, int y, int x)
{
    const pt_map *out = job->out, *sum = job->summand;
    int64_t sy = (int64_t)y * sum->h / out->h, sx = (int64_t)x * sum->w / out->w;
    return (ptrdiff_t)((((int64_t)a->image * sum->h + sy) * sum->w + sx) * sum->c);
}

/* Runs a tile from step `step` of the window on. */
static void run_tile(const dense_job *job, const area *a, const pt_u8_block *block, const row_part *p,
                     int step, pt_u8_tile *tile)
{
    const pt_u8_dense *dense = job->dense;
    ptrdiff_t element = dense->kernels->wide ? 2 : 1, out_element = (ptrdiff_t)pt_elem_size(job->out->elem);
    ptrdiff_t in =
        p->y * a->row + p->x * a->pixel + block->in_channel + (ptrdiff_t)step * dense->kernels->group;
    int y = a->y + p->y, x = a->x + p->x;
    ptrdiff_t pixel = ((ptrdiff_t)a->image * job->plan.oh + y) * job->plan.ow + x;
    ptrdiff_t at[PT_U8_MAX_PIXELS];
    tile->in = (const char *)a->in + in * element;
    tile->pixels = p->end - p->x;
    tile->out = (char *)job->out->data + (pixel * job->out->c + block->channel) * out_element;
    tile->summand_at = at;
    if (dense->base.spec.add == PT_ADD_SAME) {
        tile->summand = (const char *)job->summand->data + block->channel * out_element;
        for (int i = 0; i < tile->pixels; i++) {
            at[i] = (pixel + i) * job->out->c;
        }
    } else if (dense->base.spec.add == PT_ADD_UPSAMPLED) {
        tile->summand = (const char *)job->summand->data + block->channel * out_element;
        for (int i = 0; i < tile->pixels; i++) {
            at[i] = upsampled_at(job, a, y, x + i);
        }
    }
    dense->kernels->run(tile, block->vectors);
}

/* The i-th of `count` nearly equal tiles of a row of the area. */
static row_part tile_part(const area *a, int y, int i, int count)
{
    return (row_part){.y = y,
                      .x = (int)((int64_t)a->columns * i / count),
                      .end = (int)((int64_t)a->columns * (i + 1) / count)};
}

/* How many tiles of a row; of blocks first to end, the one whose tiles are smallest counts. */
static int count_tiles(const dense_job *job, const area *a, int first, int end)
{
    int pixels = PT_U8_MAX_PIXELS;
    for (int b = first; b < end; b++) {
        pixels = min(pixels, job->dense->kernels->max_pixels[job->dense->blocks[b].vectors - 1]);
    }
    return divide_up(a->columns, pixels);
}

/* Brings `count` pieces of `bytes` bytes each, `step` bytes apart, into the cache. */
static inline void fetch(const char *at, int count, size_t bytes, size_t step, bool write)
{
    if (step == bytes) {
        bytes *= (size_t)count;
        count = 1;
    }
    for (int i = 0; i < count; i++, at += step) {
        for (size_t b = 0; b < bytes; b += CACHE_LINE) {
            if (write) {
                __builtin_prefetch(at + b, 1);
            } else {
                __builtin_prefetch(at + b, 0);
            }
        }
    }
}

/* The input of a tile that comes some pixels later, where tiles read the map itself: processors see no
 * pattern in reads from several pixels in turn. */
static void fetch_input(const dense_job *job, const area *a, const row_part *p, int step)
{
    const pt_u8_dense *dense = job->dense;
    size_t bytes =
        (size_t)(job->plan.long_run ? PT_U8_PART_STEPS : dense->run_steps) * (size_t)dense->kernels->group;
    ptrdiff_t at = p->y * a->row + (p->x + job->plan.ahead) * a->pixel + step * dense->kernels->group;
    fetch((const char *)a->in + at, p->end - p->x, bytes, (size_t)a->pixel, false);
}

/* Where the output of blocks from `block` on will be written, some tiles later. */
static void fetch_output(const dense_job *job, const area *a, const row_part *p, const pt_u8_block *block,
                         int channels)
{
    size_t element = pt_elem_size(job->out->elem), step = (size_t)job->out->c * element;
    int count = p->end - p->x;
    size_t row = (size_t)a->image * (size_t)job->plan.oh + (size_t)(a->y + p->y);
    size_t pixel = row * (size_t)job->plan.ow + (size_t)(a->x + p->x + AHEAD_TILES * count);
    const char *at = (const char *)job->out->data + pixel * step + (size_t)block->channel * element;
    fetch(at, count, (size_t)channels * element, step, true);
}

/* All of a part's blocks over one tile after the other: input and output are passed once, from front to back.
 */
static void run_tiles(const dense_job *job, const area *a)
{
    const pt_u8_dense *dense = job->dense;
    const pt_u8_block *first = &dense->blocks[a->first_block], *last = &dense->blocks[a->end_block - 1];
    int32_t sums[PT_U8_MAX_SUMS] __attribute__((aligned(PT_ALIGNMENT)));
    pt_u8_tile tiles[RESIDENT_BLOCKS]; /* made once: of few sums a tile takes little longer than making it */
    for (const pt_u8_block *block = first; block <= last; block++) {
        tiles[block - first] = start_block(job, a, block, sums);
    }
    int count = count_tiles(job, a, a->first_block, a->end_block);
    for (int y = 0; y < a->rows; y++) {
        for (int i = 0; i < count; i++) {
            row_part p = tile_part(a, y, i, count);
            if (!job->plan.copy) {
                fetch_input(job, a, &p, 0);
            }
            fetch_output(job, a, &p, first, last->channel + last->channels - first->channel);
            for (const pt_u8_block *block = first; block <= last; block++) {
                run_tile(job, a, block, &p, 0, &tiles[block - first]);
            }
        }
    }
}

/* All tiles for one block after the other, whose weights together do not fit the L1 cache. */
static void run_block(const dense_job *job, const area *a, const pt_u8_block *block, bool first)
{
    const pt_u8_dense *dense = job->dense;
    int32_t sums[PT_U8_MAX_SUMS] __attribute__((aligned(PT_ALIGNMENT)));
    int count = divide_up(a->columns, dense->kernels->max_pixels[block->vectors - 1]);
    pt_u8_tile tile = start_block(job, a, block, sums);
    for (int y = 0; y < a->rows; y++) {
        for (int i = 0; i < count; i++) {
            row_part p = tile_part(a, y, i, count);
            if (first && !job->plan.copy) {
                fetch_input(job, a, &p, 0);
            }
            fetch_output(job, a, &p, block, block->channels);
            run_tile(job, a, block, &p, 0, &tile);
        }
    }
}

/* Makes the sums of a block in parts of the run; they wait in `sums` from one part to the next. */
static void run_long_block(const dense_job *job, const area *a, const pt_u8_block *block, int step,
                           bool first, int32_t *sums)
{
    const pt_u8_dense *dense = job->dense;
    int steps = min(PT_U8_PART_STEPS, dense->run_steps - step),
        lanes = dense->kernels->lanes * block->vectors;
    int count = divide_up(a->columns, dense->kernels->max_pixels[block->vectors - 1]);
    pt_u8_tile tile = start_block(job, a, block, NULL);
    tile.steps = steps;
    tile.weights = (const char *)tile.weights + (size_t)step * dense->step_bytes * (size_t)block->vectors;
    tile.start = step == 0 ? tile.start : NULL;
    tile.unfinished = step + steps < dense->run_steps;
    for (int y = 0; y < a->rows; y++) {
        for (int i = 0; i < count; i++) {
            row_part p = tile_part(a, y, i, count);
            if (first) {
                fetch_input(job, a, &p, step);
            }
            tile.sums = sums + (size_t)(y * a->columns + p.x) * (size_t)lanes;
            run_tile(job, a, block, &p, step, &tile);
        }
    }
}

static void run_long(const dense_job *job, const area *a)
{
    const pt_u8_dense *dense = job->dense;
    size_t each = (size_t)PT_U8_LONG_PIXELS * (size_t)(dense->kernels->lanes * dense->kernels->max_vectors);
    for (int step = 0; step < dense->run_steps; step += PT_U8_PART_STEPS) {
        for (int b = a->first_block; b < a->end_block; b++) {
            int32_t *sums = (int32_t *)a->space + (size_t)(b - a->first_block) * each;
            run_long_block(job, a, &dense->blocks[b], step, b == a->first_block, sums);
        }
    }
}

static bool is_resident(const dense_job *job, const area *a)
{
    const pt_u8_dense *dense = job->dense;
    size_t vectors = 0;
    for (int b = a->first_block; b < a->end_block; b++) {
        vectors += (size_t)dense->blocks[b].vectors;
    }
    return a->end_block - a->first_block <= RESIDENT_BLOCKS &&
           vectors * dense->step_bytes * (size_t)(dense->run_count * dense->run_steps) <= RESIDENT_BYTES;
}

static void run_task(void *context, size_t task, int worker)
{
    const dense_job *job = context;
    area a = find_area(job, task);
    a.offsets = pt_native_scratch(job->native, worker);
    a.space = (unsigned char *)a.offsets + pt_u8_offset_bytes(job->dense);
    if (job->plan.copy) {
        copy_input(job, &a);
    } else {
        point_at_input(job, &a);
    }
    if (job->plan.long_run) {
        run_long(job, &a);
    } else if (is_resident(job, &a)) {
        run_tiles(job, &a);
    } else {
        for (int b = a.first_block; b < a.end_block; b++) {
            run_block(job, &a, &job->dense->blocks[b], b == a.first_block);
        }
    }
}

void pt_u8_dense_run(const pt_conv *conv, pt_native *native, const pt_map *in, const pt_map *summand,
                     pt_map *out)
{
    const pt_u8_dense *dense = (const pt_u8_dense *)conv;
    dense_job job = {.dense = dense, .native = native, .in = in, .summand = summand, .out = out};
    job.plan = pt_u8_plan_of(dense, in->n, in->h, in->w);
    size_t tasks = (size_t)job.plan.images * (size_t)job.plan.row_tasks * (size_t)job.plan.column_tasks *
                   (size_t)job.plan.parts;
    pt_pool_run(native->base.pool, tasks, run_task, &job);
}
