/* Files on disk: the bundled models, sidecars, things that are no model files; and running out of memory. */
#include "tests/engine/model/refuse.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *bundled; /* models/ of the source */

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void refuse_file(const char *path, const char *says)
{
    pt_model *model = NULL;
    pt_status status = pt_model_open(path, &model);
    if (status.code != PT_E_INPUT || !strstr(status.message, says) || !strstr(status.message, path)) {
        fail_msg("expected a refusal with \"%s\", got %s \"%s\"", says, pt_code_name(status.code),
                 status.message);
    }
    assert_null(model);
    pt_model_summary *summary = NULL;
    assert_int_equal(pt_model_summary_read(path, &summary).code, PT_E_INPUT);
    assert_null(summary);
}

static void check_bundled(const char *file, const char *name, const char *class_name, double gsd,
                          float first_size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", bundled, file);
    pt_model *model = NULL;
    pt_status status = pt_model_open(path, &model);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    const pt_model_config *c = pt_model_get_config(model);
    static const int taps[] = {3, 6, 13, 17}, channels[] = {24, 32, 96, 320};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(c->taps[i], taps[i]);
        assert_int_equal(c->tap_channels[i], channels[i]);
    }
    assert_true(c->anchor_sizes[0][0] == first_size && c->anchor_sizes[4][0] == 16 * first_size);
    assert_int_equal(c->box_fc, 512);
    assert_int_equal(c->max_detections, 300);
    pt_model_close(&model);

    pt_model_summary *s = NULL;
    assert_int_equal(pt_model_summary_read(path, &s).code, PT_OK);
    pt_model_summary *later = NULL;
    assert_int_equal(pt_model_summary_begin(path, &later).code, PT_OK);
    assert_string_equal(later->sha256, "");
    pt_model_summary_digest(later);
    assert_string_equal(later->sha256, s->sha256);
    assert_int_equal(strlen(s->sha256), 64);
    pt_model_summary_free(&later);
    assert_string_equal(s->name, name);
    assert_string_equal(s->architecture, "mobilenet_v2_fpn");
    assert_string_equal(s->dtype, "F16");
    assert_int_equal(s->parameters, 6732539);
    assert_int_equal(s->class_count, 2);
    assert_string_equal(s->class_names[1], class_name);
    assert_true(s->gsd == gsd);
    assert_int_equal(s->stride, 64);
    assert_int_equal(s->mask_size, 28);
    pt_model_summary_free(&s);
    assert_null(s);
    pt_model_summary_free(&s);
    pt_model_summary_free(NULL);
}

static void test_bundled(void **state)
{
    (void)state;
    check_bundled("buildings_mnv2_fpn.safetensors", "buildings_mnv2_fpn", "building", 0.2, 16);
    check_bundled("fields_mnv2_fpn.safetensors", "fields_mnv2_fpn", "field", 1.0, 32);
}

static void test_sidecar_file(void **state)
{
    (void)state;
    builder b = build_mobilenet(BUILD_FOLDED);
    b.description = NULL;
    size_t size;
    uint8_t *bytes = build_bytes(&b, &size);
    write_file("side.car.safetensors", bytes, size);
    unlink("side.car.json");
    refuse_file("side.car.safetensors", "side.car.json: cannot be opened");
    write_file("side.car.json", "{", 1);
    refuse_file("side.car.safetensors", "description is not valid JSON");
    write_file("side.car.json", "", 0);
    refuse_file("side.car.safetensors", "description is not valid JSON");
    write_file("side.car.json", build_description, strlen(build_description));
    pt_model *model = NULL;
    assert_int_equal(pt_model_open("side.car.safetensors", &model).code, PT_OK);
    assert_string_equal(pt_model_get_summary(model)->name, "tiny");
    pt_model_close(&model);
    write_file("side.car.json", "{\"roi\":{\"box_roi_size\":2}}", 26);
    assert_int_equal(pt_model_open("side.car.safetensors", &model).code, PT_OK);
    assert_string_equal(pt_model_get_summary(model)->name, "side.car");
    pt_model_close(&model);
    assert_int_equal(truncate("side.car.json", (1 << 20) + 1), 0);
    refuse_file("side.car.safetensors", "side.car.json: exceeds 1048576 bytes");
    unlink("side.car.json");
    unlink("side.car.safetensors");
    free(bytes);
    build_free(&b);
}

