#include "tiling/vectorise/outline.h"

#include <stdlib.h>
#include <string.h>

/* Where a walk stands: about to pass between two neighbouring samples, the set one on its left and the unset
 * one, (x, y), on its right, heading (dx, dy). */
typedef struct step {
    int64_t x, y;
    int dx, dy;
} step;

typedef struct walker {
    const pt_field *field;
    pt_outline *out;
    uint8_t *passed;  /* per sample: a walk went down the gap to the right of it */
    uint8_t *touched; /* per cell, without probabilities only: its corner is on the path */
    double *path;     /* the walk's points that are not yet part of a ring */
    size_t length, capacity;
} walker;

static int64_t index_of(const pt_field *f, int64_t x, int64_t y)
{
    return y * f->w + x;
}

/* The left of a heading in an image, whose y points down: going down, left is +x. */
static int left_x(const step *s)
{
    return s->dy;
}

static int left_y(const step *s)
{
    return -s->dx;
}

static double position(const pt_field *f, int64_t origin, int64_t size, int64_t i)
{
    double at = (double)i - f->pad + 0.5;
    double last = (double)(size - 2 * f->pad);
    at = at < 0 ? 0 : at > last ? last : at; /* the margin lies on the window's border */
    return (double)origin + at;
}

/* How far from the set to the unset sample p falls to 0.5; where they do not straddle it, half-way. */
static double crossing(const pt_field *f, int64_t set, int64_t unset)
{
    double a = f->q[set], b = f->q[unset];
    return a >= PT_PROB_HALF && b < PT_PROB_HALF ? (a - (PT_PROB_HALF - 0.5)) / (a - b) : 0.5;
}

static pt_status push_point(walker *w, double x, double y)
{
    PT_TRY(pt_grow(&w->path, &w->capacity, w->length + 1, 2 * sizeof *w->path));
    w->path[2 * w->length] = x;
    w->path[2 * w->length + 1] = y;
    w->length++;
    return pt_ok();
}

static double ring_area(const double *xy, size_t count)
{
    double twice = 0;
    for (size_t i = 0; i < count; i++) {
        size_t k = i + 1 < count ? i + 1 : 0;
        double ax = xy[2 * i] - xy[0], ay = xy[2 * i + 1] - xy[1];
        double bx = xy[2 * k] - xy[0], by = xy[2 * k + 1] - xy[1];
        twice += bx * ay - ax * by; /* y points down, so that left turns count as positive */
    }
    return twice / 2;
}

static bool is_straight(const double *a, const double *b, const double *c)
{
    double cross = (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0]);
    double dot = (b[0] - a[0]) * (c[0] - b[0]) + (b[1] - a[1]) * (c[1] - b[1]);
    return cross == 0 && dot >= 0; /* also when two of them are equal */
}

/* Drops points that lie exactly between their neighbours; returns the new number. */
static size_t drop_straight(double *xy, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const double *before = kept ? xy + 2 * (kept - 1) : xy + 2 * (count - 1);
        const double *after = i + 1 < count ? xy + 2 * (i + 1) : xy;
        if (!is_straight(before, xy + 2 * i, after)) {
            memmove(xy + 2 * kept, xy + 2 * i, 2 * sizeof *xy);
            kept++;
        }
    }
    return kept;
}

/* The path from point `start` on becomes a ring and leaves the path. */
static pt_status close_ring(walker *w, size_t start, int32_t label)
{
    const pt_field *f = w->field;
    pt_outline *out = w->out;
    double *from = w->path + 2 * start;
    for (size_t k = start; w->touched && k < w->length; k++) {
        w->touched[index_of(f, (int64_t)w->path[2 * k] - f->x, (int64_t)w->path[2 * k + 1] - f->y)] = 0;
    }
    size_t count = drop_straight(from, w->length - start);
    w->length = start;
    if (count < 3) {
        return pt_ok();
    }
    PT_TRY(pt_grow(&out->xy, &out->capacity, out->used + count, 2 * sizeof *out->xy));
    PT_TRY(pt_grow(&out->loops, &out->loop_capacity, out->count + 1, sizeof *out->loops));
    memcpy(out->xy + 2 * out->used, from, count * 2 * sizeof *from);
    out->loops[out->count++] = (pt_loop){out->used, count, label, ring_area(from, count)};
    out->used += count;
    return pt_ok();
}

static pt_status emit_crossing(walker *w, const step *s)
{
    const pt_field *f = w->field;
    int64_t lx = s->x + left_x(s), ly = s->y + left_y(s);
    double t = crossing(f, index_of(f, lx, ly), index_of(f, s->x, s->y));
    double ax = position(f, f->x, f->w, lx), ay = position(f, f->y, f->h, ly);
    double bx = position(f, f->x, f->w, s->x), by = position(f, f->y, f->h, s->y);
    return push_point(w, ax + t * (bx - ax), ay + t * (by - ay));
}

