/* Pixels for workers that cannot read the scene themselves (--ship-pixels): the source that control's reading
 * thread asks. One thread. `scenes` is borrowed.
 */
#ifndef PANTILE_CLI_RUN_PIXELS_H
#define PANTILE_CLI_RUN_PIXELS_H

#include "cli/run_scenes.h"
#include "coordinator/protocol/message.h"

typedef struct pt_run_pixels {
    const pt_run_scenes *scenes; /* borrowed */
    size_t group;                /* of the reader */
    pt_scene_reader *reader;     /* owned; NULL before the first tile */
    pt_window window;            /* owned */
} pt_run_pixels;

/* A pt_pixel_source; `user` is a pt_run_pixels. */
pt_status pt_run_pixels_read(void *user, int64_t tile, pt_assignment *assignment);
void pt_run_pixels_fini(pt_run_pixels *pixels);

#endif
