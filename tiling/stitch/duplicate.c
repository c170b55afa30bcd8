#include "tiling/stitch/parts.h"

#include <string.h>

void pt_candidate_free(pt_candidate *candidate)
{
    while (candidate->rivals) {
        pt_rival *next = candidate->rivals->next;
        pt_free(candidate->rivals);
        candidate->rivals = next;
    }
    pt_object_fini(&candidate->object);
    pt_free(candidate);
}

static bool is_better(const pt_candidate *a, const pt_candidate *b)
{
    const pt_object *x = &a->object;
    const pt_object *y = &b->object;
    if (a->rank != b->rank) {
        return a->rank < b->rank;
    }
    if (a->score_q != b->score_q) {
        return a->score_q > b->score_q;
    }
    if (x->instance.mask.area != y->instance.mask.area) {
        return x->instance.mask.area > y->instance.mask.area;
    }
    int order = pt_mask_compare(&x->instance.mask, &y->instance.mask);
    if (order) {
        return order < 0;
    }
    /* The same mask: no detection is part of two candidates, so their first parts decide. */
    if (a->parts->tile != b->parts->tile) {
        return a->parts->tile < b->parts->tile;
    }
    return a->parts->order < b->parts->order;
}

/* Bytes for one row of the rectangle in which two candidates overlap. */
typedef struct row_buffers {
    pt_rect row;
    uint8_t *a, *b;  /* what two masks cover */
    uint8_t *agreed; /* what one tile gave to both */
} row_buffers;

static void paint_two(row_buffers *r, const pt_mask *a, const pt_mask *b)
{
    memset(r->a, 0, (size_t)r->row.w);
    memset(r->b, 0, (size_t)r->row.w);
    pt_mask_paint(a, r->row, r->a, r->row.w, 1);
    pt_mask_paint(b, r->row, r->b, r->row.w, 1);
}

/* Marks the pixels of the row that some tile gave to both candidates. */
static void mark_agreed(row_buffers *r, const pt_candidate *x, const pt_candidate *y)
{
    memset(r->agreed, 0, (size_t)r->row.w);
    const pt_detection *p = x->parts;
    const pt_detection *q = y->parts;
    while (p && q) {
        if (p->tile == q->tile) {
            paint_two(r, &p->instance.mask, &q->instance.mask);
            for (int64_t i = 0; i < r->row.w; i++) {
                r->agreed[i] |= r->a[i] & r->b[i];
            }
        }
        bool first = p->tile <= q->tile;
        bool second = q->tile <= p->tile;
        p = first ? p->next_part : p;
        q = second ? q->next_part : q;
    }
}

/* Pixels that both candidates cover and that no tile gave to both. */
static pt_status count_contested(const pt_candidate *x, const pt_candidate *y, int64_t *out)
{
    const pt_mask *a = &x->object.instance.mask;
    const pt_mask *b = &y->object.instance.mask;
    pt_rect area = pt_rect_intersect(a->box, b->box);
    uint8_t *bytes = pt_alloc((size_t)area.w, 3);
    if (!bytes) {
        return PT_NOMEM("the comparison of two objects");
    }
    row_buffers r = {{area.x, 0, area.w, 1}, bytes, bytes + area.w, bytes + 2 * area.w};
    int64_t contested = 0;
    for (int64_t y_at = area.y; y_at < area.y + area.h; y_at++) {
        r.row.y = y_at;
        mark_agreed(&r, x, y);
        paint_two(&r, a, b);
        for (int64_t i = 0; i < area.w; i++) {
            contested += r.a[i] & r.b[i] & ~r.agreed[i];
        }
    }
    pt_free(bytes);
    *out = contested;
    return pt_ok();
}

static bool share_a_tile(const pt_candidate *x, const pt_candidate *y)
{
    const pt_detection *p = x->parts;
    const pt_detection *q = y->parts;
    while (p && q && p->tile != q->tile) {
        if (p->tile < q->tile) {
            p = p->next_part;
        } else {
            q = q->next_part;
        }
    }
    return p && q;
}

static pt_status are_duplicates(const pt_stitcher *s, const pt_candidate *x, const pt_candidate *y, bool *out)
{
    const pt_mask *a = &x->object.instance.mask;
    const pt_mask *b = &y->object.instance.mask;
    int64_t smaller = a->area < b->area ? a->area : b->area;
    int64_t both = pt_mask_intersection_in(a, b, a->box);
    *out = pt_is_share(both, smaller, s->duplicate);
    if (*out && share_a_tile(x, y)) {
        PT_TRY(count_contested(x, y, &both));
        *out = pt_is_share(both, smaller, s->duplicate);
    }
    return pt_ok();
}

