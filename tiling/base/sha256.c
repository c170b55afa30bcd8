/* SHA-256 as FIPS 180-4 defines it (section 6.2); the names of the working variables are the standard's. */
#include "tiling/base/sha256.h"

#include "tiling/base/alloc.h"
#include "tiling/base/sha256_blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_CHUNK = 256 << 10 }; /* bytes at a time */

const uint32_t pt_sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void add_block(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[64];
    for (int t = 0; t < 16; t++) {
        const uint8_t *p = block + (size_t)4 * (size_t)t;
        w[t] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t++) {
        uint32_t sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + pt_sha256_constants[t] + w[t];
        uint32_t sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    const uint32_t sums[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++) {
        state[i] += sums[i];
    }
}

void pt_sha256_add_plain(uint32_t state[8], const uint8_t *blocks, size_t count)
{
    for (; count > 0; count--, blocks += 64) {
        add_block(state, blocks);
    }
}

void pt_sha256_init(pt_sha256 *sha)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(sha->state, start, sizeof start);
    sha->length = 0;
}

void pt_sha256_update(pt_sha256 *sha, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    pt_sha256_add *add = pt_sha256_add_best();
    size_t held = sha->length % 64;
    sha->length += size;
    if (held > 0) {
        size_t take = 64 - held < size ? 64 - held : size;
        if (take > 0) {
            memcpy(sha->block + held, p, take);
        }
        if (held + take < 64) {
            return;
        }
        add(sha->state, sha->block, 1);
        p += take;
        size -= take;
    }
    add(sha->state, p, size / 64);
    if (size % 64 > 0) {
        memcpy(sha->block, p + size / 64 * 64, size % 64);
    }
}

void pt_sha256_final(pt_sha256 *sha, uint8_t out[PT_SHA256_BYTES])
{
    uint64_t bits = sha->length * 8;
    static const uint8_t padding[64] = {0x80};
    size_t held = sha->length % 64;
    pt_sha256_update(sha, padding, held < 56 ? 56 - held : 120 - held);
    uint8_t length[8];
    for (int i = 0; i < 8; i++) {
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    }
    pt_sha256_update(sha, length, sizeof length);
    for (int i = 0; i < PT_SHA256_BYTES; i++) {
        out[i] = (uint8_t)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

void pt_sha256_hex(const uint8_t digest[PT_SHA256_BYTES], char out[PT_SHA256_HEX])
{
    for (int i = 0; i < PT_SHA256_BYTES; i++) {
        out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    out[PT_SHA256_HEX - 1] = '\0';
}

static uint8_t hex_digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

void pt_sha256_of_hex(const char hex[PT_SHA256_HEX], uint8_t out[PT_SHA256_BYTES])
{
    for (size_t i = 0; i < PT_SHA256_BYTES; i++) {
        out[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    }
}

static pt_status add_file(pt_sha256 *sha, int fd, uint8_t *chunk)
{
    for (;;) {
        ssize_t got = read(fd, chunk, FILE_CHUNK);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return pt_error(PT_E_READ, "%s", strerror(errno));
        }
        if (got == 0) {
            return pt_ok();
        }
        pt_sha256_update(sha, chunk, (size_t)got);
    }
}

pt_status pt_sha256_file(const char *path, uint8_t out[PT_SHA256_BYTES])
{
    /* Without O_NONBLOCK the opening of a pipe would wait for a writer before fstat can refuse it. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return pt_error(PT_E_INPUT, "%s: %s", path, strerror(errno));
    }
    pt_status status;
    uint8_t *chunk = NULL;
    struct stat about;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        status = pt_error(PT_E_INPUT, "%s: not a regular file", path);
        goto out;
    }
    chunk = pt_alloc(FILE_CHUNK, 1);
    if (!chunk) {
        status = PT_NOMEM("reading a file");
        goto out;
    }
    pt_sha256 sha;
    pt_sha256_init(&sha);
    status = pt_context(add_file(&sha, fd, chunk), "%s", path);
    if (status.code == PT_OK) {
        pt_sha256_final(&sha, out);
    }
out:
    pt_free(chunk);
    close(fd);
    return status;
}
