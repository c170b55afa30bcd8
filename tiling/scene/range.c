#include "tiling/scene/internal.h"

#include <math.h>
#include <string.h>

/* The sample: the finest level of at most SIDE x SIDE pixels, whole; else a lattice of CELLS x CELLS windows
 * of SIDE / CELLS pixels each over the full file. Either is fixed by the file alone. */
enum { SIDE = 2048, CELLS = 16, CELL = SIDE / CELLS };

static const double low_share = 0.02, high_share = 0.98;

typedef struct sample {
    double *values[3]; /* per channel, valid pixels alone */
    size_t count, capacity[3];
    double *planes; /* one window */
    size_t plane_capacity;
    uint8_t *valid;
    size_t valid_capacity;
} sample;

static void sample_fini(sample *s)
{
    for (int c = 0; c < 3; c++) {
        pt_free(s->values[c]);
    }
    pt_free(s->planes);
    pt_free(s->valid);
    *s = (sample){0};
}

static pt_status add_window(pt_source *source, pt_rect rect, sample *s)
{
    size_t n = (size_t)pt_rect_area(rect), channels = (size_t)source->bands->count;
    PT_TRY(pt_grow(&s->planes, &s->plane_capacity, n * channels, sizeof(double)));
    PT_TRY(pt_grow(&s->valid, &s->valid_capacity, n, 1));
    for (size_t c = 0; c < channels; c++) {
        PT_TRY(pt_grow(&s->values[c], &s->capacity[c], s->count + n, sizeof(double)));
    }
    PT_TRY(pt_source_values(source, rect, s->planes, s->valid));
    for (size_t i = 0; i < n; i++) {
        if (s->valid[i]) {
            for (size_t c = 0; c < channels; c++) {
                s->values[c][s->count] = s->planes[c * n + i];
            }
            s->count++;
        }
    }
    return pt_ok();
}

/* Rows of windows, so that no window is larger than it must be. */
static pt_status sample_whole(pt_source *source, sample *s)
{
    enum { ROWS = 128 };
    pt_rect all = {0, 0, source->width, source->height};
    for (int64_t y = 0; y < all.h; y += ROWS) {
        PT_TRY(add_window(source, pt_rect_intersect((pt_rect){0, y, all.w, ROWS}, all), s));
    }
    return pt_ok();
}

/* A window in the middle of each cell, moved back to the corner of its block to read as few blocks as may be.
 */
static pt_status sample_lattice(pt_source *source, sample *s)
{
    int bw = 1, bh = 1;
    GDALGetBlockSize(source->channel[0], &bw, &bh);
    pt_rect all = {0, 0, source->width, source->height};
    for (int64_t j = 0; j < CELLS; j++) {
        for (int64_t i = 0; i < CELLS; i++) {
            int64_t x = (2 * i + 1) * all.w / (2L * CELLS), y = (2 * j + 1) * all.h / (2L * CELLS);
            x = bw >= CELL && bw < all.w ? x / bw * bw : x;
            y = bh >= CELL && bh < all.h ? y / bh * bh : y;
            pt_rect window = pt_rect_intersect((pt_rect){x, y, CELL, CELL}, all);
            PT_TRY(add_window(source, window, s));
        }
    }
    return pt_ok();
}

/* The k-th smallest (Hoare's selection); reorders. Middle pivots keep sorted and constant input quick. */
static double select_kth(double *v, size_t n, size_t k)
{
    size_t lo = 0, hi = n - 1;
    while (lo < hi) {
        double pivot = v[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;
        for (;;) {
            while (v[i] < pivot) {
                i++;
            }
            while (v[j] > pivot) {
                j--;
            }
            if (i >= j) {
                break;
            }
            double t = v[i];
            v[i++] = v[j];
            v[j--] = t;
        }
        if (k <= j) {
            hi = j;
        } else {
            lo = j + 1;
        }
    }
    return v[k];
}

static void settle_channel(pt_bands *bands, int c, sample *s)
{
    size_t last = s->count - 1;
    double lo = select_kth(s->values[c], s->count, (size_t)llround(low_share * (double)last));
    double hi = select_kth(s->values[c], s->count, (size_t)llround(high_share * (double)last));
    if (!(hi > lo)) {
        hi = lo + 1; /* a constant band: all black */
    }
    pt_bands_set_range(bands, c, lo, hi);
}

static int sample_level(GDALDatasetH dataset, const pt_bands *bands)
{
    GDALRasterBandH full = GDALGetRasterBand(dataset, bands->channels[0].band);
    int best = -1;
    int64_t most = 0;
    for (int i = 0; i < GDALGetOverviewCount(full); i++) {
        GDALRasterBandH band = GDALGetOverview(full, i);
        int64_t w = GDALGetRasterBandXSize(band), h = GDALGetRasterBandYSize(band);
        if (w <= SIDE && h <= SIDE && w * h > most && pt_level_is_complete(dataset, bands, i)) {
            best = i;
            most = w * h;
        }
    }
    return best;
}

static pt_status take_sample(const pt_scene *scene, int level, sample *s)
{
    pt_source source = {0};
    PT_TRY(pt_source_open(scene, level, &source));
    bool small = source.width <= SIDE && source.height <= SIDE;
    pt_status status = small ? sample_whole(&source, s) : sample_lattice(&source, s);
    pt_source_close(&source);
    return status;
}

static pt_status take_known(pt_bands *bands, const pt_scene_options *options, const char *shown)
{
    for (int c = 0; c < bands->count; c++) {
        double lo = options->known_lo[c], hi = options->known_hi[c];
        if (!(hi > lo) || !isfinite(hi - lo)) {
            return pt_error(PT_E_INPUT, "%s: the known range %g,%g of channel %d is empty", shown, lo, hi,
                            c + 1);
        }
        pt_bands_set_range(bands, c, lo, hi);
    }
    return pt_ok();
}

pt_status pt_range_settle(GDALDatasetH dataset, pt_scene *scene)
{
    pt_bands *bands = &scene->bands;
    const pt_scene_options *options = &scene->options;
    if (options->has_range) {
        if (!(options->range_hi > options->range_lo) || !isfinite(options->range_hi - options->range_lo)) {
            return pt_error(PT_E_USAGE, "the range %g,%g is empty; give the lower value first",
                            options->range_lo, options->range_hi);
        }
        for (int c = 0; c < bands->count; c++) {
            pt_bands_set_range(bands, c, options->range_lo, options->range_hi);
        }
        return pt_ok();
    }
    if (bands->bytes || bands->palette) {
        return pt_ok();
    }
    if (options->has_known_range) {
        return take_known(bands, options, scene->shown);
    }
    sample s = {0};
    int level = sample_level(dataset, bands);
    pt_status status = take_sample(scene, level, &s);
    if (status.code == PT_OK && s.count == 0) {
        PT_WARN("no valid pixel in the sample; give --range lo,hi", PT_S("file", scene->shown));
    }
    for (int c = 0; status.code == PT_OK && s.count > 0 && c < bands->count; c++) {
        settle_channel(bands, c, &s);
    }
    sample_fini(&s);
    return status;
}
