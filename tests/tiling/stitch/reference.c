#include "reference.h"

/* A detection, or an object, spread over the whole scene. */
typedef struct sheet {
    const pt_instance *from; /* NULL for an object */
    int64_t tile;
    bool cut;
    uint8_t *set;
    int64_t area;
    pt_rect box;
    int group;
} sheet;

typedef struct object {
    sheet sheet;
    pt_object out;
    int rank;
    int group;
    bool dropped;
} object;

typedef struct scene {
    const pt_grid *grid;
    const tiles *tiles;
    pt_stitch_options options;
    sheet *sheets;
    int count;
    object *objects;
    int object_count;
} scene;

static void *zeroed(int64_t count, size_t size)
{
    void *block = calloc(count > 0 ? (size_t)count : 1, size);
    assert_non_null(block);
    return block;
}

static int64_t pixels(const scene *s)
{
    return s->grid->width * s->grid->height;
}

static bool is_cut_by(const scene *s, pt_rect w, pt_rect box)
{
    int64_t e = s->options.edge < s->grid->overlap ? s->options.edge : s->grid->overlap;
    return (w.x > 0 && box.x - w.x < e) || (w.y > 0 && box.y - w.y < e) ||
           (w.x + w.w < s->grid->width && w.x + w.w - (box.x + box.w) < e) ||
           (w.y + w.h < s->grid->height && w.y + w.h - (box.y + box.h) < e);
}

static int compare_spans(const pt_mask *a, const pt_mask *b)
{
    for (size_t i = 0; i < a->count; i++) {
        const pt_span *k = &a->spans[i];
        const pt_span *l = &b->spans[i];
        if (k->y != l->y || k->x0 != l->x0 || k->x1 != l->x1) {
            return k->y != l->y ? k->y - l->y : k->x0 != l->x0 ? k->x0 - l->x0 : k->x1 - l->x1;
        }
    }
    return 0;
}

static int compare_masks(const pt_mask *a, const pt_mask *b)
{
    const int64_t u[] = {a->box.y, a->box.x, a->box.h, a->box.w, a->area, (int64_t)a->count};
    const int64_t v[] = {b->box.y, b->box.x, b->box.h, b->box.w, b->area, (int64_t)b->count};
    for (size_t i = 0; i < sizeof u / sizeof *u; i++) {
        if (u[i] != v[i]) {
            return u[i] < v[i] ? -1 : 1;
        }
    }
    return compare_spans(a, b);
}

static int compare_probs(const pt_prob *a, const pt_prob *b)
{
    if (!a->q || !b->q) {
        return (a->q != NULL) - (b->q != NULL);
    }
    const int64_t u[] = {a->box.y, a->box.x, a->box.h, a->box.w};
    const int64_t v[] = {b->box.y, b->box.x, b->box.h, b->box.w};
    for (size_t i = 0; i < 4; i++) {
        if (u[i] != v[i]) {
            return u[i] < v[i] ? -1 : 1;
        }
    }
    return memcmp(a->q, b->q, (size_t)pt_rect_area(a->box));
}

static bool is_cut(const scene *s, int64_t tile, pt_rect box)
{
    return is_cut_by(s, pt_grid_window(s->grid, tile), box);
}

/* The order within a tile: class, score downwards, mask, probabilities, truncated. */
static int compare_instances(const pt_instance *a, const pt_instance *b)
{
    if (a->class_id != b->class_id) {
        return a->class_id - b->class_id;
    }
    if (a->score != b->score) {
        return a->score > b->score ? -1 : 1;
    }
    int order = compare_masks(&a->mask, &b->mask);
    order = order ? order : compare_probs(&a->prob, &b->prob);
    return order ? order : a->truncated - b->truncated;
}

