/* Polygons -> a vector file, visible under its name only once it is whole.
 *
 * The format follows the ending: .geojson or .json (RFC 7946), .geojsonl, .geojsons or .ndjson (one feature a
 * line, GeoJSONSeq), .gpkg, .fgb. GeoJSON and GeoJSONSeq are in WGS 84 longitude / latitude, right-handed, at
 * most 7 decimals, split at the antimeridian; GeoPackage and FlatGeobuf keep the scene's CRS. Scenes without
 * CRS give pixel coordinates (y down in GeoJSON would mirror every viewer, so y is written negative: row 0 is
 * the top) and no area_m2.
 *
 * Properties: id (1, 2, ... in the order written), class, score, area_m2 (geodesic), perimeter_m (geodesic),
 * tiles, merged, truncated.
 *
 * Life cycle:
 *   pt_writer_open(path, &options, &writer)     refuses an existing file unless options.overwrite
 *   pt_writer_source(writer, &georef)           where the following features' pixels lie; again for each
 * scene pt_writer_write(writer, &feature)           in the order in which they shall stand in the file
 *   pt_writer_commit(writer)                    flush, fsync, rename; only now PATH exists (or is replaced)
 *   pt_writer_close(&writer)                    without commit: removes the partial file, leaves PATH as it
 * was Not thread-safe.
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

/* PT_E_EXISTS, PT_E_WRITE (folder missing or read-only, unknown ending: PT_E_USAGE), PT_E_NOSPACE. */
pt_status pt_writer_open(const char *path, const pt_writer_options *options, pt_writer **out);
pt_status pt_writer_source(pt_writer *writer, const pt_georef *georef);
pt_status pt_writer_write(pt_writer *writer, const pt_feature *feature);
pt_status pt_writer_commit(pt_writer *writer);
void pt_writer_close(pt_writer **writer);
int64_t pt_writer_count(const pt_writer *writer); /* features written so far */

/* Draws features over a picture of the scene and writes a PNG (atomically too).
 *   pt_overlay_new(rgb, w, h, scale, &overlay)   copies the picture; `scale` = picture pixels per scene pixel
 *   pt_overlay_draw(overlay, &feature)
 *   pt_overlay_save(overlay, path, overwrite); pt_overlay_free(&overlay) */
typedef struct pt_overlay pt_overlay;
pt_status pt_overlay_new(const uint8_t *rgb, int width, int height, double scale_x, double scale_y,
                         pt_overlay **out);
pt_status pt_overlay_draw(pt_overlay *overlay, const pt_feature *feature);
pt_status pt_overlay_save(pt_overlay *overlay, const char *path, bool overwrite);
void pt_overlay_free(pt_overlay **overlay);

#endif
