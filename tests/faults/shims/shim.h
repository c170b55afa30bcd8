/* What the preloaded shims share: the real function behind one, a file's path, a counter that outlives kill
 * -9. Each function here is used by one shim or more. */
#ifndef PANTILE_TESTS_FAULTS_SHIM_H
#define PANTILE_TESTS_FAULTS_SHIM_H

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static inline void *shim_next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        _exit(99);
    }
    return found;
}

/* The counter in the file of 8 bytes that PANTILE_SHIM_COUNT names, shared by all processes that map it. */
static inline _Atomic uint64_t *shim_counter(void)
{
    const char *path = getenv("PANTILE_SHIM_COUNT");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) {
        return NULL;
    }
    void *map = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return map == MAP_FAILED ? NULL : map;
}

/* Empty when it has none. */
static inline void shim_path(int fd, char path[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = '\0';
}

#endif
