/* A model file with another calibration: the header is written anew, the weights' bytes are copied. */
#include "engine/model/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char calibration_key[] = "pantile.calibration", tensor_prefix[] = "calibration.";

static const char *range_fault(const pt_range *range)
{
    const char *what = pt_range_fault(range->value, (double)range->low, (double)range->high);
    if (!what && range->mean) {
        pt_tensor mean = {.dtype = PT_DTYPE_F32, .count = (size_t)range->channels, .data = range->mean};
        what = pt_tensor_is_finite(&mean) ? NULL : "a mean must be finite";
    }
    return what;
}

/* A value that several layers have written side by side has more channels than the one it is named after:
 * nothing that is quantised reads it, and the reader would not know how long its mean must be. */
static bool has_mean(const pt_model *model, const pt_range *range)
{
    return range->mean && !pt_mean_fault(model, range->value, range->channels);
}

static pt_status check(const pt_calibration *c)
{
    const char *what = pt_calibration_head_fault(c->method, c->tiles, c->precision);
    if (!what && c->range_count > PT_HEADER_MAX_TENSORS / 2) {
        what = "at most 4096 values may have a range";
    }
    if (what) {
        return pt_error(PT_E_USAGE, "pt_model_write_calibrated: %s", what);
    }
    for (size_t i = 0; i < c->range_count; i++) {
        what = range_fault(&c->ranges[i]);
        if (!what && i > 0 && strcmp(c->ranges[i - 1].value, c->ranges[i].value) >= 0) {
            what = "ranges must be sorted by value, each there once";
        }
        if (what) {
            return pt_error(PT_E_USAGE, "pt_model_write_calibrated: value %.110s: %s", c->ranges[i].value,
                            what);
        }
    }
    return pt_ok();
}

/* jansson's constructors give NULL without memory, and its setters take that as a failure. */
static bool set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

/* The text of the metadata's entry; NULL without memory. Nine digits give every float back. */
static char *calibration_text(const pt_calibration *c)
{
    json_t *root = json_object(), *ranges = json_object();
    bool good = root && ranges && set(root, "format", json_integer(1)) &&
                set(root, "method", json_string(c->method)) && set(root, "tiles", json_integer(c->tiles)) &&
                set(root, "precision", json_string(c->precision));
    for (size_t i = 0; good && i < c->range_count; i++) {
        const pt_range *range = &c->ranges[i];
        good = set(ranges, range->value, json_pack("[ff]", (double)range->low, (double)range->high));
    }
    good = good && json_object_set(root, "ranges", ranges) == 0;
    char *text = good ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(ranges);
    json_decref(root);
    return text;
}

/* One tensor that is kept: where its bytes lie in the old file's data. */
typedef struct kept {
    const char *name; /* the header's own spelling; borrowed from the JSON */
    json_t *entry;    /* borrowed */
    size_t begin, end;
} kept;

typedef struct rewrite {
    const pt_model *model; /* the old file */
    const pt_calibration *calibration;
    json_t *old, *header; /* parsed, and new */
    kept *tensors;
    size_t tensor_count;
    const uint8_t *data; /* of the old file */
    size_t written;      /* bytes of the new file's data so far */
} rewrite;

static int by_begin(const void *a, const void *b)
{
    size_t x = ((const kept *)a)->begin, y = ((const kept *)b)->begin;
    return (x > y) - (x < y);
}

/* The reader has accepted this header, so every entry has its offsets. */
static pt_status collect_tensors(rewrite *r)
{
    r->tensors = pt_calloc(json_object_size(r->old), sizeof *r->tensors);
    if (!r->tensors) {
        return PT_NOMEM("the list of tensors");
    }
    const char *name;
    json_t *entry;
    json_object_foreach(r->old, name, entry)
    {
        if (strcmp(name, "__metadata__") != 0 &&
            strncmp(name, tensor_prefix, sizeof tensor_prefix - 1) != 0) {
            const json_t *offsets = json_object_get(entry, "data_offsets");
            r->tensors[r->tensor_count++] =
                (kept){.name = name,
                       .entry = entry,
                       .begin = (size_t)json_integer_value(json_array_get(offsets, 0)),
                       .end = (size_t)json_integer_value(json_array_get(offsets, 1))};
        }
    }
    qsort(r->tensors, r->tensor_count, sizeof *r->tensors, by_begin);
    return pt_ok();
}

/* The old texts, with this calibration, and with the description when it lay in a file beside. */
static pt_status add_metadata(rewrite *r)
{
    json_t *old = json_object_get(r->old, "__metadata__");
    json_t *metadata = old ? json_copy(old) : json_object();
    char *text = calibration_text(r->calibration), *sidecar = NULL;
    size_t size = 0;
    pt_status status = pt_ok();
    bool good = metadata && text && set(metadata, calibration_key, json_string(text));
    if (good && !json_object_get(metadata, "pantile")) {
        PT_TRY_OUT(pt_model_read_sidecar(r->model->path, &sidecar, &size));
        good = set(metadata, "pantile", json_stringn(sidecar, size));
    }
    if (!good || json_object_set(r->header, "__metadata__", metadata) != 0) {
        status = PT_NOMEM("the model's header");
    }
out:
    pt_free(sidecar);
    free(text);
    json_decref(metadata);
    return status;
}

static bool add_entry(rewrite *r, const char *name, const json_t *dtype, json_t *shape, size_t bytes)
{
    json_t *entry = json_pack("{s:s, s:o, s:[I,I]}", "dtype", json_string_value(dtype), "shape", shape,
                              "data_offsets", (json_int_t)r->written, (json_int_t)(r->written + bytes));
    r->written += bytes;
    return set(r->header, name, entry);
}

