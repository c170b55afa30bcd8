/* OpenBLAS picks its kernels by a table of CPU models. A version older than the CPU may fall back to kernels
 * for narrower vectors without a word: 0.3.21 takes "Prescott" on a Sapphire Rapids Xeon, where one core does
 * 39 GFLOP/s of SGEMM in place of 195. What the choice is worth on one core of an AMD Zen 5 (256 x 512 x
 * 2304): "Haswell" and "Zen" 111 GFLOP/s, "SkylakeX" 201, "Cooperlake", which 0.3.21 rightly takes there,
 * 210. */
#include "engine/backend/backend.h"

#include <cblas.h>
#include <stdlib.h>
#include <strings.h>

/* What OpenBLAS does itself before a fork; it starts them again when somebody needs them. Only a build with
 * threads of its own has it. */
#pragma weak blas_thread_shutdown_
int blas_thread_shutdown_(void);

void pt_blas_end_threads(void)
{
    if (blas_thread_shutdown_) {
        (void)blas_thread_shutdown_();
    }
}

/* Case is not the same in all versions: Sapphirerapids, SapphireRapids. */
static bool is_one_of(const char *name, const char *const *names)
{
    while (*names && strcasecmp(name, *names) != 0) {
        names++;
    }
    return *names != NULL;
}

const char *pt_blas_core_for(const char *core, bool avx512, bool avx2)
{
    static const char *const wide[] = {"SkylakeX", "Cooperlake", "SapphireRapids", NULL};
    static const char *const middle[] = {"Haswell", "Zen", NULL};
    if (is_one_of(core, wide)) {
        return NULL;
    }
    if (avx512) {
        return "SkylakeX";
    }
    return avx2 && !is_one_of(core, middle) ? "Haswell" : NULL;
}

#if defined(__x86_64__)

const char *pt_blas_core_wanted(void)
{
    const char *set = getenv("OPENBLAS_CORETYPE");
    const char *core = openblas_get_corename();
    if ((set && *set) || !core) {
        return NULL;
    }
    __builtin_cpu_init();
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return pt_blas_core_for(core, avx512, avx2);
}

#else

const char *pt_blas_core_wanted(void)
{
    return NULL;
}

#endif
