/* A task is a band of output positions by a range of output channels. A window that leaves the map, or that
 * is wider than a pixel, reads a padded copy of the band's input rows; in it, positions of stride 1 follow
 * each other over the ends of rows, and what lies between two rows is computed and thrown away (2 positions
 * of a row of a 3x3 layer). A 1x1 layer reads the map itself. */
#include "engine/backend/native/native_u8_amx.h"

#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <string.h>

enum {
    MAX_TAPS = 49,
    BAND_BYTES = 384 << 10, /* of a band's input: fits the second cache beside the weights that stream by */
    FLAT_BYTES = 256 << 10,
    MAX_POSITIONS = 1024, /* of a flat band */
    DEEP_STEPS = 64,      /* from so many on, a layer is computed in passes over its depth ... */
    PASS_STEPS = 16,      /* ... of so many steps, the sums waiting in memory */
    DEEP_POSITIONS = 128, /* of a band of such a layer, */
    DEEP_COLUMNS = 4,     /* and its column blocks */
    ENOUGH_TASKS = 64,
    MIN_POSITIONS = 64, /* of a flat band, and */
    MIN_ROWS = 3,       /* rows of another, before the channels are split as well */
    /* Of a range: 128 bytes, as CPUs fetch lines by pairs and threads would take them from each other.
     * Measured on 16 threads: layers of 1,024 outputs split by 64 ran at a third of their speed. */
    MIN_COLUMNS = 4,
    MIN_CHANNELS = 32,
    BLOCK_SUMS = PT_AMX_ROWS * PT_AMX_COLUMNS,
};

typedef struct amx_conv {
    pt_conv base;
    const pt_k_amx *kernels;
    int8_t *packed;
    float *multiplier, *bias; /* column_blocks * 32 */
    int32_t *offset;
    int taps, steps, column_blocks;
    size_t packed_bytes;
} amx_conv;

/* How a layer is cut at one size; depends on the shape alone. */
typedef struct amx_cut {
    bool flat, deep;
    int band;                /* output rows, or positions of a flat layer */
    int bands;               /* of an image, or of all */
    int splits, columns;     /* ranges of column blocks, and blocks of a range */
    int out_h, out_w, pitch; /* pitch: pixels of a row of the padded copy */
    size_t input_bytes, scratch_bytes;
} amx_cut;

static int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

static int at_least(int value, int low)
{
    return value < low ? low : value;
}

bool pt_native_u8_amx_suits(const pt_conv_spec *spec)
{
    return spec->in_elem == PT_U8 && spec->groups == 1 && spec->in_channels >= MIN_CHANNELS &&
           spec->kernel_h * spec->kernel_w <= MAX_TAPS;
}

static void split_columns(const amx_conv *conv, int tasks, amx_cut *cut)
{
    cut->splits = cut->deep ? ceil_div(conv->column_blocks, DEEP_COLUMNS) : 1;
    while (tasks * cut->splits < ENOUGH_TASKS && cut->splits * 2 * MIN_COLUMNS <= conv->column_blocks) {
        cut->splits *= 2;
    }
    cut->columns = ceil_div(conv->column_blocks, cut->splits);
    cut->splits = ceil_div(conv->column_blocks, cut->columns);
}

