/* Kernels that slide a small window over one plane, and the one that makes planes of an image. */
#include "engine/kernels/kernels.h"
#include "engine/kernels/simd.h"

#include <string.h>

/* acc[ox] += w[0] * row[ox * stride - 1] + w[1] * row[ox * stride] + w[2] * row[ox * stride + 1], zeros
 * outside. */
PT_CLONES static void add_taps_1(float *acc, int ow, const float *row, const float w[3])
{
    const float a = w[0], b = w[1], c = w[2];
    if (ow == 1) {
        acc[0] += b * row[0];
        return;
    }
    acc[0] += b * row[0] + c * row[1];
    for (int x = 1; x < ow - 1; x++) {
        acc[x] += a * row[x - 1] + b * row[x] + c * row[x + 1];
    }
    acc[ow - 1] += a * row[ow - 2] + b * row[ow - 1];
}

PT_CLONES static void add_taps_2(float *acc, int ow, const float *row, int width, const float w[3])
{
    const float a = w[0], b = w[1], c = w[2];
    int whole = width / 2; /* outputs whose last tap 2x + 1 is inside */
    acc[0] += b * row[0] + (width > 1 ? c * row[1] : 0);
    for (int x = 1; x < whole; x++) {
        acc[x] += a * row[2 * x - 1] + b * row[2 * x] + c * row[2 * x + 1];
    }
    if (ow > whole && whole > 0) {
        acc[ow - 1] += a * row[width - 2] + b * row[width - 1];
    }
}

void pt_k_depthwise3x3(const pt_k_window *g, const float *in, const float weights[9], float bias,
                       pt_activation activation, float *out)
{
    for (int i = 0; i < g->n; i++, in += (size_t)g->h * (size_t)g->w) {
        for (int oy = 0; oy < g->oh; oy++, out += g->ow) {
            memset(out, 0, (size_t)g->ow * sizeof *out);
            for (int ky = 0; ky < 3; ky++) {
                int iy = oy * g->stride - 1 + ky;
                if (iy < 0 || iy >= g->h) {
                    continue;
                }
                const float *row = in + (size_t)iy * (size_t)g->w;
                if (g->stride == 1) {
                    add_taps_1(out, g->ow, row, weights + 3 * ky);
                } else {
                    add_taps_2(out, g->ow, row, g->w, weights + 3 * ky);
                }
            }
            pt_k_bias_act(out, 1, (size_t)g->ow, 0, &bias, activation);
        }
    }
}

/* The largest value of the window whose first corner is (x0, y0). */
static float window_max(const pt_k_window *g, const float *in, int x0, int y0)
{
    int ya = y0 < 0 ? 0 : y0;
    int yb = y0 + g->kh > g->h ? g->h : y0 + g->kh;
    int xa = x0 < 0 ? 0 : x0;
    int xb = x0 + g->kw > g->w ? g->w : x0 + g->kw;
    float top = in[(size_t)ya * (size_t)g->w + (size_t)xa];
    for (int y = ya; y < yb; y++) {
        const float *row = in + (size_t)y * (size_t)g->w;
        for (int x = xa; x < xb; x++) {
            top = row[x] > top ? row[x] : top;
        }
    }
    return top;
}

static inline float max3(float a, float b, float c)
{
    float m = a > b ? a : b;
    return m > c ? m : c;
}

/* ResNet's 3x3 pooling at stride 2 where the window is whole: ox in [ox0, ox1). */
PT_CLONES static void pool_3x3_s2(const float *r0, const float *r1, const float *r2, int ox0, int ox1,
                                  float *out)
{
    for (int ox = ox0; ox < ox1; ox++) {
        int x = 2 * ox - 1;
        float a = max3(r0[x], r0[x + 1], r0[x + 2]);
        float b = max3(r1[x], r1[x + 1], r1[x + 2]);
        float c = max3(r2[x], r2[x + 1], r2[x + 2]);
        out[ox] = max3(a, b, c);
    }
}

void pt_k_max_pool(const pt_k_window *g, const float *in, float *out)
{
    bool usual = g->kh == 3 && g->kw == 3 && g->stride == 2 && g->pad == 1;
    for (int oy = 0; oy < g->oh; oy++, out += g->ow) {
        int y0 = oy * g->stride - g->pad;
        int first = 0, last = 0; /* the outputs that the fast loop makes */
        if (usual && y0 >= 0 && y0 + 3 <= g->h && g->w >= 4) {
            const float *row = in + (size_t)y0 * (size_t)g->w;
            first = 1;
            last = (g->w - 2) / 2 + 1; /* 2 * ox + 1 <= w - 1 */
            pool_3x3_s2(row, row + g->w, row + 2 * (size_t)g->w, first, last, out);
        }
        for (int ox = 0; ox < g->ow; ox++) {
            if (ox == first && last > first) {
                ox = last - 1;
                continue;
            }
            out[ox] = window_max(g, in, ox * g->stride - g->pad, y0);
        }
    }
}

void pt_k_image_rows(const uint8_t *rgb, ptrdiff_t row_stride, int w, int h, float table[3][256], int pw,
                     int ph, int y0, int y1, float *out)
{
    size_t plane = (size_t)pw * (size_t)ph;
    for (int y = y0; y < y1; y++) {
        float *rows[3];
        for (int c = 0; c < 3; c++) {
            rows[c] = out + (size_t)c * plane + (size_t)y * (size_t)pw;
            int filled = y < h ? w : 0;
            memset(rows[c] + filled, 0, (size_t)(pw - filled) * sizeof **rows);
        }
        if (y >= h) {
            continue;
        }
        const uint8_t *pixel = rgb + (ptrdiff_t)y * row_stride;
        for (int x = 0; x < w; x++, pixel += 3) {
            rows[0][x] = table[0][pixel[0]];
            rows[1][x] = table[1][pixel[1]];
            rows[2][x] = table[2][pixel[2]];
        }
    }
}
