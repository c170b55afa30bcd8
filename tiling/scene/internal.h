/* What the files of tiling/scene share. GDAL types stay behind this header.
 *
 * Names used here: a *level* is the full file (-1) or one of its overviews; a *source* is one thread's handle
 * on a level, which yields RGB and validity in level pixels; the *resampler* turns those into scene pixels.
 */
#ifndef PANTILE_TILING_SCENE_INTERNAL_H
#define PANTILE_TILING_SCENE_INTERNAL_H

#include "tiling/scene/scene.h"

#include <gdal.h>
#include <ogr_api.h>
#include <ogr_srs_api.h>

/* --- gdal.c: GDAL itself --- */

enum { PT_GDAL_TEXT = 300 };

/* What GDAL said on this thread between watch and unwatch; nothing of it reaches standard error. */
typedef struct pt_gdal_log {
    int failures, warnings;
    bool made_up;               /* a decoder ran out of bytes, made the rest up and only warned */
    char failure[PT_GDAL_TEXT]; /* the first of each kind, on one line */
    char warning[PT_GDAL_TEXT];
} pt_gdal_log;

void pt_gdal_start(void); /* registers the drivers and settles the block cache, once per process */
void pt_gdal_watch(pt_gdal_log *log);
void pt_gdal_unwatch(void);

/* The name GDAL knows a path by: http(s) URLs get /vsicurl/. Owned by the caller (pt_free); NULL: no memory.
 */
char *pt_gdal_name(const char *path);

/* Whether the name is a file that can be asked about at no cost: on disk or in memory. */
bool pt_gdal_is_local(const char *name);
bool pt_gdal_stat(const char *name, bool *is_folder, uint64_t *bytes); /* false: no such file */

/* Whether the two bytes occur in the last 64 KiB (or the file cannot be read, which others report). */
bool pt_gdal_ends_with_marker(const char *name, const uint8_t marker[2]);

/* `drivers` ends in NULL. `shown` is the name for messages. */
pt_status pt_gdal_open(const char *name, const char *shown, const char *const *drivers, GDALDatasetH *out);

/* --- bands.c: what is read from a file pixel --- */

typedef struct pt_channel {
    int band; /* 1-based */
    GDALDataType type;
    bool is_signed_byte; /* GDAL 3.6 says so in metadata only */
    bool has_nodata;
    double nodata; /* already rounded to the band's own type */
    double lo, hi; /* normalisation: lo becomes 0, hi 255 */
} pt_channel;

typedef struct pt_bands {
    int count; /* distinct channels: 1 (grey, palette) or 3 */
    pt_channel channels[3];
    bool bytes;            /* every channel is unsigned bytes: the fast path, by table */
    uint8_t table[3][256]; /* the normalisation of bytes */
    uint8_t (*palette)[4]; /* owned; red, green, blue, alpha of each index, or NULL */
    int palette_size;
    int alpha; /* band, or 0 */
    double alpha_full;
    bool mask;   /* the file has a mask of its own beside the bands */
    bool nodata; /* some channel has a nodata value */
} pt_bands;

pt_status pt_bands_choose(GDALDatasetH dataset, const pt_scene_options *options, const char *shown,
                          pt_bands *bands);
void pt_bands_set_range(pt_bands *bands, int channel, double lo, double hi); /* after it, the tables hold */
void pt_bands_fini(pt_bands *bands);

/* --- gsd.c: where the pixels are --- */

/* None, a local one, or one that GeoPackage has for "undefined". */
bool pt_gsd_is_no_crs(OGRSpatialReferenceH crs);
/* Whether the file says where its pixels lie: a CRS that is no local one, and a geotransform. */
bool pt_gsd_has_crs(GDALDatasetH dataset);
/* Fills georef (of file pixels), has_crs, native_gsd_*, gsd, width, height, scale_* and scales georef. */
pt_status pt_gsd_settle(GDALDatasetH dataset, const pt_scene_options *options, pt_scene_info *info);

/* --- intact.c --- */

/* PT_E_INPUT when a local GTiff ends before its blocks do, or a JPEG before its end marker. Looks at the
 * bands in use, or at all (bands NULL).
 */
pt_status pt_intact_check(GDALDatasetH dataset, const char *name, const char *shown, const pt_bands *bands,
                          int level);

/* --- level.c --- */

