#include "tiling/scene/internal.h"

#include <math.h>
#include <string.h>

pt_status pt_scene_preview(const pt_scene *scene, int side, uint8_t **rgb, int *width, int *height)
{
    if (side < 1) {
        return pt_error(PT_E_USAGE, "a preview needs at least one pixel a side, not %d", side);
    }
    double w = (double)scene->info.width, h = (double)scene->info.height;
    double shrink = fmax(1, fmax(w, h) / side);
    pt_rect all = {0, 0, (int64_t)fmax(1, round(w / shrink)), (int64_t)fmax(1, round(h / shrink))};
    size_t n = (size_t)pt_rect_area(all);
    pt_source source = {0};
    pt_resampler resampler = {0};
    pt_status status = pt_ok();
    uint8_t *pixels = pt_alloc(n, 3), *valid = pt_alloc(n, 1);
    if (!pixels || !valid) {
        status = PT_NOMEM("a preview");
        goto out;
    }
    int level = -1;
    PT_TRY_OUT(pt_source_open(scene, -1, &source));
    level = pt_level_choose(source.dataset, &scene->bands, (double)all.w, (double)all.h);
    if (level >= 0) {
        pt_source_close(&source);
        PT_TRY_OUT(pt_source_open(scene, level, &source));
    }
    resampler = (pt_resampler){.source = &source, .width = all.w, .height = all.h};
    PT_TRY_OUT(pt_resampler_read(&resampler, all, pixels, valid, (size_t)all.w));
    for (size_t i = 0; i < n; i++) {
        if (!valid[i]) {
            memcpy(pixels + 3 * i, scene->options.fill, 3);
        }
    }
    *rgb = pixels;
    *width = (int)all.w;
    *height = (int)all.h;
    pixels = NULL;
out:
    pt_resampler_fini(&resampler);
    pt_source_close(&source);
    pt_free(pixels);
    pt_free(valid);
    return status;
}
