#include "tiling/scene/internal.h"

#include <cpl_vsi.h>
#include <math.h>
#include <string.h>

static bool find_bands(pt_source *s)
{
    const pt_bands *bands = s->bands;
    for (int c = 0; c < bands->count; c++) {
        s->channel[c] = pt_level_band(s->dataset, bands->channels[c].band, s->level);
        if (!s->channel[c]) {
            return false;
        }
    }
    s->alpha = bands->alpha ? pt_level_band(s->dataset, bands->alpha, s->level) : NULL;
    s->mask = bands->mask ? pt_level_mask(s->dataset, bands, s->level) : NULL;
    s->width = GDALGetRasterBandXSize(s->channel[0]);
    s->height = GDALGetRasterBandYSize(s->channel[0]);
    return (s->alpha || !bands->alpha) && (s->mask || !bands->mask);
}

static void disconnect(pt_source *source)
{
    pt_gdal_log log;
    pt_gdal_watch(&log);
    if (source->dataset) {
        GDALClose(source->dataset);
        source->dataset = NULL;
    }
    for (size_t i = 0; i < sizeof source->kept / sizeof *source->kept; i++) {
        if (source->kept[i].dataset) {
            GDALClose(source->kept[i].dataset);
            source->kept[i].dataset = NULL;
        }
    }
    pt_gdal_unwatch();
}

static pt_status connect(pt_source *source)
{
    const pt_scene_info *info = &source->scene->info;
    PT_TRY(pt_gdal_open(source->scene->name, source->shown, source->drivers, &source->dataset));
    pt_gdal_log log;
    pt_gdal_watch(&log);
    bool same = GDALGetRasterXSize(source->dataset) == info->native_width &&
                GDALGetRasterYSize(source->dataset) == info->native_height &&
                GDALGetRasterCount(source->dataset) == info->band_count && find_bands(source);
    pt_gdal_unwatch();
    if (!same) {
        disconnect(source);
        return pt_error(PT_E_INPUT, "%s: has changed since it was first opened; start again", source->shown);
    }
    return pt_ok();
}

pt_status pt_source_open(const pt_scene *scene, int level, pt_source *source)
{
    pt_source s = {.scene = scene,
                   .shown = scene->shown,
                   .bands = &scene->bands,
                   .parts = &scene->parts,
                   .drivers = (const char *const *)scene->drivers,
                   .strict = scene->options.strict,
                   .full_width = scene->info.native_width,
                   .full_height = scene->info.native_height,
                   .level = level};
    PT_TRY(connect(&s));
    *source = s;
    return pt_ok();
}

void pt_source_close(pt_source *source)
{
    disconnect(source);
    pt_free(source->planes);
    pt_free(source->spare);
    pt_free(source->covered);
    pt_free(source->missing);
    *source = (pt_source){0};
}

/* After a failure the handle is not used again: decoders go on in silence where they warned before, and the
 * block cache holds what they made up. */
static void give_up_handle(pt_source *source)
{
    disconnect(source);
    const char *name = source->scene->name;
    if (!pt_gdal_is_local(name) || source->parts->count > 0) {
        VSICurlClearCache(); /* else a second try would meet the cached failure */
    }
}

pt_status pt_source_ensure(pt_source *source)
{
    if (source->dataset) {
        return pt_ok();
    }
    pt_status status = connect(source);
    if (status.code == PT_E_INPUT) {
        status.code = PT_E_READ; /* it was there before: worth another try */
    }
    return status;
}

/* What a read's outcome means for the tile. */
static pt_status judge(pt_source *source, CPLErr result, const pt_gdal_log *log, pt_rect rect,
                       const char *what)
{
    if (result != CE_None || log->failures > 0 || log->made_up) {
        const char *text = log->failure[0] ? log->failure : log->warning;
        give_up_handle(source);
        return pt_error(PT_E_READ, "%s: cannot read %s at column %lld, row %lld, %lld x %lld pixels: %s",
                        source->shown, what, (long long)rect.x, (long long)rect.y, (long long)rect.w,
                        (long long)rect.h, text[0] ? text : "GDAL gives no reason; the file is damaged");
    }
    if (log->warnings && source->strict) {
        give_up_handle(source);
        return pt_error(PT_E_TILE, "%s: a warning while reading column %lld, row %lld (--strict): %s",
                        source->shown, (long long)rect.x, (long long)rect.y, log->warning);
    }
    if (log->warnings && !source->warned) {
        source->warned = true; /* once a reader: a bad file warns at every block */
        PT_WARN("GDAL warns while reading", PT_S("file", source->shown), PT_S("message", log->warning));
    }
    return pt_ok();
}

