/* Rectangles of whole pixels: half-open, [x, x + w) by [y, y + h), y down. A rectangle with w <= 0 or h <= 0
 * is empty. Coordinates stay within +-2^40, so that sums never overflow. */
#ifndef PANTILE_TILING_BASE_RECT_H
#define PANTILE_TILING_BASE_RECT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct pt_rect {
    int64_t x, y; /* the first column and row inside */
    int64_t w, h; /* columns and rows */
} pt_rect;

static inline bool pt_rect_is_empty(pt_rect r)
{
    return r.w <= 0 || r.h <= 0;
}

static inline bool pt_rect_equal(pt_rect a, pt_rect b)
{
    return a.x == b.x && a.y == b.y && a.w == b.w && a.h == b.h;
}

static inline bool pt_rect_contains_pixel(pt_rect r, int64_t x, int64_t y)
{
    return x >= r.x && x < r.x + r.w && y >= r.y && y < r.y + r.h;
}

/* Whether all of `inner` lies in `outer`; an empty `inner` lies in everything. */
static inline bool pt_rect_contains(pt_rect outer, pt_rect inner)
{
    return pt_rect_is_empty(inner) ||
           (inner.x >= outer.x && inner.y >= outer.y && inner.x + inner.w <= outer.x + outer.w &&
            inner.y + inner.h <= outer.y + outer.h);
}

/* The common part; {0, 0, 0, 0} when there is none. */
static inline pt_rect pt_rect_intersect(pt_rect a, pt_rect b)
{
    int64_t x0 = a.x > b.x ? a.x : b.x;
    int64_t y0 = a.y > b.y ? a.y : b.y;
    int64_t x1 = a.x + a.w < b.x + b.w ? a.x + a.w : b.x + b.w;
    int64_t y1 = a.y + a.h < b.y + b.h ? a.y + a.h : b.y + b.h;
    if (x1 <= x0 || y1 <= y0) {
        return (pt_rect){0, 0, 0, 0};
    }
    return (pt_rect){x0, y0, x1 - x0, y1 - y0};
}

/* The smallest rectangle around both; an empty one counts for nothing. */
static inline pt_rect pt_rect_union(pt_rect a, pt_rect b)
{
    if (pt_rect_is_empty(a)) {
        return b;
    }
    if (pt_rect_is_empty(b)) {
        return a;
    }
    int64_t x0 = a.x < b.x ? a.x : b.x;
    int64_t y0 = a.y < b.y ? a.y : b.y;
    int64_t x1 = a.x + a.w > b.x + b.w ? a.x + a.w : b.x + b.w;
    int64_t y1 = a.y + a.h > b.y + b.h ? a.y + a.h : b.y + b.h;
    return (pt_rect){x0, y0, x1 - x0, y1 - y0};
}

/* Grown by `margin` pixels on each side; a negative margin shrinks. */
static inline pt_rect pt_rect_margin(pt_rect r, int64_t margin)
{
    return (pt_rect){r.x - margin, r.y - margin, r.w + 2 * margin, r.h + 2 * margin};
}

static inline pt_rect pt_rect_shift(pt_rect r, int64_t dx, int64_t dy)
{
    return (pt_rect){r.x + dx, r.y + dy, r.w, r.h};
}

static inline int64_t pt_rect_area(pt_rect r)
{
    return pt_rect_is_empty(r) ? 0 : r.w * r.h;
}

#endif
