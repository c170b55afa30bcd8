#include "engine/backend/native/native_f32.h"

pt_status pt_native_f32_new(const pt_conv_spec *spec, pt_conv_weights *weights, pt_isa isa, pt_conv **out)
{
    const bool depthwise = spec->groups == spec->in_channels && spec->groups == spec->out_channels;
    if (depthwise && spec->groups > 1 && spec->add == PT_ADD_NONE) {
        return pt_native_f32_depthwise_new(spec, weights, isa, out);
    }
    return pt_native_f32_direct_new(spec, weights, isa, out);
}