/* The band at a level, or NULL. */
GDALRasterBandH pt_level_band(GDALDatasetH dataset, int band, int level);
/* The mask of the first channel's file at a level, or NULL. */
GDALRasterBandH pt_level_mask(GDALDatasetH dataset, const pt_bands *bands, int level);
/* Whether the level has every band and mask, all of one size. */
bool pt_level_is_complete(GDALDatasetH dataset, const pt_bands *bands, int level);
/* The smallest level that still has at least `width` by `height` pixels and carries every band and mask. */
int pt_level_choose(GDALDatasetH dataset, const pt_bands *bands, double width, double height);

/* --- shape.c: polygons in scene pixels --- */

typedef struct pt_shape_point {
    double x, y;
} pt_shape_point;

typedef struct pt_shape_ring {
    size_t first, count; /* points; the last does not repeat the first */
} pt_shape_ring;

/* One polygon: a pixel is inside by the even-odd rule over all its rings. */
typedef struct pt_shape_polygon {
    size_t first, count; /* rings */
    int64_t object;      /* the feature, counted from 1 in file order */
    int32_t class_id;
    pt_rect box; /* around every pixel whose centre may be inside; unclipped */
} pt_shape_polygon;

typedef struct pt_shapes {
    pt_shape_point *points;
    pt_shape_ring *rings;
    pt_shape_polygon *polygons;
    size_t point_count, ring_count, polygon_count;
    size_t point_capacity, ring_capacity, polygon_capacity;
} pt_shapes;

/* All polygons of a vector file, transformed to the scene's pixels. `densify`: edges are followed while the
 * CRS changes, for large shapes. PT_E_INPUT names the file: missing, not a vector file, no CRS match. */
pt_status pt_shapes_load(const char *path, const pt_georef *georef, bool densify, pt_shapes *shapes);
pt_status pt_shapes_add_ring(pt_shapes *shapes, const pt_shape_point *points, size_t count);
pt_status pt_shapes_end_polygon(pt_shapes *shapes, size_t first_ring, int64_t object, int32_t class_id);
void pt_shapes_fini(pt_shapes *shapes);

/* Room for the crossings of one pixel row; zero it first. */
typedef struct pt_shape_scratch {
    double *crossings;
    size_t capacity;
} pt_shape_scratch;

void pt_shape_scratch_fini(pt_shape_scratch *scratch);

/* Sets to 1 the bytes of `rect` (stride `stride`) whose pixel centres lie in the polygon; *count grows by the
 * bytes that changed. Coordinates stay absolute, so that pieces of a scene agree to the pixel. */
pt_status pt_shape_fill(const pt_shapes *shapes, const pt_shape_polygon *polygon, pt_rect rect,
                        uint8_t *bytes, size_t stride, pt_shape_scratch *scratch, int64_t *count);
bool pt_affine_invert(const double t[6], double out[6]);

/* --- aoi.c --- */

typedef struct pt_aoi {
    bool used;
    pt_shapes regions[2]; /* options.aoi and options.bbox: a pixel must lie in each that is in use */
    bool in_use[2];
} pt_aoi;

/* Fills the AOI and `area`, the box of its pixels. */
pt_status pt_aoi_settle(const pt_scene_options *options, const pt_scene_info *info, pt_aoi *aoi,
                        pt_rect *area);
/* mask: rect.w * rect.h bytes, overwritten: 1 inside; *count: how many. */
pt_status pt_aoi_mask(const pt_aoi *aoi, pt_rect rect, pt_shape_scratch *scratch, uint8_t *mask,
                      uint8_t *spare, int64_t *count);
void pt_aoi_fini(pt_aoi *aoi);

/* --- parts.c: the files behind a VRT --- */

typedef struct pt_part {
    char *name;   /* owned; NULL unless sparse */
    int band;     /* of the file */
    bool sparse;  /* some blocks were never written */
    bool overlay; /* the VRT lets other files show through where this one is invalid */
    double scale_x, offset_x, scale_y, offset_y; /* the file's pixels to the scene's file pixels */
    double clip[4]; /* what of the scene it covers: x0, y0, x1, y1 in file pixels */
} pt_part;

typedef struct pt_parts {
    bool known; /* the items are all there is; false: no VRT, or one whose shape the XML does not tell */
    pt_part *items;
    size_t count, capacity;
} pt_parts;

/* Finds scene->parts when the file is a VRT; PT_E_INPUT names a file behind it that is missing, cut short or
 * of a driver that is not allowed. */
pt_status pt_parts_find(GDALDatasetH dataset, pt_scene *scene);
void pt_parts_fini(pt_parts *parts);

