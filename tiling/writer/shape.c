#include "tiling/writer/shape.h"

#define GEOS_USE_ONLY_R_API
#include <geos_c.h>
#include <math.h>

static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7};

int64_t pt_shape_units(double x, int decimals)
{
    return llround(x * powers[decimals]);
}

/* The double nearest to the decimal number that will be written. */
static double rounded(double x, int decimals)
{
    return decimals < 0 ? x : (double)pt_shape_units(x, decimals) / powers[decimals];
}

typedef struct ring_points {
    double *x, *y;
    int count;
} ring_points;

static bool ring_alloc(ring_points *ring, int count)
{
    ring->count = count;
    ring->x = pt_alloc((size_t)count, sizeof(double));
    ring->y = pt_alloc((size_t)count, sizeof(double));
    return ring->x && ring->y;
}

static void ring_free(ring_points *ring)
{
    pt_free(ring->x);
    pt_free(ring->y);
}

static double signed_area(const ring_points *ring)
{
    double twice = 0;
    for (int i = 0; i + 1 < ring->count; i++) {
        double ax = ring->x[i] - ring->x[0], ay = ring->y[i] - ring->y[0];
        double bx = ring->x[i + 1] - ring->x[0], by = ring->y[i + 1] - ring->y[0];
        twice += ax * by - bx * ay;
    }
    return twice / 2;
}

static void swap_ends(double *a, int count)
{
    for (int i = 0, k = count - 1; i < k; i++, k--) {
        double t = a[i];
        a[i] = a[k];
        a[k] = t;
    }
}

/* Rounds, drops repeated points and winds; false when the ring has collapsed. */
static bool tidy(ring_points *ring, int decimals, bool exterior)
{
    int kept = 0;
    for (int i = 0; i < ring->count; i++) {
        double x = rounded(ring->x[i], decimals), y = rounded(ring->y[i], decimals);
        if (kept == 0 || x != ring->x[kept - 1] || y != ring->y[kept - 1]) {
            ring->x[kept] = x;
            ring->y[kept++] = y;
        }
    }
    ring->count = kept;
    double area = signed_area(ring);
    if (kept < 4 || area == 0) {
        return false;
    }
    if ((area > 0) != exterior) {
        swap_ends(ring->x, kept);
        swap_ends(ring->y, kept);
    }
    return true;
}

static OGRGeometryH new_ring(const ring_points *ring)
{
    OGRGeometryH made = OGR_G_CreateGeometry(wkbLinearRing);
    if (made) {
        OGR_G_SetPoints(made, ring->count, ring->x, sizeof(double), ring->y, sizeof(double), NULL, 0);
    }
    return made;
}

/* Appends a copy of polygon `from` to `to`, its rings rounded and wound. */
static pt_status append_tidy(OGRGeometryH from, int decimals, OGRGeometryH to)
{
    OGRGeometryH polygon = OGR_G_CreateGeometry(wkbPolygon);
    pt_status status = pt_ok();
    int rings = OGR_G_GetGeometryCount(from);
    for (int r = 0; r < rings; r++) {
        OGRGeometryH source = OGR_G_GetGeometryRef(from, r);
        ring_points ring = {0};
        if (!ring_alloc(&ring, OGR_G_GetPointCount(source))) {
            ring_free(&ring);
            status = PT_NOMEM("a polygon's ring");
            break;
        }
        OGR_G_GetPoints(source, ring.x, sizeof(double), ring.y, sizeof(double), NULL, 0);
        bool kept = tidy(&ring, decimals, r == 0);
        if (kept) {
            OGR_G_AddGeometryDirectly(polygon, new_ring(&ring));
        }
        ring_free(&ring);
        if (r == 0 && !kept) {
            break;
        }
    }
    if (status.code == PT_OK && OGR_G_GetGeometryCount(polygon) > 0) {
        OGR_G_AddGeometryDirectly(to, polygon);
    } else {
        OGR_G_DestroyGeometry(polygon);
    }
    return status;
}

/* Every polygon anywhere in `from`, tidied, into the multipolygon `to`. */
static pt_status collect_tidy(OGRGeometryH from, int decimals, OGRGeometryH to)
{
    OGRwkbGeometryType type = wkbFlatten(OGR_G_GetGeometryType(from));
    if (type == wkbPolygon) {
        return append_tidy(from, decimals, to);
    }
    if (type != wkbMultiPolygon && type != wkbGeometryCollection) {
        return pt_ok();
    }
    int parts = OGR_G_GetGeometryCount(from);
    for (int i = 0; i < parts; i++) {
        PT_TRY(collect_tidy(OGR_G_GetGeometryRef(from, i), decimals, to));
    }
    return pt_ok();
}

