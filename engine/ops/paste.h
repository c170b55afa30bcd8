/* The arithmetic of torchvision's paste_masks_in_image. */
#ifndef PANTILE_ENGINE_OPS_PASTE_H
#define PANTILE_ENGINE_OPS_PASTE_H

#include "engine/ops/box.h"
#include "tiling/base/rect.h"

/* The pixels that the mask's padded grid (side + 2 cells) is stretched over; may reach outside the image. */
pt_rect pt_paste_extent(pt_box box, int side);
/* out: area.w * area.h probabilities, row-major; 0 outside the extent. */
void pt_paste(const float *mask, int side, pt_box box, pt_rect area, float *out);
/* The same as bytes: probability p as floor(256 * p), 255 at most. */
void pt_paste_bytes(const float *mask, int side, pt_box box, pt_rect area, uint8_t *out);

#endif
