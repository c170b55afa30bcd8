/* The measuring of `pantile bench` on a tiny model: what it says adds up. No time is held to any limit. */
#include "engine/measure/measure.h"
#include "tests/engine/network/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

static pt_measure_options small_options(const char *model)
{
    pt_measure_options options = {.model = model, .engine = pt_engine_defaults(), .size = 192, .rounds = 3};
    options.engine.threads = 2;
    options.engine.score_threshold = 0;
    options.engine.max_detections = 5;
    return options;
}

static void assert_close(double a, double b)
{
    assert_true(a - b <= 1e-6 * b && b - a <= 1e-6 * b);
}

static void test_what_it_says_adds_up(void **state)
{
    (void)state;
    char *model = tiny_model(TINY_MOBILENET);
    pt_measure_options options = small_options(model);
    pt_measurement r;
    assert_int_equal(pt_measure(&options, &r).code, PT_OK);
    assert_int_equal(r.width, 192);
    assert_int_equal(r.height, 192);
    assert_int_equal(r.tiles, 3);
    assert_int_equal(r.batch, 1);
    assert_true(r.ms_min > 0 && r.ms_min <= r.ms_median && r.ms_median <= r.ms_max);
    assert_true(r.cpu_ms > 0 && r.open_ms > 0 && r.plan_ms >= 0 && r.new_size_ms >= 0);
    assert_true(r.peak_gflops > 0 && r.peak_gops > 0 && r.share > 0 && r.cpu_share > 0 && r.peak_rss_mib > 1);
    assert_true(r.detections == 5);
    assert_close(r.mpx_per_s, 192 * 192 / 1e3 / r.ms_median);
    assert_close(r.gflops, 1e3 * r.gflop / r.ms_median);
    double layers = 0, components = 0;
    for (size_t i = 0; i < r.layer_count; i++) {
        layers += 1e-9 * r.layers[i].flops;
        assert_true(r.layers[i].seconds >= 0 && strlen(r.layers[i].kind) > 0);
    }
    for (size_t i = 0; i < r.component_count; i++) {
        components += r.components[i].gflop;
    }
    assert_true(r.layer_count > 20 && r.component_count >= 5);
    assert_close(layers, r.gflop);
    assert_close(components, r.gflop);
    pt_measure_fini(&r);
    assert_null(r.engine);
    pt_measure_fini(&r);
    unlink(model);
    free(model);
}

/* Images of two sizes, one by one; then cut to one size, two at a time. */
static void test_images_and_batches(void **state)
{
    (void)state;
    char *model = tiny_model(TINY_MOBILENET);
    pt_image images[2];
    assert_int_equal(pt_measure_image_new(160, &images[0]).code, PT_OK);
    assert_int_equal(pt_measure_image_new(224, &images[1]).code, PT_OK);
    pt_measure_options options = small_options(model);
    options.images = images;
    options.image_count = 2;
    options.size = 0;
    pt_measurement r;
    assert_int_equal(pt_measure(&options, &r).code, PT_OK);
    assert_int_equal(r.tiles, 6);
    assert_int_equal(r.width, 224);
    assert_close(r.mpx_per_s, (160 * 160 + 224 * 224) / 2e3 / r.ms_median);
    pt_measure_fini(&r);
    options.size = 128;
    options.engine.streams = 2;
    assert_int_equal(pt_measure(&options, &r).code, PT_OK);
    assert_int_equal(r.batch, 2);
    assert_int_equal(r.tiles, 6);
    assert_int_equal(pt_engine_streams(r.engine), 2);
    assert_close(r.layer_images, 3); /* of three calls, those of one stream */
    pt_measure_fini(&r);
    pt_measure_image_free(&images[0]);
    pt_measure_image_free(&images[1]);
    unlink(model);
    free(model);
}

static void expect(const pt_measure_options *options, pt_code code, const char *says)
{
    pt_measurement r;
    memset(&r, 0x55, sizeof r);
    pt_measurement before = r;
    pt_status status = pt_measure(options, &r);
    assert_int_equal(status.code, code);
    assert_non_null(strstr(status.message, says));
    assert_memory_equal(&r, &before, sizeof r);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    char *model = tiny_model(TINY_MOBILENET);
    pt_image images[2];
    assert_int_equal(pt_measure_image_new(100, &images[0]).code, PT_OK);
    assert_int_equal(pt_measure_image_new(120, &images[1]).code, PT_OK);
    pt_measure_options options = small_options(model);
    options.images = images;
    options.image_count = 2;
    options.size = 110;
    expect(&options, PT_E_USAGE, "100 x 100");
    options.size = 0;
    options.batch = 2;
    expect(&options, PT_E_USAGE, "--size");
    options = small_options("/nowhere.safetensors");
    expect(&options, PT_E_INPUT, "/nowhere.safetensors");
    options = small_options(model);
    options.engine.backend = "abacus";
    expect(&options, PT_E_USAGE, "abacus");
    pt_measure_image_free(&images[0]);
    pt_measure_image_free(&images[1]);
    unlink(model);
    free(model);
}

static void test_failed_allocations(void **state)
{
    (void)state;
    char *model = tiny_model(TINY_MOBILENET);
    pt_measure_options options = small_options(model);
    options.rounds = 1;
    pt_status status = {.code = PT_E_NOMEM};
    for (long n = 0; status.code != PT_OK; n += 1 + n / 2) {
        pt_measurement r;
        pt_alloc_fail_after(n);
        status = pt_measure(&options, &r);
        pt_alloc_fail_after(-1);
        if (status.code == PT_OK) {
            assert_true(n > 4);
            pt_measure_fini(&r);
        } else {
            assert_int_equal(status.code, PT_E_NOMEM);
        }
    }
    unlink(model);
    free(model);
}

