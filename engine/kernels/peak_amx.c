#include "engine/kernels/peak.h"

#include <immintrin.h>
#include <string.h>

/* Intel's Architecture Instruction Set Extensions reference, chapter 3: the shape of the 8 tiles. */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

enum { ROWS = 16, ROW_BYTES = 64 };

/* GCC 12's intrinsics do not tell the compiler which memory they read and write: the configuration is
 * constant data and the rest is fenced, or stores would be dropped. */
static const _Alignas(64) tile_config config = {
    .palette = 1,
    .row_bytes = {ROW_BYTES, ROW_BYTES, ROW_BYTES, ROW_BYTES, ROW_BYTES, ROW_BYTES, ROW_BYTES, ROW_BYTES},
    .rows = {ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS},
};

static inline void fence(void)
{
    __asm__ volatile("" ::: "memory");
}

/* Six sums, 0 to 5, against a latency of about 52 cycles at one tdpbusd in 16. */
int64_t pt_peak_u8_amx(int rounds)
{
    uint8_t ones[ROWS][ROW_BYTES];
    int32_t sums[6][ROWS][ROW_BYTES / 4];
    memset(ones, 1, sizeof ones);
    __asm__ volatile("" : : "r"(ones), "r"(sums) : "memory");
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_loadd(6, ones, ROW_BYTES);
    _tile_loadd(7, ones, ROW_BYTES);
    for (int r = 0; r < rounds; r++) {
        _tile_dpbusd(0, 6, 7);
        _tile_dpbusd(1, 6, 7);
        _tile_dpbusd(2, 6, 7);
        _tile_dpbusd(3, 6, 7);
        _tile_dpbusd(4, 6, 7);
        _tile_dpbusd(5, 6, 7);
    }
    _tile_stored(0, sums[0], ROW_BYTES);
    _tile_stored(1, sums[1], ROW_BYTES);
    _tile_stored(2, sums[2], ROW_BYTES);
    _tile_stored(3, sums[3], ROW_BYTES);
    _tile_stored(4, sums[4], ROW_BYTES);
    _tile_stored(5, sums[5], ROW_BYTES);
    _tile_release();
    fence();
    int64_t all = 0;
    for (int i = 0; i < 6; i++) {
        for (int row = 0; row < ROWS; row++) {
            for (int lane = 0; lane < ROW_BYTES / 4; lane++) {
                all += sums[i][row][lane];
            }
        }
    }
    return all;
}
