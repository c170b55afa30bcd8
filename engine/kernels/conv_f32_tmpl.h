/* Matrix tiles of FP32 layers, included once by each version's source, which defines
 *
 *   vf, its vf_... functions, and VF_LANES, as vec_avx512.h does
 *
 *   ROWS, VECTORS    pixels and vectors of output channels of the largest tile: ROWS * VECTORS sums stay in
 *                    registers, with VECTORS weights and one activation beside them
 *
 *   EACH_ROWS(X)     X(1) to X(ROWS)
 */

/* GCC needs the constants in every loop to keep the sums in registers. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

/* Inlined always: GCC takes a function that only fetches for one without effect, and drops its calls. Nothing
 * for single floats, which would be fetched sixteen times over. */
ALWAYS_INLINE void prefetch(const float *p)
{
    if (VF_LANES > 1) {
        __builtin_prefetch(p, 0);
    }
}

ALWAYS_INLINE void prefetch_write(const float *p)
{
    if (VF_LANES > 1) {
        __builtin_prefetch(p, 1);
    }
}

/* Rows are addressed as one of a few bases plus 0, 1 or 2 strides, which x86 computes while it loads: as many
 * pointers as rows would not fit in the general registers. */
enum { BASES = (ROWS + 2) / 3 };

ALWAYS_INLINE void multiply(const pt_f32_tile *t, const float *b, const int rows, const int vectors,
                            vf sum[ROWS][VECTORS])
{
    const size_t stride = t->a_stride;
    for (int segment = 0; segment < t->segments; segment++) {
        const float *a = t->a + (size_t)segment * t->segment_stride;
        const float *base[BASES];
        UNROLL for (int i = 0; i < (rows + 2) / 3; i++)
        {
            base[i] = a + (size_t)(3 * i) * stride;
        }
        for (size_t k = t->depth; k > 0; k--) {
            vf w[VECTORS];
            UNROLL for (int v = 0; v < vectors; v++)
            {
                w[v] = vf_load(b + v * VF_LANES);
            }
            UNROLL for (int r = 0; r < rows; r++)
            {
                vf x = vf_set(base[r / 3][(size_t)(r % 3) * stride]);
                UNROLL for (int v = 0; v < vectors; v++)
                {
                    sum[r][v] = vf_fma(x, w[v], sum[r][v]);
                }
            }
            UNROLL for (int i = 0; i < (rows + 2) / 3; i++)
            {
                base[i]++;
            }
            b += PT_F32_PANEL;
        }
    }
}

ALWAYS_INLINE vf activated(vf y, pt_activation activation)
{
    if (activation != PT_ACT_NONE) {
        y = vf_max(y, vf_set(0));
    }
    return activation == PT_ACT_RELU6 ? vf_min(y, vf_set(6)) : y;
}

/* `first` is the tile's column that sum[.][0] begins with. */
ALWAYS_INLINE void finish(const pt_f32_tile *t, int first, const int rows, const int vectors,
                          vf sum[ROWS][VECTORS])
{
    const pt_f32_finish *f = t->finish;
    const pt_activation activation = f->activation;
    UNROLL for (int v = 0; v < vectors; v++)
    {
        const int column = first + v * VF_LANES;
        const vf bias = vf_load(f->bias + column);
        const int left = t->columns - column;
        UNROLL for (int r = 0; r < rows; r++)
        {
            vf y = vf_add(sum[r][v], bias);
            float *out = f->out + (size_t)r * f->out_stride + column;
            if (left >= VF_LANES) {
                y = f->add[0] ? vf_add(y, vf_load(f->add[r] + column)) : y;
                vf_store(out, activated(y, activation));
            } else {
                y = f->add[0] ? vf_add(y, vf_load_n(f->add[r] + column, left)) : y;
                vf_store_n(out, left, activated(y, activation));
            }
        }
    }
}

/* Where the tile's results go: fetched while it is summed. */
ALWAYS_INLINE void fetch_outputs(const pt_f32_tile *t, int first, const int rows, const int vectors)
{
    const pt_f32_finish *f = t->finish;
    float *out = f ? f->out : t->sums;
    const size_t stride = f ? f->out_stride : t->sums_stride;
    UNROLL for (int r = 0; r < rows; r++)
    {
        UNROLL for (int v = 0; v < vectors; v++)
        {
            prefetch_write(out + (size_t)r * stride + first + v * VF_LANES);
        }
    }
    if (f && f->add[0] && f->add[0] != f->out) {
        UNROLL for (int r = 0; r < rows; r++)
        {
            UNROLL for (int v = 0; v < vectors; v++)
            {
                prefetch(f->add[r] + first + v * VF_LANES);
            }
        }
    }
}

ALWAYS_INLINE void tile(const pt_f32_tile *t, int first, const int rows, const int vectors)
{
    fetch_outputs(t, first, rows, vectors);
    vf sum[ROWS][VECTORS];
    UNROLL for (int r = 0; r < rows; r++)
    {
        UNROLL for (int v = 0; v < vectors; v++)
        {
            sum[r][v] =
                t->begin ? vf_set(0) : vf_load(t->sums + (size_t)r * t->sums_stride + first + v * VF_LANES);
        }
    }
    multiply(t, t->b + first, rows, vectors, sum);
    if (t->finish) {
        finish(t, first, rows, vectors, sum);
        return;
    }
    UNROLL for (int r = 0; r < rows; r++)
    {
        UNROLL for (int v = 0; v < vectors; v++)
        {
            vf_store(t->sums + (size_t)r * t->sums_stride + first + v * VF_LANES, sum[r][v]);
        }
    }
}

/* One version for each count of rows: VECTORS wide as long as the columns last, then one by one. */
#define TILE_OF(rows)                                                                                        \
    static void tile_wide_##rows(const pt_f32_tile *t, int first)                                            \
    {                                                                                                        \
        tile(t, first, rows, VECTORS);                                                                       \
    }                                                                                                        \
    static void tile_narrow_##rows(const pt_f32_tile *t, int first)                                          \
    {                                                                                                        \
        tile(t, first, rows, 1);                                                                             \
    }

typedef void tile_part(const pt_f32_tile *t, int first);

static void tile_by(const pt_f32_tile *t, tile_part *wide, tile_part *narrow)
{
    int first = 0;
    for (; t->columns - first > (VECTORS - 1) * VF_LANES; first += VECTORS * VF_LANES) {
        wide(t, first);
    }
    for (; t->columns > first; first += VF_LANES) {
        narrow(t, first);
    }
}

EACH_ROWS(TILE_OF)

static void tile_any(const pt_f32_tile *t)
{
#define WIDE(rows) tile_wide_##rows,
#define NARROW(rows) tile_narrow_##rows,
    static tile_part *const wide[ROWS] = {EACH_ROWS(WIDE)}, *const narrow[ROWS] = {EACH_ROWS(NARROW)};
#undef WIDE
#undef NARROW
    tile_by(t, wide[t->rows - 1], narrow[t->rows - 1]);
}
