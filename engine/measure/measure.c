#include "engine/measure/measure.h"

#include "engine/backend/pool.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ENOUGH_LAYER_CALLS = 5, NEW_SIZE_STEP = 64 };

/* The images of one run and where it stands among them. */
typedef struct feed {
    pt_image *images; /* owned; the pixels are borrowed */
    pt_image *call;   /* owned: the next call's */
    size_t count, next;
    int batch;
    double pixels; /* of all images */
} feed;

static void feed_fini(feed *self)
{
    pt_free(self->images);
    pt_free(self->call);
}

static pt_status cut(const pt_measure_options *o, pt_image *image)
{
    if (o->size > image->width || o->size > image->height) {
        return pt_error(PT_E_USAGE, "an image of %d x %d pixels has no square of %d; ask for a smaller one",
                        image->width, image->height, o->size);
    }
    if (o->size > 0) {
        image->width = image->height = o->size;
    }
    return pt_ok();
}

/* `made` is the image when the caller has none. */
static pt_status feed_init(feed *self, const pt_measure_options *o, const pt_image *made)
{
    self->count = o->image_count ? o->image_count : 1;
    self->images = pt_calloc(self->count, sizeof *self->images);
    if (!self->images) {
        return PT_NOMEM("the list of images");
    }
    for (size_t i = 0; i < self->count; i++) {
        pt_image *image = &self->images[i];
        *image = o->image_count ? o->images[i] : *made;
        PT_TRY(cut(o, image));
        self->pixels += (double)image->width * image->height;
    }
    return pt_ok();
}

static pt_status feed_batch(feed *self, int batch)
{
    for (size_t i = 1; batch > 1 && i < self->count; i++) {
        if (self->images[i].width != self->images[0].width ||
            self->images[i].height != self->images[0].height) {
            return pt_error(PT_E_USAGE, "images of a batch must have one size; cut them with --size");
        }
    }
    self->batch = batch;
    self->call = pt_calloc((size_t)batch, sizeof *self->call);
    return self->call ? pt_ok() : PT_NOMEM("a batch");
}

