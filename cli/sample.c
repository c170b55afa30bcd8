#include "cli/sample.h"

#include "cli/outfile.h"
#include "cli/stop.h"

enum { STRIDE = 64, TILE = 1024 };

pt_sample_options pt_sample_defaults(void)
{
    return (pt_sample_options){.gsd = "auto", .tile = TILE};
}

void pt_sample_options_fini(pt_sample_options *options)
{
    pt_texts_fini(&options->scenes);
    pt_texts_fini(&options->drivers);
}

pt_status pt_sample_no_arguments(const pt_texts *arguments)
{
    return arguments->count == 0
               ? pt_ok()
               : pt_error(PT_E_USAGE, "%s: what is this? scenes are named by --scene", arguments->items[0]);
}

pt_status pt_sample_job(const pt_sample_options *options, const char *output, pt_run_options *run,
                        pt_job *out)
{
    if (options->scenes.count == 0) {
        return pt_error(PT_E_USAGE, "no scene named; add --scene FILE");
    }
    for (size_t i = 0; i < options->scenes.count; i++) {
        PT_TRY(pt_outfile_apart(output, options->scenes.items[i]));
    }
    PT_TRY(pt_outfile_apart(output, options->aoi));
    *run = pt_run_defaults();
    run->model = options->model;
    run->scenes = options->scenes;
    run->drivers = options->drivers;
    run->bands = options->bands;
    run->range = options->range;
    run->bbox = options->bbox;
    run->aoi = options->aoi;
    run->gsd = options->gsd;
    run->tile = options->tile;
    /* As a run's of its tile, in multiples of the stride that all known models have. */
    run->overlap = options->tile / 4 > STRIDE ? options->tile / 4 / STRIDE * STRIDE : STRIDE;
    return pt_job_open(run, out);
}

typedef struct sampling {
    int64_t data;   /* tiles that were written at least in part, in all scenes */
    int64_t wanted; /* of them */
    int64_t seen, taken, given;
    pt_sample_take *take;
    void *user;
} sampling;

static pt_status count_tiles(const pt_scene *scene, pt_scene_reader *reader, const pt_grid *grid, sampling *s)
{
    (void)scene;
    for (int64_t i = 0; i < pt_grid_count(grid); i++) {
        pt_area_state state;
        PT_TRY(pt_scene_reader_state(reader, pt_grid_window(grid, i), &state));
        s->data += state == PT_AREA_DATA;
    }
    return pt_ok();
}

/* The k-th of n stands in the middle of the k-th n-th of the tiles. */
static pt_status take_tiles(const pt_scene *scene, pt_scene_reader *reader, const pt_grid *grid, sampling *s)
{
    pt_window window = {0};
    pt_status status = pt_ok();
    for (int64_t i = 0; i < pt_grid_count(grid) && s->taken < s->wanted; i++) {
        pt_area_state state;
        pt_rect rect = pt_grid_window(grid, i);
        PT_TRY_OUT(pt_stop_check());
        PT_TRY_OUT(pt_scene_reader_state(reader, rect, &state));
        if (state != PT_AREA_DATA || s->seen++ != (2 * s->taken + 1) * s->data / (2 * s->wanted)) {
            continue;
        }
        PT_TRY_OUT(pt_scene_reader_read(reader, rect, &window));
        if (window.valid_count > 0) {
            pt_sample one = {scene, &window, i, s->taken, s->wanted};
            PT_TRY_OUT(s->take(s->user, &one));
            s->given++;
        }
        s->taken++;
    }
out:
    pt_window_fini(&window);
    return status;
}

typedef pt_status each_scene(const pt_scene *scene, pt_scene_reader *reader, const pt_grid *grid,
                             sampling *s);

static pt_status for_scenes(const pt_job *job, each_scene *each, sampling *s)
{
    pt_status status = pt_ok();
    for (size_t g = 0; status.code == PT_OK && g < job->group_count; g++) {
        pt_scene *scene = NULL;
        pt_scene_reader *reader = NULL;
        pt_grid grid;
        status = pt_job_open_scene(job, g, &scene, &grid);
        if (status.code == PT_OK) {
            status = pt_scene_reader_open(scene, &reader);
        }
        if (status.code == PT_OK) {
            status = each(scene, reader, &grid, s);
        }
        pt_scene_reader_close(&reader);
        pt_scene_close(&scene);
    }
    return status;
}

pt_status pt_sample_tiles(const pt_job *job, int64_t most, pt_sample_take *take, void *user)
{
    sampling s = {.take = take, .user = user};
    PT_TRY(for_scenes(job, count_tiles, &s));
    s.wanted = s.data < most ? s.data : most;
    PT_TRY(for_scenes(job, take_tiles, &s));
    return s.given > 0 ? pt_ok()
                       : pt_error(PT_E_INPUT, "%s: no pixel to look at; name a scene with data in it",
                                  job->options->scenes.items[0]);
}
