#include "engine/kernels/peak.h"

#include "engine/kernels/cpu.h"

enum { LANES = 64 }; /* independent sums: enough for every latency, few enough for registers */

/* The compiler shall not know that they are ones. */
static volatile float one_f32 = 1;
static volatile int32_t one_s32 = 1;

int64_t pt_peak_f32_c(int rounds)
{
    float sum[LANES] = {0}, one = one_f32;
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < LANES; i++) {
            sum[i] = sum[i] * one + one;
        }
    }
    int64_t all = 0;
    for (int i = 0; i < LANES; i++) {
        all += (int64_t)sum[i];
    }
    return all;
}

int64_t pt_peak_u8_c(int rounds)
{
    int32_t sum[LANES] = {0}, one = one_s32;
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < LANES; i++) {
            sum[i] = sum[i] * one + one;
        }
    }
    int64_t all = 0;
    for (int i = 0; i < LANES; i++) {
        all += sum[i];
    }
    return all;
}

pt_peak pt_peak_best(void)
{
    pt_peak peak = {"C, floats", "C, integers", pt_peak_f32_c, pt_peak_u8_c};
    pt_isa isa = pt_isa_best();
    (void)isa; /* where the build has no vectors */
#ifdef PANTILE_HAVE_AVX2
    if (isa >= PT_ISA_AVX2) {
        peak = (pt_peak){"vfmadd231ps ymm", "vpmaddwd ymm", pt_peak_f32_avx2, pt_peak_u8_avx2};
    }
#endif
#ifdef PANTILE_HAVE_AVX512
    if (isa >= PT_ISA_AVX512) {
        peak = (pt_peak){"vfmadd231ps zmm", "vpmaddwd zmm", pt_peak_f32_avx512, pt_peak_u8_avx512};
    }
#endif
#ifdef PANTILE_HAVE_VNNI
    if (isa >= PT_ISA_VNNI) {
        peak.u8_name = "vpdpbusd zmm";
        peak.u8 = pt_peak_u8_vnni;
    }
#endif
#ifdef PANTILE_HAVE_AMX
    if (isa >= PT_ISA_AMX) {
        peak.u8_name = "tdpbusd";
        peak.u8 = pt_peak_u8_amx;
    }
#endif
    return peak;
}
