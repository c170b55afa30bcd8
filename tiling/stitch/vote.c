#include "tiling/stitch/parts.h"

#include <string.h>

/* Beyond this an object of many tiles goes without probabilities: one byte per pixel of its box, mostly
 * empty, would not fit the memory that a scene of any size may take. */
static const int64_t max_prob_area = (int64_t)1 << 26;

/* One row of the vote at a time: q-weighted and plain sums of weights over the columns of `area`. */
typedef struct voter {
    const pt_grid *grid;
    const pt_detection *const *parts;
    size_t count;
    pt_rect area;    /* all masks and one pixel more, inside the scene */
    bool probs;      /* every part has probabilities */
    size_t *cursors; /* of each part: its first span that is not above the row */
    int64_t *sums, *weights;
    uint8_t *q; /* one part's opinion on the row */
} voter;

typedef struct columns {
    int64_t from, to; /* absolute */
} columns;

static void voter_fini(voter *v)
{
    pt_free(v->cursors);
    pt_free(v->sums);
    pt_free(v->weights);
    pt_free(v->q);
}

static pt_status voter_init(const pt_grid *grid, const pt_detection *const *parts, size_t count, voter *v)
{
    *v = (voter){.grid = grid, .parts = parts, .count = count, .probs = true};
    for (size_t i = 0; i < count; i++) {
        v->area = pt_rect_union(v->area, parts[i]->instance.mask.box);
        v->probs = v->probs && parts[i]->instance.prob.q;
    }
    v->area = pt_rect_intersect(pt_rect_margin(v->area, 1), (pt_rect){0, 0, grid->width, grid->height});
    v->cursors = pt_calloc(count, sizeof *v->cursors);
    v->sums = pt_calloc((size_t)v->area.w, sizeof *v->sums);
    v->weights = pt_calloc((size_t)v->area.w, sizeof *v->weights);
    v->q = pt_alloc((size_t)v->area.w, 1);
    if (!v->cursors || !v->sums || !v->weights || !v->q) {
        voter_fini(v);
        return PT_NOMEM("the vote on an object of several tiles");
    }
    return pt_ok();
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Pixels from `at` to the nearer end of [from, to) that is not the scene's edge, 1 for the last one inside.
 */
static int64_t distance_along(int64_t at, int64_t from, int64_t to, int64_t length, int64_t cap)
{
    int64_t before = from > 0 ? at - from + 1 : cap;
    int64_t after = to < length ? to - at : cap;
    return smaller(cap, smaller(before, after));
}

/* The spans of part i on row y: [first, end). Rows must be asked for from top to bottom. */
static void spans_on_row(voter *v, size_t i, int64_t y, const pt_span **first, const pt_span **end)
{
    const pt_mask *mask = &v->parts[i]->instance.mask;
    size_t at = v->cursors[i];
    while (at < mask->count && mask->box.y + mask->spans[at].y < y) {
        at++;
    }
    v->cursors[i] = at;
    *first = mask->spans + at;
    while (at < mask->count && mask->box.y + mask->spans[at].y == y) {
        at++;
    }
    *end = mask->spans + at;
}

static void copy_probs(voter *v, const pt_prob *prob, int64_t y, columns c)
{
    if (y < prob->box.y || y >= prob->box.y + prob->box.h) {
        return;
    }
    const uint8_t *row = prob->q + (y - prob->box.y) * prob->box.w;
    int64_t from = c.from > prob->box.x ? c.from : prob->box.x;
    int64_t to = smaller(c.to, prob->box.x + prob->box.w);
    for (int64_t x = from; x < to; x++) {
        /* The mask is right where the two differ: it knows invalid pixels. */
        v->q[x - v->area.x] = row[x - prob->box.x] < PT_PROB_HALF ? row[x - prob->box.x] : PT_PROB_HALF - 1;
    }
}

/* What part i says on the columns of row y: into v->q. */
static void opinion(voter *v, size_t i, int64_t y, columns c)
{
    const pt_instance *instance = &v->parts[i]->instance;
    memset(v->q + (c.from - v->area.x), 0, (size_t)(c.to - c.from));
    if (v->probs) {
        copy_probs(v, &instance->prob, y, c);
    }
    const pt_span *span;
    const pt_span *end;
    for (spans_on_row(v, i, y, &span, &end); span < end; span++) {
        for (int64_t x = instance->mask.box.x + span->x0; x < instance->mask.box.x + span->x1; x++) {
            uint8_t q = UINT8_MAX;
            if (v->probs) {
                pt_rect box = instance->prob.box;
                q = instance->prob.q[(y - box.y) * box.w + x - box.x];
                q = q < PT_PROB_HALF ? PT_PROB_HALF : q;
            }
            v->q[x - v->area.x] = q;
        }
    }
}

static void add_opinion(voter *v, size_t i, int64_t y, columns c)
{
    pt_rect w = v->parts[i]->window;
    int64_t cap = v->grid->overlap > 2 ? v->grid->overlap / 2 : 1;
    int64_t down = distance_along(y, w.y, w.y + w.h, v->grid->height, cap);
    opinion(v, i, y, c);
    for (int64_t x = c.from; x < c.to; x++) {
        int64_t weight = smaller(down, distance_along(x, w.x, w.x + w.w, v->grid->width, cap));
        v->weights[x - v->area.x] += weight;
        v->sums[x - v->area.x] += weight * v->q[x - v->area.x];
    }
}

/* The columns of row y that part i's window and the area share; false when there are none. */
static bool columns_of(const voter *v, size_t i, int64_t y, columns *out)
{
    pt_rect w = pt_rect_intersect(v->parts[i]->window, v->area);
    *out = (columns){w.x, w.x + w.w};
    return w.w > 0 && y >= w.y && y < w.y + w.h;
}

/* Fills sums and weights of the columns that any part sees on row y, and returns these. */
static columns vote_on_row(voter *v, int64_t y)
{
    columns all = {v->area.x + v->area.w, v->area.x};
    columns c;
    for (size_t i = 0; i < v->count; i++) {
        if (columns_of(v, i, y, &c)) {
            all.from = smaller(all.from, c.from);
            all.to = all.to > c.to ? all.to : c.to;
        }
    }
    if (all.from >= all.to) {
        return (columns){v->area.x, v->area.x};
    }
    size_t bytes = (size_t)(all.to - all.from) * sizeof *v->sums;
    memset(v->sums + (all.from - v->area.x), 0, bytes);
    memset(v->weights + (all.from - v->area.x), 0, bytes);
    for (size_t i = 0; i < v->count; i++) {
        if (columns_of(v, i, y, &c)) {
            add_opinion(v, i, y, c);
        }
    }
    return all;
}

static uint8_t mean_at(const voter *v, int64_t x)
{
    int64_t weight = v->weights[x - v->area.x];
    return weight > 0 ? (uint8_t)(v->sums[x - v->area.x] / weight) : 0;
}

/* The same as mean_at(v, x) >= PT_PROB_HALF. */
static bool set_at(const voter *v, int64_t x)
{
    int64_t weight = v->weights[x - v->area.x];
    return weight > 0 && v->sums[x - v->area.x] >= weight * PT_PROB_HALF;
}

/* Appends the runs of row y, relative to the area. */
static pt_status append_runs(const voter *v, int64_t y, columns c, pt_mask *mask, size_t *capacity)
{
    for (int64_t x = c.from; x < c.to; x++) {
        if (!set_at(v, x)) {
            continue;
        }
        int64_t from = x;
        while (x < c.to && set_at(v, x)) {
            x++;
        }
        PT_TRY(pt_grow(&mask->spans, capacity, mask->count + 1, sizeof *mask->spans));
        mask->spans[mask->count++] =
            (pt_span){(int32_t)(y - v->area.y), (int32_t)(from - v->area.x), (int32_t)(x - v->area.x)};
        mask->area += x - from;
    }
    return pt_ok();
}

/* From spans relative to the area to a tight box. */
static void tighten(pt_mask *mask, pt_rect area)
{
    if (mask->count == 0) {
        pt_mask_fini(mask);
        return;
    }
    int32_t x0 = INT32_MAX;
    int32_t x1 = 0;
    int32_t y0 = mask->spans[0].y;
    int32_t y1 = mask->spans[mask->count - 1].y + 1;
    for (size_t i = 0; i < mask->count; i++) {
        x0 = mask->spans[i].x0 < x0 ? mask->spans[i].x0 : x0;
        x1 = mask->spans[i].x1 > x1 ? mask->spans[i].x1 : x1;
    }
    for (size_t i = 0; i < mask->count; i++) {
        mask->spans[i].x0 -= x0;
        mask->spans[i].x1 -= x0;
        mask->spans[i].y -= y0;
    }
    mask->box = (pt_rect){area.x + x0, area.y + y0, x1 - x0, y1 - y0};
}

static pt_status vote_mask(voter *v, pt_mask *out)
{
    pt_mask mask = {0};
    size_t capacity = 0;
    for (int64_t y = v->area.y; y < v->area.y + v->area.h; y++) {
        columns c = vote_on_row(v, y);
        pt_status status = append_runs(v, y, c, &mask, &capacity);
        if (status.code != PT_OK) {
            pt_mask_fini(&mask);
            return status;
        }
    }
    tighten(&mask, v->area);
    *out = mask;
    return pt_ok();
}

static pt_status vote_prob(voter *v, pt_rect mask_box, pt_prob *out)
{
    pt_rect box = pt_rect_intersect(pt_rect_margin(mask_box, 1), v->area);
    if (pt_rect_area(box) > max_prob_area) {
        return pt_ok();
    }
    uint8_t *q = pt_calloc((size_t)box.h, (size_t)box.w);
    if (!q) {
        return PT_NOMEM("the probabilities of an object of several tiles");
    }
    memset(v->cursors, 0, v->count * sizeof *v->cursors);
    for (int64_t y = box.y; y < box.y + box.h; y++) {
        columns c = vote_on_row(v, y);
        int64_t from = c.from > box.x ? c.from : box.x;
        int64_t to = smaller(c.to, box.x + box.w);
        for (int64_t x = from; x < to; x++) {
            q[(y - box.y) * box.w + x - box.x] = mean_at(v, x);
        }
    }
    *out = (pt_prob){box, q};
    return pt_ok();
}

pt_status pt_vote(const pt_grid *grid, const pt_detection *const *parts, size_t count, pt_instance *out)
{
    voter v;
    pt_mask mask = {0};
    pt_prob prob = {0};
    PT_TRY(voter_init(grid, parts, count, &v));
    pt_status status = vote_mask(&v, &mask);
    if (status.code == PT_OK && v.probs && mask.count > 0) {
        status = vote_prob(&v, mask.box, &prob);
    }
    voter_fini(&v);
    if (status.code != PT_OK) {
        pt_mask_fini(&mask);
        return status;
    }
    out->mask = mask;
    out->prob = prob;
    return pt_ok();
}
