#include "engine/kernels/cpu.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(PANTILE_SIMD) && defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel gives a process the memory for AMX tiles only when it asks: Documentation/arch/x86/xstate.rst of
 * Linux. */
static bool amx_granted(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

/* CPUID leaf 7, EDX: bit 24 AMX-TILE, bit 25 AMX-INT8. __builtin_cpu_supports of GCC 12 does not know them.
 */
static bool has_amx(void)
{
    unsigned a = 7, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return (d >> 24 & 3) == 3;
}

static pt_isa detect(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        return PT_ISA_C;
    }
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
        return PT_ISA_AVX2;
    }
    if (!__builtin_cpu_supports("avx512vnni")) {
        return PT_ISA_AVX512;
    }
    return has_amx() && amx_granted() ? PT_ISA_AMX : PT_ISA_VNNI;
}
#else
static pt_isa detect(void)
{
    return PT_ISA_C;
}
#endif

static const char *const names[] = {"c", "avx2", "avx512", "vnni", "amx"};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pt_isa best;

static void find_best(void)
{
    best = detect();
    const char *limit = getenv("PANTILE_ISA");
    for (int i = 0; limit && i < (int)(sizeof names / sizeof *names); i++) {
        if (strcmp(limit, names[i]) == 0 && (pt_isa)i < best) {
            best = (pt_isa)i;
        }
    }
}

pt_isa pt_isa_best(void)
{
    pthread_once(&once, find_best);
    return best;
}

const char *pt_isa_name(pt_isa isa)
{
    return names[isa];
}