static void test_not_model_files(void **state)
{
    (void)state;
    refuse_file("no_such.safetensors", "cannot be opened: No such file or directory");
    refuse_file("/dev/null", "is not a regular file");
    refuse_file(".", "is not a regular file");
    unlink("pipe.safetensors");
    assert_int_equal(mkfifo("pipe.safetensors", 0600), 0);
    refuse_file("pipe.safetensors", "is not a regular file"); /* and is not waited for */
    unlink("pipe.safetensors");
    write_file("empty.safetensors", "", 0);
    refuse_file("empty.safetensors", "is empty");
    write_file("empty.safetensors", "II*\0 this is a TIFF, or so it says", 34);
    refuse_file("empty.safetensors", "not a safetensors file");
    unlink("empty.safetensors");
    pt_model *model = NULL;
    assert_int_equal(pt_model_open(NULL, &model).code, PT_E_USAGE);
    assert_int_equal(pt_model_open("x", NULL).code, PT_E_USAGE);
    assert_int_equal(pt_model_open_memory("x", NULL, 0, NULL, &model).code, PT_E_USAGE);
    assert_int_equal(pt_model_open_memory(NULL, "", 0, NULL, &model).code, PT_E_USAGE);
    pt_model_close(&model);
    pt_model_close(NULL);
}

/* A header that promises a terabyte is refused without touching it: the file is sparse and larger than
 * memory. */
static void test_huge_sparse_file(void **state)
{
    (void)state;
    write_file("huge.safetensors", "\0\0\0\0\1\0\0\0{", 9);
    assert_int_equal(truncate("huge.safetensors", (off_t)1 << 36), 0);
    refuse_file("huge.safetensors", "its header would be 4294967296 bytes");
    write_file("huge.safetensors", "\2\0\0\0\0\0\0\0{}", 10);
    assert_int_equal(truncate("huge.safetensors", (off_t)1 << 36), 0);
    refuse_file("huge.safetensors", "68719476726 bytes follow the last tensor");
    unlink("huge.safetensors");
}

static void test_no_memory(void **state)
{
    (void)state;
    builder b = build_mobilenet(BUILD_FOLDED);
    size_t size;
    uint8_t *bytes = build_bytes(&b, &size);
    write_file("memory.safetensors", bytes, size);
    long n = 0;
    for (;; n++) {
        pt_model_summary *summary = NULL;
        pt_alloc_fail_after(n);
        pt_status status = pt_model_summary_read("memory.safetensors", &summary);
        pt_alloc_fail_after(-1);
        if (status.code == PT_OK) {
            pt_model_summary_free(&summary);
            break;
        }
        assert_int_equal(status.code, PT_E_NOMEM);
        assert_null(summary);
    }
    assert_true(n > 8);
    /* The same with a sidecar, without names in it. */
    b.description = NULL;
    uint8_t *bare = build_bytes(&b, &size);
    write_file("memory.safetensors", bare, size);
    write_file("memory.json", "{\"roi\":{\"box_roi_size\":2}}", 26);
    for (n = 0;; n++) {
        pt_model *model = NULL;
        pt_alloc_fail_after(n);
        pt_status status = pt_model_open("memory.safetensors", &model);
        pt_alloc_fail_after(-1);
        if (status.code == PT_OK) {
            pt_model_close(&model);
            break;
        }
        assert_int_equal(status.code, PT_E_NOMEM);
    }
    assert_true(n > 8);
    unlink("memory.safetensors");
    unlink("memory.json");
    free(bytes);
    free(bare);
    build_free(&b);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s MODELS_FOLDER\n", argv[0]);
        return 1;
    }
    bundled = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bundled),         cmocka_unit_test(test_sidecar_file),
        cmocka_unit_test(test_not_model_files), cmocka_unit_test(test_huge_sparse_file),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
