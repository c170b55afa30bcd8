/* Vector versions of operators.c, once per instruction set: the file that includes this has included a
 * vec_*.h before. */
#include "engine/kernels/operators.h"

#include "engine/kernels/exp.h"
#include "engine/kernels/vec_exp.h"

#include <string.h>

static void image_u8(const uint8_t *rgb, size_t width, uint8_t *out)
{
    size_t x = 0;
    for (; x + VF_LANES <= width; x += VF_LANES) {
        vb_store(out + 4 * x, vb_spread_rgb(rgb + 3 * x));
    }
    for (; x < width; x++) {
        for (int c = 0; c < 3; c++) {
            out[4 * x + (size_t)c] = rgb[3 * x + (size_t)c];
        }
        out[4 * x + 3] = 0;
    }
}

/* The part of a row's columns, in elements, that output pixel x looks at. */
static void columns_of(const pt_max_window *window, int x, size_t *first, size_t *end)
{
    int at = x * window->stride - window->pad, last = at + window->kernel;
    at = at < 0 ? 0 : at;
    last = last < window->in_width ? last : window->in_width;
    *first = (size_t)at * (size_t)window->channels;
    *end = (size_t)last * (size_t)window->channels;
}

static void max_f32(const float *const *rows, int row_count, const pt_max_window *window, float *out)
{
    size_t channels = (size_t)window->channels, c, first, end;
    for (int x = 0; x < window->out_width; x++, out += channels) {
        columns_of(window, x, &first, &end);
        for (c = 0; c + VF_LANES <= channels; c += VF_LANES) {
            vf top = vf_load(rows[0] + first + c);
            for (int r = 0; r < row_count; r++) {
                for (size_t at = first; at < end; at += channels) {
                    top = vf_max(vf_load(rows[r] + at + c), top);
                }
            }
            vf_store(out + c, top);
        }
        int left = (int)(channels - c);
        if (left > 0) {
            vf top = vf_load_n(rows[0] + first + c, left);
            for (int r = 0; r < row_count; r++) {
                for (size_t at = first; at < end; at += channels) {
                    top = vf_max(vf_load_n(rows[r] + at + c, left), top);
                }
            }
            vf_store_n(out + c, left, top);
        }
    }
}

static uint8_t max_byte(const uint8_t *const *rows, int row_count, size_t first, size_t end, size_t channels,
                        size_t c)
{
    uint8_t top = 0;
    for (int r = 0; r < row_count; r++) {
        for (size_t at = first + c; at < end; at += channels) {
            top = rows[r][at] > top ? rows[r][at] : top;
        }
    }
    return top;
}

static void max_u8(const uint8_t *const *rows, int row_count, const pt_max_window *window, uint8_t *out)
{
    size_t channels = (size_t)window->channels, c, first, end;
    for (int x = 0; x < window->out_width; x++, out += channels) {
        columns_of(window, x, &first, &end);
        for (c = 0; c + VB_LANES <= channels; c += VB_LANES) {
            vb top = vb_load(rows[0] + first + c);
            for (int r = 0; r < row_count; r++) {
                for (size_t at = first; at < end; at += channels) {
                    top = vb_max(vb_load(rows[r] + at + c), top);
                }
            }
            vb_store(out + c, top);
        }
        for (; c < channels; c++) {
            out[c] = max_byte(rows, row_count, first, end, channels, c);
        }
    }
}

static inline vf quantised(vf v, vf inverse, vf low, vf high)
{
    return vf_min(vf_max(vf_mul(v, inverse), low), high);
}

static void quantise(const float *in, size_t count, float inverse, int zero, uint8_t *out)
{
    const vf by = vf_set(inverse), low = vf_set((float)-zero), high = vf_set((float)(255 - zero));
    size_t i = 0;
    for (; i + VF_LANES <= count; i += VF_LANES) {
        vf_store_bytes(out + i, quantised(vf_load(in + i), by, low, high), zero);
    }
    if (i < count) {
        int left = (int)(count - i);
        vf_store_bytes_n(out + i, left, quantised(vf_load_n(in + i, left), by, low, high), zero);
    }
}

