#include "engine/kernels/operators.h"

#include "engine/kernels/exp.h"

#include <pthread.h>
#include <string.h>

static void image_f32(const uint8_t *rgb, size_t width, const float table[3][256], float *out)
{
    for (size_t x = 0; x < width; x++, rgb += 3, out += 3) {
        out[0] = table[0][rgb[0]];
        out[1] = table[1][rgb[1]];
        out[2] = table[2][rgb[2]];
    }
}

static void image_u8(const uint8_t *rgb, size_t width, uint8_t *out)
{
    for (size_t x = 0; x < width; x++, rgb += 3, out += 4) {
        memcpy(out, rgb, 3);
        out[3] = 0;
    }
}

/* The columns [*first, *end) of the window of output pixel x. */
static void columns_of(const pt_max_window *window, int x, int *first, int *end)
{
    int at = x * window->stride - window->pad;
    *first = at < 0 ? 0 : at;
    *end = at + window->kernel < window->in_width ? at + window->kernel : window->in_width;
}

static void max_f32(const float *const *rows, int row_count, const pt_max_window *window, float *out)
{
    size_t channels = (size_t)window->channels;
    for (int x = 0; x < window->out_width; x++, out += channels) {
        int first, end;
        columns_of(window, x, &first, &end);
        memcpy(out, rows[0] + (size_t)first * channels, channels * sizeof *out);
        for (int r = 0; r < row_count; r++) {
            for (int column = first; column < end; column++) {
                const float *in = rows[r] + (size_t)column * channels;
                for (size_t c = 0; c < channels; c++) {
                    out[c] = in[c] > out[c] ? in[c] : out[c];
                }
            }
        }
    }
}

static void max_u8(const uint8_t *const *rows, int row_count, const pt_max_window *window, uint8_t *out)
{
    size_t channels = (size_t)window->channels;
    for (int x = 0; x < window->out_width; x++, out += channels) {
        int first, end;
        columns_of(window, x, &first, &end);
        memset(out, 0, channels);
        for (int r = 0; r < row_count; r++) {
            for (int column = first; column < end; column++) {
                const uint8_t *in = rows[r] + (size_t)column * channels;
                for (size_t c = 0; c < channels; c++) {
                    out[c] = in[c] > out[c] ? in[c] : out[c];
                }
            }
        }
    }
}

/* Clamped before it is rounded, which is the same because the bounds are integers. */
static inline uint8_t quantised(float v, float inverse, float low, float high, int zero)
{
    v = v * inverse;
    v = v > low ? v : low;
    v = v < high ? v : high;
    return (uint8_t)((int)pt_rint_small(v) + zero);
}

static void quantise(const float *in, size_t count, float inverse, int zero, uint8_t *out)
{
    const float low = (float)-zero, high = (float)(255 - zero);
    for (size_t i = 0; i < count; i++) {
        out[i] = quantised(in[i], inverse, low, high, zero);
    }
}

static void dequantise(const uint8_t *in, size_t count, pt_quant quant, float *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (float)(in[i] - quant.zero) * quant.scale;
    }
}

static void requantise(const uint8_t *in, size_t count, pt_quant from, float inverse, int zero, uint8_t *out)
{
    const float low = (float)-zero, high = (float)(255 - zero);
    for (size_t i = 0; i < count; i++) {
        out[i] = quantised((float)(in[i] - from.zero) * from.scale, inverse, low, high, zero);
    }
}

static void mix_f32(const float *a, const float *b, float share, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (1 - share) * a[i] + share * b[i];
    }
}

static void mix_u8(const float *a, const float *b, float share, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count; i++) {
        float v = ((1 - share) * a[i] + share * b[i]) * 256;
        v = v > 0 ? v : 0;
        out[i] = (uint8_t)(v < 255 ? v : 255);
    }
}

static void sigmoid(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        values[i] = pt_sigmoid(values[i]);
    }
}

static const pt_operator_kernels plain = {
    .image_f32 = image_f32,
    .image_u8 = image_u8,
    .max_f32 = max_f32,
    .max_u8 = max_u8,
    .quantise = quantise,
    .dequantise = dequantise,
    .requantise = requantise,
    .mix_f32 = mix_f32,
    .mix_u8 = mix_u8,
    .sigmoid = sigmoid,
};

pt_operator_kernels pt_operator_kernels_for(pt_isa isa)
{
    pt_operator_kernels kernels = plain;
    (void)isa; /* where the build has no vectors */
#ifdef PANTILE_HAVE_AVX2
    if (isa >= PT_ISA_AVX2) {
        pt_operator_kernels_fill_avx2(&kernels);
    }
#endif
#ifdef PANTILE_HAVE_AVX512
    if (isa >= PT_ISA_AVX512) {
        pt_operator_kernels_fill_avx512(&kernels);
    }
#endif
    return kernels;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pt_operator_kernels best;

static void find_best(void)
{
    best = pt_operator_kernels_for(pt_isa_best());
}

const pt_operator_kernels *pt_operator_kernels_best(void)
{
    pthread_once(&once, find_best);
    return &best;
}
