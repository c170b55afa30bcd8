/* The operators between the convolutions, on the sizes of a 1024 x 1024 tile: plain C against every
 * instruction set of this machine, each in a process of its own, with the bytes compared.
 *
 *   bench_operators [THREADS [ROUNDS]]
 *
 * The scene is made up: 150 objects of 20 to 200 pixels, an objectness that falls off around them and noise,
 * boxes that point at them. Prints the least time of ROUNDS (30) rounds, in milliseconds. */
#include "engine/backend/pool.h"
#include "engine/kernels/cpu.h"
#include "engine/ops/detections.h"
#include "engine/ops/maps.h"
#include "engine/ops/mask_logits.h"
#include "engine/ops/paste.h"
#include "engine/ops/roi_align.h"
#include "engine/ops/rpn.h"
#include "tiling/base/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    TILE = 1024,
    OBJECTS = 150,
    LEVELS = 5,
    ANCHORS = 3,
    PROPOSALS = 1000,
    DETECTIONS = 100,
    MOST_ROWS = 40
};

typedef struct row {
    char what[40];
    double ms;
    uint64_t hash;
} row;

typedef struct bench {
    pt_pool *pool;
    int rounds;
    uint64_t random;
    row rows[MOST_ROWS];
    int count;
    pt_box objects[OBJECTS];
    pt_map answers[LEVELS]; /* the region proposal network's */
    pt_rpn *rpn;
    pt_proposals proposals;
} bench;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void leave(const char *why)
{
    fprintf(stderr, "bench_operators: %s\n", why);
    exit(1);
}

static void check(pt_status status)
{
    if (status.code != PT_OK) {
        leave(status.message);
    }
}

/* 0 .. 1 */
static float random_share(bench *b)
{
    b->random = b->random * 6364136223846793005u + 1442695040888963407u;
    return (float)(b->random >> 40) / 16777216.0f;
}

static uint64_t hash_bytes(const void *data, size_t size)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ ((const uint8_t *)data)[i]) * 1099511628211u;
    }
    return hash;
}

static pt_map new_map(pt_elem elem, int n, int h, int w, int c)
{
    pt_map map = {.n = n, .h = h, .w = w, .c = c, .elem = elem, .quant = {.05f, 0}};
    map.data = pt_alloc_aligned(pt_map_bytes(&map) + PT_MAP_SLACK, 1);
    if (!map.data) {
        leave("out of memory");
    }
    memset(map.data, 0, pt_map_bytes(&map) + PT_MAP_SLACK);
    return map;
}

static pt_map random_map(bench *b, pt_elem elem, int n, int h, int w, int c)
{
    pt_map map = new_map(elem, n, h, w, c);
    for (size_t i = 0; i < pt_map_count(&map); i++) {
        if (elem == PT_F32) {
            pt_map_f32(&map)[i] = 8 * random_share(b) - 4;
        } else {
            pt_map_u8(&map)[i] = (uint8_t)(256 * random_share(b));
        }
    }
    return map;
}

/* The next row of the table; its time is the least that note_time has seen. */
static row *new_row(bench *b, const char *what)
{
    row *r = &b->rows[b->count++];
    snprintf(r->what, sizeof r->what, "%s", what);
    r->ms = INFINITY;
    return r;
}

static void note_time(row *r, double since)
{
    r->ms = fmin(r->ms, 1e3 * (now() - since));
}

static void time_image(bench *b)
{
    pt_image_rule rule = {.outside = {1, 2, 3, 0}};
    pt_map rgb = random_map(b, PT_U8, 1, TILE, TILE, 3);
    for (int elem = PT_F32; elem <= PT_U8; elem++) {
        row *r = new_row(b, elem == PT_F32 ? "image to floats" : "image to bytes");
        pt_map out = new_map((pt_elem)elem, 1, TILE, TILE, elem == PT_F32 ? 3 : 4);
        for (int i = 0; i < b->rounds; i++) {
            double start = now();
            pt_op_image(b->pool, &rule, pt_map_u8(&rgb), 3 * TILE, TILE, TILE, &out);
            note_time(r, start);
        }
        r->hash = hash_bytes(out.data, pt_map_bytes(&out));
        pt_free(out.data);
    }
    pt_free(rgb.data);
}

