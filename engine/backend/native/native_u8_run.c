/* Runs dense layers on bytes.
 *
 * A task computes a rectangle of output pixels of one image for a range of channel blocks. The rectangle is
 * so small that what it reads stays in the L2 cache while the blocks pass, each block's weights being read
 * once for every tile of pixels. Where the window reaches beyond the map, or the kernels want 16-bit
 * elements, the task first copies what it reads; a 1x1 layer without either reads the map itself, and without
 * a stride sees it as one long row. */
#include "engine/backend/native/native_u8.h"

#include "tiling/base/alloc.h"

#include <string.h>

enum {
    INPUT_BYTES = 256 << 10, /* that a task reads: a quarter of an L2 cache of 1 MiB */
    MAX_PIXELS = 512,        /* of a task */
    MIN_PIXELS = 24,
    MAX_COLUMNS = 128, /* of a task with more than one row */
    MIN_COLUMNS = 8,
    WANTED_TASKS = 64, /* for 16 threads with little waiting for the last */
    /* Beyond so many steps the weights of a block and the input of a task do not fit the L2 cache together;
     * the sums are then made in parts. */
    LONG_RUN = 1024,
    PART_STEPS = 512,
    LONG_PIXELS = 128, /* of a task, and its blocks, whose sums wait from one part to the next */
    LONG_BLOCKS = 4,
};

typedef struct task_plan {
    int images, h, w, oh, ow; /* as the tasks see them: a flat layer has one image of one row */
    bool copy;
    bool long_run;     /* the sum is made in parts */
    int rows, columns; /* of a task */
    int row_tasks, column_tasks, parts;
    int part_blocks; /* blocks of a part, but the last's */
} task_plan;

typedef struct dense_job {
    const pt_u8_dense *dense;
    const pt_native *native;
    task_plan plan;
    const pt_map *in, *summand;
    pt_map *out;
} dense_job;

static int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

static int min(int a, int b)
{
    return a < b ? a : b;
}

static int max(int a, int b)
{
    return a > b ? a : b;
}

/* Input rows or columns that `count` outputs read. */
static int span(int count, int kernel, int stride)
{
    return (count - 1) * stride + kernel;
}

static size_t input_bytes(const pt_u8_dense *dense, const task_plan *plan, int rows, int columns)
{
    const pt_conv_spec *s = &dense->base.spec;
    size_t channels = (size_t)(plan->long_run ? PART_STEPS * dense->kernels->group : s->in_channels);
    return (size_t)span(rows, s->kernel_h, s->stride) * (size_t)span(columns, s->kernel_w, s->stride) *
           channels * (dense->kernels->wide ? 2 : 1);
}

/* Rows are cut into equal columns, then as many rows taken as fit. */
static void size_tasks(const pt_u8_dense *dense, task_plan *plan, int pixels)
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
    return dense->run_count == 1 && dense->steps > LONG_RUN && !must_copy(dense);
}

static task_plan make_plan(const pt_u8_dense *dense, int n, int h, int w)
{
    const pt_conv_spec *s = &dense->base.spec;
    task_plan plan = {.images = n, .h = h, .w = w};
    plan.copy = must_copy(dense);
    if (s->kernel_h == 1 && s->kernel_w == 1 && s->stride == 1 && s->pad == 0 && s->add != PT_ADD_UPSAMPLED) {
        plan.images = plan.h = 1;
        plan.w = n * h * w;
    }
    plan.oh = pt_window_out(plan.h, s->kernel_h, s->stride, s->pad);
    plan.ow = pt_window_out(plan.w, s->kernel_w, s->stride, s->pad);
    plan.long_run = is_long(dense);
    int pixels = plan.long_run ? LONG_PIXELS : MAX_PIXELS, places;
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
        plan.part_blocks = min(plan.part_blocks, LONG_BLOCKS);
    }
    plan.parts = divide_up(dense->block_count, plan.part_blocks);
    return plan;
}

/* The most of any task, whatever n is when the layer is run. Sums of whole tasks come after the copied input.
 */
