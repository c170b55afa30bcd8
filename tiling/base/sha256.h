/* SHA-256 (FIPS 180-4): how models, scenes and jobs are told apart.
 *
 *   pt_sha256_init -> pt_sha256_update, any number of times -> pt_sha256_final
 * Values without heap memory; not thread-safe.
 */
#ifndef PANTILE_TILING_BASE_SHA256_H
#define PANTILE_TILING_BASE_SHA256_H

#include "tiling/base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { PT_SHA256_BYTES = 32, PT_SHA256_HEX = 65 /* digits and the end */ };

typedef struct pt_sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes so far */
    uint8_t block[64];
} pt_sha256;

void pt_sha256_init(pt_sha256 *sha);
void pt_sha256_update(pt_sha256 *sha, const void *bytes, size_t size); /* bytes may be NULL when size is 0 */
void pt_sha256_final(pt_sha256 *sha, uint8_t out[PT_SHA256_BYTES]);    /* sha must be initialised again */

/* A digest as lower-case text. */
void pt_sha256_hex(const uint8_t digest[PT_SHA256_BYTES], char out[PT_SHA256_HEX]);

/* The digest that such a text, which must be one, stands for. */
void pt_sha256_of_hex(const char hex[PT_SHA256_HEX], uint8_t out[PT_SHA256_BYTES]);

/* Of a regular file's bytes. PT_E_INPUT names the file when it is missing or no regular file, PT_E_READ when
 * it cannot be read to its end. */
pt_status pt_sha256_file(const char *path, uint8_t out[PT_SHA256_BYTES]);

#endif
