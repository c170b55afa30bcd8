/* The calibration in a model file: metadata text and means -> pt_calibration. Limits: docs/model-format.md.
 */
#include "engine/model/internal.h"
#include "engine/quant/precision.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALIBRATION_FORMAT = 1 };

static const char prefix[] = "calibration.", suffix[] = ".mean", default_precision[] = "int8";

const char *pt_calibration_head_fault(const char *method, json_int_t tiles, const char *precision)
{
    static const char *const methods[] = {"minmax", "percentile", "kl", "mse"};
    bool known = false;
    for (size_t i = 0; method && i < sizeof methods / sizeof *methods; i++) {
        known |= strcmp(method, methods[i]) == 0;
    }
    if (!known) {
        return "method must be minmax, percentile, kl or mse";
    }
    if (tiles < 0 || tiles > PT_CALIBRATION_MAX_TILES) {
        return "tiles must be a whole number, 0 .. 1000000000";
    }
    pt_precision parsed;
    if (!precision || pt_precision_parse(precision, &parsed).code != PT_OK) {
        return "precision must be like fp32, int8 or int8,mask=fp32";
    }
    return NULL;
}

const char *pt_range_fault(const char *value, double low, double high)
{
    size_t length = strlen(value);
    bool plain = length > 0 && length <= PT_CALIBRATION_MAX_VALUE;
    for (size_t i = 0; plain && i < length; i++) {
        plain = value[i] > 0x20 && value[i] < 0x7f;
    }
    if (!plain) {
        return "a value's name is not 1 .. 110 printable ASCII characters";
    }
    bool fits = low >= -(double)FLT_MAX && high <= (double)FLT_MAX && low <= 0 && high >= 0;
    return fits ? NULL : "a range must be two numbers that FP32 can hold, low <= 0 <= high";
}

/* A value is named after the last layer in it, whose outputs are its channels; of the 2x2 transposed
 * convolution there are four times as many, one set per sub-pixel. Other values are not known here. */
const char *pt_mean_fault(const pt_model *model, const char *value, int64_t channels)
{
    char name[PT_TENSOR_NAME_MAX + 1];
    snprintf(name, sizeof name, "%s.weight", value);
    const pt_tensor *weight = pt_model_find(model, name);
    bool fits = channels >= 1 && channels <= PT_MODEL_MAX_CHANNELS;
    if (weight && weight->dims >= 2) {
        bool transposed = weight->dims == 4 && weight->shape[2] == 2;
        fits &= channels == (transposed ? 4 * weight->shape[1] : weight->shape[0]);
    }
    return fits ? NULL : "a mean must have one number per channel of its value";
}

const pt_calibration *pt_model_calibration(const pt_model *model)
{
    return model->calibrated ? &model->calibration : NULL;
}

static int compare_value(const void *value, const void *range)
{
    return strcmp(value, ((const pt_range *)range)->value);
}

const pt_range *pt_calibration_find(const pt_calibration *calibration, const char *value)
{
    return calibration && calibration->range_count
               ? bsearch(value, calibration->ranges, calibration->range_count, sizeof *calibration->ranges,
                         compare_value)
               : NULL;
}

static pt_status fault(const char *what, const char *value)
{
    /* The value's name may be anything until it is checked: never shown. */
    return value ? pt_error(PT_E_INPUT, "calibration: value %s: %s", value, what)
                 : pt_error(PT_E_INPUT, "calibration: %s", what);
}

static pt_status read_head(const json_t *root, pt_calibration *out)
{
    const json_t *format = json_object_get(root, "format"), *tiles = json_object_get(root, "tiles");
    const json_t *precision = json_object_get(root, "precision");
    if (!json_is_integer(format) || json_integer_value(format) != CALIBRATION_FORMAT) {
        return fault("format must be 1; calibrate the model again with this version", NULL);
    }
    const char *method = json_string_value(json_object_get(root, "method"));
    const char *wanted = precision ? json_string_value(precision) : default_precision;
    const char *what =
        pt_calibration_head_fault(method, json_is_integer(tiles) ? json_integer_value(tiles) : -1, wanted);
    if (what) {
        return fault(what, NULL);
    }
    out->tiles = (int)json_integer_value(tiles);
    out->method = pt_strdup(method);
    out->precision = pt_strdup(wanted);
    return out->method && out->precision ? pt_ok() : PT_NOMEM("the model's calibration");
}