static void spread(scene *s)
{
    for (int64_t i = 0; i < pt_grid_count(s->grid); i++) {
        int first = s->count;
        const pt_instance_list *list = &s->tiles->lists[i];
        for (size_t k = 0; k < list->count; k++) {
            const pt_instance *d = &list->items[k];
            int at = s->count++;
            for (; at > first && compare_instances(d, s->sheets[at - 1].from) < 0; at--) {
                s->sheets[at] = s->sheets[at - 1];
            }
            sheet *sh = &s->sheets[at];
            *sh = (sheet){.from = d, .tile = i, .area = d->mask.area, .box = d->mask.box};
            sh->cut = is_cut(s, i, d->mask.box);
            sh->set = zeroed(pixels(s), 1);
            pt_mask_paint(&d->mask, (pt_rect){0, 0, s->grid->width, s->grid->height}, sh->set, s->grid->width,
                          1);
        }
    }
}

static int64_t count_in(const scene *s, const sheet *a, const sheet *b, pt_rect r)
{
    int64_t count = 0;
    for (int64_t y = r.y; y < r.y + r.h; y++) {
        for (int64_t x = r.x; x < r.x + r.w; x++) {
            int64_t p = y * s->grid->width + x;
            count += a->set[p] && b->set[p];
        }
    }
    return count;
}

/* IoU inside the overlap in 65536ths; 0 when they do not agree. */
static int64_t agreement_of(const scene *s, const sheet *a, const sheet *b, int64_t *both)
{
    pt_rect o = pt_rect_intersect(pt_grid_window(s->grid, a->tile), pt_grid_window(s->grid, b->tile));
    *both = 0;
    if (a->tile == b->tile || a->from->class_id != b->from->class_id || pt_rect_is_empty(o)) {
        return 0;
    }
    *both = count_in(s, a, b, o);
    int64_t either = count_in(s, a, a, o) + count_in(s, b, b, o) - *both;
    int64_t q = either > 0 ? *both * 65536 / either : 0;
    return q >= (int64_t)(s->options.agreement * 65536 + 0.5) ? q : 0;
}

static bool is_duplicate_share(const scene *s, int64_t both, int64_t a, int64_t b)
{
    int64_t share = (int64_t)((s->options.duplicate < 2 ? s->options.duplicate : 2) * 65536 + 0.5);
    return both * 65536 >= (a < b ? a : b) * share;
}

typedef struct pair {
    int a, b;
    int64_t agreement, scores;
} pair;

static int compare_pairs(const void *x, const void *y)
{
    const pair *a = x;
    const pair *b = y;
    if (a->agreement != b->agreement) {
        return a->agreement > b->agreement ? -1 : 1;
    }
    if (a->scores != b->scores) {
        return a->scores > b->scores ? -1 : 1;
    }
    return a->a != b->a ? a->a - b->a : a->b - b->b;
}

static void join(scene *s, int a, int b)
{
    int into = s->sheets[a].group;
    int from = s->sheets[b].group;
    for (int i = 0; i < s->count; i++) {
        for (int k = 0; k < s->count; k++) {
            bool ours = s->sheets[i].group == into && s->sheets[k].group == from;
            if (ours && s->sheets[i].tile == s->sheets[k].tile) {
                return;
            }
        }
    }
    for (int i = 0; i < s->count; i++) {
        s->sheets[i].group = s->sheets[i].group == from ? into : s->sheets[i].group;
    }
}

static void join_all(scene *s)
{
    pair *pairs = zeroed((int64_t)s->count * s->count, sizeof *pairs);
    int count = 0;
    for (int i = 0; i < s->count; i++) {
        s->sheets[i].group = i;
        for (int k = i + 1; k < s->count; k++) {
            int64_t both;
            int64_t q = agreement_of(s, &s->sheets[i], &s->sheets[k], &both);
            int64_t scores = pt_score_quantise(s->sheets[i].from->score);
            scores += pt_score_quantise(s->sheets[k].from->score);
            pairs[count] = (pair){i, k, q, scores};
            count += q > 0;
        }
    }
    if (count > 0) {
        qsort(pairs, (size_t)count, sizeof *pairs, compare_pairs);
    }
    for (int i = 0; i < count; i++) {
        join(s, pairs[i].a, pairs[i].b);
    }
    free(pairs);
}

