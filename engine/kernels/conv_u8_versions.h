/* The versions that conv_u8.c chooses from. */
#ifndef PANTILE_ENGINE_KERNELS_CONV_U8_VERSIONS_H
#define PANTILE_ENGINE_KERNELS_CONV_U8_VERSIONS_H

#include "engine/kernels/conv_u8.h"

extern const pt_u8_kernels pt_u8_kernels_avx2;
extern const pt_u8_kernels pt_u8_kernels_vnni;

#endif
