/* The one allocator. Every allocation of ours goes through it, so that a test can make any of them fail.
 *
 * All functions are thread-safe. Blocks are freed by pt_free (which is free) alone. A size of 0 gives a valid
 * pointer to nothing. Failure returns NULL; callers turn it into PT_E_NOMEM with PT_NOMEM. */
#ifndef PANTILE_TILING_BASE_ALLOC_H
#define PANTILE_TILING_BASE_ALLOC_H

#include "tiling/base/status.h"

#include <stddef.h>

enum { PT_ALIGNMENT = 64 }; /* bytes: one cache line, one AVX-512 register */

void *pt_alloc(size_t count, size_t size);                /* uninitialised; overflow of the product fails */
void *pt_calloc(size_t count, size_t size);               /* zeroed */
void *pt_realloc(void *block, size_t count, size_t size); /* on failure `block` stays valid */
void *pt_alloc_aligned(size_t count, size_t size);        /* at PT_ALIGNMENT, uninitialised */
char *pt_strdup(const char *text);
char *pt_asprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void pt_free(void *block);

/* Grows *items (an array of `size`-byte items) to hold `wanted` items, at least doubling *capacity. */
pt_status pt_grow(void *items_pointer, size_t *capacity, size_t wanted, size_t size);

/* For tests: the n-th allocation from now (0 is the next) fails, and all after it until the hook is cleared
 * with a negative n. Not for use while other threads allocate. pt_alloc_count tells how many were asked for.
 */
void pt_alloc_fail_after(long n);
long pt_alloc_count(void);

#define PT_NOMEM(what) pt_error(PT_E_NOMEM, "out of memory for %s", (what))

#endif
