#include "formats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <gdal.h>
#include <stdio.h>
#include <unistd.h>

const char *const class_names[3] = {"background", "building", "a \"quoted\\\" fi\xc3\xa9ld"};
static const char *const endings[FORMATS] = {"geojson", "json", "geojsonl", "geojsons",
                                             "ndjson",  "gpkg", "fgb"};

bool keeps_crs(int format)
{
    return format >= 5;
}

pt_writer_options format_options(void)
{
    pt_writer_options o = pt_writer_defaults();
    o.overwrite = true;
    o.class_names = class_names;
    o.class_count = 3;
    return o;
}

const char *path_for(int format)
{
    char name[32];
    snprintf(name, sizeof name, "out.%s", endings[format]);
    return scratch_path(name);
}

void write_all(const char *path, const pt_georef *georef, const pt_feature *features, size_t count)
{
    pt_writer_options o = format_options();
    pt_writer *writer = NULL;
    unlink(path);
    must(pt_writer_open(path, &o, &writer));
    if (georef) {
        must(pt_writer_source(writer, georef));
    }
    for (size_t i = 0; i < count; i++) {
        must(pt_writer_write(writer, &features[i]));
    }
    assert_int_equal(pt_writer_count(writer), count);
    assert_int_not_equal(access(path, F_OK), 0);
    must(pt_writer_commit(writer));
    pt_writer_close(&writer);
    assert_null(writer);
    assert_int_equal(access(path, F_OK), 0);
}

OGRLayerH open_layer(const char *path, GDALDatasetH *file, int64_t count)
{
    *file = GDALOpenEx(path, GDAL_OF_VECTOR, NULL, NULL, NULL);
    assert_non_null(*file);
    OGRLayerH layer = GDALDatasetGetLayer(*file, 0);
    assert_non_null(layer);
    assert_int_equal(OGR_L_GetFeatureCount(layer, 1), count);
    return layer;
}
