/* RoIAlign, proposals, detections, mask logits, pasting. */
#include "engine/ops/detections.h"
#include "engine/ops/mask_logits.h"
#include "engine/ops/paste.h"
#include "engine/ops/roi_align.h"
#include "engine/ops/rpn.h"
#include "tests/engine/kernels/random.h"
#include "tiling/base/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static pt_box random_box(randoms *r, float side)
{
    float x = random_float(r, 0, side), y = random_float(r, 0, side);
    return (pt_box){x, y, x + random_float(r, 1, side / 2), y + random_float(r, 1, side / 2)};
}

static double value_at(const pt_map *map, int y, int x, int channel)
{
    size_t i = ((size_t)y * (size_t)map->w + (size_t)x) * (size_t)map->c + (size_t)channel;
    return map->elem == PT_F32 ? (double)pt_map_f32(map)[i] : (double)(pt_map_u8(map)[i] - map->quant.zero);
}

/* One interpolated value, written after the definition. */
static double bilinear(const pt_map *map, int channel, double y, double x)
{
    int h = map->h, w = map->w;
    if (y < -1 || y > h || x < -1 || x > w) {
        return 0;
    }
    y = fmax(y, 0);
    x = fmax(x, 0);
    int y0 = (int)fmin(floor(y), h - 1), x0 = (int)fmin(floor(x), w - 1);
    int y1 = y0 + 1 < h ? y0 + 1 : y0, x1 = x0 + 1 < w ? x0 + 1 : x0;
    double ly = y0 == h - 1 ? 0 : y - y0, lx = x0 == w - 1 ? 0 : x - x0;
    return (1 - ly) * ((1 - lx) * value_at(map, y0, x0, channel) + lx * value_at(map, y0, x1, channel)) +
           ly * ((1 - lx) * value_at(map, y1, x0, channel) + lx * value_at(map, y1, x1, channel));
}

static double naive_roi_align(const pt_pyramid *p, pt_box b, int side, int channel, int cell)
{
    int level = pt_pyramid_level(p, b);
    const pt_map *map = &p->maps[level];
    double scale = (double)p->scale[level], offset = p->aligned ? .5 : 0;
    double x0 = (double)b.x0 * scale - offset, y0 = (double)b.y0 * scale - offset;
    double w = (double)b.x1 * scale - offset - x0, h = (double)b.y1 * scale - offset - y0;
    if (!p->aligned) {
        w = fmax(w, 1);
        h = fmax(h, 1);
    }
    double sum = 0;
    int s = p->sampling_ratio;
    for (int i = 0; i < s * s; i++) {
        double y = y0 + h / side * (cell / side + (i / s + .5) / s);
        double x = x0 + w / side * (cell % side + (i % s + .5) / s);
        sum += bilinear(map, channel, y, x);
    }
    return sum / (s * s);
}

enum { ROI_CHANNELS = 19, ROI_BOXES = 40 };

static void check_roi_align(randoms *r, const pt_pyramid *p, pt_pool *pool)
{
    int side = random_int(r, 1, 9);
    pt_box boxes[ROI_BOXES];
    for (int i = 0; i < ROI_BOXES; i++) {
        boxes[i] = random_box(r, 150);
    }
    boxes[0] = (pt_box){-30, -40, 500, 600}; /* far outside on all sides */
    boxes[1] = (pt_box){5, 5, 5, 5};
    boxes[2] = (pt_box){900, 900, 950, 990};
    pt_roi_space space = {0};
    assert_int_equal(pt_roi_space_reserve(&space, p->sampling_ratio, side, 2).code, PT_OK);
    pt_map out = p->maps[0];
    out.n = ROI_BOXES;
    out.h = out.w = side;
    out.data = calloc(pt_map_count(&out), sizeof(float));
    assert_non_null(out.data);
    pt_roi_align(p, &space, pool, boxes, ROI_BOXES, side, &out);
    double squares = 0;
    for (size_t i = 0; i < pt_map_count(&out); i++) {
        size_t cell = i / ROI_CHANNELS, cells = (size_t)(side * side);
        double wanted =
            naive_roi_align(p, boxes[cell / cells], side, (int)(i % ROI_CHANNELS), (int)(cell % cells));
        if (out.elem == PT_F32) {
            assert_true(fabs(wanted - (double)pt_map_f32(&out)[i]) < 2e-4);
        } else {
            /* Noise is the worst case for weights of 11 bits; over all of it, rounding alone would leave .29.
             */
            double error = wanted + out.quant.zero - pt_map_u8(&out)[i];
            assert_true(fabs(error) < .9);
            squares += error * error;
        }
    }
    assert_true(sqrt(squares / (double)pt_map_count(&out)) < .31);
    free(out.data);
    pt_roi_space_fini(&space);
}