static void dequantise(const uint8_t *in, size_t count, pt_quant quant, float *out)
{
    const vf zero = vf_set((float)quant.zero), scale = vf_set(quant.scale);
    size_t i = 0;
    for (; i + VF_LANES <= count; i += VF_LANES) {
        vf_store(out + i, vf_mul(vf_sub(vf_of_bytes(in + i), zero), scale));
    }
    if (i < count) {
        int left = (int)(count - i);
        vf_store_n(out + i, left, vf_mul(vf_sub(vf_of_bytes_n(in + i, left), zero), scale));
    }
}

static void requantise(const uint8_t *in, size_t count, pt_quant from, float inverse, int zero, uint8_t *out)
{
    const vf by = vf_set(inverse), low = vf_set((float)-zero), high = vf_set((float)(255 - zero));
    const vf before = vf_set((float)from.zero), scale = vf_set(from.scale);
    size_t i = 0;
    for (; i + VF_LANES <= count; i += VF_LANES) {
        vf v = vf_mul(vf_sub(vf_of_bytes(in + i), before), scale);
        vf_store_bytes(out + i, quantised(v, by, low, high), zero);
    }
    if (i < count) {
        int left = (int)(count - i);
        vf v = vf_mul(vf_sub(vf_of_bytes_n(in + i, left), before), scale);
        vf_store_bytes_n(out + i, left, quantised(v, by, low, high), zero);
    }
}

static void mix_f32(const float *a, const float *b, float share, size_t count, float *out)
{
    const vf of_a = vf_set(1 - share), of_b = vf_set(share);
    size_t i = 0;
    for (; i + VF_LANES <= count; i += VF_LANES) {
        vf_store(out + i, vf_add(vf_mul(of_a, vf_load(a + i)), vf_mul(of_b, vf_load(b + i))));
    }
    if (i < count) {
        int left = (int)(count - i);
        vf v = vf_add(vf_mul(of_a, vf_load_n(a + i, left)), vf_mul(of_b, vf_load_n(b + i, left)));
        vf_store_n(out + i, left, v);
    }
}

static void mix_u8(const float *a, const float *b, float share, size_t count, uint8_t *out)
{
    const vf of_a = vf_set(1 - share), of_b = vf_set(share);
    size_t i = 0;
    for (; i + VF_LANES <= count; i += VF_LANES) {
        vf v = vf_add(vf_mul(of_a, vf_load(a + i)), vf_mul(of_b, vf_load(b + i)));
        vf_store_whole_bytes(out + i, vf_mul(v, vf_set(256)));
    }
    if (i < count) {
        int left = (int)(count - i);
        vf v = vf_add(vf_mul(of_a, vf_load_n(a + i, left)), vf_mul(of_b, vf_load_n(b + i, left)));
        uint8_t all[VF_LANES];
        vf_store_whole_bytes(all, vf_mul(v, vf_set(256)));
        memcpy(out + i, all, (size_t)left);
    }
}

static void sigmoid(float *values, size_t count)
{
    size_t i = 0;
    for (; i + VF_LANES <= count; i += VF_LANES) {
        vf_store(values + i, vf_sigmoid(vf_load(values + i)));
    }
    if (i < count) {
        int left = (int)(count - i);
        vf_store_n(values + i, left, vf_sigmoid(vf_load_n(values + i, left)));
    }
}

void VEC_NAME(pt_operator_kernels_fill)(pt_operator_kernels *kernels)
{
    kernels->image_u8 = image_u8;
    kernels->max_f32 = max_f32;
    kernels->max_u8 = max_u8;
    kernels->quantise = quantise;
    kernels->dequantise = dequantise;
    kernels->requantise = requantise;
    kernels->mix_f32 = mix_f32;
    kernels->mix_u8 = mix_u8;
    kernels->sigmoid = sigmoid;
}