/* Seconds of one call, over the next images. */
static pt_status infer(pt_engine *engine, feed *self, double *seconds)
{
    for (int i = 0; i < self->batch; i++) {
        self->call[i] = self->images[self->next];
        self->next = (self->next + 1) % self->count;
    }
    double start = pt_measure_clock();
    PT_TRY(pt_engine_infer(engine, self->call, (size_t)self->batch));
    *seconds = pt_measure_clock() - start;
    return pt_ok();
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of the process. */
static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t calls_of_a_round(const feed *self)
{
    return (self->count + (size_t)self->batch - 1) / (size_t)self->batch;
}

/* The calls whose times are the result. Every image is inferred once before: it may bring a new size. */
static pt_status time_calls(const pt_measure_options *o, feed *images, pt_measurement *r)
{
    size_t each = calls_of_a_round(images), calls = each * (size_t)(o->rounds > 1 ? o->rounds : 1);
    double *seconds = pt_calloc(calls, sizeof *seconds);
    if (!seconds) {
        return PT_NOMEM("the times of calls");
    }
    pt_status status = infer(r->engine, images, &seconds[0]);
    r->plan_ms = 1e3 * pt_engine_memory_use(r->engine).plan_seconds;
    for (size_t i = 0; i < each && status.code == PT_OK; i++) {
        status = infer(r->engine, images, &seconds[0]);
    }
    double cpu = cpu_seconds();
    for (size_t i = 0; i < calls && status.code == PT_OK; i++) {
        status = infer(r->engine, images, &seconds[i]);
    }
    cpu = cpu_seconds() - cpu;
    if (status.code == PT_OK) {
        qsort(seconds, calls, sizeof *seconds, compare);
        double ms = 1e3 / images->batch;
        r->ms_min = ms * seconds[0];
        r->ms_median = ms * (seconds[(calls - 1) / 2] + seconds[calls / 2]) / 2;
        r->ms_max = ms * seconds[calls - 1];
        r->tiles = calls * (size_t)images->batch;
        r->cpu_ms = 1e3 * cpu / (double)r->tiles;
    }
    pt_free(seconds);
    return status;
}

static pt_measure_component *component(pt_measurement *r, const char *name)
{
    for (size_t i = 0; i < r->component_count; i++) {
        if (strcmp(r->components[i].name, name) == 0) {
            return &r->components[i];
        }
    }
    if (r->component_count == PT_MEASURE_COMPONENTS) {
        return &r->components[PT_MEASURE_COMPONENTS - 1];
    }
    r->components[r->component_count] = (pt_measure_component){.name = name};
    return &r->components[r->component_count++];
}

/* What the layers' operations would take at the machine's peak, in seconds. */
static double sum_layers(pt_measurement *r)
{
    double floor = 0;
    for (size_t i = 0; i < r->layer_count; i++) {
        const pt_layer_report *layer = &r->layers[i];
        pt_measure_component *c = component(r, layer->component);
        c->ms += 1e3 * layer->seconds / r->layer_images;
        c->gflop += 1e-9 * layer->flops;
        r->gflop += 1e-9 * layer->flops;
        floor += 1e-9 * layer->flops / (strcmp(layer->in, "u8") == 0 ? r->peak_gops : r->peak_gflops);
    }
    return floor;
}

/* Apart from the timed calls: taking times takes time. */
static pt_status time_layers(const pt_measure_options *o, feed *images, pt_measurement *r)
{
    size_t calls = calls_of_a_round(images);
    double seconds;
    for (int round = 1; round < o->rounds && calls < ENOUGH_LAYER_CALLS; round++) {
        calls += calls_of_a_round(images);
    }
    pt_engine_time_layers(r->engine, true);
    for (size_t i = 0; i < calls; i++) {
        PT_TRY(infer(r->engine, images, &seconds));
    }
    int streams = pt_engine_streams(r->engine);
    int side_by_side = streams < images->batch ? streams : images->batch;
    r->layer_images = (double)calls * images->batch / (side_by_side > 1 ? side_by_side : 1);
    PT_TRY(pt_engine_layers(r->engine, &r->layers, &r->layer_count));
    double floor = sum_layers(r);
    r->share = 1e3 * floor / r->ms_median;
    r->cpu_share = 1e3 * floor * pt_engine_threads(r->engine) / r->cpu_ms;
    const pt_detection *items;
    size_t count;
    PT_TRY(pt_engine_detections(r->engine, 0, &items, &count));
    r->detections = (double)count;
    return pt_ok();
}

/* A smaller cut of the same image, first and again. The layers' reports are gone afterwards, so this is run
 * before they are asked for. */
static pt_status time_new_size(feed *images, pt_measurement *r)
{
    pt_image whole = images->images[0], cut_off = whole;
    if (whole.height <= 2 * NEW_SIZE_STEP) {
        return pt_ok();
    }
    cut_off.height -= NEW_SIZE_STEP;
    double first, again;
    double start = pt_measure_clock();
    PT_TRY(pt_engine_infer(r->engine, &cut_off, 1));
    first = pt_measure_clock() - start;
    start = pt_measure_clock();
    PT_TRY(pt_engine_infer(r->engine, &cut_off, 1));
    again = pt_measure_clock() - start;
    r->new_size_ms = first > again ? 1e3 * (first - again) : 0;
    return infer(r->engine, images, &again);
}

static pt_status measure(const pt_measure_options *o, feed *images, pt_measurement *r)
{
    double start = pt_measure_clock();
    PT_TRY(pt_engine_open(o->model, &o->engine, &r->engine));
    r->open_ms = 1e3 * (pt_measure_clock() - start);
    int streams = pt_engine_streams(r->engine);
    PT_TRY(feed_batch(images, o->batch > 0 ? o->batch : streams > 1 ? streams : 1));
    PT_TRY(time_calls(o, images, r));
    r->peak_rss_mib = pt_measure_peak_rss();
    r->memory = pt_engine_memory_use(r->engine);
    PT_TRY(time_new_size(images, r));
    PT_TRY(time_layers(o, images, r));
    r->batch = images->batch;
    r->width = images->call[images->batch - 1].width;
    r->height = images->call[images->batch - 1].height;
    r->mpx_per_s = images->pixels / (double)images->count / 1e3 / r->ms_median;
    r->gflops = 1e3 * r->gflop / r->ms_median;
    return pt_ok();
}

pt_status pt_measure(const pt_measure_options *options, pt_measurement *out)
{
    pt_image made = {0};
    feed images = {0};
    pt_measurement result = {0};
    pt_measure_peak peak;
    pt_status status = pt_ok();
    if (options->image_count == 0) {
        PT_TRY_OUT(pt_measure_image_new(options->size > 0 ? options->size : PT_MEASURE_SIDE, &made));
    }
    PT_TRY_OUT(feed_init(&images, options, &made));
    PT_TRY_OUT(
        pt_measure_machine(options->engine.threads > 0 ? options->engine.threads : pt_cpu_count(), &peak));
    result.peak_gflops = 1e-9 * peak.f32;
    result.peak_gops = 1e-9 * peak.u8;
    result.peak_f32 = peak.f32_name;
    result.peak_u8 = peak.u8_name;
    PT_TRY_OUT(measure(options, &images, &result));
    *out = result;
    result = (pt_measurement){0};
out:
    pt_measure_fini(&result);
    feed_fini(&images);
    pt_measure_image_free(&made);
    return status;
}

void pt_measure_fini(pt_measurement *result)
{
    pt_engine_close(&result->engine);
    *result = (pt_measurement){0};
}
