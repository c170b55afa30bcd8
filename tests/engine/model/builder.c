#include "tests/engine/model/builder.h"

#include "tests/engine/kernels/random.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char build_description[] =
    "{\"format\":1,\"name\":\"tiny\",\"classes\":[\"background\",\"roof\",\"field\"],\"gsd_m\":{\"default\":"
    "0.25},"
    "\"roi\":{\"box_roi_size\":2,\"mask_roi_size\":2},\"thresholds\":{\"recommended_export_score\":0.4}}";

static void *must(void *block)
{
    if (!block) {
        abort(); /* a test program without memory has nothing to say */
    }
    return block;
}

static size_t count_of(const build_tensor *t)
{
    size_t count = 1;
    for (int i = 0; i < t->dims; i++) {
        count *= (size_t)t->shape[i];
    }
    return count;
}

void build_add(builder *b, const char *name, int dims, int64_t n0, int64_t n1, int64_t n2, int64_t n3)
{
    if (b->count == b->capacity) {
        b->capacity = b->capacity ? 2 * b->capacity : 64;
        b->tensors = must(realloc(b->tensors, b->capacity * sizeof *b->tensors));
    }
    build_tensor *t = &b->tensors[b->count];
    *t = (build_tensor){.dtype = "F32", .dims = dims, .shape = {n0, n1, n2, n3}};
    snprintf(t->name, sizeof t->name, "%s", name);
    size_t count = count_of(t);
    t->values = must(malloc(count * sizeof *t->values));
    for (size_t i = 0; i < count; i++) {
        t->values[i] =
            0.25F * (float)(1 + (i + b->count) % 7); /* exact in F16 and BF16, positive for variances */
    }
    b->count++;
}

static bool ends_in(const char *name, const char *ending)
{
    size_t a = strlen(name), b = strlen(ending);
    return a >= b && strcmp(name + a - b, ending) == 0;
}

void build_soften(builder *b)
{
    randoms r = {99};
    for (size_t i = 0; i < b->count; i++) {
        build_tensor *t = &b->tensors[i];
        size_t count = count_of(t);
        if (t->dims == 1) {
            bool factor = ends_in(t->name, "bn1.weight") || ends_in(t->name, "bn2.weight") ||
                          ends_in(t->name, "bn3.weight") || ends_in(t->name, "running_var") ||
                          ends_in(t->name, "downsample.1.weight");
            random_fill(&r, t->values, count, factor ? .5f : -.2f, factor ? 1 : .2f);
        } else {
            float bound = sqrtf(4.0f * (float)t->shape[0] / (float)count);
            random_fill(&r, t->values, count, -bound, bound);
        }
    }
}

build_tensor *build_find(builder *b, const char *name)
{
    for (size_t i = 0; i < b->count; i++) {
        if (strcmp(b->tensors[i].name, name) == 0) {
            return &b->tensors[i];
        }
    }
    fprintf(stderr, "no tensor %s\n", name);
    abort();
}

void build_remove(builder *b, const char *name)
{
    build_tensor *t = build_find(b, name);
    free(t->values);
    *t = b->tensors[--b->count];
}

static void add(builder *b, int dims, int64_t n0, int64_t n1, int64_t k, const char *format, ...)
{
    char name[160];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    build_add(b, name, dims, n0, n1, k, k);
}

static void add_plain(builder *b, const char *module, int64_t out, int64_t in, int64_t k)
{
    add(b, k ? 4 : 2, out, in, k, "%s.weight", module);
    add(b, 1, out, 0, 0, "%s.bias", module);
}

static void add_normed(builder *b, int flags, const char *block, const char *conv, const char *bn,
                       int64_t out, int64_t in, int64_t k)
{
    add(b, 4, out, in, k, "%s%s.weight", block, conv);
    if (flags & BUILD_FOLDED) {
        add(b, 1, out, 0, 0, "%s%s.bias", block, conv);
        return;
    }
    static const char *const parts[] = {"weight", "bias", "running_mean", "running_var"};
    for (int i = 0; i < 4; i++) {
        add(b, 1, out, 0, 0, "%s%s.%s", block, bn, parts[i]);
    }
    if (flags & BUILD_COUNTERS) {
        add(b, 0, 0, 0, 0, "%s%s.num_batches_tracked", block, bn);
        strcpy(b->tensors[b->count - 1].dtype, "I64");
    }
}

