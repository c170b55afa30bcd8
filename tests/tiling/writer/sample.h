/* Helpers of the writer tests: a scratch folder, scenes and features. */
#ifndef PANTILE_TESTS_TILING_WRITER_SAMPLE_H
#define PANTILE_TESTS_TILING_WRITER_SAMPLE_H

#include "tiling/writer/writer.h"

#include <ogr_api.h>

extern char scratch[]; /* a folder of this test's own, made by scratch_make and emptied by scratch_clear */
int scratch_make(void **state);
int scratch_remove(void **state);
void scratch_clear(void);
size_t scratch_files(void);                 /* files in it, hidden ones too */
const char *scratch_path(const char *name); /* valid until the next call but three */

/* A scene at (x, y) in EPSG:epsg, `pixel` CRS units a pixel; epsg 0: no CRS. wkt owned. */
pt_georef sample_georef(int epsg, double x, double y, double pixel);
void sample_georef_free(pt_georef *georef);

/* A w x h rectangle at (x, y) with a hole a third of its size in the middle. */
pt_feature sample_feature(double x, double y, double w, double h);
/* Two rectangles. */
pt_feature sample_pair(double x, double y, double w, double h);
void sample_add_ring(pt_feature *feature, size_t polygon, const double *xy, size_t count);

void must(pt_status status);             /* be good */
bool wound_right(OGRGeometryH geometry); /* exteriors counter-clockwise, holes clockwise */
bool same_bytes(const char *path, const char *other);

#endif
