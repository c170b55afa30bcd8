/* OpenBLAS picks its kernels by a table of CPU models. A version older than the CPU may fall back to kernels
 * for narrower vectors without a word: 0.3.21 takes "Prescott" on a Sapphire Rapids Xeon, where one core does
 * 39 GFLOP/s of SGEMM in place of 195. What the choice is worth on one core of an AMD Zen 5 (256 x 512 x
 * 2304): "Haswell" and "Zen" 111 GFLOP/s, "SkylakeX" 201, "Cooperlake", which 0.3.21 rightly takes there,
 * 210. */
#include "engine/backend/backend.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++) {
        if (strcmp(name, *names) == 0) {
            return true;
        }
    }
    return false;
}

const char *pt_blas_core_wanted(void)
{
    static const char *const wide[] = {"SkylakeX", "Cooperlake", "Sapphirerapids", NULL};
    static const char *const middle[] = {"Haswell", "Zen", NULL};
    const char *set = getenv("OPENBLAS_CORETYPE");
    const char *core = openblas_get_corename();
    if ((set && *set) || !core || is_one_of(core, wide)) {
        return NULL;
    }
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        return "SkylakeX";
    }
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return avx2 && !is_one_of(core, middle) ? "Haswell" : NULL;
}

#else

const char *pt_blas_core_wanted(void)
{
    return NULL;
}

#endif
