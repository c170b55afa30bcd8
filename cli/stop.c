#include "cli/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* A handler may hardly do anything, so it only writes the signal's number into a pipe; a thread reads it and
 * does the rest. A second signal ends the process right there: the thread may wait for a terminal that takes
 * no lines any more. (Blocking the signals and waiting with sigwait would not do: libraries start threads
 * before main, OpenBLAS for one, and a signal to the process kills it through any thread that does not block
 * it.) */
static struct watch {
    pthread_mutex_t lock;
    int signal;
    pt_stop_function *stop;
    void *user;
    int pipe[2];
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER};

static atomic_int signals; /* that came so far */

static void note_signal(int number)
{
    int before = errno;
    unsigned char byte = (unsigned char)number;
    if (atomic_fetch_add(&signals, 1) > 0) {
        _exit(128 + number);
    }
    (void)!write(watch.pipe[1], &byte, 1);
    errno = before;
}

static void *wait_for_signals(void *user)
{
    (void)user;
    for (;;) {
        unsigned char number;
        if (read(watch.pipe[0], &number, 1) != 1) {
            continue;
        }
        pthread_mutex_lock(&watch.lock);
        watch.signal = number;
        if (watch.stop) {
            watch.stop(watch.user);
        }
        pthread_mutex_unlock(&watch.lock);
    }
    return NULL;
}

static int start_thread(void)
{
    pthread_t thread;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int error = pthread_create(&thread, &detached, wait_for_signals, NULL);
    pthread_attr_destroy(&detached);
    return error;
}

pt_status pt_stop_watch(void)
{
    if (pipe(watch.pipe) != 0) {
        return pt_error(PT_E_NOMEM, "no pipe for signals: %s", strerror(errno));
    }
    fcntl(watch.pipe[0], F_SETFD, FD_CLOEXEC);
    fcntl(watch.pipe[1], F_SETFD, FD_CLOEXEC);
    int error = start_thread();
    if (error) {
        return pt_error(PT_E_NOMEM, "no thread to wait for signals: %s", strerror(error));
    }
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    /* A reader of our lines that goes away must not kill a long job half-way. */
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    return pt_ok();
}

void pt_stop_drain_too(void)
{
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
}

static void leave(int number)
{
    _exit(128 + number);
}

void pt_stop_at_once(void)
{
    struct sigaction action = {.sa_handler = leave};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int pt_stop_signal(void)
{
    pthread_mutex_lock(&watch.lock);
    int number = watch.signal;
    pthread_mutex_unlock(&watch.lock);
    return number;
}

const char *pt_stop_name(int number)
{
    return number == SIGINT ? "SIGINT" : number == SIGTERM ? "SIGTERM" : "SIGUSR1";
}

void pt_stop_call(pt_stop_function *stop, void *user)
{
    pthread_mutex_lock(&watch.lock);
    watch.stop = stop;
    watch.user = user;
    if (stop && watch.signal) {
        stop(user);
    }
    pthread_mutex_unlock(&watch.lock);
}

pt_status pt_stop_check(void)
{
    int number = pt_stop_signal();
    return number ? pt_error(PT_E_STOPPED, "stopped by %s; nothing was written", pt_stop_name(number))
                  : pt_ok();
}
