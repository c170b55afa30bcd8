/* The safetensors container: 8 bytes little-endian length of the header, a JSON header, the tensors' bytes.
 */
#include "engine/model/internal.h"

#include <stdlib.h>
#include <string.h>

/* A tensor as the header lists it, before names and dtypes are narrowed to what the engine uses. */
typedef struct entry {
    const char *name; /* borrowed from the JSON */
    const char *dtype;
    int dims;
    int64_t shape[PT_TENSOR_MAX_DIMS];
    size_t count;
    uint64_t begin, end; /* bytes from the end of the header */
} entry;

static size_t dtype_size(const char *dtype)
{
    static const struct {
        const char *name;
        size_t size;
    } sizes[] = {{"F16", 2}, {"BF16", 2}, {"F32", 4}, {"F64", 8}, {"I64", 8}, {"I32", 4}, {"I16", 2},
                 {"I8", 1},  {"U8", 1},   {"U16", 2}, {"U32", 4}, {"U64", 8}, {"BOOL", 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (strcmp(dtype, sizes[i].name) == 0) {
            return sizes[i].size;
        }
    }
    return 0;
}

static bool is_counter(const char *name)
{
    static const char suffix[] = ".num_batches_tracked";
    size_t length = strlen(name);
    return length >= sizeof suffix && strcmp(name + length - (sizeof suffix - 1), suffix) == 0;
}

static pt_status check_name(const char *name)
{
    size_t length = strlen(name);
    bool plain = length > 0 && length <= PT_TENSOR_NAME_MAX;
    for (size_t i = 0; plain && i < length; i++) {
        plain = name[i] > 0x20 && name[i] < 0x7f;
    }
    if (!plain) {
        return pt_error(
            PT_E_INPUT,
            "header: a tensor's name is not 1 .. %d printable ASCII characters, not from torchvision",
            PT_TENSOR_NAME_MAX);
    }
    return pt_ok();
}

static pt_status read_shape(const json_t *shape, entry *e)
{
    size_t dims = json_array_size(shape);
    if (!json_is_array(shape) || dims > PT_TENSOR_MAX_DIMS) {
        return pt_error(PT_E_INPUT, "tensor %s: shape must be a list of at most %d whole numbers", e->name,
                        PT_TENSOR_MAX_DIMS);
    }
    e->dims = (int)dims;
    e->count = 1;
    for (size_t i = 0; i < dims; i++) {
        const json_t *side = json_array_get(shape, i);
        json_int_t value = json_integer_value(side);
        if (!json_is_integer(side) || value < 1) {
            return pt_error(PT_E_INPUT, "tensor %s: shape[%zu] must be a positive whole number", e->name, i);
        }
        e->shape[i] = value;
        if (!pt_size_mul(e->count, (size_t)value, &e->count)) {
            return pt_error(PT_E_INPUT, "tensor %s: the product of its shape is beyond any memory", e->name);
        }
    }
    return pt_ok();
}

static pt_status read_offsets(const json_t *offsets, entry *e)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin)) {
        return pt_error(PT_E_INPUT, "tensor %s: data_offsets must be two whole numbers, 0 <= begin <= end",
                        e->name);
    }
    e->begin = (uint64_t)json_integer_value(begin);
    e->end = (uint64_t)json_integer_value(end);
    return pt_ok();
}

static pt_status read_entry(const char *name, const json_t *value, entry *e)
{
    PT_TRY(check_name(name));
    e->name = name;
    const json_t *dtype = json_object_get(value, "dtype");
    if (!json_is_object(value) || json_object_size(value) != 3 || !json_is_string(dtype)) {
        return pt_error(PT_E_INPUT, "tensor %s: must have dtype, shape and data_offsets alone", name);
    }
    e->dtype = json_string_value(dtype);
    size_t size = dtype_size(e->dtype), bytes;
    if (size == 0) {
        return pt_error(PT_E_INPUT, "tensor %s: its dtype is unknown, F32, F16 or BF16 is needed", name);
    }
    PT_TRY(read_shape(json_object_get(value, "shape"), e));
    PT_TRY(read_offsets(json_object_get(value, "data_offsets"), e));
    if (!pt_size_mul(e->count, size, &bytes) || bytes != e->end - e->begin) {
        return pt_error(PT_E_INPUT,
                        "tensor %s: its shape as %s does not take the %llu bytes of its data_offsets", name,
                        e->dtype, (unsigned long long)(e->end - e->begin));
    }
    return pt_ok();
}

