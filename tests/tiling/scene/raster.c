#include "raster.h"

#include <cpl_error.h>
#include <cpl_string.h>
#include <ogr_api.h>
#include <ogr_srs_api.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

raster utm_raster(const char *path, int w, int h, int bands)
{
    return (raster){.path = path,
                    .width = w,
                    .height = h,
                    .bands = bands,
                    .epsg = 32633,
                    .transform = {500000, 0.5, 0, 5000000, 0, -0.5}};
}

double raster_ramp(int band, int x, int y)
{
    return band == 1 ? 2.0 * x : band == 2 ? 2.0 * y : 7;
}

double raster_pattern(int band, int x, int y)
{
    unsigned h = (unsigned)x * 73856093U ^ (unsigned)y * 19349663U ^ (unsigned)band * 83492791U;
    h ^= h >> 13;
    h *= 0x5bd1e995U;
    h ^= h >> 15;
    return 1 + h % 255;
}

GDALDatasetH raster_create(const raster *r)
{
    GDALAllRegister();
    GDALDataType type = r->type == GDT_Unknown ? GDT_Byte : r->type;
    GDALDatasetH dataset = GDALCreate(GDALGetDriverByName("GTiff"), r->path, r->width, r->height, r->bands,
                                      type, (char **)r->options);
    assert_non_null(dataset);
    if (r->transform[1] != 0 || r->transform[2] != 0) {
        assert_int_equal(GDALSetGeoTransform(dataset, (double *)r->transform), CE_None);
    }
    if (r->epsg) {
        OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
        assert_int_equal(OSRImportFromEPSG(crs, r->epsg), OGRERR_NONE);
        assert_int_equal(GDALSetSpatialRef(dataset, crs), CE_None);
        OSRDestroySpatialReference(crs);
    }
    double *row = malloc((size_t)r->width * sizeof *row);
    for (int b = 1; b <= r->bands && !r->blank; b++) {
        for (int y = 0; y < r->height; y++) {
            for (int x = 0; x < r->width; x++) {
                row[x] = (r->value ? r->value : raster_pattern)(b, x, y);
            }
            assert_int_equal(GDALRasterIO(GDALGetRasterBand(dataset, b), GF_Write, 0, y, r->width, 1, row,
                                          r->width, 1, GDT_Float64, 0, 0),
                             CE_None);
        }
    }
    free(row);
    return dataset;
}

void raster_make(const raster *r)
{
    GDALClose(raster_create(r));
}

void raster_fill(GDALDatasetH dataset, int band, int x, int y, int w, int h, double value)
{
    assert_int_equal(
        GDALRasterIO(GDALGetRasterBand(dataset, band), GF_Write, x, y, w, h, &value, 1, 1, GDT_Float64, 0, 0),
        CE_None);
}

void raster_overviews(const char *path, int count, const int *factors)
{
    GDALDatasetH dataset = GDALOpen(path, GA_Update);
    assert_non_null(dataset);
    assert_int_equal(GDALBuildOverviews(dataset, "AVERAGE", count, (int *)factors, 0, NULL, NULL, NULL),
                     CE_None);
    GDALClose(dataset);
}

void vector_make(const char *path, const char *driver, int epsg, const char *const *wkts, int count,
                 const int *classes)
{
    GDALAllRegister();
    GDALDatasetH dataset = GDALCreate(GDALGetDriverByName(driver), path, 0, 0, 0, GDT_Unknown, NULL);
    assert_non_null(dataset);
    OGRSpatialReferenceH crs = NULL;
    if (epsg) {
        crs = OSRNewSpatialReference(NULL);
        assert_int_equal(OSRImportFromEPSG(crs, epsg), OGRERR_NONE);
        OSRSetAxisMappingStrategy(crs, OAMS_TRADITIONAL_GIS_ORDER);
    }
    OGRLayerH layer = GDALDatasetCreateLayer(dataset, "shapes", crs, wkbUnknown, NULL);
    assert_non_null(layer);
    if (classes) {
        OGRFieldDefnH field = OGR_Fld_Create("class_id", OFTInteger);
        assert_int_equal(OGR_L_CreateField(layer, field, TRUE), OGRERR_NONE);
        OGR_Fld_Destroy(field);
    }
    for (int i = 0; i < count; i++) {
        OGRFeatureH feature = OGR_F_Create(OGR_L_GetLayerDefn(layer));
        char *text = (char *)wkts[i];
        OGRGeometryH geometry = NULL;
        assert_int_equal(OGR_G_CreateFromWkt(&text, NULL, &geometry), OGRERR_NONE);
        OGR_F_SetGeometryDirectly(feature, geometry);
        if (classes) {
            OGR_F_SetFieldInteger(feature, 0, classes[i]);
        }
        assert_int_equal(OGR_L_CreateFeature(layer, feature), OGRERR_NONE);
        OGR_F_Destroy(feature);
    }
    GDALClose(dataset);
    OSRDestroySpatialReference(crs);
}

pt_status try_open(const char *path, const pt_scene_options *options)
{
    pt_scene_options defaults = pt_scene_defaults();
    pt_scene *scene = NULL;
    pt_status status = pt_scene_open(&path, 1, options ? options : &defaults, &scene);
    pt_scene_close(&scene);
    return status;
}

pt_scene *scene_open(const char *path, const pt_scene_options *options)
{
    pt_scene_options defaults = pt_scene_defaults();
    pt_scene *scene = NULL;
    pt_status status = pt_scene_open(&path, 1, options ? options : &defaults, &scene);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    return scene;
}

pt_window scene_read(const pt_scene *scene, pt_rect rect)
{
    pt_scene_reader *reader = NULL;
    pt_window window = {0};
    pt_status status = pt_scene_reader_open(scene, &reader);
    if (status.code == PT_OK) {
        status = pt_scene_reader_read(reader, rect, &window);
    }
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    pt_scene_reader_close(&reader);
    return window;
}

void assert_status(pt_status status, pt_code code, const char *name, const char *remedy)
{
    if (status.code != code || !strstr(status.message, name) || !strstr(status.message, remedy) ||
        strchr(status.message, '\n')) {
        fail_msg("expected %s with \"%s\" and \"%s\", got %s: %s", pt_code_name(code), name, remedy,
                 pt_code_name(status.code), status.message);
    }
}
