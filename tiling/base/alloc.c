#include "tiling/base/alloc.h"

#include "tiling/base/checked.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The test hook is the only global state; a negative limit means off. */
static atomic_long allocations;
static atomic_long fail_at = -1;

static bool may_allocate(void)
{
    long n = atomic_fetch_add(&allocations, 1);
    long limit = atomic_load(&fail_at);
    return limit < 0 || n < limit;
}

static bool product(size_t count, size_t size, size_t *bytes)
{
    if (!pt_size_mul(count, size, bytes) || *bytes > (size_t)PTRDIFF_MAX - PT_ALIGNMENT) {
        return false;
    }
    if (*bytes == 0) {
        *bytes = 1;
    }
    return true;
}

void *pt_alloc(size_t count, size_t size)
{
    size_t bytes;
    return product(count, size, &bytes) && may_allocate() ? malloc(bytes) : NULL;
}

void *pt_calloc(size_t count, size_t size)
{
    size_t bytes;
    return product(count, size, &bytes) && may_allocate() ? calloc(1, bytes) : NULL;
}

void *pt_realloc(void *block, size_t count, size_t size)
{
    size_t bytes;
    return product(count, size, &bytes) && may_allocate() ? realloc(block, bytes) : NULL;
}

void *pt_alloc_aligned(size_t count, size_t size)
{
    size_t bytes;
    if (!product(count, size, &bytes) || !may_allocate()) {
        return NULL;
    }
    bytes = (bytes + PT_ALIGNMENT - 1) / PT_ALIGNMENT * PT_ALIGNMENT;
    return aligned_alloc(PT_ALIGNMENT, bytes);
}

char *pt_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = pt_alloc(bytes, 1);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

char *pt_asprintf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) {
        return NULL;
    }
    char *text = pt_alloc((size_t)length + 1, 1);
    if (text) {
        va_start(args, format);
        vsnprintf(text, (size_t)length + 1, format, args);
        va_end(args);
    }
    return text;
}

void pt_free(void *block)
{
    free(block);
}

pt_status pt_grow(void *items_pointer, size_t *capacity, size_t wanted, size_t size)
{
    if (wanted <= *capacity) {
        return pt_ok();
    }
    size_t doubled = *capacity > SIZE_MAX / 2 ? wanted : *capacity * 2;
    size_t next = doubled > wanted ? doubled : wanted;
    if (next < 8) {
        next = 8;
    }
    void *items;
    memcpy(&items, items_pointer, sizeof items);
    items = pt_realloc(items, next, size);
    if (!items) {
        return PT_NOMEM("a growing array");
    }
    memcpy(items_pointer, &items, sizeof items);
    *capacity = next;
    return pt_ok();
}

void pt_alloc_fail_after(long n)
{
    atomic_store(&fail_at, n < 0 ? -1 : atomic_load(&allocations) + n);
}

long pt_alloc_count(void)
{
    return atomic_load(&allocations);
}
