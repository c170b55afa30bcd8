#include "worker/detect/place.h"

#include <string.h>

void pt_placer_fini(pt_placer *placer)
{
    pt_free(placer->bytes);
    memset(placer, 0, sizeof *placer);
}

static pt_status reserve_bytes(pt_placer *placer, pt_rect area)
{
    return pt_grow(&placer->bytes, &placer->byte_capacity, (size_t)pt_rect_area(area), 1);
}

/* Zeroes bytes of `area` where the window is invalid. */
static void clear_invalid(const pt_window *window, pt_rect area, uint8_t *bytes)
{
    if (window->valid_count == pt_rect_area(window->rect)) {
        return;
    }
    for (int64_t y = 0; y < area.h; y++) {
        const uint8_t *valid =
            window->valid + (area.y - window->rect.y + y) * window->rect.w + (area.x - window->rect.x);
        uint8_t *row = bytes + y * area.w;
        for (int64_t x = 0; x < area.w; x++) {
            row[x] = valid[x] ? row[x] : 0;
        }
    }
}

static bool touches_scene_edge(pt_rect box, pt_rect scene)
{
    return box.x <= scene.x || box.y <= scene.y || box.x + box.w >= scene.x + scene.w ||
           box.y + box.h >= scene.y + scene.h;
}

/* Whether the run or one of its eight-neighbours inside the window is invalid. */
static bool run_meets_invalid(const pt_window *window, int64_t x0, int64_t x1, int64_t y)
{
    pt_rect around = pt_rect_intersect((pt_rect){x0 - 1, y - 1, x1 - x0 + 2, 3}, window->rect);
    for (int64_t row = 0; row < around.h; row++) {
        const uint8_t *valid =
            window->valid + (around.y - window->rect.y + row) * window->rect.w + (around.x - window->rect.x);
        if (memchr(valid, 0, (size_t)around.w)) {
            return true;
        }
    }
    return false;
}

static bool is_truncated(const pt_mask *mask, const pt_window *window, pt_rect scene)
{
    if (touches_scene_edge(mask->box, scene)) {
        return true;
    }
    if (window->valid_count == pt_rect_area(window->rect)) {
        return false;
    }
    for (size_t i = 0; i < mask->count; i++) {
        const pt_span *s = &mask->spans[i];
        if (run_meets_invalid(window, mask->box.x + s->x0, mask->box.x + s->x1, mask->box.y + s->y)) {
            return true;
        }
    }
    return false;
}

/* Keeps the probabilities around the mask, one pixel more on each side: `area` may be far larger. */
static pt_status keep_probabilities(pt_rect box, pt_rect area, const uint8_t *bytes, pt_prob *out)
{
    pt_rect kept = pt_rect_intersect(pt_rect_margin(box, 1), area);
    uint8_t *q = pt_alloc((size_t)pt_rect_area(kept), 1);
    if (!q) {
        return PT_NOMEM("a mask's probabilities");
    }
    for (int64_t y = 0; y < kept.h; y++) {
        memcpy(q + y * kept.w, bytes + (kept.y - area.y + y) * area.w + (kept.x - area.x), (size_t)kept.w);
    }
    out->box = kept;
    out->q = q;
    return pt_ok();
}

/* placer->bytes over `area` hold q, or 0 and 1 when `threshold` is 1 and no probabilities are wanted. */
static pt_status append_instance(pt_placer *placer, const pt_window *window, pt_rect area, uint8_t threshold,
                                 int32_t class_id, float score, pt_instance_list *out)
{
    pt_instance instance = {.class_id = class_id, .score = score};
    clear_invalid(window, area, placer->bytes);
    pt_status status = pt_mask_from_bytes(area, placer->bytes, (ptrdiff_t)area.w, threshold, &instance.mask);
    if (status.code == PT_OK && instance.mask.area > 0) {
        instance.truncated = is_truncated(&instance.mask, window, placer->scene);
        if (threshold == PT_PROB_HALF) {
            status = keep_probabilities(instance.mask.box, area, placer->bytes, &instance.prob);
        }
        if (status.code == PT_OK) {
            status = pt_instance_list_push(out, &instance);
        }
        if (status.code == PT_OK) {
            return status;
        }
    }
    pt_instance_fini(&instance);
    return status;
}

pt_status pt_place_detection(pt_placer *placer, const pt_window *window, const pt_detection *detection,
                             int mask_size, pt_instance_list *out)
{
    int width = (int)window->rect.w;
    int height = (int)window->rect.h;
    pt_rect area = pt_engine_paste_area(detection, mask_size, width, height);
    if (pt_rect_is_empty(area)) {
        return pt_ok();
    }
    /* One pixel of zeros around, where the window has it: outlines at sub-pixel accuracy need both sides. */
    area = pt_rect_intersect(pt_rect_margin(area, 1), (pt_rect){0, 0, width, height});
    PT_TRY(reserve_bytes(placer, area));
    pt_engine_paste_bytes(detection, mask_size, area, placer->bytes);
    area = pt_rect_shift(area, window->rect.x, window->rect.y);
    return append_instance(placer, window, area, PT_PROB_HALF, detection->class_id, detection->score, out);
}

pt_status pt_place_mask(pt_placer *placer, const pt_window *window, pt_rect area, const uint8_t *bytes,
                        int32_t class_id, float score, pt_instance_list *out)
{
    PT_TRY(reserve_bytes(placer, area));
    memcpy(placer->bytes, bytes, (size_t)pt_rect_area(area));
    return append_instance(placer, window, area, 1, class_id, score, out);
}
