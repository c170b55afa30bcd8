/* The calibration in a model file: what is accepted, what is refused by name, and that writing keeps the
 * rest. */
#include "tests/engine/model/refuse.h"

#include "engine/model/calibration.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "\"format\":1,\"method\":\"kl\",\"tiles\":3"

static void test_none(void **state)
{
    (void)state;
    builder b = build_mobilenet(BUILD_FOLDED);
    uint8_t *bytes;
    pt_model *model = accept_built(&b, &bytes);
    assert_null(pt_model_calibration(model));
    assert_null(pt_calibration_find(pt_model_calibration(model), "image"));
    pt_model_close(&model);
    free(bytes);
    build_free(&b);
}

static void test_read(void **state)
{
    (void)state;
    builder b = build_mobilenet(BUILD_FOLDED);
    uint8_t *bytes;
    pt_model *model = accept_built(&b, &bytes);
    size_t tensors = pt_model_tensor_count(model);
    int64_t parameters = pt_model_get_summary(model)->parameters;
    pt_model_close(&model);
    free(bytes);

    b.calibration =
        "{" HEAD ",\"ranges\":{\"image\":[-2.5,2],\"backbone.body.0.0\":[0,6],\"of.another.version\":[0,0],"
        "\"a\":[-3.4028234663852886e38,3.4028234663852886e38]},\"remark\":[]}";
    build_add(&b, "calibration.backbone.body.0.0.mean", 1, 3, 0, 0, 0);
    build_add(&b, "calibration.image.mean", 1, 3, 0, 0, 0);
    model = accept_built(&b, &bytes);
    const pt_calibration *c = pt_model_calibration(model);
    assert_non_null(c);
    assert_string_equal(c->method, "kl");
    assert_string_equal(c->precision, "int8"); /* unless it says otherwise */
    assert_int_equal(c->tiles, 3);
    assert_int_equal(c->range_count, 4);
    for (size_t i = 1; i < c->range_count; i++) {
        assert_true(strcmp(c->ranges[i - 1].value, c->ranges[i].value) < 0);
    }
    const pt_range *image = pt_calibration_find(c, "image"),
                   *stem = pt_calibration_find(c, "backbone.body.0.0");
    assert_true(image->low == -2.5F && image->high == 2.0F && image->channels == 3);
    assert_true(stem->low == 0 && stem->high == 6 && stem->channels == 3);
    build_tensor *written = build_find(&b, "calibration.backbone.body.0.0.mean");
    assert_memory_equal(stem->mean, written->values, 3 * sizeof(float));
    assert_null(pt_calibration_find(c, "of.another.version")->mean);
    assert_true(pt_calibration_find(c, "a")->high == FLT_MAX);
    assert_null(pt_calibration_find(c, "imag"));
    /* The network is what it was. */
    assert_int_equal(pt_model_tensor_count(model), tensors);
    assert_int_equal(pt_model_get_summary(model)->parameters, parameters);
    assert_null(pt_model_find(model, "calibration.image.mean"));
    pt_model_close(&model);
    free(bytes);
    build_free(&b);
}

