/* For tests: a look at what flows between the parts of the network. Not installed, not part of the engine's
 * face. */
#ifndef PANTILE_ENGINE_GRAPH_TAP_H
#define PANTILE_ENGINE_GRAPH_TAP_H

#include "engine/engine.h"

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

#endif
