#include "tiling/scene/internal.h"

#include <math.h>
#include <string.h>

/* Filtering is in integers throughout: weights of a pixel sum to exactly 2^16 per axis, so that every result
 * is the same whichever window it was computed in, and pixels that are wholly valid come out the same whether
 * or not the window holds invalid ones.
 *
 * Shrinking averages over the exact area of the scene pixel; enlarging interpolates linearly between the
 * centres of the two nearest source pixels. Both over valid pixels only; a scene pixel is valid when at least
 * half of its weight is. */
enum { ONE = 1 << 16 };

/* Source pixels that a chunk may hold: bounds the memory of a reader (some 12 MB of bytes, or 26 MB of
 * doubles). */
enum { CHUNK_BYTES = 2 << 20, CHUNK_VALUES = 1 << 20 };

typedef struct axis {
    int64_t in, out; /* sizes */
    double ratio;    /* source pixels per scene pixel */
} axis;

static axis make_axis(int64_t in, int64_t out)
{
    return (axis){in, out, (double)in / (double)out};
}

/* The half-open range of source pixels that scene pixel `o` draws from. */
static void footprint(axis a, int64_t o, int64_t *first, int64_t *end)
{
    if (a.in == a.out) {
        *first = o;
        *end = o + 1;
        return;
    }
    double lo = (double)o * a.ratio, hi = (double)(o + 1) * a.ratio;
    if (a.ratio < 1) {
        double centre = ((double)o + 0.5) * a.ratio;
        lo = centre - 0.5;
        hi = centre + 0.5;
    }
    *first = (int64_t)floor(lo);
    *end = (int64_t)ceil(hi);
    *first = *first < 0 ? 0 : *first > a.in - 1 ? a.in - 1 : *first;
    *end = *end > a.in ? a.in : *end <= *first ? *first + 1 : *end;
}

static double raw_weight(axis a, int64_t o, int64_t i)
{
    if (a.ratio < 1) {
        double w = 1 - fabs((double)i + 0.5 - ((double)o + 0.5) * a.ratio);
        return w > 0 ? w : 0;
    }
    double lo = fmax((double)o * a.ratio, (double)i), hi = fmin((double)(o + 1) * a.ratio, (double)i + 1);
    return hi > lo ? hi - lo : 0;
}

/* The weights of a run of output pixels along one axis. */
typedef struct taps {
    int64_t *first;    /* per output pixel: its first source pixel */
    int64_t *count;    /* per output pixel: how many it draws from */
    uint32_t *weights; /* per output pixel: `most` places for weights in 1/65536 */
    int64_t most;
} taps;

static void taps_fini(taps *t)
{
    pt_free(t->first);
    pt_free(t->count);
    pt_free(t->weights);
    *t = (taps){0};
}

/* Rounds the running sum, so that the weights are never negative and add up exactly. */
static void fill_weights(axis a, int64_t o, int64_t first, int64_t n, uint32_t *weights)
{
    double sum = 0, run = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += raw_weight(a, o, first + i);
    }
    int64_t given = 0;
    for (int64_t i = 0; i < n; i++) {
        run += raw_weight(a, o, first + i);
        int64_t upto = i + 1 == n ? ONE : llround(run / sum * ONE);
        weights[i] = (uint32_t)(upto - given);
        given = upto;
    }
}

static pt_status taps_make(axis a, int64_t start, int64_t count, taps *out)
{
    taps t = {.most = (int64_t)ceil(a.ratio) + 2};
    t.first = pt_alloc((size_t)count, sizeof *t.first);
    t.count = pt_alloc((size_t)count, sizeof *t.count);
    size_t cells;
    if (pt_size_mul((size_t)count, (size_t)t.most, &cells)) {
        t.weights = pt_calloc(cells, sizeof *t.weights);
    }
    if (!t.first || !t.count || !t.weights) {
        taps_fini(&t);
        return PT_NOMEM("resampling weights");
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t first, end;
        footprint(a, start + i, &first, &end);
        t.first[i] = first;
        t.count[i] = end - first;
        fill_weights(a, start + i, first, end - first, t.weights + i * t.most);
    }
    *out = t;
    return pt_ok();
}

