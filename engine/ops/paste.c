#include "engine/ops/paste.h"

#include "engine/kernels/operators.h"

#include <string.h>

enum {
    STRIP = 256, /* columns whose places are kept on the stack */
    NONE = -2,   /* no row of the grid: those begin at -1 */
};

/* Truncation as torch's .to(int64), for coordinates that may be anything. */
static int64_t whole(float v)
{
    const float limit = 1099511627776.0f; /* 2^40 */
    return v >= -limit && v <= limit ? (int64_t)v : 0;
}

pt_rect pt_paste_extent(pt_box box, int side)
{
    const float scale = (float)((double)(side + 2) / side);
    float half_w = (box.x1 - box.x0) * .5f * scale, half_h = (box.y1 - box.y0) * .5f * scale;
    float cx = (box.x1 + box.x0) * .5f, cy = (box.y1 + box.y0) * .5f;
    pt_rect r = {.x = whole(cx - half_w), .y = whole(cy - half_h)};
    r.w = whole(cx + half_w) - r.x + 1;
    r.h = whole(cy + half_h) - r.y + 1;
    r.w = r.w < 1 ? 1 : r.w;
    r.h = r.h < 1 ? 1 : r.h;
    return r;
}

/* Where output place `at` of `size` falls on the padded grid: torch's bilinear interpolation, corners not
 * aligned. Cells are numbered without the padding: -1 and `side` are the zeros around. */
static void locate(int64_t at, int64_t size, int side, int *low, int *high, float *fraction)
{
    int grid = side + 2;
    float place = (float)grid / (float)size * ((float)at + .5f) - .5f;
    place = place > 0 ? place : 0;
    int i = (int)place;
    i = i < grid - 1 ? i : grid - 1;
    *fraction = place - (float)i;
    *low = i - 1;
    *high = (i < grid - 1 ? i + 1 : i) - 1;
}

static float cell(const float *row, int side, int x)
{
    return x >= 0 && x < side ? row[x] : 0;
}

/* Columns that are pasted together, and the cells that each lies between. */
typedef struct strip {
    int64_t x; /* the first */
    int count;
    int low[STRIP], high[STRIP];
    float fraction[STRIP];
} strip;

static void locate_columns(strip *s, pt_rect extent, int side, int64_t x, int64_t count)
{
    s->x = x;
    s->count = (int)count;
    for (int i = 0; i < s->count; i++) {
        locate(x + i - extent.x, extent.w, side, &s->low[i], &s->high[i], &s->fraction[i]);
    }
}

/* Row `y` of the grid at the strip's columns. Many rows of pixels lie between the same two of these. */
static void stretch_row(const float *mask, int side, int y, const strip *s, float *out)
{
    if (y < 0 || y >= side) {
        memset(out, 0, (size_t)s->count * sizeof *out);
        return;
    }
    const float *row = mask + (size_t)y * (size_t)side;
    for (int i = 0; i < s->count; i++) {
        float lx = s->fraction[i];
        out[i] = (1 - lx) * cell(row, side, s->low[i]) + lx * cell(row, side, s->high[i]);
    }
}

/* Where pixels go: floats or bytes. */
typedef struct target {
    float *floats;
    uint8_t *bytes;
} target;

static void clear(const target *to, int64_t at, int64_t count)
{
    if (to->floats) {
        memset(to->floats + at, 0, (size_t)count * sizeof *to->floats);
    } else {
        memset(to->bytes + at, 0, (size_t)count);
    }
}

/* The strip's part of the rows [y0, y1), which lie inside the extent. */
static void paste_strip(const float *mask, int side, pt_rect extent, pt_rect area, const strip *s, int64_t y0,
                        int64_t y1, const target *to)
{
    const pt_operator_kernels *kernels = pt_operator_kernels_best();
    float rows[2][STRIP]; /* an even row of the grid lies in the first, an odd one in the second */
    int held[2] = {NONE, NONE};
    for (int64_t y = y0; y < y1; y++) {
        int low, high;
        float ly;
        locate(y - extent.y, extent.h, side, &low, &high, &ly);
        for (int grid = low; grid <= high; grid++) {
            if (held[grid & 1] != grid) {
                stretch_row(mask, side, grid, s, rows[grid & 1]);
                held[grid & 1] = grid;
            }
        }
        int64_t at = (y - area.y) * area.w + s->x - area.x;
        const float *top = rows[low & 1], *bottom = rows[high & 1];
        if (to->floats) {
            kernels->mix_f32(top, bottom, ly, (size_t)s->count, to->floats + at);
        } else {
            kernels->mix_u8(top, bottom, ly, (size_t)s->count, to->bytes + at);
        }
    }
}

static void paste(const float *mask, int side, pt_box box, pt_rect area, const target *to)
{
    pt_rect extent = pt_paste_extent(box, side), inside = pt_rect_intersect(extent, area);
    if (pt_rect_is_empty(inside)) {
        clear(to, 0, area.w * area.h);
        return;
    }
    int64_t above = inside.y - area.y, before = inside.x - area.x;
    int64_t end = above + inside.h, after = area.w - before - inside.w;
    clear(to, 0, above * area.w);
    for (int64_t y = above; y < end; y++) {
        clear(to, y * area.w, before);
        clear(to, (y + 1) * area.w - after, after);
    }
    clear(to, end * area.w, (area.h - end) * area.w);
    for (int64_t x = 0; x < inside.w; x += STRIP) {
        strip s;
        locate_columns(&s, extent, side, inside.x + x, inside.w - x < STRIP ? inside.w - x : STRIP);
        paste_strip(mask, side, extent, area, &s, inside.y, inside.y + inside.h, to);
    }
}

void pt_paste(const float *mask, int side, pt_box box, pt_rect area, float *out)
{
    paste(mask, side, box, area, &(target){.floats = out});
}

void pt_paste_bytes(const float *mask, int side, pt_box box, pt_rect area, uint8_t *out)
{
    paste(mask, side, box, area, &(target){.bytes = out});
}
