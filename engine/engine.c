#include "engine/engine.h"

#include "engine/backend/backend.h"
#include "engine/graph/network.h"
#include "engine/graph/parts.h"
#include "engine/graph/tap.h"
#include "engine/model/model.h"
#include "engine/ops/paste.h"

#include <stdatomic.h>
#include <string.h>

enum { MAX_SIDE = 16384, MAX_DETECTIONS = 100000, MAX_PROPOSALS = 100000, MAX_STREAMS = 256 };

/* A network that runs beside the others, on threads of its own. */
typedef struct stream {
    pt_backend *backend;
    pt_network *network; /* the first owns the layers, the others share them */
    pt_engine_caps caps;
} stream;

struct pt_engine {
    pt_model *model;
    stream *streams;
    int stream_count;
    pt_pool *drivers; /* one thread for each stream */
    int threads;
    bool tapped, observed; /* then the first stream alone computes */
    char precision[4096];
    /* Results of the last call: max_detections places for each image. */
    pt_detection *items;
    float *masks;
    size_t *counts;
    size_t capacity; /* images that the three have room for */
    size_t images;
    pt_engine_caps caps;
    pt_layer_report *layers;
    size_t layer_capacity;
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

void pt_engine_blas_end_threads(void)
{
    pt_blas_end_threads();
}

/* Of interest to who computes with it alone. */
static void warn_about_blas(const pt_engine *engine)
{
    const char *name, *value;
    if (engine->streams[0].backend->ops == &pt_backend_portable && pt_engine_blas_core_fix(&name, &value)) {
        PT_WARN("OpenBLAS does not know this CPU and uses slow kernels; set the variable named here for 2 to "
                "5 times "
                "the speed",
                PT_S("variable", name), PT_S("value", value));
    }
}

static pt_status check_options(const char *model_path, const pt_engine_options *o)
{
    if (!model_path || o->max_detections < 0 || o->max_detections > MAX_DETECTIONS || o->max_proposals < 0 ||
        o->max_proposals > MAX_PROPOSALS || !(o->score_threshold <= 1)) {
        return pt_error(PT_E_USAGE,
                        "the engine needs a model, a score threshold of at most 1, at most %d detections and "
                        "at most %d proposals",
                        MAX_DETECTIONS, MAX_PROPOSALS);
    }
    if (o->streams < 0 || o->streams > MAX_STREAMS) {
        return pt_error(PT_E_USAGE, "%d streams: give 0 (one) to %d", o->streams, MAX_STREAMS);
    }
    return pt_ok();
}

/* Streams share the threads; each has one at least. */
static pt_status open_streams(pt_engine *engine, const pt_engine_options *o)
{
    int count = o->streams > 0 ? o->streams : 1;
    int threads = o->threads == 0 ? pt_cpu_count() : o->threads;
    engine->streams = pt_calloc((size_t)count, sizeof *engine->streams);
    if (!engine->streams) {
        return PT_NOMEM("the engine");
    }
    engine->stream_count = count;
    for (int i = 0; i < count; i++) {
        int each = threads / count + (i < threads % count);
        PT_TRY(pt_backend_open(o->backend, each == 0 ? 1 : each, &engine->streams[i].backend));
        engine->threads += pt_pool_threads(engine->streams[i].backend->pool);
    }
    return count > 1 ? pt_pool_new(count, &engine->drivers) : pt_ok();
}

static pt_status build_networks(pt_engine *engine, const pt_engine_options *o)
{
    pt_precision precision;
    bool strict;
    PT_TRY(pt_parts_precision(engine->model, o->precision, &precision, &strict));
    if (!pt_precision_print(&precision, engine->precision, sizeof engine->precision)) {
        return pt_error(PT_E_USAGE, "the precision names too many layers");
    }
    stream *first = &engine->streams[0];
    PT_TRY(pt_network_new(engine->model, first->backend, o, &precision, strict, &first->network));
    for (int i = 1; i < engine->stream_count; i++) {
        stream *next = &engine->streams[i];
        PT_TRY(pt_network_share(first->network, next->backend, &next->network));
    }
    return pt_ok();
}

pt_status pt_engine_open(const char *model_path, const pt_engine_options *options, pt_engine **out)
{
    pt_engine_options defaults = pt_engine_defaults();
    const pt_engine_options *o = options ? options : &defaults;
    PT_TRY(check_options(model_path, o));
    pt_status status;
    pt_engine *engine = pt_calloc(1, sizeof *engine);
    if (!engine) {
        return PT_NOMEM("the engine");
    }
    PT_TRY_OUT(open_streams(engine, o));
    PT_TRY_OUT(pt_model_open(model_path, &engine->model));
    warn_about_blas(engine);
    status = build_networks(engine, o);
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

pt_status pt_engine_check_backend(const char *backend, bool here)
{
    pt_backend *opened = NULL;
    PT_TRY(pt_backend_check_name(backend));
    if (here) {
        PT_TRY(pt_backend_open(backend, 1, &opened));
        pt_backend_close(&opened);
    }
    return pt_ok();
}

void pt_engine_close(pt_engine **engine)
{
    pt_engine *e = *engine;
    if (!e) {
        return;
    }
    for (int i = e->stream_count - 1; i >= 0; i--) { /* the first, whose layers the others share, last */
        pt_network_free(&e->streams[i].network);
        pt_backend_close(&e->streams[i].backend);
    }
    pt_pool_free(&e->drivers);
    pt_free(e->streams);
    pt_model_close(&e->model);
    pt_free(e->items);
    pt_free(e->masks);
    pt_free(e->counts);
    pt_free(e->layers);
    pt_free(e);
    *engine = NULL;
}

const pt_model_summary *pt_engine_model(const pt_engine *engine)
{
    return pt_model_get_summary(engine->model);
}

const char *pt_engine_backend(const pt_engine *engine)
{
    return engine->streams[0].backend->description;
}

int pt_engine_threads(const pt_engine *engine)
{
    return engine->threads;
}

uint64_t pt_engine_progress(const pt_engine *engine)
{
    uint64_t steps = 0;
    for (int i = 0; i < engine->stream_count; i++) {
        steps += atomic_load_explicit(&engine->streams[i].backend->steps, memory_order_relaxed);
    }
    return steps;
}

const char *pt_engine_precision(const pt_engine *engine)
{
    return engine->precision;
}

int pt_engine_streams(const pt_engine *engine)
{
    return engine->stream_count;
}

pt_status pt_engine_layers(pt_engine *engine, const pt_layer_report **items, size_t *count)
{
    PT_TRY(pt_network_layers(engine->streams[0].network, &engine->layers, &engine->layer_capacity, count));
    *items = engine->layers;
    return pt_ok();
}

void pt_engine_time_layers(pt_engine *engine, bool on)
{
    pt_network_time(engine->streams[0].network, on);
}

pt_engine_memory pt_engine_memory_use(const pt_engine *engine)
{
    pt_engine_memory use = pt_network_memory_use(engine->streams[0].network);
    for (int i = 1; i < engine->stream_count; i++) {
        pt_engine_memory more = pt_network_memory_use(engine->streams[i].network);
        use.arena += more.arena;
        use.unshared += more.unshared;
    }
    return use;
}

void pt_engine_set_tap(pt_engine *engine, pt_tap *tap, void *user)
{
    engine->tapped = tap != NULL;
    pt_network_set_tap(engine->streams[0].network, tap, user);
}

void pt_engine_observe(pt_engine *engine, pt_observer *observer, void *user)
{
    engine->observed = observer != NULL;
    pt_network_observe(engine->streams[0].network, observer, user);
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

static size_t max_detections(const pt_engine *engine)
{
    return (size_t)pt_network_max_detections(engine->streams[0].network);
}

/* Room for the results of `count` images; grows only. */
static pt_status reserve_results(pt_engine *engine, size_t count)
{
    if (count <= engine->capacity) {
        return pt_ok();
    }
    size_t places, floats;
    if (!pt_size_mul(count, max_detections(engine), &places) ||
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

static void infer_one(pt_engine *engine, stream *by, const pt_image *image, size_t index)
{
    size_t most = max_detections(engine);
    pt_detection *items = engine->items + index * most;
    float *masks = engine->masks + index * most * mask_floats(engine);
    const pt_found *found;
    size_t count = pt_network_run(by->network, image, &found, masks, &by->caps);
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

typedef struct batch {
    pt_engine *engine;
    const pt_image *images;
    size_t count;
    atomic_size_t next; /* the first image that no stream has taken */
} batch;

/* One stream takes images until none is left. */
static void drive(void *context, size_t index, int worker)
{
    (void)worker;
    batch *b = context;
    for (size_t i; (i = atomic_fetch_add(&b->next, 1)) < b->count;) {
        infer_one(b->engine, &b->engine->streams[index], &b->images[i], i);
    }
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
    size_t busy = engine->tapped || engine->observed     ? 1
                  : count < (size_t)engine->stream_count ? count
                                                         : (size_t)engine->stream_count;
    for (size_t i = 0; i < busy; i++) {
        PT_TRY(pt_network_plan(engine->streams[i].network, images[0].width, images[0].height));
        engine->streams[i].caps = (pt_engine_caps){0, 0};
    }
    batch b = {.engine = engine, .images = images, .count = count};
    if (busy == 1) {
        drive(&b, 0, 0);
    } else {
        pt_pool_run(engine->drivers, busy, drive, &b);
    }
    for (size_t i = 0; i < busy; i++) {
        engine->caps.proposals += engine->streams[i].caps.proposals;
        engine->caps.detections += engine->streams[i].caps.detections;
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
    *items = engine->items + image * max_detections(engine);
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

void pt_engine_paste_bytes(const pt_detection *detection, int mask_size, pt_rect area, uint8_t *out)
{
    pt_paste_bytes(detection->mask, mask_size, box_of(detection), area, out);
}