static void test_roi_align(void **state)
{
    (void)state;
    randoms r = {22};
    float *floats = calloc(2, ROI_CHANNELS * 40 * 50 * sizeof *floats);
    uint8_t *bytes = calloc(2, ROI_CHANNELS * 40 * 50);
    assert_true(floats && bytes);
    random_fill(&r, floats, 2 * ROI_CHANNELS * 40 * 50, -1, 1);
    for (int i = 0; i < 2 * ROI_CHANNELS * 40 * 50; i++) {
        bytes[i] = (uint8_t)random_int(&r, 0, 255);
    }
    pt_pool *pool = NULL;
    assert_int_equal(pt_pool_new(2, &pool).code, PT_OK);
    for (int round = 0; round < 24; round++) {
        pt_pyramid p = {.levels = 2,
                        .canonical_size = 100,
                        .canonical_level = 3,
                        .sampling_ratio = 1 + round % 3,
                        .aligned = round % 2,
                        .scale = {.25f, .125f}};
        for (int l = 0; l < 2; l++) {
            p.maps[l] = (pt_map){.n = 1, .h = 40 >> l, .w = 50 >> l, .c = ROI_CHANNELS};
            p.maps[l].elem = round < 12 ? PT_F32 : PT_U8;
            p.maps[l].quant = (pt_quant){.25f, 20 * (round % 4)};
            p.maps[l].data =
                round < 12 ? (void *)(floats + l * ROI_CHANNELS * 2000) : bytes + l * ROI_CHANNELS * 2000;
        }
        check_roi_align(&r, &p, pool);
    }
    pt_pool_free(&pool);
    free(floats);
    free(bytes);
    pt_roi_space space = {0};
    pt_alloc_fail_after(0);
    assert_int_equal(pt_roi_space_reserve(&space, 2, 7, 1).code, PT_E_NOMEM);
    pt_alloc_fail_after(-1);
}

/* More regions than are put in order together, on one thread and on three: each as if it were alone. */
static void test_roi_align_many(void **state)
{
    (void)state;
    enum { C = 5, N = 1100, SIDE = 2, EACH = SIDE * SIDE * C };
    randoms r = {23};
    static float features[40 * 40 * C], out[3][N * EACH];
    static pt_box boxes[N];
    random_fill(&r, features, 40 * 40 * C, -1, 1);
    pt_pyramid p = {.levels = 2, .canonical_size = 40, .canonical_level = 3, .sampling_ratio = 2};
    for (int l = 0; l < 2; l++) {
        p.scale[l] = .25f / (float)(1 << l);
        p.maps[l] = (pt_map){.data = features, .n = 1, .h = 40 >> l, .w = 40 >> l, .c = C};
    }
    for (int i = 0; i < N; i++) {
        boxes[i] = random_box(&r, 120);
    }
    for (int threads = 1; threads <= 3; threads += 2) {
        pt_pool *pool = NULL;
        pt_roi_space space = {0};
        assert_int_equal(pt_pool_new(threads, &pool).code, PT_OK);
        assert_int_equal(pt_roi_space_reserve(&space, 2, SIDE, threads).code, PT_OK);
        pt_map to = {.data = out[threads - 1], .n = N, .h = SIDE, .w = SIDE, .c = C};
        pt_roi_align(&p, &space, pool, boxes, N, SIDE, &to);
        for (size_t i = 0; threads == 1 && i < N; i++) {
            to.data = out[1] + i * EACH;
            to.n = 1;
            pt_roi_align(&p, &space, pool, boxes + i, 1, SIDE, &to);
        }
        pt_roi_space_fini(&space);
        pt_pool_free(&pool);
    }
    assert_memory_equal(out[0], out[1], sizeof out[0]);
    assert_memory_equal(out[0], out[2], sizeof out[0]);
}

