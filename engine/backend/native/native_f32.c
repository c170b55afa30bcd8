#include "engine/backend/native/native_f32.h"

static bool is_winograd(const pt_conv_spec *s)
{
    return s->kernel_h == 3 && s->kernel_w == 3 && s->stride == 1 && s->pad == 1 && s->groups == 1 &&
           s->in_channels % 16 == 0 && s->out_channels % 16 == 0 && s->in_channels >= 64;
}

pt_status pt_native_f32_new(const pt_conv_spec *spec, pt_conv_weights *weights, pt_isa isa, pt_conv **out)
{
    const bool depthwise = spec->groups == spec->in_channels && spec->groups == spec->out_channels;
    if (depthwise && spec->groups > 1 && spec->add == PT_ADD_NONE) {
        return pt_native_f32_depthwise_new(spec, weights, isa, out);
    }
    if (is_winograd(spec)) {
        return pt_native_f32_winograd_new(spec, weights, isa, out);
    }
    return pt_native_f32_direct_new(spec, weights, isa, out);
}
