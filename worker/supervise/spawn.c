#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* _Fork */
#endif
#include "worker/supervise/spawn.h"

#include "coordinator/protocol/door.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FIXED_ARGUMENTS = 12, FD_TEXT = 12, DEVICE_TEXT = 64 };
static const char devices_name[] = "CUDA_VISIBLE_DEVICES";

extern char **environ;

/* What the child needs, made before the fork: after it only system calls are safe. */
typedef struct plan {
    const char *program;
    const char **arguments;   /* owned; ends in NULL */
    const char **environment; /* owned; ends in NULL */
    char beat_text[FD_TEXT], keys_text[FD_TEXT], door_text[FD_TEXT];
    char device_text[sizeof devices_name + DEVICE_TEXT];
    int beat, keys, door; /* inherited; -1: none */
    int told;             /* where it says why it could not start */
    pid_t parent;
} plan;

pt_status pt_device_choose(const char *list, int n, char *out, size_t size)
{
    if (!list) {
        snprintf(out, size, "%d", n);
        return pt_ok();
    }
    const char *at = list;
    for (int i = 0; i < n && at; i++) {
        at = strchr(at, ',');
        at = at ? at + 1 : NULL;
    }
    size_t length = at ? strcspn(at, ",") : 0;
    if (length == 0 || length >= size) {
        return pt_error(PT_E_USAGE, "%s is %s, which has no device for worker %d; start fewer workers",
                        devices_name, list, n);
    }
    memcpy(out, at, length);
    out[length] = '\0';
    return pt_ok();
}

int pt_supervise_first_device(const char *visible, int rank, int ranks, int workers)
{
    int64_t listed = visible && visible[0] ? 1 : 0;
    for (const char *c = listed ? visible : ""; *c; c++) {
        listed += *c == ',';
    }
    bool enough = listed > 1 && (int64_t)ranks * workers <= listed;
    return enough ? rank * workers : -1;
}

static pt_status make_arguments(const pt_supervise_options *o, const char *slot, plan *p)
{
    size_t n = 0;
    p->arguments = pt_calloc(o->argument_count + FIXED_ARGUMENTS, sizeof *p->arguments);
    if (!p->arguments) {
        return PT_NOMEM("a worker's arguments");
    }
    p->arguments[n++] = "pantile";
    p->arguments[n++] = "__worker";
    for (size_t i = 0; i < o->argument_count; i++) {
        p->arguments[n++] = o->arguments[i];
    }
    snprintf(p->beat_text, sizeof p->beat_text, "%d", p->beat);
    p->arguments[n++] = "--slot";
    p->arguments[n++] = slot;
    p->arguments[n++] = "--beat-fd";
    p->arguments[n++] = p->beat_text;
    if (p->keys >= 0) {
        snprintf(p->keys_text, sizeof p->keys_text, "%d", p->keys);
        p->arguments[n++] = "--keys-fd";
        p->arguments[n++] = p->keys_text;
    }
    if (p->door >= 0) {
        snprintf(p->door_text, sizeof p->door_text, "%d", p->door);
        p->arguments[n++] = "--door-fd";
        p->arguments[n++] = p->door_text;
    }
    return pt_ok();
}

static bool names_devices(const char *variable)
{
    return strncmp(variable, devices_name, sizeof devices_name - 1) == 0 &&
           variable[sizeof devices_name - 1] == '=';
}

static pt_status make_environment(const pt_supervise_options *o, int index, plan *p)
{
    size_t count = 0, n = 0;
    while (environ[count]) {
        count++;
    }
    p->environment = pt_calloc(count + 2, sizeof *p->environment);
    if (!p->environment) {
        return PT_NOMEM("a worker's environment");
    }
    for (size_t i = 0; i < count; i++) {
        if (o->first_device < 0 || !names_devices(environ[i])) {
            p->environment[n++] = environ[i];
        }
    }
    if (o->first_device >= 0) {
        char device[DEVICE_TEXT];
        PT_TRY(pt_device_choose(getenv(devices_name), o->first_device + index, device, sizeof device));
        snprintf(p->device_text, sizeof p->device_text, "%s=%s", devices_name, device);
        p->environment[n++] = p->device_text;
    }
    return pt_ok();
}

