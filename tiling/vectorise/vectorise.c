#include "tiling/vectorise/vectorise.h"

#include "tiling/vectorise/outline.h"
#include "tiling/vectorise/polygons.h"
#include "tiling/vectorise/square.h"

#include <math.h>

pt_vectorise_options pt_vectorise_defaults(void)
{
    return (pt_vectorise_options){.pixel_m = 1, .simplify = -1, .aspect = 1};
}

static pt_status check_options(const pt_vectorise_options *options)
{
    if (!(options->pixel_m > 0) || !isfinite(options->pixel_m)) {
        return pt_error(PT_E_USAGE, "the pixel size is %g m; it must be positive", options->pixel_m);
    }
    if (!(options->min_area >= 0) || !isfinite(options->min_area)) {
        return pt_error(PT_E_USAGE, "the smallest area is %g m2; it must be 0 or more", options->min_area);
    }
    if (!(options->aspect > 0) || !isfinite(options->aspect)) {
        return pt_error(PT_E_USAGE, "the pixels' aspect is %g; it must be positive", options->aspect);
    }
    if (!isfinite(options->simplify)) {
        return pt_error(PT_E_USAGE, "the simplification is %g m; it must be a number", options->simplify);
    }
    return pt_ok();
}

/* Pixels. The defaults were found on the buildings of four real scenes: they keep a ninth of the vertices at
 * a mean IoU of 0.98 with the full outline and do not move AP by more than 0.002; along pixel edges (where
 * steps go only with more than half a diagonal) a quarter at 0.96. Small objects would lose more, so theirs
 * are held closer. */
static double tolerance(const pt_vectorise_options *options, const pt_polygons *polygons, bool soft)
{
    if (options->simplify >= 0) {
        return options->simplify / options->pixel_m;
    }
    double area = 0;
    for (size_t i = 0; i < polygons->count; i++) {
        area += pt_ring_area(&polygons->items[i].rings[0]);
    }
    return soft ? fmin(0.5, 0.03 * sqrt(area)) : fmin(1, 0.08 * sqrt(area));
}

static pt_status trace(const pt_instance *instance, pt_polygons *out)
{
    pt_field field = {0};
    pt_outline outline = {0};
    pt_status status;
    PT_TRY_OUT(pt_field_init(instance, &field));
    PT_TRY_OUT(pt_outline_trace(&field, &outline));
    PT_TRY_OUT(pt_polygons_from_outline(&outline, out));
out:
    pt_field_fini(&field);
    pt_outline_fini(&outline);
    return status;
}

static void replace(pt_polygons *polygons, pt_polygons *by)
{
    pt_polygons_fini(polygons);
    *polygons = *by;
    *by = (pt_polygons){0};
}

static pt_status simplify(const pt_geos *geos, double pixels, pt_polygons *polygons)
{
    pt_polygons simple = {0};
    GEOSGeometry *thin = NULL;
    pt_status status = pt_ok();
    GEOSGeometry *whole = pt_polygons_to_geos(geos, polygons->items, polygons->count);
    if (whole) {
        thin = GEOSTopologyPreserveSimplify_r(geos->handle, whole, pixels);
    }
    if (!thin) {
        status = pt_geos_failed(geos, "simplify an outline");
        goto out;
    }
    PT_TRY_OUT(pt_polygons_from_geos(geos, thin, &simple));
    replace(polygons, &simple);
out:
    GEOSGeom_destroy_r(geos->handle, whole);
    GEOSGeom_destroy_r(geos->handle, thin);
    return status;
}

/* Replaces invalid polygons by valid ones that cover the same places. */
static pt_status repair(const pt_geos *geos, pt_polygons *polygons)
{
    pt_polygons fixed = {0};
    GEOSGeometry *made = NULL;
    pt_status status = pt_ok();
    GEOSGeometry *whole = pt_polygons_to_geos(geos, polygons->items, polygons->count);
    char valid = whole ? GEOSisValid_r(geos->handle, whole) : 2;
    if (valid == 1) {
        goto out;
    }
    made = valid == 0 ? GEOSMakeValid_r(geos->handle, whole) : NULL;
    if (!made) {
        status = pt_geos_failed(geos, "repair an outline");
        goto out;
    }
    PT_TRY_OUT(pt_polygons_from_geos(geos, made, &fixed));
    replace(polygons, &fixed);
out:
    GEOSGeom_destroy_r(geos->handle, whole);
    GEOSGeom_destroy_r(geos->handle, made);
    return status;
}

static size_t count_points(const pt_polygons *polygons)
{
    size_t points = 0;
    for (size_t i = 0; i < polygons->count; i++) {
        for (size_t r = 0; r < polygons->items[i].count; r++) {
            points += polygons->items[i].rings[r].count;
        }
    }
    return points;
}

/* Outlines as traced are valid: rings of one walk never cross, and touch, if at all, in single points. */
static pt_status refine(const pt_vectorise_options *options, bool soft, pt_polygons *polygons)
{
    double pixels = tolerance(options, polygons, soft);
    if ((pixels <= 0 && !options->square) || count_points(polygons) > PT_VECTORISE_POINTS) {
        return pt_ok();
    }
    pt_geos geos;
    PT_TRY(pt_geos_init(&geos));
    pt_status status = pt_ok();
    if (pixels > 0) {
        PT_TRY_OUT(simplify(&geos, pixels, polygons));
        PT_TRY_OUT(repair(&geos, polygons));
    }
    if (options->square) {
        status = pt_square(&geos, options->aspect, polygons);
    }
out:
    pt_geos_fini(&geos);
    return status;
}

pt_status pt_vectorise(const pt_instance *instance, const pt_vectorise_options *options, pt_feature *out)
{
    PT_TRY(check_options(options));
    double min_area = options->min_area / (options->pixel_m * options->pixel_m);
    pt_polygons polygons = {0};
    pt_status status = trace(instance, &polygons);
    if (status.code == PT_OK) {
        pt_polygons_drop_small(&polygons, min_area);
    }
    if (status.code == PT_OK && polygons.count > 0) {
        status = refine(options, instance->prob.q != NULL, &polygons);
        pt_polygons_drop_small(&polygons, min_area);
    }
    if (status.code != PT_OK) {
        pt_polygons_fini(&polygons);
        return status;
    }
    if (polygons.count == 0) {
        pt_polygons_fini(&polygons);
    }
    out->polygons = polygons.items;
    out->count = polygons.count;
    return pt_ok();
}