/* --- the scene --- */

struct pt_scene {
    pt_scene_options options; /* no borrowed pointers: drivers and aoi are NULL */
    pt_scene_info info;
    pt_bands bands;
    pt_aoi aoi;
    pt_parts parts;
    int level;
    char *shown;    /* owned; for messages */
    char *name;     /* owned; what GDALOpenEx takes: a path, or the XML of a mosaic */
    char **drivers; /* owned; ends in NULL */
};

/* The allow-list: ours and the options'. PT_E_USAGE names a driver that this GDAL lacks. */
pt_status pt_drivers_list(const pt_scene_options *options, char ***out);
void pt_drivers_free(char **drivers);

pt_status pt_scene_check_arguments(const char *const *paths, size_t count, const pt_scene_options *options);

/* --- mosaic.c --- */

/* The XML of a VRT of the files; PT_E_INPUT names the first that does not fit. Owned by the caller (pt_free).
 */
pt_status pt_mosaic_describe(const char *const *paths, size_t count, const pt_scene_options *options,
                             const char *const *drivers, char **xml);

/* --- source.c --- */

typedef struct pt_source {
    const pt_scene *scene; /* borrowed */
    const char *shown;
    const pt_bands *bands; /* borrowed */
    const pt_parts *parts; /* borrowed */
    const char *const *drivers;
    bool strict;
    GDALDatasetH dataset; /* NULL after a failed read, until the next */
    int level;
    int width, height;               /* level pixels */
    int64_t full_width, full_height; /* file pixels */
    GDALRasterBandH channel[3], alpha, mask;
    uint8_t *planes; /* scratch for the largest read so far: the bands, one after the other */
    size_t plane_capacity;
    uint16_t *spare; /* scratch: alpha or mask */
    size_t spare_capacity;
    uint8_t *missing; /* scratch: how many channels hold nodata */
    size_t missing_capacity;
    uint8_t *covered; /* scratch: where a VRT has written blocks */
    size_t covered_capacity;
    struct {
        GDALDatasetH dataset;
        size_t part;
    } kept[4]; /* files behind a VRT that have holes */
    size_t next_kept;
    bool warned;
} pt_source;

/* Opens its own handle. */
pt_status pt_source_open(const pt_scene *scene, int level, pt_source *source);
void pt_source_close(pt_source *source);
/* Opens the handle again after a failed read; the others do so themselves. */
pt_status pt_source_ensure(pt_source *source);
/* rect in level pixels, inside the level. rgb: 3 bytes a pixel; valid: 1 byte a pixel. Invalid pixels are 0,
 * 0, 0. */
pt_status pt_source_read(pt_source *source, pt_rect rect, uint8_t *rgb, uint8_t *valid);
/* The raw values: planes of rect.w * rect.h doubles, one per channel. */
pt_status pt_source_values(pt_source *source, pt_rect rect, double *values, uint8_t *valid);

/* --- coverage.c: blocks that were never written --- */

/* Turns off the pixels of never-written blocks. */
pt_status pt_coverage_apply(pt_source *source, pt_rect rect, uint8_t *valid);
/* Whether no block of the rectangle was ever written. */
pt_status pt_coverage_is_empty(pt_source *source, pt_rect rect, bool *empty);

/* --- range.c --- */

/* Settles the normalisation of every channel; deterministic, bounded reads. */
pt_status pt_range_settle(GDALDatasetH dataset, pt_scene *scene);

/* --- resample.c --- */

/* A grid of width x height pixels stretched over a source. */
typedef struct pt_resampler {
    pt_source *source; /* borrowed */
    int64_t width, height;
    uint8_t *rgb, *valid; /* scratch: one chunk of source pixels */
    size_t rgb_capacity, valid_capacity;
    uint16_t *rows; /* scratch: source rows, filtered along x: colour, then weight of the valid pixels */
    size_t row_capacity;
    uint32_t *sums;
    size_t sum_capacity;
} pt_resampler;

/* The source pixels that rect draws from. */
pt_rect pt_resampler_source(const pt_resampler *resampler, pt_rect rect);
/* rgb and valid hold rect's pixels with `stride` pixels from row to row. */
pt_status pt_resampler_read(pt_resampler *resampler, pt_rect rect, uint8_t *rgb, uint8_t *valid,
                            size_t stride);
void pt_resampler_fini(pt_resampler *resampler);

#endif
