#include "worker/detect/detector.h"
#include "worker/detect/replay_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MASK4 "[1,1,1,1]"

static pt_status parse(const char *text, pt_replay_tile *out)
{
    return pt_replay_parse(text, strlen(text), 5, 100, 50, out);
}

static void test_reads(void **state)
{
    (void)state;
    pt_replay_tile tile = {0};
    pt_status status =
        parse("{\"tile\":5,\"detections\":["
              "{\"box\":[0,1.5,100,50],\"score\":0.25,\"class_id\":1,\"mask_size\":2,\"mask\":[0,0.5,1,0]},"
              "{\"box\":[3,4,5,6],\"score\":1,\"class_id\":7,\"mask_size\":3,"
              "\"mask\":[0,0,0,0,1,0,0,0,0.125]}]}",
              &tile);
    assert_string_equal(status.message, "");
    assert_int_equal(tile.count, 2);
    assert_true(tile.items[0].y0 == 1.5f && tile.items[0].x1 == 100.0f);
    assert_true(tile.items[0].score == 0.25f);
    assert_true(tile.items[0].mask[1] == 0.5f);
    assert_int_equal(tile.items[1].class_id, 7);
    assert_int_equal(tile.mask_sizes[1], 3);
    assert_true(tile.items[1].mask[8] == 0.125f);
    pt_replay_tile_fini(&tile);
    assert_int_equal(parse("{\"tile\":5,\"detections\":[]}", &tile).code, PT_OK);
    assert_int_equal(tile.count, 0);
    pt_replay_tile_fini(&tile);
}

#define ONE(box, score, class_id, size, mask)                                                                \
    "{\"tile\":5,\"detections\":[{\"box\":" box ",\"score\":" score ",\"class_id\":" class_id                \
    ",\"mask_size\":" size ",\"mask\":" mask "}]}"

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *names;
    } cases[] = {
        {"", "not JSON"},
        {"{\"tile\":5,", "not JSON: line 1"},
        {"[]", "\"tile\""},
        {"{\"tile\":6,\"detections\":[]}", "\"tile\" must be 5"},
        {"{\"tile\":5}", "\"detections\""},
        {"{\"tile\":5,\"tile\":5,\"detections\":[]}", "not JSON"},
        {"{\"tile\":5,\"detections\":[3]}", "detection 0 must be an object"},
        {ONE("[1,2,3]", "1", "1", "2", MASK4), "\"box\""},
        {ONE("[1,2,3,\"4\"]", "1", "1", "2", MASK4), "\"box\""},
        {ONE("[-1,2,3,4]", "1", "1", "2", MASK4), "inside the window of 100 x 50"},
        {ONE("[1,2,1,4]", "1", "1", "2", MASK4), "x0 < x1"},
        {ONE("[1,2,101,4]", "1", "1", "2", MASK4), "inside the window"},
        {ONE("[1,2,3,50.5]", "1", "1", "2", MASK4), "inside the window"},
        {ONE("[1,2,3,4]", "1.5", "1", "2", MASK4), "\"score\""},
        {ONE("[1,2,3,4]", "null", "1", "2", MASK4), "\"score\""},
        {ONE("[1,2,3,4]", "1", "0", "2", MASK4), "\"class_id\""},
        {ONE("[1,2,3,4]", "1", "1.0", "2", MASK4), "\"class_id\""},
        {ONE("[1,2,3,4]", "1", "1", "1", "[1]"), "\"mask_size\""},
        {ONE("[1,2,3,4]", "1", "1", "100000", MASK4), "\"mask_size\""},
        {ONE("[1,2,3,4]", "1", "1", "3", MASK4), "\"mask\""},
        {ONE("[1,2,3,4]", "1", "1", "2", "[1,1,1,2]"), "\"mask\""},
        {ONE("[1,2,3,4]", "1", "1", "2", "[1,1,1,\"1\"]"), "\"mask\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pt_replay_tile tile = {0};
        pt_status status = parse(cases[i].text, &tile);
        assert_int_equal(status.code, PT_E_INPUT);
        if (!strstr(status.message, cases[i].names)) {
            fail_msg("%s does not say %s", status.message, cases[i].names);
        }
        assert_null(tile.items);
    }
}

