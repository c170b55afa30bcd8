#include "worker/supervise/supervise.h"

#include "coordinator/protocol/door.h"
#include "worker/supervise/spawn.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS_MAX = 1024, SLOT_BYTES = 16 };

/* Seconds. */
static const double first_pause = 0.1, longest_pause = 10;
static const double longest_sleep = 1;  /* while hangs are looked for */
static const double longest_turn = 2;   /* a longer one was sleep: of the process or of the machine */
static const double reap_first = 0.001; /* a child that has closed its pipe is about to end; then twice ... */
static const double reap_every = 0.02;  /* ... as long each time, up to this ... */
static const double reap_for = 5;       /* ... or is made to */

typedef enum slot_state {
    SLOT_PAUSING, /* to be started at `due` */
    SLOT_RUNNING,
    SLOT_CLOSING, /* its pipe is closed: it ends, or is killed at `due` */
    SLOT_OVER,
} slot_state;

typedef struct slot {
    slot_state state;
    char name[2 * SLOT_BYTES + 1]; /* hexadecimal */
    pt_child child;
    double due;
    double look;   /* SLOT_CLOSING: seconds until the next look */
    double silent; /* seconds awake since its last beat */
    bool beaten;
    int deaths; /* in a row */
    double pause;
} slot;

typedef struct supervisor {
    const pt_supervise_options *options;
    slot *slots;          /* owned; options->workers of them */
    struct pollfd *polls; /* owned; one more, for wake_fd */
    int count;
    int drain;     /* as far as it was acted on */
    int64_t again; /* processes that wanted a fresh one */
    double now;
    pt_status failure; /* why the first was given up */
    pt_supervise_report report;
} supervisor;

pt_supervise_options pt_supervise_defaults(void)
{
    return (pt_supervise_options){
        .program = "/proc/self/exe", .workers = 1, .first_device = -1, .stall_seconds = 30, .wake_fd = -1};
}

static double monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- the life of a slot --- */

static void end_slot(slot *s, int *count)
{
    s->state = SLOT_OVER;
    ++*count;
}

static void give_up(supervisor *v, slot *s, pt_status why)
{
    end_slot(s, &v->report.given_up);
    if (v->failure.code == PT_OK) {
        v->failure = why;
    }
}

static void start(supervisor *v, slot *s)
{
    int index = (int)(s - v->slots);
    pt_status status = pt_spawn(v->options, index, s->name, &s->child);
    if (status.code == PT_E_NOMEM && s->deaths < PT_DEATHS_AT_START) {
        s->deaths++; /* it may pass */
        s->pause = fmin(2 * s->pause, longest_pause);
        s->due = v->now + s->pause;
        return;
    }
    if (status.code != PT_OK) {
        give_up(v, s, status);
        return;
    }
    v->report.started++;
    s->state = SLOT_RUNNING;
    s->silent = 0;
    s->beaten = false;
}

static void pause_slot(supervisor *v, slot *s, double pause)
{
    s->state = SLOT_PAUSING;
    s->due = v->now + pause;
}

static void describe_end(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status)) {
        snprintf(out, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        snprintf(out, size, "exit code %d", WEXITSTATUS(status));
    }
}

static void mourn(supervisor *v, slot *s, int status)
{
    char how[64];
    describe_end(status, how, sizeof how);
    v->report.died++;
    s->deaths++;
    int most = s->beaten ? PT_DEATHS_IN_A_ROW : PT_DEATHS_AT_START;
    if (s->deaths >= most) {
        give_up(
            v, s,
            pt_error(PT_E_INTERNAL,
                     "worker %d died %d times in a row without finishing a tile, the last time by %s; its "
                     "messages above say more",
                     (int)(s - v->slots), s->deaths, how));
        return;
    }
    PT_WARN("a worker died, another takes its place", PT_I("worker", s - v->slots), PT_S("by", how),
            PT_I("in a row", s->deaths));
    pause_slot(v, s, s->pause);
    s->pause = fmin(2 * s->pause, longest_pause);
}

