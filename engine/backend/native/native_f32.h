/* FP32 layers of the native backend. pt_native_f32_new picks one of the others by the layer's channels and
 * window alone, so the choice, and with it every bit of the result, is the same on all machines.
 *
 * Direct and depthwise layers sum as kernels/conv_f32.h says; Winograd layers sum channels in rising order in
 * the transformed domain. */
#ifndef PANTILE_ENGINE_BACKEND_NATIVE_NATIVE_F32_H
#define PANTILE_ENGINE_BACKEND_NATIVE_NATIVE_F32_H

#include "engine/backend/native/internal.h"

pt_native_new pt_native_f32_new;
pt_native_new pt_native_f32_direct_new;    /* every layer */
pt_native_new pt_native_f32_depthwise_new; /* one input channel per output channel, nothing added */
pt_native_new pt_native_f32_winograd_new;  /* 3x3, stride 1, pad 1, channels in multiples of 16 */

#endif
