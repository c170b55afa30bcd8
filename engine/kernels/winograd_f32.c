#include "engine/kernels/winograd_f32.h"

/* G: row j has the powers of point j over the product of its distances to the other points. */
static void expand(const double in[3], double out[PT_WINOGRAD_PATCH])
{
    const double a = 0.70710678118654752440, b = 1.41421356237309504880;
    /* of a: 2 a^2 (a^2 - b^2) = -3/2; of b: 2 b^2 (b^2 - a^2) = 6 */
    const double even_a = (in[0] + 0.5 * in[2]) / -1.5, odd_a = a * in[1] / -1.5;
    const double even_b = (in[0] + 2.0 * in[2]) / 6.0, odd_b = b * in[1] / 6.0;
    out[0] = in[0];
    out[1] = even_a + odd_a;
    out[2] = even_a - odd_a;
    out[3] = even_b + odd_b;
    out[4] = even_b - odd_b;
    out[5] = in[2];
}

void pt_f32_winograd_weights(const float weights[9], float out[PT_WINOGRAD_PLANES])
{
    double half[3][PT_WINOGRAD_PATCH], column[3], full[PT_WINOGRAD_PATCH];
    for (int x = 0; x < 3; x++) {
        for (int y = 0; y < 3; y++) {
            column[y] = (double)weights[y * 3 + x];
        }
        expand(column, half[x]);
    }
    for (int y = 0; y < PT_WINOGRAD_PATCH; y++) {
        for (int x = 0; x < 3; x++) {
            column[x] = half[x][y];
        }
        expand(column, full);
        for (int x = 0; x < PT_WINOGRAD_PATCH; x++) {
            out[y * PT_WINOGRAD_PATCH + x] = (float)full[x];
        }
    }
}