static pt_status read_band(pt_source *source, GDALRasterBandH band, pt_rect rect, void *to, GDALDataType type,
                           const char *what)
{
    pt_gdal_log log;
    pt_gdal_watch(&log);
    CPLErr result = GDALRasterIOEx(band, GF_Read, (int)rect.x, (int)rect.y, (int)rect.w, (int)rect.h, to,
                                   (int)rect.w, (int)rect.h, type, 0, 0, NULL);
    pt_gdal_unwatch();
    return judge(source, result, &log, rect, what);
}

/* Turns off what alpha and mask turn off. Overviews average them: there, half is the limit. */
static pt_status apply_masks(pt_source *source, pt_rect rect, uint8_t *valid)
{
    size_t n = (size_t)pt_rect_area(rect);
    uint16_t *spare = source->spare;
    if (source->mask) {
        PT_TRY(read_band(source, source->mask, rect, spare, GDT_UInt16, "the mask"));
        uint16_t least = source->level < 0 ? 1 : 128;
        for (size_t i = 0; i < n; i++) {
            valid[i] &= spare[i] >= least;
        }
    }
    if (source->alpha) {
        PT_TRY(read_band(source, source->alpha, rect, spare, GDT_UInt16, "the alpha band"));
        uint16_t least = source->level < 0 ? 1 : (uint16_t)((source->bands->alpha_full + 1) / 2);
        for (size_t i = 0; i < n; i++) {
            valid[i] &= spare[i] >= least;
        }
    }
    return pt_ok();
}

static pt_status reserve(pt_source *source, size_t pixels, size_t plane_bytes)
{
    size_t bytes;
    if (!pt_size_mul(pixels, plane_bytes, &bytes)) {
        return PT_NOMEM("a block of source pixels");
    }
    PT_TRY(pt_grow(&source->planes, &source->plane_capacity, bytes, 1));
    PT_TRY(pt_grow(&source->spare, &source->spare_capacity, pixels, sizeof(uint16_t)));
    return pt_grow(&source->missing, &source->missing_capacity, pixels, 1);
}

/* A pixel is nodata when every channel that has a nodata value holds it: one dark band of three is no hole.
 */
static void apply_nodata(const pt_source *source, size_t n, uint8_t *valid)
{
    int with = 0;
    for (int c = 0; c < source->bands->count; c++) {
        with += source->bands->channels[c].has_nodata;
    }
    for (size_t i = 0; with > 0 && i < n; i++) {
        valid[i] &= source->missing[i] < with;
    }
}

static void find_missing_bytes(const pt_channel *channel, const uint8_t *plane, size_t n, uint8_t *missing)
{
    double nodata = channel->nodata;
    if (channel->has_nodata && nodata >= 0 && nodata <= 255 && nodata == floor(nodata)) {
        for (size_t i = 0; i < n; i++) {
            missing[i] = (uint8_t)(missing[i] + (plane[i] == (uint8_t)nodata));
        }
    }
}

