#include "engine/engine.h"

#include "engine/backend/backend.h"
#include "engine/graph/network.h"
#include "engine/model/model.h"
#include "engine/ops/paste.h"

#include <string.h>

enum { MAX_SIDE = 16384, MAX_DETECTIONS = 100000, MAX_PROPOSALS = 100000 };

struct pt_engine {
    pt_model *model;
    pt_backend *backend;
    pt_network *network;
    /* Results of the last call: max_detections places for each image. */
    pt_detection *items;
    float *masks;
    size_t *counts;
    size_t capacity; /* images that the three have room for */
    size_t images;
    pt_engine_caps caps;
};

pt_engine_options pt_engine_defaults(void)
{
    return (pt_engine_options){.threads = 0, .score_threshold = -1, .backend = NULL};
}

bool pt_engine_blas_core_fix(const char **env_name, const char **env_value)
{
    const char *core = pt_blas_core_wanted();
    if (!core) {
        return false;
    }
    *env_name = "OPENBLAS_CORETYPE";
    *env_value = core;
    return true;
}

static void warn_about_blas(void)
{
    const char *name, *value;
    if (pt_engine_blas_core_fix(&name, &value)) {
        PT_WARN("OpenBLAS does not know this CPU and uses slow kernels; set the variable named here for 2 to "
                "5 times "
                "the speed",
                PT_S("variable", name), PT_S("value", value));
    }
}

pt_status pt_engine_open(const char *model_path, const pt_engine_options *options, pt_engine **out)
{
    pt_engine_options defaults = pt_engine_defaults();
    const pt_engine_options *o = options ? options : &defaults;
    if (!model_path || o->max_detections < 0 || o->max_detections > MAX_DETECTIONS || o->max_proposals < 0 ||
        o->max_proposals > MAX_PROPOSALS || !(o->score_threshold <= 1)) {
        return pt_error(PT_E_USAGE,
                        "the engine needs a model, a score threshold of at most 1, at most %d detections and "
                        "at most %d proposals",
                        MAX_DETECTIONS, MAX_PROPOSALS);
    }
    pt_status status;
    pt_engine *engine = pt_calloc(1, sizeof *engine);
    if (!engine) {
        return PT_NOMEM("the engine");
    }
    PT_TRY_OUT(pt_backend_open(o->backend, o->threads, &engine->backend));
    PT_TRY_OUT(pt_model_open(model_path, &engine->model));
    warn_about_blas();
    status = pt_network_new(engine->model, engine->backend, o, &engine->network);
    if (status.code != PT_OK) {
        status = pt_context(status, "%s", model_path);
        goto out;
    }
    *out = engine;
    engine = NULL;
out:
    pt_engine_close(&engine);
    return status;
}

void pt_engine_close(pt_engine **engine)
{
    pt_engine *e = *engine;
    if (!e) {
        return;
    }
    pt_network_free(&e->network);
    pt_backend_close(&e->backend);
    pt_model_close(&e->model);
    pt_free(e->items);
    pt_free(e->masks);
    pt_free(e->counts);
    pt_free(e);
    *engine = NULL;
}

const pt_model_summary *pt_engine_model(const pt_engine *engine)
{
    return pt_model_get_summary(engine->model);
}

const char *pt_engine_backend(const pt_engine *engine)
{
    return engine->backend->description;
}

int pt_engine_threads(const pt_engine *engine)
{
    return pt_pool_threads(engine->backend->pool);
}

uint64_t pt_engine_progress(const pt_engine *engine)
{
    return atomic_load_explicit(&engine->backend->steps, memory_order_relaxed);
}

void pt_engine_set_tap(pt_engine *engine, pt_tap *tap, void *user)
{
    pt_network_set_tap(engine->network, tap, user);
}

