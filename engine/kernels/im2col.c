#include "engine/kernels/kernels.h"

#include <string.h>

/* One run of output pixels of one row: ox in [ox0, ox0 + count), reading `row` at ox * stride + shift. */
static void copy_run(const float *row, int w, int stride, int shift, int ox0, int count, float *col)
{
    for (int i = 0; i < count;) {
        int x = (ox0 + i) * stride + shift;
        if (x < 0) {
            col[i++] = 0;
        } else if (x >= w) {
            memset(col + i, 0, (size_t)(count - i) * sizeof *col);
            break;
        } else {
            int inside = (w - 1 - x) / stride + 1;
            int end = i + inside < count ? i + inside : count;
            if (stride == 1) {
                memcpy(col + i, row + x, (size_t)(end - i) * sizeof *col);
                i = end;
            } else {
                for (; i < end; i++, x += stride) {
                    col[i] = row[x];
                }
            }
        }
    }
}

static void fill_row(const pt_k_window *g, const float *plane, int ky, int kx, size_t p0, size_t p1,
                     float *col)
{
    size_t p = p0;
    int ox = (int)(p0 % (size_t)g->ow);
    int oy = (int)(p0 / (size_t)g->ow % (size_t)g->oh);
    size_t image = p0 / ((size_t)g->ow * (size_t)g->oh);
    while (p < p1) {
        int count = g->ow - ox;
        if ((size_t)count > p1 - p) {
            count = (int)(p1 - p);
        }
        int iy = oy * g->stride - g->pad + ky;
        if (iy < 0 || iy >= g->h) {
            memset(col, 0, (size_t)count * sizeof *col);
        } else {
            const float *row = plane + (image * (size_t)g->h + (size_t)iy) * (size_t)g->w;
            copy_run(row, g->w, g->stride, kx - g->pad, ox, count, col);
        }
        col += count;
        p += (size_t)count;
        ox = 0;
        if (++oy == g->oh) {
            oy = 0;
            image++;
        }
    }
}

void pt_k_im2col(const pt_k_window *window, const float *in, int channels, size_t p0, size_t p1, float *col)
{
    size_t plane = (size_t)window->n * (size_t)window->h * (size_t)window->w;
    for (int c = 0; c < channels; c++, in += plane) {
        for (int ky = 0; ky < window->kh; ky++) {
            for (int kx = 0; kx < window->kw; kx++, col += p1 - p0) {
                fill_row(window, in, ky, kx, p0, p1, col);
            }
        }
    }
}