/* Along x: `rgb` and `valid` are one source row that starts at column x0; `row` gets 3 * n colours in 1/256
 * and, when `masked`, n weights of the valid part in 1/256. */
static void filter_row(const taps *t, int64_t n, int64_t x0, const uint8_t *rgb, const uint8_t *valid,
                       bool masked, uint16_t *row)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t r = 128, g = 128, b = 128, whole = 128;
        const uint32_t *w = t->weights + i * t->most;
        const uint8_t *p = rgb + 3 * (t->first[i] - x0), *v = valid + (t->first[i] - x0);
        for (int64_t k = 0; k < t->count[i]; k++) {
            r += w[k] * p[3 * k];
            g += w[k] * p[3 * k + 1];
            b += w[k] * p[3 * k + 2];
            whole += masked ? w[k] * v[k] : 0;
        }
        row[3 * i] = (uint16_t)(r >> 8);
        row[3 * i + 1] = (uint16_t)(g >> 8);
        row[3 * i + 2] = (uint16_t)(b >> 8);
        if (masked) {
            row[3 * n + i] = (uint16_t)(whole >> 8);
        }
    }
}

/* Along y: sums[j] = the weighted sum of column j over the footprint's rows. */
static void sum_rows(const uint32_t *weights, int64_t count, const uint16_t *rows, size_t row_size,
                     uint32_t *sums)
{
    memset(sums, 0, row_size * sizeof *sums);
    for (int64_t k = 0; k < count; k++) {
        uint32_t w = weights[k];
        const uint16_t *row = rows + (size_t)k * row_size;
        for (size_t j = 0; j < row_size; j++) {
            sums[j] += w * row[j];
        }
    }
}

static void finish_row(const uint32_t *sums, int64_t n, bool masked, uint8_t *rgb, uint8_t *valid)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t whole = masked ? sums[3 * n + i] : 1U << 24;
        valid[i] = whole >= 1U << 23;
        for (int k = 0; k < 3; k++) {
            uint32_t v = valid[i] ? (sums[3 * i + k] + whole / 2) / whole : 0;
            rgb[3 * i + k] = (uint8_t)(v > 255 ? 255 : v);
        }
    }
}

typedef struct chunk {
    pt_rect to;   /* scene pixels */
    pt_rect from; /* source pixels */
} chunk;

static void span(axis a, int64_t start, int64_t count, int64_t *first, int64_t *length)
{
    int64_t unused, end;
    footprint(a, start, first, &unused);
    footprint(a, start + count - 1, &unused, &end);
    *length = end - *first;
}

static pt_rect source_rect(axis ax, axis ay, pt_rect to)
{
    pt_rect from;
    span(ax, to.x, to.w, &from.x, &from.w);
    span(ay, to.y, to.h, &from.y, &from.h);
    return from;
}

static pt_status reserve(pt_resampler *r, chunk c, size_t row_size)
{
    size_t pixels = (size_t)pt_rect_area(c.from), cells;
    if (!pt_size_mul((size_t)c.from.h, row_size, &cells)) {
        return PT_NOMEM("resampled rows");
    }
    PT_TRY(pt_grow(&r->rgb, &r->rgb_capacity, pixels, 3));
    PT_TRY(pt_grow(&r->valid, &r->valid_capacity, pixels, 1));
    PT_TRY(pt_grow(&r->rows, &r->row_capacity, cells, sizeof *r->rows));
    return pt_grow(&r->sums, &r->sum_capacity, row_size, sizeof *r->sums);
}