static void add_heads(builder *b, int flags, const int64_t *inputs, int64_t f)
{
    static const char *const modules[2][4] = {{"backbone.fpn.inner_blocks.%d.0",
                                               "backbone.fpn.layer_blocks.%d.0", "rpn.head.conv.0.0",
                                               "roi_heads.mask_head.%d.0"},
                                              {"backbone.fpn.inner_blocks.%d", "backbone.fpn.layer_blocks.%d",
                                               "rpn.head.conv", "roi_heads.mask_head.mask_fcn%d"}};
    bool old = (flags & BUILD_OLD_NAMES) != 0;
    const char *const *names = modules[old];
    char name[100];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, names[0], i);
        add_plain(b, name, f, inputs[i], 1);
        snprintf(name, sizeof name, names[1], i);
        add_plain(b, name, f, f, 3);
    }
    add_plain(b, names[2], f, f, 3);
    add_plain(b, "rpn.head.cls_logits", 3, f, 1);
    add_plain(b, "rpn.head.bbox_pred", 12, f, 1);
    add_plain(b, "roi_heads.box_head.fc6", 7, f * 4, 0);
    add_plain(b, "roi_heads.box_head.fc7", 7, 7, 0);
    add_plain(b, "roi_heads.box_predictor.cls_score", 3, 7, 0);
    add_plain(b, "roi_heads.box_predictor.bbox_pred", 12, 7, 0);
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, names[3], i + old);
        add_plain(b, name, 5, i ? 5 : f, 3);
    }
    add_plain(b, "roi_heads.mask_predictor.conv5_mask", 5, 5, 2);
    add_plain(b, "roi_heads.mask_predictor.mask_fcn_logits", 3, 5, 1);
}

builder build_resnet(int layer3_blocks, int flags)
{
    builder b = {.description = build_description};
    const int blocks[] = {3, 4, layer3_blocks, 3};
    int64_t in = 2, outputs[4];
    add_normed(&b, flags, "backbone.body.", "conv1", "bn1", in, 3, 7);
    for (int layer = 0; layer < 4; layer++) {
        int64_t width = 1 + layer % 2, out = 3 + layer;
        for (int i = 0; i < blocks[layer]; i++) {
            char block[64];
            snprintf(block, sizeof block, "backbone.body.layer%d.%d.", layer + 1, i);
            add_normed(&b, flags, block, "conv1", "bn1", width, in, 1);
            add_normed(&b, flags, block, "conv2", "bn2", width, width, 3);
            add_normed(&b, flags, block, "conv3", "bn3", out, width, 1);
            if (i == 0) {
                add_normed(&b, flags, block, "downsample.0", "downsample.1", out, in, 1);
            }
            in = out;
        }
        outputs[layer] = in;
    }
    add_heads(&b, flags, outputs, 6);
    return b;
}

builder build_mobilenet(int flags)
{
    builder b = {.description = build_description};
    static const int64_t widths[] = {3, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5};
    static const int64_t inputs[] = {2, 3, 4, 5};
    add_normed(&b, flags, "backbone.body.", "0.0", "0.1", widths[0], 3, 3);
    for (int i = 1; i <= 17; i++) {
        char block[64];
        snprintf(block, sizeof block, "backbone.body.%d.conv.", i);
        int64_t in = widths[i - 1], hidden = i == 1 ? in : in + 1;
        if (i > 1) {
            add_normed(&b, flags, block, "0.0", "0.1", hidden, in, 1);
        }
        add_normed(&b, flags, block, i == 1 ? "0.0" : "1.0", i == 1 ? "0.1" : "1.1", hidden, 1, 3);
        add_normed(&b, flags, block, i == 1 ? "1" : "2", i == 1 ? "2" : "3", widths[i], hidden, 1);
    }
    add_heads(&b, flags, inputs, 6);
    return b;
}

