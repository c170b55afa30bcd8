#include "engine/kernels/conv_u8_versions.h"

#include <math.h>
#include <string.h>

enum { LANES = 16, GROUP = 4 };

void pt_u8_finish_limits(pt_u8_finish *finish, float largest)
{
    const float byte_low = (float)-finish->zero, byte_high = (float)(255 - finish->zero);
    finish->low = finish->activation == PT_ACT_NONE ? byte_low : 0.0f;
    finish->high = byte_high;
    const float six = 6.0f * finish->inverse;
    if (finish->activation == PT_ACT_RELU6 && rintf(six) < byte_high) {
        finish->high = six;
    }
    bool converts = largest * finish->inverse < 0x1p30f; /* false for NaN */
    finish->saturates = converts && finish->low == byte_low && finish->high == byte_high;
}

static int place(int vectors, pt_elem out_elem, int c)
{
    (void)vectors, (void)out_elem;
    return c;
}

static void sum_pixel(const pt_u8_tile *tile, int channels, const uint8_t *in, int32_t *sums)
{
    const int8_t *weights = tile->weights;
    for (int s = 0; s < tile->steps; s++, weights += GROUP * channels) {
        const uint8_t *x = in + tile->offsets[s];
        for (int c = 0; c < channels; c++) {
            const int8_t *w = weights + GROUP * c;
            sums[c] += x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
        }
    }
}

static void sum(const pt_u8_tile *tile, int vectors)
{
    int channels = LANES * vectors;
    for (int p = 0; p < tile->pixels; p++) {
        int32_t *sums = tile->sums + p * channels;
        if (tile->start) {
            memcpy(sums, tile->start, (size_t)channels * sizeof *sums);
        }
        sum_pixel(tile, channels, (const uint8_t *)tile->in + p * tile->step, sums);
    }
}

static float activate(float y, pt_activation activation)
{
    if (activation != PT_ACT_NONE) {
        y = y > 0.0f ? y : 0.0f;
    }
    if (activation == PT_ACT_RELU6) {
        y = y < 6.0f ? y : 6.0f;
    }
    return y;
}

static void finish_f32(const pt_u8_tile *o, int channels)
{
    const pt_u8_finish *finish = o->finish;
    for (int p = 0; p < o->pixels; p++) {
        float *out = (float *)o->out + p * o->out_step;
        const float *summand = finish->add ? (const float *)o->summand + o->summand_at[p] : NULL;
        for (int c = 0; c < o->channels; c++) {
            float y = fmaf((float)o->sums[p * channels + c], o->multiplier[c], o->bias[c]);
            if (summand) {
                y += summand[c];
            }
            out[c] = activate(y, finish->activation);
        }
    }
}

static void finish_u8(const pt_u8_tile *o, int channels)
{
    const pt_u8_finish *finish = o->finish;
    for (int p = 0; p < o->pixels; p++) {
        uint8_t *out = (uint8_t *)o->out + p * o->out_step;
        const uint8_t *summand = finish->add ? (const uint8_t *)o->summand + o->summand_at[p] : NULL;
        for (int c = 0; c < o->channels; c++) {
            float y = fmaf((float)o->sums[p * channels + c], o->multiplier[c], o->bias[c]);
            if (summand) {
                y = fmaf((float)(summand[c] - finish->sum.zero), finish->sum.scale, y);
            }
            float t = y * finish->inverse;
            t = t < finish->high ? t : finish->high;
            t = t > finish->low ? t : finish->low;
            out[c] = (uint8_t)((int)rintf(t) + finish->zero);
        }
    }
}

static void run(const pt_u8_tile *tile, int vectors)
{
    sum(tile, vectors);
    if (tile->unfinished) {
        return;
    }
    if (tile->finish->out_elem == PT_U8) {
        finish_u8(tile, LANES * vectors);
    } else {
        finish_f32(tile, LANES * vectors);
    }
}

static const pt_u8_kernels plain = {
    .name = "c",
    .lanes = LANES,
    .max_vectors = 1,
    .max_pixels = {PT_U8_MAX_PIXELS},
    .group = GROUP,
    .place = place,
    .run = run,
};

const pt_u8_kernels *pt_u8_kernels_for(pt_isa isa)
{
#ifdef PANTILE_HAVE_VNNI
    if (isa >= PT_ISA_VNNI) {
        return &pt_u8_kernels_vnni;
    }
#endif
#ifdef PANTILE_HAVE_AVX2
    if (isa >= PT_ISA_AVX2) {
        return &pt_u8_kernels_avx2;
    }
#endif
    (void)isa;
    return &plain;
}
