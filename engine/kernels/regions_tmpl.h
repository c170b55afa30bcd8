/* Vector versions of regions.c, once per instruction set: the file that includes this has included a vec_*.h
 * before. */
#include "engine/kernels/regions.h"

enum {
    BLOCK = 8 /* vectors of channels summed side by side: enough for the latency, few enough for registers */
};

static inline void roi_block_f32(const float *map, const pt_roi_tap *taps, int count, float *out)
{
    vf sums[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        sums[i] = vf_set(0);
    }
    for (int t = 0; t < count; t++) {
        const float *in = map + taps[t].offset;
        const vf weight = vf_set(taps[t].weight);
        for (int i = 0; i < BLOCK; i++) {
            sums[i] = vf_add(sums[i], vf_mul(weight, vf_load(in + i * VF_LANES)));
        }
    }
    for (int i = 0; i < BLOCK; i++) {
        vf_store(out + i * VF_LANES, sums[i]);
    }
}

static void roi_f32(const float *map, const pt_roi_tap *taps, int count, int channels, float *out)
{
    int c = 0;
    for (; c + BLOCK * VF_LANES <= channels; c += BLOCK * VF_LANES) {
        roi_block_f32(map + c, taps, count, out + c);
    }
    for (; c < channels; c += VF_LANES) {
        int n = channels - c < VF_LANES ? channels - c : VF_LANES;
        vf sum = vf_set(0);
        for (int t = 0; t < count; t++) {
            sum = vf_add(sum, vf_mul(vf_set(taps[t].weight), vf_load_n(map + taps[t].offset + c, n)));
        }
        vf_store_n(out + c, n, sum);
    }
}

static inline vf to_byte_range(vf v)
{
    return vf_min(vf_max(v, vf_set(0)), vf_set(255));
}

static inline void roi_block_u8(const uint8_t *map, const pt_roi_tap *taps, int count, float rest,
                                uint8_t *out)
{
    vf sums[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        sums[i] = vf_set(rest);
    }
    for (int t = 0; t < count; t++) {
        const uint8_t *in = map + taps[t].offset;
        const vf weight = vf_set(taps[t].weight);
        for (int i = 0; i < BLOCK; i++) {
            sums[i] = vf_add(sums[i], vf_mul(weight, vf_of_bytes(in + i * VF_LANES)));
        }
    }
    for (int i = 0; i < BLOCK; i++) {
        vf_store_bytes(out + i * VF_LANES, to_byte_range(sums[i]), 0);
    }
}

static void roi_u8(const uint8_t *map, const pt_roi_tap *taps, int count, int channels, float rest,
                   uint8_t *out)
{
    int c = 0;
    for (; c + BLOCK * VF_LANES <= channels; c += BLOCK * VF_LANES) {
        roi_block_u8(map + c, taps, count, rest, out + c);
    }
    for (; c < channels; c += VF_LANES) {
        int n = channels - c < VF_LANES ? channels - c : VF_LANES;
        vf sum = vf_set(rest);
        for (int t = 0; t < count; t++) {
            sum = vf_add(sum, vf_mul(vf_set(taps[t].weight), vf_of_bytes_n(map + taps[t].offset + c, n)));
        }
        vf_store_bytes_n(out + c, n, to_byte_range(sum), 0);
    }
}

/* Whether any of these kept boxes has an IoU above the threshold: one bit each. */
static inline unsigned too_close(vf x0, vf y0, vf x1, vf y1, vf area, const pt_k_box *box, float threshold)
{
    const vf zero = vf_set(0);
    vf w = vf_max(vf_sub(vf_min(vf_set(box->x1), x1), vf_max(vf_set(box->x0), x0)), zero);
    vf h = vf_max(vf_sub(vf_min(vf_set(box->y1), y1), vf_max(vf_set(box->y0), y0)), zero);
    vf inter = vf_mul(w, h);
    vf all = vf_sub(vf_add(area, vf_set(box->area)), inter);
    /* Most boxes lie far apart, which a product shows as well as a quotient when there is a margin. */
    if (threshold > 0 &&
        !vf_at_least(inter, vf_sub(vf_mul(all, vf_set(threshold * .9999f)), vf_set(1e-30f)))) {
        return 0;
    }
    return vf_greater(vf_div(inter, all), vf_set(threshold));
}

