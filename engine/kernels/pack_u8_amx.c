/* Weights for matrix tiles; plain C, as it runs once. */
#include "engine/kernels/conv_u8_amx.h"

#include <string.h>

const pt_k_amx *pt_k_amx_for(pt_isa isa)
{
#ifdef PANTILE_HAVE_AMX
    return isa >= PT_ISA_AMX ? &pt_k_amx_kernels : NULL;
#else
    (void)isa;
    return NULL;
#endif
}

static int groups_of(int value, int size)
{
    return (value + size - 1) / size;
}

size_t pt_k_amx_packed(int outputs, int taps, int channels)
{
    return (size_t)groups_of(outputs, PT_AMX_COLUMNS) * (size_t)groups_of(channels, PT_AMX_DEPTH) *
           (size_t)taps * PT_AMX_PANEL;
}

/* A panel is two tiles side by side, 16 outputs each; in row r of a tile, output n has channels 4r to 4r + 3
 * in bytes 4n to 4n + 3. */
static size_t place(int output, int channel)
{
    return (size_t)(output / 16 * (PT_AMX_PANEL / 2) + channel / 4 * 64 + output % 16 * 4 + channel % 4);
}

void pt_k_amx_pack(const int8_t *weights, int outputs, int taps, int channels, int8_t *packed)
{
    int steps = groups_of(channels, PT_AMX_DEPTH);
    memset(packed, 0, pt_k_amx_packed(outputs, taps, channels));
    for (int o = 0; o < outputs; o++) {
        for (int t = 0; t < taps; t++) {
            for (int c = 0; c < channels; c++) {
                size_t panel = ((size_t)(o / PT_AMX_COLUMNS) * (size_t)steps + (size_t)(c / PT_AMX_DEPTH)) *
                                   (size_t)taps +
                               (size_t)t;
                packed[panel * PT_AMX_PANEL + place(o % PT_AMX_COLUMNS, c % PT_AMX_DEPTH)] =
                    weights[((size_t)o * (size_t)taps + (size_t)t) * (size_t)channels + (size_t)c];
            }
        }
    }
}
