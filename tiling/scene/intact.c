#include "tiling/scene/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether a block is missing: its bytes would lie beyond the end. Never-written blocks have no offset. */
static bool block_is_missing(GDALRasterBandH band, int x, int y, uint64_t bytes)
{
    char key[64];
    snprintf(key, sizeof key, "BLOCK_OFFSET_%d_%d", x, y);
    const char *text = GDALGetMetadataItem(band, key, "TIFF");
    if (!text) {
        return false;
    }
    uint64_t offset = strtoull(text, NULL, 10);
    snprintf(key, sizeof key, "BLOCK_SIZE_%d_%d", x, y);
    text = GDALGetMetadataItem(band, key, "TIFF");
    uint64_t size = text ? strtoull(text, NULL, 10) : 0;
    return offset > bytes || size > bytes - offset;
}

static void count_band(GDALRasterBandH band, uint64_t bytes, int64_t *missing, int64_t *total)
{
    int bw = 1, bh = 1;
    GDALGetBlockSize(band, &bw, &bh);
    int nx = (GDALGetRasterBandXSize(band) - 1) / bw + 1, ny = (GDALGetRasterBandYSize(band) - 1) / bh + 1;
    for (int y = 0; y < ny; y++) {
        for (int x = 0; x < nx; x++) {
            *missing += block_is_missing(band, x, y, bytes);
        }
    }
    *total += (int64_t)nx * ny;
}

/* The file a level's blocks are in: .ovr beside the file when there is one. */
static bool level_bytes(const char *name, int level, uint64_t *bytes)
{
    bool is_folder = false;
    if (level >= 0) {
        char *side = pt_asprintf("%s.ovr", name);
        bool has_side = !side || pt_gdal_stat(side, &is_folder, bytes);
        pt_free(side);
        if (has_side) {
            return false; /* several files may be chained; a cut in them shows when it is read */
        }
    }
    return pt_gdal_stat(name, &is_folder, bytes);
}

/* libjpeg fills what is missing with grey, and warns once at most. FF D9 ends every JPEG and occurs nowhere
 * in its coded data. */
static pt_status check_jpeg(const char *name, const char *shown)
{
    static const uint8_t end[2] = {0xff, 0xd9};
    if (pt_gdal_ends_with_marker(name, end)) {
        return pt_ok();
    }
    return pt_error(PT_E_INPUT, "%s: cut short: the JPEG has no end; copy or download it again", shown);
}

/* A file cut inside its own list of blocks looks as if none was ever written. GDAL does complain. */
static pt_status explain_list(const pt_gdal_log *log, const char *shown)
{
    return log->failures == 0
               ? pt_ok()
               : pt_error(PT_E_INPUT,
                          "%s: cut short: its list of blocks cannot be read (%s); copy or download "
                          "it again",
                          shown, log->failure);
}

pt_status pt_intact_check(GDALDatasetH dataset, const char *name, const char *shown, const pt_bands *bands,
                          int level)
{
    const char *driver = GDALGetDriverShortName(GDALGetDatasetDriver(dataset));
    uint64_t bytes = 0;
    if (pt_gdal_is_local(name) && strcmp(driver, "JPEG") == 0) {
        return check_jpeg(name, shown);
    }
    if (!pt_gdal_is_local(name) || strcmp(driver, "GTiff") != 0 || !level_bytes(name, level, &bytes)) {
        return pt_ok();
    }
    const char *interleave = GDALGetMetadataItem(dataset, "INTERLEAVE", "IMAGE_STRUCTURE");
    bool together = interleave && strcmp(interleave, "PIXEL") == 0;
    int64_t missing = 0, total = 0;
    pt_gdal_log log;
    pt_gdal_watch(&log);
    int count = together ? 1 : bands ? bands->count : GDALGetRasterCount(dataset);
    for (int c = 0; c < count; c++) {
        GDALRasterBandH band = pt_level_band(dataset, bands ? bands->channels[c].band : c + 1, level);
        if (band) {
            count_band(band, bytes, &missing, &total);
        }
    }
    pt_gdal_unwatch();
    if (missing == 0) {
        return explain_list(&log, shown);
    }
    return pt_error(PT_E_INPUT,
                    "%s: cut short: %lld of %lld blocks lie beyond its end at %llu bytes; copy or "
                    "download it again",
                    shown, (long long)missing, (long long)total, (unsigned long long)bytes);
}
