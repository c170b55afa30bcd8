#include "engine/backend/native/native_u8_plan.h"

#include "tiling/base/alloc.h"

enum {
    INPUT_BYTES = 256 << 10, /* that a task reads: a quarter of an L2 cache of 1 MiB */
    MAX_PIXELS = 512,        /* of a task */
    MIN_PIXELS = 24,
    MAX_COLUMNS = 128, /* of a task with more than one row */
    MIN_COLUMNS = 8,
    WANTED_TASKS = 64, /* for 16 threads with little waiting for the last */
    LONG_RUN = 1024,   /* more steps than these */
    AHEAD_BYTES = 4096,
};

static size_t input_bytes(const pt_u8_dense *dense, const pt_u8_plan *plan, int rows, int columns)
{
    const pt_conv_spec *s = &dense->base.spec;
    size_t channels = (size_t)(plan->long_run ? PT_U8_PART_STEPS * dense->kernels->group : s->in_channels);
    return (size_t)pt_u8_span(rows, s->kernel_h, s->stride) *
           (size_t)pt_u8_span(columns, s->kernel_w, s->stride) * channels * (dense->kernels->wide ? 2 : 1);
}

/* Rows are cut into equal columns, then as many rows taken as fit. */
static void size_tasks(const pt_u8_dense *dense, pt_u8_plan *plan, int pixels)
{
    int most = plan->oh > 1 ? min(pixels, MAX_COLUMNS) : pixels;
    int columns = divide_up(plan->ow, divide_up(plan->ow, most));
    while (columns > MIN_COLUMNS && input_bytes(dense, plan, 1, columns) > INPUT_BYTES) {
        columns = divide_up(columns, 2);
    }
    int rows = max(1, min(plan->oh, pixels / columns));
    while (rows > 1 && input_bytes(dense, plan, rows, columns) > INPUT_BYTES) {
        rows--;
    }
    plan->rows = divide_up(plan->oh, divide_up(plan->oh, rows));
    plan->columns = columns;
    plan->row_tasks = divide_up(plan->oh, plan->rows);
    plan->column_tasks = divide_up(plan->ow, columns);
}

static bool must_copy(const pt_u8_dense *dense)
{
    return dense->base.spec.pad > 0 || dense->kernels->wide;
}

static bool is_long(const pt_u8_dense *dense)
{
    return dense->run_count == 1 && dense->run_steps > LONG_RUN && !must_copy(dense);
}

pt_u8_plan pt_u8_plan_of(const pt_u8_dense *dense, int n, int h, int w)
{
    const pt_conv_spec *s = &dense->base.spec;
    pt_u8_plan plan = {.images = n, .h = h, .w = w};
    plan.copy = must_copy(dense);
    if (s->kernel_h == 1 && s->kernel_w == 1 && s->stride == 1 && s->pad == 0 && s->add != PT_ADD_UPSAMPLED) {
        plan.images = plan.h = 1;
        plan.w = n * h * w;
    }
    plan.oh = pt_window_out(plan.h, s->kernel_h, s->stride, s->pad);
    plan.ow = pt_window_out(plan.w, s->kernel_w, s->stride, s->pad);
    plan.long_run = is_long(dense);
    int pixels = plan.long_run ? PT_U8_LONG_PIXELS : MAX_PIXELS, places;
    for (;; pixels /= 2) {
        size_tasks(dense, &plan, pixels);
        places = plan.images * plan.row_tasks * plan.column_tasks;
        if (pixels / 2 < MIN_PIXELS || (int64_t)places * dense->block_count >= WANTED_TASKS) {
            break;
        }
    }
    int parts = min(dense->block_count, divide_up(WANTED_TASKS, max(places, 1)));
    plan.part_blocks = divide_up(dense->block_count, parts);
    if (plan.long_run) {
        plan.part_blocks = min(plan.part_blocks, PT_U8_LONG_BLOCKS);
    }
    plan.parts = divide_up(dense->block_count, plan.part_blocks);
    int bytes = (plan.long_run ? PT_U8_PART_STEPS : dense->run_steps) * dense->kernels->group;
    plan.ahead = max(PT_U8_MAX_PIXELS, divide_up(AHEAD_BYTES, bytes));
    return plan;
}

static size_t copy_bytes(const pt_u8_dense *dense, int h, int w)
{
    const pt_conv_spec *s = &dense->base.spec;
    pt_u8_plan plan = {0};
    if (!must_copy(dense)) {
        return 0;
    }
    size_t image = input_bytes(dense, &plan, pt_window_out(h, s->kernel_h, s->stride, s->pad),
                               pt_window_out(w, s->kernel_w, s->stride, s->pad));
    size_t least = input_bytes(dense, &plan, 1, MIN_COLUMNS);
    size_t most = least > INPUT_BYTES ? least : INPUT_BYTES;
    bool flat = s->kernel_h == 1 && s->kernel_w == 1;
    size_t bytes = (flat || image > most ? most : image) + PT_MAP_SLACK;
    return bytes + PT_ALIGNMENT - bytes % PT_ALIGNMENT;
}

size_t pt_u8_offset_bytes(const pt_u8_dense *dense)
{
    size_t steps = is_long(dense) ? PT_U8_PART_STEPS : (size_t)dense->run_count * (size_t)dense->run_steps;
    size_t bytes = steps * sizeof(int32_t);
    return bytes + PT_ALIGNMENT - bytes % PT_ALIGNMENT;
}

size_t pt_u8_scratch_bytes(const pt_u8_dense *dense, int h, int w)
{
    size_t lanes = (size_t)(dense->kernels->lanes * dense->kernels->max_vectors);
    size_t sums =
        is_long(dense) ? (size_t)PT_U8_LONG_PIXELS * PT_U8_LONG_BLOCKS * lanes * sizeof(int32_t) : 0;
    return pt_u8_offset_bytes(dense) + copy_bytes(dense, h, w) + sums;
}
