/* Random FP32 layers and what they compute by definition. */
#ifndef PANTILE_TESTS_ENGINE_BACKEND_NATIVE_F32_CASE_H
#define PANTILE_TESTS_ENGINE_BACKEND_NATIVE_F32_CASE_H

#include "engine/backend/native/internal.h"
#include "tests/engine/kernels/random.h"

typedef struct f32_case {
    pt_conv_spec spec;
    pt_map in, summand, out; /* summand.data NULL: none */
    float *weights, *bias;
    float *chain; /* one fused multiply-add after the other, as kernels/conv_f32.h says */
    double *exact;
} f32_case;

/* A layer over n images of h x w; what lies behind the maps, and out, is not a number. The maps' window must
 * fit. summand_h, summand_w: of PT_ADD_UPSAMPLED. */
f32_case f32_case_new(randoms *r, const pt_conv_spec *spec, int n, int h, int w, int summand_h,
                      int summand_w);
void f32_case_free(f32_case *c);

/* Runs it by an implementation for `isa` on `threads` threads, the summand being the output itself when
 * in_place and PT_ADD_SAME. */
void f32_case_run(f32_case *c, pt_native_new *implementation, pt_isa isa, int threads, bool in_place);

#endif
