/* Anything that turns a window of pixels into instances: the engine, an oracle that reads the truth from a vector layer, a
 * replay of another program's detections. One detector belongs to one thread.
 */
#ifndef PANTILE_WORKER_DETECT_DETECTOR_H
#define PANTILE_WORKER_DETECT_DETECTOR_H

#include "engine/engine.h"
#include "tiling/instance/instance.h"
#include "tiling/scene/scene.h"

typedef struct pt_detector pt_detector;

typedef struct pt_detector_vtable {
    /* Appends what is in the window, in scene pixels, clipped to its valid pixels. `tile` names it in messages. */
    pt_status (*detect)(pt_detector *detector, int64_t tile, const pt_window *window, pt_instance_list *out, bool *capped);
    void (*close)(pt_detector *detector);
} pt_detector_vtable;

struct pt_detector {
    const pt_detector_vtable *vtable;
    bool needs_pixels; /* false: windows may come with rgb unread */
};

/* The Mask R-CNN engine; `engine` is borrowed. */
pt_status pt_detector_new_engine(pt_engine *engine, pt_detector **out);
/* Truth from a vector layer, cut at the window's edges as a network would see it; score 1. */
pt_status pt_detector_new_oracle(const char *path, const pt_scene *scene, pt_detector **out);
/* Detections that another program made for the tiles of a dump (docs/replay.md): DIR/<tile>.json. */
pt_status pt_detector_new_replay(const char *dir, double min_score, pt_detector **out);
void pt_detector_free(pt_detector **detector);

#endif
