#include "tiling/stitch/parts.h"

#include <stdlib.h>

/* The detections that may become one object, in the order of their tiles. */
typedef struct group {
    pt_detection **parts;
    size_t count;
} group;

/* What becomes of a group: one part's mask as it is, a vote, or nothing. */
typedef struct choice {
    pt_detection *alone; /* NULL: vote */
    bool whole;          /* a whole part is the object */
    bool drop;
    int rank;
} choice;

static int compare_places(const void *a, const void *b)
{
    const pt_detection *x = *(pt_detection *const *)a;
    const pt_detection *y = *(pt_detection *const *)b;
    if (x->tile != y->tile) {
        return x->tile < y->tile ? -1 : 1;
    }
    return (x->order > y->order) - (x->order < y->order);
}

/* The better of two whole detections; `b` comes after `a` in the order of tiles. */
static pt_detection *better_whole(pt_detection *a, pt_detection *b)
{
    pt_rect x = a->instance.mask.box;
    pt_rect y = b->instance.mask.box;
    if (a->score_q != b->score_q) {
        return a->score_q > b->score_q ? a : b;
    }
    if (pt_centre_y(x) != pt_centre_y(y)) {
        return pt_centre_y(x) < pt_centre_y(y) ? a : b;
    }
    return pt_centre_x(x) <= pt_centre_x(y) ? a : b;
}

static bool touches_the_same_thing(const group *g, int64_t tile)
{
    for (size_t i = 0; i < g->count; i++) {
        for (const pt_contact *c = g->parts[i]->contacts; c; c = c->next) {
            if (c->same_thing && c->other->tile == tile) {
                return true;
            }
        }
    }
    return false;
}

static bool has_part_of(const group *g, int64_t tile)
{
    for (size_t i = 0; i < g->count; i++) {
        if (g->parts[i]->tile == tile) {
            return true;
        }
    }
    return false;
}

/* `best` is whole, and its owner has no whole part in the group: a seam's jitter, or an owner that missed it?
 */
static choice choose_unowned(const pt_stitcher *s, const group *g, pt_detection *best, int64_t owner)
{
    pt_rect box = best->instance.mask.box;
    if (has_part_of(g, owner) || pt_box_is_cut(&s->grid, pt_grid_window(&s->grid, owner), box, s->edge)) {
        return (choice){.alone = best, .whole = true, .rank = 0}; /* the owner's window is too small for it */
    }
    bool unsure = s->book.state[owner] == PT_TILE_UNSEEN || touches_the_same_thing(g, owner);
    return (choice){.alone = best, .whole = true, .drop = !unsure, .rank = 1};
}

static choice choose(const pt_stitcher *s, const group *g)
{
    pt_rect all = {0};
    for (size_t i = 0; i < g->count; i++) {
        all = pt_rect_union(all, g->parts[i]->instance.mask.box);
    }
    pt_detection *best = NULL;
    for (size_t i = 0; i < g->count; i++) {
        pt_detection *part = g->parts[i];
        if (!part->cut && pt_rect_contains(part->window, all)) {
            best = best ? better_whole(best, part) : part;
        }
    }
    if (!best) {
        return (choice){.alone = g->count == 1 ? g->parts[0] : NULL};
    }
    pt_rect box = best->instance.mask.box;
    int64_t owner = pt_grid_owner(&s->grid, pt_centre_x(box), pt_centre_y(box));
    for (size_t i = 0; i < g->count; i++) {
        pt_detection *part = g->parts[i];
        if (part->tile == owner && !part->cut && pt_rect_contains(part->window, all)) {
            return (choice){.alone = part, .whole = true, .rank = 0};
        }
    }
    return choose_unowned(s, g, best, owner);
}

/* The mask is copied: what the part covered still matters when duplicates are looked for. */
static pt_status take_alone(pt_detection *part, pt_object *out)
{
    PT_TRY(pt_mask_copy(&part->instance.mask, &out->instance.mask));
    out->instance.prob = part->instance.prob;
    part->instance.prob = (pt_prob){0};
    out->instance.score = part->instance.score;
    out->instance.truncated = part->instance.truncated;
    out->tiles = 1;
    return pt_ok();
}

