#include "engine/kernels/depthwise_u8_versions.h"

#include <math.h>
#include <string.h>

static int place(int c)
{
    return c;
}

static void pack(const int8_t *w, int c, void *block)
{
    (void)c;
    memcpy(block, w, 9);
}

static uint8_t output(const pt_u8_depthwise *layer, int c, int32_t sum)
{
    const pt_u8_finish *finish = &layer->finish;
    float t = fmaf((float)sum, layer->multiplier[c], layer->bias[c]) * finish->inverse;
    t = t < finish->high ? t : finish->high;
    t = t > finish->low ? t : finish->low;
    return (uint8_t)((int)rintf(t) + finish->zero);
}

static void row(const pt_u8_depthwise *layer, const uint8_t *const rows[3], int pixels, uint8_t *out)
{
    const int8_t *weights = layer->weights;
    int channels = layer->channels;
    for (int p = 0; p < pixels; p++) {
        for (int c = 0; c < channels; c++) {
            const int8_t *w = weights + 9 * c;
            int32_t sum = layer->start[c];
            for (int y = 0; y < 3; y++) {
                const uint8_t *x = rows[y] + p * layer->stride * channels + c;
                sum += x[0] * w[3 * y] + x[channels] * w[3 * y + 1] + x[2 * channels] * w[3 * y + 2];
            }
            out[p * channels + c] = output(layer, c, sum);
        }
    }
}

static const pt_u8_depthwise_kernels plain = {
    .name = "c", .block = 1, .weight_bytes = 9, .place = place, .pack = pack, .row = row};

const pt_u8_depthwise_kernels *pt_u8_depthwise_kernels_for(pt_isa isa)
{
#ifdef PANTILE_HAVE_VNNI
    if (isa >= PT_ISA_VNNI) {
        return &pt_u8_depthwise_kernels_vnni;
    }
#endif
#ifdef PANTILE_HAVE_AVX2
    if (isa >= PT_ISA_AVX2) {
        return &pt_u8_depthwise_kernels_avx2;
    }
#endif
    (void)isa;
    return &plain;
}
