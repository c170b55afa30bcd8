#include "tiling/instance/instance.h"

#include <string.h>

uint16_t pt_score_quantise(float score)
{
    if (!(score > 0)) { /* NaN too */
        return 0;
    }
    return score >= 1 ? UINT16_MAX : (uint16_t)((double)score * UINT16_MAX + 0.5);
}

enum { BLOCK = 32 /* bytes looked at together: most lie far from any edge */ };

/* The first byte at or after x that is set (or, for `set` false, is not); width when there is none. */
static int64_t skip(const uint8_t *row, int64_t width, uint8_t threshold, bool set, int64_t x)
{
    const int wanted = set ? 0 : BLOCK;
    for (; x + BLOCK <= width; x += BLOCK) {
        int count = 0;
        for (int i = 0; i < BLOCK; i++) {
            count += row[x + i] >= threshold;
        }
        if (count != wanted) {
            break;
        }
    }
    while (x < width && (row[x] >= threshold) != set) {
        x++;
    }
    return x;
}

/* The first run of set bytes at or after x: [*x0, *x1). False at the row's end. */
static bool next_run(const uint8_t *row, int64_t width, uint8_t threshold, int64_t x, int64_t *x0,
                     int64_t *x1)
{
    x = skip(row, width, threshold, true, x);
    if (x == width) {
        return false;
    }
    *x0 = x;
    *x1 = skip(row, width, threshold, false, x);
    return true;
}

/* What a first pass over the bytes finds: all relative to the area. */
typedef struct extent {
    size_t spans;
    int64_t x0, x1, y0, y1;
} extent;

static extent measure(pt_rect area, const uint8_t *bytes, ptrdiff_t stride, uint8_t threshold)
{
    extent e = {.x0 = area.w};
    for (int64_t y = 0; y < area.h; y++) {
        const uint8_t *row = bytes + y * stride;
        int64_t x0;
        int64_t x1 = 0;
        for (; next_run(row, area.w, threshold, x1, &x0, &x1); e.spans++) {
            e.y0 = e.spans == 0 ? y : e.y0;
            e.y1 = y + 1;
            e.x0 = x0 < e.x0 ? x0 : e.x0;
            e.x1 = x1 > e.x1 ? x1 : e.x1;
        }
    }
    return e;
}

static pt_status check_area(pt_rect area)
{
    int ignored;
    if (!pt_i64_to_int(area.w, &ignored) || !pt_i64_to_int(area.h, &ignored)) {
        return pt_error(PT_E_INTERNAL, "a mask of %lld x %lld pixels is too large", (long long)area.w,
                        (long long)area.h);
    }
    return pt_ok();
}

pt_status pt_mask_from_bytes(pt_rect area, const uint8_t *bytes, ptrdiff_t stride, uint8_t threshold,
                             pt_mask *out)
{
    PT_TRY(check_area(area));
    extent e = measure(area, bytes, stride, threshold);
    if (e.spans == 0) {
        *out = (pt_mask){0};
        return pt_ok();
    }
    pt_mask mask = {.box = {area.x + e.x0, area.y + e.y0, e.x1 - e.x0, e.y1 - e.y0}, .count = e.spans};
    mask.spans = pt_alloc(e.spans, sizeof *mask.spans);
    if (!mask.spans) {
        return PT_NOMEM("the runs of a mask");
    }
    pt_span *next = mask.spans;
    for (int64_t y = e.y0; y < e.y1; y++) {
        int64_t x0;
        int64_t x1 = 0;
        while (next_run(bytes + y * stride, area.w, threshold, x1, &x0, &x1)) {
            *next++ = (pt_span){(int32_t)(y - e.y0), (int32_t)(x0 - e.x0), (int32_t)(x1 - e.x0)};
            mask.area += x1 - x0;
        }
    }
    *out = mask;
    return pt_ok();
}

pt_status pt_mask_from_rect(pt_rect rect, pt_mask *out)
{
    if (pt_rect_is_empty(rect)) {
        *out = (pt_mask){0};
        return pt_ok();
    }
    PT_TRY(check_area(rect));
    pt_span *spans = pt_alloc((size_t)rect.h, sizeof *spans);
    if (!spans) {
        return PT_NOMEM("the runs of a mask");
    }
    for (int64_t y = 0; y < rect.h; y++) {
        spans[y] = (pt_span){(int32_t)y, 0, (int32_t)rect.w};
    }
    *out = (pt_mask){rect, spans, (size_t)rect.h, rect.w * rect.h};
    return pt_ok();
}

pt_status pt_mask_copy(const pt_mask *mask, pt_mask *out)
{
    if (mask->count == 0) {
        *out = (pt_mask){0};
        return pt_ok();
    }
    pt_span *spans = pt_alloc(mask->count, sizeof *spans);
    if (!spans) {
        return PT_NOMEM("the runs of a mask");
    }
    memcpy(spans, mask->spans, mask->count * sizeof *spans);
    *out = (pt_mask){mask->box, spans, mask->count, mask->area};
    return pt_ok();
}