static int64_t owner_of(const scene *s, pt_rect box)
{
    return pt_grid_owner(s->grid, box.x + box.w / 2, box.y + box.h / 2);
}

static bool is_whole(const scene *s, const sheet *a)
{
    pt_rect window = pt_grid_window(s->grid, a->tile);
    for (int i = 0; i < s->count; i++) {
        if (s->sheets[i].group == a->group && !pt_rect_contains(window, s->sheets[i].box)) {
            return false;
        }
    }
    return !a->cut;
}

static bool beats(const sheet *a, const sheet *b)
{
    int64_t x = pt_score_quantise(a->from->score);
    int64_t y = pt_score_quantise(b->from->score);
    if (x != y) {
        return x > y;
    }
    int64_t ay = a->box.y + a->box.h / 2;
    int64_t by = b->box.y + b->box.h / 2;
    return ay != by ? ay < by : a->box.x + a->box.w / 2 < b->box.x + b->box.w / 2;
}

/* The part that is the object alone, or NULL for a vote; *rank < 0: nothing; *whole: not just the only part.
 */
static const sheet *choose(const scene *s, int group, int *rank, bool *whole)
{
    const sheet *best = NULL;
    const sheet *any = NULL;
    int parts = 0;
    for (int i = 0; i < s->count; i++) {
        const sheet *a = &s->sheets[i];
        if (a->group != group) {
            continue;
        }
        parts++;
        any = a;
        best = is_whole(s, a) && (!best || beats(a, best)) ? a : best;
    }
    *rank = 0;
    *whole = best != NULL;
    if (!best) {
        return parts > 1 ? NULL : any;
    }
    const sheet *chosen = best;
    int64_t owner = owner_of(s, best->box);
    bool unseen = s->tiles->unseen[owner];
    bool owner_took_part = false;
    bool owner_saw_it = false;
    for (int i = 0; i < s->count; i++) {
        const sheet *a = &s->sheets[i];
        if (a->group == group && a->tile == owner) {
            owner_took_part = true;
            chosen = is_whole(s, a) ? a : chosen;
        }
        for (int k = 0; k < s->count && a->tile == owner; k++) {
            const sheet *b = &s->sheets[k];
            int64_t both;
            bool met = b->group == group && !agreement_of(s, a, b, &both) && both > 0;
            owner_saw_it = owner_saw_it || (met && is_duplicate_share(s, both, a->area, b->area));
        }
    }
    if (!owner_took_part && !is_cut(s, owner, best->box)) {
        *rank = unseen || owner_saw_it ? 1 : -1;
    }
    return chosen;
}

static int64_t weight_at(const scene *s, int64_t tile, int64_t x, int64_t y)
{
    pt_rect w = pt_grid_window(s->grid, tile);
    int64_t weight = s->grid->overlap / 2 > 1 ? s->grid->overlap / 2 : 1;
    if (w.x > 0 && x - w.x + 1 < weight) {
        weight = x - w.x + 1;
    }
    if (w.y > 0 && y - w.y + 1 < weight) {
        weight = y - w.y + 1;
    }
    if (w.x + w.w < s->grid->width && w.x + w.w - x < weight) {
        weight = w.x + w.w - x;
    }
    if (w.y + w.h < s->grid->height && w.y + w.h - y < weight) {
        weight = w.y + w.h - y;
    }
    return weight;
}

static int64_t opinion(const scene *s, const sheet *a, int64_t x, int64_t y, bool probs)
{
    bool set = a->set[y * s->grid->width + x];
    const pt_prob *p = &a->from->prob;
    if (!probs) {
        return set ? 255 : 0;
    }
    if (!pt_rect_contains_pixel(p->box, x, y)) {
        return 0;
    }
    int64_t q = p->q[(y - p->box.y) * p->box.w + x - p->box.x];
    if (set) {
        return q < 128 ? 128 : q;
    }
    return q < 128 ? q : 127;
}

