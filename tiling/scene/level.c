#include "tiling/scene/internal.h"

GDALRasterBandH pt_level_band(GDALDatasetH dataset, int band, int level)
{
    GDALRasterBandH full = GDALGetRasterBand(dataset, band);
    if (!full || level < 0) {
        return full;
    }
    return level < GDALGetOverviewCount(full) ? GDALGetOverview(full, level) : NULL;
}

static bool same_size(GDALRasterBandH a, GDALRasterBandH b)
{
    return a && b && GDALGetRasterBandXSize(a) == GDALGetRasterBandXSize(b) &&
           GDALGetRasterBandYSize(a) == GDALGetRasterBandYSize(b);
}

GDALRasterBandH pt_level_mask(GDALDatasetH dataset, const pt_bands *bands, int level)
{
    GDALRasterBandH full = GDALGetMaskBand(GDALGetRasterBand(dataset, bands->channels[0].band));
    if (level < 0 || !full) {
        return full;
    }
    /* Not the overview's mask band: of a mask in a file of its own (.msk) without overviews, GDAL 3.6 makes
     * up an all-valid one there. */
    GDALRasterBandH like = pt_level_band(dataset, bands->channels[0].band, level);
    for (int i = 0; i < GDALGetOverviewCount(full); i++) {
        GDALRasterBandH mask = GDALGetOverview(full, i);
        if (same_size(mask, like)) {
            return mask;
        }
    }
    return NULL;
}

/* Some files have overviews of the colours but not of the alpha or mask: reading those would lose the mask.
 */
bool pt_level_is_complete(GDALDatasetH dataset, const pt_bands *bands, int level)
{
    GDALRasterBandH first = pt_level_band(dataset, bands->channels[0].band, level);
    for (int c = 0; c < bands->count; c++) {
        if (!same_size(first, pt_level_band(dataset, bands->channels[c].band, level))) {
            return false;
        }
    }
    if (bands->alpha && !same_size(first, pt_level_band(dataset, bands->alpha, level))) {
        return false;
    }
    return !bands->mask || pt_level_mask(dataset, bands, level);
}

int pt_level_choose(GDALDatasetH dataset, const pt_bands *bands, double width, double height)
{
    GDALRasterBandH full = GDALGetRasterBand(dataset, bands->channels[0].band);
    int best = -1, best_width = GDALGetRasterBandXSize(full), count = GDALGetOverviewCount(full);
    for (int i = 0; i < count; i++) {
        GDALRasterBandH band = GDALGetOverview(full, i);
        if (!band) {
            continue;
        }
        int w = GDALGetRasterBandXSize(band), h = GDALGetRasterBandYSize(band);
        if (w >= width && h >= height && w < best_width && pt_level_is_complete(dataset, bands, i)) {
            best = i;
            best_width = w;
        }
    }
    return best;
}
