#include "tiling/writer/writer.h"

#include "tiling/writer/capture.h"
#include "tiling/writer/sink.h"

#include <cpl_string.h>
#include <gdal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct pt_writer {
    pt_partial partial;
    pt_sink *sink;
    pt_writer_options options;
    OGRSpatialReferenceH layer_crs; /* owned; of the first source; NULL: none, or none yet */
    pt_ground ground;               /* of the present source */
    bool sourced;                   /* layer_crs and ground are set */
    bool finished;
    pt_status failed; /* the first failure; after it only close helps */
    int64_t count;
};

typedef struct format {
    const char *ending;
    const char *driver; /* NULL: JSON text */
    bool sequence;
} format;

static const format formats[] = {{".geojson", NULL, false},    {".json", NULL, false},
                                 {".geojsonl", NULL, true},    {".geojsons", NULL, true},
                                 {".ndjson", NULL, true},      {".gpkg", "GPKG", false},
                                 {".fgb", "FlatGeobuf", false}};

pt_writer_options pt_writer_defaults(void)
{
    return (pt_writer_options){.layer = "objects"};
}

static const format *find_format(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *ending = strrchr(name, '.');
    for (size_t i = 0; ending && ending != name && i < sizeof formats / sizeof *formats; i++) {
        if (strcasecmp(ending, formats[i].ending) == 0) {
            return &formats[i];
        }
    }
    return NULL;
}

pt_status pt_writer_open(const char *path, const pt_writer_options *options, pt_writer **out)
{
    const format *f = find_format(path);
    if (!f) {
        return pt_error(
            PT_E_USAGE,
            "%s: unknown kind of output; end it in .geojson, .json, .geojsonl, .geojsons, .ndjson, "
            ".gpkg or .fgb",
            path);
    }
    GDALAllRegister();
    pt_writer *w = pt_calloc(1, sizeof *w);
    if (!w) {
        return PT_NOMEM("a writer");
    }
    w->options = *options;
    w->failed = pt_ok();
    pt_status status;
    PT_TRY_OUT(pt_partial_open(path, options->overwrite, &w->partial));
    w->sink = f->driver ? pt_sink_new_ogr(&w->partial, f->driver, options->layer ? options->layer : "objects")
                        : pt_sink_new_json(&w->partial, f->sequence);
    if (!w->sink) {
        status = PT_NOMEM("a writer");
        goto out;
    }
    *out = w;
    w = NULL;
out:
    pt_writer_close(&w);
    return status;
}

static pt_status source(pt_writer *w, const pt_georef *georef)
{
    pt_ground ground = {.crs = NULL};
    PT_TRY(pt_ground_init(georef, w->sourced ? w->layer_crs : NULL, &ground));
    if (w->sourced && !ground.crs != !w->layer_crs) {
        pt_ground_fini(&ground);
        return pt_error(
            PT_E_INPUT,
            "%s: some scenes have a coordinate reference system and some have none; write them to "
            "separate files",
            w->partial.path);
    }
    if (!w->sourced) {
        OGRSpatialReferenceH crs = ground.crs ? OSRClone(ground.crs) : NULL;
        pt_status status = w->sink->class->start(w->sink, crs);
        if (status.code != PT_OK) {
            OSRDestroySpatialReference(crs);
            pt_ground_fini(&ground);
            return status;
        }
        w->layer_crs = crs;
        w->sourced = true;
    }
    pt_ground_fini(&w->ground);
    w->ground = ground;
    return pt_ok();
}

pt_status pt_writer_source(pt_writer *writer, const pt_georef *georef)
{
    PT_TRY(writer->failed);
    pt_capture capture;
    pt_capture_begin(&capture);
    writer->failed = source(writer, georef);
    pt_capture_end();
    return writer->failed;
}

static void name_class(const pt_writer *w, int32_t class_id, char spare[32], const char **out)
{
    const char *name = NULL;
    if (class_id >= 0 && (size_t)class_id < w->options.class_count && w->options.class_names) {
        name = w->options.class_names[class_id];
    }
    snprintf(spare, 32, "class_%d", (int)class_id);
    *out = name && CPLIsUTF8(name, -1) ? name : spare;
}

/* Longitudes and latitudes are needed for the measures whatever the format. */
static pt_status shape_of(const pt_writer *w, const pt_feature *feature, pt_record *record)
{
    pt_points degrees = {0}, target = {0};
    bool text = w->sink->class->geographic, has_crs = w->ground.crs != NULL;
    pt_shape_rules rules = {.spherical = text && has_crs, .decimals = !text ? -1 : has_crs ? 7 : 3};
    pt_status status;
    PT_TRY_OUT(pt_ground_wgs84(&w->ground, feature, &degrees));
    if (!text) {
        PT_TRY_OUT(pt_ground_target(&w->ground, feature, &target));
    }
    record->measured = has_crs;
    if (has_crs) {
        pt_ground_measure(feature, &degrees, &record->area_m2, &record->perimeter_m);
    }
    status = pt_shape_make(feature, text ? &degrees : &target, &rules, &record->geometry);
out:
    pt_points_fini(&degrees);
    pt_points_fini(&target);
    return status;
}

