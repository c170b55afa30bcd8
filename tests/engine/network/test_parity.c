/* Every backend against torchvision: each stage on the same weights and images. Arguments: fixture folder,
 * model, case. */
#include "engine/backend/backend.h"
#include "engine/engine.h"
#include "engine/graph/tap.h"
#include "tests/engine/network/tables.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *folder, *model_name, *case_name, *backend_name;

static const double map_tolerance = 1e-4; /* relative L2 */
static const float box_tolerance = .05f;  /* pixels */
static const float score_tolerance = 1e-3f;

typedef struct fixture {
    tables wanted, got;
    int image; /* of the tables that come in next; -1 before the first */
    pt_engine *engine;
} fixture;

/* "C" of level 0 is the first table of every image. */
static void keep(void *user, const pt_tap_view *view)
{
    fixture *f = user;
    f->image += strcmp(view->name, "C") == 0 && view->level == 0;
    tables_add(&f->got, f->image, view->name, view->level, view->data, view->rows, view->columns);
}

static bool is_map(const table *t)
{
    return strcmp(t->name, "C") == 0 || strcmp(t->name, "P") == 0 || strcmp(t->name, "rpn") == 0;
}

/* torchvision's maps lie channel by channel, ours pixel by pixel. */
static void transpose(table *t)
{
    float *turned = calloc(t->rows * t->columns + 1, sizeof *turned);
    assert_non_null(turned);
    for (size_t r = 0; r < t->rows; r++) {
        for (size_t c = 0; c < t->columns; c++) {
            turned[c * t->rows + r] = t->data[r * t->columns + c];
        }
    }
    free(t->data);
    t->data = turned;
    size_t rows = t->rows;
    t->rows = t->columns;
    t->columns = rows;
}

static int setup(void **state)
{
    char path[1024];
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    snprintf(path, sizeof path, "%s/%s.%s", folder, model_name, case_name);
    f->wanted = tables_read(path);
    for (size_t i = 0; i < f->wanted.count; i++) {
        if (is_map(&f->wanted.items[i])) {
            transpose(&f->wanted.items[i]);
        }
    }
    f->image = -1;
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, model_name);
    pt_engine_options options = pt_engine_defaults();
    options.threads = 2;
    options.backend = backend_name;
    options.precision = "fp32";
    pt_status status = pt_engine_open(path, &options, &f->engine);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    pt_engine_set_tap(f->engine, keep, f);
    pt_image images[8];
    assert_true(f->wanted.images <= 8);
    size_t bytes = 3 * (size_t)f->wanted.width * (size_t)f->wanted.height;
    for (int i = 0; i < f->wanted.images; i++) {
        images[i] = (pt_image){f->wanted.rgb + (size_t)i * bytes, f->wanted.width, f->wanted.height,
                               3 * f->wanted.width};
    }
    assert_int_equal(pt_engine_infer(f->engine, images, (size_t)f->wanted.images).code, PT_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    pt_engine_close(&f->engine);
    tables_free(&f->wanted);
    tables_free(&f->got);
    free(f);
    return 0;
}

static const table *same_shape(const fixture *f, const table *wanted)
{
    const table *got = tables_find(&f->got, wanted->image, wanted->name, wanted->level);
    if (!got || got->rows != wanted->rows || got->columns != wanted->columns) {
        fail_msg("%s %d of image %d: %zu x %zu wanted, %zu x %zu found", wanted->name, wanted->level,
                 wanted->image, wanted->rows, wanted->columns, got ? got->rows : 0, got ? got->columns : 0);
    }
    return got;
}

static void check_close(const table *wanted, const float *got, const float *reference)
{
    double error = relative_l2(got, reference, wanted->rows * wanted->columns);
    print_message("%s %d of image %d: relative L2 error %.1e\n", wanted->name, wanted->level, wanted->image,
                  error);
    if (!(error <= map_tolerance)) {
        fail_msg("%s %d of image %d: relative L2 error %g", wanted->name, wanted->level, wanted->image,
                 error);
    }
}

