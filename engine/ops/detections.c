#include "engine/ops/detections.h"

#include "engine/kernels/exp.h"
#include "engine/ops/nms.h"
#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

struct pt_select {
    pt_select_params params;
    size_t capacity;      /* of candidates */
    pt_found *candidates; /* by falling score once sorted through `order` */
    uint64_t *order;      /* 2 * capacity: the second half is for sorting */
    pt_box *boxes;        /* of one class */
    uint32_t *places;     /* candidates class by class: their ranks */
    uint32_t *kept;
    size_t *class_start; /* classes + 1 */
    uint8_t *survives;   /* by rank */
    pt_nms_space nms;
    pt_found *found; /* max_detections */
};

/* Probabilities of a proposal sum to 1, so fewer than 1 / threshold classes exceed the threshold. */
static bool most_candidates(const pt_select_params *params, size_t proposals, size_t *out)
{
    size_t each = (size_t)params->classes - 1;
    if (params->score_threshold > 1e-6f) {
        size_t bound = (size_t)(1 / params->score_threshold) + 2;
        each = each < bound ? each : bound;
    }
    return pt_size_mul(proposals, each, out);
}

static pt_status allocate(pt_select *s)
{
    size_t n = s->capacity;
    s->candidates = pt_alloc(n, sizeof *s->candidates);
    s->order = n > SIZE_MAX / 2 ? NULL : pt_alloc(2 * n, sizeof *s->order);
    s->boxes = pt_alloc(n, sizeof *s->boxes);
    s->places = pt_alloc(n, sizeof *s->places);
    s->kept = pt_alloc(n, sizeof *s->kept);
    s->survives = pt_alloc(n, 1);
    s->class_start = pt_alloc((size_t)s->params.classes + 1, sizeof *s->class_start);
    s->found = pt_alloc((size_t)s->params.max_detections, sizeof *s->found);
    if (!s->candidates || !s->order || !s->boxes || !s->places || !s->kept || !s->survives ||
        !s->class_start || !s->found) {
        return PT_NOMEM("detections");
    }
    return pt_nms_space_reserve(&s->nms, n);
}

pt_status pt_select_new(const pt_select_params *params, size_t proposals, pt_select **out)
{
    if (params->classes < 2 || params->max_detections < 1 || proposals < 1 || proposals > 1u << 20 ||
        params->classes > 4096) {
        return pt_error(PT_E_USAGE, "detections: %d classes, %d at most from %zu proposals: not all in range",
                        params->classes, params->max_detections, proposals);
    }
    pt_select *s = pt_calloc(1, sizeof *s);
    if (!s) {
        return PT_NOMEM("detections");
    }
    s->params = *params;
    pt_status status =
        most_candidates(params, proposals, &s->capacity) ? allocate(s) : PT_NOMEM("detections");
    if (status.code == PT_OK) {
        *out = s;
        s = NULL;
    }
    pt_select_free(&s);
    return status;
}

void pt_select_free(pt_select **select)
{
    pt_select *s = *select;
    if (s) {
        pt_free(s->candidates);
        pt_free(s->order);
        pt_free(s->boxes);
        pt_free(s->places);
        pt_free(s->kept);
        pt_free(s->class_start);
        pt_free(s->survives);
        pt_nms_space_fini(&s->nms);
        pt_free(s->found);
        pt_free(s);
        *select = NULL;
    }
}

static void softmax(float *row, int n)
{
    float top = row[0];
    for (int i = 1; i < n; i++) {
        top = row[i] > top ? row[i] : top;
    }
    float sum = 0;
    for (int i = 0; i < n; i++) {
        row[i] = pt_exp(row[i] - top);
        sum += row[i];
    }
    for (int i = 0; i < n; i++) {
        row[i] /= sum;
    }
}

/* Fills candidates and order, sorted; returns how many. */
static size_t gather(pt_select *s, float *answers, const pt_box *proposals, size_t count, float width,
                     float height)
{
    const pt_select_params *p = &s->params;
    size_t n = 0, row = 5 * (size_t)p->classes;
    for (size_t i = 0; i < count; i++, answers += row) {
        softmax(answers, p->classes);
        for (int c = 1; c < p->classes; c++) {
            if (!(answers[c] > p->score_threshold) || n == s->capacity) {
                continue;
            }
            const float *delta = answers + p->classes + 4 * c;
            pt_box box = pt_box_clip(pt_box_decode(proposals[i], delta, p->weights), width, height);
            if (pt_box_is_large(box, p->min_size)) {
                s->candidates[n] = (pt_found){box, answers[c], c};
                /* Candidates are gathered in the order of torchvision's flattened list, so n breaks its ties.
                 */
                s->order[n] = pt_rank_key(answers[c], (uint32_t)n);
                n++;
            }
        }
    }
    pt_rank_sort(s->order, s->order + n, n);
    return n;
}

/* Lists the ranks of each class's candidates, in order: places[class_start[c] .. class_start[c + 1]). */
static void group(pt_select *s, size_t n)
{
    size_t classes = (size_t)s->params.classes;
    memset(s->class_start, 0, (classes + 1) * sizeof *s->class_start);
    for (size_t i = 0; i < n; i++) {
        s->class_start[s->candidates[i].class_id + 1]++;
    }
    for (size_t c = 1; c <= classes; c++) {
        s->class_start[c] += s->class_start[c - 1];
    }
    /* Filling moves each start to its class's end, which is the next one's start. */
    for (size_t rank = 0; rank < n; rank++) {
        int class_id = s->candidates[pt_rank_index(s->order[rank])].class_id;
        s->places[s->class_start[class_id]++] = (uint32_t)rank;
    }
    memmove(s->class_start + 1, s->class_start, classes * sizeof *s->class_start);
    s->class_start[0] = 0;
}

static void suppress_class(pt_select *s, size_t start, size_t end)
{
    size_t n = end - start;
    for (size_t i = 0; i < n; i++) {
        s->boxes[i] = s->candidates[pt_rank_index(s->order[s->places[start + i]])].box;
    }
    size_t kept = pt_nms(&s->nms, s->boxes, n, s->params.nms_threshold, s->kept);
    for (size_t i = 0; i < kept; i++) {
        s->survives[s->places[start + s->kept[i]]] = 1;
    }
}

size_t pt_select_run(pt_select *s, float *answers, const pt_box *proposals, size_t count, int width,
                     int height, const pt_found **items, bool *capped)
{
    size_t n = gather(s, answers, proposals, count, (float)width, (float)height);
    group(s, n);
    memset(s->survives, 0, n);
    for (int c = 1; c < s->params.classes; c++) {
        if (s->class_start[c + 1] > s->class_start[c]) {
            suppress_class(s, s->class_start[c], s->class_start[c + 1]);
        }
    }
    size_t found = 0;
    *capped = false;
    for (size_t rank = 0; rank < n; rank++) {
        if (!s->survives[rank]) {
            continue;
        }
        if (found == (size_t)s->params.max_detections) {
            *capped = true;
            break;
        }
        s->found[found++] = s->candidates[pt_rank_index(s->order[rank])];
    }
    *items = s->found;
    return found;
}
