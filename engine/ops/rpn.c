#include "engine/ops/rpn.h"

#include "engine/kernels/exp.h"
#include "engine/ops/nms.h"
#include "engine/ops/top_k.h"
#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

/* What one level works on, so that levels can run side by side. */
typedef struct level_space {
    pt_top_k top;
    pt_box *boxes; /* pre_nms, as all that follow */
    float *scores;
    uint32_t *kept;
    pt_nms_space nms;
    size_t count; /* boxes left after suppression; their first `count` places hold them */
} level_space;

struct pt_rpn {
    pt_rpn_params params;
    level_space levels[PT_RPN_MAX_LEVELS];
    uint64_t *order; /* levels * pre_nms, twice: the second half is for sorting */
    pt_box *boxes;   /* post_nms */
    float *scores;
};

static pt_status level_init(level_space *level, size_t capacity)
{
    level->boxes = pt_alloc(capacity, sizeof *level->boxes);
    level->scores = pt_alloc(capacity, sizeof *level->scores);
    level->kept = pt_alloc(capacity, sizeof *level->kept);
    if (!level->boxes || !level->scores || !level->kept) {
        return PT_NOMEM("proposals");
    }
    PT_TRY(pt_top_k_reserve(&level->top, capacity));
    return pt_nms_space_reserve(&level->nms, capacity);
}

pt_status pt_rpn_new(const pt_rpn_params *params, pt_rpn **out)
{
    if (params->levels < 1 || params->levels > PT_RPN_MAX_LEVELS || params->anchors < 1 ||
        params->anchors > PT_RPN_MAX_ANCHORS || params->pre_nms < 1 || params->post_nms < 1) {
        return pt_error(PT_E_USAGE, "proposals: %d levels of %d anchors, caps %d and %d: not all in range",
                        params->levels, params->anchors, params->pre_nms, params->post_nms);
    }
    pt_status status = pt_ok();
    pt_rpn *rpn = pt_calloc(1, sizeof *rpn);
    if (!rpn) {
        return PT_NOMEM("proposals");
    }
    rpn->params = *params;
    size_t capacity = (size_t)params->pre_nms;
    for (int l = 0; l < params->levels; l++) {
        PT_TRY_OUT(level_init(&rpn->levels[l], capacity));
    }
    rpn->order = pt_alloc(2 * capacity * (size_t)params->levels, sizeof *rpn->order);
    rpn->boxes = pt_alloc((size_t)params->post_nms, sizeof *rpn->boxes);
    rpn->scores = pt_alloc((size_t)params->post_nms, sizeof *rpn->scores);
    if (!rpn->order || !rpn->boxes || !rpn->scores) {
        status = PT_NOMEM("proposals");
        goto out;
    }
    *out = rpn;
    rpn = NULL;
out:
    pt_rpn_free(&rpn);
    return status;
}

void pt_rpn_free(pt_rpn **rpn)
{
    pt_rpn *r = *rpn;
    if (!r) {
        return;
    }
    for (int l = 0; l < PT_RPN_MAX_LEVELS; l++) {
        level_space *level = &r->levels[l];
        pt_top_k_fini(&level->top);
        pt_free(level->boxes);
        pt_free(level->scores);
        pt_free(level->kept);
        pt_nms_space_fini(&level->nms);
    }
    pt_free(r->order);
    pt_free(r->boxes);
    pt_free(r->scores);
    pt_free(r);
    *rpn = NULL;
}

typedef struct rpn_job {
    pt_rpn *rpn;
    const pt_map *maps;
    int padded_width, padded_height;
    float width, height;
} rpn_job;

/* The box that anchor `index` (pixel * anchors + anchor) proposes. */
static pt_box propose(const rpn_job *job, size_t l, uint32_t index)
{
    const pt_rpn_params *params = &job->rpn->params;
    const pt_map *map = &job->maps[l];
    size_t anchors = (size_t)params->anchors;
    size_t p = index / anchors, a = index % anchors;
    float x = (float)((int)(p % (size_t)map->w) * (job->padded_width / map->w));
    float y = (float)((int)(p / (size_t)map->w) * (job->padded_height / map->h));
    const pt_box *base = &params->base[l][a];
    const pt_box anchor = {x + base->x0, y + base->y0, x + base->x1, y + base->y1};
    const float *deltas = pt_map_f32(map) + p * (size_t)map->c + anchors + 4 * a;
    return pt_box_clip(pt_box_decode(anchor, deltas, params->weights), job->width, job->height);
}