static pt_status read_range(const char *value, const json_t *entry, pt_range *out)
{
    const json_t *low = json_array_get(entry, 0), *high = json_array_get(entry, 1);
    bool numbers = json_array_size(entry) == 2 && json_is_number(low) && json_is_number(high);
    const char *what = pt_range_fault(value, 0, 0);
    if (what) {
        return fault(what, NULL);
    }
    what = pt_range_fault(value, numbers ? json_number_value(low) : 1, json_number_value(high));
    if (what) {
        return fault(what, value);
    }
    *out = (pt_range){.value = pt_strdup(value),
                      .low = (float)json_number_value(low),
                      .high = (float)json_number_value(high)};
    return out->value ? pt_ok() : PT_NOMEM("the model's calibration");
}

static int by_value(const void *a, const void *b)
{
    return strcmp(((const pt_range *)a)->value, ((const pt_range *)b)->value);
}

/* out->ranges is set at once and range_count grows with it, so that fini frees what is there. */
static pt_status read_ranges(const json_t *root, pt_calibration *out)
{
    json_t *ranges = json_object_get(root, "ranges"), *entry;
    const char *value;
    if (!json_is_object(ranges) || json_object_size(ranges) > PT_HEADER_MAX_TENSORS) {
        return fault("ranges must be an object of at most 8192 values", NULL);
    }
    pt_range *list = pt_calloc(json_object_size(ranges), sizeof *list);
    if (!list) {
        return PT_NOMEM("the model's calibration");
    }
    out->ranges = list;
    json_object_foreach(ranges, value, entry)
    {
        PT_TRY(read_range(value, entry, &list[out->range_count]));
        out->range_count++;
    }
    qsort(list, out->range_count, sizeof *list, by_value);
    return pt_ok();
}

/* Whether the tensor is a mean of the calibration's; `value` gets the name between prefix and suffix. */
static bool is_mean(const pt_tensor *tensor, char value[PT_TENSOR_NAME_MAX + 1])
{
    size_t length = strlen(tensor->name), ends = sizeof prefix - 1 + sizeof suffix - 1;
    if (length <= ends || strncmp(tensor->name, prefix, sizeof prefix - 1) != 0 ||
        strcmp(tensor->name + length - (sizeof suffix - 1), suffix) != 0) {
        return false;
    }
    snprintf(value, PT_TENSOR_NAME_MAX + 1, "%.*s", (int)(length - ends), tensor->name + sizeof prefix - 1);
    return true;
}

static pt_status take_mean(const pt_model *model, const pt_tensor *tensor, const char *value)
{
    /* The cast: the list is ours, const to those who get it. */
    pt_range *range = (pt_range *)pt_calibration_find(&model->calibration, value);
    if (!range) {
        return pt_error(PT_E_INPUT, "tensor %s: the calibration has no range of this value", tensor->name);
    }
    const char *what = pt_mean_fault(model, value, tensor->dims == 1 ? tensor->shape[0] : 0);
    if (what || tensor->dtype != PT_DTYPE_F32) {
        return pt_error(PT_E_INPUT, "tensor %s: %s", tensor->name, what ? what : "a mean must be F32");
    }
    float *mean = pt_alloc(tensor->count, sizeof *mean);
    if (!mean) {
        return PT_NOMEM("the model's calibration");
    }
    pt_tensor_to_float(tensor, mean);
    range->mean = mean;
    range->channels = (int)tensor->count;
    return pt_ok();
}

/* Means leave the list of tensors, so that what is left is the network. */
static pt_status take_means(pt_model *model)
{
    char value[PT_TENSOR_NAME_MAX + 1];
    size_t kept = 0;
    for (size_t i = 0; i < model->tensor_count; i++) {
        if (is_mean(&model->tensors[i], value)) {
            PT_TRY(take_mean(model, &model->tensors[i], value));
        }
    }
    for (size_t i = 0; i < model->tensor_count; i++) {
        if (!is_mean(&model->tensors[i], value)) {
            model->tensors[kept++] = model->tensors[i];
        }
    }
    model->tensor_count = kept;
    return pt_ok();
}

pt_status pt_calibration_take(pt_model *model, const char *text)
{
    if (!text) {
        return pt_ok();
    }
    json_t *root = NULL;
    pt_status status;
    PT_TRY_OUT(pt_json_parse("calibration", text, strlen(text), &root));
    PT_TRY_OUT(read_head(root, &model->calibration));
    PT_TRY_OUT(read_ranges(root, &model->calibration));
    PT_TRY_OUT(take_means(model));
    model->calibrated = true;
out:
    json_decref(root);
    return status;
}

void pt_calibration_fini(pt_calibration *calibration)
{
    /* The casts: what others see as const was allocated here. */
    for (size_t i = 0; i < calibration->range_count; i++) {
        pt_free((char *)calibration->ranges[i].value);
        pt_free((float *)calibration->ranges[i].mean);
    }
    pt_free((pt_range *)calibration->ranges);
    pt_free((char *)calibration->method);
    pt_free((char *)calibration->precision);
}