static pt_status add_entries(rewrite *r)
{
    bool good = true;
    for (size_t i = 0; good && i < r->tensor_count; i++) {
        const kept *tensor = &r->tensors[i];
        good = add_entry(r, tensor->name, json_object_get(tensor->entry, "dtype"),
                         json_incref(json_object_get(tensor->entry, "shape")), tensor->end - tensor->begin);
    }
    json_t *f32 = json_string("F32");
    good = good && f32;
    for (size_t i = 0; good && i < r->calibration->range_count; i++) {
        const pt_range *range = &r->calibration->ranges[i];
        if (has_mean(r->model, range)) {
            char name[PT_TENSOR_NAME_MAX + 1];
            snprintf(name, sizeof name, "%s%s.mean", tensor_prefix, range->value);
            good = add_entry(r, name, f32, json_pack("[i]", range->channels),
                             (size_t)range->channels * sizeof *range->mean);
        }
    }
    json_decref(f32);
    return good ? pt_ok() : PT_NOMEM("the model's header");
}

/* Length, text, and spaces up to a multiple of 8. False: the stream has an error. */
static bool write_header(FILE *stream, const char *text)
{
    size_t length = strlen(text), padding = (8 - length % 8) % 8;
    uint8_t head[8];
    for (int i = 0; i < 8; i++) {
        head[i] = (uint8_t)((uint64_t)(length + padding) >> (8 * i));
    }
    return fwrite(head, 1, 8, stream) == 8 && fwrite(text, 1, length, stream) == length &&
           fwrite("        ", 1, padding, stream) == padding;
}

static bool write_mean(FILE *stream, const pt_range *range)
{
    bool good = true;
    for (int c = 0; good && c < range->channels; c++) {
        uint32_t bits;
        memcpy(&bits, &range->mean[c], sizeof bits);
        const uint8_t little[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
                                   (uint8_t)(bits >> 24)};
        good = fwrite(little, 1, 4, stream) == 4;
    }
    return good;
}

static bool write_data(FILE *stream, const rewrite *r)
{
    bool good = true;
    for (size_t i = 0; good && i < r->tensor_count; i++) {
        size_t size = r->tensors[i].end - r->tensors[i].begin;
        good = fwrite(r->data + r->tensors[i].begin, 1, size, stream) == size;
    }
    for (size_t i = 0; good && i < r->calibration->range_count; i++) {
        const pt_range *range = &r->calibration->ranges[i];
        good = !has_mean(r->model, range) || write_mean(stream, range);
    }
    return good;
}

static pt_status cannot_write(const char *path, int error)
{
    if (error == ENOSPC || error == EDQUOT) {
        return pt_error(PT_E_NOSPACE, "%s: no space left; free some or write elsewhere", path);
    }
    return pt_error(PT_E_WRITE, "%s: cannot be written: %s", path, strerror(error ? error : EIO));
}

/* The new name survives a power cut only once its folder is on disk. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? pt_asprintf("%.*s", (int)(slash - path + 1), path) : pt_strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd); /* some file systems refuse it on folders */
        close(fd);
    }
    pt_free(folder);
}

static pt_status write_file(const rewrite *r, const char *text, const char *to)
{
    char *partial = pt_asprintf("%s.partial-%ld", to, (long)getpid());
    if (!partial) {
        return PT_NOMEM("an output's name");
    }
    pt_status status = pt_ok();
    errno = 0;
    FILE *stream = fopen(partial, "wb");
    bool good = stream && write_header(stream, text) && write_data(stream, r) && fflush(stream) == 0 &&
                fsync(fileno(stream)) == 0;
    int error = errno;
    if (stream && fclose(stream) != 0 && good) {
        good = false;
        error = errno;
    }
    if (good && rename(partial, to) != 0) {
        good = false;
        error = errno;
    }
    if (good) {
        sync_folder(to);
    } else {
        unlink(partial);
        status = cannot_write(to, error);
    }
    pt_free(partial);
    return status;
}

static pt_status build_and_write(rewrite *r, const char *to)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) {
        length = length << 8 | r->model->bytes[i];
    }
    PT_TRY(pt_json_parse("header", (const char *)r->model->bytes + 8, (size_t)length, &r->old));
    r->data = r->model->bytes + 8 + length;
    r->header = json_object();
    if (!r->header) {
        return PT_NOMEM("the model's header");
    }
    PT_TRY(collect_tensors(r));
    PT_TRY(add_metadata(r));
    PT_TRY(add_entries(r));
    char *text = json_dumps(r->header, JSON_COMPACT);
    if (!text) {
        return PT_NOMEM("the model's header");
    }
    pt_status status =
        strlen(text) + 8 > PT_HEADER_MAX_BYTES || json_object_size(r->header) > PT_HEADER_MAX_TENSORS
            ? pt_error(PT_E_UNSUPPORTED, "%s: its header would exceed the format's limits", to)
            : write_file(r, text, to);
    free(text);
    return status;
}

pt_status pt_model_write_calibrated(const char *from, const pt_calibration *calibration, const char *to)
{
    if (!from || !calibration || !to) {
        return pt_error(PT_E_USAGE, "pt_model_write_calibrated: two files and a calibration are needed");
    }
    rewrite r = {.calibration = calibration};
    pt_model *model = NULL;
    PT_TRY(pt_model_open(from, &model));
    r.model = model;
    pt_status status = check(calibration);
    if (status.code == PT_OK) {
        status = build_and_write(&r, to);
    }
    pt_free(r.tensors);
    json_decref(r.old);
    json_decref(r.header);
    pt_model_close(&model);
    return status;
}
