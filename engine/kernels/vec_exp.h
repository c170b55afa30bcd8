/* The steps of exp.h on vectors: the same bits. A vec_*.h comes before. */
#ifndef PANTILE_ENGINE_KERNELS_VEC_EXP_H
#define PANTILE_ENGINE_KERNELS_VEC_EXP_H

static inline vf vf_exp(vf x)
{
    const vf round = vf_set(PT_EXP_ROUND), low = vf_set(PT_EXP_LOW), high = vf_set(PT_EXP_HIGH);
    vf y = vf_min(high, vf_max(low, x));
    vf shifted = vf_add(vf_mul(y, vf_set(PT_EXP_PER_LN2)), round);
    vf n = vf_sub(shifted, round);
    vf r = vf_sub(y, vf_mul(n, vf_set(PT_EXP_LN2_HIGH)));
    r = vf_add(r, vf_mul(n, vf_set(PT_EXP_LN2_LESS)));
    vf p = vf_set(PT_EXP_C6);
    p = vf_add(vf_mul(p, r), vf_set(PT_EXP_C5));
    p = vf_add(vf_mul(p, r), vf_set(PT_EXP_C4));
    p = vf_add(vf_mul(p, r), vf_set(PT_EXP_C3));
    p = vf_add(vf_mul(p, r), vf_set(PT_EXP_C2));
    p = vf_add(vf_add(vf_mul(p, vf_mul(r, r)), r), vf_set(1));
    p = vf_zero_where_less(vf_scale(p, shifted, round), x, low);
    return vf_pick_where_greater(p, vf_set(pt_float_of_bits(0x7f800000u)), x, high);
}

static inline vf vf_sigmoid(vf x)
{
    return vf_div(vf_set(1), vf_add(vf_set(1), vf_exp(vf_sub(vf_set(0), x))));
}

#endif
