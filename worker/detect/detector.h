/* Anything that turns a window of pixels into instances: the engine, an oracle that reads the truth from a
 * vector layer, a replay of another program's detections, nothing at all. Invalid pixels never belong to an
 * instance. One detector belongs to one thread.
 *
 * Life cycle: pt_detector_new_... -> pt_detector_detect per window -> pt_detector_free.
 */
#ifndef PANTILE_WORKER_DETECT_DETECTOR_H
#define PANTILE_WORKER_DETECT_DETECTOR_H

#include "engine/engine.h"
#include "tiling/grid/grid.h"
#include "tiling/instance/instance.h"
#include "tiling/scene/scene.h"

typedef struct pt_detector pt_detector;

typedef struct pt_detector_vtable {
    /* The tile is about to be worked on, for the attempt-th time, and the coordinator has been told. What it
     * fails with is the tile's outcome. NULL: nothing to do. */
    pt_status (*begin)(pt_detector *detector, int64_t tile, int attempt);
    pt_status (*detect)(pt_detector *detector, int64_t tile, const pt_window *window, pt_instance_list *out,
                        bool *capped);
    void (*close)(pt_detector *detector);
} pt_detector_vtable;

struct pt_detector {
    const pt_detector_vtable *vtable;
    bool blind; /* looks at the window's rectangle alone: its pixels need not be read */
};

/* `scene` is the whole scene's rectangle in scene pixels: what touches its sides is marked truncated. */

/* The Mask R-CNN engine; `engine` is borrowed until free. */
pt_status pt_detector_new_engine(pt_engine *engine, pt_rect scene, pt_detector **out);
/* A window as the engine takes it; its pixels are borrowed. */
pt_image pt_detector_image(const pt_window *window);
/* Truth from a vector layer, cut at the window's edges and at invalid pixels as a network would see it; score
 * 1, no probabilities. `scene` is borrowed until free. */
pt_status pt_detector_new_oracle(const char *path, const pt_scene *scene, pt_detector **out);
/* Detections that another program made for the tiles of a dump (docs/replay.md): DIR/<tile>.json. PT_E_INPUT
 * names the file, the detection and the key at fault. */
pt_status pt_detector_new_replay(const char *dir, pt_rect scene, double min_score, pt_detector **out);
/* Writes every window to DIR/<tile>.ppm, then asks `inner`, which it takes on success. The folder must exist.
 */
pt_status pt_detector_new_dump(const char *dir, pt_detector *inner, pt_detector **out);

/* Finds nothing, blind: for measuring everything else. */
pt_status pt_detector_new_null(pt_detector **out);
/* Faults on purpose, for tests: at the tiles that `faults` names the process dies, hangs or fails; for the
 * rest `inner` is asked, which it takes on success. A comma-separated list of WHAT@TILE[:VALUE][xATTEMPTS]:
 * kill (SIGKILL to itself), stop (SIGSTOP), hang, exit:CODE, slow:SECONDS, fail (may be tried again), bad
 * (never will succeed), nomem; xN: the first N attempts alone. PT_E_USAGE names what is not understood. */
pt_status pt_detector_new_faulty(const char *faults, pt_detector *inner, pt_detector **out);

/* Whether begin is more than nothing, and so must wait until the coordinator has been told. */
bool pt_detector_has_begin(const pt_detector *detector);
pt_status pt_detector_begin(pt_detector *detector, int64_t tile, int attempt);
/* Appends what is in the window, in scene pixels. `tile` names it in messages. *capped is set when a cap on
 * proposals or detections was hit, and left alone otherwise. */
pt_status pt_detector_detect(pt_detector *detector, int64_t tile, const pt_window *window,
                             pt_instance_list *out, bool *capped);
void pt_detector_free(pt_detector **detector);

/* DIR/tiles.json: the grid's windows and what else another program must know. Makes DIR if it is missing.
 * PT_E_EXISTS when there is one already and not `overwrite`. `gsd` in metres, 0 unknown. */
pt_status pt_dump_describe(const char *dir, const pt_grid *grid, double gsd, const uint8_t fill[3],
                           bool overwrite);

#endif
