/* GeoPackage and FlatGeobuf, through OGR. */
#include "tiling/writer/capture.h"
#include "tiling/writer/sink.h"

#include <cpl_conv.h>
#include <errno.h>
#include <gdal.h>
#include <sys/statvfs.h>
#include <unistd.h>

typedef struct ogr_sink {
    pt_sink base;
    const char *driver;
    char *layer_name;
    GDALDatasetH file;
    OGRLayerH layer;
    int64_t written; /* features */
    int64_t bytes;   /* about what their geometries and attributes take */
} ogr_sink;

enum { ID, CLASS, SCORE, AREA, PERIMETER, TILES, MERGED, TRUNCATED };

static const struct {
    const char *name;
    OGRFieldType type;
    OGRFieldSubType subtype;
} fields[] = {
    [ID] = {"id", OFTInteger64, OFSTNone},
    [CLASS] = {"class", OFTString, OFSTNone},
    [SCORE] = {"score", OFTReal, OFSTNone},
    [AREA] = {"area_m2", OFTReal, OFSTNone},
    [PERIMETER] = {"perimeter_m", OFTReal, OFSTNone},
    [TILES] = {"tiles", OFTInteger, OFSTNone},
    [MERGED] = {"merged", OFTInteger, OFSTBoolean},
    [TRUNCATED] = {"truncated", OFTInteger, OFSTBoolean},
};

/* A fixed date makes GeoPackages of the same features the same bytes. Journal and syncs guard a database that
 * must survive a crash; a partial file is thrown away then, and is synced as a whole before it gets its name.
 */
static const char *const settings[][2] = {
    {"OGR_CURRENT_DATE", "1970-01-01T00:00:00.000Z"},
    {"OGR_SQLITE_SYNCHRONOUS", "OFF"},
    {"OGR_SQLITE_JOURNAL", "OFF"},
};

static void enter(pt_capture *capture)
{
    pt_capture_begin(capture);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        CPLSetThreadLocalConfigOption(settings[i][0], settings[i][1]);
    }
}

static void leave(void)
{
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        CPLSetThreadLocalConfigOption(settings[i][0], NULL);
    }
    pt_capture_end();
}

/* FlatGeobuf's driver says "unexpected I/O failure" of a full disk, and removes its temporary file before
 * anyone can see that it was full. It needs twice what it is given. */
static bool lacks_space(const ogr_sink *s)
{
    struct statvfs disk;
    return statvfs(s->base.partial->folder, &disk) == 0 && disk.f_blocks > 0 &&
           (double)disk.f_bavail * (double)disk.f_frsize < 2.0 * (double)s->bytes;
}

/* GDAL's failure as ours. */
static pt_status failed(const ogr_sink *s, const pt_capture *capture)
{
    bool full = capture->no_space || lacks_space(s);
    return pt_partial_failed(s->base.partial, full ? ENOSPC : 0, capture->message);
}

static bool create_fields(OGRLayerH layer)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        OGRFieldDefnH field = OGR_Fld_Create(fields[i].name, fields[i].type);
        OGR_Fld_SetSubType(field, fields[i].subtype);
        bool made = OGR_L_CreateField(layer, field, 1) == OGRERR_NONE;
        OGR_Fld_Destroy(field);
        if (!made) {
            return false;
        }
    }
    return true;
}

static bool create(ogr_sink *s, OGRSpatialReferenceH crs)
{
    unlink(s->base.partial->temp); /* the drivers insist on creating it themselves */
    GDALDriverH driver = GDALGetDriverByName(s->driver);
    s->file = driver ? GDALCreate(driver, s->base.partial->temp, 0, 0, 0, GDT_Unknown, NULL) : NULL;
    if (!s->file) {
        return false;
    }
    OGRSpatialReferenceH none = NULL;
    if (!crs) {
        /* Without one, GeoPackage would say "undefined geographic", which pixels are not. */
        none = OSRNewSpatialReference(NULL);
        OSRSetLocalCS(none, "Undefined Cartesian SRS");
    }
    s->layer = GDALDatasetCreateLayer(s->file, s->layer_name, crs ? crs : none, wkbMultiPolygon, NULL);
    OSRDestroySpatialReference(none);
    /* One transaction: without it every feature would be one. Formats without transactions refuse,
     * harmlessly. */
    return s->layer && create_fields(s->layer) &&
           (!GDALDatasetTestCapability(s->file, ODsCTransactions) ||
            GDALDatasetStartTransaction(s->file, 0) == OGRERR_NONE);
}

