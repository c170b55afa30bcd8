/* Another program's detections of one tile, as docs/replay.md describes them. Private to worker/detect and
 * its tests. */
#ifndef PANTILE_WORKER_DETECT_REPLAY_FILE_H
#define PANTILE_WORKER_DETECT_REPLAY_FILE_H

#include "engine/engine.h"

#include <stddef.h>

typedef struct pt_replay_tile {
    pt_detection *items; /* owned; each one's mask points into `masks` */
    int *mask_sizes;     /* owned; one per item */
    float *masks;        /* owned */
    size_t count;
} pt_replay_tile;

/* `width` and `height` of the window bound the boxes. PT_E_INPUT names the detection and key at fault,
 * without the file's name, which the caller adds. */
pt_status pt_replay_parse(const char *text, size_t size, int64_t tile, int width, int height,
                          pt_replay_tile *out);
void pt_replay_tile_fini(pt_replay_tile *tile);

#endif
