/* PT_CLONES before a function makes the compiler build it for several instruction sets; the loader picks by
 * CPU. Only for plain C loops without reductions, whose result is the same bytes whichever version runs
 * (floating-point contraction is off). */
#ifndef PANTILE_ENGINE_KERNELS_SIMD_H
#define PANTILE_ENGINE_KERNELS_SIMD_H

/* The resolver that picks a version runs before a sanitizer's runtime is ready, so instrumented builds have
 * none. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PT_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PT_SANITIZED 1
#endif

#if defined(PANTILE_SIMD) && defined(__x86_64__) && defined(__gnu_linux__) && !defined(PT_SANITIZED)
#define PT_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PT_CLONES
#endif

#endif