/* A measure as the file shows it, the same in every format. */
static double decimals(double value, int count)
{
    return (double)pt_shape_units(value, count) / (count == 4 ? 1e4 : 1e2);
}

static pt_status write_feature(pt_writer *w, const pt_feature *feature)
{
    char spare[32];
    pt_record record = {.id = w->count + 1,
                        .score = decimals(feature->score_q / 65535.0, 4),
                        .tiles = feature->tiles,
                        .merged = feature->merged,
                        .truncated = feature->truncated};
    name_class(w, feature->class_id, spare, &record.class_name);
    PT_TRY(shape_of(w, feature, &record));
    if (!record.geometry) {
        PT_WARN("an object is too small for the output's coordinates and is left out",
                PT_S("file", w->partial.path), PT_I("x", feature->anchor_x), PT_I("y", feature->anchor_y));
        return pt_ok();
    }
    record.area_m2 = decimals(record.area_m2, 2);
    record.perimeter_m = decimals(record.perimeter_m, 2);
    pt_status status = w->sink->class->write(w->sink, &record);
    OGR_G_DestroyGeometry(record.geometry);
    w->count += status.code == PT_OK;
    return status;
}

static pt_status out_of_turn(const pt_writer *w)
{
    return pt_error(PT_E_USAGE, "%s: features come after pt_writer_source and before pt_writer_commit",
                    w->partial.path);
}

pt_status pt_writer_write(pt_writer *writer, const pt_feature *feature)
{
    PT_TRY(writer->failed);
    if (!writer->sourced || writer->finished) {
        return out_of_turn(writer);
    }
    if (feature->count == 0) {
        return pt_ok();
    }
    pt_capture capture;
    pt_capture_begin(&capture);
    writer->failed = write_feature(writer, feature);
    pt_capture_end();
    return writer->failed;
}

pt_status pt_writer_check_json(const char *path)
{
    const format *f = find_format(path);
    return f && !f->driver ? pt_ok()
                           : pt_error(PT_E_USAGE,
                                      "%s: GeoJSON is what can be written; end it in .geojson, .json, "
                                      ".geojsonl, .geojsons or .ndjson",
                                      path);
}

static pt_status write_own(pt_writer *w, const pt_feature *feature, const pt_property *properties,
                           size_t count)
{
    pt_record record = {.properties = properties, .property_count = count};
    pt_status status = shape_of(w, feature, &record);
    if (status.code != PT_OK && status.code != PT_E_INPUT) {
        return status;
    }
    status = w->sink->class->write(w->sink, &record);
    OGR_G_DestroyGeometry(record.geometry);
    w->count += status.code == PT_OK;
    return status;
}

pt_status pt_writer_write_with(pt_writer *writer, const pt_feature *feature, const pt_property *properties,
                               size_t count)
{
    PT_TRY(writer->failed);
    PT_TRY(pt_writer_check_json(writer->partial.path));
    if (!writer->sourced || writer->finished) {
        return out_of_turn(writer);
    }
    pt_capture capture;
    pt_capture_begin(&capture);
    writer->failed = write_own(writer, feature, properties, count);
    pt_capture_end();
    return writer->failed;
}

static pt_status commit(pt_writer *w)
{
    if (w->finished) {
        return pt_error(PT_E_USAGE, "%s: committed already", w->partial.path);
    }
    if (!w->sourced) {
        PT_TRY(source(w, &(pt_georef){.wkt = NULL}));
    }
    w->finished = true;
    PT_TRY(w->sink->class->finish(w->sink));
    return pt_partial_commit(&w->partial);
}

pt_status pt_writer_commit(pt_writer *writer)
{
    PT_TRY(writer->failed);
    pt_capture capture;
    pt_capture_begin(&capture);
    writer->failed = commit(writer);
    pt_capture_end();
    return writer->failed;
}

void pt_writer_close(pt_writer **writer)
{
    pt_writer *w = *writer;
    if (!w) {
        return;
    }
    if (w->sink) {
        w->sink->class->free(w->sink);
    }
    pt_ground_fini(&w->ground);
    OSRDestroySpatialReference(w->layer_crs);
    pt_partial_close(&w->partial);
    pt_free(w);
    *writer = NULL;
}

int64_t pt_writer_count(const pt_writer *writer)
{
    return writer->count;
}