static void test_levels(void **state)
{
    (void)state;
    pt_pyramid p = {
        .levels = 4, .scale = {.25f, .125f, .0625f, .03125f}, .canonical_size = 224, .canonical_level = 4};
    const float sides[] = {1, 111.9f, 112, 223.9f, 224, 447.9f, 448, 10000, 0};
    const int wanted[] = {0, 0, 1, 1, 2, 2, 3, 3, 0};
    for (int i = 0; i < 9; i++) {
        assert_int_equal(pt_pyramid_level(&p, (pt_box){5, 5, 5 + sides[i], 5 + sides[i]}), wanted[i]);
    }
    assert_int_equal(pt_pyramid_level(&p, (pt_box){NAN, 0, 1, 1}), 0);
    assert_int_equal(pt_pyramid_level(&p, (pt_box){0, 0, INFINITY, 1}), 3);
}

static pt_rpn_params rpn_params(void)
{
    pt_rpn_params p = {.levels = 2,
                       .anchors = 1,
                       .pre_nms = 5,
                       .post_nms = 6,
                       .nms_threshold = .7f,
                       .min_size = 1e-3f,
                       .weights = {1, 1, 1, 1}};
    p.base[0][0] = (pt_box){-2, -2, 2, 2};
    p.base[1][0] = (pt_box){-8, -8, 8, 8};
    return p;
}

static void test_rpn(void **state)
{
    (void)state;
    pt_rpn_params params = rpn_params();
    pt_rpn *rpn = NULL;
    pt_pool *pool = NULL;
    assert_int_equal(pt_pool_new(2, &pool).code, PT_OK);
    assert_int_equal(pt_rpn_new(&params, &rpn).code, PT_OK);
    float fine[5 * 16] = {0}, coarse[5 * 4] = {0}; /* 4 x 4 and 2 x 2 cells of a 64 x 64 image */
    for (int i = 0; i < 16; i++) {
        fine[5 * i] = -10 - (float)i;
    }
    fine[5 * 5] = 3;
    fine[5 * 10] = 3; /* a tie: the first by index wins */
    coarse[0] = 1;
    coarse[5] = -1;
    coarse[10] = coarse[15] = -2;
    const pt_map maps[2] = {{.data = fine, .n = 1, .h = 4, .w = 4, .c = 5},
                            {.data = coarse, .n = 1, .h = 2, .w = 2, .c = 5}};
    pt_proposals p = pt_rpn_run(rpn, pool, maps, 64, 64, 60, 50);
    assert_int_equal(p.count, 6);
    assert_int_equal(p.caps, 0);
    const pt_box wanted[3] = {{14, 14, 18, 18}, {30, 30, 34, 34}, {0, 0, 8, 8}};
    assert_memory_equal(p.boxes, wanted, sizeof wanted);
    for (size_t i = 0; i < p.count; i++) {
        assert_true(i == 0 || p.scores[i] <= p.scores[i - 1]);
        assert_true(p.boxes[i].x1 <= 60 && p.boxes[i].y1 <= 50);
    }
    /* All alike and likely: five of sixteen and the post-NMS cap are cut, which is reported. */
    for (int i = 0; i < 16; i++) {
        fine[5 * i] = 2;
        coarse[i / 4 * 5] = 0;
    }
    p = pt_rpn_run(rpn, pool, maps, 64, 64, 60, 50);
    assert_int_equal(p.count, 6);
    assert_int_equal(p.caps, 2);
    for (int i = 0; i < 5 * 16; i++) {
        fine[i] = NAN;
    }
    p = pt_rpn_run(rpn, pool, maps, 64, 64, 60, 50);
    assert_true(p.count <= 4);
    pt_rpn_free(&rpn);
    assert_null(rpn);
    pt_pool_free(&pool);
}

