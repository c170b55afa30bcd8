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

/* What the rows of one block share, as local values: stores of bytes may alias anything that has an address,
 * and would make the compiler load it all again for each row. */
typedef struct half {
    __m512 multiplier, bias;
    __m512i offset;
    __mmask16 mask;
} half;

typedef struct way_out {
    half low, high; /* of the block's channels */
    bool both;
    pt_elem elem;
    pt_activation activation;
    __m512 inverse, top, sum_scale;
    __m512i sum_zero, bottom, zero;
    const int32_t *sums;
    const ptrdiff_t *out, *summand;
    ptrdiff_t pixel; /* channels */
    const uint8_t *summand_map;
    uint8_t *out_map; /* both maps: at the block's first channel */
} way_out;

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

static inline way_out make_way(const pt_k_amx_rows *rows)
{
    const pt_k_amx_finish *f = rows->finish;
    const size_t first = (size_t)rows->first_channel * pt_elem_size(f->elem);
    return (way_out){
        .low = load_half(rows, 0),
        .high = load_half(rows, 16),
        .both = rows->channels > 16,
        .elem = f->elem,
        .activation = f->activation,
        .inverse = _mm512_set1_ps(f->out_inverse),
        .top = _mm512_set1_ps((float)(255 - f->out.zero)),
        .sum_scale = _mm512_set1_ps(f->sum.scale),
        .sum_zero = _mm512_set1_epi32(f->sum.zero),
        .bottom = _mm512_set1_epi32(-f->out.zero),
        .zero = _mm512_set1_epi32(f->out.zero),
        .sums = rows->sums,
        .out = rows->out,
        .summand = rows->summand,
        .pixel = rows->pixel_channels,
        .summand_map = rows->summand_map ? (const uint8_t *)rows->summand_map + first : NULL,
        .out_map = (uint8_t *)rows->out_map + first,
    };
}

static inline __m512 add_summand(const way_out *way, ptrdiff_t at, __mmask16 mask, __m512 y)
{
    if (way->elem == PT_F32) {
        return _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, (const float *)way->summand_map + at));
    }
    __m512i bytes = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, way->summand_map + at));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(bytes, way->sum_zero)), way->sum_scale, y);
}

static inline void store(const way_out *way, ptrdiff_t at, __mmask16 mask, __m512 y)
{
    if (way->elem == PT_F32) {
        _mm512_mask_storeu_ps((float *)way->out_map + at, mask, y);
        return;
    }
    /* Clamping from above before rounding is the same as after, as the limit is an integer, and keeps large
     * floats from leaving the integers' range; from below they become the smallest integer, which is clamped.
     */
    __m512 scaled = _mm512_min_ps(_mm512_mul_ps(y, way->inverse), way->top);
    __m512i q = _mm512_add_epi32(_mm512_max_epi32(_mm512_cvtps_epi32(scaled), way->bottom), way->zero);
    _mm_mask_storeu_epi8(way->out_map + at, mask, _mm512_cvtepi32_epi8(q));
}

static inline void finish_half(const way_out *way, const half *h, int row, int column)
{
    __m512i sums = _mm512_loadu_si512(way->sums + row * PT_AMX_COLUMNS + column);
    __m512 y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums, h->offset)), h->multiplier, h->bias);
    if (way->summand_map) {
        y = add_summand(way, way->summand[row] * way->pixel + column, h->mask, y);
    }
    if (way->activation != PT_ACT_NONE) {
        y = _mm512_max_ps(y, _mm512_setzero_ps());
    }
    if (way->activation == PT_ACT_RELU6) {
        y = _mm512_min_ps(y, _mm512_set1_ps(6.0f));
    }
    store(way, way->out[row] * way->pixel + column, h->mask, y);
}

static inline void finish_rows(const way_out *way, int first, int last)
{
    for (int row = first; row < last; row++) {
        if (way->out[row] >= 0) {
            finish_half(way, &way->low, row, 0);
            if (way->both) {
                finish_half(way, &way->high, row, 16);
            }
        }
    }
}

static void finish(const pt_k_amx_rows *rows)
{
    const way_out way = make_way(rows);
    finish_rows(&way, 0, PT_AMX_ROWS);
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
static inline void sum_block(const pt_k_amx_block *k, const way_out *way)
{
    const ptrdiff_t row = PT_AMX_COLUMNS * sizeof(int32_t);
    int32_t *below = k->c + 16 * PT_AMX_COLUMNS;
    const int each = (PT_AMX_ROWS + k->steps * k->tap_count - 1) / (k->steps * k->tap_count);
    int done = way ? 0 : PT_AMX_ROWS;
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
                finish_rows(way, done, last);
                done = last;
            }
        }
    }
    PT_AMX_STORE(0, k->c, row);
    PT_AMX_STORE(1, k->c + 16, row);
    PT_AMX_STORE(2, below, row);
    PT_AMX_STORE(3, below + 16, row);
}

static void block(const pt_k_amx_block *k, const pt_k_amx_rows *rows)
{
    if (rows) {
        const way_out way = make_way(rows);
        sum_block(k, &way);
    } else {
        sum_block(k, NULL);
    }
}

#ifdef PT_AMX_EMULATED
const pt_k_amx pt_k_amx_emulated = {begin, end, block, finish};
#else
const pt_k_amx pt_k_amx_kernels = {begin, end, block, finish};
#endif
