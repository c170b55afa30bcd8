/* Private to tiling/writer: the formats. Each takes finished records and puts them into the partial file. */
#ifndef PANTILE_TILING_WRITER_SINK_H
#define PANTILE_TILING_WRITER_SINK_H

#include "tiling/writer/partial.h"
#include "tiling/writer/shape.h"
#include "tiling/writer/writer.h"

typedef struct pt_record {
    int64_t id;
    const char *class_name; /* UTF-8 */
    double score;           /* 4 decimals */
    bool measured;          /* false: area_m2 and perimeter_m are null */
    double area_m2, perimeter_m;
    int32_t tiles;
    bool merged, truncated;
    OGRGeometryH geometry; /* borrowed: a multipolygon; NULL with `properties` alone: it has no place */
    const pt_property *properties; /* borrowed; NULL: those above */
    size_t property_count;
} pt_record;

typedef struct pt_sink pt_sink;

typedef struct pt_sink_class {
    /* Once, before write and finish; `crs` NULL: pixel coordinates. */
    pt_status (*start)(pt_sink *sink, OGRSpatialReferenceH crs);
    pt_status (*write)(pt_sink *sink, const pt_record *record);
    /* Ends and closes the file; every error so far has been told when it returns. */
    pt_status (*finish)(pt_sink *sink);
    /* At any time, once. */
    void (*free)(pt_sink *sink);
    bool geographic; /* wants WGS 84 longitude and latitude, rounded; else the scene's CRS */
} pt_sink_class;

struct pt_sink {
    const pt_sink_class *class;
    const pt_partial *partial; /* borrowed */
};

/* A format's new sink; NULL when out of memory. */
pt_sink *pt_sink_new_json(const pt_partial *partial, bool sequence);
pt_sink *pt_sink_new_ogr(const pt_partial *partial, const char *driver, const char *layer);

#endif
