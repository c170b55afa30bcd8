#include "engine/ops/roi_align.h"

#include "engine/kernels/exp.h"
#include "engine/kernels/regions.h"
#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <math.h>

enum {
    CHUNK = 1024,  /* regions that are put in order together */
    BAND = 64,     /* pixels: regions whose corners share a square of this size are near each other */
    MOST_EACH = 8, /* regions of a task */
};

/* floor(log2(v)) of a positive number, without a call of libm's. */
static int floor_log2(float v)
{
    return (int)(pt_bits_of_float(v) >> 23) - 127;
}

int pt_pyramid_level(const pt_pyramid *pyramid, pt_box box)
{
    /* torchvision: floor(canonical level + log2(side / canonical size) + 1e-6) */
    const float almost = 1.0000007f; /* 2^1e-6 */
    int finest = floor_log2(1 / pyramid->scale[0]);
    int coarsest = floor_log2(1 / pyramid->scale[pyramid->levels - 1]);
    float share = sqrtf((box.x1 - box.x0) * (box.y1 - box.y0)) / pyramid->canonical_size * almost;
    if (!(share > 0)) { /* not a number, too */
        return 0;
    }
    int level = pyramid->canonical_level + floor_log2(share);
    level = level > finest ? level : finest;
    level = level < coarsest ? level : coarsest;
    return level - finest;
}

/* The memory of one worker: two axes, then the taps of one output cell. */
typedef struct roi_scratch {
    pt_roi_axis y, x;
    pt_roi_tap *taps;
} roi_scratch;

/* Bytes of one axis of `side` cells, a multiple of 8. */
static size_t axis_bytes(size_t most, size_t side)
{
    return (side * (most * (sizeof(int32_t) + sizeof(float)) + sizeof(uint16_t)) + 7) / 8 * 8;
}

static pt_roi_axis place_axis(uint8_t *memory, size_t most, size_t side)
{
    pt_roi_axis axis = {.index = (int32_t *)(void *)memory, .most = (int)most};
    axis.weight = (float *)(void *)(axis.index + side * most);
    axis.count = (uint16_t *)(void *)(axis.weight + side * most);
    return axis;
}

static roi_scratch place_scratch(uint8_t *memory, int sampling_ratio, int side)
{
    size_t most = 2 * (size_t)sampling_ratio, bytes = axis_bytes(most, (size_t)side);
    return (roi_scratch){place_axis(memory, most, (size_t)side),
                         place_axis(memory + bytes, most, (size_t)side),
                         (pt_roi_tap *)(void *)(memory + 2 * bytes)};
}

pt_status pt_roi_space_reserve(pt_roi_space *space, int sampling_ratio, int side, int workers)
{
    size_t most = 2 * (size_t)sampling_ratio, total;
    size_t each = 2 * axis_bytes(most, (size_t)side) + (most * most + 1) * sizeof(pt_roi_tap);
    each = (each + PT_ALIGNMENT - 1) / PT_ALIGNMENT * PT_ALIGNMENT;
    if (!pt_size_mul(each, (size_t)workers, &total)) {
        return PT_NOMEM("region sample points");
    }
    if (each > space->each || total > space->total) {
        uint8_t *memory = pt_alloc_aligned(total, 1);
        if (!memory) {
            return PT_NOMEM("region sample points");
        }
        pt_free(space->memory);
        *space = (pt_roi_space){.memory = memory, .each = each, .total = total};
    }
    return pt_ok();
}

void pt_roi_space_fini(pt_roi_space *space)
{
    pt_free(space->memory);
    *space = (pt_roi_space){0};
}

typedef struct roi_job {
    const pt_pyramid *pyramid;
    const pt_roi_space *space;
    const pt_region_kernels *kernels;
    const pt_box *boxes;
    size_t count;
    int side;
    pt_map *out;
    const uint64_t *order;
    size_t each; /* regions of a task */
} roi_job;

static void find_samples(const pt_pyramid *pyramid, pt_box box, int level, int side, roi_scratch *scratch)
{
    const pt_map *map = &pyramid->maps[level];
    float scale = pyramid->scale[level], offset = pyramid->aligned ? .5f : 0;
    float y0 = box.y0 * scale - offset, x0 = box.x0 * scale - offset;
    float w = box.x1 * scale - offset - x0, h = box.y1 * scale - offset - y0;
    if (!pyramid->aligned) {
        w = w > 1 ? w : 1;
        h = h > 1 ? h : 1;
    }
    pt_k_roi_axis(y0, h / (float)side, side, pyramid->sampling_ratio, map->h, &scratch->y);
    pt_k_roi_axis(x0, w / (float)side, side, pyramid->sampling_ratio, map->w, &scratch->x);
}

