/* Which instruction sets the kernels may use. Every version of a kernel computes the same bits as the plain C
 * one, so the level changes the speed alone: FMA is used where the C code says fmaf, sums run in one order.
 */
#ifndef PANTILE_ENGINE_KERNELS_CPU_H
#define PANTILE_ENGINE_KERNELS_CPU_H

/* Each level includes those before it. */
typedef enum pt_isa {
    PT_ISA_C,
    PT_ISA_AVX2,   /* with FMA and F16C */
    PT_ISA_AVX512, /* F, BW, VL, DQ */
    PT_ISA_VNNI,   /* AVX512_VNNI */
    PT_ISA_AMX,    /* AMX_TILE and AMX_INT8, granted by the kernel */
} pt_isa;

/* What this CPU and the build (PANTILE_SIMD) have, lowered by the environment variable PANTILE_ISA ("c",
 * "avx2", "avx512", "vnni", "amx"), for tests and comparisons; read once. Thread-safe. */
pt_isa pt_isa_best(void);
const char *pt_isa_name(pt_isa isa);

#endif
