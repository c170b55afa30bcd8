#include "job.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { OBJECTS = 60, ACROSS = 6, APART = 31, TILES_MAX = 256 };

static char text_program[] = "1.0", text_scene[] = "scenes/a.tif", text_other[] = "scenes/b.tif",
            text_model[] = "models/m.safetensors", text_backend[] = "auto",
            text_precision[] = "int8", text_format[] = "GeoJSON";
static char *paths[JOB_GROUPS][1] = {{text_scene}, {text_other}};
static pt_job_group groups[JOB_GROUPS] = {{.paths = paths[0],
                                           .path_count = 1,
                                           .fingerprint = {1},
                                           .width = 640,
                                           .height = 512,
                                           .range_hi = {255, 255, 255}},
                                          {.paths = paths[1],
                                           .path_count = 1,
                                           .fingerprint = {2},
                                           .width = 200,
                                           .height = 500,
                                           .range_hi = {255, 255, 255}}};
static const pt_job_spec spec = {
    .program = text_program,
    .groups = groups,
    .group_count = JOB_GROUPS,
    .scene = {.fill = {1, 2, 3}},
    .grid = {.tile = 128, .overlap = 64, .lattice = 32},
    .engine = {.kind = PT_ENGINE_MODEL,
               .path = text_model,
               .sha256 = {7, 7, 7},
               .score = 0.5,
               .backend = text_backend,
               .precision = text_precision},
    .output = {.min_area = 0, .simplify = 0, .format = text_format, .attempts = 3, .quarantine = true}};

const pt_job_spec *job_spec(void)
{
    return &spec;
}

int64_t job_tiles(void)
{
    return pt_job_spec_tiles(&spec);
}

void job_open_fed(job *j, const char *folder, bool resume, size_t feed_limit)
{
    memset(j, 0, sizeof *j);
    pt_status status = resume ? pt_ledger_resume(folder, &spec, &j->ledger)
                              : pt_ledger_create(folder, &spec, false, &j->ledger);
    assert_string_equal(status.message, "");
    for (size_t g = 0; g < JOB_GROUPS; g++) {
        pt_grid grid;
        pt_assemble_options options = pt_assemble_defaults();
        options.spool_dir = folder;
        options.vectorise.pixel_m = 1;
        assert_string_equal(pt_job_spec_grid(&spec, g, &grid).message, "");
        assert_string_equal(pt_assembler_new(&grid, &options, &j->assemblers[g]).message, "");
    }
    assert_string_equal(pt_feed_new(&spec, j->assemblers, feed_limit, &j->feed).message, "");
}

void job_open(job *j, const char *folder, bool resume)
{
    job_open_fed(j, folder, resume, 16 << 20);
}

void job_close(job *j)
{
    pt_feed_free(&j->feed);
    for (size_t g = 0; g < JOB_GROUPS; g++) {
        pt_assembler_free(&j->assemblers[g]);
    }
    pt_ledger_close(&j->ledger);
}

static pt_rect object_box(int i)
{
    int64_t side = 4 + i * 5 % 8;
    return (pt_rect){i % ACROSS * APART + 3, i / ACROSS * 47 + 7, side, side};
}

pt_result job_result(int64_t tile, uint8_t **payload, size_t *size)
{
    size_t group;
    pt_grid grid;
    pt_result result = {.tile = tile, .attempt = 1, .outcome = PT_TILE_DONE, .infer_seconds = 0.1};
    pt_instance_list list = {0};
    int64_t index;
    assert_string_equal(pt_job_spec_locate(&spec, tile, &group, &grid, &index).message, "");
    for (int i = 0; i < OBJECTS; i++) {
        pt_rect seen = pt_rect_intersect(object_box(i), pt_grid_window(&grid, index));
        pt_instance instance = {.class_id = 1 + i % 2, .score = 0.5f + 0.005f * (float)i};
        if (!pt_rect_is_empty(seen)) {
            assert_int_equal(pt_mask_from_rect(seen, &instance.mask).code, PT_OK);
            assert_int_equal(pt_instance_list_push(&list, &instance).code, PT_OK);
        }
    }
    *payload = NULL;
    *size = 0;
    if (list.count > 0) {
        assert_string_equal(pt_instances_encode(&list, payload, size).message, "");
    }
    pt_instance_list_fini(&list);
    if (tile % 17 == 16) { /* some are of the other kinds */
        pt_free(*payload);
        *payload = NULL;
        *size = 0;
        result.outcome = tile % 2 ? PT_TILE_EMPTY : PT_TILE_OUTSIDE;
    }
    return result;
}