static uint8_t vote_at(const scene *s, int group, int64_t x, int64_t y, bool probs)
{
    int64_t sum = 0;
    int64_t weights = 0;
    for (int i = 0; i < s->count; i++) {
        const sheet *a = &s->sheets[i];
        if (a->group == group && pt_rect_contains_pixel(pt_grid_window(s->grid, a->tile), x, y)) {
            int64_t w = weight_at(s, a->tile, x, y);
            sum += w * opinion(s, a, x, y, probs);
            weights += w;
        }
    }
    return weights ? (uint8_t)(sum / weights) : 0;
}

static void vote(const scene *s, int group, object *o)
{
    pt_rect all = {0, 0, s->grid->width, s->grid->height};
    uint8_t *q = zeroed(pixels(s), 1);
    bool probs = true;
    o->out = (pt_object){.merged = true};
    for (int i = 0; i < s->count; i++) {
        if (s->sheets[i].group == group) {
            const pt_instance *part = s->sheets[i].from;
            probs = probs && part->prob.q;
            o->out.tiles++;
            o->out.instance.score = part->score > o->out.instance.score ? part->score : o->out.instance.score;
            o->out.instance.truncated |= part->truncated;
        }
    }
    for (int64_t p = 0; p < pixels(s); p++) {
        q[p] = vote_at(s, group, p % all.w, p / all.w, probs);
    }
    pt_instance *out = &o->out.instance;
    expect_ok(pt_mask_from_bytes(all, q, all.w, 128, &out->mask));
    if (probs && out->mask.count > 0) {
        pt_rect box = pt_rect_intersect(pt_rect_margin(out->mask.box, 1), all);
        out->prob = (pt_prob){box, pt_calloc((size_t)pt_rect_area(box), 1)};
        for (int64_t y = 0; y < box.h; y++) {
            memcpy(out->prob.q + y * box.w, q + (box.y + y) * all.w + box.x, (size_t)box.w);
        }
    }
    free(q);
}

static void take(const sheet *from, object *o)
{
    o->out = (pt_object){.tiles = 1};
    o->out.instance.score = from->from->score;
    o->out.instance.truncated = from->from->truncated;
    expect_ok(pt_mask_copy(&from->from->mask, &o->out.instance.mask));
    if (from->from->prob.q) {
        size_t bytes = (size_t)pt_rect_area(from->from->prob.box);
        o->out.instance.prob = (pt_prob){from->from->prob.box, pt_calloc(bytes, 1)};
        memcpy(o->out.instance.prob.q, from->from->prob.q, bytes);
    }
}

/* 0: complete; 1: a piece in its owner's sight; -1: a piece that its owner saw nothing of. */
static int rank_of_piece(const scene *s, int group, pt_rect box)
{
    pt_rect seen = {0};
    bool by_owner = s->tiles->unseen[owner_of(s, box)];
    for (int i = 0; i < s->count; i++) {
        if (s->sheets[i].group == group) {
            seen = pt_rect_union(seen, pt_grid_window(s->grid, s->sheets[i].tile));
            by_owner = by_owner || s->sheets[i].tile == owner_of(s, box);
        }
    }
    if (!is_cut_by(s, seen, box)) {
        return 0;
    }
    return by_owner ? 1 : -1;
}

