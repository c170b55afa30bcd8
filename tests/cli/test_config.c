/* test_config CONFIGS: the folder that holds the bundled configs. */
#include "cli/commands.h"
#include "cli/run_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *folder;

static pt_status load(const char *text, pt_run_options *out)
{
    *out = pt_run_defaults();
    pt_status status = pt_config_load_data("a.yaml", text, strlen(text), &pt_command_run, &out->loaded);
    return status.code == PT_OK ? pt_config_apply(out->loaded, out) : status;
}

static void test_reads(void **state)
{
    (void)state;
    pt_run_options o;
    pt_status status = load("# roofs\nmodel: m.safetensors\ntile: 512\nscore: 0.4\nsquare: yes\ngsd: 0.3\n"
                            "bands: [3, 2, 1]\nrange:\n  - -5\n  - 1e3\ndriver: [ENVI, HFA]\n",
                            &o);
    assert_string_equal(status.message, "");
    assert_string_equal(o.model, "m.safetensors");
    assert_int_equal(o.tile, 512);
    assert_true(o.score == 0.4);
    assert_true(o.square);
    assert_string_equal(o.gsd, "0.3");
    assert_true(o.bands.count == 3 && o.bands.values[0] == 3);
    assert_true(o.range.count == 2 && o.range.values[1] == 1000);
    assert_int_equal(o.drivers.count, 2);
    assert_int_equal(o.overlap, 256); /* the default */
    pt_run_options_fini(&o);
}

static void test_empty(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}", "# nothing\n{}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        pt_run_options o;
        assert_string_equal(load(texts[i], &o).message, "");
        assert_int_equal(o.tile, 1024);
        pt_run_options_fini(&o);
    }
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"tile: 512\ntiles: 3\n", "tiles"},
        {"tile: 512\ntiles: 3\n", "line 2"},
        {"tile: [1, 2]\n", "a.yaml"},
        {"bands: 3\n", "a.yaml"},
        {"bands: [1, 2]\n", "3 numbers"},
        {"bands: [1, 2, x]\n", "bands"},
        {"tile: many\n", "tile many: must be a whole number"},
        {"score: 7\n", "from 0 to 1"},
        {"square: maybe\n", "square maybe: must be true or false"},
        {"log: xml\n", "one of"},
        {"- a\n- b\n", "a.yaml"},
        {"just text", "a.yaml"},
        {"tile: &a 512\noverlap: *a\n", "a.yaml"},
        {"tile: 5: 6\n", "a.yaml: line 1"},
        {"\x80\x81", "a.yaml"},
        {"verbose: 2\n", "verbose"},
        {"help: true\n", "help"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pt_run_options o;
        pt_status status = load(cases[i][0], &o);
        assert_int_equal(status.code, PT_E_INPUT);
        if (!strstr(status.message, cases[i][1])) {
            fail_msg("%s: '%s' does not say '%s'", cases[i][0], status.message, cases[i][1]);
        }
        assert_null(strchr(status.message, '\n'));
        pt_run_options_fini(&o);
    }
}

static char *in_folder(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void test_command_line_wins(void **state)
{
    (void)state;
    char *argv[] = {(char[]){"run"},
                    (char[]){"--tile"},
                    (char[]){"256"},
                    (char[]){"--driver"},
                    (char[]){"ENVI"},
                    (char[]){"--config"},
                    NULL,
                    (char[]){"--no"},
                    (char[]){"scene.tif"}};
    argv[6] = in_folder("example.yaml");
    argv[7] = argv[8];
    pt_run_options o;
    pt_status status = pt_run_options_read(&pt_command_run, 8, argv, &o);
    assert_string_equal(status.message, "");
    assert_int_equal(o.tile, 256);        /* the line's */
    assert_int_equal(o.overlap, 256);     /* the file's */
    assert_true(o.min_area == 4);         /* the file's */
    assert_int_equal(o.drivers.count, 1); /* the line's list replaces the file's */
    assert_string_equal(o.drivers.items[0], "ENVI");
    assert_int_equal(o.scenes.count, 1);
    pt_run_options_fini(&o);
}

static void test_bundled_configs_load(void **state)
{
    (void)state;
    static const char *const names[] = {"buildings.yaml", "fields.yaml", "example.yaml"};
    for (size_t i = 0; i < 3; i++) {
        pt_run_options o = pt_run_defaults();
        pt_status status = pt_config_load(in_folder(names[i]), &pt_command_run, &o.loaded);
        assert_string_equal(status.message, "");
        status = pt_config_apply(o.loaded, &o);
        assert_string_equal(status.message, "");
        assert_non_null(o.model);
        pt_run_options_fini(&o);
    }
}

/* The example names every key there is, in use or commented out. */
static void test_example_is_complete(void **state)
{
    (void)state;
    char text[8192] = "";
    FILE *file = fopen(in_folder("example.yaml"), "r");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    for (size_t i = 0; i < pt_command_run.option_count; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s:", pt_command_run.options[i].name);
        if (pt_command_run.options[i].config && !strstr(text, key)) {
            fail_msg("configs/example.yaml lacks %s", key);
        }
    }
}

static void test_no_such_file(void **state)
{
    (void)state;
    pt_config *config = NULL;
    pt_status status = pt_config_load("no/such.yaml", &pt_command_run, &config);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, "no/such.yaml"));
    assert_null(config);
    pt_config_free(&config);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    for (long n = 0; status.code == PT_E_NOMEM; n++) {
        pt_run_options o;
        pt_alloc_fail_after(n);
        status = load("model: m\nbands: [1, 2, 3]\ndriver: [A, B]\n", &o);
        pt_alloc_fail_after(-1);
        pt_run_options_fini(&o);
    }
    assert_string_equal(status.message, "");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_command_line_wins),
        cmocka_unit_test(test_bundled_configs_load),
        cmocka_unit_test(test_example_is_complete),
        cmocka_unit_test(test_no_such_file),
        cmocka_unit_test(test_out_of_memory),
    };
    folder = argc > 1 ? argv[1] : "configs";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