/* A task is a chunk of a level, numbered from the finest level's first on. */
static pt_top_k *chunk_of(const rpn_job *job, size_t *task)
{
    size_t l = 0;
    while (*task >= job->rpn->levels[l].top.chunks) {
        *task -= job->rpn->levels[l++].top.chunks;
    }
    return &job->rpn->levels[l].top;
}

static void count_chunk(void *context, size_t task, int worker)
{
    (void)worker;
    pt_top_k *top = chunk_of(context, &task);
    pt_top_k_count(top, task);
}

static void collect_chunk(void *context, size_t task, int worker)
{
    (void)worker;
    pt_top_k *top = chunk_of(context, &task);
    pt_top_k_collect(top, task);
}

/* The best anchors of the level become boxes, of which those that are kept move to the front. */
static void run_level(void *context, size_t l, int worker)
{
    (void)worker;
    const rpn_job *job = context;
    const pt_rpn_params *params = &job->rpn->params;
    level_space *level = &job->rpn->levels[l];
    const pt_map *map = &job->maps[l];
    size_t anchors = (size_t)params->anchors, n = 0;
    pt_top_k_finish(&level->top);
    for (size_t i = 0; i < level->top.found; i++) {
        uint32_t index = pt_rank_index(level->top.keys[i]);
        float score = pt_sigmoid(pt_map_f32(map)[index / anchors * (size_t)map->c + index % anchors]);
        pt_box box = propose(job, l, index);
        if (pt_box_is_large(box, params->min_size) && score >= params->score_threshold) {
            level->boxes[n] = box;
            level->scores[n++] = score;
        }
    }
    level->count = pt_nms(&level->nms, level->boxes, n, params->nms_threshold, level->kept);
    for (size_t i = 0; i < level->count; i++) {
        level->boxes[i] = level->boxes[level->kept[i]];
        level->scores[i] = level->scores[level->kept[i]];
    }
}

/* Each level's best, side by side. */
static void run_levels(pt_pool *pool, rpn_job *job)
{
    const pt_rpn_params *params = &job->rpn->params;
    size_t chunks = 0;
    for (int l = 0; l < params->levels; l++) {
        const pt_map *map = &job->maps[l];
        pt_top_k *top = &job->rpn->levels[l].top;
        pt_top_k_begin(top, pt_map_f32(map), pt_map_pixels(map), params->anchors, (size_t)map->c);
        chunks += top->chunks;
    }
    pt_pool_run(pool, chunks, count_chunk, job);
    for (int l = 0; l < params->levels; l++) {
        pt_top_k_limit(&job->rpn->levels[l].top);
    }
    pt_pool_run(pool, chunks, collect_chunk, job);
    pt_pool_run(pool, (size_t)params->levels, run_level, job);
}

pt_proposals pt_rpn_run(pt_rpn *rpn, pt_pool *pool, const pt_map *maps, int padded_width, int padded_height,
                        int width, int height)
{
    const pt_rpn_params *params = &rpn->params;
    rpn_job job = {rpn, maps, padded_width, padded_height, (float)width, (float)height};
    run_levels(pool, &job);
    pt_proposals result = {.boxes = rpn->boxes, .scores = rpn->scores};
    size_t n = 0;
    for (int l = 0; l < params->levels; l++) {
        const level_space *level = &rpn->levels[l];
        result.caps += level->top.cut >= 0; /* a logit of 0 is a probability of 0.5 */
        for (size_t i = 0; i < level->count; i++) {
            uint32_t place = (uint32_t)l * (uint32_t)params->pre_nms + (uint32_t)i;
            rpn->order[n++] = pt_rank_key(level->scores[i], place);
        }
    }
    pt_rank_sort(rpn->order, rpn->order + n, n);
    result.count = n < (size_t)params->post_nms ? n : (size_t)params->post_nms;
    for (size_t i = 0; i < n; i++) {
        uint32_t place = pt_rank_index(rpn->order[i]);
        const level_space *level = &rpn->levels[place / (uint32_t)params->pre_nms];
        float score = level->scores[place % (uint32_t)params->pre_nms];
        if (i == result.count) {
            result.caps += score >= .5f;
            break;
        }
        rpn->boxes[i] = level->boxes[place % (uint32_t)params->pre_nms];
        rpn->scores[i] = score;
    }
    return result;
}
