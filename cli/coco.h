/* Masks as COCO writes them: runs in column-major order, the counts packed into printable characters. */
#ifndef PANTILE_CLI_COCO_H
#define PANTILE_CLI_COCO_H

#include "tiling/base/base.h"

#include <stddef.h>

typedef struct pt_coco_text {
    char *text; /* owned, ends in NUL; reused by the next call */
    size_t length, capacity;
} pt_coco_text;

/* The mask of an image of `width` x `height` that is `bytes` (0 or not) over `area` and empty elsewhere.
 * `area` lies inside the image. */
pt_status pt_coco_encode(int64_t width, int64_t height, pt_rect area, const uint8_t *bytes,
                         pt_coco_text *out);
void pt_coco_text_fini(pt_coco_text *text);

#endif
