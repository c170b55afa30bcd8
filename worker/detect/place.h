/* From a detection over some pixels of a window to an instance in the scene: what all detectors share.
 *
 * Private to worker/detect and its tests. Not thread-safe; one placer per detector, its buffers are reused.
 */
#ifndef PANTILE_WORKER_DETECT_PLACE_H
#define PANTILE_WORKER_DETECT_PLACE_H

#include "engine/engine.h"
#include "tiling/instance/instance.h"
#include "tiling/scene/scene.h"

typedef struct pt_placer {
    pt_rect scene; /* the whole scene, scene pixels */
    uint8_t *bytes;
    size_t byte_capacity;
} pt_placer;

void pt_placer_fini(pt_placer *placer);

/* Pastes a detection (pixels of the window) and appends it as an instance with probabilities; appends nothing
 * when no valid pixel is above one half. */
pt_status pt_place_detection(pt_placer *placer, const pt_window *window, const pt_detection *detection,
                             int mask_size, pt_instance_list *out);

/* Appends an instance without probabilities from `bytes` (0 or 1) over `area`, scene pixels inside the
 * window. */
pt_status pt_place_mask(pt_placer *placer, const pt_window *window, pt_rect area, const uint8_t *bytes,
                        int32_t class_id, float score, pt_instance_list *out);

#endif