static int slots_left(const supervisor *v)
{
    int left = 0;
    for (int i = 0; i < v->count; i++) {
        left += v->slots[i].state != SLOT_OVER;
    }
    return left;
}

static void start_afresh(supervisor *v, slot *s, int status)
{
    if (++v->again == 1) {
        pause_slot(v, s, 0);
    } else if (slots_left(v) > 1) {
        PT_WARN("workers run out of memory: one less from now on", PT_I("workers", slots_left(v) - 1));
        end_slot(s, &v->report.given_up);
    } else {
        mourn(v, s, status);
    }
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void bury(supervisor *v, slot *s, int status)
{
    close_fd(&s->child.beat);
    close_fd(&s->child.door);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code == 0 || v->drain != 0) {
        end_slot(s, &v->report.done);
    } else if (code == PT_WORKER_EXIT_REFUSED) {
        end_slot(s, &v->report.refused);
    } else if (code == PT_WORKER_EXIT_LOST) {
        end_slot(s, &v->report.lost);
    } else if (code == PT_WORKER_EXIT_AGAIN) {
        start_afresh(v, s, status);
    } else {
        mourn(v, s, status);
    }
}

/* Looks whether the child has ended. */
static void reap(supervisor *v, slot *s)
{
    int status = 0;
    pid_t got;
    do {
        got = waitpid(s->child.pid, &status, WNOHANG);
    } while (got < 0 && errno == EINTR);
    if (got == 0) {
        s->look = fmin(2 * s->look, reap_every);
        if (v->now >= s->due) {
            kill(s->child.pid, SIGKILL);
        }
        return;
    }
    bury(v, s, got < 0 ? 0xff00 : status); /* somebody else has waited for it: how it ended is not known */
}

static void take_beats(supervisor *v, slot *s)
{
    char beats[64];
    for (;;) {
        ssize_t got = read(s->child.beat, beats, sizeof beats);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            if (got == 0) { /* closed: the child is gone, or will be */
                s->state = SLOT_CLOSING;
                s->due = v->now + reap_for;
                s->look = reap_first;
            }
            return;
        }
        s->silent = 0;
        s->beaten = true;
        if (memchr(beats, PT_BEAT_SETTLED, (size_t)got)) {
            s->deaths = 0;
            s->pause = first_pause;
        }
    }
}

/* --- all of them --- */

static void obey(supervisor *v)
{
    int wanted = v->options->drain ? atomic_load(v->options->drain) : 0;
    for (int i = 0; i < v->count && wanted > v->drain; i++) {
        slot *s = &v->slots[i];
        if (s->state == SLOT_RUNNING || s->state == SLOT_CLOSING) {
            kill(s->child.pid, wanted == 1 ? SIGUSR1 : SIGKILL);
            close_fd(&s->child.door); /* who still waits there cannot hear a signal */
        } else if (s->state == SLOT_PAUSING) {
            end_slot(s, &v->report.done);
        }
    }
    v->drain = wanted > v->drain ? wanted : v->drain;
}

/* What a child does not take, for it is dead, its successor is told. */
static void open_doors(supervisor *v)
{
    const pt_supervise_door *door = v->options->door;
    for (int i = 0; door && atomic_load(&door->open) && i < v->count; i++) {
        pt_child *child = &v->slots[i].child;
        if (child->door >= 0) {
            (void)pt_door_tell(child->door, door->endpoint, door->keys, door->server);
            close_fd(&child->door);
        }
    }
}

static void mind_slot(supervisor *v, slot *s, double passed)
{
    switch (s->state) {
    case SLOT_PAUSING:
        if (v->now >= s->due) {
            start(v, s);
        }
        break;
    case SLOT_RUNNING:
        s->silent += passed;
        if (v->options->stall_seconds > 0 && s->silent > v->options->stall_seconds) {
            PT_WARN("a worker hangs and is killed", PT_I("worker", s - v->slots), PT_F("seconds", s->silent));
            v->report.killed++;
            kill(s->child.pid, SIGKILL);
            s->silent = 0;
        }
        break;
    case SLOT_CLOSING:
        reap(v, s);
        break;
    case SLOT_OVER:
        break;
    }
}