typedef struct text {
    char *bytes;
    size_t size, capacity;
} text;

static void append(text *t, const void *bytes, size_t size)
{
    if (t->size + size + 1 > t->capacity) {
        t->capacity = 2 * (t->size + size + 1);
        t->bytes = must(realloc(t->bytes, t->capacity));
    }
    memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
    t->bytes[t->size] = '\0';
}

static void print(text *t, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    append(t, line, (size_t)length);
}

/* Rounding is not needed: the values are exact, or infinities and NaNs. */
static uint16_t half_of(float value)
{
    if (!isfinite(value)) {
        return isnan(value) ? 0x7e00 : 0x7c00;
    }
    int exponent;
    double fraction = frexp(fabs((double)value), &exponent);
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    return value == 0 ? sign : (uint16_t)(sign | (exponent + 14) << 10 | ((int)(fraction * 2048) & 1023));
}

static size_t append_values(text *data, const build_tensor *t)
{
    size_t before = data->size;
    for (size_t i = 0; i < count_of(t); i++) {
        uint32_t bits;
        memcpy(&bits, &t->values[i], 4);
        uint16_t brain = (uint16_t)(bits >> 16), half = 0;
        uint64_t counter = 1;
        if (strcmp(t->dtype, "F16") == 0) {
            half = half_of(t->values[i]);
            append(data, &half, 2);
        } else if (strcmp(t->dtype, "BF16") == 0) {
            append(data, &brain, 2);
        } else if (strcmp(t->dtype, "F32") == 0) {
            append(data, &bits, 4);
        } else {
            append(data, &counter, 8);
        }
    }
    return data->size - before;
}

static uint8_t *container(const text *header, const void *data, size_t data_size, size_t *size)
{
    uint8_t *bytes = must(malloc(8 + header->size + data_size + 1));
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)((uint64_t)header->size >> (8 * i));
    }
    memcpy(bytes + 8, header->bytes, header->size);
    if (data) {
        memcpy(bytes + 8 + header->size, data, data_size);
    } else {
        memset(bytes + 8 + header->size, 0, data_size);
    }
    *size = 8 + header->size + data_size;
    return bytes;
}

static void print_quoted(text *t, const char *raw)
{
    append(t, "\"", 1);
    for (; *raw; raw++) {
        if (*raw == '"' || *raw == '\\') {
            append(t, "\\", 1);
        }
        append(t, raw, 1);
    }
    append(t, "\"", 1);
}

uint8_t *build_bytes(const builder *b, size_t *size)
{
    text header = {0}, data = {0};
    append(&data, "", 0);
    print(&header, "{\"__metadata__\":{\"made_by\":\"test\"");
    if (b->description) {
        print(&header, ",\"pantile\":");
        print_quoted(&header, b->description);
    }
    if (b->calibration) {
        print(&header, ",\"pantile.calibration\":");
        print_quoted(&header, b->calibration);
    }
    print(&header, "}");
    for (size_t i = 0; i < b->count; i++) {
        const build_tensor *t = &b->tensors[i];
        size_t begin = data.size;
        append_values(&data, t);
        print(&header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name, t->dtype);
        for (int d = 0; d < t->dims; d++) {
            print(&header, "%s%lld", d ? "," : "", (long long)t->shape[d]);
        }
        print(&header, "],\"data_offsets\":[%zu,%zu]}", begin, data.size);
    }
    print(&header, "}");
    uint8_t *bytes = container(&header, data.bytes, data.size, size);
    free(header.bytes);
    free(data.bytes);
    return bytes;
}

uint8_t *build_raw(const char *header, size_t data_size, size_t *size)
{
    text t = {0};
    append(&t, header, strlen(header));
    uint8_t *bytes = container(&t, NULL, data_size, size);
    free(t.bytes);
    return bytes;
}

void build_free(builder *b)
{
    for (size_t i = 0; i < b->count; i++) {
        free(b->tensors[i].values);
    }
    free(b->tensors);
    *b = (builder){0};
}