typedef struct seen {
    const int64_t *failed;
    int64_t settled;
    uint8_t tiles[TILES_MAX];
} seen;

static bool is_among(int64_t tile, const int64_t *list)
{
    for (; list && *list >= 0; list++) {
        if (*list == tile) {
            return true;
        }
    }
    return false;
}

static pt_status check_settled(void *user, const pt_settlement *s)
{
    seen *all = user;
    assert_in_range(s->tile, 0, TILES_MAX - 1);
    assert_int_equal(all->tiles[s->tile]++, 0);
    all->settled++;
    if (s->outcome == PT_TILE_FAILED) {
        assert_true(is_among(s->tile, all->failed));
        assert_non_null(s->reason);
        return pt_ok();
    }
    assert_false(is_among(s->tile, all->failed));
    uint8_t *payload;
    size_t size;
    pt_result r = job_result(s->tile, &payload, &size);
    assert_int_equal(s->outcome, r.outcome);
    assert_true(s->digest == pt_result_digest(r.outcome, r.capped, payload, size));
    pt_free(payload);
    return pt_ok();
}

static pt_status count_settled(void *user, const pt_settlement *s)
{
    (void)s;
    ++*(int64_t *)user;
    return pt_ok();
}

int64_t job_settled(const job *j)
{
    int64_t count = 0;
    assert_string_equal(pt_ledger_list(j->ledger, count_settled, &count).message, "");
    return count;
}

/* Of the whole job, without any of what is tested. */
static int64_t expected_objects(const char *folder)
{
    int64_t objects = 0, first = 0;
    for (size_t g = 0; g < JOB_GROUPS; g++) {
        pt_grid grid;
        pt_assembler *assembler = NULL;
        pt_assemble_options options = pt_assemble_defaults();
        options.spool_dir = folder;
        options.vectorise.pixel_m = 1;
        assert_string_equal(pt_job_spec_grid(&spec, g, &grid).message, "");
        assert_string_equal(pt_assembler_new(&grid, &options, &assembler).message, "");
        for (int64_t i = 0; i < pt_grid_count(&grid); i++) {
            uint8_t *payload;
            size_t size;
            pt_result r = job_result(first + i, &payload, &size);
            if (payload) {
                assert_string_equal(
                    pt_instances_decode(payload, size, pt_grid_window(&grid, i), &r.instances).message, "");
            }
            r.tile = i;
            assert_string_equal(pt_assembler_add(assembler, &r).message, "");
            pt_instance_list_fini(&r.instances);
            pt_free(payload);
        }
        assert_string_equal(pt_assembler_finish(assembler).message, "");
        objects += pt_assembler_report(assembler)->objects;
        first += pt_grid_count(&grid);
        pt_assembler_free(&assembler);
    }
    return objects;
}

void job_check(job *j, const int64_t *failed)
{
    seen all = {.failed = failed};
    pt_ledger_counts counts;
    assert_string_equal(pt_ledger_list(j->ledger, check_settled, &all).message, "");
    assert_int_equal(all.settled, job_tiles());
    assert_string_equal(pt_ledger_verify(j->ledger, &counts).message, "");
    assert_int_equal(counts.missing + counts.foreign + counts.doubled + counts.damaged, 0);
    assert_string_equal(pt_feed_finish(j->feed).message, "");
    int64_t objects = 0;
    for (size_t g = 0; g < JOB_GROUPS; g++) {
        assert_string_equal(pt_assembler_finish(j->assemblers[g]).message, "");
        objects += pt_assembler_report(j->assemblers[g])->objects;
    }
    if (!failed) {
        assert_int_equal(objects, expected_objects(pt_ledger_dir(j->ledger)));
    }
}

void job_remove(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    while (dir && (entry = readdir(dir)) != NULL) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            unlink(path);
        }
    }
    if (dir) {
        closedir(dir);
    }
    rmdir(folder);
}
