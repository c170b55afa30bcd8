#include "tiling/scene/internal.h"

#include <string.h>

pt_scene_options pt_scene_defaults(void)
{
    return (pt_scene_options){.gsd_mode = PT_GSD_AUTO, .fill = {124, 116, 104}};
}

pt_status pt_drivers_list(const pt_scene_options *options, char ***out)
{
    static const char *const ours[] = {"GTiff", "COG", "VRT", "JP2OpenJPEG", "PNG", "JPEG"};
    enum { OURS = sizeof ours / sizeof *ours };
    pt_gdal_start();
    char **list = pt_calloc(OURS + options->driver_count + 1, sizeof *list);
    if (!list) {
        return PT_NOMEM("the list of drivers");
    }
    for (size_t i = 0; i < OURS + options->driver_count; i++) {
        const char *name = i < OURS ? ours[i] : options->drivers[i - OURS];
        pt_status status = pt_ok();
        if (i >= OURS && !GDALGetDriverByName(name)) {
            status = pt_error(PT_E_USAGE, "this GDAL has no driver %s; gdalinfo --formats lists them", name);
        } else if (!(list[i] = pt_strdup(name))) {
            status = PT_NOMEM("the list of drivers");
        }
        if (status.code != PT_OK) {
            pt_drivers_free(list);
            return status;
        }
    }
    *out = list;
    return pt_ok();
}

void pt_drivers_free(char **drivers)
{
    for (size_t i = 0; drivers && drivers[i]; i++) {
        pt_free(drivers[i]);
    }
    pt_free(drivers);
}

static pt_status refuse_empty(GDALDatasetH dataset, const char *shown)
{
    if (GDALGetRasterCount(dataset) > 0) {
        return pt_ok();
    }
    char **parts = GDALGetMetadata(dataset, "SUBDATASETS");
    const char *first = parts ? strchr(parts[0], '=') : NULL;
    if (first) {
        return pt_error(PT_E_INPUT, "%s: holds several images; name one, such as %s", shown, first + 1);
    }
    return pt_error(PT_E_INPUT, "%s: has no bands; check how it was made with gdalinfo", shown);
}

static void describe_file(GDALDatasetH dataset, pt_scene *scene)
{
    pt_scene_info *info = &scene->info;
    info->path = scene->shown;
    info->driver = GDALGetDriverShortName(GDALGetDatasetDriver(dataset));
    info->native_width = GDALGetRasterXSize(dataset);
    info->native_height = GDALGetRasterYSize(dataset);
    info->band_count = GDALGetRasterCount(dataset);
}

static void describe_bands(pt_scene *scene)
{
    pt_scene_info *info = &scene->info;
    const pt_bands *bands = &scene->bands;
    info->type = GDALGetDataTypeName(bands->channels[0].type);
    for (int i = 0; i < 3; i++) {
        const pt_channel *channel = &bands->channels[bands->count == 3 ? i : 0];
        info->bands[i] = channel->band;
        info->range_lo[i] = channel->lo;
        info->range_hi[i] = channel->hi;
    }
    bool clear = false;
    for (int i = 0; i < bands->palette_size; i++) {
        clear |= bands->palette[i][3] == 0;
    }
    info->has_mask = bands->alpha || bands->mask || bands->nodata || clear;
}

/* Everything that depends on the whole scene. */
static pt_status inspect(GDALDatasetH dataset, pt_scene *scene)
{
    pt_scene_info *info = &scene->info;
    PT_TRY(refuse_empty(dataset, scene->shown));
    describe_file(dataset, scene);
    PT_TRY(pt_bands_choose(dataset, &scene->options, scene->shown, &scene->bands));
    PT_TRY(pt_gsd_settle(dataset, &scene->options, info));
    scene->level = pt_level_choose(dataset, &scene->bands, (double)info->width, (double)info->height);
    PT_TRY(pt_intact_check(dataset, scene->name, scene->shown, &scene->bands, -1));
    if (scene->level >= 0) {
        PT_TRY(pt_intact_check(dataset, scene->name, scene->shown, &scene->bands, scene->level));
    }
    PT_TRY(pt_parts_find(dataset, scene));
    PT_TRY(pt_range_settle(dataset, scene));
    describe_bands(scene);
    return pt_aoi_settle(&scene->options, info, &scene->aoi, &info->area);
}

pt_status pt_scene_check_arguments(const char *const *paths, size_t count, const pt_scene_options *options)
{
    if (!paths || count == 0 || !options) {
        return pt_error(PT_E_USAGE, "no scene was named; give at least one raster file");
    }
    for (size_t i = 0; i < count; i++) {
        if (!paths[i] || !paths[i][0]) {
            return pt_error(PT_E_USAGE, "a scene's name is empty; give the path of a raster file");
        }
    }
    return pt_ok();
}

pt_status pt_scene_open(const char *const *paths, size_t count, const pt_scene_options *options,
                        pt_scene **out)
{
    pt_status status = pt_scene_check_arguments(paths, count, options);
    if (status.code != PT_OK) {
        return status;
    }
    GDALDatasetH dataset = NULL;
    pt_scene *scene = pt_calloc(1, sizeof *scene);
    if (!scene) {
        return PT_NOMEM("a scene");
    }
    scene->options = *options;
    PT_TRY_OUT(pt_drivers_list(options, &scene->drivers));
    scene->shown = pt_strdup(paths[0]);
    if (count > 1) {
        PT_TRY_OUT(
            pt_mosaic_describe(paths, count, options, (const char *const *)scene->drivers, &scene->name));
    } else {
        scene->name = pt_gdal_name(paths[0]);
    }
    if (!scene->shown || !scene->name) {
        status = PT_NOMEM("a scene's name");
        goto out;
    }
    PT_TRY_OUT(pt_gdal_open(scene->name, scene->shown, (const char *const *)scene->drivers, &dataset));
    pt_gdal_log log;
    pt_gdal_watch(&log);
    status = inspect(dataset, scene);
    GDALClose(dataset);
    pt_gdal_unwatch();
    if (status.code == PT_OK) {
        scene->options.drivers = NULL;
        scene->options.driver_count = 0;
        scene->options.aoi = NULL;
        *out = scene;
        scene = NULL;
    }
out:
    pt_scene_close(&scene);
    return status;
}

void pt_scene_close(pt_scene **scene)
{
    pt_scene *s = *scene;
    if (!s) {
        return;
    }
    pt_aoi_fini(&s->aoi);
    pt_parts_fini(&s->parts);
    pt_bands_fini(&s->bands);
    pt_drivers_free(s->drivers);
    pt_free(s->info.georef.wkt);
    pt_free(s->shown);
    pt_free(s->name);
    pt_free(s);
    *scene = NULL;
}

const pt_scene_info *pt_scene_describe(const pt_scene *scene)
{
    return &scene->info;
}
