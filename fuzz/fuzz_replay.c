/* Another program's detections on hostile bytes: what is taken keeps the promises of docs/replay.md and can
 * be pasted, what is refused is refused as input. */
#include "engine/engine.h"
#include "worker/detect/replay_file.h"

#include <stdint.h>
#include <stdlib.h>

enum { TILE = 7, WIDTH = 128, HEIGHT = 96 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const pt_detection *d, int side)
{
    static float pixels[WIDTH * HEIGHT];
    if (!(d->x0 >= 0 && d->y0 >= 0 && d->x0 < d->x1 && d->y0 < d->y1 && d->x1 <= WIDTH && d->y1 <= HEIGHT) ||
        !(d->score >= 0 && d->score <= 1) || d->class_id < 1) {
        abort();
    }
    pt_rect area = pt_engine_paste_area(d, side, WIDTH, HEIGHT);
    if (!pt_rect_contains((pt_rect){0, 0, WIDTH, HEIGHT}, area)) {
        abort();
    }
    pt_engine_paste_mask(d, side, area, pixels);
    for (int64_t i = 0; i < pt_rect_area(area); i++) {
        if (!(pixels[i] >= 0 && pixels[i] <= 1.00001f)) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pt_replay_tile tile = {0};
    pt_status status = pt_replay_parse((const char *)data, size, TILE, WIDTH, HEIGHT, &tile);
    if (status.code != PT_OK && (status.code != PT_E_INPUT || tile.items)) {
        abort();
    }
    for (size_t i = 0; i < tile.count; i++) {
        check(&tile.items[i], tile.mask_sizes[i]);
    }
    pt_replay_tile_fini(&tile);
    return 0;
}
