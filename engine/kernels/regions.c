#include "engine/kernels/regions.h"

#include "engine/kernels/exp.h"

#include <pthread.h>

/* The two neighbours of a coordinate on an axis of `size` cells; false outside by more than a cell. */
static bool neighbours(float at, int size, int *low, int *high, float *fraction)
{
    bool inside = at >= -1.0f && at <= (float)size;
    at = at > 0 ? at : 0; /* not a number becomes 0 */
    int i = at < (float)size ? (int)at : size;
    bool last = i >= size - 1;
    *low = last ? size - 1 : i;
    *high = last ? size - 1 : i + 1;
    *fraction = last ? 0 : at - (float)i;
    return inside;
}

/* Adds to the weight of a neighbour in the cell's list, where it is the last or the one before if at all. */
static int add_neighbour(int32_t *index, float *weight, int count, int neighbour, float share)
{
    for (int i = count - 1; i >= 0 && i >= count - 2; i--) {
        if (index[i] == neighbour) {
            weight[i] += share;
            return count;
        }
    }
    if (share > 0) {
        index[count] = neighbour;
        weight[count++] = share;
    }
    return count;
}

void pt_k_roi_axis(float start, float bin, int side, int samples, int size, pt_roi_axis *axis)
{
    const float share = 1 / (float)samples;
    axis->most = 2 * samples;
    for (int cell = 0; cell < side; cell++) {
        int32_t *index = axis->index + cell * axis->most;
        float *weight = axis->weight + cell * axis->most;
        int count = 0;
        for (int s = 0; s < samples; s++) {
            float at = start + (float)cell * bin + ((float)s + .5f) * bin / (float)samples;
            int low, high;
            float fraction;
            if (neighbours(at, size, &low, &high, &fraction)) {
                count = add_neighbour(index, weight, count, low, (1 - fraction) * share);
                count = add_neighbour(index, weight, count, high, fraction * share);
            }
        }
        axis->count[cell] = (uint16_t)count;
    }
}

enum { BLOCK = 256 /* channels that are summed before they are rounded to bytes */ };

static void roi_f32(const float *map, const pt_roi_tap *taps, int count, int channels, float *out)
{
    for (int c = 0; c < channels; c++) {
        out[c] = 0;
    }
    for (int t = 0; t < count; t++) {
        const float *in = map + taps[t].offset;
        const float weight = taps[t].weight.real;
        for (int c = 0; c < channels; c++) {
            out[c] += weight * in[c];
        }
    }
}

static void roi_u8_block(const uint8_t *map, const pt_roi_tap *taps, int count, int channels, int32_t rest,
                         uint8_t *out)
{
    int32_t sums[BLOCK];
    for (int c = 0; c < channels; c++) {
        sums[c] = rest;
    }
    for (int t = 0; t < count; t++) {
        const uint8_t *in = map + taps[t].offset;
        const int32_t weight = taps[t].weight.whole;
        for (int c = 0; c < channels; c++) {
            sums[c] += weight * in[c];
        }
    }
    for (int c = 0; c < channels; c++) {
        out[c] = (uint8_t)(sums[c] / PT_ROI_ONE);
    }
}

static void roi_u8(const uint8_t *map, pt_roi_tap *taps, int count, int channels, int rest, int zero,
                   uint8_t *out)
{
    for (int c = 0; c < channels; c += BLOCK) {
        int n = channels - c < BLOCK ? channels - c : BLOCK;
        roi_u8_block(map + c, taps, count, n, rest * zero + PT_ROI_ONE / 2, out + c);
    }
}

static bool overlaps(const pt_box_columns *boxes, size_t count, const pt_k_box *box, float threshold)
{
    for (size_t i = 0; i < count; i++) {
        float left = box->x0 > boxes->x0[i] ? box->x0 : boxes->x0[i];
        float top = box->y0 > boxes->y0[i] ? box->y0 : boxes->y0[i];
        float right = box->x1 < boxes->x1[i] ? box->x1 : boxes->x1[i];
        float bottom = box->y1 < boxes->y1[i] ? box->y1 : boxes->y1[i];
        float w = right - left > 0 ? right - left : 0;
        float h = bottom - top > 0 ? bottom - top : 0;
        float inter = w * h;
        if (inter / (boxes->area[i] + box->area - inter) > threshold) {
            return true;
        }
    }
    return false;
}

enum { LANES = 16 };

static float fold(float *lanes)
{
    for (int step = LANES / 2; step > 0; step /= 2) {
        for (int j = 0; j < step; j++) {
            lanes[j] += lanes[j + step];
        }
    }
    return lanes[0];
}

static void dot_f32(const float *pixels, size_t count, size_t stride, const float *weights, int channels,
                    float *sums)
{
    for (size_t p = 0; p < count; p++, pixels += stride) {
        float lanes[LANES] = {0};
        for (int c = 0; c < channels; c += LANES) {
            int n = channels - c < LANES ? channels - c : LANES;
            for (int j = 0; j < n; j++) {
                lanes[j] += weights[c + j] * pixels[c + j];
            }
        }
        sums[p] = fold(lanes);
    }
}

static void dot_u8(const uint8_t *pixels, size_t count, size_t stride, int zero, const float *weights,
                   int channels, float *sums)
{
    for (size_t p = 0; p < count; p++, pixels += stride) {
        float lanes[LANES] = {0};
        for (int c = 0; c < channels; c += LANES) {
            int n = channels - c < LANES ? channels - c : LANES;
            for (int j = 0; j < n; j++) {
                lanes[j] += weights[c + j] * (float)(pixels[c + j] - zero);
            }
        }
        sums[p] = fold(lanes);
    }
}

static const pt_region_kernels plain = {
    .roi_f32 = roi_f32,
    .roi_u8 = roi_u8,
    .overlaps = overlaps,
    .dot_f32 = dot_f32,
    .dot_u8 = dot_u8,
};

pt_region_kernels pt_region_kernels_for(pt_isa isa)
{
    pt_region_kernels kernels = plain;
    (void)isa; /* where the build has no vectors */
#ifdef PANTILE_HAVE_AVX2
    if (isa >= PT_ISA_AVX2) {
        pt_region_kernels_fill_avx2(&kernels);
    }
#endif
#ifdef PANTILE_HAVE_AVX512
    if (isa >= PT_ISA_AVX512) {
        pt_region_kernels_fill_avx512(&kernels);
    }
#endif
    return kernels;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pt_region_kernels best;

static void find_best(void)
{
    best = pt_region_kernels_for(pt_isa_best());
}

const pt_region_kernels *pt_region_kernels_best(void)
{
    pthread_once(&once, find_best);
    return &best;
}
