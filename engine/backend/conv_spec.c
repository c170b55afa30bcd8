#include "engine/backend/backend.h"

#include "tiling/base/alloc.h"

void pt_conv_weights_free(pt_conv_weights *weights)
{
    pt_free(weights->f32);
    pt_free(weights->s8);
    pt_free(weights->scale);
    pt_free(weights->bias);
    *weights = (pt_conv_weights){0};
}

size_t pt_conv_rows(const pt_conv_spec *spec)
{
    return (size_t)spec->kernel_h * (size_t)spec->kernel_w * (size_t)(spec->in_channels / spec->groups);
}

pt_status pt_conv_spec_check(const pt_conv_spec *spec)
{
    if (spec->in_elem == PT_F32 && spec->out_elem == PT_U8) {
        return pt_error(PT_E_UNSUPPORTED, "a convolution of floats cannot write bytes; convert its output");
    }
    if (spec->in_elem == PT_U8 && pt_conv_rows(spec) > PT_U8_MOST_PRODUCTS) {
        return pt_error(PT_E_UNSUPPORTED,
                        "a convolution that sums %zu products exceeds 32 bits in INT8 (at most %d); compute "
                        "it in FP32",
                        pt_conv_rows(spec), PT_U8_MOST_PRODUCTS);
    }
    return pt_ok();
}