static amx_cut cut_layer(const amx_conv *conv, int n, int h, int w)
{
    const pt_conv_spec *s = &conv->base.spec;
    amx_cut cut = {.out_h = pt_window_out(h, s->kernel_h, s->stride, s->pad),
                   .out_w = pt_window_out(w, s->kernel_w, s->stride, s->pad)};
    size_t slack = (size_t)(PT_AMX_ROWS + 1) * (size_t)s->stride * (size_t)s->in_channels + PT_MAP_SLACK;
    cut.flat = conv->taps == 1 && s->stride == 1 && s->pad == 0;
    cut.deep = cut.flat && conv->steps >= DEEP_STEPS;
    size_t sums = 2;
    if (cut.flat) {
        int64_t positions = (int64_t)n * h * w;
        int most = cut.deep ? DEEP_POSITIONS : FLAT_BYTES / s->in_channels;
        most = at_least(most > MAX_POSITIONS ? MAX_POSITIONS : most, PT_AMX_ROWS);
        cut.band = most / PT_AMX_ROWS * PT_AMX_ROWS;
        while (!cut.deep && cut.band >= 2 * MIN_POSITIONS && positions / cut.band < ENOUGH_TASKS) {
            cut.band = cut.band / 2 / PT_AMX_ROWS * PT_AMX_ROWS;
        }
        cut.bands = (int)((positions + cut.band - 1) / cut.band);
        split_columns(conv, cut.bands, &cut);
        cut.input_bytes = slack;
        sums = cut.deep ? (size_t)(cut.band / PT_AMX_ROWS) * (size_t)cut.columns : 2;
    } else {
        cut.pitch = w + 2 * s->pad;
        size_t row = (size_t)cut.pitch * (size_t)s->in_channels;
        int rows = at_least((int)(BAND_BYTES / row) - s->kernel_h + 1, s->stride) / s->stride;
        cut.band = rows > cut.out_h ? cut.out_h : rows;
        while (cut.band > MIN_ROWS && n * ceil_div(cut.out_h, cut.band) < ENOUGH_TASKS) {
            cut.band = ceil_div(cut.band, 2);
        }
        cut.bands = ceil_div(cut.out_h, cut.band);
        split_columns(conv, n * cut.bands, &cut);
        cut.input_bytes = row * (size_t)((cut.band - 1) * s->stride + s->kernel_h) + slack;
    }
    cut.input_bytes = (cut.input_bytes + PT_ALIGNMENT - 1) / PT_ALIGNMENT * PT_ALIGNMENT;
    cut.scratch_bytes = cut.input_bytes + sums * BLOCK_SUMS * sizeof(int32_t);
    return cut;
}

static pt_status amx_reserve(const pt_conv *base, pt_native *native, int n, int h, int w)
{
    amx_cut cut = cut_layer((const amx_conv *)base, n, h, w);
    return pt_native_reserve_scratch(native, cut.scratch_bytes);
}

typedef struct amx_job {
    const amx_conv *conv;
    const pt_native *native;
    const pt_map *in, *summand;
    pt_map *out;
    amx_cut cut;
    ptrdiff_t taps[MAX_TAPS];
    pt_k_amx_finish finish;
} amx_job;

/* Positions that follow each other at a step, and where they go: position i is column i % pitch of row
 * i / pitch, and belongs to the output if that is below `width`. */
typedef struct amx_run {
    const uint8_t *a;
    ptrdiff_t a_step;
    int count, pitch, width;
    size_t pixel; /* the output pixel of position 0 */
    int image, y; /* of it, for an upsampled summand; a flat layer has none */
    int32_t *sums;
} amx_run;

typedef struct amx_targets {
    ptrdiff_t out[PT_AMX_ROWS], summand[PT_AMX_ROWS]; /* pixels; -1: thrown away */
} amx_targets;

/* The summand's pixel for an output pixel. */
static ptrdiff_t upsampled(const amx_job *job, size_t pixel)
{
    const pt_map *s = job->summand, *out = job->out;
    size_t width = (size_t)out->w, height = (size_t)out->h;
    size_t n = pixel / width / height, y = pixel / width % height, x = pixel % width;
    size_t from_y = y * (size_t)s->h / height, from_x = x * (size_t)s->w / width;
    return (ptrdiff_t)((n * (size_t)s->h + from_y) * (size_t)s->w + from_x);
}

static void find_targets(const amx_job *job, const amx_run *run, int first, amx_targets *targets)
{
    int row = first / run->pitch, x = first % run->pitch;
    ptrdiff_t pixel = (ptrdiff_t)run->pixel + row * run->width;
    for (int i = 0; i < PT_AMX_ROWS; i++) {
        bool used = first + i < run->count && x < run->width;
        targets->out[i] = used ? pixel + x : -1;
        targets->summand[i] = targets->out[i];
        if (++x == run->pitch) {
            x = 0;
            pixel += run->width;
        }
    }
    for (int i = 0; job->conv->base.spec.add == PT_ADD_UPSAMPLED && i < PT_AMX_ROWS; i++) {
        if (targets->out[i] >= 0) {
            targets->summand[i] = upsampled(job, (size_t)targets->out[i]);
        }
    }
}