static bool is_rival(const pt_candidate *of, const pt_candidate *other)
{
    const pt_rival *r = of->rivals;
    while (r && r->other != other) {
        r = r->next;
    }
    return r != NULL;
}

static pt_status add_rival(pt_candidate *of, pt_candidate *other, bool worse)
{
    pt_rival *rival = pt_alloc(1, sizeof *rival);
    if (!rival) {
        return PT_NOMEM("two objects that meet");
    }
    *rival = (pt_rival){other, worse, of->rivals};
    of->rivals = rival;
    other->undecided += worse;
    return pt_ok();
}

/* `fresh` belongs to the component that is being compared. Only its list is asked whether the two were
 * compared: another component's may still name candidates that are gone. */
static pt_status compare(const pt_stitcher *s, pt_candidate *fresh, pt_candidate *other)
{
    bool same_component = fresh && other && fresh->component == other->component;
    if (!fresh || !other || fresh == other || is_rival(fresh, other) ||
        (same_component && is_rival(other, fresh))) {
        return pt_ok();
    }
    bool duplicates;
    PT_TRY(are_duplicates(s, fresh, other, &duplicates));
    bool better = duplicates && is_better(fresh, other);
    PT_TRY(add_rival(fresh, other, better));
    return duplicates && !better ? add_rival(other, fresh, true) : pt_ok();
}

static pt_status compare_contacts(pt_stitcher *s, pt_component *component, pt_detection *member)
{
    for (const pt_contact *c = member->contacts; c; c = c->next) {
        pt_component *theirs = c->other->component;
        if (!theirs->resolved) {
            component->pending++;
            continue;
        }
        PT_TRY(compare(s, member->candidate, c->other->candidate));
        if (theirs != component && --theirs->pending == 0) {
            pt_component_list(&s->to_settle, theirs);
        }
    }
    return pt_ok();
}

pt_status pt_component_compare(pt_stitcher *s, pt_component *component)
{
    component->resolved = true;
    for (pt_detection *d = component->members; d; d = d->next) {
        PT_TRY(compare_contacts(s, component, d));
        pt_prob_fini(&d->instance.prob);
    }
    if (component->pending == 0) {
        pt_component_list(&s->to_settle, component);
    }
    return pt_ok();
}

static pt_status push_object(pt_stitcher *s, pt_candidate *candidate)
{
    pt_outbox *box = &s->outbox;
    PT_TRY(pt_grow(&box->items, &box->capacity, box->count + 1, sizeof *box->items));
    box->items[box->count++] = candidate->object;
    candidate->object = (pt_object){0};
    s->stats.objects++;
    s->stats.merged += box->items[box->count - 1].merged;
    return pt_ok();
}

/* All better duplicates of `candidate` are decided: so is it now, and with it may be worse ones. */
static pt_status decide(pt_stitcher *s, pt_candidate *candidate, pt_candidate **work)
{
    bool kept = !candidate->suppressed;
    s->stats.dropped_duplicate += !kept;
    if (kept) {
        PT_TRY(push_object(s, candidate));
    }
    for (const pt_rival *r = candidate->rivals; r; r = r->next) {
        if (!r->worse) {
            continue;
        }
        r->other->suppressed = r->other->suppressed || kept;
        if (--r->other->undecided == 0 && r->other->settled) {
            r->other->next_work = *work;
            *work = r->other;
        }
    }
    if (--candidate->component->undecided == 0) {
        pt_component_free(s, candidate->component);
    }
    return pt_ok();
}

pt_status pt_component_settle(pt_stitcher *s, pt_component *component)
{
    pt_candidate *work = NULL;
    for (pt_candidate *c = component->candidates; c; c = c->next) {
        c->settled = true;
        component->undecided++;
        if (c->undecided == 0) {
            c->next_work = work;
            work = c;
        }
    }
    if (!component->candidates) {
        pt_component_free(s, component);
    }
    while (work) {
        pt_candidate *next = work;
        work = next->next_work;
        PT_TRY(decide(s, next, &work));
    }
    return pt_ok();
}
