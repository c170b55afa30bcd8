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
