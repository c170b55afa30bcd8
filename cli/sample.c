#include "cli/sample.h"

#include "cli/stop.h"

typedef struct sample {
    int64_t data;   /* tiles that were written at least in part, in all scenes */
    int64_t wanted; /* of them */
    int64_t seen, taken, given;
    pt_sample_take *take;
    void *user;
} sample;

static pt_status count_tiles(pt_scene_reader *reader, const pt_grid *grid, sample *s)
{
    for (int64_t i = 0; i < pt_grid_count(grid); i++) {
        pt_area_state state;
        PT_TRY(pt_scene_reader_state(reader, pt_grid_window(grid, i), &state));
        s->data += state == PT_AREA_DATA;
    }
    return pt_ok();
}

/* The k-th of n stands in the middle of the k-th n-th of the tiles. */
static pt_status take_tiles(pt_scene_reader *reader, const pt_grid *grid, sample *s)
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
            PT_TRY_OUT(s->take(s->user, &window, s->taken, s->wanted));
            s->given++;
        }
        s->taken++;
    }
out:
    pt_window_fini(&window);
    return status;
}

typedef pt_status each_scene(pt_scene_reader *reader, const pt_grid *grid, sample *s);

static pt_status for_scenes(const pt_job *job, each_scene *each, sample *s)
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
            status = each(reader, &grid, s);
        }
        pt_scene_reader_close(&reader);
        pt_scene_close(&scene);
    }
    return status;
}

pt_status pt_sample_tiles(const pt_job *job, int64_t most, pt_sample_take *take, void *user)
{
    sample s = {.take = take, .user = user};
    PT_TRY(for_scenes(job, count_tiles, &s));
    s.wanted = s.data < most ? s.data : most;
    PT_TRY(for_scenes(job, take_tiles, &s));
    return s.given > 0 ? pt_ok()
                       : pt_error(PT_E_INPUT, "%s: no pixel to look at; name a scene with data in it",
                                  job->options->scenes.items[0]);
}