/* Writes the pixels of output cell (cy, cx), row by row, and returns how many. */
static int list_taps(const roi_scratch *scratch, const pt_map *map, int cy, int cx)
{
    const pt_roi_axis *y = &scratch->y, *x = &scratch->x;
    const int32_t *columns = x->index + cx * x->most;
    const float *shares = x->weight + cx * x->most;
    int n = 0;
    for (int i = cy * y->most; i < cy * y->most + y->count[cy]; i++) {
        size_t row = (size_t)y->index[i] * (size_t)map->w;
        for (int j = 0; j < x->count[cx]; j++) {
            pt_roi_tap *tap = &scratch->taps[n++];
            tap->offset = (row + (size_t)columns[j]) * (size_t)map->c;
            tap->weight.real = y->weight[i] * shares[j];
        }
    }
    return n;
}

/* Makes the weights whole, by rounding their running sum, which leaves no error in all of them together.
 * Returns what they lack to one. */
static int make_whole(pt_roi_tap *taps, int count)
{
    float sum = 0;
    int before = 0;
    for (int t = 0; t < count; t++) {
        sum += taps[t].weight.real;
        int now = (int)(sum * PT_ROI_ONE + .5f);
        now = now < PT_ROI_ONE ? now : PT_ROI_ONE;
        taps[t].weight.whole = now - before;
        before = now;
    }
    return PT_ROI_ONE - before;
}

static void align_cell(const roi_job *job, const pt_map *map, pt_roi_tap *taps, int count, size_t cell)
{
    if (map->elem == PT_F32) {
        float *out = pt_map_f32(job->out) + cell * (size_t)map->c;
        job->kernels->roi_f32(pt_map_f32(map), taps, count, map->c, out);
    } else {
        uint8_t *out = pt_map_u8(job->out) + cell * (size_t)map->c;
        int rest = make_whole(taps, count);
        job->kernels->roi_u8(pt_map_u8(map), taps, count, map->c, rest, map->quant.zero, out);
    }
}

static void align_one(const roi_job *job, size_t i, int worker)
{
    int level = pt_pyramid_level(job->pyramid, job->boxes[i]), side = job->side;
    const pt_map *map = &job->pyramid->maps[level];
    roi_scratch scratch = place_scratch(job->space->memory + (size_t)worker * job->space->each,
                                        job->pyramid->sampling_ratio, side);
    find_samples(job->pyramid, job->boxes[i], level, side, &scratch);
    size_t cell = i * (size_t)side * (size_t)side;
    for (int cy = 0; cy < side; cy++) {
        for (int cx = 0; cx < side; cx++, cell++) {
            align_cell(job, map, scratch.taps, list_taps(&scratch, map, cy, cx), cell);
        }
    }
}

static void align_some(void *context, size_t task, int worker)
{
    const roi_job *job = context;
    size_t end = (task + 1) * job->each;
    for (size_t i = task * job->each; i < end && i < job->count; i++) {
        align_one(job, pt_rank_index(job->order[i]), worker);
    }
}

static uint64_t band_of(float at)
{
    return at > 0 && at < 65536.0f * BAND ? (uint64_t)at / BAND : 0;
}

/* Regions of a level that lie near each other follow each other: they share cells, which are in a cache then.
 */
static void order_regions(const pt_pyramid *pyramid, const pt_box *boxes, size_t count, uint64_t *order)
{
    uint64_t spare[CHUNK];
    for (size_t i = 0; i < count; i++) {
        uint64_t level = (uint64_t)pt_pyramid_level(pyramid, boxes[i]);
        uint64_t place = level << 28 | band_of(boxes[i].y0) % 16384 << 14 | band_of(boxes[i].x0) % 16384;
        order[i] = place << 32 | i;
    }
    pt_rank_sort(order, spare, count);
}

void pt_roi_align(const pt_pyramid *pyramid, pt_roi_space *space, pt_pool *pool, const pt_box *boxes,
                  size_t count, int side, pt_map *out)
{
    size_t cells = (size_t)side * (size_t)side * (size_t)out->c * pt_elem_size(out->elem);
    size_t tasks = 4 * (size_t)pt_pool_threads(pool);
    uint64_t order[CHUNK];
    for (size_t at = 0; at < count; at += CHUNK) {
        size_t n = count - at < CHUNK ? count - at : CHUNK;
        pt_map part = *out;
        part.data = (uint8_t *)out->data + at * cells;
        order_regions(pyramid, boxes + at, n, order);
        size_t each = n / tasks > MOST_EACH ? MOST_EACH : n / tasks + 1;
        roi_job job = {pyramid, space, pt_region_kernels_best(), boxes + at, n, side, &part, order, each};
        pt_pool_run(pool, (n + each - 1) / each, align_some, &job);
    }
}