static size_t copy_bytes(const pt_u8_dense *dense, int h, int w)
{
    const pt_conv_spec *s = &dense->base.spec;
    task_plan plan = {0};
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

pt_status pt_u8_dense_reserve(const pt_conv *conv, pt_native *native, int n, int h, int w)
{
    (void)n;
    const pt_u8_dense *dense = (const pt_u8_dense *)conv;
    size_t lanes = (size_t)(dense->kernels->lanes * dense->kernels->max_vectors);
    size_t sums = is_long(dense) ? LONG_PIXELS * LONG_BLOCKS * lanes * sizeof(int32_t) : 0;
    return pt_native_reserve_scratch(native, copy_bytes(dense, h, w) + sums);
}

/* What one task reads and writes. */
typedef struct area {
    int image, y, x, rows, columns; /* of the output */
    int first_block, end_block;
    const void *in;       /* the first output's window */
    ptrdiff_t row, pixel; /* input elements from one output row, pixel, to the next */
    ptrdiff_t runs[PT_U8_MAX_TAPS];
    int32_t *sums; /* of a long run */
} area;

static area find_area(const dense_job *job, size_t task)
{
    const task_plan *plan = &job->plan;
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

/* Where a window's runs lie when input rows are `pitch` elements apart. */
static void find_runs(const pt_u8_dense *dense, ptrdiff_t pitch, area *a)
{
    const pt_conv_spec *s = &dense->base.spec;
    for (int r = 0; r < dense->run_count; r++) {
        a->runs[r] = s->groups == 1 ? r * pitch
                                    : r / s->kernel_w * pitch + r % s->kernel_w * (ptrdiff_t)s->in_channels;
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
static void copy_input(const dense_job *job, void *to, area *a)
{
    const pt_conv_spec *s = &job->dense->base.spec;
    const task_plan *plan = &job->plan;
    bool wide = job->dense->kernels->wide;
    size_t channels = (size_t)s->in_channels;
    int rows = span(a->rows, s->kernel_h, s->stride), columns = span(a->columns, s->kernel_w, s->stride);
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
    find_runs(job->dense, (ptrdiff_t)pitch, a);
}

static void point_at_input(const dense_job *job, area *a)
{
    const pt_conv_spec *s = &job->dense->base.spec;
    const task_plan *plan = &job->plan;
    size_t pitch = (size_t)plan->w * (size_t)s->in_channels;
    size_t row = (size_t)a->image * (size_t)plan->h + (size_t)(a->y * s->stride);
    a->in = pt_map_u8(job->in) + row * pitch + (size_t)(a->x * s->stride) * (size_t)s->in_channels;
    find_runs(job->dense, (ptrdiff_t)pitch, a);
}

/* Pixels [x, end) of row y of an area. */
typedef struct row_part {
    int y, x, end;
} row_part;

static void sum_tile(const dense_job *job, const area *a, const pt_u8_block *block, const row_part *p,
                     int step, int steps, int32_t *sums)
{
    const pt_u8_dense *dense = job->dense;
    size_t element = dense->kernels->wide ? 2 : 1;
    ptrdiff_t at =
        p->y * a->row + p->x * a->pixel + block->in_channel + (ptrdiff_t)step * dense->kernels->group;
    pt_u8_tile tile = {
        .in = (const char *)a->in + at * (ptrdiff_t)element,
        .step = a->pixel,
        .runs = a->runs,
        .run_count = dense->run_count,
        .steps = steps,
        .weights = (const char *)dense->weights + block->weights +
                   (size_t)step * dense->step_bytes * (size_t)block->vectors,
        .start = step == 0 ? dense->start + block->constants : NULL,
        .sums = sums,
        .pixels = p->end - p->x,
    };
    dense->kernels->sum(&tile, block->vectors);
}

/* Where an output pixel's summand begins, in elements of the summand's map. */
static ptrdiff_t summand_at(const dense_job *job, const area *a, int y, int x)
{
    const pt_map *out = job->out, *sum = job->summand;
    ptrdiff_t pixel;
    if (job->dense->base.spec.add == PT_ADD_UPSAMPLED) {
        int64_t sy = (int64_t)y * sum->h / out->h, sx = (int64_t)x * sum->w / out->w;
        pixel = ((ptrdiff_t)a->image * sum->h + sy) * sum->w + sx;
    } else {
        pixel = ((ptrdiff_t)a->image * job->plan.oh + y) * job->plan.ow + x;
    }
    return pixel * out->c;
}

static void finish_tile(const dense_job *job, const area *a, const pt_u8_block *block, const row_part *p,
                        const int32_t *sums)
{
    const pt_u8_dense *dense = job->dense;
    size_t element = pt_elem_size(dense->base.spec.out_elem);
    ptrdiff_t at[PT_U8_MAX_PIXELS];
    int y = a->y + p->y, x = a->x + p->x, pixels = p->end - p->x;
    for (int i = 0; job->summand && i < pixels; i++) {
        at[i] = summand_at(job, a, y, x + i);
    }
    size_t pixel = ((size_t)a->image * (size_t)job->plan.oh + (size_t)y) * (size_t)job->plan.ow + (size_t)x;
    size_t channel = (size_t)block->channel;
    pt_u8_output output = {
        .sums = sums,
        .multiplier = dense->multiplier + block->constants,
        .bias = dense->bias + block->constants,
        .out = (char *)job->out->data + (pixel * (size_t)job->out->c + channel) * element,
        .summand = job->summand ? (const char *)job->summand->data + channel * element : NULL,
        .summand_at = at,
        .out_step = job->out->c,
        .pixels = pixels,
        .channels = block->channels,
    };
    dense->kernels->finish(&dense->finish, &output, block->vectors);
}

/* The i-th of `count` nearly equal tiles of a row of the area. */
static row_part tile_part(const area *a, int y, int i, int count)
{
    return (row_part){.y = y,
                      .x = (int)((int64_t)a->columns * i / count),
                      .end = (int)((int64_t)a->columns * (i + 1) / count)};
}

static void run_block(const dense_job *job, const area *a, const pt_u8_block *block)
{
    const pt_u8_dense *dense = job->dense;
    int32_t sums[PT_U8_MAX_SUMS] __attribute__((aligned(PT_ALIGNMENT)));
    int count = divide_up(a->columns, dense->kernels->max_pixels[block->vectors - 1]);
    for (int y = 0; y < a->rows; y++) {
        for (int i = 0; i < count; i++) {
            row_part p = tile_part(a, y, i, count);
            sum_tile(job, a, block, &p, 0, dense->steps, sums);
            finish_tile(job, a, block, &p, sums);
        }
    }
}

/* Makes the sums of a block in parts of the run; they wait in a->sums from one part to the next. */
static void run_long_block(const dense_job *job, const area *a, const pt_u8_block *block, int step,
                           int32_t *sums)
{
    const pt_u8_dense *dense = job->dense;
    int steps = min(PART_STEPS, dense->steps - step), lanes = dense->kernels->lanes * block->vectors;
    int count = divide_up(a->columns, dense->kernels->max_pixels[block->vectors - 1]);
    for (int y = 0; y < a->rows; y++) {
        for (int i = 0; i < count; i++) {
            row_part p = tile_part(a, y, i, count);
            int32_t *tile = sums + (size_t)(y * a->columns + p.x) * (size_t)lanes;
            sum_tile(job, a, block, &p, step, steps, tile);
            if (step + steps == dense->steps) {
                finish_tile(job, a, block, &p, tile);
            }
        }
    }
}

static void run_long(const dense_job *job, const area *a)
{
    const pt_u8_dense *dense = job->dense;
    size_t each = (size_t)LONG_PIXELS * (size_t)(dense->kernels->lanes * dense->kernels->max_vectors);
    for (int step = 0; step < dense->steps; step += PART_STEPS) {
        for (int b = a->first_block; b < a->end_block; b++) {
            int32_t *sums = a->sums + (size_t)(b - a->first_block) * each;
            run_long_block(job, a, &dense->blocks[b], step, sums);
        }
    }
}

static void run_task(void *context, size_t task, int worker)
{
    const dense_job *job = context;
    area a = find_area(job, task);
    unsigned char *scratch = pt_native_scratch(job->native, worker);
    if (job->plan.copy) {
        copy_input(job, scratch, &a);
    } else {
        point_at_input(job, &a);
    }
    if (job->plan.long_run) {
        a.sums = (int32_t *)scratch;
        run_long(job, &a);
        return;
    }
    for (int b = a.first_block; b < a.end_block; b++) {
        run_block(job, &a, &job->dense->blocks[b]);
    }
}

void pt_u8_dense_run(const pt_conv *conv, pt_native *native, const pt_map *in, const pt_map *summand,
                     pt_map *out)
{
    const pt_u8_dense *dense = (const pt_u8_dense *)conv;
    dense_job job = {.dense = dense, .native = native, .in = in, .summand = summand, .out = out};
    job.plan = make_plan(dense, in->n, in->h, in->w);
    size_t tasks = (size_t)job.plan.images * (size_t)job.plan.row_tasks * (size_t)job.plan.column_tasks *
                   (size_t)job.plan.parts;
    pt_pool_run(native->base.pool, tasks, run_task, &job);
}
