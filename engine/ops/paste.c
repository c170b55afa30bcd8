#include "engine/ops/paste.h"

#include <math.h>

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

static float cell(const float *mask, int side, int y, int x)
{
    return y >= 0 && y < side && x >= 0 && x < side ? mask[(size_t)y * (size_t)side + (size_t)x] : 0;
}

void pt_paste(const float *mask, int side, pt_box box, pt_rect area, float *out)
{
    pt_rect extent = pt_paste_extent(box, side);
    for (int64_t y = area.y; y < area.y + area.h; y++) {
        int y0, y1;
        float ly;
        locate(y - extent.y, extent.h, side, &y0, &y1, &ly);
        for (int64_t x = area.x; x < area.x + area.w; x++) {
            if (!pt_rect_contains_pixel(extent, x, y)) {
                *out++ = 0;
                continue;
            }
            int x0, x1;
            float lx;
            locate(x - extent.x, extent.w, side, &x0, &x1, &lx);
            float top = (1 - lx) * cell(mask, side, y0, x0) + lx * cell(mask, side, y0, x1);
            float bottom = (1 - lx) * cell(mask, side, y1, x0) + lx * cell(mask, side, y1, x1);
            *out++ = (1 - ly) * top + ly * bottom;
        }
    }
}