static void time_max_pool(bench *b)
{
    for (int elem = PT_F32; elem <= PT_U8; elem++) {
        row *r = new_row(b, elem == PT_F32 ? "max pool 512x512x64 floats" : "max pool 512x512x64 bytes");
        pt_map in = random_map(b, (pt_elem)elem, 1, TILE / 2, TILE / 2, 64);
        pt_map out = new_map((pt_elem)elem, 1, TILE / 4, TILE / 4, 64);
        for (int i = 0; i < b->rounds; i++) {
            double start = now();
            pt_op_max_pool(b->pool, &in, 3, 2, 1, &out);
            note_time(r, start);
        }
        r->hash = hash_bytes(out.data, pt_map_bytes(&out));
        pt_free(in.data);
        pt_free(out.data);
    }
}

static void time_convert(bench *b)
{
    static const char *const names[2][2] = {{"", "floats to bytes 256x256x256"},
                                            {"bytes to floats 256x256x256", "bytes to bytes 256x256x256"}};
    for (int from = PT_F32; from <= PT_U8; from++) {
        for (int to = from == PT_F32 ? PT_U8 : PT_F32; to <= PT_U8; to++) {
            row *r = new_row(b, names[from][to]);
            pt_map in = random_map(b, (pt_elem)from, 1, 256, 256, 256);
            pt_map out = new_map((pt_elem)to, 1, 256, 256, 256);
            out.quant = (pt_quant){.03f, 100};
            for (int i = 0; i < b->rounds; i++) {
                double start = now();
                pt_op_convert(b->pool, &in, &out);
                note_time(r, start);
            }
            r->hash = hash_bytes(out.data, pt_map_bytes(&out));
            pt_free(in.data);
            pt_free(out.data);
        }
    }
}

/* What a trained network might answer: each anchor sees the object that it fits best. */
static void answer_cell(bench *b, pt_box anchor, float *objectness, float *deltas)
{
    float w = anchor.x1 - anchor.x0, h = anchor.y1 - anchor.y0, best = 0;
    float cx = (anchor.x0 + anchor.x1) / 2, cy = (anchor.y0 + anchor.y1) / 2;
    const pt_box *fits = &b->objects[0];
    for (int i = 0; i < OBJECTS; i++) {
        const pt_box *o = &b->objects[i];
        float left = fmaxf(o->x0, anchor.x0), right = fminf(o->x1, anchor.x1);
        float top = fmaxf(o->y0, anchor.y0), bottom = fminf(o->y1, anchor.y1);
        if (right > left && bottom > top) {
            float inter = (right - left) * (bottom - top);
            float iou = inter / (w * h + (o->x1 - o->x0) * (o->y1 - o->y0) - inter);
            fits = iou > best ? o : fits;
            best = fmaxf(best, iou);
        }
    }
    *objectness = 14 * best - 7 + 3 * (random_share(b) + random_share(b) - 1);
    float noise[4], toward = best > .2f ? 1 : 0;
    for (int i = 0; i < 4; i++) {
        noise[i] = (toward > 0 ? .2f : .8f) * (random_share(b) - .5f);
    }
    deltas[0] = toward * ((fits->x0 + fits->x1) / 2 - cx) / w + noise[0];
    deltas[1] = toward * ((fits->y0 + fits->y1) / 2 - cy) / h + noise[1];
    deltas[2] = toward * logf((fits->x1 - fits->x0) / w) + noise[2];
    deltas[3] = toward * logf((fits->y1 - fits->y0) / h) + noise[3];
}