static bool overlaps(const pt_box_columns *kept, size_t count, const pt_k_box *box, float threshold)
{
    size_t i = 0;
    for (; i + VF_LANES <= count; i += VF_LANES) {
        if (too_close(vf_load(kept->x0 + i), vf_load(kept->y0 + i), vf_load(kept->x1 + i),
                      vf_load(kept->y1 + i), vf_load(kept->area + i), box, threshold)) {
            return true;
        }
    }
    int n = (int)(count - i);
    return n > 0 &&
           too_close(vf_load_n(kept->x0 + i, n), vf_load_n(kept->y0 + i, n), vf_load_n(kept->x1 + i, n),
                     vf_load_n(kept->y1 + i, n), vf_load_n(kept->area + i, n), box, threshold) &
               ((1u << n) - 1);
}

enum { PIXELS = 4, /* whose dot products are summed side by side */ SUMS = 16 };

static inline void dot_block_f32(const float *pixels, size_t stride, const float *weights, int channels,
                                 float *out)
{
    vf_sums sums[PIXELS];
    for (int p = 0; p < PIXELS; p++) {
        sums[p] = vf_sums_zero();
    }
    int c = 0;
    for (; c + SUMS <= channels; c += SUMS) {
        for (int p = 0; p < PIXELS; p++) {
            vf_sums_add(&sums[p], pixels + (size_t)p * stride + c, weights + c);
        }
    }
    for (int p = 0; p < PIXELS; p++) {
        if (c < channels) {
            vf_sums_add_n(&sums[p], pixels + (size_t)p * stride + c, weights + c, channels - c);
        }
        out[p] = vf_sums_fold(&sums[p]);
    }
}

static void dot_f32(const float *pixels, size_t count, size_t stride, const float *weights, int channels,
                    float *out)
{
    size_t i = 0;
    for (; i + PIXELS <= count; i += PIXELS) {
        dot_block_f32(pixels + i * stride, stride, weights, channels, out + i);
    }
    for (; i < count; i++) {
        float some[PIXELS]; /* all of the same pixel */
        dot_block_f32(pixels + i * stride, 0, weights, channels, some);
        out[i] = some[0];
    }
}

static inline void dot_block_u8(const uint8_t *pixels, size_t stride, int zero, const float *weights,
                                int channels, float *out)
{
    vf_sums sums[PIXELS];
    for (int p = 0; p < PIXELS; p++) {
        sums[p] = vf_sums_zero();
    }
    int c = 0;
    for (; c + SUMS <= channels; c += SUMS) {
        for (int p = 0; p < PIXELS; p++) {
            vf_sums_add_bytes(&sums[p], pixels + (size_t)p * stride + c, zero, weights + c);
        }
    }
    for (int p = 0; p < PIXELS; p++) {
        if (c < channels) {
            vf_sums_add_bytes_n(&sums[p], pixels + (size_t)p * stride + c, zero, weights + c, channels - c);
        }
        out[p] = vf_sums_fold(&sums[p]);
    }
}

static void dot_u8(const uint8_t *pixels, size_t count, size_t stride, int zero, const float *weights,
                   int channels, float *out)
{
    size_t i = 0;
    for (; i + PIXELS <= count; i += PIXELS) {
        dot_block_u8(pixels + i * stride, stride, zero, weights, channels, out + i);
    }
    for (; i < count; i++) {
        float some[PIXELS];
        dot_block_u8(pixels + i * stride, 0, zero, weights, channels, some);
        out[i] = some[0];
    }
}

void VEC_NAME(pt_region_kernels_fill)(pt_region_kernels *kernels)
{
    kernels->roi_f32 = roi_f32;
    kernels->roi_u8 = roi_u8;
    kernels->overlaps = overlaps;
    kernels->dot_f32 = dot_f32;
    kernels->dot_u8 = dot_u8;
}
