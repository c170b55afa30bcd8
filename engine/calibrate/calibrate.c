#include "engine/calibrate/calibrate.h"

#include "engine/graph/tap.h"
#include "engine/model/calibration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 }; /* pixels that are summed up in FP32 before they go to FP64 */

/* What is known of one value of the network. */
typedef struct watched {
    char *name;
    pt_histogram histogram;
    int channels;    /* 0: written with different numbers of channels, so that there are no means */
    double *sums;    /* of each channel */
    float *block;    /* scratch */
    uint64_t pixels; /* in the sums */
} watched;

struct pt_calibrator {
    char *path;
    pt_engine *engine;
    watched **values; /* in the order of their first appearance */
    size_t count, capacity;
    int tiles;
    int64_t objects;
    pt_status status; /* the first failure inside an observation */
};

static void watched_free(watched *value)
{
    if (value) {
        pt_free(value->name);
        pt_free(value->sums);
        pt_free(value->block);
        pt_free(value);
    }
}

static pt_status watched_new(const char *name, int channels, watched **out)
{
    watched *value = pt_calloc(1, sizeof *value);
    if (value) {
        value->name = pt_strdup(name);
        value->channels = channels;
        value->sums = pt_calloc((size_t)channels, sizeof *value->sums);
        value->block = pt_alloc((size_t)channels, sizeof *value->block);
    }
    if (!value || !value->name || !value->sums || !value->block) {
        watched_free(value);
        return PT_NOMEM("a histogram");
    }
    *out = value;
    return pt_ok();
}

static pt_status find(pt_calibrator *self, const char *name, int channels, watched **out)
{
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->values[i]->name, name) == 0) {
            *out = self->values[i];
            return pt_ok();
        }
    }
    PT_TRY(pt_grow(&self->values, &self->capacity, self->count + 1, sizeof(watched *)));
    PT_TRY(watched_new(name, channels, out));
    self->values[self->count++] = *out;
    return pt_ok();
}

static void add_sums(watched *value, const pt_map *map)
{
    const float *x = pt_map_f32(map);
    size_t pixels = pt_map_pixels(map), channels = (size_t)map->c;
    for (size_t begin = 0; begin < pixels; begin += BLOCK) {
        size_t end = pixels - begin < BLOCK ? pixels : begin + BLOCK;
        memset(value->block, 0, channels * sizeof *value->block);
        for (size_t p = begin; p < end; p++) {
            for (size_t c = 0; c < channels; c++) {
                value->block[c] += x[p * channels + c];
            }
        }
        for (size_t c = 0; c < channels; c++) {
            value->sums[c] += (double)value->block[c];
        }
    }
    value->pixels += pixels;
}

/* A pt_observer: the network has written a value. */
static void observe(void *user, const char *name, const pt_map *map)
{
    pt_calibrator *self = user;
    watched *value = NULL;
    if (self->status.code != PT_OK || map->elem != PT_F32 || pt_map_count(map) == 0) {
        return;
    }
    self->status = find(self, name, map->c, &value);
    if (self->status.code != PT_OK) {
        return;
    }
    pt_histogram_add(&value->histogram, pt_map_f32(map), pt_map_count(map));
    if (value->channels == map->c) {
        add_sums(value, map);
    } else {
        value->channels = 0;
    }
}

pt_status pt_calibrator_open(const char *model_path, int threads, pt_calibrator **out)
{
    if (!model_path || !out) {
        return pt_error(PT_E_USAGE, "pt_calibrator_open: a path and a place for the result are needed");
    }
    pt_calibrator *self = pt_calloc(1, sizeof *self);
    if (!self) {
        return PT_NOMEM("a calibrator");
    }
    pt_engine_options options = pt_engine_defaults();
    options.threads = threads;
    options.streams = 1;
    options.precision = "fp32";
    self->path = pt_strdup(model_path);
    pt_status status =
        self->path ? pt_engine_open(model_path, &options, &self->engine) : PT_NOMEM("a calibrator");
    if (status.code != PT_OK) {
        pt_calibrator_close(&self);
        return status;
    }
    pt_engine_observe(self->engine, observe, self);
    *out = self;
    return status;
}