static void make_answers(bench *b, const pt_rpn_params *params)
{
    for (int l = 0; l < LEVELS; l++) {
        int side = TILE >> (l + 2), stride = 4 << l;
        b->answers[l] = new_map(PT_F32, 1, side, side, 5 * ANCHORS);
        float *cell = pt_map_f32(&b->answers[l]);
        for (int i = 0; i < side * side; i++, cell += 5 * ANCHORS) {
            for (int a = 0; a < ANCHORS; a++) {
                float x = (float)(i % side * stride), y = (float)(i / side * stride);
                const pt_box *base = &params->base[l][a];
                pt_box anchor = {x + base->x0, y + base->y0, x + base->x1, y + base->y1};
                answer_cell(b, anchor, &cell[a], cell + ANCHORS + 4 * a);
            }
        }
    }
}

static void make_scene(bench *b)
{
    for (int i = 0; i < OBJECTS; i++) {
        float w = 20 * powf(10, random_share(b)), h = w * (.5f + 1.5f * random_share(b));
        float x = (TILE - w) * random_share(b), y = (TILE - h) * random_share(b);
        b->objects[i] = (pt_box){x, y, x + w, y + h};
    }
    pt_rpn_params params = {.levels = LEVELS,
                            .anchors = ANCHORS,
                            .pre_nms = PROPOSALS,
                            .post_nms = PROPOSALS,
                            .nms_threshold = .7f,
                            .min_size = 1e-3f,
                            .weights = {1, 1, 1, 1}};
    for (int l = 0; l < LEVELS; l++) {
        const float size = (float)(32 << l), ratios[] = {.5f, 1, 2};
        pt_anchors_of_cell(&size, 1, ratios, ANCHORS, params.base[l]);
    }
    make_answers(b, &params);
    check(pt_rpn_new(&params, &b->rpn));
}

static void time_proposals(bench *b)
{
    row *r = new_row(b, "");
    for (int i = 0; i < b->rounds; i++) {
        double start = now();
        b->proposals = pt_rpn_run(b->rpn, b->pool, b->answers, TILE, TILE, TILE, TILE);
        note_time(r, start);
    }
    r->hash = hash_bytes(b->proposals.boxes, b->proposals.count * sizeof *b->proposals.boxes);
    snprintf(r->what, sizeof r->what, "proposals of 5 levels: %zu", b->proposals.count);
}

static void time_roi_align(bench *b, int channels, pt_elem elem)
{
    pt_pyramid pyramid = {.levels = 4, .canonical_size = 224, .canonical_level = 4, .sampling_ratio = 2};
    for (int l = 0; l < 4; l++) {
        pyramid.scale[l] = .25f / (float)(1 << l);
        pyramid.maps[l] = random_map(b, elem, 1, TILE >> (l + 2), TILE >> (l + 2), channels);
    }
    pt_roi_space space = {0};
    check(pt_roi_space_reserve(&space, 2, 14, pt_pool_threads(b->pool)));
    const int counts[2] = {(int)b->proposals.count, DETECTIONS}, sides[2] = {7, 14};
    for (int kind = 0; kind < 2; kind++) {
        row *r = new_row(b, "");
        snprintf(r->what, sizeof r->what, "RoIAlign %dx%dx%dx%d %s", counts[kind], sides[kind], sides[kind],
                 channels, elem == PT_F32 ? "floats" : "bytes");
        pt_map out = new_map(elem, counts[kind], sides[kind], sides[kind], channels);
        for (int i = 0; i < b->rounds; i++) {
            double start = now();
            pt_roi_align(&pyramid, &space, b->pool, b->proposals.boxes, (size_t)counts[kind], sides[kind],
                         &out);
            note_time(r, start);
        }
        r->hash = hash_bytes(out.data, pt_map_bytes(&out));
        pt_free(out.data);
    }
    for (int l = 0; l < 4; l++) {
        pt_free(pyramid.maps[l].data);
    }
    pt_roi_space_fini(&space);
}

