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

/* One output pixel; in[y][x] is where a tap is read. */
static void pixel(const pt_u8_depthwise *layer, int first, const uint8_t *const in[3][3], uint8_t *out)
{
    const int8_t *w = (const int8_t *)layer->weights + 9 * first;
    int left = layer->channels - first;
    int channels = left < PT_U8_DEPTHWISE_CHANNELS ? left : PT_U8_DEPTHWISE_CHANNELS;
    for (int c = 0; c < channels; c++, w += 9) {
        int32_t sum = layer->start[first + c];
        for (int y = 0; y < 3; y++) {
            sum += in[y][0][c] * w[3 * y] + in[y][1][c] * w[3 * y + 1] + in[y][2][c] * w[3 * y + 2];
        }
        out[c] = output(layer, first + c, sum);
    }
}

static void row(const pt_u8_depthwise *layer, const pt_u8_depthwise_row *r)
{
    for (int p = 0; p < r->pixels; p++) {
        const uint8_t *in[3][3];
        for (int i = 0; i < 9; i++) {
            in[i / 3][i % 3] = r->rows[i / 3] + (p * layer->stride + i % 3) * r->step;
        }
        pixel(layer, r->first, in, r->out + p * r->out_step);
    }
}

static void group(const pt_u8_depthwise *layer, const pt_u8_depthwise_group *g)
{
    for (int p = 0; p < PT_U8_DEPTHWISE_PIXELS; p++) {
        const uint8_t *in[3][3];
        for (int i = 0; i < 9; i++) {
            in[i / 3][i % 3] = g->in[i / 3][p * layer->stride + i % 3];
        }
        pixel(layer, g->first, in, g->out + p * g->out_step);
    }
}

static const pt_u8_depthwise_kernels plain = {
    .name = "c", .block = 1, .weight_bytes = 9, .place = place, .pack = pack, .row = row, .group = group};

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
