/* Right angles in four steps: find the outline's main direction, assign each edge to it or to its
 * perpendicular, join neighbours of one direction to straight runs, drop runs too short to be walls. Corners
 * are where neighbouring runs meet, so they are right whatever the edges were. */
#include "tiling/vectorise/square.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Chosen by looking at the outlines of masks of 28 x 28 cells, which is how a mask head sees an object:
 * rounded corners and waves of up to half a cell are no walls. */
static const double LEAST_IOU = 0.85;
static const double SHORTEST_PIXELS = 2;
static const double SHORTEST_PART = 0.06; /* of the square root of the area */

enum { CANDIDATES = 64 };

/* Polygons of more points are no buildings; the work grows with the square of their number. */
enum { LARGEST = 1000 };

/* A wall: a line along one axis of the turned frame. */
typedef struct run {
    bool level;    /* constant y; else constant x */
    double at;     /* that constant */
    double weight; /* length of the edges that speak for it */
} run;

/* The frame: origin, direction of its x axis, and pixels made square. */
typedef struct frame {
    double x, y, cosine, sine, aspect;
} frame;

static void to_frame(const frame *f, const double *xy, double out[2])
{
    double x = xy[0] - f->x, y = (xy[1] - f->y) * f->aspect;
    out[0] = x * f->cosine + y * f->sine;
    out[1] = y * f->cosine - x * f->sine;
}

static void from_frame(const frame *f, double x, double y, double out[2])
{
    out[0] = f->x + x * f->cosine - y * f->sine;
    out[1] = f->y + (x * f->sine + y * f->cosine) / f->aspect;
}

typedef struct edge {
    double length, angle;
} edge;

static int by_falling_length(const void *a, const void *b)
{
    const edge *p = a, *q = b;
    if (p->length != q->length) {
        return p->length > q->length ? -1 : 1;
    }
    return p->angle < q->angle ? -1 : p->angle > q->angle;
}

static pt_status edges_of(const pt_ring *ring, double aspect, edge **out)
{
    size_t count = ring->count - 1;
    edge *edges = pt_alloc(count, sizeof *edges);
    if (!edges) {
        return PT_NOMEM("squaring an outline");
    }
    for (size_t i = 0; i < count; i++) {
        const double *a = ring->xy + 2 * i, *b = a + 2;
        double dx = b[0] - a[0], dy = (b[1] - a[1]) * aspect;
        edges[i] = (edge){hypot(dx, dy), atan2(dy, dx)};
    }
    qsort(edges, count, sizeof *edges, by_falling_length);
    *out = edges;
    return pt_ok();
}

/* The turn of the axes in which the outline's length, measured along them, is least. That sum is concave
 * between the edges' own directions, so one of those is the best; the longest are tried. Then the mean of the
 * edges that agree within ten degrees, weighted by length, takes the noise of that one edge away. */
static double main_direction(const edge *edges, size_t count)
{
    double best = INFINITY, angle = 0;
    for (size_t c = 0; c < count && c < CANDIDATES; c++) {
        double sum = 0;
        for (size_t i = 0; i < count; i++) {
            double turn = edges[i].angle - edges[c].angle;
            sum += edges[i].length * (fabs(cos(turn)) + fabs(sin(turn)));
        }
        if (sum < best) {
            best = sum;
            angle = edges[c].angle;
        }
    }
    double cosines = 0, sines = 0;
    for (size_t i = 0; i < count; i++) {
        double turn = 4 * (edges[i].angle - angle); /* four times: a quarter turn makes no difference */
        if (cos(turn) > cos(4 * 10 * M_PI / 180)) {
            cosines += edges[i].length * cos(turn);
            sines += edges[i].length * sin(turn);
        }
    }
    return angle + atan2(sines, cosines) / 4;
}

static void merge_runs(run *into, const run *other)
{
    double weight = into->weight + other->weight;
    into->at = (into->at * into->weight + other->at * other->weight) / weight;
    into->weight = weight;
}

/* Neighbouring edges of one direction become one run. Edges half-way between the directions, as at rounded
 * corners, have next to no say in where the run lies. */
static size_t find_runs(const pt_ring *ring, const frame *f, run *runs)
{
    size_t count = 0;
    for (size_t i = 0; i + 1 < ring->count; i++) {
        double a[2], b[2];
        to_frame(f, ring->xy + 2 * i, a);
        to_frame(f, ring->xy + 2 * i + 2, b);
        double dx = b[0] - a[0], dy = b[1] - a[1], length = hypot(dx, dy);
        bool level = fabs(dx) >= fabs(dy);
        double slant =
            length > 0 ? (dx * dx - dy * dy) / (length * length) : 0; /* cosine of twice the angle */
        run next = {level, level ? (a[1] + b[1]) / 2 : (a[0] + b[0]) / 2,
                    length * (slant * slant + 1e-3) + 1e-12};
        if (count && runs[count - 1].level == level) {
            merge_runs(&runs[count - 1], &next);
        } else {
            runs[count++] = next;
        }
    }
    if (count > 1 && runs[0].level == runs[count - 1].level) {
        merge_runs(&runs[0], &runs[count - 1]);
        count--;
    }
    return count;
}

static double length_of(const run *runs, size_t count, size_t k)
{
    return fabs(runs[(k + 1) % count].at - runs[(k + count - 1) % count].at);
}

/* Takes out run k; its neighbours, parallel to each other, become one. */
static size_t drop_run(run *runs, size_t count, size_t k)
{
    size_t before = (k + count - 1) % count, after = (k + 1) % count;
    merge_runs(&runs[before], &runs[after]);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (i != k && i != after) {
            runs[kept++] = runs[i];
        }
    }
    return kept;
}

