#include "engine/kernels/conv_f32_isa.h"
#include "engine/kernels/vec_avx512.h"

enum { ROWS = 14, VECTORS = 2 };
#define EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)

#include "engine/kernels/conv_f32_tmpl.h"
#include "engine/kernels/depthwise_f32_tmpl.h"
#include "engine/kernels/winograd_f32_tmpl.h"

const pt_f32_kernels pt_f32_kernels_avx512 = {
    .name = "avx512",
    .rows = ROWS,
    .tile = tile_any,
    .depthwise = depthwise_any,
    .winograd_in = winograd_in,
    .winograd_out = winograd_out,
};
