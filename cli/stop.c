#include "cli/stop.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct watch {
    pthread_mutex_t lock;
    int signal;
    pt_stop_function *stop;
    void *user;
    sigset_t signals;
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *wait_for_signals(void *user)
{
    (void)user;
    for (;;) {
        int number;
        if (sigwait(&watch.signals, &number) != 0) {
            continue;
        }
        pthread_mutex_lock(&watch.lock);
        bool second = watch.signal != 0;
        if (second) {
            _exit(128 + number);
        }
        watch.signal = number;
        if (watch.stop) {
            watch.stop(watch.user);
        }
        pthread_mutex_unlock(&watch.lock);
    }
    return NULL;
}

pt_status pt_stop_watch(void)
{
    pthread_t thread;
    pthread_attr_t detached;
    sigemptyset(&watch.signals);
    sigaddset(&watch.signals, SIGINT);
    sigaddset(&watch.signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &watch.signals, NULL);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int error = pthread_create(&thread, &detached, wait_for_signals, NULL);
    pthread_attr_destroy(&detached);
    return error ? pt_error(PT_E_NOMEM, "no thread to wait for signals: %s", strerror(error)) : pt_ok();
}

int pt_stop_signal(void)
{
    pthread_mutex_lock(&watch.lock);
    int number = watch.signal;
    pthread_mutex_unlock(&watch.lock);
    return number;
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
    return number ? pt_error(PT_E_STOPPED, "stopped by %s; nothing was written",
                             number == SIGINT ? "SIGINT" : "SIGTERM")
                  : pt_ok();
}
