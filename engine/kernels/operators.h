/* Kernels of the operators between the convolutions, on NHWC maps. Kernels never validate and never allocate:
 * ops does.
 *
 * One table of functions per instruction set, filled from the plain C one upwards. Every version gives the
 * same bits: each multiplication and addition is rounded, in the order stated here. */
#ifndef PANTILE_ENGINE_KERNELS_OPERATORS_H
#define PANTILE_ENGINE_KERNELS_OPERATORS_H

#include "engine/kernels/cpu.h"
#include "engine/kernels/map.h"

/* How a row of output pixels of a max pooling reads rows of in_width pixels. */
typedef struct pt_max_window {
    int channels, in_width, out_width;
    int kernel, stride, pad;
} pt_max_window;

typedef struct pt_operator_kernels {
    /* A row of pixels: out[3 * x + c] = table[c][rgb[3 * x + c]]. */
    void (*image_f32)(const uint8_t *rgb, size_t width, const float table[3][256], float *out);
    /* out[4 * x + c] = rgb[3 * x + c], out[4 * x + 3] = 0. */
    void (*image_u8)(const uint8_t *rgb, size_t width, uint8_t *out);

    /* Output pixel x is the largest, channel by channel, of the pixels [x * stride - pad, .. + kernel) that
     * exist of each row. A NaN counts for nothing unless it comes first. At least one row, and one pixel in
     * each window. */
    void (*max_f32)(const float *const *rows, int row_count, const pt_max_window *window, float *out);
    void (*max_u8)(const uint8_t *const *rows, int row_count, const pt_max_window *window, uint8_t *out);

    /* q = clamp(rint(v * inverse) + zero, 0, 255), ties to even; a NaN gives 0. */
    void (*quantise)(const float *in, size_t count, float inverse, int zero, uint8_t *out);
    /* v = (q - zero) * scale. */
    void (*dequantise)(const uint8_t *in, size_t count, pt_quant quant, float *out);
    void (*requantise)(const uint8_t *in, size_t count, pt_quant from, float inverse, int zero, uint8_t *out);

    /* v = (1 - share) * a + share * b, and the same as a byte: floor(256 * v) within 0 .. 255. */
    void (*mix_f32)(const float *a, const float *b, float share, size_t count, float *out);
    void (*mix_u8)(const float *a, const float *b, float share, size_t count, uint8_t *out);

    void (*sigmoid)(float *values, size_t count); /* in place; pt_sigmoid of exp.h */
} pt_operator_kernels;

/* The best for an instruction set that this CPU must have. */
pt_operator_kernels pt_operator_kernels_for(pt_isa isa);
/* Those of pt_isa_best(). Thread-safe; constant. */
const pt_operator_kernels *pt_operator_kernels_best(void);

/* Private to operators*.c: overwrite what they have a version of. */
void pt_operator_kernels_fill_avx2(pt_operator_kernels *kernels);
void pt_operator_kernels_fill_avx512(pt_operator_kernels *kernels);

#endif
