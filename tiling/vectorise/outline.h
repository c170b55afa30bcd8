/* Private to tiling/vectorise: the rings around the set samples of a window.
 *
 * With probabilities the rings run through the points where the linear interpolation between neighbouring
 * pixel centres is 0.5 (marching squares); without, along the pixels' edges. Both walk the same cells: a cell
 * is the square between four neighbouring samples, and a ring enters and leaves it between a set and an unset
 * one.
 */
#ifndef PANTILE_TILING_VECTORISE_OUTLINE_H
#define PANTILE_TILING_VECTORISE_OUTLINE_H

#include "tiling/instance/instance.h"

/* Samples with a margin of `pad` unset ones on each side. */
typedef struct pt_field {
    int64_t x, y;   /* scene coordinates of the first real sample's pixel */
    int64_t w, h;   /* samples, margin counted */
    int pad;        /* 1 without probabilities, 2 with: see pt_field_init */
    uint8_t *set;   /* owned, w * h: 1 inside the mask */
    uint8_t *q;     /* owned, w * h, or NULL: probabilities as in pt_prob */
    int32_t *label; /* owned, w * h: connected component of a set sample, from 0 in raster order; else -1 */
    int32_t labels;
} pt_field;

/* One closed ring; the first point is not repeated. */
typedef struct pt_loop {
    size_t start, count; /* points in pt_outline.xy */
    int32_t label;       /* component it bounds */
    double area;         /* square pixels, positive for an exterior, negative for a hole */
} pt_loop;

typedef struct pt_outline {
    double *xy; /* owned; x0, y0, x1, y1, ... in scene pixels */
    size_t used, capacity;
    pt_loop *loops; /* owned; sorted by label, an exterior before its holes */
    size_t count, loop_capacity;
} pt_outline;

pt_status pt_field_init(const pt_instance *instance, pt_field *out);
void pt_field_fini(pt_field *field);

pt_status pt_outline_trace(const pt_field *field, pt_outline *out);
void pt_outline_fini(pt_outline *outline);

/* Whether the two set samples of the saddle cell with top left sample (i, j) are joined through its middle.
 */
bool pt_field_saddle_joined(const pt_field *field, int64_t i, int64_t j);

#endif