static double next_due(const supervisor *v)
{
    double due = v->options->stall_seconds > 0 ? longest_sleep : 3600;
    for (int i = 0; i < v->count; i++) {
        const slot *s = &v->slots[i];
        double wait = s->state == SLOT_PAUSING   ? fmax(s->due - v->now, 0)
                      : s->state == SLOT_CLOSING ? s->look
                                                 : due;
        due = fmin(due, wait);
    }
    return due;
}

static void drop_rings(int fd)
{
    uint64_t rings[8]; /* an eventfd wants at least eight bytes */
    (void)!read(fd, rings, sizeof rings);
}

/* Sleeps until a beat, an end, a wish, or time. Beats are read before silence is judged. */
static void wait_and_listen(supervisor *v)
{
    for (int i = 0; i < v->count; i++) {
        bool running = v->slots[i].state == SLOT_RUNNING;
        v->polls[i] = (struct pollfd){.fd = running ? v->slots[i].child.beat : -1, .events = POLLIN};
    }
    v->polls[v->count] = (struct pollfd){.fd = v->options->wake_fd, .events = POLLIN};
    int ready = poll(v->polls, (nfds_t)v->count + 1, (int)ceil(1000 * next_due(v)));
    double now = monotonic(), passed = fmin(now - v->now, longest_turn);
    v->now = now;
    if (ready > 0 && v->polls[v->count].revents) {
        drop_rings(v->options->wake_fd);
    }
    for (int i = 0; i < v->count; i++) {
        if (ready > 0 && v->polls[i].revents) {
            take_beats(v, &v->slots[i]);
        }
        mind_slot(v, &v->slots[i], passed);
    }
}

static pt_status prepare(supervisor *v)
{
    const pt_supervise_options *o = v->options;
    uint8_t id[SLOT_BYTES];
    if (!o->program || o->workers < 1 || o->workers > WORKERS_MAX || !(o->stall_seconds >= 0)) {
        return pt_error(PT_E_USAGE, "a supervisor needs a program and 1 to %d workers, not %d", WORKERS_MAX,
                        o->workers);
    }
    v->slots = pt_calloc((size_t)o->workers, sizeof *v->slots);
    v->polls = pt_calloc((size_t)o->workers + 1, sizeof *v->polls);
    if (!v->slots || !v->polls) {
        return PT_NOMEM("the supervisor");
    }
    if (getrandom(id, sizeof id, 0) != (ssize_t)sizeof id) {
        return pt_error(PT_E_INTERNAL, "no random numbers: %s", strerror(errno));
    }
    v->count = o->workers;
    for (int i = 0; i < v->count; i++) {
        slot *s = &v->slots[i];
        id[SLOT_BYTES - 2] = (uint8_t)i;
        id[SLOT_BYTES - 1] = (uint8_t)(i >> 8);
        for (int k = 0; k < SLOT_BYTES; k++) {
            snprintf(s->name + (size_t)2 * (size_t)k, 3, "%02x", id[k]);
        }
        s->child.beat = s->child.door = -1;
        s->pause = first_pause;
    }
    return pt_ok();
}

static pt_status judge(const supervisor *v)
{
    const pt_supervise_report *r = &v->report;
    if (r->done > 0 || v->drain != 0) {
        return pt_ok();
    }
    if (v->failure.code != PT_OK) {
        return v->failure;
    }
    return r->refused > 0 ? pt_error(PT_E_INPUT, "the coordinator refused the workers of this machine; their "
                                                 "messages above say why")
                          : pt_error(PT_E_STOPPED, "the workers of this machine have lost the coordinator");
}

pt_status pt_supervise(const pt_supervise_options *options, pt_supervise_report *report)
{
    supervisor v = {.options = options};
    pt_status status = prepare(&v);
    if (status.code == PT_OK) {
        v.now = monotonic();
        obey(&v);
        while (slots_left(&v) > 0) {
            wait_and_listen(&v);
            obey(&v);
            open_doors(&v);
        }
        status = judge(&v);
    }
    pt_free(v.slots);
    pt_free(v.polls);
    if (report) {
        *report = v.report;
    }
    return status;
}
