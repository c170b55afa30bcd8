/* Preloaded by the fault tests: reading certain bytes of one file fails with EIO, as a disk with a bad block
 * does.
 *
 *   PANTILE_SHIM_FILE    the file's full path
 *   PANTILE_SHIM_RANGE   "first-past": bytes that cannot be read
 *   PANTILE_SHIM_TIMES   so many reads fail, then all go well; not set: all fail. Counted in
 * PANTILE_SHIM_COUNT PANTILE_SHIM_COUNT   a file of 8 bytes, mapped and shared by all processes: reads that
 * failed
 */
#define _GNU_SOURCE
#include "shim.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

typedef ssize_t read_function(int, void *, size_t);
typedef ssize_t pread_function(int, void *, size_t, off_t);
typedef size_t fread_function(void *, size_t, size_t, FILE *);

static const char *file;
static unsigned long long first, past, times;
static _Atomic uint64_t *count;

__attribute__((constructor)) static void begin(void)
{
    const char *range = getenv("PANTILE_SHIM_RANGE"), *limit = getenv("PANTILE_SHIM_TIMES");
    count = shim_counter();
    if (!count || !range || sscanf(range, "%llu-%llu", &first, &past) != 2) {
        return;
    }
    times = limit ? strtoull(limit, NULL, 10) : ULLONG_MAX;
    file = getenv("PANTILE_SHIM_FILE");
}

static bool is_bad(int fd, off_t offset, size_t size)
{
    char path[PATH_MAX];
    if (!file || offset < 0 || (unsigned long long)offset >= past ||
        (unsigned long long)offset + size <= first) {
        return false;
    }
    shim_path(fd, path);
    if (strcmp(path, file) != 0 || atomic_fetch_add(count, 1) >= times) {
        return false;
    }
    errno = EIO;
    return true;
}

ssize_t read(int fd, void *bytes, size_t size)
{
    static read_function *next;
    next = next ? next : (read_function *)shim_next("read");
    if (file && is_bad(fd, lseek(fd, 0, SEEK_CUR), size)) {
        return -1;
    }
    return next(fd, bytes, size);
}

ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    static pread_function *next;
    next = next ? next : (pread_function *)shim_next("pread");
    return is_bad(fd, offset, size) ? -1 : next(fd, bytes, size, offset);
}

ssize_t pread64(int fd, void *bytes, size_t size, off_t offset)
{
    return pread(fd, bytes, size, offset); /* off_t has 64 bits here */
}

size_t fread(void *bytes, size_t size, size_t items, FILE *stream)
{
    static fread_function *next;
    next = next ? next : (fread_function *)shim_next("fread");
    /* GDAL reads files through stdio, whose own call of read() cannot be caught. */
    return file && is_bad(fileno(stream), ftello(stream), size * items) ? 0
                                                                        : next(bytes, size, items, stream);
}
