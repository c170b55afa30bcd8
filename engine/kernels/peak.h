/* Loops that do nothing but multiply and add, in registers: what one core can do at the most, against which
 * layers are measured.
 *
 * Every product is 1, so a loop returns how many multiply-adds it did as counted by its own sums: an
 * operation that was not done is not counted. */
#ifndef PANTILE_ENGINE_KERNELS_PEAK_H
#define PANTILE_ENGINE_KERNELS_PEAK_H

#include <stdint.h>

/* The most rounds of a call: beyond it floats no longer count by ones. */
enum { PT_PEAK_ROUNDS = 1 << 20 };

typedef int64_t pt_peak_loop(int rounds);

typedef struct pt_peak {
    const char *f32_name, *u8_name; /* instructions: "vfmadd231ps zmm", "vpdpbusd zmm" */
    pt_peak_loop *f32;              /* products and sums of floats */
    pt_peak_loop *u8;               /* products of bytes, exact sums of 32 bits */
} pt_peak;

/* The loops of the widest vectors that pt_isa_best() allows. */
pt_peak pt_peak_best(void);

pt_peak_loop pt_peak_f32_c, pt_peak_u8_c;
pt_peak_loop pt_peak_f32_avx2, pt_peak_u8_avx2;
pt_peak_loop pt_peak_f32_avx512, pt_peak_u8_avx512;
pt_peak_loop pt_peak_u8_vnni, pt_peak_u8_amx;

#endif