/* Backbone, pyramid, RPN: the same tables. */
static void test_maps(void **state)
{
    fixture *f = *state;
    int checked = 0;
    for (size_t i = 0; i < f->wanted.count; i++) {
        const table *wanted = &f->wanted.items[i];
        if (!is_map(wanted)) {
            continue;
        }
        check_close(wanted, same_shape(f, wanted)->data, wanted->data);
        checked++;
    }
    int inputs = strcmp(model_name, "mnv2_tv") == 0 ? 2 : 4;
    assert_int_equal(checked, inputs + 2 * (inputs + 1));
}

/* Row of `got` nearest to a row of `wanted` that no earlier row has taken. */
static size_t nearest_row(const table *wanted, size_t row, const table *got, const bool *taken)
{
    size_t best = SIZE_MAX;
    double least = INFINITY;
    for (size_t i = 0; i < got->rows; i++) {
        double sum = 0;
        for (size_t c = 0; c < wanted->columns; c++) {
            sum += fabs((double)got->data[i * got->columns + c] -
                        (double)wanted->data[row * wanted->columns + c]);
        }
        if (!taken[i] && sum < least) {
            least = sum;
            best = i;
        }
    }
    return best;
}

/* Proposals of almost equal score may change places, so rows are paired first; the answers follow their
 * proposals. */
static void test_proposals_and_answers(void **state)
{
    fixture *f = *state;
    for (int image = 0; image < f->wanted.images; image++) {
        const table *boxes = tables_find(&f->wanted, image, "proposals", 0);
        const table *answers = tables_find(&f->wanted, image, "answers", 0);
        const table *got_boxes = same_shape(f, boxes), *got_answers = same_shape(f, answers);
        bool *taken = calloc(boxes->rows, sizeof *taken);
        float *paired_boxes = calloc(boxes->rows * 4, sizeof *paired_boxes);
        float *paired = calloc(answers->rows * answers->columns, sizeof *paired);
        assert_true(taken && paired_boxes && paired);
        for (size_t i = 0; i < boxes->rows; i++) {
            size_t at = nearest_row(boxes, i, got_boxes, taken);
            taken[at] = true;
            memcpy(paired_boxes + 4 * i, got_boxes->data + 4 * at, 4 * sizeof(float));
            memcpy(paired + answers->columns * i, got_answers->data + answers->columns * at,
                   answers->columns * sizeof(float));
        }
        check_close(boxes, paired_boxes, boxes->data);
        check_close(answers, paired, answers->data);
        free(taken);
        free(paired_boxes);
        free(paired);
    }
}

/* The detection of ours that is a wanted row: class, box and score agree. Fails when there is none. */
static size_t find_detection(const float *row, const pt_detection *items, size_t count, const bool *taken)
{
    for (size_t i = 0; i < count; i++) {
        const pt_detection *d = &items[i];
        if (!taken[i] && d->class_id == (int)row[5] && fabsf(d->score - row[4]) <= score_tolerance &&
            fabsf(d->x0 - row[0]) <= box_tolerance && fabsf(d->y0 - row[1]) <= box_tolerance &&
            fabsf(d->x1 - row[2]) <= box_tolerance && fabsf(d->y1 - row[3]) <= box_tolerance) {
            return i;
        }
    }
    fail_msg("no detection is (%.2f %.2f %.2f %.2f) class %d with %.4f", (double)row[0], (double)row[1],
             (double)row[2], (double)row[3], (int)row[5], (double)row[4]);
    return 0;
}