/* In the child. Every descriptor but the standard ones and those that are meant is closed by the exec. */
static void become(const plan *p)
{
    sigset_t until_ready;
    sigemptyset(&until_ready);
    sigaddset(&until_ready, SIGTERM);
    sigaddset(&until_ready, SIGUSR1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != p->parent) {
        _exit(127); /* it died before that could take effect */
    }
    syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
    const int inherited[] = {p->beat, p->keys, p->door};
    for (size_t i = 0; i < sizeof inherited / sizeof *inherited; i++) {
        if (inherited[i] >= 0) {
            fcntl(inherited[i], F_SETFD, 0);
        }
    }
    signal(SIGINT, SIG_IGN);
    sigprocmask(SIG_SETMASK, &until_ready, NULL);
    execve(p->program, (char *const *)p->arguments, (char *const *)p->environment);
    int error = errno;
    (void)!write(p->told, &error, sizeof error);
    _exit(127);
}

/* fork calls what libraries have registered for it, and PROJ's handler in the child waits for a mutex that
 * one of our other threads may hold, for ever. The child only makes system calls and executes the program,
 * which needs none of that. TSan has to see the fork. */
static pid_t fork_alone(void)
{
#if defined(__SANITIZE_THREAD__)
    return fork();
#else
    return _Fork();
#endif
}

/* No signal may reach the child while it has our handlers: they would speak in our name. */
static pid_t fork_silently(const plan *p)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork_alone();
    if (pid == 0) {
        become(p);
    }
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

static pt_status open_pipe(int ends[2])
{
    if (pipe(ends) != 0) {
        return pt_error(PT_E_NOMEM, "no pipe for a worker: %s", strerror(errno));
    }
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return pt_ok();
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* `told` becomes readable when the exec has closed it in the child, or an error has come. */
static pt_status start(plan *p, int *told, pid_t *out)
{
    p->parent = getpid();
    p->told = told[1];
    pid_t pid = fork_silently(p);
    if (pid < 0) {
        return pt_error(PT_E_NOMEM, "no process for a worker: %s", strerror(errno));
    }
    close_fd(&told[1]);
    int error = 0;
    ssize_t got;
    do {
        got = read(told[0], &error, sizeof error);
    } while (got < 0 && errno == EINTR);
    if (got == (ssize_t)sizeof error) {
        return pt_error(PT_E_INTERNAL, "%s: cannot be started: %s", p->program, strerror(error));
    }
    *out = pid;
    return pt_ok();
}

pt_status pt_spawn(const pt_supervise_options *options, int index, const char *slot, pt_child *out)
{
    int beat[2] = {-1, -1}, told[2] = {-1, -1}, door[2] = {-1, -1};
    plan p = {.program = options->program, .keys = -1, .door = -1};
    pid_t pid = 0;
    pt_status status;
    PT_TRY_OUT(open_pipe(beat));
    PT_TRY_OUT(open_pipe(told));
    fcntl(beat[0], F_SETFL, O_NONBLOCK);
    p.beat = beat[1];
    if (options->door) {
        PT_TRY_OUT(pt_door_pair(door));
        p.door = door[1];
    } else if (options->keys) {
        PT_TRY_OUT(pt_keys_to_fd(options->keys, options->server, &p.keys));
    }
    PT_TRY_OUT(make_arguments(options, slot, &p));
    PT_TRY_OUT(make_environment(options, index, &p));
    PT_TRY_OUT(start(&p, told, &pid));
    *out = (pt_child){pid, beat[0], door[0]};
    beat[0] = door[0] = -1;
out:
    for (int i = 0; i < 2; i++) {
        close_fd(&beat[i]);
        close_fd(&told[i]);
        close_fd(&door[i]);
    }
    close_fd(&p.keys);
    pt_free(p.arguments);
    pt_free(p.environment);
    return status;
}
