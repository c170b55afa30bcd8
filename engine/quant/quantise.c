#include "engine/quant/quantise.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const double smallest_range = 1e-6;

pt_quant pt_quant_of_range(float low, float high)
{
    double lowest = low < 0 ? (double)low : 0, highest = high > 0 ? (double)high : 0;
    if (highest - lowest < smallest_range) {
        return (pt_quant){.scale = (float)(smallest_range / 255), .zero = 0};
    }
    double scale = (highest - lowest) / 255;
    int zero = (int)rint(-lowest / scale);
    return (pt_quant){.scale = (float)scale, .zero = zero > 255 ? 255 : zero};
}

/* Of |x| < 2^22, to the nearest, ties to even, as rintf, but for vectors of any instruction set: the sum has
 * no bits left behind the point. */
static float nearest(float x)
{
    const float shift = 0x1.8p23f;
    return (x + shift) - shift;
}

/* As integers, which vectors compare at any instruction set, magnitudes are in the same order. */
static float largest_magnitude(const float *values, size_t count)
{
    int32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bits &= INT32_MAX;
        most = bits > most ? bits : most;
    }
    float magnitude;
    memcpy(&magnitude, &most, sizeof magnitude);
    return magnitude;
}

void pt_quantise_weights(const float *w, int out, size_t per_out, int8_t *q, float *scale)
{
    for (int o = 0; o < out; o++) {
        const float *row = w + (size_t)o * per_out;
        int8_t *to = q + (size_t)o * per_out;
        float step = largest_magnitude(row, per_out) / 127;
        if (step < FLT_MIN) { /* a subnormal step would make a division overflow */
            scale[o] = 1;
            memset(to, 0, per_out);
            continue;
        }
        scale[o] = step;
        for (size_t i = 0; i < per_out; i++) {
            int32_t level = (int32_t)nearest(row[i] / step);
            to[i] = (int8_t)(level > 127 ? 127 : level < -127 ? -127 : level);
        }
    }
}

void pt_bias_correct(const float *w, const int8_t *q, const float *scale, int out, size_t taps,
                     size_t channels, bool depthwise, const float *mean, float *bias)
{
    size_t innermost = depthwise ? 1 : channels;
    for (int o = 0; o < out; o++) {
        const float *row = w + (size_t)o * taps * innermost;
        const int8_t *quantised = q + (size_t)o * taps * innermost;
        double sum = 0;
        for (size_t tap = 0; tap < taps; tap++) {
            for (size_t c = 0; c < innermost; c++) {
                size_t i = tap * innermost + c;
                double lost = (double)row[i] - (double)quantised[i] * (double)scale[o];
                sum += lost * (double)mean[depthwise ? (size_t)o : c];
            }
        }
        bias[o] = (float)((double)bias[o] + sum);
    }
}

void pt_fold_image_rule(const float *w, int out, size_t taps, const double mean[3], const double std[3],
                        float *out_w, float *bias, uint8_t outside[4])
{
    for (int o = 0; o < out; o++) {
        double shift = 0;
        for (size_t tap = 0; tap < taps; tap++) {
            size_t pixel = (size_t)o * taps + tap;
            for (int c = 0; c < 3; c++) {
                double weight = (double)w[pixel * 3 + (size_t)c] / std[c];
                out_w[pixel * 4 + (size_t)c] = (float)(weight / 255);
                shift += weight * mean[c];
            }
            out_w[pixel * 4 + 3] = 0;
        }
        bias[o] = (float)((double)bias[o] - shift);
    }
    for (int c = 0; c < 3; c++) {
        double nearest = rint(mean[c] * 255);
        outside[c] = (uint8_t)(nearest < 0 ? 0 : nearest > 255 ? 255 : nearest);
    }
    outside[3] = 0;
}
