/* Operators on whole maps between the convolutions: they cut the work into tasks for the pool and call
 * kernels. Shapes are the caller's promise; nothing fails. The same bytes for any number of threads and any
 * instruction set. */
#ifndef PANTILE_ENGINE_OPS_MAPS_H
#define PANTILE_ENGINE_OPS_MAPS_H

#include "engine/backend/pool.h"
#include "engine/kernels/map.h"

/* How RGB bytes enter the network. F32 map of 3 channels: table[channel][byte]; beyond the image 0. U8 map of
 * 4 channels: the bytes themselves and a fourth that is 0; beyond the image outside[channel]. */
typedef struct pt_image_rule {
    float table[3][256];
    uint8_t outside[4];
} pt_image_rule;

/* out (n = 1) is at least width x height; rows are row_stride bytes apart. */
void pt_op_image(pt_pool *pool, const pt_image_rule *rule, const uint8_t *rgb, ptrdiff_t row_stride,
                 int width, int height, pt_map *out);
/* What lies outside counts for nothing; the kernel is 16 at most. U8: in and out have the same quant. */
void pt_op_max_pool(pt_pool *pool, const pt_map *in, int kernel, int stride, int pad, pt_map *out);
/* Between elems and quants (F32 -> U8, U8 -> F32, U8 -> U8). q = clamp(rint(v * (1 / scale)) + zero). */
void pt_op_convert(pt_pool *pool, const pt_map *in, pt_map *out);

/* The unfused operators, F32 alone; for graphs whose passes are switched off. out may be in. */
void pt_op_affine(pt_pool *pool, const pt_map *in, const float *scale, const float *shift, pt_map *out);
void pt_op_activate(pt_pool *pool, const pt_map *in, pt_activation activation, pt_map *out);
void pt_op_add(pt_pool *pool, const pt_map *a, const pt_map *b, pt_map *out);
/* Nearest: out pixel (y, x) is in's (y * ih / oh, x * iw / ow), floored. */
void pt_op_upsample(pt_pool *pool, const pt_map *in, pt_map *out);
/* Channels of `parts` one after the other. */
void pt_op_concat(pt_pool *pool, const pt_map *const *parts, int count, pt_map *out);

#endif