static pt_status take_vote(const pt_stitcher *s, const group *g, pt_object *out)
{
    PT_TRY(pt_vote(&s->grid, (const pt_detection *const *)g->parts, g->count, &out->instance));
    for (size_t i = 0; i < g->count; i++) {
        const pt_instance *part = &g->parts[i]->instance;
        out->instance.score = part->score > out->instance.score ? part->score : out->instance.score;
        out->instance.truncated = out->instance.truncated || part->truncated;
    }
    out->tiles = (int32_t)g->count;
    out->merged = true;
    return pt_ok();
}

static void adopt(pt_component *component, pt_candidate *candidate, const group *g)
{
    pt_object *object = &candidate->object;
    object->instance.class_id = g->parts[0]->instance.class_id;
    object->anchor_x = pt_centre_x(object->instance.mask.box);
    object->anchor_y = pt_centre_y(object->instance.mask.box);
    candidate->score_q = pt_score_quantise(object->instance.score);
    candidate->component = component;
    candidate->next = component->candidates;
    component->candidates = candidate;
    for (size_t i = g->count; i-- > 0;) {
        g->parts[i]->candidate = candidate;
        g->parts[i]->next_part = candidate->parts;
        candidate->parts = g->parts[i];
    }
}

/* A mask without a whole part that still ends at the rim of all windows that saw it is a piece of something
 * that others should have seen better: it stays only when its centre's owner is among those who saw it, and
 * ranks low. */
static choice judge_piece(const pt_stitcher *s, const group *g, pt_rect box)
{
    pt_rect seen = {0};
    for (size_t i = 0; i < g->count; i++) {
        seen = pt_rect_union(seen, g->parts[i]->window);
    }
    if (!pt_box_is_cut(&s->grid, seen, box, s->edge)) {
        return (choice){.rank = 0};
    }
    int64_t owner = pt_grid_owner(&s->grid, pt_centre_x(box), pt_centre_y(box));
    bool keep = has_part_of(g, owner) || s->book.state[owner] == PT_TILE_UNSEEN;
    return (choice){.drop = !keep, .rank = 1};
}

/* Fills the candidate's object; its mask stays empty when nothing becomes of the group. */
static pt_status make_object(pt_stitcher *s, const group *g, pt_candidate *candidate)
{
    pt_object *object = &candidate->object;
    choice c = choose(s, g);
    if (!c.drop) {
        PT_TRY(c.alone ? take_alone(c.alone, object) : take_vote(s, g, object));
        s->stats.dropped_empty += object->instance.mask.count == 0;
        if (!c.whole && object->instance.mask.count > 0) {
            c = judge_piece(s, g, object->instance.mask.box);
        }
    }
    candidate->rank = c.rank;
    if (c.drop) {
        s->stats.dropped_not_owner++;
        pt_object_fini(object);
    }
    return pt_ok();
}

static pt_status make_candidate(pt_stitcher *s, pt_component *component, const group *g)
{
    pt_candidate *candidate = pt_calloc(1, sizeof *candidate);
    if (!candidate) {
        return PT_NOMEM("an object");
    }
    pt_status status = make_object(s, g, candidate);
    if (candidate->object.instance.mask.count == 0) {
        pt_candidate_free(candidate);
        return status;
    }
    adopt(component, candidate, g);
    return pt_ok();
}

/* Two detections of a component that agree; `a` comes before `b`. */
typedef struct pair {
    size_t a, b;
    int64_t agreement;
    int64_t scores; /* sum of both score_q */
} pair;

/* A total order: the best agreement first, then the higher scores, then by tile and content. */
static int compare_pairs(const void *a, const void *b)
{
    const pair *x = a;
    const pair *y = b;
    if (x->agreement != y->agreement) {
        return x->agreement > y->agreement ? -1 : 1;
    }
    if (x->scores != y->scores) {
        return x->scores > y->scores ? -1 : 1;
    }
    if (x->a != y->a) {
        return x->a < y->a ? -1 : 1;
    }
    return (x->b > y->b) - (x->b < y->b);
}

/* Union-find over a component's detections by relabelling: a set is a list that starts at its label. */
typedef struct joining {
    pt_detection **detections; /* by tile, then content */
    size_t count;
    size_t *label, *next, *last, *size; /* next: `count` ends a list */
    pair *pairs;
    size_t pair_count;
    pt_detection **parts; /* of one group at a time */
} joining;

