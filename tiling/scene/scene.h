/* A raster as the pipeline sees it: RGB bytes on a pixel grid at the model's ground sample distance.
 *
 * "Scene pixels" are the pixels after resampling; every other folder speaks of them alone. A window read
 * twice, whole or in parts, gives the same bytes. Opening decides everything that depends on the whole scene:
 * bands, normalisation range, resampling, area of interest. Reading only reads.
 *
 * Shrinking averages over the exact area of a scene pixel, from the smallest overview that is no coarser than
 * the scene; enlarging is bilinear. A scene pixel is valid when half of its area or more is.
 *
 * Life cycle:
 *   pt_scene_open(paths, n, &options, &scene)     inspects; cheap in memory; one or more files as one mosaic
 *   pt_scene_reader_open(scene, &reader)          one per thread: own GDAL handles
 *   pt_scene_reader_state(reader, rect, &state)   is there anything to read?
 *   pt_scene_reader_read(reader, rect, &window)   the window's buffers are reused by the next read into it
 *   pt_window_fini; pt_scene_reader_close; pt_scene_close (after its readers)
 * A pt_scene may be queried from any thread; a reader belongs to one thread at a time.
 *
 * Vector files for a scene without CRS are in its pixels with y negated: row 0 is the top and y points up, as
 * the writer has it and as QGIS shows such a scene, so that an output may be fed back. A GeoJSON that says
 * "crs": null, as the writer does, has no CRS.
 */
#ifndef PANTILE_TILING_SCENE_SCENE_H
#define PANTILE_TILING_SCENE_SCENE_H

#include "tiling/base/base.h"
#include "tiling/base/sha256.h"
#include "tiling/instance/georef.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pt_scene pt_scene;
typedef struct pt_scene_reader pt_scene_reader;

typedef enum pt_gsd_mode {
    PT_GSD_AUTO,   /* the model's GSD; native when the scene is within 10% of it or has no CRS */
    PT_GSD_NATIVE, /* no resampling */
    PT_GSD_VALUE,  /* options.gsd metres */
} pt_gsd_mode;

typedef struct pt_scene_options {
    const char *const *drivers; /* GDAL driver names allowed beside GTiff, COG, VRT, JP2OpenJPEG, PNG, JPEG */
    size_t driver_count;
    int bands[3]; /* 1-based source bands for red, green, blue; bands[0] == 0: choose (colour interpretation,
                     then 1,2,3; one band is grey or palette) */
    bool has_range; /* map [range_lo, range_hi] to 0..255; else 8-bit as it is, others by 2-98% percentiles */
    double range_lo, range_hi;
    bool has_known_range; /* what another opening of the same files decided (its info), instead of percentiles
                             sampled anew */
    double known_lo[3], known_hi[3];
    pt_gsd_mode gsd_mode;
    double gsd;       /* metres, for PT_GSD_VALUE; a scene within 1% of it is read as it is */
    double model_gsd; /* metres, for PT_GSD_AUTO; 0: unknown, then native */
    const char *aoi;  /* vector file whose polygons bound the area of interest, or NULL */
    bool has_bbox;
    double bbox[4]; /* min x, min y, max x, max y in the scene's CRS (without CRS columns and rows, rows
                       counted downwards) */
    bool require_crs;
    bool plain;      /* nobody asks where the pixels lie: a missing CRS is no cause for a warning */
    bool strict;     /* GDAL warnings during a read fail the tile */
    uint8_t fill[3]; /* what invalid pixels hold: the model's mean as bytes */
} pt_scene_options;

pt_scene_options pt_scene_defaults(void);

typedef struct pt_scene_info {
    const char *path;                    /* the first file (or the only one) */
    const char *driver;                  /* GDAL's short name */
    const char *type;                    /* GDAL's name of the sample type: Byte, UInt16, Float32, ... */
    int64_t native_width, native_height; /* file pixels */
    int band_count;
    int bands[3];                      /* those used; for grey and palette all three name the same band */
    double native_gsd_x, native_gsd_y; /* metres on the ground at the centre; 0 without CRS */
    int64_t width, height;             /* scene pixels (after resampling) */
    double gsd;                        /* metres of a scene pixel: geometric mean of x and y; 0 without CRS */
    double scale_x, scale_y;           /* file pixels per scene pixel */
    double range_lo[3], range_hi[3];   /* normalisation used; 0, 255 for bytes */
    bool has_crs, has_mask;            /* has_mask: alpha, mask band, nodata or a transparent palette entry */
    pt_georef georef;                  /* of scene pixels */
    pt_rect area; /* scene pixels that may matter: the whole scene, or the box of AOI and bbox */
} pt_scene_info;

/* PT_E_INPUT names the file and the remedy: missing, not a raster, driver not allowed, no bands, cut short,
 * mosaic parts that do not fit, AOI that is empty or outside. */
pt_status pt_scene_open(const char *const *paths, size_t count, const pt_scene_options *options,
                        pt_scene **out);
void pt_scene_close(pt_scene **scene);
const pt_scene_info *pt_scene_describe(const pt_scene *scene); /* valid until close */