static pt_k_amx_rows make_rows(const amx_job *job, const amx_targets *targets, const int32_t *sums,
                               int column)
{
    const pt_conv_spec *s = &job->conv->base.spec;
    int channel = column * PT_AMX_COLUMNS, left = s->out_channels - channel;
    return (pt_k_amx_rows){
        .finish = &job->finish,
        .sums = sums,
        .out = targets->out,
        .summand = targets->summand,
        .first_channel = channel,
        .channels = left < PT_AMX_COLUMNS ? left : PT_AMX_COLUMNS,
        .pixel_channels = s->out_channels,
        .summand_map = job->summand ? job->summand->data : NULL,
        .out_map = job->out->data,
    };
}

static pt_k_amx_block make_block(const amx_job *job, const amx_run *run, int first, int column, int step)
{
    const amx_conv *conv = job->conv;
    size_t panels = ((size_t)column * (size_t)conv->steps + (size_t)step) * (size_t)conv->taps;
    return (pt_k_amx_block){
        .a = run->a + first * run->a_step + (ptrdiff_t)step * PT_AMX_DEPTH,
        .a_step = run->a_step,
        .taps = job->taps,
        .tap_count = conv->taps,
        .steps = conv->steps - step,
        .b = conv->packed + panels * PT_AMX_PANEL,
        .c = run->sums,
    };
}

/* Each block's rows are finished while the next one is summed, so two blocks' sums and targets are alive. */
static void run_blocks(const amx_job *job, const amx_run *run, int column0, int column1)
{
    amx_targets targets[2];
    pt_k_amx_rows rows;
    int blocks = 0, turn = 0;
    for (int first = 0; first < run->count; first += PT_AMX_ROWS, turn ^= 1) {
        find_targets(job, run, first, &targets[turn]);
        for (int column = column0; column < column1; column++, blocks++) {
            pt_k_amx_block block = make_block(job, run, first, column, 0);
            block.c += blocks % 2 * BLOCK_SUMS;
            job->conv->kernels->block(&block, blocks > 0 ? &rows : NULL);
            rows = make_rows(job, &targets[turn], block.c, column);
        }
    }
    job->conv->kernels->finish(&rows);
}

/* A layer whose depth does not fit the caches: all sums of the task stay in memory while a slice of the depth
 * after the other is added. */
static void run_deep(const amx_job *job, const amx_run *run, int column0, int column1)
{
    int columns = column1 - column0;
    for (int step = 0; step < job->conv->steps; step += PASS_STEPS) {
        for (int first = 0; first < run->count; first += PT_AMX_ROWS) {
            for (int column = column0; column < column1; column++) {
                pt_k_amx_block block = make_block(job, run, first, column, step);
                block.steps = block.steps < PASS_STEPS ? block.steps : PASS_STEPS;
                block.add = step > 0;
                block.c += (first / PT_AMX_ROWS * columns + column - column0) * BLOCK_SUMS;
                job->conv->kernels->block(&block, NULL);
            }
        }
    }
    for (int first = 0; first < run->count; first += PT_AMX_ROWS) {
        amx_targets targets;
        find_targets(job, run, first, &targets);
        for (int column = column0; column < column1; column++) {
            const int32_t *sums = run->sums + (first / PT_AMX_ROWS * columns + column - column0) * BLOCK_SUMS;
            pt_k_amx_rows rows = make_rows(job, &targets, sums, column);
            job->conv->kernels->finish(&rows);
        }
    }
}

static void run_range(const amx_job *job, const amx_run *run, int split)
{
    int column0 = split * job->cut.columns, column1 = column0 + job->cut.columns;
    column1 = column1 < job->conv->column_blocks ? column1 : job->conv->column_blocks;
    if (job->cut.deep) {
        run_deep(job, run, column0, column1);
    } else {
        run_blocks(job, run, column0, column1);
    }
}