static void test_rpn_failures(void **state)
{
    (void)state;
    pt_rpn *rpn = NULL;
    pt_rpn_params params = rpn_params();
    params.levels = 9;
    assert_int_equal(pt_rpn_new(&params, &rpn).code, PT_E_USAGE);
    params = rpn_params();
    params.pre_nms = 0;
    assert_int_equal(pt_rpn_new(&params, &rpn).code, PT_E_USAGE);
    params = rpn_params();
    pt_status status;
    long n = 0;
    do {
        pt_alloc_fail_after(n++);
        status = pt_rpn_new(&params, &rpn);
        pt_alloc_fail_after(-1);
        assert_true(status.code == PT_OK || (status.code == PT_E_NOMEM && !rpn));
    } while (status.code != PT_OK);
    assert_true(n > 10);
    pt_rpn_free(&rpn);
}

static pt_select_params select_params(int most)
{
    return (pt_select_params){.classes = 3,
                              .weights = {10, 10, 5, 5},
                              .score_threshold = .05f,
                              .nms_threshold = .5f,
                              .min_size = 1e-2f,
                              .max_detections = most};
}

/* Logits that give class 1 and 2 these shares, and no shifts. */
static void set_answer(float *row, float one, float two)
{
    memset(row, 0, 15 * sizeof *row);
    row[0] = logf(1 - one - two);
    row[1] = logf(one);
    row[2] = logf(two);
}

static void test_select(void **state)
{
    (void)state;
    pt_select *select = NULL;
    pt_select_params params = select_params(3);
    assert_int_equal(pt_select_new(&params, 5, &select).code, PT_OK);
    const pt_box proposals[5] = {
        {0, 0, 10, 10}, {0, 0, 10, 9}, {20, 20, 30, 30}, {90, 90, 120, 120}, {100, 100, 120, 120}};
    float answers[5 * 15];
    set_answer(answers, .7f, .2f);
    set_answer(answers + 15, .6f, .3f);   /* falls to the first in class 1, wins in class 2 */
    set_answer(answers + 30, .04f, .04f); /* too weak */
    set_answer(answers + 45, .01f, .25f); /* clipped to the image */
    set_answer(answers + 60, .9f, .05f);  /* outside: empty once clipped */
    const pt_found *found;
    bool capped;
    size_t n = pt_select_run(select, answers, proposals, 5, 100, 95, &found, &capped);
    assert_int_equal(n, 3);
    assert_false(capped);
    assert_int_equal(found[0].class_id, 1);
    assert_memory_equal(&found[0].box, &proposals[0], sizeof(pt_box));
    assert_true(fabsf(found[0].score - .7f) < 1e-6f);
    assert_int_equal(found[1].class_id, 2);
    assert_memory_equal(&found[1].box, &proposals[1], sizeof(pt_box));
    assert_int_equal(found[2].class_id, 2);
    assert_true(found[2].box.x1 == 100 && found[2].box.y1 == 95);
    assert_int_equal(pt_select_run(select, answers, proposals, 0, 100, 95, &found, &capped), 0);
    pt_select_free(&select);
    params.max_detections = 2;
    assert_int_equal(pt_select_new(&params, 5, &select).code, PT_OK);
    set_answer(answers, .7f, .2f);
    set_answer(answers + 15, .6f, .3f);
    set_answer(answers + 30, .3f, .3f);
    assert_int_equal(pt_select_run(select, answers, proposals, 3, 100, 95, &found, &capped), 2);
    assert_true(capped);
    pt_select_free(&select);
    assert_null(select);
}

static void test_select_ties_and_failures(void **state)
{
    (void)state;
    pt_select *select = NULL;
    pt_select_params params = select_params(10);
    assert_int_equal(pt_select_new(&params, 4, &select).code, PT_OK);
    pt_box proposals[4];
    float answers[4 * 15];
    for (int i = 0; i < 4; i++) {
        proposals[i] = (pt_box){(float)(40 - 10 * i), 0, (float)(48 - 10 * i), 8};
        set_answer(answers + 15 * i, .4f, .4f);
    }
    const pt_found *found;
    bool capped;
    assert_int_equal(pt_select_run(select, answers, proposals, 4, 100, 100, &found, &capped), 8);
    for (int i = 0; i < 8; i++) { /* proposal by proposal, class by class */
        assert_int_equal(found[i].class_id, 1 + i % 2);
        assert_true(found[i].box.x0 == proposals[i / 2].x0);
    }
    for (int i = 0; i < 4 * 15; i++) {
        answers[i] = i % 2 ? NAN : INFINITY;
    }
    assert_int_equal(pt_select_run(select, answers, proposals, 4, 100, 100, &found, &capped), 0);
    pt_select_free(&select);
    params.classes = 1;
    assert_int_equal(pt_select_new(&params, 4, &select).code, PT_E_USAGE);
    params = select_params(0);
    assert_int_equal(pt_select_new(&params, 4, &select).code, PT_E_USAGE);
    params = select_params(10);
    pt_status status;
    long n = 0;
    do {
        pt_alloc_fail_after(n++);
        status = pt_select_new(&params, 4, &select);
        pt_alloc_fail_after(-1);
        assert_true(status.code == PT_OK || (status.code == PT_E_NOMEM && !select));
    } while (status.code != PT_OK);
    assert_true(n > 10);
    pt_select_free(&select);
}

