#include "engine/ops/mask_logits.h"

#include "engine/kernels/operators.h"
#include "engine/kernels/regions.h"

enum {
    BLOCK = 4096, /* values per task of the sigmoid */
    RUN = 64,     /* cells whose products are kept before they are spread */
    SUBS = 4,     /* pixels of a cell, one behind the other */
};

typedef struct logits_job {
    const pt_region_kernels *kernels;
    const pt_map *expanded;
    const int *class_ids;
    const float *weights, *bias;
    float *logits;
} logits_job;

/* sums of the pixels of `count` cells from `cell` on: a cell's pixels are pixels of a quarter of its
 * channels, so that all of them lie in one row. */
static void dot_cells(const logits_job *job, size_t cell, size_t count, const float *weights, float *sums)
{
    const pt_map *map = job->expanded;
    size_t channels = (size_t)map->c / SUBS, at = cell * (size_t)map->c, pixels = count * SUBS;
    if (map->elem == PT_F32) {
        job->kernels->dot_f32(pt_map_f32(map) + at, pixels, channels, weights, (int)channels, sums);
        return;
    }
    job->kernels->dot_u8(pt_map_u8(map) + at, pixels, channels, map->quant.zero, weights, (int)channels,
                         sums);
    for (size_t i = 0; i < pixels; i++) {
        sums[i] *= map->quant.scale;
    }
}

/* A task is one row of cells: two rows of pixels. */
static void logits_of_row(void *context, size_t task, int worker)
{
    (void)worker;
    const logits_job *job = context;
    size_t side = (size_t)job->expanded->w, channels = (size_t)job->expanded->c / SUBS;
    size_t class_id = (size_t)job->class_ids[task / side];
    const float *weights = job->weights + class_id * channels;
    float sums[SUBS * RUN], bias = job->bias[class_id];
    for (size_t x = 0; x < side; x += RUN) {
        size_t count = side - x < RUN ? side - x : RUN;
        dot_cells(job, task * side + x, count, weights, sums);
        float *out = job->logits + task * SUBS * side + 2 * x;
        for (size_t i = 0; i < count; i++) {
            out[2 * i] = sums[SUBS * i] + bias;
            out[2 * i + 1] = sums[SUBS * i + 1] + bias;
            out[2 * (side + i)] = sums[SUBS * i + 2] + bias;
            out[2 * (side + i) + 1] = sums[SUBS * i + 3] + bias;
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
