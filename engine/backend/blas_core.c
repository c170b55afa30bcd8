/* OpenBLAS picks its kernels by the CPU's model number. Versions older than the CPU fall back to kernels for
 * narrower vectors without a word: measured with 0.3.21, SGEMM of 256 x 512 x 2304 on one core, "Haswell"
 * against "SkylakeX" on an AMD Zen 5: 111 against 201 GFLOP/s; "Prescott" against "SkylakeX" on a Sapphire
 * Rapids Xeon: 39 against 195. */
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
