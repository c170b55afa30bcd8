/* Plain C loops of the portable engine. Kernels never validate and never allocate: ops and backend do.
 *
 * Feature maps lie channel by channel: C x N x H x W floats, where N counts images (or regions) of one size,
 * so that a convolution over many regions is one matrix product. A backbone's maps have N = 1. Within a
 * channel a pixel has the flat index p = (n * H + y) * W + x.
 */
#ifndef PANTILE_ENGINE_KERNELS_KERNELS_H
#define PANTILE_ENGINE_KERNELS_KERNELS_H

#include "engine/kernels/map.h"

/* A sliding window over a map: how output pixel (oy, ox) reads input rows oy * stride - pad + ky. */
typedef struct pt_k_window {
    int n, h, w; /* input */
    int oh, ow;  /* output */
    int kh, kw, stride, pad;
} pt_k_window;

/* The output's side for an input of `size`; may be <= 0 when the window does not fit. */
static inline int pt_k_window_out(int size, int kernel, int stride, int pad)
{
    return size + 2 * pad < kernel ? 0 : (size + 2 * pad - kernel) / stride + 1;
}

/* Columns for output pixels [p0, p1): col has channels * kh * kw rows of p1 - p0 floats, zeros where the
 * window leaves the image. `in` points at the first of the channels. */
void pt_k_im2col(const pt_k_window *window, const float *in, int channels, size_t p0, size_t p1, float *col);

/* rows[m][0 .. n) = activation(rows[m][i] + bias[m]); rows are `stride` floats apart. bias may be NULL. */
void pt_k_bias_act(float *rows, int m, size_t n, size_t stride, const float *bias, pt_activation activation);
/* The same with the bias along the row: rows[m][i] + bias[i]. */
void pt_k_row_bias_act(float *rows, int m, size_t n, size_t stride, const float *bias,
                       pt_activation activation);

/* Depthwise 3x3, pad 1, stride 1 or 2: one channel, all of its N images. */
void pt_k_depthwise3x3(const pt_k_window *window, const float *in, const float weights[9], float bias,
                       pt_activation activation, float *out);

#endif
