#include "engine/kernels/kernels.h"
#include "engine/kernels/simd.h"

#include <math.h>

static inline float activate(float v, pt_activation activation)
{
    if (activation == PT_ACT_NONE) {
        return v;
    }
    v = v > 0 ? v : 0;
    return activation == PT_ACT_RELU6 && v > 6 ? 6 : v;
}

PT_CLONES static void shift_none(float *row, size_t n, float bias)
{
    for (size_t i = 0; i < n; i++) {
        row[i] += bias;
    }
}

PT_CLONES static void shift_relu(float *row, size_t n, float bias)
{
    for (size_t i = 0; i < n; i++) {
        float v = row[i] + bias;
        row[i] = v > 0 ? v : 0;
    }
}

PT_CLONES static void shift_relu6(float *row, size_t n, float bias)
{
    for (size_t i = 0; i < n; i++) {
        float v = row[i] + bias;
        v = v > 0 ? v : 0;
        row[i] = v < 6 ? v : 6;
    }
}

void pt_k_bias_act(float *rows, int m, size_t n, size_t stride, const float *bias, pt_activation activation)
{
    for (int i = 0; i < m; i++, rows += stride) {
        float b = bias ? bias[i] : 0;
        if (activation == PT_ACT_RELU) {
            shift_relu(rows, n, b);
        } else if (activation == PT_ACT_RELU6) {
            shift_relu6(rows, n, b);
        } else if (b != 0) {
            shift_none(rows, n, b);
        }
    }
}

void pt_k_row_bias_act(float *rows, int m, size_t n, size_t stride, const float *bias,
                       pt_activation activation)
{
    for (int i = 0; i < m; i++, rows += stride) {
        for (size_t j = 0; j < n; j++) {
            rows[j] = activate(rows[j] + (bias ? bias[j] : 0), activation);
        }
    }
}

PT_CLONES void pt_k_upsample_add(const float *top, int th, int tw, float *lateral, int h, int w)
{
    const float sy = (float)th / (float)h;
    const float sx = (float)tw / (float)w;
    for (int y = 0; y < h; y++) {
        int ty = (int)((float)y * sy);
        const float *row = top + (size_t)(ty < th - 1 ? ty : th - 1) * (size_t)tw;
        float *out = lateral + (size_t)y * (size_t)w;
        if (w == 2 * tw) {
            for (int x = 0; x < tw; x++) {
                out[2 * x] += row[x];
                out[2 * x + 1] += row[x];
            }
        } else {
            for (int x = 0; x < w; x++) {
                int tx = (int)((float)x * sx);
                out[x] += row[tx < tw - 1 ? tx : tw - 1];
            }
        }
    }
}

void pt_k_softmax_row(float *row, int n)
{
    float top = row[0];
    for (int i = 1; i < n; i++) {
        top = row[i] > top ? row[i] : top;
    }
    float sum = 0;
    for (int i = 0; i < n; i++) {
        row[i] = expf(row[i] - top);
        sum += row[i];
    }
    for (int i = 0; i < n; i++) {
        row[i] /= sum;
    }
}

float pt_k_sigmoid1(float value)
{
    return 1 / (1 + expf(-value));
}

void pt_k_sigmoid(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        values[i] = pt_k_sigmoid1(values[i]);
    }
}
