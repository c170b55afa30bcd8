#include "engine/kernels/conv_u8_amx.h"

#include "engine/kernels/amx.h"

#include <immintrin.h>

/* Palette 1: eight tiles of 16 rows of 64 bytes. Intel 64 and IA-32 Architectures Software Developer's
 * Manual, volume 1, section 18.3. */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

static void begin(void)
{
    _Alignas(64) tile_config config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    PT_AMX_CONFIGURE(&config);
}

static void end(void)
{
    PT_AMX_RELEASE();
}

/* Tiles 0 to 3 are the sums (two halves of positions by two of channels), 4 and 5 positions, 6 and 7 weights:
 * four loads feed four products, and a product takes as long as two loads from the first cache. Taps are the
 * inner loop, as neighbouring taps read the same bytes again. */
static void block(const pt_k_amx_block *k)
{
    const ptrdiff_t row = PT_AMX_COLUMNS * sizeof(int32_t);
    int32_t *below = k->c + 16 * PT_AMX_COLUMNS;
    if (k->add) {
        PT_AMX_LOAD(0, k->c, row);
        PT_AMX_LOAD(1, k->c + 16, row);
        PT_AMX_LOAD(2, below, row);
        PT_AMX_LOAD(3, below + 16, row);
    } else {
        PT_AMX_ZERO(0);
        PT_AMX_ZERO(1);
        PT_AMX_ZERO(2);
        PT_AMX_ZERO(3);
    }
    const int8_t *b = k->b;
    const uint8_t *a0 = k->a, *a1 = k->a + 16 * k->a_step;
    for (int s = 0; s < k->steps; s++, a0 += PT_AMX_DEPTH, a1 += PT_AMX_DEPTH) {
        for (int t = 0; t < k->tap_count; t++, b += PT_AMX_PANEL) {
            PT_AMX_LOAD(6, b, 64);
            PT_AMX_LOAD(4, a0 + k->taps[t], k->a_step);
            PT_AMX_LOAD(7, b + PT_AMX_PANEL / 2, 64);
            PT_AMX_MULTIPLY(0, 4, 6);
            PT_AMX_LOAD(5, a1 + k->taps[t], k->a_step);
            PT_AMX_MULTIPLY(1, 4, 7);
            PT_AMX_MULTIPLY(2, 5, 6);
            PT_AMX_MULTIPLY(3, 5, 7);
        }
    }
    PT_AMX_STORE(0, k->c, row);
    PT_AMX_STORE(1, k->c + 16, row);
    PT_AMX_STORE(2, below, row);
    PT_AMX_STORE(3, below + 16, row);
}

static inline __m512 load_summand(const pt_k_amx_finish *f, const void *summand, int at, __mmask16 mask,
                                  __m512 y)
{
    if (f->elem == PT_F32) {
        return _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, (const float *)summand + at));
    }
    __m128i bytes = _mm_maskz_loadu_epi8(mask, (const uint8_t *)summand + at);
    __m512i centred = _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), _mm512_set1_epi32(f->sum.zero));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(centred), _mm512_set1_ps(f->sum.scale), y);
}

static inline void store(const pt_k_amx_finish *f, void *out, int at, __mmask16 mask, __m512 y)
{
    if (f->elem == PT_F32) {
        _mm512_mask_storeu_ps((float *)out + at, mask, y);
        return;
    }
    /* Clamping before rounding is the same as after, as the limits are integers, and keeps large floats from
     * leaving the integers' range. */
    __m512 scaled = _mm512_mul_ps(y, _mm512_set1_ps(f->out_inverse));
    scaled = _mm512_max_ps(scaled, _mm512_set1_ps((float)-f->out.zero));
    scaled = _mm512_min_ps(scaled, _mm512_set1_ps((float)(255 - f->out.zero)));
    __m512i q = _mm512_add_epi32(_mm512_cvtps_epi32(scaled), _mm512_set1_epi32(f->out.zero));
    _mm_mask_storeu_epi8((uint8_t *)out + at, mask, _mm512_cvtepi32_epi8(q));
}

static void finish(const pt_k_amx_finish *f, const int32_t *sums, int first_channel, int channels,
                   const void *summand, void *out)
{
    for (int at = 0; at < channels; at += 16) {
        int left = channels - at;
        __mmask16 mask = left < 16 ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
        int channel = first_channel + at;
        __m512i acc =
            _mm512_sub_epi32(_mm512_loadu_si512(sums + at), _mm512_loadu_si512(f->offset + channel));
        __m512 y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc), _mm512_loadu_ps(f->multiplier + channel),
                                   _mm512_loadu_ps(f->bias + channel));
        if (summand) {
            y = load_summand(f, summand, at, mask, y);
        }
        if (f->activation != PT_ACT_NONE) {
            y = _mm512_max_ps(y, _mm512_setzero_ps());
        }
        if (f->activation == PT_ACT_RELU6) {
            y = _mm512_min_ps(y, _mm512_set1_ps(6.0f));
        }
        store(f, out, at, mask, y);
    }
}

#ifdef PT_AMX_EMULATED
const pt_k_amx pt_k_amx_emulated = {begin, end, block, finish};
#else
const pt_k_amx pt_k_amx_kernels = {begin, end, block, finish};
#endif
