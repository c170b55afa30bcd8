/* Object masks -> valid polygons in scene pixels.
 *
 * Outlines follow the 0.5 level of the probabilities (linear between pixel centres) where an object has them,
 * else the pixels' edges exactly. Every result is valid in the sense of OGC Simple Features, keeps its holes
 * and is right-handed as tiling/instance/feature.h says.
 *
 * Holes below min_area are filled first, then parts whose area without holes is below it are dropped.
 *
 * One call per object, no state; thread-safe (each call has its own GEOS context).
 */
#ifndef PANTILE_TILING_VECTORISE_VECTORISE_H
#define PANTILE_TILING_VECTORISE_VECTORISE_H

#include "tiling/instance/feature.h"
#include "tiling/instance/instance.h"

typedef struct pt_vectorise_options {
    double pixel_m; /* ground size of a scene pixel, metres (geometric mean of x and y); > 0; 1 without CRS */
    double min_area; /* square metres; smaller objects, parts and holes are dropped; 0 keeps all */
    double simplify; /* metres, tolerance of the topology-preserving simplification; 0 keeps every vertex;
                        negative: the default, half a pixel, or one pixel for outlines along pixel edges,
                        less for small objects */
    bool square;     /* turn outlines to right angles where that keeps IoU >= 0.85 with the mask's outline */
    double aspect;   /* ground height of a scene pixel over its width, for `square`; 1: pixels are square */
} pt_vectorise_options;

/* Outlines of more points, which are noise and no objects, are neither simplified nor squared, so that one
 * object never takes minutes. */
enum { PT_VECTORISE_POINTS = 1 << 18 };

pt_vectorise_options pt_vectorise_defaults(void);

/* Fills geometry (polygons, count) of *out; the other fields are the caller's business. count 0 and PT_OK
 * when nothing is left above min_area. PT_E_USAGE: an option or mask that makes no sense; PT_E_UNSUPPORTED: a
 * box of 2^31 pixels or more. */
pt_status pt_vectorise(const pt_instance *instance, const pt_vectorise_options *options, pt_feature *out);

#endif
