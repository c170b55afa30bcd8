#include "tiling/stitch/parts.h"

static void link_component(pt_stitcher *s, pt_component *component)
{
    component->next = s->components;
    if (s->components) {
        s->components->previous = component;
    }
    s->components = component;
}

static void unlink_component(pt_stitcher *s, pt_component *component)
{
    if (component->previous) {
        component->previous->next = component->next;
    } else {
        s->components = component->next;
    }
    if (component->next) {
        component->next->previous = component->previous;
    }
}

pt_status pt_component_new(pt_stitcher *s, int64_t tile, size_t order, pt_instance *instance,
                           pt_detection **out)
{
    pt_detection *detection = pt_calloc(1, sizeof *detection);
    pt_component *component = pt_calloc(1, sizeof *component);
    if (!detection || !component) {
        pt_free(detection);
        pt_free(component);
        return PT_NOMEM("a detection");
    }
    detection->instance = *instance;
    *instance = (pt_instance){0};
    detection->tile = tile;
    detection->window = pt_grid_window(&s->grid, tile);
    detection->order = order;
    detection->score_q = pt_score_quantise(detection->instance.score);
    detection->cut = pt_box_is_cut(&s->grid, detection->window, detection->instance.mask.box, s->edge);
    detection->component = component;
    component->members = detection;
    component->last = detection;
    component->count = 1;
    component->open = 1;
    link_component(s, component);
    s->stats.waiting++;
    *out = detection;
    return pt_ok();
}

static void free_contacts(pt_detection *detection)
{
    while (detection->contacts) {
        pt_contact *next = detection->contacts->next;
        pt_free(detection->contacts);
        detection->contacts = next;
    }
}

void pt_component_free(pt_stitcher *s, pt_component *component)
{
    unlink_component(s, component);
    while (component->members) {
        pt_detection *detection = component->members;
        component->members = detection->next;
        free_contacts(detection);
        pt_instance_fini(&detection->instance);
        pt_free(detection);
        s->stats.waiting--;
    }
    while (component->candidates) {
        pt_candidate *candidate = component->candidates;
        component->candidates = candidate->next;
        pt_candidate_free(candidate);
    }
    pt_free(component);
}

/* The smaller one moves into the larger one, so that n detections move O(n log n) times in all. */
static void unite(pt_stitcher *s, pt_component *a, pt_component *b)
{
    if (a == b) {
        return;
    }
    pt_component *into = a->count >= b->count ? a : b;
    pt_component *from = into == a ? b : a;
    for (pt_detection *d = from->members; d; d = d->next) {
        d->component = into;
    }
    into->last->next = from->members;
    into->last = from->last;
    into->count += from->count;
    into->open += from->open;
    from->members = NULL;
    pt_component_free(s, from);
}

static pt_status add_contact(pt_detection *from, pt_detection *to, int64_t agreement, bool same_thing)
{
    pt_contact *contact = pt_alloc(1, sizeof *contact);
    if (!contact) {
        return PT_NOMEM("two detections that meet");
    }
    *contact = (pt_contact){to, agreement, same_thing, from->contacts};
    from->contacts = contact;
    return pt_ok();
}

pt_status pt_component_meet(pt_stitcher *s, pt_detection *a, pt_detection *b)
{
    const pt_mask *x = &a->instance.mask;
    const pt_mask *y = &b->instance.mask;
    pt_rect shared = pt_rect_intersect(a->window, b->window);
    if (a->instance.class_id != b->instance.class_id || pt_rect_is_empty(pt_rect_intersect(x->box, y->box))) {
        return pt_ok();
    }
    int64_t both = pt_mask_intersection_in(x, y, shared);
    if (both == 0) {
        return pt_ok();
    }
    /* Whole-object IoU says nothing about two halves: only what both tiles could see is compared. */
    int64_t either = pt_mask_area_in(x, shared) + pt_mask_area_in(y, shared) - both;
    int64_t agreement = both * SHARE_ONE / either;
    if (agreement < s->agreement) {
        agreement = 0;
    }
    int64_t smaller = x->area < y->area ? x->area : y->area;
    bool same_thing = agreement == 0 && pt_is_share(both, smaller, s->duplicate);
    PT_TRY(add_contact(a, b, agreement, same_thing));
    PT_TRY(add_contact(b, a, agreement, same_thing));
    if (agreement > 0) {
        unite(s, a->component, b->component);
    }
    return pt_ok();
}

void pt_component_list(pt_component **list, pt_component *component)
{
    if (!component->listed) {
        component->listed = true;
        component->next_work = *list;
        *list = component;
    }
}

pt_component *pt_component_unlist(pt_component **list)
{
    pt_component *component = *list;
    if (component) {
        *list = component->next_work;
        component->next_work = NULL;
        component->listed = false;
    }
    return component;
}
