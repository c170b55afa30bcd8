#include "engine/kernels/conv_f32_isa.h"

const pt_f32_kernels *pt_f32_kernels_for(pt_isa isa)
{
#ifdef PANTILE_HAVE_AVX512
    if (isa >= PT_ISA_AVX512) {
        return &pt_f32_kernels_avx512;
    }
#endif
#ifdef PANTILE_HAVE_AVX2
    if (isa >= PT_ISA_AVX2) {
        return &pt_f32_kernels_avx2;
    }
#endif
    (void)isa;
    return &pt_f32_kernels_c;
}