static pt_status tidy_all(OGRGeometryH from, int decimals, OGRGeometryH *out)
{
    OGRGeometryH made = OGR_G_CreateGeometry(wkbMultiPolygon);
    pt_status status = collect_tidy(from, decimals, made);
    if (status.code != PT_OK) {
        OGR_G_DestroyGeometry(made);
        return status;
    }
    *out = made;
    return pt_ok();
}

static void ignore_message(const char *message, void *user)
{
    (void)message;
    (void)user;
}

/* The polygons of `shape` moved to the grid of the last decimal by GEOS, which keeps them valid; NULL when it
 * cannot. */
static OGRGeometryH snap_valid(OGRGeometryH shape, int decimals)
{
    GEOSContextHandle_t h = GEOS_init_r();
    GEOSContext_setErrorMessageHandler_r(h, ignore_message, NULL);
    int size = OGR_G_WkbSize(shape);
    unsigned char *wkb = pt_alloc((size_t)size, 1);
    GEOSGeometry *geometry = NULL, *snapped = NULL;
    OGRGeometryH made = NULL;
    if (wkb && OGR_G_ExportToWkb(shape, wkbNDR, wkb) == OGRERR_NONE) {
        geometry = GEOSGeomFromWKB_buf_r(h, wkb, (size_t)size);
    }
    if (geometry) {
        snapped = GEOSGeom_setPrecision_r(h, geometry, 1 / powers[decimals], 0);
    }
    if (snapped) {
        size_t length;
        unsigned char *text = GEOSGeomToWKB_buf_r(h, snapped, &length);
        if (text) {
            OGR_G_CreateFromWkb(text, NULL, &made, (int)length);
            GEOSFree_r(h, text);
        }
    }
    GEOSGeom_destroy_r(h, geometry);
    GEOSGeom_destroy_r(h, snapped);
    GEOS_finish_r(h);
    pt_free(wkb);
    return made;
}

/* Rounds *shape; where that makes it invalid, moves it by other means until it is valid as rounded. */
static pt_status settle(OGRGeometryH *shape, int decimals)
{
    enum { ROUNDS = 4 };
    OGRGeometryH tidied = NULL;
    PT_TRY(tidy_all(*shape, decimals, &tidied));
    for (int round = 0; !OGR_G_IsValid(tidied); round++) {
        if (round == ROUNDS) {
            OGR_G_DestroyGeometry(tidied);
            return pt_error(PT_E_INTERNAL, "a polygon could not be made valid");
        }
        OGRGeometryH better = NULL;
        if (round == 0 && decimals >= 0 && OGR_G_IsValid(*shape)) {
            better = snap_valid(*shape, decimals);
        }
        if (!better) {
            better = OGR_G_MakeValid(tidied);
        }
        OGR_G_DestroyGeometry(tidied);
        if (!better) {
            return pt_error(PT_E_INTERNAL, "a polygon could not be made valid");
        }
        pt_status status = tidy_all(better, decimals, &tidied);
        OGR_G_DestroyGeometry(better);
        PT_TRY(status);
    }
    OGR_G_DestroyGeometry(*shape);
    *shape = tidied;
    return pt_ok();
}

static double nearest_turn(double x, double to)
{
    return x + 360 * round((to - x) / 360);
}

/* Longitudes without jumps: each within half a turn of the one before, the first of `near`. A ring around a
 * pole then does not close; it is led over the pole. Room for three more points is needed. */
static void unwrap(ring_points *ring, double near)
{
    for (int i = 0; i < ring->count; i++) {
        ring->x[i] = nearest_turn(ring->x[i], i ? ring->x[i - 1] : near);
    }
    int last = ring->count - 1;
    if (fabs(ring->x[last] - ring->x[0]) > 180) {
        double pole = ring->y[0] > 0 ? 90 : -90;
        ring->x[last + 1] = ring->x[last];
        ring->y[last + 1] = pole;
        ring->x[last + 2] = ring->x[0];
        ring->y[last + 2] = pole;
        ring->x[last + 3] = ring->x[0];
        ring->y[last + 3] = ring->y[0];
        ring->count += 3;
    }
}

