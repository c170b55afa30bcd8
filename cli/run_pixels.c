#include "cli/run_pixels.h"

#include <string.h>

static pt_status open_group(pt_run_pixels *pixels, size_t group)
{
    if (pixels->reader && pixels->group == group) {
        return pt_ok();
    }
    pt_scene_reader_close(&pixels->reader);
    pixels->group = group;
    return pt_scene_reader_open(pixels->scenes->groups[group].scene, &pixels->reader);
}

/* Colours, then one byte of validity a pixel: what pt_assignment says. */
static pt_status pack(const pt_window *window, pt_assignment *assignment)
{
    size_t count = (size_t)pt_rect_area(window->rect);
    uint8_t *bytes = pt_alloc(count, 4);
    if (!bytes) {
        return PT_NOMEM("pixels to send");
    }
    memcpy(bytes, window->rgb, 3 * count);
    memcpy(bytes + 3 * count, window->valid, count);
    assignment->pixels = bytes;
    assignment->pixel_bytes = 4 * count;
    return pt_ok();
}

pt_status pt_run_pixels_read(void *user, int64_t tile, pt_assignment *assignment)
{
    pt_run_pixels *pixels = user;
    pt_area_state state;
    pt_grid grid;
    size_t group;
    int64_t index;
    PT_TRY(pt_job_spec_locate(&pixels->scenes->spec, tile, &group, &grid, &index));
    PT_TRY(open_group(pixels, group));
    pt_rect rect = pt_grid_window(&grid, index);
    PT_TRY(pt_scene_reader_state(pixels->reader, rect, &state));
    if (state == PT_AREA_DATA) {
        PT_TRY(pt_scene_reader_read(pixels->reader, rect, &pixels->window));
        PT_TRY(pack(&pixels->window, assignment));
    }
    assignment->area_state = (int)state;
    assignment->has_pixels = true;
    return pt_ok();
}

void pt_run_pixels_fini(pt_run_pixels *pixels)
{
    pt_scene_reader_close(&pixels->reader);
    pt_window_fini(&pixels->window);
}