static void check_pasted(const fixture *f, const float *wanted, const pt_detection *detection, int mask_size,
                         bool exact)
{
    size_t pixels = (size_t)f->wanted.width * (size_t)f->wanted.height;
    float *got = calloc(pixels, sizeof *got);
    assert_non_null(got);
    pt_rect all = {0, 0, f->wanted.width, f->wanted.height};
    pt_engine_paste_mask(detection, mask_size, all, got);
    pt_rect area = pt_engine_paste_area(detection, mask_size, f->wanted.width, f->wanted.height);
    size_t both = 0, either = 0;
    for (size_t i = 0; i < pixels; i++) {
        bool a = got[i] >= .5f, b = wanted[i] >= .5f;
        both += a && b;
        either += a || b;
        if (exact && a != b) {
            assert_true(fabsf(wanted[i] - .5f) <= 1e-4f);
        }
        if (exact) {
            assert_true(fabsf(got[i] - wanted[i]) <= 1e-4f);
        }
        int64_t x = (int64_t)(i % (size_t)f->wanted.width), y = (int64_t)(i / (size_t)f->wanted.width);
        assert_true(got[i] == 0 || pt_rect_contains_pixel(area, x, y));
    }
    assert_true(either == 0 || (double)both / (double)either > .999);
    free(got);
}

static void test_detections(void **state)
{
    fixture *f = *state;
    for (int image = 0; image < f->wanted.images; image++) {
        const table *wanted = tables_find(&f->wanted, image, "detections", 0);
        const table *logits = tables_find(&f->wanted, image, "masks", 0);
        const table *pasted = tables_find(&f->wanted, image, "pasted", 0);
        const table *got_logits = same_shape(f, logits);
        const pt_detection *items;
        size_t count;
        assert_int_equal(pt_engine_detections(f->engine, (size_t)image, &items, &count).code, PT_OK);
        assert_int_equal(count, wanted->rows);
        bool taken[256] = {false};
        assert_true(count <= 256);
        int side = pt_engine_model(f->engine)->mask_size;
        float *paired = calloc(logits->rows * logits->columns, sizeof *paired);
        assert_non_null(paired);
        for (size_t i = 0; i < wanted->rows; i++) {
            const float *row = wanted->data + 6 * i;
            size_t at = find_detection(row, items, count, taken);
            taken[at] = true;
            memcpy(paired + i * logits->columns, got_logits->data + at * logits->columns,
                   logits->columns * sizeof(float));
            if (i < pasted->rows) {
                check_pasted(f, pasted->data + i * pasted->columns, &items[at], side, false);
            }
        }
        check_close(logits, paired, logits->data);
        free(paired);
    }
}

/* From torchvision's own boxes and probabilities, so that nothing but the pasting differs. */
static void test_paste(void **state)
{
    fixture *f = *state;
    const table *wanted = tables_find(&f->wanted, 0, "detections", 0);
    const table *logits = tables_find(&f->wanted, 0, "masks", 0);
    const table *pasted = tables_find(&f->wanted, 0, "pasted", 0);
    int side = pt_engine_model(f->engine)->mask_size;
    float *mask = calloc(logits->columns, sizeof *mask);
    assert_non_null(mask);
    for (size_t i = 0; i < pasted->rows; i++) {
        const float *row = wanted->data + 6 * i;
        for (size_t j = 0; j < logits->columns; j++) {
            mask[j] = 1 / (1 + expf(-logits->data[i * logits->columns + j]));
        }
        pt_detection detection = {row[0], row[1], row[2], row[3], row[4], (int)row[5], mask};
        check_pasted(f, pasted->data + i * pasted->columns, &detection, side, true);
    }
    free(mask);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        return 2;
    }
    folder = argv[1];
    model_name = argv[2];
    case_name = argv[3];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_proposals_and_answers),
        cmocka_unit_test(test_detections),
        cmocka_unit_test(test_paste),
    };
    int failed = 0;
    for (const char *const *name = pt_backend_names(); *name; name++) {
        backend_name = *name;
        print_message("Backend %s\n", backend_name);
        failed += cmocka_run_group_tests(tests, setup, teardown);
    }
    return failed;
}
