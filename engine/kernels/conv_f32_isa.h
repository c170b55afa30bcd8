/* The versions of the FP32 kernels, for conv_f32.c to choose from. Those beyond plain C are there only where
 * PANTILE_HAVE_AVX2 and PANTILE_HAVE_AVX512 say so. */
#ifndef PANTILE_ENGINE_KERNELS_CONV_F32_ISA_H
#define PANTILE_ENGINE_KERNELS_CONV_F32_ISA_H

#include "engine/kernels/conv_f32.h"

extern const pt_f32_kernels pt_f32_kernels_c;
extern const pt_f32_kernels pt_f32_kernels_avx2;
extern const pt_f32_kernels pt_f32_kernels_avx512;

#endif