/* Every file that GDAL reads for the scene, in a fixed order: those of a mosaic, those behind a VRT,
 * overviews and masks beside them; by the names that GDAL knows them by (/vsicurl/... for URLs). A sink's
 * failure ends the listing and is returned. */
typedef pt_status pt_scene_file_sink(void *user, const char *name);
pt_status pt_scene_files(const pt_scene *scene, pt_scene_file_sink *sink, void *user);

/* Every name that a VRT gives to what it reads, and those that VRTs among them give, from their text alone:
 * told before anything of that name is opened, so that a sink's failure keeps it closed. A name may come
 * twice, and need not be a file's ("vrt://...", XML). Nothing for other files. */
pt_status pt_scene_named(const char *path, pt_scene_file_sink *sink, void *user);

/* Length of what GDAL takes before the name of a TIFF to choose one of its images, "GTIFF_DIR:2:", or with
 * "off:" before the number; 0 for other names. */
size_t pt_scene_before_file(const char *name);

/* Tells scenes apart by what their files hold: SHA-256 over size and samples (both ends, and places spread
 * evenly between them) of each of pt_scene_files. Names, folders and times do not matter, nor do GDAL's own
 * notes (.aux.xml), which it may write when asked for statistics. It is no proof that every byte is the same.
 * PT_E_INPUT names the file that cannot be read. */
pt_status pt_scene_fingerprint(const pt_scene *scene, uint8_t out[PT_SHA256_BYTES]);

/* SHA-256 of all bytes of a file by any name that GDAL reads (a URL too): for layers. */
pt_status pt_scene_layer_sha256(const char *path, uint8_t out[PT_SHA256_BYTES]);

/* A mosaic's parts lie over each other in the order given, the last on top where it is valid.
 *
 * Splits files into groups that touch or overlap and agree in CRS, pixel size, bands and type; each group is
 * to be opened as one scene, so that objects across file borders are whole. groups[i] is the group of
 * paths[i], numbered 0 .. *group_count - 1 in the order of first appearance. PT_E_INPUT also when some have a
 * CRS and some none, which no output could hold together. */
pt_status pt_scene_group(const char *const *paths, size_t count, const pt_scene_options *options,
                         size_t *groups, size_t *group_count);

typedef enum pt_area_state {
    PT_AREA_DATA,    /* may hold valid pixels */
    PT_AREA_OUTSIDE, /* no pixel in the AOI or bbox */
    PT_AREA_EMPTY,   /* inside, but the file never wrote these blocks */
} pt_area_state;

/* RGB pixels of a rectangle of the scene. */
typedef struct pt_window {
    pt_rect rect;   /* scene pixels; lies inside the scene */
    uint8_t *rgb;   /* owned; rect.h rows of rect.w pixels, interleaved R G B, no padding */
    uint8_t *valid; /* owned; rect.w * rect.h bytes, 1 valid, 0 not (nodata, alpha 0, mask, outside the AOI);
                       invalid pixels of rgb hold options.fill */
    int64_t valid_count;
    size_t capacity; /* pixels allocated */
} pt_window;

pt_status pt_scene_reader_open(const pt_scene *scene, pt_scene_reader **out);
void pt_scene_reader_close(pt_scene_reader **reader);
pt_status pt_scene_reader_state(pt_scene_reader *reader, pt_rect rect, pt_area_state *out);
/* PT_E_READ: may succeed when tried again, also with the same reader (names file, window and GDAL's reason).
 * PT_E_TILE: never will. PT_E_USAGE: the rectangle is empty or not inside the scene. */
pt_status pt_scene_reader_read(pt_scene_reader *reader, pt_rect rect, pt_window *window);
void pt_window_fini(pt_window *window);

/* The whole scene shrunk to at most `side` pixels each way, for a picture; free with pt_free. */
pt_status pt_scene_preview(const pt_scene *scene, int side, uint8_t **rgb, int *width, int *height);

/* A vector layer burnt into scene pixels, for the oracle detector. Objects are numbered from 1 in file order;
 * a pixel belongs to a polygon when its centre lies inside.
 * The class is the attribute "class_id" when the layer has it, else 1. The layer may be in any CRS; it is
 * held in memory. Burning in pieces gives the same pixels as burning the whole.
 *
 *   pt_burner_open(path, scene, &burner)     one per thread; PT_E_INPUT names the file
 *   pt_burner_burn(burner, rect, callback)   calls back once for each object with at least one pixel in rect
 */
typedef struct pt_burner pt_burner;
/* `bytes` covers `area` (inside rect), 1 where the object is, 0 elsewhere; valid during the call. */
typedef pt_status pt_burn_sink(void *user, int64_t object, int32_t class_id, pt_rect area,
                               const uint8_t *bytes);
pt_status pt_burner_open(const char *path, const pt_scene *scene, pt_burner **out);
pt_status pt_burner_burn(pt_burner *burner, pt_rect rect, pt_burn_sink *sink, void *user);
void pt_burner_close(pt_burner **burner);

#endif
