/* For tests and calibration: a look at what flows between the parts of the network. Not installed, not part
 * of the engine's face. */
#ifndef PANTILE_ENGINE_GRAPH_TAP_H
#define PANTILE_ENGINE_GRAPH_TAP_H

#include "engine/engine.h"
#include "engine/kernels/map.h"

/* One table of floats, valid during the call:
 *   "C", "P"       backbone outputs and pyramid levels: (h * w) x channels
 *   "rpn"          (h * w) x 5 * anchors: objectness logits, then deltas of each anchor
 *   "proposals"    count x 4: x0, y0, x1, y1
 *   "answers"      count x 5 * classes: class logits, then deltas of each class
 *   "masks"        detections x mask_size^2: logits of each one's own class
 * `level` counts from 0 (C2, P2) and is 0 for tables without levels. */
typedef struct pt_tap_view {
    const char *name;
    int level;
    const float *data;
    size_t rows, columns;
} pt_tap_view;

typedef void pt_tap(void *user, const pt_tap_view *view);

/* NULL: none. Images of a batch come one after the other. */
void pt_engine_set_tap(pt_engine *engine, pt_tap *tap, void *user);

/* Called for each value as soon as it is written (a graph's input: before its nodes run), bytes as bytes, by
 * the thread that called pt_engine_infer. `value` is named after the layer that wrote it; a head's values
 * come chunk by chunk of regions. The map is valid during the call. */
typedef void pt_observer(void *user, const char *value, const pt_map *map);

/* NULL: none. Images come one after the other, by the first stream alone. */
void pt_engine_observe(pt_engine *engine, pt_observer *observer, void *user);

#endif