static void test_refused_texts(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"", "calibration is not valid JSON"},
        {"{", "calibration is not valid JSON"},
        {"[]", "calibration is not a JSON object"},
        {"{}", "calibration: format must be 1"},
        {"{\"format\":2,\"method\":\"kl\",\"tiles\":3,\"ranges\":{}}", "format must be 1"},
        {"{\"format\":1.0,\"method\":\"kl\",\"tiles\":3,\"ranges\":{}}", "format must be 1"},
        {"{\"format\":1,\"tiles\":3,\"ranges\":{}}", "method must be"},
        {"{\"format\":1,\"method\":\"KL\",\"tiles\":3,\"ranges\":{}}",
         "method must be minmax, percentile, kl or mse"},
        {"{\"format\":1,\"method\":1,\"tiles\":3,\"ranges\":{}}", "method must be"},
        {"{\"format\":1,\"method\":\"kl\",\"ranges\":{}}", "tiles must be a whole number"},
        {"{\"format\":1,\"method\":\"kl\",\"tiles\":-1,\"ranges\":{}}", "tiles must be"},
        {"{\"format\":1,\"method\":\"kl\",\"tiles\":3.5,\"ranges\":{}}", "tiles must be"},
        {"{\"format\":1,\"method\":\"kl\",\"tiles\":1000000001,\"ranges\":{}}", "tiles must be"},
        {"{" HEAD ",\"precision\":\"int4\",\"ranges\":{}}", "precision must be like"},
        {"{" HEAD ",\"precision\":\"auto\",\"ranges\":{}}", "precision must be like"},
        {"{" HEAD ",\"precision\":8,\"ranges\":{}}", "precision must be like"},
        {"{" HEAD "}", "ranges must be an object"},
        {"{" HEAD ",\"ranges\":[]}", "ranges must be an object"},
        {"{" HEAD ",\"ranges\":{\"\":[0,1]}}", "a value's name is not"},
        {"{" HEAD ",\"ranges\":{\"a b\":[0,1]}}", "a value's name is not"},
        {"{" HEAD ",\"ranges\":{\"\\u202e\":[0,1]}}", "a value's name is not"},
        {"{" HEAD ",\"ranges\":{\"a\":[0,1],\"a\":[0,1]}}", "not valid JSON"},
        {"{" HEAD ",\"ranges\":{\"a\":1}}", "value a: a range must be two numbers"},
        {"{" HEAD ",\"ranges\":{\"a\":[0]}}", "value a: a range must be two numbers"},
        {"{" HEAD ",\"ranges\":{\"a\":[0,1,2]}}", "value a: a range must be two numbers"},
        {"{" HEAD ",\"ranges\":{\"a\":[\"0\",1]}}", "value a: a range must be two numbers"},
        {"{" HEAD ",\"ranges\":{\"a\":[null,null]}}", "value a: a range must be two numbers"},
        {"{" HEAD ",\"ranges\":{\"a\":[1,2]}}", "low <= 0 <= high"},
        {"{" HEAD ",\"ranges\":{\"a\":[-2,-1]}}", "low <= 0 <= high"},
        {"{" HEAD ",\"ranges\":{\"a\":[1,-1]}}", "low <= 0 <= high"},
        {"{" HEAD ",\"ranges\":{\"a\":[0,3.5e38]}}",
         "value a: a range must be two numbers that FP32 can hold"},
        {"{" HEAD ",\"ranges\":{\"a\":[0,1e400]}}", "calibration is not valid JSON"},
        {"{" HEAD ",\"ranges\":{\"a\":[0,NaN]}}", "calibration is not valid JSON"},
    };
    builder b = build_mobilenet(BUILD_FOLDED);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        b.calibration = texts[i][0];
        refuse_built(&b, texts[i][1]);
    }
    build_free(&b);
}

static void refuse_repeated(builder *b, const char *head, const char *format, int count, const char *says)
{
    char *text = malloc((size_t)count * 32 + 256), *at = text + sprintf(text, "%s", head);
    assert_non_null(text);
    for (int i = 0; i < count; i++) {
        at += sprintf(at, format, i ? "," : "", i);
    }
    strcpy(at, "}}");
    b->calibration = text;
    refuse_built(b, says);
    free(text);
}

static void test_limits(void **state)
{
    (void)state;
    builder b = build_mobilenet(BUILD_FOLDED);
    refuse_repeated(&b, "{" HEAD ",\"ranges\":{", "%s\"v%d\":[0,1]", 8193, "at most 8192 values");
    refuse_repeated(&b, "{" HEAD ",\"ranges\":{", "%s\"%0140d\":[0,1]", 1, "a value's name is not");
    refuse_repeated(&b, "{" HEAD ",\"ranges\":{", "%s\"v%d\":[0,1]           ", 50000,
                    "exceeds 1048576 bytes");
    refuse_repeated(&b, "{" HEAD ",\"ranges\":{\"a\":", "%.0s[%.0d", 17, "nested 19 levels deep");
    build_free(&b);
}