static void joining_fini(joining *j)
{
    pt_free(j->detections);
    pt_free(j->label);
    pt_free(j->next);
    pt_free(j->last);
    pt_free(j->size);
    pt_free(j->pairs);
    pt_free(j->parts);
}

static size_t count_pairs(const pt_component *component)
{
    size_t ends = 0;
    for (const pt_detection *d = component->members; d; d = d->next) {
        for (const pt_contact *c = d->contacts; c; c = c->next) {
            ends += c->agreement > 0;
        }
    }
    return ends / 2;
}

static void fill(joining *j, const pt_component *component)
{
    size_t i = 0;
    for (pt_detection *d = component->members; d; d = d->next) {
        j->detections[i++] = d;
    }
    qsort(j->detections, j->count, sizeof(pt_detection *), compare_places);
    for (i = 0; i < j->count; i++) {
        j->detections[i]->slot = i;
        j->label[i] = i;
        j->last[i] = i;
        j->size[i] = 1;
        j->next[i] = j->count;
    }
    pair *next = j->pairs;
    for (i = 0; i < j->count; i++) {
        for (const pt_contact *c = j->detections[i]->contacts; c; c = c->next) {
            if (c->agreement > 0 && c->other->slot > i) {
                int64_t scores = (int64_t)j->detections[i]->score_q + c->other->score_q;
                *next++ = (pair){i, c->other->slot, c->agreement, scores};
            }
        }
    }
    qsort(j->pairs, j->pair_count, sizeof *j->pairs, compare_pairs);
}

static pt_status joining_init(const pt_component *component, joining *j)
{
    *j = (joining){.count = component->count, .pair_count = count_pairs(component)};
    j->detections = pt_alloc(j->count, sizeof(pt_detection *));
    j->parts = pt_alloc(j->count, sizeof(pt_detection *));
    j->label = pt_alloc(j->count, sizeof *j->label);
    j->next = pt_alloc(j->count, sizeof *j->next);
    j->last = pt_alloc(j->count, sizeof *j->last);
    j->size = pt_alloc(j->count, sizeof *j->size);
    j->pairs = pt_alloc(j->pair_count, sizeof *j->pairs);
    if (!j->detections || !j->parts || !j->label || !j->next || !j->last || !j->size || !j->pairs) {
        joining_fini(j);
        return PT_NOMEM("the detections of an object");
    }
    fill(j, component);
    return pt_ok();
}

/* Whether two sets hold detections of the same tile, which are two objects by that tile's word. */
static bool share_a_tile(const joining *j, size_t a, size_t b)
{
    for (size_t i = a; i < j->count; i = j->next[i]) {
        for (size_t k = b; k < j->count; k = j->next[k]) {
            if (j->detections[i]->tile == j->detections[k]->tile) {
                return true;
            }
        }
    }
    return false;
}

static void join_pair(joining *j, const pair *p)
{
    size_t a = j->label[p->a];
    size_t b = j->label[p->b];
    if (a == b || share_a_tile(j, a, b)) {
        return;
    }
    size_t into = j->size[a] >= j->size[b] ? a : b;
    size_t from = into == a ? b : a;
    for (size_t i = from; i < j->count; i = j->next[i]) {
        j->label[i] = into;
    }
    j->next[j->last[into]] = from;
    j->last[into] = j->last[from];
    j->size[into] += j->size[from];
}

static pt_status make_candidates(pt_stitcher *s, pt_component *component, joining *j)
{
    for (size_t i = 0; i < j->count; i++) {
        if (j->label[i] != i) {
            continue;
        }
        group g = {j->parts, 0};
        for (size_t k = i; k < j->count; k = j->next[k]) {
            g.parts[g.count++] = j->detections[k];
        }
        qsort(g.parts, g.count, sizeof(pt_detection *), compare_places);
        PT_TRY(make_candidate(s, component, &g));
    }
    return pt_ok();
}

pt_status pt_component_resolve(pt_stitcher *s, pt_component *component)
{
    joining j;
    PT_TRY(joining_init(component, &j));
    for (size_t i = 0; i < j.pair_count; i++) {
        join_pair(&j, &j.pairs[i]);
    }
    pt_status status = make_candidates(s, component, &j);
    joining_fini(&j);
    return status.code == PT_OK ? pt_component_compare(s, component) : status;
}
