#include "cli/commands.h"
#include "cli/run_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ARGUMENTS_MAX = 24 };

/* Parses a command line of words separated by blanks as `pantile run`'s. */
static pt_status parse(const char *line, pt_run_options *out)
{
    static char copy[1024];
    char *argv[ARGUMENTS_MAX + 1] = {NULL};
    int argc = 0;
    strcpy(copy, line);
    for (char *word = strtok(copy, " "); word && argc < ARGUMENTS_MAX; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    return pt_run_options_read(&pt_command_run, argc, argv, out);
}

static void test_defaults(void **state)
{
    (void)state;
    pt_run_options o;
    assert_int_equal(parse("run", &o).code, PT_OK);
    assert_int_equal(o.tile, 1024);
    assert_int_equal(o.overlap, 256);
    assert_true(o.score < 0 && o.simplify < 0);
    assert_string_equal(o.gsd, "auto");
    assert_string_equal(o.engine, "model");
    assert_int_equal(o.scenes.count, 0);
    pt_run_options_fini(&o);
}

static void test_every_kind(void **state)
{
    (void)state;
    pt_run_options o;
    pt_status status =
        parse("run a.tif --tile=512 -o out.gpkg b.tif --bands 4,3,2 --range -1,2.5e3 --driver ENVI "
              "--driver=HFA --square -vv --score 0.25 --log json -- -c.tif",
              &o);
    assert_string_equal(status.message, "");
    assert_int_equal(o.tile, 512);
    assert_string_equal(o.output, "out.gpkg");
    assert_int_equal(o.bands.count, 3);
    assert_true(o.bands.values[0] == 4 && o.bands.values[2] == 2);
    assert_true(o.range.values[0] == -1 && o.range.values[1] == 2500);
    assert_int_equal(o.drivers.count, 2);
    assert_string_equal(o.drivers.items[1], "HFA");
    assert_true(o.square);
    assert_int_equal(o.console.verbose, 2);
    assert_true(o.score == 0.25);
    assert_string_equal(o.console.log, "json");
    assert_int_equal(o.scenes.count, 3);
    assert_string_equal(o.scenes.items[2], "-c.tif");
    pt_run_options_fini(&o);
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"run --tiles 3", "unknown option --tiles"},
        {"run -x", "unknown option -x"},
        {"run --tile", "--tile needs a value"},
        {"run --tile x", "--tile x: must be a whole number"},
        {"run --tile 10.5", "whole number"},
        {"run --tile 1", "from 64 to 16384"},
        {"run --score 2", "from 0 to 1"},
        {"run --score nan", "must be a number"},
        {"run --score 0.5x", "must be a number"},
        {"run --bands 1,2", "3 numbers"},
        {"run --bands 1,2,3,4", "3 numbers"},
        {"run --bands 1,,3", "numbers separated by commas"},
        {"run --bands 0,1,2", "from 1"},
        {"run --range 1,inf", "numbers"},
        {"run --log yaml", "one of: text json"},
        {"run --square=1", "--square"},
        {"run --config no/such.yaml", "no such config"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pt_run_options o;
        pt_status status = parse(cases[i][0], &o);
        assert_true(status.code == PT_E_USAGE || status.code == PT_E_INPUT);
        if (!strstr(status.message, cases[i][1])) {
            fail_msg("%s: '%s' does not say '%s'", cases[i][0], status.message, cases[i][1]);
        }
    }
}

/* A table with a hole, a name twice or a letter twice would be a bug of ours. */
static void check_table(const pt_command *command)
{
    assert_non_null(command->summary);
    assert_non_null(command->detail);
    assert_non_null(command->example);
    for (size_t i = 0; i < command->option_count; i++) {
        const pt_option *a = &command->options[i];
        assert_non_null(a->name);
        assert_non_null(a->help);
        assert_int_equal(a->value != NULL, a->kind != PT_OPTION_FLAG && a->kind != PT_OPTION_COUNT);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(a->name, command->options[j].name);
            assert_true(!a->letter || a->letter != command->options[j].letter);
        }
    }
}

static void test_tables_are_whole(void **state)
{
    (void)state;
    size_t count;
    const pt_command *const *commands = pt_commands(&count);
    assert_int_equal(count, 11);
    for (size_t i = 0; i < count; i++) {
        check_table(commands[i]);
    }
}

static void test_out_of_memory(void **state)
{
    (void)state;
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    for (long n = 0; status.code == PT_E_NOMEM; n++) {
        pt_run_options o;
        pt_alloc_fail_after(n);
        status = parse("run a.tif b.tif --driver ENVI", &o);
        pt_alloc_fail_after(-1);
        if (status.code == PT_OK) {
            pt_run_options_fini(&o);
        }
    }
    assert_string_equal(status.message, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),      cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_refuses),       cmocka_unit_test(test_tables_are_whole),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