static void refuse_mean(const char *tensor, int64_t n0, int64_t n1, const char *dtype, float value,
                        const char *says)
{
    builder b = build_mobilenet(BUILD_FOLDED);
    b.calibration = "{" HEAD ",\"ranges\":{\"image\":[0,1],\"backbone.body.0.0\":[0,6],"
                    "\"roi_heads.mask_predictor.conv5_mask\":[0,1]}}";
    build_add(&b, tensor, n1 ? 2 : 1, n0, n1, 0, 0);
    strcpy(b.tensors[b.count - 1].dtype, dtype);
    b.tensors[b.count - 1].values[0] = value;
    refuse_built(&b, says);
    build_free(&b);
}

static void test_means(void **state)
{
    (void)state;
    refuse_mean("calibration.backbone.body.0.0.mean", 4, 0, "F32", 0, "one number per channel");
    refuse_mean("calibration.backbone.body.0.0.mean", 2, 0, "F32", 0, "one number per channel");
    refuse_mean("calibration.roi_heads.mask_predictor.conv5_mask.mean", 5, 0, "F32", 0,
                "one number per channel");
    refuse_mean("calibration.image.mean", 16385, 0, "F32", 0, "one number per channel");
    refuse_mean("calibration.image.mean", 3, 1, "F32", 0, "one number per channel");
    refuse_mean("calibration.image.mean", 3, 0, "F16", 0, "a mean must be F32");
    refuse_mean("calibration.image.mean", 3, 0, "F32", NAN, "holds an infinity or NaN");
    refuse_mean("calibration.imag.mean", 3, 0, "F32", 0,
                "calibration.imag.mean: the calibration has no range");
    refuse_mean("calibration.mean", 3, 0, "F32", 0, "tensor calibration.mean: unknown");
    refuse_mean("calibration.image.variance", 3, 0, "F32", 0, "unknown");
    builder b = build_mobilenet(BUILD_FOLDED); /* a mean without any calibration */
    build_add(&b, "calibration.image.mean", 1, 3, 0, 0, 0);
    refuse_built(&b, "tensor calibration.image.mean: unknown");
    build_free(&b);
}

static void write_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static uint8_t *read_bytes(const char *path, size_t *size)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    uint8_t *bytes = malloc((size_t)info.st_size);
    FILE *file = fopen(path, "rb");
    assert_true(bytes && file && fread(bytes, 1, (size_t)info.st_size, file) == (size_t)info.st_size);
    fclose(file);
    *size = (size_t)info.st_size;
    return bytes;
}

/* The tiny model with batch norms and counters, F16 of an odd count first, so that nothing is aligned. */
static void write_plain(const char *path, const char *description)
{
    builder b = build_mobilenet(BUILD_COUNTERS | BUILD_OLD_NAMES);
    b.description = description;
    strcpy(b.tensors[0].dtype, "F16");
    size_t size;
    uint8_t *bytes = build_bytes(&b, &size);
    write_bytes(path, bytes, size);
    free(bytes);
    build_free(&b);
}

static const float stem_mean[] = {0.1F, -1e-30F, 3.4e38F}, wide_mean[20] = {1, 2, 3};
static const pt_range written[] = {
    {.value = "backbone.body.0.0", .low = -0.0F, .high = 0.1F, .mean = stem_mean, .channels = 3},
    {.value = "image", .low = -2.1179039F, .high = 2.64F},
    {.value = "roi_heads.mask_predictor.conv5_mask", .high = 1e-30F, .mean = wide_mean, .channels = 20},
};
static const pt_calibration sample = {
    .method = "percentile", .tiles = 7, .precision = "int8,mask=fp32", .ranges = written, .range_count = 3};