static void test_parse_out_of_memory(void **state)
{
    (void)state;
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    for (long n = 0; status.code == PT_E_NOMEM; n++) {
        pt_replay_tile tile = {0};
        pt_alloc_fail_after(n);
        status = parse(ONE("[1,2,3,4]", "1", "1", "2", MASK4), &tile);
        pt_alloc_fail_after(-1);
        pt_replay_tile_fini(&tile);
    }
    assert_string_equal(status.message, "");
}

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/pantile-replay-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    const char *names[] = {"3.json", "3.ppm", "tiles.json"};
    char path[128];
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static uint8_t rgb[8 * 4 * 3];
static uint8_t valid[8 * 4];

static pt_window new_window(void)
{
    memset(valid, 1, sizeof valid);
    for (size_t i = 0; i < sizeof rgb; i++) {
        rgb[i] = (uint8_t)(i * 7);
    }
    return (pt_window){.rect = {10, 20, 8, 4}, .rgb = rgb, .valid = valid, .valid_count = 32};
}

/* What was dumped is what the detector saw; what another program found comes back, but for what scores too
 * little. */
static void test_dump_and_replay(void **state)
{
    (void)state;
    pt_window window = new_window();
    pt_detector *replay = NULL;
    pt_detector *dump = NULL;
    pt_instance_list list = {0};
    bool capped = false;
    write_file("3.json",
               "{\"tile\":3,\"detections\":["
               "{\"box\":[1,0,5,4],\"score\":0.9,\"class_id\":2,\"mask_size\":2,\"mask\":[1,1,1,1]},"
               "{\"box\":[1,0,5,4],\"score\":0.4,\"class_id\":2,\"mask_size\":2,\"mask\":[1,1,1,1]}]}");
    assert_int_equal(pt_detector_new_replay(folder, (pt_rect){0, 0, 100, 100}, 0.5, &replay).code, PT_OK);
    assert_int_equal(pt_detector_new_dump(folder, replay, &dump).code, PT_OK);
    pt_status status = pt_detector_detect(dump, 3, &window, &list, &capped);
    assert_string_equal(status.message, "");
    assert_false(capped);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].class_id, 2);
    assert_true(pt_rect_contains((pt_rect){10, 20, 8, 4}, list.items[0].mask.box));
    pt_instance_list_fini(&list);

    char path[128];
    unsigned char bytes[256];
    snprintf(path, sizeof path, "%s/3.ppm", folder);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    const char head[] = "P6\n8 4\n255\n";
    assert_int_equal(n, strlen(head) + sizeof rgb);
    assert_memory_equal(bytes, head, strlen(head));
    assert_memory_equal(bytes + strlen(head), rgb, sizeof rgb);

    status = pt_detector_detect(dump, 4, &window, &list, &capped);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, "4.json"));
    pt_detector_free(&dump);
    assert_null(dump);
    pt_detector_free(&dump);
    snprintf(path, sizeof path, "%s/4.ppm", folder);
    unlink(path);
}

static void test_describe(void **state)
{
    (void)state;
    pt_grid grid;
    uint8_t fill[3] = {1, 2, 3};
    char path[128];
    char text[4096] = "";
    assert_int_equal(pt_grid_init(100, 100, 64, 32, 32, &grid).code, PT_OK);
    assert_int_equal(pt_dump_describe(folder, &grid, 0.5, fill, false).code, PT_OK);
    pt_status status = pt_dump_describe(folder, &grid, 0.5, fill, false);
    assert_int_equal(status.code, PT_E_EXISTS);
    assert_non_null(strstr(status.message, "--overwrite"));
    assert_int_equal(pt_dump_describe(folder, &grid, 0.5, fill, true).code, PT_OK);
    snprintf(path, sizeof path, "%s/tiles.json", folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    assert_non_null(strstr(text, "\"fill\":[1,2,3]"));
    assert_non_null(strstr(text, "{\"tile\":8,"));
    assert_int_equal(pt_dump_describe("/proc/no/such", &grid, 0.5, fill, true).code, PT_E_WRITE);
}

static void test_new_out_of_memory(void **state)
{
    (void)state;
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    for (long n = 0; status.code == PT_E_NOMEM; n++) {
        pt_detector *replay = NULL;
        pt_detector *dump = NULL;
        pt_alloc_fail_after(n);
        status = pt_detector_new_replay(folder, (pt_rect){0, 0, 1, 1}, 0, &replay);
        if (status.code == PT_OK) {
            status = pt_detector_new_dump(folder, replay, &dump);
        }
        pt_alloc_fail_after(-1);
        if (dump) {
            pt_detector_free(&dump);
        } else {
            pt_detector_free(&replay);
        }
    }
    assert_string_equal(status.message, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_parse_out_of_memory),
        cmocka_unit_test_setup_teardown(test_dump_and_replay, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_describe, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_new_out_of_memory, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
