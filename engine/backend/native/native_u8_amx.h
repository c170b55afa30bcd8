/* Dense convolutions of bytes on matrix tiles. */
#ifndef PANTILE_ENGINE_BACKEND_NATIVE_NATIVE_U8_AMX_H
#define PANTILE_ENGINE_BACKEND_NATIVE_NATIVE_U8_AMX_H

#include "engine/backend/native/internal.h"
#include "engine/kernels/conv_u8_amx.h"

/* Whether tiles pay for such a layer: dense, of at least half a tile's depth. */
bool pt_native_u8_amx_suits(const pt_conv_spec *spec);
/* As pt_native_new, with the kernels to use (borrowed). */
pt_status pt_native_u8_amx_new(const pt_conv_spec *spec, pt_conv_weights *weights, const pt_k_amx *kernels,
                               pt_conv **out);

#endif
