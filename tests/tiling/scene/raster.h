/* Small rasters and vector files for the scene tests, made in GDAL's memory (/vsimem/). */
#ifndef PANTILE_TESTS_TILING_SCENE_RASTER_H
#define PANTILE_TESTS_TILING_SCENE_RASTER_H

#include "tiling/scene/scene.h"

#include <gdal.h>

typedef struct raster {
    const char *path;
    int width, height, bands;
    GDALDataType type;                       /* GDT_Unknown: Byte */
    const char *options[8];                  /* creation options */
    int epsg;                                /* 0: no CRS */
    double transform[6];                     /* all zero: none */
    bool blank;                              /* write no pixel */
    double (*value)(int band, int x, int y); /* NULL: raster_pattern */
} raster;

/* Pixels of half a metre in UTM zone 33N. */
raster utm_raster(const char *path, int w, int h, int bands);
/* Bands that rise with the column, with the row, and not at all. */
double raster_ramp(int band, int x, int y);
/* A busy pattern that tells columns, rows and bands apart. */
double raster_pattern(int band, int x, int y);

/* Creates the GTiff; the caller finishes and closes it. */
GDALDatasetH raster_create(const raster *r);
void raster_make(const raster *r); /* creates and closes */
void raster_fill(GDALDatasetH dataset, int band, int x, int y, int w, int h, double value);
void raster_overviews(const char *path, int count, const int *factors);

/* A one-layer GeoJSON of the given WKT polygons in EPSG:4326-order-free text: `crs` is an EPSG code or 0. */
void vector_make(const char *path, const char *driver, int epsg, const char *const *wkts, int count,
                 const int *classes);

pt_scene *scene_open(const char *path, const pt_scene_options *options);
/* Reads a window of a scene through a reader of its own. */
pt_window scene_read(const pt_scene *scene, pt_rect rect);
pt_status try_open(const char *path, const pt_scene_options *options);

/* Fails the test unless the status has this code and its message holds both texts. */
void assert_status(pt_status status, pt_code code, const char *name, const char *remedy);

#endif