void pt_calibrator_close(pt_calibrator **calibrator)
{
    if (!calibrator || !*calibrator) {
        return;
    }
    pt_calibrator *self = *calibrator;
    pt_engine_close(&self->engine);
    for (size_t i = 0; i < self->count; i++) {
        watched_free(self->values[i]);
    }
    pt_free(self->values);
    pt_free(self->path);
    pt_free(self);
    *calibrator = NULL;
}

const pt_model_summary *pt_calibrator_model(const pt_calibrator *calibrator)
{
    return pt_engine_model(calibrator->engine);
}

pt_status pt_calibrator_add_made(pt_calibrator *calibrator, const pt_image *image)
{
    const pt_detection *items;
    size_t count;
    calibrator->status = pt_ok();
    PT_TRY(pt_engine_infer(calibrator->engine, image, 1));
    PT_TRY(calibrator->status);
    PT_TRY(pt_engine_detections(calibrator->engine, 0, &items, &count));
    calibrator->objects += (int64_t)count;
    return pt_ok();
}

pt_status pt_calibrator_add(pt_calibrator *calibrator, const pt_image *image)
{
    PT_TRY(pt_calibrator_add_made(calibrator, image));
    calibrator->tiles++;
    return pt_ok();
}

int64_t pt_calibrator_objects(const pt_calibrator *calibrator)
{
    return calibrator->objects;
}

const char *pt_calibrator_precision(const pt_calibrator *calibrator)
{
    return calibrator->objects > 0 ? "int8" : "int8,mask=fp32";
}

size_t pt_calibrator_values(const pt_calibrator *calibrator)
{
    return calibrator->count;
}

static int by_value(const void *a, const void *b)
{
    return strcmp(((const pt_range *)a)->value, ((const pt_range *)b)->value);
}

static pt_status describe(const watched *value, pt_range_method method, pt_range *out)
{
    out->value = value->name;
    pt_histogram_range(&value->histogram, method, &out->low, &out->high);
    if (value->channels == 0) {
        return pt_ok();
    }
    float *mean = pt_alloc((size_t)value->channels, sizeof *mean);
    if (!mean) {
        return PT_NOMEM("the means of a value");
    }
    bool finite = true;
    for (int c = 0; c < value->channels; c++) {
        mean[c] = (float)(value->sums[c] / (double)value->pixels);
        finite &= isfinite(mean[c]) != 0;
    }
    if (!finite) { /* the model overflows on this scene: its ranges hold what is finite */
        pt_free(mean);
        return pt_ok();
    }
    out->mean = mean;
    out->channels = value->channels;
    return pt_ok();
}

pt_status pt_calibrator_write(const pt_calibrator *calibrator, pt_range_method method, const char *precision,
                              const char *to)
{
    if (calibrator->count == 0) {
        return pt_error(PT_E_USAGE, "pt_calibrator_write: no tile was looked at");
    }
    pt_range *ranges = pt_calloc(calibrator->count, sizeof *ranges);
    if (!ranges) {
        return PT_NOMEM("a list of ranges");
    }
    pt_status status = pt_ok();
    for (size_t i = 0; status.code == PT_OK && i < calibrator->count; i++) {
        status = describe(calibrator->values[i], method, &ranges[i]);
    }
    if (status.code == PT_OK) {
        qsort(ranges, calibrator->count, sizeof *ranges, by_value);
        pt_calibration calibration = {.method = pt_range_method_name(method),
                                      .tiles = calibrator->tiles,
                                      .precision = precision,
                                      .ranges = ranges,
                                      .range_count = calibrator->count};
        status = pt_model_write_calibrated(calibrator->path, &calibration, to);
    }
    for (size_t i = 0; i < calibrator->count; i++) {
        pt_free((float *)ranges[i].mean); /* the cast: ours, const to readers */
    }
    pt_free(ranges);
    return status;
}

pt_status pt_calibrate_set_precision(const char *from, const char *precision, const char *to)
{
    if (!from || !precision || !to) {
        return pt_error(PT_E_USAGE, "pt_calibrate_set_precision: two files and a precision are needed");
    }
    pt_model *model = NULL;
    PT_TRY(pt_model_open(from, &model));
    const pt_calibration *now = pt_model_calibration(model);
    pt_status status = now ? pt_ok() : pt_error(PT_E_INPUT, "%s: is not calibrated", from);
    if (now) {
        pt_calibration calibration = *now;
        calibration.precision = precision;
        status = pt_model_write_calibrated(from, &calibration, to);
    }
    pt_model_close(&model);
    return status;
}
