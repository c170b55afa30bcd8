#include "tiling/scene/internal.h"

#include <math.h>
#include <string.h>

/* Blocks that were never written read as zeros in silence; here they are told apart. A plain file is asked by
 * GDALGetDataCoverageStatus. A VRT is asked file by file (parts.c), for GDAL knows the files' places alone.
 */

/* GDAL_DATA_COVERAGE_STATUS_* of a rectangle: the union over the channels, so "empty" alone means that no
 * channel was written. Drivers that do not know say "data". */
static int status_of(pt_source *source, pt_rect rect)
{
    int flags = 0;
    for (int c = 0; c < source->bands->count; c++) {
        flags |= GDALGetDataCoverageStatus(source->channel[c], (int)rect.x, (int)rect.y, (int)rect.w,
                                           (int)rect.h, 0, NULL);
    }
    return flags;
}

static void set(pt_rect all, pt_rect part, uint8_t *bytes, uint8_t value)
{
    part = pt_rect_intersect(all, part);
    for (int64_t y = part.y; y < part.y + part.h; y++) {
        memset(bytes + (y - all.y) * all.w + (part.x - all.x), value, (size_t)part.w);
    }
}

static void apply_plain(pt_source *source, pt_rect rect, uint8_t *valid)
{
    int flags = status_of(source, rect);
    if (flags == GDAL_DATA_COVERAGE_STATUS_EMPTY) {
        set(rect, rect, valid, 0);
    } else if (flags & GDAL_DATA_COVERAGE_STATUS_EMPTY) {
        int bw = 1, bh = 1;
        GDALGetBlockSize(source->channel[0], &bw, &bh);
        for (int64_t y = rect.y / bh * bh; y < rect.y + rect.h; y += bh) {
            for (int64_t x = rect.x / bw * bw; x < rect.x + rect.w; x += bw) {
                pt_rect part = pt_rect_intersect((pt_rect){x, y, bw, bh}, rect);
                if (status_of(source, part) == GDAL_DATA_COVERAGE_STATUS_EMPTY) {
                    set(rect, part, valid, 0);
                }
            }
        }
    }
}

/* The level pixels whose centres lie in a box of full-size pixels. */
static pt_rect level_rect(const pt_source *source, const double box[4])
{
    double kx = (double)source->width / (double)source->full_width;
    double ky = (double)source->height / (double)source->full_height;
    int64_t x0 = (int64_t)ceil(box[0] * kx - 0.5), y0 = (int64_t)ceil(box[1] * ky - 0.5);
    int64_t x1 = (int64_t)ceil(box[2] * kx - 0.5), y1 = (int64_t)ceil(box[3] * ky - 0.5);
    return (pt_rect){x0, y0, x1 - x0, y1 - y0};
}

/* A handle on a part's own file; a few are kept. */
static pt_status open_part(pt_source *source, size_t index, GDALDatasetH *out)
{
    enum { KEPT = sizeof source->kept / sizeof *source->kept };
    for (size_t i = 0; i < KEPT; i++) {
        if (source->kept[i].dataset && source->kept[i].part == index) {
            *out = source->kept[i].dataset;
            return pt_ok();
        }
    }
    GDALDatasetH dataset = NULL;
    const char *name = source->parts->items[index].name;
    PT_TRY(pt_context(pt_gdal_open(name, name, source->drivers, &dataset), "%s", source->shown));
    size_t slot = source->next_kept++ % KEPT;
    if (source->kept[slot].dataset) {
        GDALClose(source->kept[slot].dataset);
    }
    source->kept[slot].dataset = dataset;
    source->kept[slot].part = index;
    *out = dataset;
    return pt_ok();
}

/* The part's own pixels under a box of full-size pixels, half-open, inside its file. */
static pt_rect own_rect(const pt_part *part, const double box[4], int width, int height)
{
    double x0 = floor((box[0] - part->offset_x) / part->scale_x);
    double y0 = floor((box[1] - part->offset_y) / part->scale_y);
    double x1 = ceil((box[2] - part->offset_x) / part->scale_x);
    double y1 = ceil((box[3] - part->offset_y) / part->scale_y);
    pt_rect all = {0, 0, width, height};
    return pt_rect_intersect((pt_rect){(int64_t)x0, (int64_t)y0, (int64_t)(x1 - x0), (int64_t)(y1 - y0)},
                             all);
}