static void time_select(bench *b, int classes)
{
    pt_select_params params = {.classes = classes,
                               .weights = {10, 10, 5, 5},
                               .score_threshold = .05f,
                               .nms_threshold = .5f,
                               .min_size = 1e-2f,
                               .max_detections = DETECTIONS};
    pt_select *select = NULL;
    check(pt_select_new(&params, PROPOSALS, &select));
    pt_map logits = random_map(b, PT_F32, PROPOSALS, 1, 1, 5 * classes);
    pt_map answers = new_map(PT_F32, PROPOSALS, 1, 1, 5 * classes);
    row *r = new_row(b, "");
    snprintf(r->what, sizeof r->what, "selection of 1,000, %d classes", classes);
    const pt_found *found;
    size_t count = 0;
    for (int i = 0; i < b->rounds; i++) {
        bool capped;
        memcpy(answers.data, logits.data, pt_map_bytes(&logits));
        double start = now();
        count = pt_select_run(select, pt_map_f32(&answers), b->proposals.boxes, b->proposals.count, TILE,
                              TILE, &found, &capped);
        note_time(r, start);
    }
    r->hash = hash_bytes(found, count * sizeof *found);
    pt_free(logits.data);
    pt_free(answers.data);
    pt_select_free(&select);
}

static void time_mask_logits(bench *b, int channels, pt_elem elem)
{
    pt_map expanded = random_map(b, elem, DETECTIONS, 14, 14, 4 * channels);
    pt_map weights = random_map(b, PT_F32, 1, 1, 2, channels), out = new_map(PT_F32, DETECTIONS, 28, 28, 1);
    const float bias[2] = {0, .5f};
    int ids[DETECTIONS];
    for (int i = 0; i < DETECTIONS; i++) {
        ids[i] = 1;
    }
    row *r = new_row(b, ""), *s = new_row(b, "sigmoid of the masks");
    snprintf(r->what, sizeof r->what, "mask logits 100x28x28x%d %s", channels,
             elem == PT_F32 ? "floats" : "bytes");
    for (int i = 0; i < b->rounds; i++) {
        double start = now();
        pt_op_mask_logits(b->pool, &expanded, ids, pt_map_f32(&weights), bias, pt_map_f32(&out));
        note_time(r, start);
        if (i == 0) {
            r->hash = hash_bytes(out.data, pt_map_bytes(&out));
        }
        start = now();
        pt_op_sigmoid(b->pool, pt_map_f32(&out), pt_map_count(&out));
        note_time(s, start);
    }
    s->hash = hash_bytes(out.data, pt_map_bytes(&out));
    pt_free(expanded.data);
    pt_free(weights.data);
    pt_free(out.data);
}

/* The detections' masks over the pixels that they cover, one thread: as a worker does it. */
static void time_paste(bench *b)
{
    pt_map masks = random_map(b, PT_F32, DETECTIONS, 28, 28, 1);
    uint8_t *bytes = pt_alloc((size_t)TILE * TILE, 1);
    if (!bytes) {
        leave("out of memory");
    }
    row *r = new_row(b, "100 masks pasted into bytes");
    for (int i = 0; i < b->rounds; i++) {
        double start = now();
        r->hash = 0;
        for (int d = 0; d < DETECTIONS; d++) {
            pt_rect area = pt_rect_intersect(pt_paste_extent(b->objects[d], 28), (pt_rect){0, 0, TILE, TILE});
            pt_paste_bytes(pt_map_f32(&masks) + (size_t)d * 28 * 28, 28, b->objects[d], area, bytes);
            r->hash += bytes[pt_rect_area(area) / 2];
        }
        note_time(r, start);
    }
    pt_free(bytes);
    pt_free(masks.data);
}

/* A task of some microseconds, as those of a small layer. */
static void busy(void *context, size_t task, int worker)
{
    volatile float *lanes = context;
    (void)task;
    for (int i = 0; i < 2000; i++) {
        lanes[64 * worker] = lanes[64 * worker] * .5f + 1;
    }
}

static void nothing(void *context, size_t task, int worker)
{
    (void)context, (void)task, (void)worker;
}

