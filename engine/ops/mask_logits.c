#include "engine/ops/mask_logits.h"

#include "engine/kernels/operators.h"
#include "engine/kernels/regions.h"

enum {
    BLOCK = 4096, /* values per task of the sigmoid */
    RUN = 64,     /* cells whose products are kept before they are spread */
};

typedef struct logits_job {
    const pt_region_kernels *kernels;
    const pt_map *expanded;
    const int *class_ids;
    const float *weights, *bias;
    float *logits;
} logits_job;

/* sums of `count` cells from `cell` on, for one sub-position. */
static void dot_cells(const logits_job *job, size_t cell, size_t count, size_t sub, const float *weights,
                      float *sums)
{
    const pt_map *map = job->expanded;
    size_t stride = (size_t)map->c, channels = stride / 4;
    size_t at = cell * stride + sub * channels;
    if (map->elem == PT_F32) {
        job->kernels->dot_f32(pt_map_f32(map) + at, count, stride, weights, (int)channels, sums);
        return;
    }
    job->kernels->dot_u8(pt_map_u8(map) + at, count, stride, map->quant.zero, weights, (int)channels, sums);
    for (size_t i = 0; i < count; i++) {
        sums[i] *= map->quant.scale;
    }
}

/* A task is one row of cells: two rows of pixels. */
static void logits_of_row(void *context, size_t task, int worker)
{
    (void)worker;
    const logits_job *job = context;
    size_t side = (size_t)job->expanded->w, channels = (size_t)job->expanded->c / 4;
    size_t class_id = (size_t)job->class_ids[task / side];
    const float *weights = job->weights + class_id * channels;
    float sums[RUN], bias = job->bias[class_id];
    for (size_t x = 0; x < side; x += RUN) {
        size_t count = side - x < RUN ? side - x : RUN;
        for (size_t sub = 0; sub < 4; sub++) {
            dot_cells(job, task * side + x, count, sub, weights, sums);
            float *out = job->logits + (2 * task + sub / 2) * 2 * side + 2 * x + sub % 2;
            for (size_t i = 0; i < count; i++) {
                out[2 * i] = sums[i] + bias;
            }
        }
    }
}

void pt_op_mask_logits(pt_pool *pool, const pt_map *expanded, const int *class_ids, const float *weights,
                       const float *bias, float *logits)
{
    logits_job job = {.kernels = pt_region_kernels_best(),
                      .expanded = expanded,
                      .class_ids = class_ids,
                      .weights = weights,
                      .bias = bias,
                      .logits = logits};
    pt_pool_run(pool, (size_t)expanded->n * (size_t)expanded->h, logits_of_row, &job);
}

typedef struct sigmoid_job {
    const pt_operator_kernels *kernels;
    float *values;
    size_t count;
} sigmoid_job;

static void sigmoid_block(void *context, size_t task, int worker)
{
    (void)worker;
    const sigmoid_job *job = context;
    size_t at = task * BLOCK, left = job->count - at;
    job->kernels->sigmoid(job->values + at, left < BLOCK ? left : BLOCK);
}

void pt_op_sigmoid(pt_pool *pool, float *values, size_t count)
{
    sigmoid_job job = {pt_operator_kernels_best(), values, count};
    pt_pool_run(pool, (count + BLOCK - 1) / BLOCK, sigmoid_block, &job);
}
