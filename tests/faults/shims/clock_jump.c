/* Preloaded by the fault tests: the wall clock jumps. While the file PANTILE_SHIM_JUMP exists, it tells a
 * time that is off by the seconds that the file holds, "-86400" or "31536000"; clocks that count from the
 * start are left alone. */
#define _GNU_SOURCE
#include "shim.h"

#include <sys/time.h>
#include <time.h>

typedef int clock_function(clockid_t, struct timespec *);

static long long jump(void)
{
    const char *path = getenv("PANTILE_SHIM_JUMP");
    char text[32];
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return 0;
    }
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length < 0 ? 0 : length] = '\0';
    return strtoll(text, NULL, 10);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    static clock_function *next;
    next = next ? next : (clock_function *)shim_next("clock_gettime");
    int code = next(clock, out);
    if (code == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        out->tv_sec += jump();
    }
    return code;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) {
        return -1;
    }
    *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}