static pt_status ogr_start(pt_sink *sink, OGRSpatialReferenceH crs)
{
    ogr_sink *s = (ogr_sink *)sink;
    pt_capture capture;
    enter(&capture);
    bool made = create(s, crs);
    leave();
    return made && !capture.message[0] ? pt_ok() : failed(s, &capture);
}

static bool add(ogr_sink *s, const pt_record *r)
{
    OGRFeatureH feature = OGR_F_Create(OGR_L_GetLayerDefn(s->layer));
    if (!feature) {
        return false;
    }
    OGR_F_SetFieldInteger64(feature, ID, r->id);
    OGR_F_SetFieldString(feature, CLASS, r->class_name);
    OGR_F_SetFieldDouble(feature, SCORE, r->score);
    if (r->measured) {
        OGR_F_SetFieldDouble(feature, AREA, r->area_m2);
        OGR_F_SetFieldDouble(feature, PERIMETER, r->perimeter_m);
    } else {
        OGR_F_SetFieldNull(feature, AREA);
        OGR_F_SetFieldNull(feature, PERIMETER);
    }
    OGR_F_SetFieldInteger(feature, TILES, r->tiles);
    OGR_F_SetFieldInteger(feature, MERGED, r->merged);
    OGR_F_SetFieldInteger(feature, TRUNCATED, r->truncated);
    bool added = OGR_F_SetGeometry(feature, r->geometry) == OGRERR_NONE &&
                 OGR_L_CreateFeature(s->layer, feature) == OGRERR_NONE;
    OGR_F_Destroy(feature);
    return added;
}

static pt_status ogr_write(pt_sink *sink, const pt_record *record)
{
    ogr_sink *s = (ogr_sink *)sink;
    pt_capture capture;
    s->bytes += OGR_G_WkbSize(record->geometry) + 64;
    enter(&capture);
    bool added = add(s, record);
    leave();
    if (!added || capture.message[0]) {
        return failed(s, &capture);
    }
    s->written++;
    return pt_ok();
}

/* Reads the closed file through: FlatGeobuf's driver does not notice all writes that fail. */
static bool read_back(const ogr_sink *s)
{
    GDALDatasetH file = GDALOpenEx(s->base.partial->temp, GDAL_OF_VECTOR | GDAL_OF_READONLY,
                                   (const char *const[]){s->driver, NULL}, NULL, NULL);
    OGRLayerH layer = file ? GDALDatasetGetLayer(file, 0) : NULL;
    int64_t count = layer ? 0 : -1;
    for (OGRFeatureH f = layer ? OGR_L_GetNextFeature(layer) : NULL; f; f = OGR_L_GetNextFeature(layer)) {
        count += OGR_F_GetGeometryRef(f) != NULL;
        OGR_F_Destroy(f);
    }
    if (file) {
        GDALClose(file);
    }
    return count == s->written;
}

static pt_status ogr_finish(pt_sink *sink)
{
    ogr_sink *s = (ogr_sink *)sink;
    pt_capture capture;
    enter(&capture);
    bool whole = !GDALDatasetTestCapability(s->file, ODsCTransactions) ||
                 GDALDatasetCommitTransaction(s->file) == OGRERR_NONE;
    GDALClose(s->file);
    s->file = NULL;
    whole = whole && !capture.message[0] && read_back(s) && !capture.message[0];
    leave();
    return whole ? pt_ok() : failed(s, &capture);
}

static void ogr_free(pt_sink *sink)
{
    ogr_sink *s = (ogr_sink *)sink;
    if (s->file) {
        pt_capture capture;
        enter(&capture);
        GDALClose(s->file);
        leave();
    }
    pt_free(s->layer_name);
    pt_free(s);
}

static const pt_sink_class ogr_class = {ogr_start, ogr_write, ogr_finish, ogr_free, false};

pt_sink *pt_sink_new_ogr(const pt_partial *partial, const char *driver, const char *layer)
{
    ogr_sink *s = pt_calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    s->base = (pt_sink){&ogr_class, partial};
    s->driver = driver;
    s->layer_name = pt_strdup(layer);
    if (!s->layer_name) {
        pt_free(s);
        return NULL;
    }
    return &s->base;
}
