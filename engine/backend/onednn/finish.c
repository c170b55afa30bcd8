#include "engine/backend/onednn/internal.h"

#include <immintrin.h>

static __m512 load_summand(const pt_conv_spec *spec, const void *summand, int o, __mmask16 lanes, __m512 y)
{
    if (spec->out_elem == PT_F32) {
        return _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, (const float *)summand + o));
    }
    __m128i bytes = _mm_maskz_loadu_epi8(lanes, (const uint8_t *)summand + o);
    __m512i centred = _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), _mm512_set1_epi32(spec->sum.zero));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(centred), _mm512_set1_ps(spec->sum.scale), y);
}

static __m512 activate(pt_activation activation, __m512 y)
{
    if (activation != PT_ACT_NONE) {
        y = _mm512_max_ps(y, _mm512_setzero_ps());
    }
    return activation == PT_ACT_RELU6 ? _mm512_min_ps(y, _mm512_set1_ps(6)) : y;
}

/* Clamped as floats: a real beyond the range of 32 bits must not wrap. */
static __m128i quantise(const pt_quant *quant, __m512 y)
{
    __m512 q = _mm512_mul_ps(y, _mm512_set1_ps(1.0f / quant->scale));
    q = _mm512_roundscale_ps(q, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    q = _mm512_add_ps(q, _mm512_set1_ps((float)quant->zero));
    q = _mm512_min_ps(_mm512_max_ps(q, _mm512_setzero_ps()), _mm512_set1_ps(255));
    return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(q));
}

void pt_onednn_finish(const pt_conv *conv, const int32_t *sums, const void *summand, void *out)
{
    const pt_conv_spec *spec = &conv->spec;
    for (int o = 0; o < spec->out_channels; o += 16) {
        int left = spec->out_channels - o;
        __mmask16 lanes = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
        __m512i acc = _mm512_add_epi32(_mm512_maskz_loadu_epi32(lanes, sums + o),
                                       _mm512_maskz_loadu_epi32(lanes, conv->shift + o));
        __m512 y =
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc), _mm512_maskz_loadu_ps(lanes, conv->multiplier + o),
                            _mm512_maskz_loadu_ps(lanes, conv->bias + o));
        if (summand) {
            y = load_summand(spec, summand, o, lanes, y);
        }
        y = activate(spec->activation, y);
        if (spec->out_elem == PT_F32) {
            _mm512_mask_storeu_ps((float *)out + o, lanes, y);
        } else {
            _mm_mask_storeu_epi8((uint8_t *)out + o, lanes, quantise(&spec->out, y));
        }
    }
}