static void flat_task(void *context, size_t task, int worker)
{
    const amx_job *job = context;
    const amx_cut *cut = &job->cut;
    size_t channels = (size_t)job->conv->base.spec.in_channels, pixels = pt_map_pixels(job->in);
    size_t from = task / (size_t)cut->splits * (size_t)cut->band;
    int count = pixels - from < (size_t)cut->band ? (int)(pixels - from) : cut->band;
    uint8_t *copy = pt_native_scratch(job->native, worker);
    amx_run run = {.a = pt_map_u8(job->in) + from * channels,
                   .a_step = (ptrdiff_t)channels,
                   .pixel = from,
                   .sums = (int32_t *)(copy + cut->input_bytes)};
    /* The last block of the map would read beyond it: its positions are copied to where that is allowed. */
    int odd = from + (size_t)count == pixels ? count % PT_AMX_ROWS : 0;
    job->conv->kernels->begin();
    run.count = run.pitch = run.width = count - odd;
    if (run.count > 0) {
        run_range(job, &run, (int)(task % (size_t)cut->splits));
    }
    if (odd > 0) {
        memcpy(copy, run.a + (size_t)run.count * channels, (size_t)odd * channels);
        run.a = copy;
        run.pixel += (size_t)run.count;
        run.count = run.pitch = run.width = odd;
        run_range(job, &run, (int)(task % (size_t)cut->splits));
    }
    job->conv->kernels->end();
}

static void fill_outside(const pt_conv_spec *s, uint8_t *to, size_t pixels)
{
    if (s->outside[0] == s->outside[1] && s->outside[0] == s->outside[2] && s->outside[0] == s->outside[3]) {
        memset(to, s->outside[0], pixels * (size_t)s->in_channels);
        return;
    }
    for (size_t i = 0; i < pixels; i++) {
        for (int c = 0; c < s->in_channels; c++) {
            *to++ = s->outside[c % 4];
        }
    }
}

/* Input rows from `y` on, in the copy's order: pad, row, pad. */
static void copy_rows(const amx_job *job, int image, int y, int rows, uint8_t *to)
{
    const pt_conv_spec *s = &job->conv->base.spec;
    const pt_map *in = job->in;
    size_t channels = (size_t)s->in_channels, row = (size_t)in->w * channels,
           side = (size_t)s->pad * channels;
    for (int i = 0; i < rows; i++, y++, to += row + 2 * side) {
        if (y < 0 || y >= in->h) {
            fill_outside(s, to, (size_t)job->cut.pitch);
            continue;
        }
        fill_outside(s, to, (size_t)s->pad);
        memcpy(to + side, pt_map_u8(in) + ((size_t)image * (size_t)in->h + (size_t)y) * row, row);
        fill_outside(s, to + side + row, (size_t)s->pad);
    }
}

static void band_task(void *context, size_t task, int worker)
{
    const amx_job *job = context;
    const amx_cut *cut = &job->cut;
    const pt_conv_spec *s = &job->conv->base.spec;
    int split = (int)(task % (size_t)cut->splits), band = (int)(task / (size_t)cut->splits);
    int image = band / cut->bands, y0 = band % cut->bands * cut->band;
    int rows = cut->out_h - y0 < cut->band ? cut->out_h - y0 : cut->band;
    uint8_t *copy = pt_native_scratch(job->native, worker);
    copy_rows(job, image, y0 * s->stride - s->pad, (rows - 1) * s->stride + s->kernel_h, copy);
    amx_run run = {.a = copy,
                   .a_step = (ptrdiff_t)s->stride * s->in_channels,
                   .pitch = cut->pitch,
                   .width = cut->out_w,
                   .pixel = ((size_t)image * (size_t)cut->out_h + (size_t)y0) * (size_t)cut->out_w,
                   .sums = (int32_t *)(copy + cut->input_bytes)};
    job->conv->kernels->begin();
    if (s->stride == 1) {
        run.count = (rows - 1) * cut->pitch + cut->out_w;
        run_range(job, &run, split);
    } else {
        run.count = cut->out_w;
        for (int y = 0; y < rows; y++) {
            run_range(job, &run, split);
            run.a += (ptrdiff_t)s->stride * cut->pitch * s->in_channels;
            run.pixel += (size_t)cut->out_w;
        }
    }
    job->conv->kernels->end();
}