/* The definition in double; expanded as mask_logits.h has it. */
static double logit(const pt_map *map, size_t region, int y, int x, const float *weights, float bias)
{
    int channels = map->c / 4, sub = y % 2 * 2 + x % 2;
    size_t cell = (region * (size_t)map->h + (size_t)(y / 2)) * (size_t)map->w + (size_t)(x / 2);
    double sum = (double)bias;
    for (int c = 0; c < channels; c++) {
        size_t i = cell * (size_t)map->c + (size_t)(sub * channels + c);
        double v = map->elem == PT_F32 ? (double)pt_map_f32(map)[i]
                                       : (pt_map_u8(map)[i] - map->quant.zero) * (double)map->quant.scale;
        sum += v * (double)weights[c];
    }
    return sum;
}

static void test_mask_logits(void **state)
{
    (void)state;
    enum { C = 37, SIDE = 67, N = 2, CLASSES = 3, COUNT = N * SIDE * SIDE * 4 * C, PIXELS = 4 * SIDE * SIDE };
    randoms r = {6};
    float *floats = calloc(COUNT, sizeof *floats), *out = calloc(N * PIXELS, sizeof *out);
    uint8_t *bytes = calloc(COUNT, 1);
    assert_true(floats && bytes && out);
    float weights[CLASSES * C];
    random_fill(&r, floats, COUNT, -1, 1);
    random_fill(&r, weights, CLASSES * C, -1, 1);
    for (int i = 0; i < COUNT; i++) {
        bytes[i] = (uint8_t)random_int(&r, 0, 255);
    }
    const float bias[CLASSES] = {5, .25f, -.5f};
    const int ids[N] = {2, 1};
    pt_pool *pool = NULL;
    assert_int_equal(pt_pool_new(3, &pool).code, PT_OK);
    for (int elem = PT_F32; elem <= PT_U8; elem++) {
        pt_map map = {.n = N, .h = SIDE, .w = SIDE, .c = 4 * C, .elem = (pt_elem)elem, .quant = {.01f, 9}};
        map.data = elem == PT_F32 ? (void *)floats : bytes;
        pt_op_mask_logits(pool, &map, ids, weights, bias, out);
        for (int i = 0; i < N * PIXELS; i++) {
            int id = ids[i / PIXELS], y = i % PIXELS / (2 * SIDE), x = i % (2 * SIDE);
            double wanted = logit(&map, (size_t)(i / PIXELS), y, x, weights + id * C, bias[id]);
            assert_true(fabs(wanted - (double)out[i]) < 1e-4);
        }
    }
    pt_pool_free(&pool);
    free(floats);
    free(bytes);
    free(out);
}

static void test_paste_extent(void **state)
{
    (void)state;
    /* 28 cells on 28 pixels: one more on each side, then torchvision's inclusive end. */
    pt_rect r = pt_paste_extent((pt_box){10, 20, 38, 48}, 28);
    assert_true(pt_rect_equal(r, (pt_rect){9, 19, 31, 31}));
    r = pt_paste_extent((pt_box){0, 0, 2.8f, 2.8f}, 28); /* -0.1 is cut to 0 */
    assert_true(pt_rect_equal(r, (pt_rect){0, 0, 3, 3}));
    r = pt_paste_extent((pt_box){NAN, 0, INFINITY, 1}, 28);
    assert_true(r.w >= 1 && r.h >= 1);
}