static void check_written(const char *path, const pt_calibration *wanted)
{
    pt_model *plain = NULL, *model = NULL;
    assert_int_equal(pt_model_open("plain.safetensors", &plain).code, PT_OK);
    pt_status status = pt_model_open(path, &model);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    assert_int_equal(pt_model_tensor_count(model), pt_model_tensor_count(plain));
    for (size_t i = 0; i < pt_model_tensor_count(plain); i++) {
        const pt_tensor *a = pt_model_tensor_at(plain, i), *b = pt_model_tensor_at(model, i);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->dtype, b->dtype);
        assert_memory_equal(a->data, b->data, a->count * (a->dtype == PT_DTYPE_F32 ? 4 : 2));
    }
    assert_string_equal(pt_model_get_summary(model)->name, "tiny");
    const pt_calibration *c = pt_model_calibration(model);
    assert_string_equal(c->method, wanted->method);
    assert_string_equal(c->precision, wanted->precision);
    assert_int_equal(c->tiles, wanted->tiles);
    assert_int_equal(c->range_count, wanted->range_count);
    for (size_t i = 0; i < c->range_count; i++) {
        const pt_range *a = &c->ranges[i], *b = &wanted->ranges[i];
        assert_string_equal(a->value, b->value);
        assert_true(a->low == b->low && a->high == b->high); /* to the last bit */
        assert_int_equal(a->channels, b->channels);
        if (b->mean) {
            assert_memory_equal(a->mean, b->mean, (size_t)b->channels * sizeof *b->mean);
        }
    }
    pt_model_close(&model);
    pt_model_close(&plain);
}

static void write_calibrated(const char *from, const pt_calibration *calibration, const char *to)
{
    pt_status status = pt_model_write_calibrated(from, calibration, to);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
}

static void test_write(void **state)
{
    (void)state;
    write_plain("plain.safetensors", build_description);
    write_calibrated("plain.safetensors", &sample, "written.safetensors");
    check_written("written.safetensors", &sample);
    pt_range narrow[3];
    memcpy(narrow, written, sizeof narrow);
    narrow[0].channels = 2; /* not what the layer has: left out */
    pt_calibration other = sample;
    other.ranges = narrow;
    write_calibrated("plain.safetensors", &other, "narrow.safetensors");
    narrow[0].mean = NULL;
    narrow[0].channels = 0;
    check_written("narrow.safetensors", &other);
    unlink("narrow.safetensors");
    /* Again over itself, with less in it; then as before: the very bytes of the first time. */
    size_t size, again_size;
    uint8_t *first = read_bytes("written.safetensors", &size);
    assert_int_equal((first[0] | first[1] << 8) % 8, 0);
    pt_calibration less = {.method = "minmax", .precision = "fp32", .ranges = written + 1, .range_count = 1};
    write_calibrated("written.safetensors", &less, "written.safetensors");
    check_written("written.safetensors", &less);
    write_calibrated("written.safetensors", &sample, "written.safetensors");
    uint8_t *again = read_bytes("written.safetensors", &again_size);
    assert_int_equal(size, again_size);
    assert_memory_equal(first, again, size);
    free(first);
    free(again);
    unlink("written.safetensors");
    unlink("plain.safetensors");
}

static void test_write_sidecar(void **state)
{
    (void)state;
    write_plain("plain.safetensors", NULL);
    write_bytes("plain.json", build_description, strlen(build_description));
    write_calibrated("plain.safetensors", &sample, "alone.safetensors");
    check_written("alone.safetensors", &sample);
    unlink("plain.json");
    unlink("plain.safetensors");
    unlink("alone.safetensors");
}

