#include "tiling/scene/internal.h"

#include <math.h>
#include <string.h>

static pt_status load_region(const pt_scene_options *options, const pt_scene_info *info, pt_shapes *region)
{
    PT_TRY(pt_shapes_load(options->aoi, &info->georef, true, region));
    if (region->polygon_count == 0) {
        return pt_error(PT_E_INPUT, "%s: holds no polygon; an area of interest needs at least one",
                        options->aoi);
    }
    return pt_ok();
}

static pt_status box_region(const pt_scene_options *options, const pt_scene_info *info, pt_shapes *region)
{
    const double *b = options->bbox;
    if (!(b[0] < b[2]) || !(b[1] < b[3])) {
        return pt_error(PT_E_USAGE, "the box %g,%g,%g,%g is empty; give min x, min y, max x, max y", b[0],
                        b[1], b[2], b[3]);
    }
    double t[6];
    if (!pt_affine_invert(info->georef.transform, t)) {
        return pt_error(PT_E_INTERNAL, "%s: its transform cannot be inverted", info->path);
    }
    pt_shape_point corners[4] = {{b[0], b[1]}, {b[2], b[1]}, {b[2], b[3]}, {b[0], b[3]}};
    for (int i = 0; i < 4; i++) {
        double x = corners[i].x, y = corners[i].y;
        corners[i] = (pt_shape_point){t[0] + t[1] * x + t[2] * y, t[3] + t[4] * x + t[5] * y};
    }
    PT_TRY(pt_shapes_add_ring(region, corners, 4));
    return pt_shapes_end_polygon(region, 0, 1, 1);
}

/* The box around all polygons of a region. */
static pt_rect region_box(const pt_shapes *region)
{
    pt_rect box = {0, 0, 0, 0};
    for (size_t i = 0; i < region->polygon_count; i++) {
        box = pt_rect_union(box, region->polygons[i].box);
    }
    return box;
}

/* Whether any pixel of `area` is inside, row by row. */
static pt_status has_pixel(const pt_aoi *aoi, pt_rect area, bool *found)
{
    pt_shape_scratch scratch = {0};
    pt_status status = pt_ok();
    uint8_t *mask = pt_alloc((size_t)area.w, 1), *spare = pt_alloc((size_t)area.w, 1);
    *found = false;
    if (!mask || !spare) {
        status = PT_NOMEM("a row of the area of interest");
        goto out;
    }
    for (int64_t y = area.y; !*found && y < area.y + area.h; y++) {
        int64_t count = 0;
        PT_TRY_OUT(pt_aoi_mask(aoi, (pt_rect){area.x, y, area.w, 1}, &scratch, mask, spare, &count));
        *found = count > 0;
    }
out:
    pt_shape_scratch_fini(&scratch);
    pt_free(mask);
    pt_free(spare);
    return status;
}

pt_status pt_aoi_settle(const pt_scene_options *options, const pt_scene_info *info, pt_aoi *aoi,
                        pt_rect *area)
{
    pt_rect box = {0, 0, info->width, info->height};
    if (options->aoi) {
        PT_TRY(load_region(options, info, &aoi->regions[0]));
        aoi->in_use[0] = true;
    }
    if (options->has_bbox) {
        PT_TRY(box_region(options, info, &aoi->regions[1]));
        aoi->in_use[1] = true;
    }
    aoi->used = aoi->in_use[0] || aoi->in_use[1];
    for (int i = 0; i < 2; i++) {
        box = aoi->in_use[i] ? pt_rect_intersect(box, region_box(&aoi->regions[i])) : box;
    }
    bool found = !pt_rect_is_empty(box);
    if (aoi->used && found) {
        PT_TRY(has_pixel(aoi, box, &found));
    }
    if (!found) {
        return pt_error(PT_E_INPUT,
                        "%s: lies outside the scene %s; check both with gdalinfo and ogrinfo, above all "
                        "their CRS",
                        options->aoi ? options->aoi : "the box of --bbox", info->path);
    }
    *area = box;
    return pt_ok();
}

static pt_status fill_region(const pt_shapes *region, pt_rect rect, pt_shape_scratch *scratch, uint8_t *mask,
                             int64_t *count)
{
    memset(mask, 0, (size_t)pt_rect_area(rect));
    *count = 0;
    for (size_t i = 0; i < region->polygon_count; i++) {
        PT_TRY(pt_shape_fill(region, &region->polygons[i], rect, mask, (size_t)rect.w, scratch, count));
    }
    return pt_ok();
}

pt_status pt_aoi_mask(const pt_aoi *aoi, pt_rect rect, pt_shape_scratch *scratch, uint8_t *mask,
                      uint8_t *spare, int64_t *count)
{
    size_t n = (size_t)pt_rect_area(rect);
    int first = aoi->in_use[0] ? 0 : 1;
    if (!aoi->used) {
        memset(mask, 1, n);
        *count = (int64_t)n;
        return pt_ok();
    }
    PT_TRY(fill_region(&aoi->regions[first], rect, scratch, mask, count));
    if (first == 0 && aoi->in_use[1] && *count > 0) {
        PT_TRY(fill_region(&aoi->regions[1], rect, scratch, spare, count));
        *count = 0;
        for (size_t i = 0; i < n; i++) {
            mask[i] &= spare[i];
            *count += mask[i];
        }
    }
    return pt_ok();
}

void pt_aoi_fini(pt_aoi *aoi)
{
    pt_shapes_fini(&aoi->regions[0]);
    pt_shapes_fini(&aoi->regions[1]);
    *aoi = (pt_aoi){0};
}