static int by_offset(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return x->begin != y->begin ? (x->begin < y->begin ? -1 : 1) : strcmp(x->name, y->name);
}

/* Tensors sorted by offset must touch each other, begin at 0 and end where the file ends. */
static pt_status check_cover(const entry *entries, size_t count, size_t data_size)
{
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const entry *e = &entries[i];
        if (e->begin != at) {
            return pt_error(PT_E_INPUT,
                            "tensor %s: begins at byte %llu, %s the one before, which ends at %llu", e->name,
                            (unsigned long long)e->begin,
                            e->begin < at ? "overlapping" : "leaving a gap after", (unsigned long long)at);
        }
        at = e->end;
        if (at > data_size) {
            return pt_error(PT_E_INPUT,
                            "tensor %s: ends at byte %llu of the data, the file holds %zu: it was cut short, "
                            "copy it again",
                            e->name, (unsigned long long)at, data_size);
        }
    }
    if (at != data_size) {
        return pt_error(PT_E_INPUT, "%zu bytes follow the last tensor, none may", (size_t)(data_size - at));
    }
    return pt_ok();
}

static pt_status read_entries(const json_t *root, entry *entries, size_t *count)
{
    const char *name;
    json_t *value;
    *count = 0;
    /* The cast: jansson's iterator takes a mutable object, though reading it changes nothing. */
    json_object_foreach((json_t *)root, name, value)
    {
        if (strcmp(name, "__metadata__") != 0) {
            PT_TRY(read_entry(name, value, &entries[*count]));
            (*count)++;
        }
    }
    return pt_ok();
}

/* A copy of one of the metadata's texts; *out stays NULL when there is none. */
static pt_status copy_text(const json_t *metadata, const char *name, int limit, char **out)
{
    const json_t *text = json_object_get(metadata, name);
    if (json_string_length(text) > (size_t)limit) {
        return pt_error(PT_E_INPUT, "header: __metadata__.%s exceeds %d bytes", name, limit);
    }
    if (text) {
        *out = pt_strdup(json_string_value(text));
        return *out ? pt_ok() : PT_NOMEM("the model's description");
    }
    return pt_ok();
}

static pt_status read_metadata(const json_t *root, char **description, char **calibration)
{
    json_t *metadata = json_object_get(root, "__metadata__");
    if (!metadata) {
        return pt_ok();
    }
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value)) {
            return pt_error(PT_E_INPUT, "header: __metadata__ holds something other than texts");
        }
    }
    if (!json_is_object(metadata)) {
        return pt_error(PT_E_INPUT, "header: __metadata__ must be an object of texts");
    }
    PT_TRY(copy_text(metadata, "pantile", PT_DESCRIPTION_MAX_BYTES, description));
    return copy_text(metadata, "pantile.calibration", PT_CALIBRATION_MAX_BYTES, calibration);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const pt_tensor *)a)->name, ((const pt_tensor *)b)->name);
}

static pt_status fill_tensor(const entry *e, const uint8_t *data, char *name, pt_tensor *out)
{
    bool f32 = strcmp(e->dtype, "F32") == 0, f16 = strcmp(e->dtype, "F16") == 0;
    if (!f32 && !f16 && strcmp(e->dtype, "BF16") != 0) {
        return pt_error(PT_E_INPUT, "tensor %s: its dtype is %s, F32, F16 or BF16 is needed", e->name,
                        e->dtype);
    }
    pt_tensor_normalise_name(e->name, name);
    *out = (pt_tensor){.name = name,
                       .dtype = f32   ? PT_DTYPE_F32
                                : f16 ? PT_DTYPE_F16
                                      : PT_DTYPE_BF16,
                       .dims = e->dims,
                       .count = e->count,
                       .data = data + e->begin};
    memcpy(out->shape, e->shape, sizeof out->shape);
    return pt_tensor_is_finite(out) ? pt_ok()
                                    : pt_error(PT_E_INPUT, "tensor %s: holds an infinity or NaN", e->name);
}