static pt_status copy_chunk(pt_resampler *r, chunk c, uint8_t *rgb, uint8_t *valid, size_t stride)
{
    PT_TRY(reserve(r, c, 1));
    PT_TRY(pt_source_read(r->source, c.from, r->rgb, r->valid));
    size_t w = (size_t)c.to.w;
    for (size_t y = 0; y < (size_t)c.to.h; y++) {
        memcpy(rgb + 3 * y * stride, r->rgb + 3 * y * w, 3 * w);
        memcpy(valid + y * stride, r->valid + y * w, w);
    }
    return pt_ok();
}

static pt_status filter_chunk(pt_resampler *r, axis ax, axis ay, chunk c, uint8_t *rgb, uint8_t *valid,
                              size_t stride)
{
    pt_status status;
    taps tx = {0}, ty = {0};
    size_t row_size = 4 * (size_t)c.to.w, pixels = (size_t)pt_rect_area(c.from);
    PT_TRY_OUT(taps_make(ax, c.to.x, c.to.w, &tx));
    PT_TRY_OUT(taps_make(ay, c.to.y, c.to.h, &ty));
    PT_TRY_OUT(reserve(r, c, row_size));
    PT_TRY_OUT(pt_source_read(r->source, c.from, r->rgb, r->valid));
    bool masked = memchr(r->valid, 0, pixels) != NULL;
    row_size = (masked ? 4 : 3) * (size_t)c.to.w;
    for (int64_t y = 0; y < c.from.h; y++) {
        filter_row(&tx, c.to.w, c.from.x, r->rgb + 3 * y * c.from.w, r->valid + y * c.from.w, masked,
                   r->rows + (size_t)y * row_size);
    }
    for (int64_t y = 0; y < c.to.h; y++) {
        const uint16_t *rows = r->rows + (size_t)(ty.first[y] - c.from.y) * row_size;
        sum_rows(ty.weights + y * ty.most, ty.count[y], rows, row_size, r->sums);
        finish_row(r->sums, c.to.w, masked, rgb + 3 * (size_t)y * stride, valid + (size_t)y * stride);
    }
out:
    taps_fini(&tx);
    taps_fini(&ty);
    return status;
}

pt_status pt_resampler_read(pt_resampler *r, pt_rect rect, uint8_t *rgb, uint8_t *valid, size_t stride)
{
    axis ax = make_axis(r->source->width, r->width), ay = make_axis(r->source->height, r->height);
    int64_t budget = r->source->bands->bytes ? CHUNK_BYTES : CHUNK_VALUES, w = rect.w, h = 1;
    while (w > 1 && pt_rect_area(source_rect(ax, ay, (pt_rect){rect.x, rect.y, w, 1})) > budget) {
        w = (w + 1) / 2;
    }
    while (h < rect.h && pt_rect_area(source_rect(ax, ay, (pt_rect){rect.x, rect.y, w, 2 * h})) <= budget) {
        h *= 2;
    }
    for (int64_t y = 0; y < rect.h; y += h) {
        for (int64_t x = 0; x < rect.w; x += w) {
            chunk c = {.to = pt_rect_intersect((pt_rect){rect.x + x, rect.y + y, w, h}, rect)};
            c.from = source_rect(ax, ay, c.to);
            size_t at = (size_t)y * stride + (size_t)x;
            bool same = ax.in == ax.out && ay.in == ay.out;
            PT_TRY(same ? copy_chunk(r, c, rgb + 3 * at, valid + at, stride)
                        : filter_chunk(r, ax, ay, c, rgb + 3 * at, valid + at, stride));
        }
    }
    return pt_ok();
}

void pt_resampler_fini(pt_resampler *r)
{
    pt_free(r->rgb);
    pt_free(r->valid);
    pt_free(r->rows);
    pt_free(r->sums);
    *r = (pt_resampler){0};
}

pt_rect pt_resampler_source(const pt_resampler *r, pt_rect rect)
{
    return source_rect(make_axis(r->source->width, r->width), make_axis(r->source->height, r->height), rect);
}
