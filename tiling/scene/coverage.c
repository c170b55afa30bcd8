#include "tiling/scene/internal.h"

#include <string.h>

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

static void clear(pt_rect all, pt_rect part, uint8_t *valid)
{
    for (int64_t y = part.y; y < part.y + part.h; y++) {
        memset(valid + (y - all.y) * all.w + (part.x - all.x), 0, (size_t)part.w);
    }
}

pt_status pt_coverage_apply(pt_source *source, pt_rect rect, uint8_t *valid)
{
    pt_gdal_log log;
    pt_gdal_watch(&log);
    int flags = status_of(source, rect);
    if (flags == GDAL_DATA_COVERAGE_STATUS_EMPTY) {
        clear(rect, rect, valid);
    } else if (flags & GDAL_DATA_COVERAGE_STATUS_EMPTY) {
        int bw = 1, bh = 1;
        GDALGetBlockSize(source->channel[0], &bw, &bh);
        for (int64_t y = rect.y / bh * bh; y < rect.y + rect.h; y += bh) {
            for (int64_t x = rect.x / bw * bw; x < rect.x + rect.w; x += bw) {
                pt_rect part = pt_rect_intersect((pt_rect){x, y, bw, bh}, rect);
                if (status_of(source, part) == GDAL_DATA_COVERAGE_STATUS_EMPTY) {
                    clear(rect, part, valid);
                }
            }
        }
    }
    pt_gdal_unwatch();
    return pt_ok();
}

pt_status pt_coverage_is_empty(pt_source *source, pt_rect rect, bool *empty)
{
    pt_gdal_log log;
    pt_gdal_watch(&log);
    *empty = status_of(source, rect) == GDAL_DATA_COVERAGE_STATUS_EMPTY;
    pt_gdal_unwatch();
    return pt_ok();
}
