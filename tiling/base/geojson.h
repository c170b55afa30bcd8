/* What GDAL does not tell of a GeoJSON file. */
#ifndef PANTILE_TILING_BASE_GEOJSON_H
#define PANTILE_TILING_BASE_GEOJSON_H

#include <stdbool.h>

/* Whether the file on disk says "crs": null before its features, as the writer does for pixel coordinates: by
 * the format's older definition (GeoJSON 2008, section 3) the file then has no CRS. GDAL takes such a file
 * for WGS 84 like one that says nothing. False when it cannot be read. */
bool pt_geojson_has_null_crs(const char *path);

#endif
