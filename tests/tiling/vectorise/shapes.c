#include "shapes.h"

#define GEOS_USE_ONLY_R_API
#include <geos_c.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

pt_instance instance_from_bytes(int64_t x, int64_t y, int w, int h, const uint8_t *bytes)
{
    pt_instance instance = {.class_id = 1, .score = 0.5f};
    if (pt_mask_from_bytes((pt_rect){x, y, w, h}, bytes, w, 1, &instance.mask).code != PT_OK) {
        abort();
    }
    return instance;
}

pt_instance instance_from_picture(int64_t x, int64_t y, const char *const *rows, int h)
{
    int w = (int)strlen(rows[0]);
    uint8_t *bytes = calloc((size_t)w * (size_t)h, 1);
    for (int j = 0; j < h; j++) {
        for (int i = 0; i < w; i++) {
            bytes[j * w + i] = rows[j][i] == '#';
        }
    }
    pt_instance instance = instance_from_bytes(x, y, w, h, bytes);
    free(bytes);
    return instance;
}

pt_instance instance_from_q(int64_t x, int64_t y, int w, int h, const uint8_t *q)
{
    pt_instance instance = {.class_id = 1, .score = 0.5f};
    pt_rect box = {x, y, w, h};
    if (pt_mask_from_bytes(box, q, w, PT_PROB_HALF, &instance.mask).code != PT_OK) {
        abort();
    }
    instance.prob = (pt_prob){box, pt_alloc((size_t)w * (size_t)h, 1)};
    memcpy(instance.prob.q, q, (size_t)w * (size_t)h);
    return instance;
}

uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static double ring_area(const pt_ring *ring)
{
    double twice = 0;
    for (size_t i = 0; i + 1 < ring->count; i++) {
        const double *a = ring->xy + 2 * i;
        /* y flipped up */
        twice += (a[0] - ring->xy[0]) * -(a[3] - ring->xy[1]) - (a[2] - ring->xy[0]) * -(a[1] - ring->xy[1]);
    }
    return twice / 2;
}

static GEOSGeometry *to_geos(GEOSContextHandle_t h, const pt_feature *feature)
{
    GEOSGeometry **parts = calloc(feature->count + 1, sizeof *parts);
    for (size_t p = 0; p < feature->count; p++) {
        const pt_polygon *polygon = &feature->polygons[p];
        GEOSGeometry **rings = calloc(polygon->count, sizeof *rings);
        for (size_t r = 0; r < polygon->count; r++) {
            rings[r] = GEOSGeom_createLinearRing_r(
                h, GEOSCoordSeq_copyFromBuffer_r(h, polygon->rings[r].xy, (unsigned)polygon->rings[r].count,
                                                 0, 0));
        }
        parts[p] = GEOSGeom_createPolygon_r(h, rings[0], rings + 1, (unsigned)polygon->count - 1);
        free(rings);
    }
    GEOSGeometry *made = GEOSGeom_createCollection_r(h, GEOS_MULTIPOLYGON, parts, (unsigned)feature->count);
    free(parts);
    return made;
}

bool feature_valid(const pt_feature *feature)
{
    GEOSContextHandle_t h = GEOS_init_r();
    GEOSGeometry *g = to_geos(h, feature);
    bool valid = GEOSisValid_r(h, g) == 1;
    GEOSGeom_destroy_r(h, g);
    GEOS_finish_r(h);
    return valid;
}

double features_iou(const pt_feature *a, const pt_feature *b)
{
    GEOSContextHandle_t h = GEOS_init_r();
    GEOSGeometry *p = to_geos(h, a), *q = to_geos(h, b);
    GEOSGeometry *common = GEOSIntersection_r(h, p, q);
    double area = 0, area_a = 0, area_b = 0;
    GEOSArea_r(h, common, &area);
    GEOSArea_r(h, p, &area_a);
    GEOSArea_r(h, q, &area_b);
    GEOSGeom_destroy_r(h, common);
    GEOSGeom_destroy_r(h, p);
    GEOSGeom_destroy_r(h, q);
    GEOS_finish_r(h);
    return area / (area_a + area_b - area);
}

bool feature_wound(const pt_feature *feature)
{
    for (size_t p = 0; p < feature->count; p++) {
        for (size_t r = 0; r < feature->polygons[p].count; r++) {
            const pt_ring *ring = &feature->polygons[p].rings[r];
            const double *last = ring->xy + 2 * (ring->count - 1);
            if (ring->count < 4 || last[0] != ring->xy[0] || last[1] != ring->xy[1] ||
                (ring_area(ring) > 0) != (r == 0)) {
                return false;
            }
        }
    }
    return true;
}

double feature_area(const pt_feature *feature)
{
    double area = 0;
    for (size_t p = 0; p < feature->count; p++) {
        for (size_t r = 0; r < feature->polygons[p].count; r++) {
            area += ring_area(&feature->polygons[p].rings[r]);
        }
    }
    return area;
}

size_t feature_points(const pt_feature *feature)
{
    size_t points = 0;
    for (size_t p = 0; p < feature->count; p++) {
        for (size_t r = 0; r < feature->polygons[p].count; r++) {
            points += feature->polygons[p].rings[r].count - 1;
        }
    }
    return points;
}

size_t feature_holes(const pt_feature *feature)
{
    size_t holes = 0;
    for (size_t p = 0; p < feature->count; p++) {
        holes += feature->polygons[p].count - 1;
    }
    return holes;
}

bool feature_holds(const pt_feature *feature, double x, double y)
{
    bool inside = false;
    for (size_t p = 0; p < feature->count; p++) {
        for (size_t r = 0; r < feature->polygons[p].count; r++) {
            const pt_ring *ring = &feature->polygons[p].rings[r];
            for (size_t i = 0; i + 1 < ring->count; i++) {
                const double *a = ring->xy + 2 * i, *b = a + 2;
                if ((a[1] > y) != (b[1] > y) && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])) {
                    inside = !inside;
                }
            }
        }
    }
    return inside;
}

int64_t feature_differs(const pt_feature *feature, const pt_mask *mask)
{
    pt_rect box = pt_rect_margin(mask->box, 1);
    uint8_t *bytes = calloc((size_t)box.w * (size_t)box.h, 1);
    pt_mask_paint(mask, box, bytes, (ptrdiff_t)box.w, 1);
    int64_t differ = 0;
    for (int64_t y = 0; y < box.h; y++) {
        for (int64_t x = 0; x < box.w; x++) {
            differ += feature_holds(feature, (double)(box.x + x) + 0.5, (double)(box.y + y) + 0.5) !=
                      (bytes[y * box.w + x] != 0);
        }
    }
    free(bytes);
    return differ;
}
