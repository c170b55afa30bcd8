#include "engine/kernels/conv_u8_amx.h"

#include "engine/kernels/amx.h"

#include <immintrin.h>
#include <string.h>

/* Palette 1: eight tiles of 16 rows of 64 bytes. Intel 64 and IA-32 Architectures Software Developer's
 * Manual, volume 1, section 18.3. */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* Constant, not filled in here: GCC 12 takes _tile_loadconfig to read eight bytes, and drops the stores of
 * the others. */
static const _Alignas(64) tile_config config = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

static void begin(void)
{
    PT_AMX_CONFIGURE(&config);
}

static void end(void)
{
    PT_AMX_RELEASE();
}

/* What rows of one block share, in registers: two halves of 16 channels. */
typedef struct half {
    __m512 multiplier, bias;
    __m512i offset;
    __mmask16 mask;
} half;

static inline half load_half(const pt_k_amx_rows *rows, int at)
{
    const pt_k_amx_finish *f = rows->finish;
    int left = rows->channels - at, channel = rows->first_channel + at;
    return (half){_mm512_loadu_ps(f->multiplier + channel), _mm512_loadu_ps(f->bias + channel),
                  _mm512_loadu_si512(f->offset + channel),
                  left >= 16 ? (__mmask16)0xffff
                  : left > 0 ? (__mmask16)((1u << left) - 1)
                             : (__mmask16)0};
}

static inline __m512 add_summand(const pt_k_amx_rows *rows, ptrdiff_t at, __mmask16 mask, __m512 y)
{
    const pt_k_amx_finish *f = rows->finish;
    if (f->elem == PT_F32) {
        return _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, (const float *)rows->summand_map + at));
    }
    __m128i bytes = _mm_maskz_loadu_epi8(mask, (const uint8_t *)rows->summand_map + at);
    __m512i centred = _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), _mm512_set1_epi32(f->sum.zero));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(centred), _mm512_set1_ps(f->sum.scale), y);
}

static inline void store(const pt_k_amx_rows *rows, ptrdiff_t at, __mmask16 mask, __m512 y)
{
    const pt_k_amx_finish *f = rows->finish;
    if (f->elem == PT_F32) {
        _mm512_mask_storeu_ps((float *)rows->out_map + at, mask, y);
        return;
    }
    /* Clamping from above before rounding is the same as after, as the limit is an integer, and keeps large
     * floats from leaving the integers' range; from below they become the smallest integer, which is clamped.
     */
    __m512 scaled = _mm512_min_ps(_mm512_mul_ps(y, _mm512_set1_ps(f->out_inverse)),
                                  _mm512_set1_ps((float)(255 - f->out.zero)));
    __m512i q = _mm512_max_epi32(_mm512_cvtps_epi32(scaled), _mm512_set1_epi32(-f->out.zero));
    q = _mm512_add_epi32(q, _mm512_set1_epi32(f->out.zero));
    _mm_mask_storeu_epi8((uint8_t *)rows->out_map + at, mask, _mm512_cvtepi32_epi8(q));
}

static inline void finish_half(const pt_k_amx_rows *rows, const half *h, int row, int column)
{
    const pt_activation activation = rows->finish->activation;
    __m512i sums = _mm512_loadu_si512(rows->sums + row * PT_AMX_COLUMNS + column);
    __m512 y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums, h->offset)), h->multiplier, h->bias);
    const ptrdiff_t channel = rows->first_channel + column;
    if (rows->summand_map) {
        y = add_summand(rows, rows->summand[row] * rows->pixel_channels + channel, h->mask, y);
    }
    if (activation != PT_ACT_NONE) {
        y = _mm512_max_ps(y, _mm512_setzero_ps());
    }
    if (activation == PT_ACT_RELU6) {
        y = _mm512_min_ps(y, _mm512_set1_ps(6.0f));
    }
    store(rows, rows->out[row] * rows->pixel_channels + channel, h->mask, y);
}

static inline void finish_rows(const pt_k_amx_rows *rows, const half halves[2], int first, int last)
{
    for (int row = first; row < last; row++) {
        if (rows->out[row] >= 0) {
            finish_half(rows, &halves[0], row, 0);
            if (rows->channels > 16) {
                finish_half(rows, &halves[1], row, 16);
            }
        }
    }
}

static void finish(const pt_k_amx_rows *rows)
{
    const half halves[2] = {load_half(rows, 0), load_half(rows, 16)};
    finish_rows(rows, halves, 0, PT_AMX_ROWS);
}

static inline void begin_sums(const pt_k_amx_block *k, const int32_t *below, ptrdiff_t row)
{
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
}

/* Tiles 0 to 3 are the sums (two halves of positions by two of channels), 4 and 5 positions, 6 and 7 weights:
 * four loads feed four products, and a product takes as long as two loads from the first cache. Taps are the
 * inner loop, as neighbouring taps read the same bytes again. */
static void block(const pt_k_amx_block *k, const pt_k_amx_rows *rows)
{
    const ptrdiff_t row = PT_AMX_COLUMNS * sizeof(int32_t);
    int32_t *below = k->c + 16 * PT_AMX_COLUMNS;
    const int each = (PT_AMX_ROWS + k->steps * k->tap_count - 1) / (k->steps * k->tap_count);
    int done = rows ? 0 : PT_AMX_ROWS;
    half halves[2];
    memset(halves, 0, sizeof halves);
    if (rows) {
        halves[0] = load_half(rows, 0);
        halves[1] = load_half(rows, 16);
    }
    begin_sums(k, below, row);
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
            if (done < PT_AMX_ROWS) {
                const int last = done + each < PT_AMX_ROWS ? done + each : PT_AMX_ROWS;
                finish_rows(rows, halves, done, last);
                done = last;
            }
        }
    }
    PT_AMX_STORE(0, k->c, row);
    PT_AMX_STORE(1, k->c + 16, row);
    PT_AMX_STORE(2, below, row);
    PT_AMX_STORE(3, below + 16, row);
}

#ifdef PT_AMX_EMULATED
const pt_k_amx pt_k_amx_emulated = {begin, end, block, finish};
#else
const pt_k_amx pt_k_amx_kernels = {begin, end, block, finish};
#endif
