#include "worker/detect/replay_file.h"

#include <jansson.h>
#include <string.h>

enum { MASK_SIDE_MAX = 512, CLASS_MAX = 4095, DETECTIONS_MAX = 100000 };

typedef struct limits {
    int64_t tile;
    int width, height;
} limits;

static pt_status bad(size_t index, const char *key, const char *wanted)
{
    return pt_error(PT_E_INPUT, "detection %zu: \"%s\" must be %s", index, key, wanted);
}

static pt_status read_box(const json_t *item, size_t index, const limits *l, pt_detection *out)
{
    const json_t *box = json_object_get(item, "box");
    double v[4];
    if (!json_is_array(box) || json_array_size(box) != 4) {
        return bad(index, "box", "an array [x0, y0, x1, y1]");
    }
    for (size_t i = 0; i < 4; i++) {
        const json_t *number = json_array_get(box, i);
        if (!json_is_number(number)) {
            return bad(index, "box", "four numbers");
        }
        v[i] = json_number_value(number);
    }
    if (!(v[0] >= 0 && v[1] >= 0 && v[2] > v[0] && v[3] > v[1] && v[2] <= l->width && v[3] <= l->height)) {
        return pt_error(
            PT_E_INPUT,
            "detection %zu: \"box\" [%g, %g, %g, %g] must lie inside the window of %d x %d pixels "
            "and have x0 < x1, y0 < y1",
            index, v[0], v[1], v[2], v[3], l->width, l->height);
    }
    out->x0 = (float)v[0];
    out->y0 = (float)v[1];
    out->x1 = (float)v[2];
    out->y1 = (float)v[3];
    return pt_ok();
}

static pt_status read_scalars(const json_t *item, size_t index, pt_detection *out, int *mask_size)
{
    const json_t *score = json_object_get(item, "score");
    const json_t *class_id = json_object_get(item, "class_id");
    const json_t *side = json_object_get(item, "mask_size");
    double s = json_number_value(score); /* 0 for anything that is no number */
    if (!json_is_number(score) || !(s >= 0 && s <= 1)) {
        return bad(index, "score", "a number from 0 to 1");
    }
    json_int_t c = json_integer_value(class_id);
    if (!json_is_integer(class_id) || c < 1 || c > CLASS_MAX) {
        return bad(index, "class_id", "a whole number from 1 (0 is background)");
    }
    json_int_t m = json_integer_value(side);
    if (!json_is_integer(side) || m < 2 || m > MASK_SIDE_MAX) {
        return bad(index, "mask_size", "a whole number from 2 to 512");
    }
    out->score = (float)s;
    out->class_id = (int)c;
    *mask_size = (int)m;
    return pt_ok();
}

static pt_status read_mask(const json_t *item, size_t index, int side, float *out)
{
    const json_t *mask = json_object_get(item, "mask");
    size_t count = (size_t)side * (size_t)side;
    if (!json_is_array(mask) || json_array_size(mask) != count) {
        return bad(index, "mask", "an array of mask_size * mask_size numbers");
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *number = json_array_get(mask, i);
        double p = json_number_value(number);
        if (!json_is_number(number) || !(p >= 0 && p <= 1)) {
            return bad(index, "mask", "probabilities from 0 to 1");
        }
        out[i] = (float)p;
    }
    return pt_ok();
}

/* First everything but the masks, to know how large they are. */
static pt_status read_items(const json_t *array, const limits *l, pt_replay_tile *tile, size_t *samples)
{
    *samples = 0;
    for (size_t i = 0; i < tile->count; i++) {
        const json_t *item = json_array_get(array, i);
        if (!json_is_object(item)) {
            return pt_error(PT_E_INPUT, "detection %zu must be an object", i);
        }
        PT_TRY(read_box(item, i, l, &tile->items[i]));
        PT_TRY(read_scalars(item, i, &tile->items[i], &tile->mask_sizes[i]));
        /* Checked before anything of this size is allocated: the array is already in memory. */
        size_t side = (size_t)tile->mask_sizes[i];
        if (json_array_size(json_object_get(item, "mask")) != side * side) {
            return bad(i, "mask", "an array of mask_size * mask_size numbers");
        }
        *samples += side * side;
    }
    return pt_ok();
}

static pt_status read_masks(const json_t *array, pt_replay_tile *tile, size_t samples)
{
    tile->masks = pt_alloc(samples, sizeof *tile->masks);
    if (!tile->masks) {
        return PT_NOMEM("replayed masks");
    }
    float *next = tile->masks;
    for (size_t i = 0; i < tile->count; i++) {
        PT_TRY(read_mask(json_array_get(array, i), i, tile->mask_sizes[i], next));
        tile->items[i].mask = next;
        next += (size_t)tile->mask_sizes[i] * (size_t)tile->mask_sizes[i];
    }
    return pt_ok();
}

static pt_status read_root(const json_t *root, const limits *l, pt_replay_tile *tile)
{
    const json_t *number = json_object_get(root, "tile");
    const json_t *array = json_object_get(root, "detections");
    if (!json_is_integer(number) || json_integer_value(number) != l->tile) {
        return pt_error(PT_E_INPUT, "\"tile\" must be %lld", (long long)l->tile);
    }
    if (!json_is_array(array) || json_array_size(array) > DETECTIONS_MAX) {
        return pt_error(PT_E_INPUT, "\"detections\" must be an array of at most %d objects", DETECTIONS_MAX);
    }
    size_t count = json_array_size(array);
    tile->items = pt_calloc(count, sizeof *tile->items);
    tile->mask_sizes = pt_calloc(count, sizeof *tile->mask_sizes);
    if (!tile->items || !tile->mask_sizes) {
        return PT_NOMEM("replayed detections");
    }
    tile->count = count;
    size_t samples;
    PT_TRY(read_items(array, l, tile, &samples));
    return read_masks(array, tile, samples);
}

pt_status pt_replay_parse(const char *text, size_t size, int64_t tile, int width, int height,
                          pt_replay_tile *out)
{
    json_error_t error;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        return pt_error(PT_E_INPUT, "not JSON: line %d: %s", error.line, error.text);
    }
    limits l = {tile, width, height};
    pt_replay_tile read = {0};
    pt_status status = read_root(root, &l, &read);
    json_decref(root);
    if (status.code != PT_OK) {
        pt_replay_tile_fini(&read);
        return status;
    }
    *out = read;
    return status;
}

void pt_replay_tile_fini(pt_replay_tile *tile)
{
    pt_free(tile->items);
    pt_free(tile->mask_sizes);
    pt_free(tile->masks);
    memset(tile, 0, sizeof *tile);
}
