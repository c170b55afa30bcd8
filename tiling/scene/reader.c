#include "tiling/scene/internal.h"

#include <string.h>

struct pt_scene_reader {
    const pt_scene *scene; /* borrowed */
    pt_source source;
    pt_resampler resampler;
    pt_shape_scratch scratch;
    uint8_t *mask, *spare; /* of the AOI */
    size_t mask_capacity, spare_capacity;
};

pt_status pt_scene_reader_open(const pt_scene *scene, pt_scene_reader **out)
{
    pt_scene_reader *reader = pt_calloc(1, sizeof *reader);
    if (!reader) {
        return PT_NOMEM("a reader");
    }
    reader->scene = scene;
    pt_status status = pt_source_open(scene, scene->level, &reader->source);
    if (status.code != PT_OK) {
        pt_scene_reader_close(&reader);
        return status;
    }
    reader->resampler =
        (pt_resampler){.source = &reader->source, .width = scene->info.width, .height = scene->info.height};
    *out = reader;
    return pt_ok();
}

void pt_scene_reader_close(pt_scene_reader **reader)
{
    pt_scene_reader *r = *reader;
    if (!r) {
        return;
    }
    pt_resampler_fini(&r->resampler);
    pt_source_close(&r->source);
    pt_shape_scratch_fini(&r->scratch);
    pt_free(r->mask);
    pt_free(r->spare);
    pt_free(r);
    *reader = NULL;
}

static pt_status check_rect(const pt_scene_reader *reader, pt_rect rect)
{
    pt_rect all = {0, 0, reader->scene->info.width, reader->scene->info.height};
    if (pt_rect_is_empty(rect) || !pt_rect_contains(all, rect)) {
        return pt_error(PT_E_USAGE,
                        "%s: the window at column %lld, row %lld of %lld x %lld pixels is not inside "
                        "the scene of %lld x %lld",
                        reader->scene->shown, (long long)rect.x, (long long)rect.y, (long long)rect.w,
                        (long long)rect.h, (long long)all.w, (long long)all.h);
    }
    return pt_ok();
}

/* The AOI's mask of rect in reader->mask, and how many pixels it has. */
static pt_status make_mask(pt_scene_reader *reader, pt_rect rect, int64_t *count)
{
    size_t n = (size_t)pt_rect_area(rect);
    PT_TRY(pt_grow(&reader->mask, &reader->mask_capacity, n, 1));
    PT_TRY(pt_grow(&reader->spare, &reader->spare_capacity, n, 1));
    return pt_aoi_mask(&reader->scene->aoi, rect, &reader->scratch, reader->mask, reader->spare, count);
}

pt_status pt_scene_reader_state(pt_scene_reader *reader, pt_rect rect, pt_area_state *out)
{
    PT_TRY(check_rect(reader, rect));
    rect = pt_rect_intersect(rect, reader->scene->info.area);
    if (pt_rect_is_empty(rect)) {
        *out = PT_AREA_OUTSIDE;
        return pt_ok();
    }
    if (reader->scene->aoi.used) {
        int64_t count = 0;
        PT_TRY(make_mask(reader, rect, &count));
        if (count == 0) {
            *out = PT_AREA_OUTSIDE;
            return pt_ok();
        }
    }
    bool empty = false;
    PT_TRY(pt_coverage_is_empty(&reader->source, pt_resampler_source(&reader->resampler, rect), &empty));
    *out = empty ? PT_AREA_EMPTY : PT_AREA_DATA;
    return pt_ok();
}

static pt_status reserve(pt_window *window, pt_rect rect)
{
    size_t n = (size_t)pt_rect_area(rect);
    if (n <= window->capacity) {
        return pt_ok();
    }
    uint8_t *rgb = pt_alloc(n, 3), *valid = pt_alloc(n, 1);
    if (!rgb || !valid) {
        pt_free(rgb);
        pt_free(valid);
        return PT_NOMEM("a window");
    }
    pt_window_fini(window);
    *window = (pt_window){.rgb = rgb, .valid = valid, .capacity = n};
    return pt_ok();
}

static void finish(const pt_scene *scene, pt_window *window)
{
    size_t n = (size_t)pt_rect_area(window->rect);
    window->valid_count = 0;
    for (size_t i = 0; i < n; i++) {
        if (window->valid[i]) {
            window->valid_count++;
        } else {
            memcpy(window->rgb + 3 * i, scene->options.fill, 3);
        }
    }
}

pt_status pt_scene_reader_read(pt_scene_reader *reader, pt_rect rect, pt_window *window)
{
    PT_TRY(check_rect(reader, rect));
    PT_TRY(reserve(window, rect));
    const pt_scene *scene = reader->scene;
    window->rect = rect;
    window->valid_count = 0;
    memset(window->valid, 0, (size_t)pt_rect_area(rect));
    pt_rect part = pt_rect_intersect(rect, scene->info.area); /* beyond it nothing is read */
    int64_t count = pt_rect_area(part);
    if (scene->aoi.used && count > 0) {
        PT_TRY(make_mask(reader, part, &count));
    }
    if (count > 0) {
        size_t at = (size_t)((part.y - rect.y) * rect.w + (part.x - rect.x)), stride = (size_t)rect.w;
        PT_TRY(pt_resampler_read(&reader->resampler, part, window->rgb + 3 * at, window->valid + at, stride));
        for (int64_t y = 0; scene->aoi.used && y < part.h; y++) {
            for (int64_t x = 0; x < part.w; x++) {
                window->valid[at + (size_t)(y * rect.w + x)] &= reader->mask[y * part.w + x];
            }
        }
    }
    finish(scene, window);
    return pt_ok();
}

void pt_window_fini(pt_window *window)
{
    pt_free(window->rgb);
    pt_free(window->valid);
    *window = (pt_window){0};
}
