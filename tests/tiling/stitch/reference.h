/* The rules of tiling/stitch/stitch.h written down a second time, for scenes of a few thousand pixels: all
 * detections at once, a byte a pixel, every pair compared with every other. */
#ifndef PANTILE_TESTS_TILING_STITCH_REFERENCE_H
#define PANTILE_TESTS_TILING_STITCH_REFERENCE_H

#include "support.h"

results reference_stitch(const tiles *t, pt_stitch_options options);

#endif