static OGRGeometryH box(double west, double east)
{
    ring_points corners = {(double[]){west, east, east, west, west}, (double[]){-90, -90, 90, 90, -90}, 5};
    OGRGeometryH made = OGR_G_CreateGeometry(wkbPolygon);
    OGR_G_AddGeometryDirectly(made, new_ring(&corners));
    return made;
}

static void shift(OGRGeometryH geometry, double by)
{
    int parts = OGR_G_GetGeometryCount(geometry);
    for (int i = 0; i < parts; i++) {
        shift(OGR_G_GetGeometryRef(geometry, i), by);
    }
    int points = OGR_G_GetPointCount(geometry);
    for (int i = 0; parts == 0 && i < points; i++) {
        OGR_G_SetPoint_2D(geometry, i, OGR_G_GetX(geometry, i) + by, OGR_G_GetY(geometry, i));
    }
}

/* Cuts what leaves -180 .. 180 and brings it back in from the other side. */
static pt_status cut_antimeridian(OGRGeometryH *shape)
{
    OGREnvelope extent;
    OGR_G_GetEnvelope(*shape, &extent);
    if (extent.MinX >= -180 && extent.MaxX <= 180) {
        return pt_ok();
    }
    PT_TRY(settle(shape, -1)); /* cutting needs valid polygons */
    OGRGeometryH all = OGR_G_CreateGeometry(wkbMultiPolygon);
    for (double turn = -360; turn <= 360; turn += 360) {
        OGRGeometryH window = box(turn - 180, turn + 180);
        OGRGeometryH part = OGR_G_Intersection(*shape, window);
        OGR_G_DestroyGeometry(window);
        if (!part) {
            OGR_G_DestroyGeometry(all);
            return pt_error(PT_E_INTERNAL, "a polygon could not be cut at the antimeridian");
        }
        shift(part, -turn);
        pt_status status = collect_tidy(part, -1, all);
        OGR_G_DestroyGeometry(part);
        if (status.code != PT_OK) {
            OGR_G_DestroyGeometry(all);
            return status;
        }
    }
    OGR_G_DestroyGeometry(*shape);
    *shape = all;
    return pt_ok();
}

/* Appends the polygon whose points begin at `from` to `to`. */
static pt_status append_polygon(const pt_polygon *polygon, const pt_points *from, size_t first,
                                bool spherical, OGRGeometryH to)
{
    OGRGeometryH made = OGR_G_CreateGeometry(wkbPolygon);
    double near = from->x[first];
    for (size_t r = 0; r < polygon->count; r++) {
        int count = (int)polygon->rings[r].count;
        ring_points ring = {0};
        if (!ring_alloc(&ring, count + 3)) {
            ring_free(&ring);
            OGR_G_DestroyGeometry(made);
            return PT_NOMEM("a polygon's ring");
        }
        ring.count = count;
        for (int i = 0; i < count; i++, first++) {
            ring.x[i] = from->x[first];
            ring.y[i] = from->y[first];
        }
        if (spherical) {
            unwrap(&ring, near);
        }
        OGR_G_AddGeometryDirectly(made, new_ring(&ring));
        ring_free(&ring);
    }
    OGR_G_AddGeometryDirectly(to, made);
    return pt_ok();
}

pt_status pt_shape_make(const pt_feature *feature, const pt_points *points, const pt_shape_rules *rules,
                        OGRGeometryH *out)
{
    OGRGeometryH shape = OGR_G_CreateGeometry(wkbMultiPolygon);
    pt_status status = pt_ok();
    size_t first = 0;
    for (size_t p = 0; p < feature->count; p++) {
        const pt_polygon *polygon = &feature->polygons[p];
        PT_TRY_OUT(append_polygon(polygon, points, first, rules->spherical, shape));
        for (size_t r = 0; r < polygon->count; r++) {
            first += polygon->rings[r].count;
        }
    }
    if (rules->spherical) {
        PT_TRY_OUT(cut_antimeridian(&shape));
    }
    PT_TRY_OUT(settle(&shape, rules->decimals));
    if (OGR_G_GetGeometryCount(shape) == 0) {
        *out = NULL;
        goto out;
    }
    *out = shape;
    shape = NULL;
out:
    OGR_G_DestroyGeometry(shape);
    return status;
}
