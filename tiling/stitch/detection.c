#include "tiling/stitch/parts.h"

#include <string.h>

bool pt_box_is_cut(const pt_grid *grid, pt_rect w, pt_rect box, int64_t edge)
{
    /* Sides at the scene's edge have no neighbour: there the rectangle goes on for ever. */
    const int64_t far = (int64_t)1 << 40;
    int64_t left = w.x > 0 ? w.x + edge : -far;
    int64_t top = w.y > 0 ? w.y + edge : -far;
    int64_t right = w.x + w.w < grid->width ? w.x + w.w - edge : far;
    int64_t bottom = w.y + w.h < grid->height ? w.y + w.h - edge : far;
    return box.x < left || box.y < top || box.x + box.w > right || box.y + box.h > bottom;
}

static const char *fault_of(const pt_instance *instance, pt_rect window)
{
    if (instance->class_id < 1) {
        return "has no class";
    }
    if (!(instance->score >= 0 && instance->score <= 1)) {
        return "has a score outside 0 to 1";
    }
    if (instance->mask.count == 0) {
        return "has an empty mask";
    }
    if (!pt_rect_contains(window, instance->mask.box)) {
        return "has a mask outside the tile's window";
    }
    if (instance->prob.q && !pt_rect_contains(instance->prob.box, instance->mask.box)) {
        return "has probabilities that do not cover its mask";
    }
    return NULL;
}

pt_status pt_instances_check(const pt_grid *grid, int64_t tile, const pt_instance_list *list)
{
    pt_rect window = pt_grid_window(grid, tile);
    for (size_t i = 0; i < list->count; i++) {
        const char *fault = fault_of(&list->items[i], window);
        if (fault) {
            return pt_error(PT_E_INTERNAL, "tile %lld: detection %zu of %zu %s", (long long)tile, i,
                            list->count, fault);
        }
    }
    return pt_ok();
}

static int compare_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_rects(pt_rect a, pt_rect b)
{
    int order = compare_i64(a.y, b.y);
    order = order ? order : compare_i64(a.x, b.x);
    order = order ? order : compare_i64(a.h, b.h);
    return order ? order : compare_i64(a.w, b.w);
}

int pt_mask_compare(const pt_mask *a, const pt_mask *b)
{
    int order = compare_rects(a->box, b->box);
    order = order ? order : compare_i64(a->area, b->area);
    order = order ? order : compare_i64((int64_t)a->count, (int64_t)b->count);
    for (size_t i = 0; !order && i < a->count; i++) {
        order = compare_i64(a->spans[i].y, b->spans[i].y);
        order = order ? order : compare_i64(a->spans[i].x0, b->spans[i].x0);
        order = order ? order : compare_i64(a->spans[i].x1, b->spans[i].x1);
    }
    return order;
}

static int compare_probs(const pt_prob *a, const pt_prob *b)
{
    int order = compare_i64(a->q != NULL, b->q != NULL);
    if (order || !a->q) {
        return order;
    }
    order = compare_rects(a->box, b->box);
    return order ? order : memcmp(a->q, b->q, (size_t)pt_rect_area(a->box));
}

int pt_instance_compare(const void *a, const void *b)
{
    const pt_instance *x = a;
    const pt_instance *y = b;
    int order = compare_i64(x->class_id, y->class_id);
    order = order ? order : (x->score < y->score) - (x->score > y->score);
    order = order ? order : pt_mask_compare(&x->mask, &y->mask);
    order = order ? order : compare_probs(&x->prob, &y->prob);
    return order ? order : compare_i64(x->truncated, y->truncated);
}

bool pt_is_share(int64_t part, int64_t whole, int64_t share)
{
    /* part >= whole * share / SHARE_ONE, without the product's overflow: the quotient is rounded up exactly.
     */
    int64_t high = whole / SHARE_ONE * share;
    int64_t low = pt_ceil_div(whole % SHARE_ONE * share, SHARE_ONE);
    return part >= high + low;
}

int64_t pt_centre_x(pt_rect box)
{
    return box.x + box.w / 2;
}

int64_t pt_centre_y(pt_rect box)
{
    return box.y + box.h / 2;
}