static size_t drop_short_runs(run *runs, size_t count, double shortest)
{
    while (count > 4) {
        size_t least = 0;
        for (size_t k = 1; k < count; k++) {
            if (length_of(runs, count, k) < length_of(runs, count, least)) {
                least = k;
            }
        }
        if (length_of(runs, count, least) >= shortest) {
            break;
        }
        count = drop_run(runs, count, least);
    }
    return count;
}

/* The ring whose corners are the meeting points of neighbouring runs. */
static pt_status ring_from_runs(const run *runs, size_t count, const frame *f, pt_ring *out)
{
    double *xy = pt_alloc(count + 1, 2 * sizeof *xy);
    if (!xy) {
        return PT_NOMEM("squaring an outline");
    }
    for (size_t i = 0; i < count; i++) {
        const run *a = &runs[i], *b = &runs[(i + 1) % count];
        from_frame(f, a->level ? b->at : a->at, a->level ? a->at : b->at, xy + 2 * i);
    }
    memcpy(xy + 2 * count, xy, 2 * sizeof *xy);
    *out = (pt_ring){xy, count + 1};
    return pt_ok();
}

/* *out stays empty when the ring has no right-angled form. */
static pt_status square_ring(const pt_ring *ring, const frame *f, pt_ring *out)
{
    double area = pt_ring_area(ring);
    run *runs = pt_alloc(ring->count, sizeof *runs);
    if (!runs) {
        return PT_NOMEM("squaring an outline");
    }
    size_t count = find_runs(ring, f, runs);
    double part = SHORTEST_PART * sqrt(fabs(area));
    count = drop_short_runs(runs, count, part > SHORTEST_PIXELS ? part : SHORTEST_PIXELS);
    pt_status status = pt_ok();
    pt_ring made = {0};
    if (count >= 4 && count % 2 == 0) {
        status = ring_from_runs(runs, count, f, &made);
    }
    pt_free(runs);
    /* A ring turned inside out fits nothing. */
    if (made.xy && (pt_ring_area(&made) > 0) != (area > 0)) {
        pt_free(made.xy);
        made = (pt_ring){0};
    }
    *out = made;
    return status;
}

/* Whether `made` is valid and covers much the same as `old`. A polygon that GEOS cannot intersect does not.
 */
static bool fits(const pt_geos *geos, const pt_polygon *old, const pt_polygon *made)
{
    GEOSContextHandle_t h = geos->handle;
    GEOSGeometry *a = pt_polygons_to_geos(geos, old, 1), *b = pt_polygons_to_geos(geos, made, 1),
                 *both = NULL;
    double area_a = 0, area_b = 0, common = 0;
    if (a && b && GEOSisValid_r(h, b) == 1) {
        both = GEOSIntersection_r(h, a, b);
    }
    bool measured =
        both && GEOSArea_r(h, a, &area_a) && GEOSArea_r(h, b, &area_b) && GEOSArea_r(h, both, &common);
    GEOSGeom_destroy_r(h, a);
    GEOSGeom_destroy_r(h, b);
    GEOSGeom_destroy_r(h, both);
    return measured && common >= LEAST_IOU * (area_a + area_b - common);
}

/* Puts a squared ring in the place of ring r of `made`, a copy of `old`, if the polygon then still fits. */
static pt_status try_ring(const pt_geos *geos, const pt_polygon *old, const frame *f, pt_polygon *made,
                          size_t r)
{
    pt_ring before = made->rings[r], ring = {0};
    PT_TRY(square_ring(&old->rings[r], f, &ring));
    if (!ring.xy) {
        return pt_ok();
    }
    made->rings[r] = ring;
    bool better = fits(geos, old, made);
    if (!better) {
        made->rings[r] = before;
    }
    pt_free(better ? before.xy : ring.xy);
    return pt_ok();
}

/* All rings take the exterior's direction. */
static pt_status square_polygon(const pt_geos *geos, double aspect, const pt_polygon *old, pt_polygon *made)
{
    const pt_ring *exterior = &old->rings[0];
    edge *edges = NULL;
    size_t points = 0;
    for (size_t r = 0; r < old->count; r++) {
        points += old->rings[r].count;
    }
    if (points > LARGEST) {
        return pt_ok();
    }
    PT_TRY(edges_of(exterior, aspect, &edges));
    double angle = main_direction(edges, exterior->count - 1);
    pt_free(edges);
    frame f = {exterior->xy[0], exterior->xy[1], cos(angle), sin(angle), aspect};
    for (size_t r = 0; r < old->count; r++) {
        PT_TRY(try_ring(geos, old, &f, made, r));
    }
    return pt_ok();
}

pt_status pt_square(const pt_geos *geos, double aspect, pt_polygons *polygons)
{
    pt_polygons made = {0};
    GEOSGeometry *whole = NULL;
    pt_status status;
    PT_TRY_OUT(pt_polygons_copy(polygons, &made));
    for (size_t i = 0; i < polygons->count; i++) {
        PT_TRY_OUT(square_polygon(geos, aspect, &polygons->items[i], &made.items[i]));
    }
    whole = pt_polygons_to_geos(geos, made.items, made.count);
    char valid = whole ? GEOSisValid_r(geos->handle, whole) : 2;
    if (valid == 2) {
        status = pt_geos_failed(geos, "check an outline");
    } else if (valid == 1) { /* else parts have grown into each other, and all stay as they were */
        pt_polygons old = *polygons;
        *polygons = made;
        made = old;
    }
out:
    GEOSGeom_destroy_r(geos->handle, whole);
    pt_polygons_fini(&made);
    return status;
}
