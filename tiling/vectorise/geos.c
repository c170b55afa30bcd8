#include "tiling/vectorise/polygons.h"

#include <stdio.h>
#include <string.h>

static void keep_message(const char *message, void *user)
{
    pt_geos *geos = user;
    if (!geos->message[0]) {
        snprintf(geos->message, sizeof geos->message, "%s", message);
    }
}

static void ignore_notice(const char *message, void *user)
{
    (void)message;
    (void)user;
}

pt_status pt_geos_init(pt_geos *geos)
{
    geos->message[0] = '\0';
    geos->handle = GEOS_init_r();
    if (!geos->handle) {
        return PT_NOMEM("GEOS");
    }
    GEOSContext_setErrorMessageHandler_r(geos->handle, keep_message, geos);
    GEOSContext_setNoticeMessageHandler_r(geos->handle, ignore_notice, geos);
    return pt_ok();
}

void pt_geos_fini(pt_geos *geos)
{
    if (geos->handle) {
        GEOS_finish_r(geos->handle);
        geos->handle = NULL;
    }
}

pt_status pt_geos_failed(const pt_geos *geos, const char *verb)
{
    /* Without a message it was an allocation of ours. */
    if (!geos->message[0] || strstr(geos->message, "bad_alloc")) {
        return PT_NOMEM("a polygon");
    }
    return pt_error(PT_E_INTERNAL, "GEOS could not %s: %s", verb, geos->message);
}

static GEOSGeometry *ring_to_geos(GEOSContextHandle_t h, const pt_ring *ring)
{
    if (ring->count > UINT32_MAX) {
        return NULL;
    }
    GEOSCoordSequence *xy = GEOSCoordSeq_copyFromBuffer_r(h, ring->xy, (unsigned)ring->count, 0, 0);
    return xy ? GEOSGeom_createLinearRing_r(h, xy) : NULL; /* takes xy, also on failure */
}

static void destroy_all(GEOSContextHandle_t h, GEOSGeometry **geoms, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        GEOSGeom_destroy_r(h, geoms[i]);
    }
}

static GEOSGeometry *polygon_to_geos(GEOSContextHandle_t h, const pt_polygon *polygon)
{
    GEOSGeometry **rings = pt_alloc(polygon->count, sizeof *rings);
    if (!rings) {
        return NULL;
    }
    GEOSGeometry *made = NULL;
    size_t count = 0;
    for (; count < polygon->count; count++) {
        rings[count] = ring_to_geos(h, &polygon->rings[count]);
        if (!rings[count]) {
            break;
        }
    }
    if (count == polygon->count) {
        made = GEOSGeom_createPolygon_r(h, rings[0], rings + 1, (unsigned)(count - 1)); /* takes the rings */
    } else {
        destroy_all(h, rings, count);
    }
    pt_free(rings);
    return made;
}

GEOSGeometry *pt_polygons_to_geos(const pt_geos *geos, const pt_polygon *items, size_t count)
{
    GEOSContextHandle_t h = geos->handle;
    GEOSGeometry **parts = pt_alloc(count, sizeof *parts);
    if (!parts || count > UINT32_MAX) {
        pt_free(parts);
        return NULL;
    }
    GEOSGeometry *made = NULL;
    size_t done = 0;
    for (; done < count; done++) {
        parts[done] = polygon_to_geos(h, &items[done]);
        if (!parts[done]) {
            break;
        }
    }
    if (done == count) {
        made = GEOSGeom_createCollection_r(h, GEOS_MULTIPOLYGON, parts, (unsigned)count);
    } else {
        destroy_all(h, parts, done);
    }
    pt_free(parts);
    return made;
}

/* Positive for exteriors, see pt_ring_area. */
static void wind(pt_ring *ring, bool exterior)
{
    if ((pt_ring_area(ring) > 0) == exterior) {
        return;
    }
    for (size_t i = 0, k = ring->count - 1; i < k; i++, k--) {
        double x = ring->xy[2 * i], y = ring->xy[2 * i + 1];
        ring->xy[2 * i] = ring->xy[2 * k];
        ring->xy[2 * i + 1] = ring->xy[2 * k + 1];
        ring->xy[2 * k] = x;
        ring->xy[2 * k + 1] = y;
    }
}

static pt_status ring_from_geos(const pt_geos *geos, const GEOSGeometry *from, bool exterior, pt_ring *out)
{
    const GEOSCoordSequence *seq = GEOSGeom_getCoordSeq_r(geos->handle, from);
    unsigned count = 0;
    if (!seq || !GEOSCoordSeq_getSize_r(geos->handle, seq, &count)) {
        return pt_geos_failed(geos, "read a ring");
    }
    pt_ring ring = {.xy = pt_alloc(count, 2 * sizeof *ring.xy), .count = count};
    if (!ring.xy) {
        return PT_NOMEM("an object's polygon");
    }
    if (!GEOSCoordSeq_copyToBuffer_r(geos->handle, seq, ring.xy, 0, 0)) {
        pt_free(ring.xy);
        return pt_geos_failed(geos, "read a ring");
    }
    wind(&ring, exterior);
    *out = ring;
    return pt_ok();
}

static pt_status polygon_from_geos(const pt_geos *geos, const GEOSGeometry *from, pt_polygon *out)
{
    GEOSContextHandle_t h = geos->handle;
    int holes = GEOSGetNumInteriorRings_r(h, from);
    if (holes < 0) {
        return pt_geos_failed(geos, "count holes");
    }
    out->rings = pt_calloc((size_t)holes + 1, sizeof *out->rings);
    if (!out->rings) {
        return PT_NOMEM("an object's polygon");
    }
    PT_TRY(ring_from_geos(geos, GEOSGetExteriorRing_r(h, from), true, &out->rings[0]));
    out->count = 1;
    for (int i = 0; i < holes; i++) {
        PT_TRY(ring_from_geos(geos, GEOSGetInteriorRingN_r(h, from, i), false, &out->rings[out->count]));
        out->count++;
    }
    return pt_ok();
}

static pt_status collect(const pt_geos *geos, const GEOSGeometry *from, pt_polygons *to, size_t *capacity)
{
    GEOSContextHandle_t h = geos->handle;
    int type = GEOSGeomTypeId_r(h, from);
    if (type == GEOS_POLYGON) {
        if (GEOSisEmpty_r(h, from)) {
            return pt_ok();
        }
        PT_TRY(pt_grow(&to->items, capacity, to->count + 1, sizeof *to->items));
        to->items[to->count] = (pt_polygon){0};
        return polygon_from_geos(geos, from, &to->items[to->count++]);
    }
    if (type != GEOS_MULTIPOLYGON && type != GEOS_GEOMETRYCOLLECTION) {
        return pt_ok();
    }
    int parts = GEOSGetNumGeometries_r(h, from);
    for (int i = 0; i < parts; i++) {
        PT_TRY(collect(geos, GEOSGetGeometryN_r(h, from, i), to, capacity));
    }
    return pt_ok();
}

pt_status pt_polygons_from_geos(const pt_geos *geos, const GEOSGeometry *geometry, pt_polygons *out)
{
    pt_polygons polygons = {0};
    size_t capacity = 0;
    pt_status status = collect(geos, geometry, &polygons, &capacity);
    if (status.code != PT_OK) {
        pt_polygons_fini(&polygons);
        return status;
    }
    *out = polygons;
    return pt_ok();
}