static pt_status check_images(const pt_image *images, size_t count)
{
    if (!images && count > 0) {
        return pt_error(PT_E_USAGE, "no images given");
    }
    for (size_t i = 0; i < count; i++) {
        const pt_image *image = &images[i];
        if (image->width < 1 || image->height < 1 || image->width > MAX_SIDE || image->height > MAX_SIDE) {
            return pt_error(PT_E_USAGE, "image %zu of %d x %d pixels: sides must be 1 to %d", i, image->width,
                            image->height, MAX_SIDE);
        }
        if (image->width != images[0].width || image->height != images[0].height) {
            return pt_error(PT_E_USAGE, "image %zu differs in size from the first of its batch", i);
        }
        if (!image->rgb || image->row_stride < 3 * (ptrdiff_t)image->width) {
            return pt_error(PT_E_USAGE, "image %zu has no pixels, or rows shorter than its width", i);
        }
    }
    return pt_ok();
}

static size_t mask_floats(const pt_engine *engine)
{
    size_t side = (size_t)pt_engine_model(engine)->mask_size;
    return side * side;
}

/* Room for the results of `count` images; grows only. */
static pt_status reserve_results(pt_engine *engine, size_t count)
{
    if (count <= engine->capacity) {
        return pt_ok();
    }
    size_t places, floats;
    if (!pt_size_mul(count, (size_t)pt_network_max_detections(engine->network), &places) ||
        !pt_size_mul(places, mask_floats(engine), &floats)) {
        return PT_NOMEM("detections");
    }
    pt_detection *items = pt_alloc(places, sizeof *items);
    float *masks = pt_alloc_aligned(floats, sizeof *masks);
    size_t *counts = pt_calloc(count, sizeof *counts);
    if (!items || !masks || !counts) {
        pt_free(items);
        pt_free(masks);
        pt_free(counts);
        return PT_NOMEM("detections");
    }
    pt_free(engine->items);
    pt_free(engine->masks);
    pt_free(engine->counts);
    engine->items = items;
    engine->masks = masks;
    engine->counts = counts;
    engine->capacity = count;
    return pt_ok();
}

static void infer_one(pt_engine *engine, const pt_image *image, size_t index)
{
    size_t most = (size_t)pt_network_max_detections(engine->network);
    pt_detection *items = engine->items + index * most;
    float *masks = engine->masks + index * most * mask_floats(engine);
    const pt_found *found;
    size_t count = pt_network_run(engine->network, image, &found, masks, &engine->caps);
    for (size_t i = 0; i < count; i++) {
        items[i] = (pt_detection){
            .x0 = found[i].box.x0,
            .y0 = found[i].box.y0,
            .x1 = found[i].box.x1,
            .y1 = found[i].box.y1,
            .score = found[i].score,
            .class_id = found[i].class_id,
            .mask = masks + i * mask_floats(engine),
        };
    }
    engine->counts[index] = count;
}

pt_status pt_engine_infer(pt_engine *engine, const pt_image *images, size_t count)
{
    engine->images = 0;
    engine->caps = (pt_engine_caps){0, 0};
    PT_TRY(check_images(images, count));
    if (count == 0) {
        return pt_ok();
    }
    PT_TRY(reserve_results(engine, count));
    PT_TRY(pt_network_plan(engine->network, images[0].width, images[0].height));
    for (size_t i = 0; i < count; i++) {
        infer_one(engine, &images[i], i);
    }
    engine->images = count;
    return pt_ok();
}

pt_status pt_engine_detections(const pt_engine *engine, size_t image, const pt_detection **items,
                               size_t *count)
{
    if (image >= engine->images) {
        return pt_error(PT_E_USAGE, "image %zu asked for, the last call had %zu", image, engine->images);
    }
    *items = engine->items + image * (size_t)pt_network_max_detections(engine->network);
    *count = engine->counts[image];
    return pt_ok();
}

pt_engine_caps pt_engine_last_caps(const pt_engine *engine)
{
    return engine->caps;
}

static pt_box box_of(const pt_detection *detection)
{
    return (pt_box){detection->x0, detection->y0, detection->x1, detection->y1};
}

pt_rect pt_engine_paste_area(const pt_detection *detection, int mask_size, int width, int height)
{
    return pt_rect_intersect(pt_paste_extent(box_of(detection), mask_size), (pt_rect){0, 0, width, height});
}

void pt_engine_paste_mask(const pt_detection *detection, int mask_size, pt_rect area, float *out)
{
    pt_paste(detection->mask, mask_size, box_of(detection), area, out);
}
