#include "tiling/writer/ground.h"

#include <geodesic.h>
#include <math.h>

OGRSpatialReferenceH pt_ground_new_wgs84(void)
{
    OGRSpatialReferenceH wgs84 = OSRNewSpatialReference(NULL);
    if (wgs84 && OSRImportFromEPSG(wgs84, 4326) != OGRERR_NONE) {
        OSRDestroySpatialReference(wgs84);
        return NULL;
    }
    if (wgs84) {
        OSRSetAxisMappingStrategy(wgs84, OAMS_TRADITIONAL_GIS_ORDER);
    }
    return wgs84;
}

static pt_status read_crs(const char *wkt, OGRSpatialReferenceH *out)
{
    OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
    if (!crs) {
        return PT_NOMEM("a coordinate reference system");
    }
    char *text = (char *)(uintptr_t)wkt; /* OSRImportFromWkt moves the pointer, not the text */
    if (OSRImportFromWkt(crs, &text) != OGRERR_NONE) {
        OSRDestroySpatialReference(crs);
        return pt_error(PT_E_INPUT, "the scene's coordinate reference system cannot be read: %.60s", wkt);
    }
    OSRSetAxisMappingStrategy(crs, OAMS_TRADITIONAL_GIS_ORDER);
    *out = crs;
    return pt_ok();
}

static pt_status connect(OGRSpatialReferenceH from, OGRSpatialReferenceH to,
                         OGRCoordinateTransformationH *out)
{
    if (OSRIsSame(from, to)) {
        return pt_ok();
    }
    *out = OCTNewCoordinateTransformation(from, to);
    if (!*out) {
        const char *name = OSRGetName(from);
        return pt_error(PT_E_INPUT, "no way is known from the scene's coordinate reference system (%s) to %s",
                        name ? name : "unnamed", OSRGetName(to));
    }
    return pt_ok();
}

static pt_status check_affine(const double t[6])
{
    double determinant = t[1] * t[5] - t[2] * t[4];
    for (int i = 0; i < 6; i++) {
        if (!isfinite(t[i])) {
            determinant = 0;
        }
    }
    if (determinant == 0 || !isfinite(determinant)) {
        return pt_error(PT_E_INPUT, "the scene's geotransform (%g, %g, %g, %g, %g, %g) cannot place pixels",
                        t[0], t[1], t[2], t[3], t[4], t[5]);
    }
    return pt_ok();
}

pt_status pt_ground_init(const pt_georef *georef, OGRSpatialReferenceH target, pt_ground *out)
{
    /* Row 0 is on top, so without a CRS y is negated to point up. */
    pt_ground ground = {.affine = {0, 1, 0, 0, 0, -1}};
    OGRSpatialReferenceH wgs84 = NULL;
    pt_status status = pt_ok();
    if (!georef->wkt || !georef->wkt[0]) {
        *out = ground;
        return status;
    }
    PT_TRY_OUT(check_affine(georef->transform));
    for (int i = 0; i < 6; i++) {
        ground.affine[i] = georef->transform[i];
    }
    PT_TRY_OUT(read_crs(georef->wkt, &ground.crs));
    wgs84 = pt_ground_new_wgs84();
    if (!wgs84) {
        status = pt_error(PT_E_INPUT, "PROJ does not know WGS 84; is its database (proj.db) installed?");
        goto out;
    }
    PT_TRY_OUT(connect(ground.crs, wgs84, &ground.to_wgs84));
    if (target) {
        PT_TRY_OUT(connect(ground.crs, target, &ground.to_target));
    }
    *out = ground;
    ground = (pt_ground){.crs = NULL};
out:
    OSRDestroySpatialReference(wgs84);
    pt_ground_fini(&ground);
    return status;
}

void pt_ground_fini(pt_ground *ground)
{
    OCTDestroyCoordinateTransformation(ground->to_wgs84);
    OCTDestroyCoordinateTransformation(ground->to_target);
    OSRDestroySpatialReference(ground->crs);
    *ground = (pt_ground){.crs = NULL};
}

static size_t count_points(const pt_feature *feature)
{
    size_t count = 0;
    for (size_t p = 0; p < feature->count; p++) {
        for (size_t r = 0; r < feature->polygons[p].count; r++) {
            count += feature->polygons[p].rings[r].count;
        }
    }
    return count;
}

static void place(const double t[6], const pt_feature *feature, pt_points *points)
{
    size_t k = 0;
    for (size_t p = 0; p < feature->count; p++) {
        for (size_t r = 0; r < feature->polygons[p].count; r++) {
            const pt_ring *ring = &feature->polygons[p].rings[r];
            for (size_t i = 0; i < ring->count; i++, k++) {
                double px = ring->xy[2 * i], py = ring->xy[2 * i + 1];
                points->x[k] = t[0] + t[1] * px + t[2] * py;
                points->y[k] = t[3] + t[4] * px + t[5] * py;
            }
        }
    }
}

static pt_status transform(const pt_ground *ground, OGRCoordinateTransformationH by,
                           const pt_feature *feature, pt_points *out)
{
    size_t count = count_points(feature);
    if (count > INT32_MAX) {
        return pt_error(PT_E_UNSUPPORTED, "an object has more than 2^31 outline points");
    }
    pt_points points = {pt_alloc(count, sizeof(double)), pt_alloc(count, sizeof(double)), count};
    if (!points.x || !points.y) {
        pt_points_fini(&points);
        return PT_NOMEM("a feature's points");
    }
    place(ground->affine, feature, &points);
    bool placed = !by || OCTTransform(by, (int)count, points.x, points.y, NULL);
    for (size_t i = 0; i < count; i++) {
        placed = placed && isfinite(points.x[i]) && isfinite(points.y[i]);
    }
    if (!placed) {
        pt_points_fini(&points);
        return pt_error(PT_E_INPUT,
                        "an object lies where the scene's coordinate reference system is not defined");
    }
    *out = points;
    return pt_ok();
}

pt_status pt_ground_wgs84(const pt_ground *ground, const pt_feature *feature, pt_points *out)
{
    return transform(ground, ground->to_wgs84, feature, out);
}

pt_status pt_ground_target(const pt_ground *ground, const pt_feature *feature, pt_points *out)
{
    return transform(ground, ground->to_target, feature, out);
}

void pt_points_fini(pt_points *points)
{
    pt_free(points->x);
    pt_free(points->y);
    *points = (pt_points){0};
}

void pt_ground_measure(const pt_feature *feature, const pt_points *degrees, double *area, double *perimeter)
{
    struct geod_geodesic ellipsoid;
    geod_init(&ellipsoid, 6378137, 1 / 298.257223563);
    *area = *perimeter = 0;
    size_t k = 0;
    for (size_t p = 0; p < feature->count; p++) {
        for (size_t r = 0; r < feature->polygons[p].count; r++) {
            size_t count = feature->polygons[p].rings[r].count;
            struct geod_polygon ring;
            double ring_area, length;
            geod_polygon_init(&ring, 0);
            for (size_t i = 0; i + 1 < count; i++) {
                geod_polygon_addpoint(&ellipsoid, &ring, degrees->y[k + i], degrees->x[k + i]);
            }
            geod_polygon_compute(&ellipsoid, &ring, 0, 1, &ring_area, &length);
            *area += r == 0 ? fabs(ring_area) : -fabs(ring_area);
            *perimeter += length;
            k += count;
        }
    }
}