/* Takes the part's never-written blocks out of `covered`. */
static pt_status clear_holes(pt_source *source, size_t index, pt_rect rect, uint8_t *covered)
{
    const pt_part *part = &source->parts->items[index];
    GDALDatasetH dataset = NULL;
    PT_TRY(open_part(source, index, &dataset));
    GDALRasterBandH band = GDALGetRasterBand(dataset, part->band);
    if (!band) {
        return pt_ok();
    }
    double kx = (double)source->full_width / (double)source->width;
    double ky = (double)source->full_height / (double)source->height;
    double box[4] = {fmax(part->clip[0], (double)rect.x * kx), fmax(part->clip[1], (double)rect.y * ky),
                     fmin(part->clip[2], (double)(rect.x + rect.w) * kx),
                     fmin(part->clip[3], (double)(rect.y + rect.h) * ky)};
    pt_rect own = own_rect(part, box, GDALGetRasterBandXSize(band), GDALGetRasterBandYSize(band));
    int bw = 1, bh = 1;
    GDALGetBlockSize(band, &bw, &bh);
    for (int64_t y = own.y / bh * bh; y < own.y + own.h; y += bh) {
        for (int64_t x = own.x / bw * bw; x < own.x + own.w; x += bw) {
            pt_rect block = pt_rect_intersect((pt_rect){x, y, bw, bh}, own);
            int flags = GDALGetDataCoverageStatus(band, (int)block.x, (int)block.y, (int)block.w,
                                                  (int)block.h, 0, NULL);
            double hole[4] = {
                fmax(part->clip[0], (double)block.x * part->scale_x + part->offset_x),
                fmax(part->clip[1], (double)block.y * part->scale_y + part->offset_y),
                fmin(part->clip[2], (double)(block.x + block.w) * part->scale_x + part->offset_x),
                fmin(part->clip[3], (double)(block.y + block.h) * part->scale_y + part->offset_y)};
            if (flags == GDAL_DATA_COVERAGE_STATUS_EMPTY) {
                set(rect, level_rect(source, hole), covered, 0);
            }
        }
    }
    return pt_ok();
}

/* Whether one file without holes lies under all of the rectangle and none with holes under any of it. */
static bool is_whole(const pt_source *source, pt_rect rect)
{
    bool whole = false;
    for (size_t i = 0; i < source->parts->count; i++) {
        const pt_part *part = &source->parts->items[i];
        pt_rect place = level_rect(source, part->clip);
        if (part->sparse && !pt_rect_is_empty(pt_rect_intersect(place, rect))) {
            return false;
        }
        whole |= pt_rect_contains(place, rect);
    }
    return whole;
}

/* covered: 1 where a written block lies. Later parts lie over earlier ones, holes and all, but where the VRT
 * lets invalid pixels through. */
static pt_status cover(pt_source *source, pt_rect rect, uint8_t *covered)
{
    memset(covered, 0, (size_t)pt_rect_area(rect));
    for (size_t i = 0; i < source->parts->count; i++) {
        const pt_part *part = &source->parts->items[i];
        pt_rect place = pt_rect_intersect(level_rect(source, part->clip), rect);
        if (!pt_rect_is_empty(place)) {
            set(rect, place, covered, 1);
            if (part->sparse && !part->overlay) {
                PT_TRY(clear_holes(source, i, rect, covered));
            }
        }
    }
    return pt_ok();
}

static pt_status apply_parts(pt_source *source, pt_rect rect, uint8_t *valid)
{
    if (is_whole(source, rect)) {
        return pt_ok();
    }
    size_t n = (size_t)pt_rect_area(rect);
    PT_TRY(pt_grow(&source->covered, &source->covered_capacity, n, 1));
    PT_TRY(cover(source, rect, source->covered));
    for (size_t i = 0; i < n; i++) {
        valid[i] &= source->covered[i];
    }
    return pt_ok();
}

pt_status pt_coverage_apply(pt_source *source, pt_rect rect, uint8_t *valid)
{
    pt_gdal_log log;
    pt_gdal_watch(&log);
    pt_status status = pt_ok();
    if (source->parts->known) {
        status = apply_parts(source, rect, valid);
    } else {
        apply_plain(source, rect, valid);
    }
    pt_gdal_unwatch();
    return status;
}

static pt_status parts_are_empty(pt_source *source, pt_rect rect, bool *empty)
{
    bool holes = false;
    for (size_t i = 0; i < source->parts->count; i++) {
        const pt_part *part = &source->parts->items[i];
        if (!pt_rect_is_empty(pt_rect_intersect(level_rect(source, part->clip), rect))) {
            holes = true;
            if (!part->sparse) {
                *empty = false;
                return pt_ok();
            }
        }
    }
    *empty = true;
    if (holes) {
        size_t n = (size_t)pt_rect_area(rect);
        PT_TRY(pt_grow(&source->covered, &source->covered_capacity, n, 1));
        PT_TRY(cover(source, rect, source->covered));
        *empty = memchr(source->covered, 1, n) == NULL;
    }
    return pt_ok();
}

pt_status pt_coverage_is_empty(pt_source *source, pt_rect rect, bool *empty)
{
    PT_TRY(pt_source_ensure(source));
    pt_gdal_log log;
    pt_gdal_watch(&log);
    pt_status status = pt_ok();
    if (source->parts->known) {
        status = parts_are_empty(source, rect, empty);
    } else {
        *empty = status_of(source, rect) == GDAL_DATA_COVERAGE_STATUS_EMPTY;
    }
    pt_gdal_unwatch();
    return status;
}
