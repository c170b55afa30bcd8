#include "tests/worker/fixture.h"

#include "tests/tiling/scene/raster.h"

#include <cpl_vsi.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int scene_seed;

static double quarter(int band, int x, int y)
{
    bool nothing = x < FIXTURE_SIDE / 2 && y < FIXTURE_SIDE / 2;
    return nothing ? 0 : 1 + (x * 3 + y * 5 + band + scene_seed) % 200;
}

void fixture_scene(const char *path, int seed)
{
    raster r = utm_raster(path, FIXTURE_SIDE, FIXTURE_SIDE, 3);
    r.value = quarter;
    scene_seed = seed;
    GDALDatasetH dataset = raster_create(&r);
    for (int b = 1; b <= 3; b++) {
        GDALSetRasterNoDataValue(GDALGetRasterBand(dataset, b), 0);
    }
    GDALClose(dataset);
}

void fixture_truth(const char *path)
{
    enum { SQUARES = 81 };
    static char text[SQUARES][160];
    const char *shapes[SQUARES];
    for (int i = 0; i < SQUARES; i++) {
        double x = 500002 + i % 9 * 17, y = 4999998 - i / 9 * 17, d = 3 + i % 4;
        snprintf(text[i], sizeof text[i], "POLYGON((%.1f %.1f,%.1f %.1f,%.1f %.1f,%.1f %.1f,%.1f %.1f))", x,
                 y, x + d, y, x + d, y - d, x, y - d, x, y);
        shapes[i] = text[i];
    }
    VSIUnlink(path);
    vector_make(path, "GPKG", 32633, shapes, SQUARES, NULL);
}

static void must(pt_status status)
{
    assert_string_equal(status.message, "");
}

static void add_group(pt_job_spec *spec, const char *path)
{
    pt_job_group *group = NULL;
    pt_scene_options options = pt_worker_scene_options(spec, NULL, NULL);
    pt_scene *scene = NULL;
    must(pt_scene_open(&path, 1, &options, &scene));
    const pt_scene_info *info = pt_scene_describe(scene);
    must(pt_job_spec_add_group(spec, &group));
    must(pt_job_spec_add_text(&group->paths, &group->path_count, path));
    group->width = info->width;
    group->height = info->height;
    memcpy(group->range_lo, info->range_lo, sizeof group->range_lo);
    memcpy(group->range_hi, info->range_hi, sizeof group->range_hi);
    must(pt_scene_fingerprint(scene, group->fingerprint));
    pt_scene_close(&scene);
}

pt_job_spec fixture_spec(const char *const *scenes, size_t count, const char *truth)
{
    pt_job_spec spec = {.scene = {.gsd_mode = PT_GSD_NATIVE, .fill = {1, 2, 3}},
                        .grid = {FIXTURE_TILE, FIXTURE_OVERLAP, FIXTURE_LATTICE},
                        .engine = {.kind = truth ? PT_ENGINE_ORACLE : PT_ENGINE_NULL},
                        .output = {.attempts = 3}};
    must(pt_job_spec_set_text(&spec.program, PANTILE_VERSION));
    must(pt_job_spec_set_text(&spec.engine.backend, "auto"));
    must(pt_job_spec_set_text(&spec.output.format, "GeoJSON"));
    must(pt_job_spec_set_text(&spec.engine.path, truth));
    must(pt_worker_engine_sha256(spec.engine.kind, truth, spec.engine.sha256));
    for (size_t i = 0; i < count; i++) {
        add_group(&spec, scenes[i]);
    }
    return spec;
}

pt_worker_access fixture_access(void)
{
    static const char *const urls[] = {"/vsimem/"};
    return (pt_worker_access){.root = "/nowhere", .urls = urls, .url_count = 1, .threads = 1};
}