static void amx_run_conv(const pt_conv *base, pt_native *native, const pt_map *in, const pt_map *summand,
                         pt_map *out)
{
    const amx_conv *conv = (const amx_conv *)base;
    const pt_conv_spec *s = &base->spec;
    amx_job job = {.conv = conv, .native = native, .in = in, .summand = summand, .out = out};
    job.cut = cut_layer(conv, in->n, in->h, in->w);
    for (int t = 0; t < conv->taps; t++) {
        job.taps[t] = ((ptrdiff_t)(t / s->kernel_w) * job.cut.pitch + t % s->kernel_w) * s->in_channels;
    }
    job.finish = (pt_k_amx_finish){conv->multiplier, conv->bias, conv->offset, s->activation,
                                   s->out_elem,      s->sum,     s->out,       1.0f / s->out.scale};
    size_t tasks = (size_t)job.cut.bands * (size_t)job.cut.splits;
    if (job.cut.flat) {
        pt_pool_run(native->base.pool, tasks, flat_task, &job);
    } else {
        pt_pool_run(native->base.pool, tasks * (size_t)in->n, band_task, &job);
    }
}

static void amx_free(pt_conv *base)
{
    amx_conv *conv = (amx_conv *)base;
    pt_free(conv->packed);
    pt_free(conv->multiplier);
    pt_free(conv->bias);
    pt_free(conv->offset);
    pt_free(conv);
}

static size_t amx_bytes(const pt_conv *base)
{
    const amx_conv *conv = (const amx_conv *)base;
    return conv->packed_bytes + (size_t)conv->column_blocks * PT_AMX_COLUMNS * 3 * sizeof(float);
}

static const char *amx_method(const pt_conv *base)
{
    (void)base;
    return "tiles amx";
}

static const pt_native_ops ops = {amx_free, amx_reserve, amx_run_conv, amx_bytes, amx_method};

/* What the zero point adds to each output's sum, and the epilogue's factors. */
static void fill_columns(amx_conv *conv, const pt_conv_weights *weights)
{
    const pt_conv_spec *s = &conv->base.spec;
    size_t depth = (size_t)conv->taps * (size_t)s->in_channels;
    for (int o = 0; o < s->out_channels; o++) {
        int32_t sum = 0;
        for (size_t i = 0; i < depth; i++) {
            sum += weights->s8[(size_t)o * depth + i];
        }
        conv->offset[o] = sum * s->in.zero;
        conv->multiplier[o] = s->in.scale * weights->scale[o];
        conv->bias[o] = weights->bias[o];
    }
}

pt_status pt_native_u8_amx_new(const pt_conv_spec *spec, pt_conv_weights *weights, const pt_k_amx *kernels,
                               pt_conv **out)
{
    amx_conv *conv = pt_calloc(1, sizeof *conv);
    if (!conv) {
        return PT_NOMEM("a convolution");
    }
    conv->base.ops = &ops;
    conv->base.spec = *spec;
    conv->kernels = kernels;
    conv->taps = spec->kernel_h * spec->kernel_w;
    conv->steps = ceil_div(spec->in_channels, PT_AMX_DEPTH);
    conv->column_blocks = ceil_div(spec->out_channels, PT_AMX_COLUMNS);
    conv->packed_bytes = pt_k_amx_packed(spec->out_channels, conv->taps, spec->in_channels);
    size_t columns = (size_t)conv->column_blocks * PT_AMX_COLUMNS;
    conv->packed = pt_alloc_aligned(conv->packed_bytes, 1);
    conv->multiplier = pt_calloc(columns, sizeof *conv->multiplier);
    conv->bias = pt_calloc(columns, sizeof *conv->bias);
    conv->offset = pt_calloc(columns, sizeof *conv->offset);
    if (!conv->packed || !conv->multiplier || !conv->bias || !conv->offset) {
        amx_free(&conv->base);
        return PT_NOMEM("a convolution's weights");
    }
    pt_k_amx_pack(weights->s8, spec->out_channels, conv->taps, spec->in_channels, conv->packed);
    fill_columns(conv, weights);
    *out = &conv->base;
    return pt_ok();
}
