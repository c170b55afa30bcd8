/* What a supervisor starts in place of a worker: child __worker MODE FILE [N...] --slot S --beat-fd N ...
 * FILE gets a line for each start, "PID SLOT DEVICES", so that the child knows how often it was started.
 *
 *   ends N...   the n-th start ends by the n-th number, the last one ever after: 0 .. 255 is an exit code, -9
 * a signal; with 1000 added a tile is reported as settled before work        beats until SIGUSR1 or SIGTERM
 *   deaf        beats, whatever it is told
 *   hang        the first start beats once and hangs; later ones exit with 0
 *   tell        writes what it has inherited to FILE.tell and exits with 0
 */
#include "coordinator/protocol/door.h"
#include "worker/supervise/supervise.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t asked;

static void note(int signal)
{
    (void)signal;
    asked = 1;
}

static const char *value_of(int argc, char **argv, const char *name)
{
    for (int i = 0; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return argv[i + 1];
        }
    }
    return "";
}

/* Returns which start this is, from 1. */
static int sign_in(const char *path, const char *slot)
{
    const char *devices = getenv("CUDA_VISIBLE_DEVICES");
    FILE *file = fopen(path, "a+");
    if (!file) {
        exit(98);
    }
    fprintf(file, "%ld %s %s\n", (long)getpid(), slot, devices ? devices : "-");
    fflush(file);
    rewind(file);
    int lines = 0;
    for (int c = getc(file); c != EOF; c = getc(file)) {
        lines += c == '\n';
    }
    fclose(file);
    return lines;
}

static void beat(int fd, char what)
{
    (void)!write(fd, &what, 1);
}

static void end_by(int fd, const char *number)
{
    int how = atoi(number);
    if (how >= 500) {
        beat(fd, PT_BEAT_SETTLED);
        how -= 1000;
    }
    if (how < 0) {
        signal(-how, SIG_DFL);
        kill(getpid(), -how);
    }
    exit(how);
}

static void work(int fd, bool deaf)
{
    struct sigaction action = {.sa_handler = note};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    while (deaf || !asked) {
        beat(fd, PT_BEAT_ALIVE);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
}

static int count_open(int most)
{
    int open = 0;
    for (int fd = 3; fd < most; fd++) {
        open += fcntl(fd, F_GETFD) >= 0;
    }
    return open;
}

/* Where it is told to go; nothing if it is not. */
static void go(const char *path, int beat_fd, const char *door_fd)
{
    char name[4096];
    pt_door door = {.secure = false};
    beat(beat_fd, PT_BEAT_ALIVE);
    if (pt_door_hear(atoi(door_fd), NULL, NULL, &door).code == PT_OK) {
        snprintf(name, sizeof name, "%s.tell", path);
        FILE *file = fopen(name, "a");
        fprintf(file, "%s %s %s\n", door.endpoint, door.secure ? door.keys.secret : "none",
                door.secure ? door.server.text : "none");
        fclose(file);
    }
}

static void tell(const char *path, const char *keys_fd)
{
    char name[4096];
    snprintf(name, sizeof name, "%s.tell", path);
    int open = count_open(256);
    pt_key_pair keys = {.secret = "none"};
    pt_public_key server = {.text = "none"};
    if (keys_fd[0]) {
        bool has_server;
        pt_keys_load_fd(atoi(keys_fd), &keys, &server, &has_server);
    }
    struct sigaction interrupt;
    sigset_t blocked;
    sigaction(SIGINT, NULL, &interrupt);
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    FILE *file = fopen(name, "w");
    fprintf(file, "open %d, secret %s, server %s, INT %s, USR1 %s, TERM %s, HUP %s\n", open, keys.secret,
            server.text, interrupt.sa_handler == SIG_IGN ? "ignored" : "not ignored",
            sigismember(&blocked, SIGUSR1) ? "blocked" : "open",
            sigismember(&blocked, SIGTERM) ? "blocked" : "open",
            sigismember(&blocked, SIGHUP) ? "blocked" : "open");
    fclose(file);
}

int main(int argc, char **argv)
{
    if (argc < 4 || strcmp(argv[1], "__worker") != 0) {
        return 97;
    }
    alarm(120); /* whatever goes wrong in a test */
    const char *mode = argv[2];
    int fd = atoi(value_of(argc, argv, "--beat-fd"));
    int start = sign_in(argv[3], value_of(argc, argv, "--slot"));
    if (strcmp(mode, "ends") == 0) {
        int most = 0;
        while (4 + most < argc && strcmp(argv[4 + most], "--slot") != 0) {
            most++;
        }
        end_by(fd, argv[3 + (start < most ? start : most)]);
    } else if (strcmp(mode, "hang") == 0 && start == 1) {
        beat(fd, PT_BEAT_ALIVE);
        for (;;) {
            pause();
        }
    } else if (strcmp(mode, "work") == 0 || strcmp(mode, "deaf") == 0) {
        work(fd, strcmp(mode, "deaf") == 0);
    } else if (strcmp(mode, "tell") == 0) {
        tell(argv[3], value_of(argc, argv, "--keys-fd"));
    } else if (strcmp(mode, "go") == 0) {
        if (start == 0 && argc > 4 && strcmp(argv[4], "dies") == 0) {
            return 1; /* before it has heard anything */
        }
        go(argv[3], fd, value_of(argc, argv, "--door-fd"));
    }
    return 0;
}