static void time_pool(bench *b)
{
    size_t threads = (size_t)pt_pool_threads(b->pool);
    float *lanes = pt_calloc(threads, 64 * sizeof *lanes);
    if (!lanes) {
        leave("out of memory");
    }
    row *one = new_row(b, "1,000 x a task"), *all = new_row(b, "1,000 x a task on every thread");
    for (int i = 0; i < b->rounds; i++) {
        for (int kind = 0; kind < 2; kind++) {
            double start = now();
            for (int k = 0; k < 1000; k++) {
                pt_pool_run(b->pool, kind ? threads : 1, busy, lanes);
            }
            note_time(kind ? all : one, start);
        }
    }
    pt_free(lanes);
    row *s = new_row(b, "100,000 empty tasks");
    for (int i = 0; i < b->rounds; i++) {
        double start = now();
        pt_pool_run(b->pool, 100000, nothing, NULL);
        note_time(s, start);
    }
}

/* All rows on the instruction set of this process. */
static void run_all(bench *b, int threads)
{
    check(pt_pool_new(threads, &b->pool));
    time_image(b);
    time_max_pool(b);
    time_convert(b);
    make_scene(b);
    time_proposals(b);
    for (int elem = PT_F32; elem <= PT_U8; elem++) {
        time_roi_align(b, 256, (pt_elem)elem);
        time_roi_align(b, 128, (pt_elem)elem);
        time_mask_logits(b, 256, (pt_elem)elem);
    }
    time_select(b, 2);
    time_select(b, 91);
    time_paste(b);
    time_pool(b);
    for (int l = 0; l < LEVELS; l++) {
        pt_free(b->answers[l].data);
    }
    pt_rpn_free(&b->rpn);
    pt_pool_free(&b->pool);
}

typedef struct report {
    pt_isa isa; /* what the process could use */
    int count;
    row rows[MOST_ROWS];
} report;

static void run_child(pt_isa isa, int threads, int rounds, int pipe_end)
{
    static bench b;
    static report result;
    setenv("PANTILE_ISA", pt_isa_name(isa), 1);
    result.isa = pt_isa_best();
    if (result.isa == isa) {
        b.rounds = rounds;
        run_all(&b, threads);
        result.count = b.count;
        memcpy(result.rows, b.rows, sizeof b.rows);
    }
    _exit(write(pipe_end, &result, sizeof result) == (ssize_t)sizeof result ? 0 : 1);
}

/* In a process of its own, because an instruction set is chosen once. False when this CPU has it not. */
static bool run_isolated(pt_isa isa, int threads, int rounds, report *out)
{
    int ends[2], state = 0;
    if (pipe(ends) != 0) {
        leave("no pipe");
    }
    pid_t child = fork();
    if (child == 0) {
        run_child(isa, threads, rounds, ends[1]);
    }
    close(ends[1]);
    size_t got = 0;
    ssize_t n = 1;
    while (n > 0 && got < sizeof *out) {
        n = read(ends[0], (char *)out + got, sizeof *out - got);
        got += n > 0 ? (size_t)n : 0;
    }
    close(ends[0]);
    waitpid(child, &state, 0);
    if (state != 0 || got != sizeof *out) {
        leave("a version failed");
    }
    return out->isa == isa;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : pt_cpu_count(), rounds = argc > 2 ? atoi(argv[2]) : 30;
    static report reports[PT_ISA_AVX512 + 1];
    int versions = 0;
    bool same = true;
    if (threads < 1 || rounds < 1) {
        leave("THREADS and ROUNDS are at least 1");
    }
    while (versions <= PT_ISA_AVX512 && run_isolated((pt_isa)versions, threads, rounds, &reports[versions])) {
        versions++;
    }
    printf("%-34s", "milliseconds");
    for (int isa = 0; isa < versions; isa++) {
        printf("%10s", pt_isa_name((pt_isa)isa));
    }
    printf("\n");
    for (int i = 0; i < reports[0].count; i++) {
        printf("%-34s", reports[0].rows[i].what);
        for (int isa = 0; isa < versions; isa++) {
            bool equal = reports[isa].rows[i].hash == reports[0].rows[i].hash;
            same = same && equal;
            printf("%10.3f%s", reports[isa].rows[i].ms, equal ? "" : " differs");
        }
        printf("\n");
    }
    printf("%d threads, %d rounds; bytes %s\n", threads, rounds, same ? "equal" : "DIFFER");
    return same ? 0 : 1;
}
