/* Depthwise FP32 layers, included after conv_f32_tmpl.h by each version's source. Vectors run over channels.
 */

/* Outputs of the fast version that share what they load: DW_ROWS x DW_COLUMNS pixels. */
enum { DW_ROWS = 2, DW_COLUMNS = 4 };

ALWAYS_INLINE void depthwise_store(const pt_f32_depthwise *d, float *out, int channel, vf sum)
{
    vf y = activated(vf_add(sum, vf_load(d->bias + channel)), d->activation);
    if (d->channels - channel >= VF_LANES) {
        vf_store(out + channel, y);
    } else {
        vf_store_n(out + channel, d->channels - channel, y);
    }
}

/* One output pixel of any window: taps beyond the map add nothing. */
static void depthwise_pixel(const pt_f32_depthwise *d, int oy, int ox)
{
    const int y = oy * d->stride - d->pad, x = ox * d->stride - d->pad;
    const int ky0 = y < 0 ? -y : 0, ky1 = d->h - y < d->kernel_h ? d->h - y : d->kernel_h;
    const int kx0 = x < 0 ? -x : 0, kx1 = d->w - x < d->kernel_w ? d->w - x : d->kernel_w;
    const size_t channels = (size_t)d->channels;
    float *out = d->out + ((size_t)oy * (size_t)d->out_w + (size_t)ox) * channels;
    for (int c = 0; c < d->channels; c += VF_LANES) {
        vf sum = vf_set(0);
        for (int ky = ky0; ky < ky1; ky++) {
            const float *in = d->in + ((size_t)(y + ky) * (size_t)d->w + (size_t)(x + kx0)) * channels + c;
            const float *w = d->weights + (size_t)(ky * d->kernel_w + kx0) * d->weights_stride + c;
            for (int kx = kx0; kx < kx1; kx++, in += channels, w += d->weights_stride) {
                sum = vf_fma(vf_load(in), vf_load(w), sum);
            }
        }
        depthwise_store(d, out, c, sum);
    }
}

/* rows x DW_COLUMNS output pixels from (oy, ox) on of a 3x3 window that lies wholly in the map. Inputs pass
 * in rising order, so every output sums its taps in theirs. */
ALWAYS_INLINE void depthwise_3x3(const pt_f32_depthwise *d, int oy, int ox, const int rows, const int stride)
{
    const size_t pixel = (size_t)d->channels, row = (size_t)d->w * pixel;
    const float *in = d->in + (size_t)(oy * stride - d->pad) * row + (size_t)(ox * stride - d->pad) * pixel;
    float *out = d->out + ((size_t)oy * (size_t)d->out_w + (size_t)ox) * pixel;
    for (int c = 0; c < d->channels; c += VF_LANES) {
        vf sum[DW_ROWS][DW_COLUMNS], w[9];
        UNROLL for (int i = 0; i < rows * DW_COLUMNS; i++)
        {
            sum[i / DW_COLUMNS][i % DW_COLUMNS] = vf_set(0);
        }
        UNROLL for (int i = 0; i < 9; i++)
        {
            w[i] = vf_load(d->weights + (size_t)i * d->weights_stride + c);
        }
        UNROLL for (int y = 0; y < stride * (rows - 1) + 3; y++)
        {
            UNROLL for (int x = 0; x < stride * (DW_COLUMNS - 1) + 3; x++)
            {
                const vf value = vf_load(in + (size_t)y * row + (size_t)x * pixel + c);
                UNROLL for (int r = 0; r < rows; r++)
                {
                    UNROLL for (int p = 0; p < DW_COLUMNS; p++)
                    {
                        const int ky = y - r * stride, kx = x - p * stride;
                        if (ky >= 0 && ky < 3 && kx >= 0 && kx < 3) {
                            sum[r][p] = vf_fma(value, w[ky * 3 + kx], sum[r][p]);
                        }
                    }
                }
            }
        }
        UNROLL for (int i = 0; i < rows * DW_COLUMNS; i++)
        {
            const int r = i / DW_COLUMNS, p = i % DW_COLUMNS;
            depthwise_store(d, out + ((size_t)r * (size_t)d->out_w + (size_t)p) * pixel, c, sum[r][p]);
        }
    }
}

/* Columns [x0, x1) of one or DW_ROWS rows; the last block may begin inside the one before. */
ALWAYS_INLINE void depthwise_inner(const pt_f32_depthwise *d, int oy, int x0, int x1, const int rows,
                                   const int stride)
{
    for (int ox = x0; ox < x1; ox += DW_COLUMNS) {
        depthwise_3x3(d, oy, ox + DW_COLUMNS <= x1 ? ox : x1 - DW_COLUMNS, rows, stride);
    }
}

static void depthwise_inner_rows(const pt_f32_depthwise *d, int oy, int x0, int x1, int rows)
{
    if (d->stride == 1 && rows == DW_ROWS) {
        depthwise_inner(d, oy, x0, x1, DW_ROWS, 1);
    } else if (d->stride == 1) {
        depthwise_inner(d, oy, x0, x1, 1, 1);
    } else if (rows == DW_ROWS) {
        depthwise_inner(d, oy, x0, x1, DW_ROWS, 2);
    } else {
        depthwise_inner(d, oy, x0, x1, 1, 2);
    }
}

static void depthwise_pixels(const pt_f32_depthwise *d, int oy, int x0, int x1)
{
    for (int ox = x0; ox < x1; ox++) {
        depthwise_pixel(d, oy, ox);
    }
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Past the last output whose window ends inside a map of `size`. */
static int inner_end(const pt_f32_depthwise *d, int size, int kernel)
{
    return size + d->pad < kernel ? 0 : (size + d->pad - kernel) / d->stride + 1;
}

static void depthwise_any(const pt_f32_depthwise *d, int row0, int row1)
{
    const int first = (d->pad + d->stride - 1) / d->stride;
    const int x0 = smaller(first, d->out_w), x1 = smaller(inner_end(d, d->w, d->kernel_w), d->out_w);
    const bool fast = d->kernel_h == 3 && d->kernel_w == 3 && d->stride <= 2 && x1 - x0 >= DW_COLUMNS;
    const int inner = fast ? smaller(inner_end(d, d->h, 3), row1) : 0;
    for (int oy = row0; oy < row1;) {
        if (oy < first || oy >= inner) {
            depthwise_pixels(d, oy, 0, d->out_w);
            oy++;
            continue;
        }
        const int rows = smaller(DW_ROWS, inner - oy);
        depthwise_inner_rows(d, oy, x0, x1, rows);
        for (int r = 0; r < rows; r++) {
            depthwise_pixels(d, oy + r, 0, x0);
            depthwise_pixels(d, oy + r, x1, d->out_w);
        }
        oy += rows;
    }
}
