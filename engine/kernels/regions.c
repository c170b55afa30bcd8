/* Kernels of the detection half: RoIAlign, suppression, the mask head's last layer. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/simd.h"

#include <math.h>
#include <string.h>

/* The two neighbours of a coordinate on an axis of `size` cells; false outside by more than a cell. */
static bool neighbours(float at, int size, int *low, int *high, float *fraction)
{
    if (!(at >= -1.0f && at <= (float)size)) {
        return false;
    }
    if (at <= 0) {
        at = 0;
    }
    int i = (int)at;
    if (i >= size - 1) {
        *low = *high = size - 1;
        *fraction = 0;
    } else {
        *low = i;
        *high = i + 1;
        *fraction = at - (float)i;
    }
    return true;
}

static void one_tap(float y, float x, int h, int w, pt_roi_tap *tap)
{
    int y0, y1, x0, x1;
    float ly, lx;
    memset(tap, 0, sizeof *tap);
    if (!neighbours(y, h, &y0, &y1, &ly) || !neighbours(x, w, &x0, &x1, &lx)) {
        return;
    }
    float hy = 1 - ly, hx = 1 - lx;
    tap->index[0] = y0 * w + x0;
    tap->index[1] = y0 * w + x1;
    tap->index[2] = y1 * w + x0;
    tap->index[3] = y1 * w + x1;
    tap->weight[0] = hy * hx;
    tap->weight[1] = hy * lx;
    tap->weight[2] = ly * hx;
    tap->weight[3] = ly * lx;
}

void pt_k_roi_taps(const pt_roi_grid *g, int h, int w, pt_roi_tap *taps)
{
    for (int py = 0; py < g->side; py++) {
        for (int px = 0; px < g->side; px++) {
            for (int sy = 0; sy < g->samples; sy++) {
                float y = g->y0 + (float)py * g->bin_h + ((float)sy + .5f) * g->bin_h / (float)g->samples;
                for (int sx = 0; sx < g->samples; sx++) {
                    float x = g->x0 + (float)px * g->bin_w + ((float)sx + .5f) * g->bin_w / (float)g->samples;
                    one_tap(y, x, h, w, taps++);
                }
            }
        }
    }
}

void pt_k_roi_align(const float *map, int channels, size_t plane, const pt_roi_tap *taps, int cells,
                    int taps_per_cell, float *out, size_t channel_stride)
{
    const float count = (float)(taps_per_cell > 1 ? taps_per_cell : 1);
    for (int c = 0; c < channels; c++, map += plane, out += channel_stride) {
        const pt_roi_tap *tap = taps;
        for (int cell = 0; cell < cells; cell++) {
            float sum = 0;
            for (int s = 0; s < taps_per_cell; s++, tap++) {
                sum += tap->weight[0] * map[tap->index[0]] + tap->weight[1] * map[tap->index[1]] +
                       tap->weight[2] * map[tap->index[2]] + tap->weight[3] * map[tap->index[3]];
            }
            out[cell] = sum / count;
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
