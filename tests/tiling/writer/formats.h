/* What the tests that hold for every format share. */
#ifndef PANTILE_TESTS_TILING_WRITER_FORMATS_H
#define PANTILE_TESTS_TILING_WRITER_FORMATS_H

#include "sample.h"

#include <gdal.h>

enum { FORMATS = 7 };
extern const char *const class_names[3];

bool keeps_crs(int format); /* else it is GeoJSON, in WGS 84 */
const char *path_for(int format);
/* Overwrites; class_names. */
pt_writer_options format_options(void);
/* georef NULL: a file without a source. */
void write_all(const char *path, const pt_georef *georef, const pt_feature *features, size_t count);
/* The file's only layer, which must have `count` features; close the file with GDALClose. */
OGRLayerH open_layer(const char *path, GDALDatasetH *file, int64_t count);

#endif
