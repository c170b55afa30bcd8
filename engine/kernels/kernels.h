/* Plain C loops of the portable engine. Kernels never validate and never allocate: ops and backend do.
 *
 * Feature maps lie channel by channel: C x N x H x W floats, where N counts images (or regions) of one size,
 * so that a convolution over many regions is one matrix product. A backbone's maps have N = 1. Within a
 * channel a pixel has the flat index p = (n * H + y) * W + x.
 */
#ifndef PANTILE_ENGINE_KERNELS_KERNELS_H
#define PANTILE_ENGINE_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum pt_activation { PT_ACT_NONE, PT_ACT_RELU, PT_ACT_RELU6 } pt_activation;

typedef struct pt_map {
    float *data; /* c * n * h * w floats */
    int c, n, h, w;
} pt_map;

static inline size_t pt_map_pixels(const pt_map *map)
{
    return (size_t)map->n * (size_t)map->h * (size_t)map->w;
}

static inline size_t pt_map_count(const pt_map *map)
{
    return (size_t)map->c * pt_map_pixels(map);
}

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

/* Max pooling of one image plane; what lies outside counts for nothing. */
void pt_k_max_pool(const pt_k_window *window, const float *in, float *out);

/* lateral[y][x] += top[floor(y * th / h)][floor(x * tw / w)]: nearest upsampling as torch's
 * interpolate(size=...). */
void pt_k_upsample_add(const float *top, int th, int tw, float *lateral, int h, int w);

/* Rows [y0, y1) of a padded image of pw x ph: three planes of table[channel][byte], zeros outside w x h. */
void pt_k_image_rows(const uint8_t *rgb, ptrdiff_t row_stride, int w, int h, float table[3][256], int pw,
                     int ph, int y0, int y1, float *out);

void pt_k_softmax_row(float *row, int n);
void pt_k_sigmoid(float *values, size_t n);
float pt_k_sigmoid1(float value);

/* Sample points of a region along one axis. Bilinear weights are products of one factor per axis, and so is
 * the mean over a cell's samples; hence an output cell is a weighted sum over 2 * samples rows and as many
 * columns. */
typedef struct pt_roi_axis {
    int32_t *index; /* side * samples * 2 cells of the map, rising */
    float *
        weight; /* of each; 0 for a sample outside the map, else the factors of a sample sum to 1 / samples */
} pt_roi_axis;

/* A region that begins at `start` and has output cells `bin` wide, both in cells of a map of `size`, as
 * torchvision's roi_align samples it. Source: He et al., Mask R-CNN, section 3; bilinear, cell centres at
 * integers. */
void pt_k_roi_axis(float start, float bin, int side, int samples, int size, pt_roi_axis *axis);
/* out[channel * channel_stride + cell] for side * side cells, row-major. row: scratch of w floats. */
void pt_k_roi_align(const float *map, int channels, int h, int w, const pt_roi_axis *y, const pt_roi_axis *x,
                    int side, int samples, float *row, float *out, size_t channel_stride);

/* Marks suppressed[j] for every j > i whose IoU with box i is above the threshold; boxes as corner columns.
 */
void pt_k_suppress(size_t i, size_t n, const float *x0, const float *y0, const float *x1, const float *y1,
                   const float *area, float threshold, uint8_t *suppressed);

/* Logits of one class for one region: x is a C x (4 * cells) map slice, as the 2x2 deconvolution leaves it
 * (four sub-positions per channel `sub_stride` apart, channels `channel_stride` apart); out is 2*side x
 * 2*side. */
void pt_k_mask_logits(const float *x, int channels, size_t channel_stride, size_t sub_stride, int side,
                      const float *weights, float bias, float *out);

#endif
