/* The versions that depthwise_u8.c chooses from. */
#ifndef PANTILE_ENGINE_KERNELS_DEPTHWISE_U8_VERSIONS_H
#define PANTILE_ENGINE_KERNELS_DEPTHWISE_U8_VERSIONS_H

#include "engine/kernels/depthwise_u8.h"

extern const pt_u8_depthwise_kernels pt_u8_depthwise_kernels_avx2;
extern const pt_u8_depthwise_kernels pt_u8_depthwise_kernels_vnni;

#endif