/* Turns the entries into the model's tensors; batch counters are of no use and left out. */
static pt_status take_entries(pt_model *model, const entry *entries, size_t count, const uint8_t *data)
{
    enum { KEEP = 4 << 20 };
    model->tensors = pt_calloc(count, sizeof *model->tensors);
    model->names = pt_alloc(count, PT_TENSOR_NAME_MAX + 1);
    if (!model->tensors || !model->names) {
        return PT_NOMEM("the model's list of tensors");
    }
    size_t kept = 0; /* bytes that were read and not given back */
    for (size_t i = 0; i < count; i++) {
        if (!is_counter(entries[i].name)) {
            size_t n = model->tensor_count;
            PT_TRY(fill_tensor(&entries[i], data, model->names + n * (PT_TENSOR_NAME_MAX + 1),
                               &model->tensors[n]));
            model->tensor_count++;
        }
        kept += entries[i].end - entries[i].begin;
        if (kept >= KEEP || i + 1 == count) {
            pt_model_release_pages(model);
            kept = 0;
        }
    }
    qsort(model->tensors, model->tensor_count, sizeof *model->tensors, by_name);
    for (size_t i = 1; i < model->tensor_count; i++) {
        if (by_name(&model->tensors[i - 1], &model->tensors[i]) == 0) {
            return pt_error(PT_E_INPUT, "tensor %s: present under its old name and its new one",
                            model->tensors[i].name);
        }
    }
    return pt_ok();
}

static pt_status header_size(const pt_model *model, size_t *out)
{
    if (model->size < 8) {
        return pt_error(PT_E_INPUT, "%zu bytes are too few for a safetensors file", model->size);
    }
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) {
        length = length << 8 | model->bytes[i];
    }
    if (length > PT_HEADER_MAX_BYTES) {
        return pt_error(PT_E_INPUT,
                        "its header would be %llu bytes, at most %d are allowed: not a safetensors file?",
                        (unsigned long long)length, PT_HEADER_MAX_BYTES);
    }
    if (length < 2 || length > model->size - 8) {
        return pt_error(PT_E_INPUT,
                        "its header should take %llu bytes, %zu are there: cut short, copy it again",
                        (unsigned long long)length, model->size - 8);
    }
    if (model->bytes[8] != '{') {
        return pt_error(PT_E_INPUT, "its header does not begin with '{': not a safetensors file");
    }
    *out = (size_t)length;
    return pt_ok();
}

pt_status pt_model_read_header(pt_model *model, char **description)
{
    size_t length = 0, count = 0;
    PT_TRY(header_size(model, &length));
    json_t *root = NULL;
    entry *entries = NULL;
    char *text = NULL, *calibration = NULL;
    pt_status status;
    PT_TRY_OUT(pt_json_parse("header", (const char *)model->bytes + 8, length, &root));
    if (json_object_size(root) > PT_HEADER_MAX_TENSORS) {
        status = pt_error(PT_E_INPUT, "header: %zu tensors, at most %d are allowed", json_object_size(root),
                          PT_HEADER_MAX_TENSORS);
        goto out;
    }
    entries = pt_calloc(json_object_size(root), sizeof *entries);
    if (!entries) {
        status = PT_NOMEM("the model's list of tensors");
        goto out;
    }
    PT_TRY_OUT(read_entries(root, entries, &count));
    qsort(entries, count, sizeof *entries, by_offset);
    PT_TRY_OUT(check_cover(entries, count, model->size - 8 - length));
    PT_TRY_OUT(read_metadata(root, &text, &calibration));
    PT_TRY_OUT(take_entries(model, entries, count, model->bytes + 8 + length));
    PT_TRY_OUT(pt_calibration_take(model, calibration));
    *description = text;
    text = NULL;
out:
    pt_free(text);
    pt_free(calibration);
    pt_free(entries);
    json_decref(root);
    return status;
}
