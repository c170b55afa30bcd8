/* Kernels of the detection half: RoIAlign, suppression, the mask head's last layer. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/simd.h"

enum { AHEAD = 2 /* channels: pt_k_roi_align */ };

/* The two neighbours of a coordinate on an axis of `size` cells; false outside by more than a cell. */
static bool neighbours(float at, int size, int *low, int *high, float *fraction)
{
    bool inside = at >= -1.0f && at <= (float)size;
    at = at > 0 ? at : 0; /* not a number becomes 0 */
    int i = at < (float)size ? (int)at : size;
    bool last = i >= size - 1;
    *low = last ? size - 1 : i;
    *high = last ? size - 1 : i + 1;
    *fraction = last ? 0 : at - (float)i;
    return inside;
}

void pt_k_roi_axis(float start, float bin, int side, int samples, int size, pt_roi_axis *axis)
{
    const float share = 1 / (float)samples;
    int n = 0;
    for (int cell = 0; cell < side; cell++) {
        for (int s = 0; s < samples; s++, n += 2) {
            float at = start + (float)cell * bin + ((float)s + .5f) * bin / (float)samples;
            int low, high;
            float fraction;
            bool inside = neighbours(at, size, &low, &high, &fraction);
            axis->index[n] = low;
            axis->index[n + 1] = high;
            axis->weight[n] = inside ? (1 - fraction) * share : 0;
            axis->weight[n + 1] = inside ? fraction * share : 0;
        }
    }
}

/* row[0 .. n) = the weighted sum of `taps` rows of the plane. */
static inline void mix_rows(const float *plane, int w, const int32_t *index, const float *weight, int taps,
                            int n, float *row)
{
    if (taps == 4) {
        const float *r0 = plane + (ptrdiff_t)index[0] * w, *r1 = plane + (ptrdiff_t)index[1] * w;
        const float *r2 = plane + (ptrdiff_t)index[2] * w, *r3 = plane + (ptrdiff_t)index[3] * w;
        const float a = weight[0], b = weight[1], c = weight[2], d = weight[3];
        for (int x = 0; x < n; x++) {
            row[x] = a * r0[x] + b * r1[x] + c * r2[x] + d * r3[x];
        }
        return;
    }
    for (int x = 0; x < n; x++) {
        row[x] = 0;
    }
    for (int t = 0; t < taps; t++) {
        const float *from = plane + (ptrdiff_t)index[t] * w;
        for (int x = 0; x < n; x++) {
            row[x] += weight[t] * from[x];
        }
    }
}

/* A region touches a few short rows of every channel, and channels lie far apart: without help the loop below
 * waits for memory most of its time (measured on maps larger than the caches: 1,000 regions took 220 ms
 * without, 105 with). */
static inline void prefetch_rows(const float *plane, int w, const pt_roi_axis *y, int count, int last)
{
    for (int i = 0; i < count; i++) {
        const float *row = plane + (ptrdiff_t)y->index[i] * w;
        __builtin_prefetch(row);
        __builtin_prefetch(row + last);
    }
}

PT_CLONES void pt_k_roi_align(const float *map, int channels, int h, int w, const pt_roi_axis *y,
                              const pt_roi_axis *x, int side, int samples, float *row, float *out,
                              size_t channel_stride)
{
    /* Indices rise along an axis; rows are mixed between the region's first and last column alone. */
    const int taps = 2 * samples, first = x->index[0], last = x->index[side * taps - 1];
    const size_t plane = (size_t)h * (size_t)w;
    for (int c = 0; c < channels; c++, map += plane, out += channel_stride) {
        if (c + AHEAD < channels) {
            prefetch_rows(map + AHEAD * plane + first, w, y, side * taps, last - first);
        }
        for (int py = 0; py < side; py++) {
            mix_rows(map + first, w, y->index + py * taps, y->weight + py * taps, taps, last - first + 1,
                     row);
            for (int px = 0; px < side; px++) {
                float sum = 0;
                for (int t = px * taps; t < (px + 1) * taps; t++) {
                    sum += x->weight[t] * row[x->index[t] - first];
                }
                out[py * side + px] = sum;
            }
        }
    }
}

PT_CLONES void pt_k_suppress(size_t i, size_t n, const float *x0, const float *y0, const float *x1,
                             const float *y1, const float *area, float threshold, uint8_t *suppressed)
{
    const float ax0 = x0[i], ay0 = y0[i], ax1 = x1[i], ay1 = y1[i], a = area[i];
    for (size_t j = i + 1; j < n; j++) {
        float left = x0[j] > ax0 ? x0[j] : ax0;
        float top = y0[j] > ay0 ? y0[j] : ay0;
        float right = x1[j] < ax1 ? x1[j] : ax1;
        float bottom = y1[j] < ay1 ? y1[j] : ay1;
        float w = right - left > 0 ? right - left : 0;
        float h = bottom - top > 0 ? bottom - top : 0;
        float inter = w * h;
        suppressed[j] |= inter / (a + area[j] - inter) > threshold;
    }
}

PT_CLONES static void add_scaled(float *sum, const float *x, float weight, int n)
{
    for (int i = 0; i < n; i++) {
        sum[i] += weight * x[i];
    }
}

void pt_k_mask_logits(const float *x, int channels, size_t channel_stride, size_t sub_stride, int side,
                      const float *weights, float bias, float *out)
{
    /* Sums row by row in a small buffer, then spreads it: sub-position (dy, dx) of cell (r, i) is pixel
     * (2r + dy, 2i + dx). */
    enum { RUN = 64 };
    float sum[RUN];
    for (int sub = 0; sub < 4; sub++) {
        for (int r = 0; r < side; r++) {
            float *row = out + ((size_t)(2 * r + sub / 2) * 2 * (size_t)side) + sub % 2;
            for (int i0 = 0; i0 < side; i0 += RUN) {
                int n = side - i0 < RUN ? side - i0 : RUN;
                for (int i = 0; i < n; i++) {
                    sum[i] = bias;
                }
                const float *at = x + (size_t)sub * sub_stride + (size_t)r * (size_t)side + i0;
                for (int c = 0; c < channels; c++, at += channel_stride) {
                    add_scaled(sum, at, weights[c], n);
                }
                for (int i = 0; i < n; i++) {
                    row[2 * (size_t)(i0 + i)] = sum[i];
                }
            }
        }
    }
}
