/* Polygons -> a vector file, visible under its name only once it is whole.
 *
 * The format follows the ending: .geojson or .json (RFC 7946), .geojsonl, .geojsons or .ndjson (one feature a
 * line, GeoJSONSeq), .gpkg, .fgb.
 *
 * GeoJSON and GeoJSONSeq are in WGS 84 longitude / latitude with at most 7 decimals, cut at the antimeridian,
 * and valid as rounded. GeoPackage and FlatGeobuf keep the CRS of the first source; later sources are brought
 * to it; their geometries are multipolygons throughout. Exteriors run counter-clockwise, holes clockwise, in
 * every format and however a scene's transform mirrors. Straight edges stay straight in the file's CRS.
 *
 * A scene without CRS gives pixel coordinates with 3 decimals and y negated (row 0 is the top, and y down
 * would mirror it in every viewer); area_m2 and perimeter_m are null; GeoJSON then says "crs": null, which
 * readers respect, and the other formats a CRS of their own for "none". Sources with and without CRS do not
 * mix.
 *
 * Properties, in this order: id (1, 2, ... in the order written), class, score (4 decimals), area_m2
 * (geodesic, without holes, 2 decimals), perimeter_m (geodesic, all rings, 2 decimals), tiles, merged,
 * truncated.
 *
 * The same features give the same bytes. FlatGeobuf orders features by place, the others as written.
 *
 * Life cycle:
 *   pt_writer_open(path, &options, &writer)   refuses an existing file unless options.overwrite
 *   pt_writer_source(writer, &georef)         where the following features' pixels lie; again for each scene
 *   pt_writer_write(writer, &feature)         in the order in which they shall stand in the file
 *   pt_writer_commit(writer)                  flush, fsync, rename; only now PATH exists, or is replaced
 *   pt_writer_close(&writer)                  without commit: removes the partial file, leaves PATH alone
 *
 * A killed process leaves at most a hidden partial file, ".NAME.partial-...", which the next open of the same
 * output on the same machine removes. Not thread-safe.
 */
#ifndef PANTILE_TILING_WRITER_WRITER_H
#define PANTILE_TILING_WRITER_WRITER_H

#include "tiling/base/base.h"
#include "tiling/instance/feature.h"
#include "tiling/instance/georef.h"

typedef struct pt_writer pt_writer;

typedef struct pt_writer_options {
    bool overwrite;
    const char *const *class_names; /* borrowed until close; class_names[class_id] */
    size_t class_count;
    const char *layer; /* layer name of GeoPackage and FlatGeobuf; NULL: "objects" */
} pt_writer_options;

pt_writer_options pt_writer_defaults(void);

/* PT_E_USAGE: unknown ending; PT_E_EXISTS; PT_E_WRITE: folder missing or read-only; PT_E_NOSPACE. */
pt_status pt_writer_open(const char *path, const pt_writer_options *options, pt_writer **out);

/* PT_E_INPUT: a CRS that cannot be read or reached, or with and without CRS mixed. */
pt_status pt_writer_source(pt_writer *writer, const pt_georef *georef);

/* Empty features, and those that vanish in rounding (with a warning), are left out and take no id. A class
 * without a name is called class_N. PT_E_INPUT: the feature lies outside what the CRS covers; PT_E_WRITE,
 * PT_E_NOSPACE: the writer is then spent, and every later call repeats the error. */
pt_status pt_writer_write(pt_writer *writer, const pt_feature *feature);

/* A property of a feature that is no detected object. */
typedef struct pt_property {
    const char *name, *text; /* borrowed; text NULL: null */
    int64_t integer;
    double real;
    enum { PT_PROPERTY_TEXT, PT_PROPERTY_INTEGER, PT_PROPERTY_REAL } kind;
    int decimals; /* of `real`; 1 to 7 */
} pt_property;

/* A feature of the caller's own kind: these properties, in this order, in place of the usual ones. Where the
 * CRS is not defined it is written without a geometry (RFC 7946, section 3.2). GeoJSON and GeoJSONSeq alone,
 * PT_E_USAGE otherwise; other errors as pt_writer_write. */
pt_status pt_writer_write_with(pt_writer *writer, const pt_feature *feature, const pt_property *properties,
                               size_t count);
/* PT_E_USAGE when the path does not end like GeoJSON or GeoJSONSeq. */
pt_status pt_writer_check_json(const char *path);

/* Also without any source or feature: a valid empty file. PT_E_EXISTS: PATH has come up meanwhile. */
pt_status pt_writer_commit(pt_writer *writer);
void pt_writer_close(pt_writer **writer);
int64_t pt_writer_count(const pt_writer *writer); /* features written so far */

/* Draws features over a picture of the scene and writes a PNG (atomically too).
 *   pt_overlay_new(rgb, w, h, sx, sy, &overlay)   copies the picture: RGBRGB..., rows without padding;
 *                                                 sx, sy = picture pixels per scene pixel
 *   pt_overlay_draw(overlay, &feature)            a light fill, dark-edged outlines, a colour per class
 *   pt_overlay_save(overlay, path, overwrite)     errors as pt_writer_open and pt_writer_commit
 *   pt_overlay_free(&overlay)
 */
typedef struct pt_overlay pt_overlay;
pt_status pt_overlay_new(const uint8_t *rgb, int width, int height, double scale_x, double scale_y,
                         pt_overlay **out);
pt_status pt_overlay_draw(pt_overlay *overlay, const pt_feature *feature);
/* PT_E_USAGE when pt_overlay_save would not take the name. */
pt_status pt_overlay_check(const char *path);
pt_status pt_overlay_save(pt_overlay *overlay, const char *path, bool overwrite);
void pt_overlay_free(pt_overlay **overlay);

#endif
