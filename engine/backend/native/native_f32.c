#include "engine/backend/native/native_f32.h"

pt_status pt_native_f32_new(const pt_conv_spec *spec, pt_conv_weights *weights, pt_isa isa, pt_conv **out)
{
    return pt_native_f32_direct_new(spec, weights, isa, out);
}
