/* Kernels that slide a small window over one plane. */
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
