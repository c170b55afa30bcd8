#include "tiling/scene/internal.h"

#include <cpl_conv.h>
#include <cpl_error.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Coordinates beyond this are of no scene; they are cut, so that boxes fit in integers. */
static const double far_away = 1e12;

static double clamp_far(double v)
{
    return v < -far_away ? -far_away : v > far_away ? far_away : v;
}

pt_status pt_shapes_add_ring(pt_shapes *s, const pt_shape_point *points, size_t count)
{
    if (count > 1 && points[0].x == points[count - 1].x && points[0].y == points[count - 1].y) {
        count--;
    }
    if (count < 3) {
        return pt_ok(); /* encloses nothing */
    }
    PT_TRY(pt_grow(&s->points, &s->point_capacity, s->point_count + count, sizeof *s->points));
    PT_TRY(pt_grow(&s->rings, &s->ring_capacity, s->ring_count + 1, sizeof *s->rings));
    s->rings[s->ring_count++] = (pt_shape_ring){s->point_count, count};
    for (size_t i = 0; i < count; i++) {
        s->points[s->point_count++] = (pt_shape_point){clamp_far(points[i].x), clamp_far(points[i].y)};
    }
    return pt_ok();
}

/* The pixels whose centres lie in [lo, hi): the first, and one past the last. */
static int64_t first_centre(double lo)
{
    return (int64_t)ceil(lo - 0.5);
}

pt_status pt_shapes_end_polygon(pt_shapes *s, size_t first_ring, int64_t object, int32_t class_id)
{
    if (first_ring >= s->ring_count) {
        return pt_ok();
    }
    PT_TRY(pt_grow(&s->polygons, &s->polygon_capacity, s->polygon_count + 1, sizeof *s->polygons));
    pt_shape_polygon polygon = {first_ring, s->ring_count - first_ring, object, class_id, {0, 0, 0, 0}};
    double x0 = far_away, y0 = far_away, x1 = -far_away, y1 = -far_away;
    for (size_t i = s->rings[first_ring].first; i < s->point_count; i++) {
        x0 = fmin(x0, s->points[i].x);
        y0 = fmin(y0, s->points[i].y);
        x1 = fmax(x1, s->points[i].x);
        y1 = fmax(y1, s->points[i].y);
    }
    polygon.box = (pt_rect){first_centre(x0), first_centre(y0), first_centre(x1) - first_centre(x0),
                            first_centre(y1) - first_centre(y0)};
    s->polygons[s->polygon_count++] = polygon;
    return pt_ok();
}

void pt_shapes_fini(pt_shapes *s)
{
    pt_free(s->points);
    pt_free(s->rings);
    pt_free(s->polygons);
    *s = (pt_shapes){0};
}

void pt_shape_scratch_fini(pt_shape_scratch *scratch)
{
    pt_free(scratch->crossings);
    *scratch = (pt_shape_scratch){0};
}

/* Where the edge crosses the row's centre line. Always computed from the upper end, so that two polygons that
 * share an edge share its pixels out exactly. An edge holds its upper end and not its lower one. */
static bool crosses(pt_shape_point a, pt_shape_point b, double y, double *x)
{
    if (a.y > b.y) {
        pt_shape_point t = a;
        a = b;
        b = t;
    }
    if (!(a.y <= y && y < b.y)) {
        return false;
    }
    *x = a.x + (y - a.y) * (b.x - a.x) / (b.y - a.y);
    return true;
}

static int compare(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static pt_status cross_row(const pt_shapes *s, const pt_shape_polygon *polygon, double y,
                           pt_shape_scratch *scratch, size_t *count)
{
    size_t n = 0;
    for (size_t r = polygon->first; r < polygon->first + polygon->count; r++) {
        const pt_shape_point *p = s->points + s->rings[r].first;
        size_t last = s->rings[r].count - 1;
        for (size_t i = 0; i <= last; i++) {
            double x;
            if (crosses(p[i], p[i == last ? 0 : i + 1], y, &x)) {
                if (n == scratch->capacity) {
                    PT_TRY(pt_grow(&scratch->crossings, &scratch->capacity, n + 1, sizeof(double)));
                }
                scratch->crossings[n++] = x;
            }
        }
    }
    qsort(scratch->crossings, n, sizeof(double), compare);
    *count = n;
    return pt_ok();
}

pt_status pt_shape_fill(const pt_shapes *shapes, const pt_shape_polygon *polygon, pt_rect rect,
                        uint8_t *bytes, size_t stride, pt_shape_scratch *scratch, int64_t *count)
{
    pt_rect box = pt_rect_intersect(rect, polygon->box);
    for (int64_t y = box.y; y < box.y + box.h; y++) {
        size_t n = 0;
        PT_TRY(cross_row(shapes, polygon, (double)y + 0.5, scratch, &n));
        uint8_t *row = bytes + (size_t)(y - rect.y) * stride;
        for (size_t i = 0; i + 1 < n; i += 2) {
            int64_t from = first_centre(scratch->crossings[i]), to = first_centre(scratch->crossings[i + 1]);
            from = from < rect.x ? rect.x : from;
            to = to > rect.x + rect.w ? rect.x + rect.w : to;
            for (int64_t x = from; x < to; x++) {
                *count += row[x - rect.x] == 0;
                row[x - rect.x] = 1;
            }
        }
    }
    return pt_ok();
}