static void test_paste(void **state)
{
    (void)state;
    enum { SIDE = 28, W = 64, H = 64 };
    float mask[SIDE * SIDE], out[W * H], part[100];
    for (int i = 0; i < SIDE * SIDE; i++) {
        mask[i] = 1;
    }
    pt_box box = {10, 20, 38, 48};
    pt_paste(mask, SIDE, box, (pt_rect){0, 0, W, H}, out);
    assert_true(out[0] == 0 && out[34 * W + 24] == 1 && out[19 * W + 24] < .5f && out[20 * W + 24] > .5f);
    pt_paste(mask, SIDE, box, (pt_rect){5, 15, 10, 10}, part);
    for (int i = 0; i < 100; i++) {
        assert_true(part[i] == out[(15 + i / 10) * W + 5 + i % 10]);
    }
    pt_paste(mask, SIDE, (pt_box){5, 5, 5, 5}, (pt_rect){0, 0, W, H}, out); /* a point still has a pixel */
    assert_true(out[5 * W + 5] > 0 && out[6 * W + 6] == 0);
}

/* Pixel by pixel as torch's interpolation has it. */
static float pasted(const float *mask, int side, pt_rect extent, int64_t px, int64_t py)
{
    float share[2];
    int cells[2][2];
    const int64_t at[2] = {px - extent.x, py - extent.y}, sizes[2] = {extent.w, extent.h};
    if (!pt_rect_contains_pixel(extent, px, py)) {
        return 0;
    }
    for (int axis = 0; axis < 2; axis++) {
        float place = (float)(side + 2) / (float)sizes[axis] * ((float)at[axis] + .5f) - .5f;
        place = place > 0 ? place : 0;
        int i = (int)place < side + 1 ? (int)place : side + 1;
        share[axis] = place - (float)i;
        cells[axis][0] = i - 1;
        cells[axis][1] = (i < side + 1 ? i + 1 : i) - 1;
    }
    float rows[2];
    for (int r = 0; r < 2; r++) {
        float v[2] = {0, 0};
        for (int c = 0; c < 2; c++) {
            int y = cells[1][r], x = cells[0][c];
            v[c] = y >= 0 && y < side && x >= 0 && x < side ? mask[y * side + x] : 0;
        }
        rows[r] = (1 - share[0]) * v[0] + share[0] * v[1];
    }
    return (1 - share[1]) * rows[0] + share[1] * rows[1];
}

static void test_paste_exactly(void **state)
{
    (void)state;
    randoms r = {60};
    for (int round = 0; round < 150; round++) {
        int side = random_int(&r, 1, 30);
        float mask[900];
        random_fill(&r, mask, 900, 0, 1);
        for (int i = 0; i < 900; i += 3) {
            mask[i] = (float)(i % 2); /* sharp edges, and exactly 1 */
        }
        pt_box box = random_box(&r, round % 3 ? 100 : 500);
        pt_rect extent = pt_paste_extent(box, side);
        pt_rect area = {extent.x - random_int(&r, -9, 9), extent.y - random_int(&r, -9, 9),
                        random_int(&r, 1, 20) + extent.w / random_int(&r, 1, 2), random_int(&r, 1, 150)};
        size_t pixels = (size_t)pt_rect_area(area);
        float *out = calloc(pixels, sizeof *out);
        uint8_t *bytes = malloc(pixels);
        assert_true(out && bytes);
        memset(bytes, 77, pixels);
        pt_paste(mask, side, box, area, out);
        pt_paste_bytes(mask, side, box, area, bytes);
        for (size_t i = 0; i < pixels; i++) {
            int64_t x = area.x + (int64_t)i % area.w, y = area.y + (int64_t)i / area.w;
            float wanted = pasted(mask, side, extent, x, y);
            assert_true(out[i] == wanted);
            assert_int_equal(bytes[i], wanted * 256 < 255 ? (int)(wanted * 256) : 255);
        }
        free(out);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roi_align),
        cmocka_unit_test(test_roi_align_many),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_rpn),
        cmocka_unit_test(test_rpn_failures),
        cmocka_unit_test(test_select),
        cmocka_unit_test(test_select_ties_and_failures),
        cmocka_unit_test(test_mask_logits),
        cmocka_unit_test(test_paste_extent),
        cmocka_unit_test(test_paste),
        cmocka_unit_test(test_paste_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
