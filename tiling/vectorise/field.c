#include "tiling/vectorise/outline.h"

#include <string.h>

/* Union-find over samples; the root is the smallest label, so that numbering does not hang on the order of
 * unions. */
static int32_t root_of(int32_t *parent, int32_t i)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

static void join(int32_t *parent, int32_t a, int32_t b)
{
    a = root_of(parent, a);
    b = root_of(parent, b);
    if (a < b) {
        parent[b] = a;
    } else {
        parent[a] = b;
    }
}

bool pt_field_saddle_joined(const pt_field *field, int64_t i, int64_t j)
{
    if (!field->q) {
        return false;
    }
    const int64_t at[4] = {j * field->w + i, j * field->w + i + 1, (j + 1) * field->w + i,
                           (j + 1) * field->w + i + 1};
    int sum = 0;
    for (int k = 0; k < 4; k++) {
        /* A sample whose probability disagrees with the mask was cleared: nothing to interpolate. */
        if ((field->q[at[k]] >= PT_PROB_HALF) != (field->set[at[k]] != 0)) {
            return false;
        }
        sum += field->q[at[k]];
    }
    return sum + 2 > 4 * PT_PROB_HALF; /* the mean of (q + 0.5) / 256 is above 0.5 */
}

static void join_cell(const pt_field *f, int32_t *parent, int64_t i, int64_t j)
{
    int64_t a = j * f->w + i, b = a + 1, c = a + f->w, d = c + 1;
    if (f->set[a] && f->set[b]) {
        join(parent, (int32_t)a, (int32_t)b);
    }
    if (f->set[a] && f->set[c]) {
        join(parent, (int32_t)a, (int32_t)c);
    }
    if (f->set[a] == f->set[d] && f->set[b] == f->set[c] && f->set[a] != f->set[b] &&
        pt_field_saddle_joined(f, i, j)) {
        int64_t from = f->set[a] ? a : b, to = f->set[a] ? d : c;
        join(parent, (int32_t)from, (int32_t)to);
    }
}

/* Numbers the components in raster order. The margin is unset, so the last row and column need no cell. */
static void label_components(pt_field *f)
{
    int32_t *parent = f->label;
    int64_t samples = f->w * f->h;
    for (int64_t k = 0; k < samples; k++) {
        parent[k] = (int32_t)k;
    }
    for (int64_t j = 0; j + 1 < f->h; j++) {
        for (int64_t i = 0; i + 1 < f->w; i++) {
            join_cell(f, parent, i, j);
        }
    }
    for (int64_t k = 0; k < samples; k++) {
        if (f->set[k]) {
            /* A root comes before its members, and members point to roots or to members before them: the
             * entry pointed to already holds -2 minus the component's number. */
            parent[k] = parent[k] == k ? -2 - f->labels++ : parent[parent[k]];
        }
    }
    for (int64_t k = 0; k < samples; k++) {
        f->label[k] = f->set[k] ? -2 - f->label[k] : -1;
    }
}

static void paint_mask(const pt_mask *mask, pt_field *f)
{
    int64_t dx = mask->box.x - f->x + f->pad, dy = mask->box.y - f->y + f->pad;
    for (size_t k = 0; k < mask->count; k++) {
        const pt_span *s = &mask->spans[k];
        memset(f->set + (s->y + dy) * f->w + s->x0 + dx, 1, (size_t)(s->x1 - s->x0));
    }
}

/* Copies the window's probabilities, repeats those at its border once more on the border line itself, and
 * keeps the outermost margin unset: outlines then end exactly at the window's edge, with its corners sharp.
 */
static void copy_probabilities(const pt_prob *prob, pt_rect window, pt_field *f)
{
    for (int64_t j = 1; j + 1 < f->h; j++) {
        int64_t y = j - f->pad < 0 ? 0 : j - f->pad >= window.h ? window.h - 1 : j - f->pad;
        const uint8_t *row = prob->q + (y + window.y - prob->box.y) * prob->box.w + window.x - prob->box.x;
        uint8_t *to = f->q + j * f->w;
        uint8_t *set = f->set + j * f->w;
        const uint8_t *set_from = f->set + (y + f->pad) * f->w;
        memcpy(to + f->pad, row, (size_t)window.w);
        memmove(set + f->pad, set_from + f->pad, (size_t)window.w);
        to[1] = row[0];
        to[f->w - 2] = row[window.w - 1];
        set[1] = set_from[f->pad];
        set[f->w - 2] = set_from[f->w - 1 - f->pad];
    }
}

static bool spans_fit(const pt_mask *mask)
{
    for (size_t k = 0; k < mask->count; k++) {
        const pt_span *s = &mask->spans[k];
        if (s->y < 0 || s->y >= mask->box.h || s->x0 < 0 || s->x1 > mask->box.w || s->x0 >= s->x1) {
            return false;
        }
    }
    return true;
}

static pt_status check_instance(const pt_instance *instance)
{
    const pt_mask *mask = &instance->mask;
    if (pt_rect_is_empty(mask->box) || mask->count == 0 || !spans_fit(mask)) {
        return pt_error(PT_E_USAGE, "a mask to vectorise is empty or has runs outside its box");
    }
    if (instance->prob.q && !pt_rect_contains(instance->prob.box, mask->box)) {
        return pt_error(PT_E_USAGE, "an object's probabilities do not cover its mask");
    }
    return pt_ok();
}

pt_status pt_field_init(const pt_instance *instance, pt_field *out)
{
    PT_TRY(check_instance(instance));
    bool soft = instance->prob.q != NULL;
    /* One pixel around the mask is all that the outline needs. */
    pt_rect window = instance->mask.box;
    if (soft) {
        window = pt_rect_intersect(pt_rect_margin(window, 1), instance->prob.box);
    }
    pt_field f = {.x = window.x, .y = window.y, .pad = soft ? 2 : 1};
    f.w = window.w + 2 * f.pad;
    f.h = window.h + 2 * f.pad;
    int64_t samples;
    if (!pt_i64_mul(f.w, f.h, &samples) || samples > INT32_MAX - 2) {
        return pt_error(PT_E_UNSUPPORTED, "an object of %lld x %lld pixels is too large to vectorise",
                        (long long)window.w, (long long)window.h);
    }
    f.set = pt_calloc((size_t)samples, 1);
    f.q = soft ? pt_calloc((size_t)samples, 1) : NULL;
    f.label = pt_alloc((size_t)samples, sizeof *f.label);
    if (!f.set || (soft && !f.q) || !f.label) {
        pt_field_fini(&f);
        return PT_NOMEM("an object's outline");
    }
    paint_mask(&instance->mask, &f);
    if (soft) {
        copy_probabilities(&instance->prob, window, &f);
    }
    label_components(&f);
    *out = f;
    return pt_ok();
}

void pt_field_fini(pt_field *field)
{
    pt_free(field->set);
    pt_free(field->q);
    pt_free(field->label);
    *field = (pt_field){0};
}
