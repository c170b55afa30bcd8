#include "coordinator/protocol/bell.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

pt_status pt_bell_open(pt_bell *bell)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        return pt_error(PT_E_NOMEM, "cannot make an eventfd: %s", strerror(errno));
    }
    bell->fd = fd;
    atomic_init(&bell->woken, false);
    return pt_ok();
}

void pt_bell_close(pt_bell *bell)
{
    if (bell->fd >= 0) {
        close(bell->fd);
    }
    bell->fd = -1;
}

void pt_bell_notify(pt_bell *bell)
{
    int before = errno; /* a signal handler may stand here */
    /* It fails only when it rings already. */
    ssize_t ignored = write(bell->fd, &(uint64_t){1}, sizeof(uint64_t));
    (void)ignored;
    errno = before;
}

void pt_bell_wake(pt_bell *bell)
{
    atomic_store(&bell->woken, true);
    pt_bell_notify(bell);
}

bool pt_bell_take(pt_bell *bell)
{
    /* Looks before it writes: this is asked for every message. */
    return atomic_load_explicit(&bell->woken, memory_order_relaxed) && atomic_exchange(&bell->woken, false);
}

void pt_bell_hush(pt_bell *bell)
{
    uint64_t rings;
    ssize_t ignored = read(bell->fd, &rings, sizeof rings);
    (void)ignored;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t pt_deadline(int timeout_ms)
{
    return timeout_ms < 0 ? PT_FOREVER : now_ms() + timeout_ms;
}

int pt_deadline_left(int64_t deadline)
{
    if (deadline == PT_FOREVER) {
        return -1;
    }
    int64_t left = deadline - now_ms();
    return left <= 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

bool pt_bell_wait(pt_bell *bell, int64_t deadline)
{
    int left = pt_deadline_left(deadline);
    struct pollfd waits = {.fd = bell->fd, .events = POLLIN};
    int ready = poll(&waits, 1, left);
    if (ready > 0) {
        pt_bell_hush(bell);
    }
    /* A signal is like a ring: whoever waits looks again. */
    return ready > 0 || (ready < 0 && errno == EINTR) || left != 0;
}