static pt_status read_bytes(pt_source *source, pt_rect rect, uint8_t *rgb, uint8_t *valid)
{
    const pt_bands *bands = source->bands;
    size_t n = (size_t)pt_rect_area(rect);
    PT_TRY(reserve(source, n, (size_t)bands->count));
    memset(source->missing, 0, n);
    memset(valid, 1, n);
    for (int c = 0; c < bands->count; c++) {
        uint8_t *plane = source->planes + (size_t)c * n;
        PT_TRY(read_band(source, source->channel[c], rect, plane, GDT_Byte, "a band"));
        find_missing_bytes(&bands->channels[c], plane, n, source->missing);
    }
    apply_nodata(source, n, valid);
    PT_TRY(apply_masks(source, rect, valid));
    PT_TRY(pt_coverage_apply(source, rect, valid));
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < 3; k++) {
            int c = bands->count == 3 ? k : 0;
            uint8_t v = source->planes[(size_t)c * n + i];
            rgb[3 * i + (size_t)k] = bands->palette ? bands->palette[v][k] : bands->table[c][v];
        }
        if (bands->palette && bands->palette[source->planes[i]][3] == 0) {
            valid[i] = 0;
        }
    }
    return pt_ok();
}

/* Values that are not finite cannot be shown, whichever channel holds them. */
static void check_values(const pt_channel *channel, double *plane, size_t n, uint8_t *missing, uint8_t *valid)
{
    for (size_t i = 0; i < n; i++) {
        if (channel->is_signed_byte && plane[i] > 127) {
            plane[i] -= 256;
        }
        if (channel->has_nodata &&
            (plane[i] == channel->nodata || (isnan(plane[i]) && isnan(channel->nodata)))) {
            missing[i]++;
        } else if (!isfinite(plane[i])) {
            valid[i] = 0;
        }
    }
}

pt_status pt_source_values(pt_source *source, pt_rect rect, double *values, uint8_t *valid)
{
    const pt_bands *bands = source->bands;
    size_t n = (size_t)pt_rect_area(rect);
    PT_TRY(pt_source_ensure(source));
    PT_TRY(reserve(source, n, 0));
    memset(source->missing, 0, n);
    memset(valid, 1, n);
    for (int c = 0; c < bands->count; c++) {
        double *plane = values + (size_t)c * n;
        PT_TRY(read_band(source, source->channel[c], rect, plane, GDT_Float64, "a band"));
        check_values(&bands->channels[c], plane, n, source->missing, valid);
    }
    apply_nodata(source, n, valid);
    PT_TRY(apply_masks(source, rect, valid));
    return pt_coverage_apply(source, rect, valid);
}

static uint8_t to_byte(const pt_channel *channel, double value)
{
    double v = (value - channel->lo) * 255.0 / (channel->hi - channel->lo);
    return (uint8_t)(v > 0 ? (v < 255 ? v + 0.5 : 255) : 0); /* NaN gives 0 */
}

static pt_status read_values(pt_source *source, pt_rect rect, uint8_t *rgb, uint8_t *valid)
{
    const pt_bands *bands = source->bands;
    size_t n = (size_t)pt_rect_area(rect);
    PT_TRY(reserve(source, n, (size_t)bands->count * sizeof(double)));
    double *values = (double *)source->planes;
    PT_TRY(pt_source_values(source, rect, values, valid));
    for (size_t i = 0; i < n; i++) {
        if (bands->palette) {
            int index = values[i] >= 0 && values[i] < bands->palette_size ? (int)values[i] : 0;
            memcpy(rgb + 3 * i, bands->palette[index], 3);
            valid[i] &= bands->palette[index][3] != 0;
            continue;
        }
        for (int k = 0; k < 3; k++) {
            int c = bands->count == 3 ? k : 0;
            rgb[3 * i + (size_t)k] = to_byte(&bands->channels[c], values[(size_t)c * n + i]);
        }
    }
    return pt_ok();
}

pt_status pt_source_read(pt_source *source, pt_rect rect, uint8_t *rgb, uint8_t *valid)
{
    size_t n = (size_t)pt_rect_area(rect);
    bool empty = false;
    PT_TRY(pt_coverage_is_empty(source, rect, &empty));
    if (empty) {
        memset(valid, 0, n);
        memset(rgb, 0, 3 * n);
        return pt_ok();
    }
    PT_TRY(source->bands->bytes ? read_bytes(source, rect, rgb, valid)
                                : read_values(source, rect, rgb, valid));
    for (size_t i = 0; i < n; i++) {
        if (!valid[i]) {
            memset(rgb + 3 * i, 0, 3); /* so that sums over valid pixels may take all */
        }
    }
    return pt_ok();
}
