#include "engine/kernels/kernels.h"
#include "engine/kernels/simd.h"

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