static json_t *as_json(const pt_measurement *r, bool layers)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    assert_int_equal(pt_measure_json(r, layers, stream).code, PT_OK);
    fclose(stream);
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    free(text);
    return root;
}

static double number(json_t *root, const char *key)
{
    json_t *value = json_object_get(root, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void test_json(void **state)
{
    (void)state;
    char *model = tiny_model(TINY_RESNET);
    pt_measure_options options = small_options(model);
    options.engine.backend = "portable";
    pt_measurement r;
    assert_int_equal(pt_measure(&options, &r).code, PT_OK);
    json_t *root = as_json(&r, false);
    static const char *const keys[] = {"cpu_ms_per_tile", "mpx_per_s",      "gflop_per_tile", "gflops",
                                       "peak_fma_gflops", "peak_vnni_gops", "share_of_peak",  "peak_rss_mib",
                                       "weights_mib",     "arena_mib",      "plan_ms",        "threads"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        assert_true(number(root, keys[i]) >= 0);
    }
    json_t *ms = json_object_get(root, "ms_per_tile");
    assert_true(number(ms, "min") <= number(ms, "median") && number(ms, "median") <= number(ms, "max"));
    assert_string_equal(json_string_value(json_object_get(root, "precision")), "fp32");
    assert_non_null(strstr(json_string_value(json_object_get(root, "backend")), "portable"));
    assert_true(json_is_object(json_object_get(json_object_get(root, "components"), "backbone")));
    assert_null(json_object_get(root, "layers"));
    json_decref(root);
    root = as_json(&r, true);
    assert_int_equal(json_array_size(json_object_get(root, "layers")), r.layer_count);
    json_decref(root);
    pt_measure_fini(&r);
    unlink(model);
    free(model);
}

static void test_machine(void **state)
{
    (void)state;
    pt_measure_peak peak = {0};
    assert_int_equal(pt_measure_machine(1, &peak).code, PT_OK);
    assert_true(peak.f32 > 1e8 && peak.u8 > 1e8); /* less no machine does */
    assert_non_null(peak.f32_name);
    assert_non_null(peak.u8_name);
    assert_int_equal(pt_measure_machine(0, &peak).code, PT_E_USAGE);
    pt_alloc_fail_after(0);
    assert_int_equal(pt_measure_machine(1, &peak).code, PT_E_NOMEM);
    pt_alloc_fail_after(-1);
    assert_true(pt_measure_peak_rss() > 1);
    double before = pt_measure_clock();
    assert_true(pt_measure_clock() >= before);
}

static void test_made_images_are_the_same(void **state)
{
    (void)state;
    pt_image a, b;
    assert_int_equal(pt_measure_image_new(150, &a).code, PT_OK);
    assert_int_equal(pt_measure_image_new(150, &b).code, PT_OK);
    assert_int_equal(a.width, 150);
    assert_int_equal(a.row_stride, 450);
    assert_memory_equal(a.rgb, b.rgb, 150 * 450);
    pt_measure_image_free(&a);
    assert_null(a.rgb);
    pt_measure_image_free(&b);
    assert_int_equal(pt_measure_image_new(0, &a).code, PT_E_USAGE);
    assert_int_equal(pt_measure_image_new(20000, &a).code, PT_E_USAGE);
    pt_alloc_fail_after(0);
    assert_int_equal(pt_measure_image_new(150, &a).code, PT_E_NOMEM);
    pt_alloc_fail_after(-1);
}

static void write_file(const char *path, const char *text, size_t zeros)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    for (size_t i = 0; i < zeros; i++) {
        fputc(7, file);
    }
    fclose(file);
}

static void test_images_of_files(void **state)
{
    (void)state;
    char path[] = "/tmp/pantile-measure-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    pt_image image = {0};
    write_file(path, "P6\n5 4\n255\n", 60);
    assert_int_equal(pt_measure_image_read(path, &image).code, PT_OK);
    assert_true(image.width == 5 && image.height == 4 && image.row_stride == 15);
    assert_true(image.rgb[0] == 7 && image.rgb[59] == 7);
    pt_measure_image_free(&image);
    static const struct {
        const char *text;
        size_t bytes;
        pt_code code;
    } bad[] = {{"P6\n5 4\n255\n", 59, PT_E_INPUT},
               {"P5\n5 4\n255\n", 60, PT_E_INPUT},
               {"P6\n0 4\n255\n", 60, PT_E_USAGE},
               {"P6\n99999 99999\n255\n", 60, PT_E_USAGE},
               {"", 0, PT_E_INPUT}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file(path, bad[i].text, bad[i].bytes);
        pt_status status = pt_measure_image_read(path, &image);
        assert_int_equal(status.code, bad[i].code);
        assert_non_null(strstr(status.message, path));
        assert_null(image.rgb);
    }
    unlink(path);
    assert_int_equal(pt_measure_image_read(path, &image).code, PT_E_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_says_adds_up),
        cmocka_unit_test(test_images_and_batches),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_failed_allocations),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_machine),
        cmocka_unit_test(test_made_images_are_the_same),
        cmocka_unit_test(test_images_of_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
