/* From ranges and floats to bytes: pure functions. Real = (q - zero) * scale for activations (unsigned
 * bytes), real = q * scale[o] for weights (signed bytes, symmetric, one scale per output channel). Source of
 * the scheme: Krishnamoorthi, Quantizing deep convolutional networks for efficient inference, 2018, sections
 * 2 and 3. */
#ifndef PANTILE_ENGINE_QUANT_QUANTISE_H
#define PANTILE_ENGINE_QUANT_QUANTISE_H

#include "engine/kernels/map.h"
#include "tiling/base/status.h"

/* The quant of activations in [low, high] (widened to hold 0; a range of nothing becomes [0, 1e-6]): 0.0 is a
 * byte exactly. */
pt_quant pt_quant_of_range(float low, float high);

/* w: out rows of `per_out` floats -> q, the same order, and scale per row (1 for a row of zeros). */
void pt_quantise_weights(const float *w, int out, size_t per_out, int8_t *q, float *scale);

/* Adds to bias[o] what quantising the weights takes from the mean output: the sum over taps and channels of
 * (w - q * scale[o]) * mean[channel]. Rows are taps x channels; depthwise: mean[o], one channel a row.
 * Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019,
 * section 4.2. */
void pt_bias_correct(const float *w, const int8_t *q, const float *scale, int out, size_t taps,
                     size_t channels, bool depthwise, const float *mean, float *bias);

/* Folds (byte / 255 - mean[c]) / std[c] into a first layer that is to read the bytes themselves (in.scale 1,
 * in.zero 0): w has 3 channels innermost and gets 4 (the fourth 0) in `out_w`; bias changes in place.
 * outside[c]: the byte nearest to mean[c], which stands for 0 beyond the image. */
void pt_fold_image_rule(const float *w, int out, size_t taps, const double mean[3], const double std[3],
                        float *out_w, float *bias, uint8_t outside[4]);

#endif
