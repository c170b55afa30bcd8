#include "tiling/vectorise/polygons.h"

#include <string.h>

static void polygon_fini(pt_polygon *polygon)
{
    for (size_t i = 0; i < polygon->count; i++) {
        pt_free(polygon->rings[i].xy);
    }
    pt_free(polygon->rings);
    *polygon = (pt_polygon){0};
}

void pt_polygons_fini(pt_polygons *polygons)
{
    for (size_t i = 0; i < polygons->count; i++) {
        polygon_fini(&polygons->items[i]);
    }
    pt_free(polygons->items);
    *polygons = (pt_polygons){0};
}

static pt_status polygon_copy(const pt_polygon *from, pt_polygon *to)
{
    to->rings = pt_calloc(from->count, sizeof *to->rings);
    if (!to->rings) {
        return PT_NOMEM("an object's polygon");
    }
    to->count = from->count;
    for (size_t i = 0; i < from->count; i++) {
        size_t points = from->rings[i].count;
        to->rings[i] = (pt_ring){pt_alloc(points, 2 * sizeof(double)), points};
        if (!to->rings[i].xy) {
            return PT_NOMEM("an object's polygon");
        }
        memcpy(to->rings[i].xy, from->rings[i].xy, points * 2 * sizeof(double));
    }
    return pt_ok();
}

pt_status pt_polygons_copy(const pt_polygons *polygons, pt_polygons *out)
{
    pt_polygons copy = {pt_calloc(polygons->count, sizeof *copy.items), polygons->count};
    pt_status status = copy.items ? pt_ok() : PT_NOMEM("an object's polygons");
    for (size_t i = 0; i < polygons->count && status.code == PT_OK; i++) {
        status = polygon_copy(&polygons->items[i], &copy.items[i]);
    }
    if (status.code != PT_OK) {
        copy.count = copy.items ? copy.count : 0;
        pt_polygons_fini(&copy);
        return status;
    }
    *out = copy;
    return pt_ok();
}

double pt_ring_area(const pt_ring *ring)
{
    double twice = 0;
    const double *o = ring->xy;
    for (size_t i = 0; i + 1 < ring->count; i++) {
        const double *a = o + 2 * i, *b = a + 2;
        twice += (b[0] - o[0]) * (a[1] - o[1]) - (a[0] - o[0]) * (b[1] - o[1]);
    }
    return twice / 2;
}

/* The point farthest from the ring's mean point is on its convex hull. Simplification never removes a ring's
 * first point, so rings begin there rather than in the middle of a side. */
static size_t farthest_point(const double *xy, size_t count)
{
    double x = 0, y = 0, best = -1;
    for (size_t i = 0; i < count; i++) {
        x += xy[2 * i] - xy[0];
        y += xy[2 * i + 1] - xy[1];
    }
    x = xy[0] + x / (double)count;
    y = xy[1] + y / (double)count;
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        double dx = xy[2 * i] - x, dy = xy[2 * i + 1] - y;
        if (dx * dx + dy * dy > best) {
            best = dx * dx + dy * dy;
            found = i;
        }
    }
    return found;
}

static pt_status ring_from_loop(const pt_outline *outline, const pt_loop *loop, pt_ring *out)
{
    const double *from = outline->xy + 2 * loop->start;
    size_t n = loop->count, first = farthest_point(from, n);
    double *xy = pt_alloc(n + 1, 2 * sizeof *xy);
    if (!xy) {
        return PT_NOMEM("an object's polygon");
    }
    memcpy(xy, from + 2 * first, (n - first) * 2 * sizeof *xy);
    memcpy(xy + 2 * (n - first), from, (first + 1) * 2 * sizeof *xy);
    *out = (pt_ring){xy, n + 1};
    return pt_ok();
}

static pt_status polygon_from_loops(const pt_outline *outline, const pt_loop *loops, size_t count,
                                    pt_polygon *out)
{
    pt_polygon polygon = {.rings = pt_calloc(count, sizeof *polygon.rings)};
    if (!polygon.rings) {
        return PT_NOMEM("an object's polygon");
    }
    for (size_t i = 0; i < count; i++) {
        pt_status status = ring_from_loop(outline, &loops[i], &polygon.rings[i]);
        if (status.code != PT_OK) {
            polygon_fini(&polygon);
            return status;
        }
        polygon.count++;
    }
    *out = polygon;
    return pt_ok();
}

pt_status pt_polygons_from_outline(const pt_outline *outline, pt_polygons *out)
{
    pt_polygons polygons = {0};
    size_t parts = 0;
    for (size_t i = 0; i < outline->count; i++) {
        parts += i == 0 || outline->loops[i].label != outline->loops[i - 1].label;
    }
    polygons.items = pt_calloc(parts, sizeof *polygons.items);
    if (!polygons.items) {
        return PT_NOMEM("an object's polygons");
    }
    for (size_t i = 0, end; i < outline->count; i = end) {
        for (end = i + 1; end < outline->count && outline->loops[end].label == outline->loops[i].label;
             end++) {
        }
        pt_status status =
            polygon_from_loops(outline, &outline->loops[i], end - i, &polygons.items[polygons.count]);
        if (status.code != PT_OK) {
            pt_polygons_fini(&polygons);
            return status;
        }
        polygons.count++;
    }
    *out = polygons;
    return pt_ok();
}

/* Returns the area that is left, holes taken off. */
static double drop_small_holes(pt_polygon *polygon, double min_area)
{
    double area = pt_ring_area(&polygon->rings[0]);
    size_t kept = 1;
    for (size_t i = 1; i < polygon->count; i++) {
        double hole = -pt_ring_area(&polygon->rings[i]);
        if (hole < min_area) {
            pt_free(polygon->rings[i].xy);
        } else {
            area -= hole;
            polygon->rings[kept++] = polygon->rings[i];
        }
    }
    polygon->count = kept;
    return area;
}

void pt_polygons_drop_small(pt_polygons *polygons, double min_area)
{
    size_t kept = 0;
    for (size_t i = 0; i < polygons->count; i++) {
        if (drop_small_holes(&polygons->items[i], min_area) < min_area) {
            polygon_fini(&polygons->items[i]);
        } else {
            polygons->items[kept++] = polygons->items[i];
        }
    }
    polygons->count = kept;
}