static void refuse_write(const pt_calibration *calibration, const char *to, pt_code code, const char *says)
{
    pt_status status = pt_model_write_calibrated("plain.safetensors", calibration, to);
    if (status.code != code || !strstr(status.message, says)) {
        fail_msg("expected %s with \"%s\", got %s \"%s\"", pt_code_name(code), says,
                 pt_code_name(status.code), status.message);
    }
}

static void test_write_refusals(void **state)
{
    (void)state;
    write_plain("plain.safetensors", build_description);
    pt_range ranges[3];
    memcpy(ranges, written, sizeof ranges);
    pt_calibration bad = sample;
    bad.ranges = ranges;
    bad.method = "guess";
    refuse_write(&bad, "out", PT_E_USAGE, "method must be");
    bad.method = "kl";
    bad.tiles = -1;
    refuse_write(&bad, "out", PT_E_USAGE, "tiles must be");
    bad.tiles = 1;
    bad.precision = "auto";
    refuse_write(&bad, "out", PT_E_USAGE, "precision must be");
    bad.precision = "int8";
    ranges[1].value = "backbone.body.0.0";
    refuse_write(&bad, "out", PT_E_USAGE, "sorted");
    ranges[1].value = "c c";
    refuse_write(&bad, "out", PT_E_USAGE, "a value's name");
    ranges[1] = written[1];
    ranges[1].high = INFINITY;
    refuse_write(&bad, "out", PT_E_USAGE, "a range must be");
    ranges[1].high = NAN;
    refuse_write(&bad, "out", PT_E_USAGE, "a range must be");
    ranges[1] = written[1];
    static const float endless[3] = {0, INFINITY, 0};
    ranges[0] = written[0];
    ranges[0].mean = endless;
    refuse_write(&bad, "out", PT_E_USAGE, "a mean must be finite");
    ranges[0] = written[0];
    assert_int_not_equal(access("out", F_OK), 0);
    refuse_write(&bad, "no/such/folder/out", PT_E_WRITE, "no/such/folder/out: cannot be written: No such");
    mkdir("taken", 0700);
    refuse_write(&bad, "taken", PT_E_WRITE, "taken: cannot be written");
    rmdir("taken");
    assert_int_equal(pt_model_write_calibrated("absent.safetensors", &bad, "out").code, PT_E_INPUT);
    assert_int_equal(pt_model_write_calibrated(NULL, &bad, "out").code, PT_E_USAGE);
    assert_int_equal(pt_model_write_calibrated("plain.safetensors", NULL, "out").code, PT_E_USAGE);
    assert_int_equal(pt_model_write_calibrated("plain.safetensors", &bad, NULL).code, PT_E_USAGE);
    assert_int_not_equal(access("out", F_OK), 0);
    unlink("plain.safetensors");
}

static void test_no_memory(void **state)
{
    (void)state;
    write_plain("plain.safetensors", build_description);
    long n = 0;
    for (;; n++) {
        pt_alloc_fail_after(n);
        pt_status status = pt_model_write_calibrated("plain.safetensors", &sample, "written.safetensors");
        pt_alloc_fail_after(-1);
        if (status.code == PT_OK) {
            break;
        }
        assert_int_equal(status.code, PT_E_NOMEM);
        assert_int_not_equal(access("written.safetensors", F_OK), 0);
    }
    assert_true(n > 8);
    for (n = 0;; n++) { /* reading it */
        pt_model *model = NULL;
        pt_alloc_fail_after(n);
        pt_status status = pt_model_open("written.safetensors", &model);
        pt_alloc_fail_after(-1);
        if (status.code == PT_OK) {
            pt_model_close(&model);
            break;
        }
        assert_int_equal(status.code, PT_E_NOMEM);
        assert_null(model);
    }
    assert_true(n > 16);
    unlink("written.safetensors");
    unlink("plain.safetensors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),          cmocka_unit_test(test_read),
        cmocka_unit_test(test_refused_texts), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_means),         cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_sidecar), cmocka_unit_test(test_write_refusals),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