/* Top left sample of the cell that the walk is about to enter. */
static void cell_of(const step *s, int64_t *i, int64_t *j)
{
    int64_t x = s->x + s->dx + left_x(s), y = s->y + s->dy + left_y(s); /* across from (s->x, s->y) */
    *i = x < s->x ? x : s->x;
    *j = y < s->y ? y : s->y;
}

/* The corner between the cell's four samples. Where set pixels touch diagonally a walk may pass it twice; the
 * loop between becomes a ring of its own, so that no ring touches itself. */
static pt_status emit_corner(walker *w, const step *s, bool saddle, int32_t label)
{
    int64_t i, j;
    cell_of(s, &i, &j);
    /* The margin is 1: sample i + 1 is pixel i, and the corner is its upper left. */
    double x = (double)(w->field->x + i), y = (double)(w->field->y + j);
    uint8_t *touched = w->touched + index_of(w->field, i, j);
    if (saddle && *touched) {
        size_t k = w->length;
        do {
            k--;
        } while (w->path[2 * k] != x || w->path[2 * k + 1] != y);
        PT_TRY(close_ring(w, k, label)); /* takes the corner along; the path goes on from it below */
    }
    *touched = saddle;
    return push_point(w, x, y);
}

static void turn_left(step *s)
{
    *s = (step){s->x + s->dx + left_x(s), s->y + s->dy + left_y(s), left_x(s), left_y(s)};
}

static void turn_right(step *s)
{
    *s = (step){s->x, s->y, -left_x(s), -left_y(s)};
}

static void go_straight(step *s)
{
    s->x += s->dx;
    s->y += s->dy;
}

/* Passes the gap that the walk stands at and goes through the cell behind it to the next gap. */
static pt_status advance(walker *w, step *s, int32_t label)
{
    const pt_field *f = w->field;
    int64_t x = s->x + s->dx, y = s->y + s->dy;
    bool right = f->set[index_of(f, x, y)];
    bool left = f->set[index_of(f, x + left_x(s), y + left_y(s))];
    bool saddle = right && !left, straight = left && !right;
    int64_t i, j;
    cell_of(s, &i, &j);
    if (f->q) {
        PT_TRY(emit_crossing(w, s));
    } else if (!straight) {
        PT_TRY(emit_corner(w, s, saddle, label));
    }
    if (straight) {
        go_straight(s);
    } else if (right && (left || pt_field_saddle_joined(f, i, j))) {
        turn_right(s);
    } else {
        turn_left(s);
    }
    return pt_ok();
}

/* One ring, from the gap to the right of the unset sample (x, y), downwards. */
static pt_status walk(walker *w, int64_t x, int64_t y)
{
    const pt_field *f = w->field;
    int32_t label = f->label[index_of(f, x + 1, y)];
    step s = {x, y, 0, 1};
    w->length = 0;
    do {
        if (s.dy == 1) {
            w->passed[index_of(f, s.x, s.y)] = 1;
        }
        PT_TRY(advance(w, &s, label));
    } while (s.x != x || s.y != y || s.dy != 1);
    return close_ring(w, 0, label);
}

static int compare_loops(const void *a, const void *b)
{
    const pt_loop *p = a, *q = b;
    if (p->label != q->label) {
        return p->label < q->label ? -1 : 1;
    }
    if ((p->area > 0) != (q->area > 0)) {
        return p->area > 0 ? -1 : 1;
    }
    return p->start < q->start ? -1 : p->start > q->start;
}

static pt_status walk_all(walker *w)
{
    const pt_field *f = w->field;
    for (int64_t y = 0; y < f->h; y++) {
        for (int64_t x = 0; x + 1 < f->w; x++) {
            int64_t k = index_of(f, x, y);
            if (!f->set[k] && f->set[k + 1] && !w->passed[k]) {
                PT_TRY(walk(w, x, y));
            }
        }
    }
    return pt_ok();
}

pt_status pt_outline_trace(const pt_field *field, pt_outline *out)
{
    pt_outline outline = {0};
    walker w = {.field = field, .out = &outline};
    pt_status status;
    size_t samples = (size_t)(field->w * field->h);
    w.passed = pt_calloc(samples, 1);
    w.touched = field->q ? NULL : pt_calloc(samples, 1);
    if (!w.passed || (!field->q && !w.touched)) {
        status = PT_NOMEM("an object's outline");
        goto out;
    }
    PT_TRY_OUT(walk_all(&w));
    if (outline.count > 1) {
        qsort(outline.loops, outline.count, sizeof *outline.loops, compare_loops);
    }
    *out = outline;
    outline = (pt_outline){0};
out:
    pt_outline_fini(&outline);
    pt_free(w.passed);
    pt_free(w.touched);
    pt_free(w.path);
    return status;
}

void pt_outline_fini(pt_outline *outline)
{
    pt_free(outline->xy);
    pt_free(outline->loops);
    *outline = (pt_outline){0};
}
