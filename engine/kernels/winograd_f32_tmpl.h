/* The transforms of Winograd's F(4x4, 3x3), included after conv_f32_tmpl.h by each version's source. Vectors
 * run over channels. Constants and matrices: winograd_f32.h.
 *
 * Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016, section 4. */

/* One row or column of the input: out = B^T in. Even and odd parts of the polynomials at +x and -x are
 * shared. */
ALWAYS_INLINE void winograd_in_line(const vf in[6], vf out[6])
{
    const vf minus_sum = vf_set(-PT_WINOGRAD_SUM), minus_a2 = vf_set(-PT_WINOGRAD_A2);
    const vf minus_b2 = vf_set(-PT_WINOGRAD_B2);
    const vf even_a = vf_fma(minus_b2, in[2], in[4]), odd_a = vf_fma(minus_b2, in[1], in[3]);
    const vf even_b = vf_fma(minus_a2, in[2], in[4]), odd_b = vf_fma(minus_a2, in[1], in[3]);
    out[0] = vf_add(in[0], vf_fma(minus_sum, in[2], in[4]));
    out[1] = vf_fma(vf_set(PT_WINOGRAD_A), odd_a, even_a);
    out[2] = vf_fma(vf_set(-PT_WINOGRAD_A), odd_a, even_a);
    out[3] = vf_fma(vf_set(PT_WINOGRAD_B), odd_b, even_b);
    out[4] = vf_fma(vf_set(-PT_WINOGRAD_B), odd_b, even_b);
    out[5] = vf_add(in[1], vf_fma(minus_sum, in[3], in[5]));
}

/* out = A^T in. */
ALWAYS_INLINE void winograd_out_line(const vf in[6], vf out[4])
{
    const vf sum_a = vf_add(in[1], in[2]), difference_a = vf_sub(in[1], in[2]);
    const vf sum_b = vf_add(in[3], in[4]), difference_b = vf_sub(in[3], in[4]);
    out[0] = vf_add(vf_add(in[0], sum_a), sum_b);
    out[1] = vf_fma(vf_set(PT_WINOGRAD_B), difference_b, vf_mul(vf_set(PT_WINOGRAD_A), difference_a));
    out[2] = vf_fma(vf_set(PT_WINOGRAD_B2), sum_b, vf_mul(vf_set(PT_WINOGRAD_A2), sum_a));
    out[3] = vf_fma(vf_set(PT_WINOGRAD_A3), difference_a, in[5]);
    out[3] = vf_fma(vf_set(PT_WINOGRAD_B3), difference_b, out[3]);
}

static void winograd_in(const float *const pixels[PT_WINOGRAD_PLANES],
                        const float *const next[PT_WINOGRAD_PLANES], int channels, float *out, size_t plane)
{
    for (int c = 0; c < channels; c += VF_LANES) {
        /* The next tile's first columns are this one's last. */
        UNROLL for (int y = 0; y < 6; y++)
        {
            UNROLL for (int x = 2; x < 6; x++)
            {
                prefetch(next[y * 6 + x] + c);
            }
        }
        vf half[6][6]; /* [column][row] */
        UNROLL for (int x = 0; x < 6; x++)
        {
            vf column[6];
            UNROLL for (int y = 0; y < 6; y++)
            {
                column[y] = vf_load(pixels[y * 6 + x] + c);
            }
            winograd_in_line(column, half[x]);
        }
        UNROLL for (int y = 0; y < 6; y++)
        {
            vf row[6], done[6];
            UNROLL for (int x = 0; x < 6; x++)
            {
                row[x] = half[x][y];
            }
            winograd_in_line(row, done);
            UNROLL for (int x = 0; x < 6; x++)
            {
                vf_store(out + (size_t)(y * 6 + x) * plane + c, done[x]);
            }
        }
    }
}

static void winograd_out(const pt_f32_winograd_out *w)
{
    const pt_activation activation = w->activation;
    for (int c = 0; c < w->channels; c += VF_LANES) {
        UNROLL for (int i = 0; i < PT_WINOGRAD_PIXELS; i++)
        {
            prefetch_write(w->next[i] + c);
        }
        vf half[6][4]; /* [column][row] */
        UNROLL for (int x = 0; x < 6; x++)
        {
            vf column[6];
            UNROLL for (int y = 0; y < 6; y++)
            {
                column[y] = vf_load(w->sums + (size_t)(y * 6 + x) * w->plane + c);
            }
            winograd_out_line(column, half[x]);
        }
        const vf bias = vf_load(w->bias + c);
        UNROLL for (int y = 0; y < 4; y++)
        {
            vf row[6], done[4];
            UNROLL for (int x = 0; x < 6; x++)
            {
                row[x] = half[x][y];
            }
            winograd_out_line(row, done);
            UNROLL for (int x = 0; x < 4; x++)
            {
                float *out = w->out[y * 4 + x];
                if (out) {
                    vf sum = vf_add(done[x], bias);
                    sum = w->add[0] ? vf_add(sum, vf_load(w->add[y * 4 + x] + c)) : sum;
                    vf_store(out + c, activated(sum, activation));
                }
            }
        }
    }
}
