#include "cli/tune_grid.h"

#include "cli/console.h"
#include "cli/stop.h"
#include "cli/tune_score.h"
#include "worker/detect/detector.h"

#include <string.h>

enum { RUNS = 2 };

static const double tile_pixels = 1024.0 * 1024.0;

void pt_tune_fini(pt_tune *tune)
{
    for (size_t i = 0; i < tune->count; i++) {
        pt_window_fini(&tune->tiles[i].window);
        pt_instance_list_fini(&tune->tiles[i].truth);
    }
    pt_free(tune->tiles);
    memset(tune, 0, sizeof *tune);
}

static pt_status copy_window(const pt_window *from, pt_window *out)
{
    size_t pixels = (size_t)pt_rect_area(from->rect);
    pt_window copy = {.rect = from->rect, .valid_count = from->valid_count, .capacity = pixels};
    copy.rgb = pt_alloc(pixels, 3);
    copy.valid = pt_alloc(pixels, 1);
    if (!copy.rgb || !copy.valid) {
        pt_window_fini(&copy);
        return PT_NOMEM("a tile");
    }
    memcpy(copy.rgb, from->rgb, 3 * pixels);
    memcpy(copy.valid, from->valid, pixels);
    *out = copy;
    return pt_ok();
}

static pt_status read_truth(const char *path, const pt_sample *sample, pt_instance_list *out)
{
    pt_detector *oracle = NULL;
    bool capped = false;
    PT_TRY(pt_detector_new_oracle(path, sample->scene, &oracle));
    pt_status status = pt_detector_detect(oracle, sample->tile, sample->window, out, &capped);
    pt_detector_free(&oracle);
    return status;
}

pt_status pt_tune_take(void *user, const pt_sample *sample)
{
    pt_tune *tune = user;
    const pt_scene_info *info = pt_scene_describe(sample->scene);
    PT_TRY(pt_grow(&tune->tiles, &tune->capacity, tune->count + 1, sizeof *tune->tiles));
    pt_tune_tile *tile = &tune->tiles[tune->count];
    *tile = (pt_tune_tile){.scene = {0, 0, info->width, info->height}};
    PT_TRY(copy_window(sample->window, &tile->window));
    tune->count++;
    return tune->truth ? read_truth(tune->truth, sample, &tile->truth) : pt_ok();
}

static pt_status open_engine(const pt_tune *tune, const char *model, const char *precision, double score,
                             pt_engine **out)
{
    pt_engine_options options = pt_engine_defaults();
    options.threads = tune->threads;
    options.streams = 1;
    options.precision = precision;
    options.score_threshold = (float)score;
    return pt_engine_open(model, &options, out);
}

static pt_status detect(pt_engine *engine, const pt_tune_tile *tile, int64_t index, pt_instance_list *out)
{
    pt_detector *detector = NULL;
    bool capped = false;
    PT_TRY(pt_stop_check());
    PT_TRY(pt_detector_new_engine(engine, tile->scene, &detector));
    pt_status status = pt_detector_detect(detector, index, &tile->window, out, &capped);
    pt_detector_free(&detector);
    return status;
}

pt_status pt_tune_label(pt_tune *tune, const char *model)
{
    pt_engine *engine = NULL;
    PT_TRY(open_engine(tune, model, "fp32", tune->export_score, &engine));
    pt_status status = pt_ok();
    for (size_t i = 0; status.code == PT_OK && i < tune->count; i++) {
        status = detect(engine, &tune->tiles[i], (int64_t)i, &tune->tiles[i].truth);
    }
    pt_engine_close(&engine);
    return status;
}

/* The first run of a size sets up its memory, so that the better of two says what it takes. */
static pt_status measure_tile(pt_engine *engine, const pt_tune_tile *tile, int64_t index,
                              pt_tune_score *score, double *seconds)
{
    pt_status status = pt_ok();
    double best = 0;
    for (int run = 0; status.code == PT_OK && run < RUNS; run++) {
        pt_instance_list found = {0};
        double start = pt_console_clock();
        status = detect(engine, tile, index, &found);
        double took = pt_console_clock() - start;
        best = run == 0 || took < best ? took : best;
        if (status.code == PT_OK && run == 0) {
            status = pt_tune_score_add(score, &tile->truth, &found);
        }
        pt_instance_list_fini(&found);
    }
    *seconds += best;
    return status;
}

pt_status pt_tune_measure(const pt_tune *tune, const char *model, const char *precision, pt_tune_row *out)
{
    pt_engine *engine = NULL;
    pt_tune_score score = {0};
    double seconds = 0, pixels = 0;
    pt_status status;
    PT_TRY_OUT(open_engine(tune, model, precision, -1, &engine));
    for (size_t i = 0; i < tune->count; i++) {
        PT_TRY_OUT(measure_tile(engine, &tune->tiles[i], (int64_t)i, &score, &seconds));
        pixels += (double)pt_rect_area(tune->tiles[i].window.rect);
    }
    pt_engine_memory memory = pt_engine_memory_use(engine);
    out->f1 = pt_tune_score_f1(&score, tune->export_score);
    out->ap = pt_tune_score_ap(&score);
    out->ms = 1e3 * seconds * tile_pixels / pixels;
    out->memory = memory.weights + memory.arena;
out:
    pt_tune_score_fini(&score);
    pt_engine_close(&engine);
    return status;
}

static bool beats(const pt_tune_row *a, const pt_tune_row *b)
{
    return a->f1 >= b->f1 && a->ms <= b->ms && (a->f1 > b->f1 || a->ms < b->ms);
}

void pt_tune_choose(pt_tune_row *rows, size_t count, double tolerance)
{
    size_t chosen = 0;
    for (size_t i = 0; i < count; i++) {
        rows[i].pareto = true;
        rows[i].chosen = false;
        for (size_t k = 0; k < count; k++) {
            rows[i].pareto &= !beats(&rows[k], &rows[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        bool faster = rows[i].ms < rows[chosen].ms;
        bool as_fast = rows[i].ms == rows[chosen].ms && rows[i].f1 > rows[chosen].f1;
        if (rows[0].f1 - rows[i].f1 <= tolerance && (faster || as_fast)) {
            chosen = i;
        }
    }
    rows[chosen].chosen = true;
}

const pt_tune_row *pt_tune_chosen(const pt_tune_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].chosen) {
            return &rows[i];
        }
    }
    return rows;
}