static void make_objects(scene *s)
{
    for (int g = 0; g < s->count; g++) {
        int first = 0;
        while (first < s->count && s->sheets[first].group != g) {
            first++;
        }
        if (first == s->count) {
            continue;
        }
        object o = {.group = g};
        bool whole;
        const sheet *alone = choose(s, g, &o.rank, &whole);
        if (o.rank < 0) {
            continue;
        }
        if (alone) {
            take(alone, &o);
        } else {
            vote(s, g, &o);
        }
        pt_mask *mask = &o.out.instance.mask;
        o.rank = whole || mask->count == 0 ? o.rank : rank_of_piece(s, g, mask->box);
        if (o.rank < 0) {
            pt_object_fini(&o.out);
            continue;
        }
        o.out.instance.class_id = s->sheets[first].from->class_id;
        o.out.anchor_x = mask->box.x + mask->box.w / 2;
        o.out.anchor_y = mask->box.y + mask->box.h / 2;
        o.sheet = (sheet){.area = mask->area, .box = mask->box, .set = zeroed(pixels(s), 1), .group = first};
        pt_mask_paint(mask, (pt_rect){0, 0, s->grid->width, s->grid->height}, o.sheet.set, s->grid->width, 1);
        o.dropped = mask->count == 0;
        s->objects[s->object_count++] = o;
    }
}

static int compare_objects(const void *x, const void *y)
{
    const object *a = x;
    const object *b = y;
    int64_t p = pt_score_quantise(a->out.instance.score);
    int64_t q = pt_score_quantise(b->out.instance.score);
    if (a->rank != b->rank || p != q) {
        return a->rank != b->rank ? a->rank - b->rank : (p > q ? -1 : 1);
    }
    if (a->sheet.area != b->sheet.area) {
        return a->sheet.area > b->sheet.area ? -1 : 1;
    }
    int order = compare_masks(&a->out.instance.mask, &b->out.instance.mask);
    if (order) {
        return order;
    }
    return a->sheet.group - b->sheet.group; /* the first part: by tile and order */
}

/* Pixels of both objects that no tile gave to both. */
static int64_t contested(const scene *s, const object *a, const object *b)
{
    int64_t count = 0;
    for (int64_t p = 0; p < pixels(s); p++) {
        bool agreed = false;
        for (int i = 0; i < s->count && a->sheet.set[p] && b->sheet.set[p]; i++) {
            for (int k = 0; k < s->count && s->sheets[i].group == a->group && s->sheets[i].set[p]; k++) {
                bool same_tile = s->sheets[k].group == b->group && s->sheets[k].tile == s->sheets[i].tile;
                agreed = agreed || (same_tile && s->sheets[k].set[p]);
            }
        }
        count += a->sheet.set[p] && b->sheet.set[p] && !agreed;
    }
    return count;
}

static void drop_duplicates(scene *s)
{
    if (s->object_count > 0) {
        qsort(s->objects, (size_t)s->object_count, sizeof *s->objects, compare_objects);
    }
    for (int i = 0; i < s->object_count; i++) {
        object *o = &s->objects[i];
        for (int k = 0; k < i && !o->dropped; k++) {
            const object *better = &s->objects[k];
            if (!better->dropped && better->out.instance.class_id == o->out.instance.class_id) {
                o->dropped =
                    is_duplicate_share(s, contested(s, better, o), better->sheet.area, o->sheet.area);
            }
        }
    }
}

results reference_stitch(const tiles *t, pt_stitch_options options)
{
    int64_t total = 0;
    for (int64_t i = 0; i < pt_grid_count(&t->grid); i++) {
        total += (int64_t)t->lists[i].count;
    }
    scene s = {.grid = &t->grid, .tiles = t, .options = options};
    s.sheets = zeroed(total, sizeof *s.sheets);
    s.objects = zeroed(total, sizeof *s.objects);
    spread(&s);
    join_all(&s);
    make_objects(&s);
    drop_duplicates(&s);
    results r = {0};
    for (int i = 0; i < s.object_count; i++) {
        if (s.objects[i].dropped) {
            pt_object_fini(&s.objects[i].out);
        } else {
            expect_ok(collect(&r, &s.objects[i].out));
        }
        free(s.objects[i].sheet.set);
    }
    for (int i = 0; i < s.count; i++) {
        free(s.sheets[i].set);
    }
    free(s.sheets);
    free(s.objects);
    results_sort(&r);
    return r;
}
