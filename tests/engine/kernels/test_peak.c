/* The peak loops do the operations that they claim: their sums count them. */
#include "engine/kernels/cpu.h"
#include "engine/kernels/peak.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void expect(pt_peak_loop *loop, int64_t each_round)
{
    static const int rounds[] = {0, 1, 3, 1000, PT_PEAK_ROUNDS};
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
        assert_int_equal(loop(rounds[i]), each_round * rounds[i]);
    }
}

static void test_counts(void **state)
{
    (void)state;
    expect(pt_peak_f32_c, 64);
    expect(pt_peak_u8_c, 64);
#if defined(PANTILE_SIMD) && defined(__x86_64__)
    pt_isa isa = pt_isa_best();
    if (isa >= PT_ISA_AVX2) { /* sums times lanes times products of a lane */
        expect(pt_peak_f32_avx2, 12 * 8);
        expect(pt_peak_u8_avx2, 12 * 8 * 2);
    }
    if (isa >= PT_ISA_AVX512) {
        expect(pt_peak_f32_avx512, 24 * 16);
        expect(pt_peak_u8_avx512, 24 * 16 * 2);
    }
    if (isa >= PT_ISA_VNNI) {
        expect(pt_peak_u8_vnni, 24 * 16 * 4);
    }
    if (isa >= PT_ISA_AMX) {
        expect(pt_peak_u8_amx, 6 * 16 * 16 * 64);
    }
#endif
}

static void test_best(void **state)
{
    (void)state;
    pt_peak peak = pt_peak_best();
    assert_non_null(peak.f32_name);
    assert_non_null(peak.u8_name);
    assert_true(peak.f32(1) >= 64);
    assert_true(peak.u8(1) >= peak.f32(1));
    if (pt_isa_best() == PT_ISA_VNNI) {
        assert_ptr_equal(peak.f32, pt_peak_f32_avx512);
        assert_ptr_equal(peak.u8, pt_peak_u8_vnni);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts), cmocka_unit_test(test_best)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