void pt_mask_fini(pt_mask *mask)
{
    pt_free(mask->spans);
    *mask = (pt_mask){0};
}

bool pt_mask_equal(const pt_mask *a, const pt_mask *b)
{
    if (!pt_rect_equal(a->box, b->box) || a->count != b->count || a->area != b->area) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (a->spans[i].y != b->spans[i].y || a->spans[i].x0 != b->spans[i].x0 ||
            a->spans[i].x1 != b->spans[i].x1) {
            return false;
        }
    }
    return true;
}

/* The first span of row y (absolute) or below; mask->count when there is none. */
static size_t first_span(const pt_mask *mask, int64_t y)
{
    size_t from = 0;
    size_t to = mask->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (mask->box.y + mask->spans[middle].y < y) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

/* Pixels that [a0, a1) and [b0, b1) share. */
static int64_t shared(int64_t a0, int64_t a1, int64_t b0, int64_t b1)
{
    int64_t from = a0 > b0 ? a0 : b0;
    int64_t to = a1 < b1 ? a1 : b1;
    return to > from ? to - from : 0;
}

int64_t pt_mask_area_in(const pt_mask *mask, pt_rect rect)
{
    if (pt_rect_contains(rect, mask->box) && !pt_rect_is_empty(mask->box)) {
        return mask->area;
    }
    rect = pt_rect_intersect(rect, mask->box);
    int64_t area = 0;
    for (size_t i = first_span(mask, rect.y); i < mask->count; i++) {
        const pt_span *s = &mask->spans[i];
        if (mask->box.y + s->y >= rect.y + rect.h) {
            break;
        }
        area += shared(mask->box.x + s->x0, mask->box.x + s->x1, rect.x, rect.x + rect.w);
    }
    return area;
}

int64_t pt_mask_intersection_in(const pt_mask *a, const pt_mask *b, pt_rect rect)
{
    rect = pt_rect_intersect(rect, pt_rect_intersect(a->box, b->box));
    int64_t area = 0;
    size_t i = first_span(a, rect.y);
    size_t j = first_span(b, rect.y);
    while (i < a->count && j < b->count) {
        int64_t ay = a->box.y + a->spans[i].y;
        int64_t by = b->box.y + b->spans[j].y;
        if (ay >= rect.y + rect.h || by >= rect.y + rect.h) {
            break;
        }
        int64_t a1 = a->box.x + a->spans[i].x1;
        int64_t b1 = b->box.x + b->spans[j].x1;
        if (ay == by) {
            int64_t a0 = a->box.x + a->spans[i].x0;
            int64_t b0 = b->box.x + b->spans[j].x0;
            area += shared(a0 > b0 ? a0 : b0, a1 < b1 ? a1 : b1, rect.x, rect.x + rect.w);
        }
        /* The run that ends first can meet nothing more. */
        bool a_first = ay < by || (ay == by && a1 <= b1);
        i += a_first;
        j += !a_first;
    }
    return area;
}

void pt_mask_paint(const pt_mask *mask, pt_rect area, uint8_t *bytes, ptrdiff_t stride, uint8_t value)
{
    pt_rect rect = pt_rect_intersect(area, mask->box);
    for (size_t i = first_span(mask, rect.y); i < mask->count; i++) {
        int64_t y = mask->box.y + mask->spans[i].y;
        if (y >= rect.y + rect.h) {
            break;
        }
        int64_t x0 = mask->box.x + mask->spans[i].x0;
        int64_t x1 = mask->box.x + mask->spans[i].x1;
        int64_t length = shared(x0, x1, rect.x, rect.x + rect.w);
        if (length > 0) {
            int64_t from = x0 > rect.x ? x0 : rect.x;
            memset(bytes + (y - area.y) * stride + (from - area.x), value, (size_t)length);
        }
    }
}

void pt_prob_fini(pt_prob *prob)
{
    pt_free(prob->q);
    *prob = (pt_prob){0};
}

void pt_instance_fini(pt_instance *instance)
{
    pt_mask_fini(&instance->mask);
    pt_prob_fini(&instance->prob);
    *instance = (pt_instance){0};
}

pt_status pt_instance_list_push(pt_instance_list *list, pt_instance *instance)
{
    PT_TRY(pt_grow(&list->items, &list->capacity, list->count + 1, sizeof *list->items));
    list->items[list->count++] = *instance;
    *instance = (pt_instance){0};
    return pt_ok();
}

void pt_instance_list_fini(pt_instance_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        pt_instance_fini(&list->items[i]);
    }
    pt_free(list->items);
    *list = (pt_instance_list){0};
}
