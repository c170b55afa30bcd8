#include "engine/ops/roi_align.h"

#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <math.h>

int pt_pyramid_level(const pt_pyramid *pyramid, pt_box box)
{
    float finest = -log2f(pyramid->scale[0]);
    float coarsest = -log2f(pyramid->scale[pyramid->levels - 1]);
    float side = sqrtf((box.x1 - box.x0) * (box.y1 - box.y0));
    float level = floorf((float)pyramid->canonical_level + log2f(side / pyramid->canonical_size) + 1e-6f);
    /* Written so that a box that is not a number lands on the finest level. */
    level = level > truncf(finest) ? level : truncf(finest);
    level = level < truncf(coarsest) ? level : truncf(coarsest);
    return (int)level - (int)truncf(finest);
}

/* Numbers along one axis: sample points, two neighbours each. */
static size_t axis_length(int sampling_ratio, int side)
{
    return 2 * (size_t)sampling_ratio * (size_t)side;
}

pt_status pt_roi_space_reserve(pt_roi_space *space, int sampling_ratio, int side, int width, int workers)
{
    /* Two axes of indices and weights, and a row. An index is as large as a float. */
    size_t each = 4 * axis_length(sampling_ratio, side) + (size_t)width, total;
    each = (each + 15) / 16 * 16;
    if (!pt_size_mul(each, (size_t)workers, &total)) {
        return PT_NOMEM("region sample points");
    }
    if (each > space->each || total > space->total) {
        float *memory = pt_alloc_aligned(total, sizeof *memory);
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
    const pt_box *boxes;
    int side;
    float *out;
    size_t region_stride, channel_stride;
} roi_job;

static void align_one(void *context, size_t i, int worker)
{
    const roi_job *job = context;
    const pt_pyramid *pyramid = job->pyramid;
    pt_box box = job->boxes[i];
    int level = pt_pyramid_level(pyramid, box);
    const pt_map *map = &pyramid->maps[level];
    float scale = pyramid->scale[level];
    float offset = pyramid->aligned ? .5f : 0;
    float x0 = box.x0 * scale - offset, y0 = box.y0 * scale - offset;
    float w = box.x1 * scale - offset - x0, h = box.y1 * scale - offset - y0;
    if (!pyramid->aligned) {
        w = w > 1 ? w : 1;
        h = h > 1 ? h : 1;
    }
    int ratio = pyramid->sampling_ratio, side = job->side;
    size_t length = axis_length(ratio, side);
    float *memory = job->space->memory + (size_t)worker * job->space->each;
    pt_roi_axis along_y = {(int32_t *)(void *)(memory + 2 * length), memory};
    pt_roi_axis along_x = {along_y.index + length, memory + length};
    pt_k_roi_axis(y0, h / (float)side, side, ratio, map->h, &along_y);
    pt_k_roi_axis(x0, w / (float)side, side, ratio, map->w, &along_x);
    pt_k_roi_align(map->data, map->c, map->h, map->w, &along_y, &along_x, side, ratio, memory + 4 * length,
                   job->out + i * job->region_stride, job->channel_stride);
}

void pt_roi_align(const pt_pyramid *pyramid, pt_roi_space *space, pt_pool *pool, const pt_box *boxes,
                  size_t count, int side, float *out, size_t region_stride, size_t channel_stride)
{
    roi_job job = {pyramid, space, boxes, side, out, region_stride, channel_stride};
    pt_pool_run(pool, count, align_one, &job);
}
