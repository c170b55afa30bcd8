/* Private to sha256.c: its inner loop on CPUs that have instructions for it. */
#ifndef PANTILE_TILING_BASE_SHA256_BLOCKS_H
#define PANTILE_TILING_BASE_SHA256_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

/* Adds `count` blocks of 64 bytes to the state. */
typedef void pt_sha256_add(uint32_t state[8], const uint8_t *blocks, size_t count);

extern const uint32_t pt_sha256_constants[64];

pt_sha256_add pt_sha256_add_plain;
/* The fastest that this CPU and build have; thread-safe. */
pt_sha256_add *pt_sha256_add_best(void);

#endif
