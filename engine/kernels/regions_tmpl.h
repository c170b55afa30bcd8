/* Vector versions of regions.c, once per instruction set: the file that includes this has included a vec_*.h
 * before. */
#include "engine/kernels/regions.h"

enum {
    /* Vectors of channels summed side by side: 64 channels, four cache lines of floats of each pixel. Twice
     * as many in AVX-512 took 11.0 ms where this takes 8.4 (845 regions of 7 x 7 x 256). */
    BLOCK = 64 / VF_LANES,
    BYTE_BLOCK = 2, /* vectors of bytes: four sums each */
};

static inline void roi_block_f32(const float *map, const pt_roi_tap *taps, int count, float *out)
{
    vf sums[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        sums[i] = vf_set(0);
    }
    for (int t = 0; t < count; t++) {
        const float *in = map + taps[t].offset;
        const vf weight = vf_set(taps[t].weight.real);
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
            sum = vf_add(sum, vf_mul(vf_set(taps[t].weight.real), vf_load_n(map + taps[t].offset + c, n)));
        }
        vf_store_n(out + c, n, sum);
    }
}

/* A weight as 16 * high + low, so that products with bytes add up in 16 bits: high is 127 at most, and low
 * above 15 only when it is the only one. */
static inline int high_part(int weight)
{
    return weight >> 4 < 127 ? weight >> 4 : 127;
}

/* Both parts of two taps' weights, as the bytes of each pair. */
static inline void pair_weights(const pt_roi_tap *taps, vb *high, vb *low)
{
    int a = taps[0].weight.whole, b = taps[1].weight.whole, ha = high_part(a), hb = high_part(b);
    *high = vb_set_pairs(ha | hb << 8);
    *low = vb_set_pairs((a - 16 * ha) | (b - 16 * hb) << 8);
}

/* Sums of the channels of one vector, in the order that pairing leaves them in: two vectors of 16 bits. */
typedef struct byte_sums {
    vb high[2], low[2];
} byte_sums;

/* Moves what the low parts have gathered to the high ones, which count sixteens. */
static inline void carry(byte_sums *sums)
{
    for (int half = 0; half < 2; half++) {
        sums->high[half] = vb_add_16(sums->high[half], vb_shift_16(sums->low[half], 4));
        sums->low[half] = vb_and(sums->low[half], vb_set_pairs(15));
    }
}

static inline void add_pair(byte_sums *sums, const uint8_t *a, const uint8_t *b, vb high, vb low)
{
    const vb first = vb_load(a), second = vb_load(b);
    const vb pairs[2] = {vb_pair_low(first, second), vb_pair_high(first, second)};
    for (int half = 0; half < 2; half++) {
        sums->high[half] = vb_add_16(sums->high[half], vb_dot_pairs(pairs[half], high));
        sums->low[half] = vb_add_16(sums->low[half], vb_dot_pairs(pairs[half], low));
    }
}

/* `taps` are pairs; 8 of them stay within 16 bits: 255 * (16 * 15 + 16). */
static inline void roi_block_u8(const uint8_t *map, const pt_roi_tap *taps, int count, int rest, int zero,
                                int vectors, uint8_t *out)
{
    byte_sums sums[BYTE_BLOCK];
    int rest_high = high_part(rest);
    for (int i = 0; i < vectors; i++) {
        for (int half = 0; half < 2; half++) {
            sums[i].high[half] = vb_set_pairs(rest_high * zero + PT_ROI_ONE / 2 / 16);
            sums[i].low[half] = vb_set_pairs((rest - 16 * rest_high) * zero);
        }
    }
    for (int t = 0; t < count; t += 2) {
        vb high, low;
        pair_weights(taps + t, &high, &low);
        for (int i = 0; i < vectors; i++) {
            add_pair(&sums[i], map + taps[t].offset + i * VB_LANES, map + taps[t + 1].offset + i * VB_LANES,
                     high, low);
        }
        if (t % 16 == 14) {
            for (int i = 0; i < vectors; i++) {
                carry(&sums[i]);
            }
        }
    }
    for (int i = 0; i < vectors; i++) {
        carry(&sums[i]);
        vb_store(out + i * VB_LANES,
                 vb_narrow(vb_shift_16(sums[i].high[0], 7), vb_shift_16(sums[i].high[1], 7)));
    }
}

static void roi_u8(const uint8_t *map, pt_roi_tap *taps, int count, int channels, int rest, int zero,
                   uint8_t *out)
{
    if (count % 2) { /* of no weight */
        taps[count] = (pt_roi_tap){.offset = taps[0].offset};
        count++;
    }
    int c = 0;
    for (; c + BYTE_BLOCK * VB_LANES <= channels; c += BYTE_BLOCK * VB_LANES) {
        roi_block_u8(map + c, taps, count, rest, zero, BYTE_BLOCK, out + c);
    }
    for (; c + VB_LANES <= channels; c += VB_LANES) {
        roi_block_u8(map + c, taps, count, rest, zero, 1, out + c);
    }
    for (; c < channels; c++) {
        int sum = rest * zero + PT_ROI_ONE / 2;
        for (int t = 0; t < count; t++) {
            sum += taps[t].weight.whole * map[taps[t].offset + (size_t)c];
        }
        out[c] = (uint8_t)(sum / PT_ROI_ONE);
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
