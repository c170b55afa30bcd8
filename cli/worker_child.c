/* pantile __worker: the process that a supervisor starts, and that does the work. */
#include "cli/worker.h"

#include "coordinator/protocol/door.h"
#include "worker/loop/loop.h"
#include "worker/supervise/supervise.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FRAME_MAX_SCENE = 64 << 20,               /* of a coordinator that sends no pixels: a job of many files */
    FRAME_MAX_PIXELS = (1 << 30) + (1 << 20), /* and of the largest tile's pixels */
};

#define AT(member) offsetof(pt_worker_settings, member)

/* clang-format off */
static const pt_option child_table[] = {
    {.name = "connect", .value = "URL", .kind = PT_OPTION_TEXT, .offset = AT(connect), .help = ""},
    {.name = "root", .value = "DIR", .kind = PT_OPTION_TEXT, .offset = AT(root), .help = ""},
    {.name = "allow-url", .value = "PREFIX", .kind = PT_OPTION_TEXTS, .offset = AT(urls), .help = ""},
    {.name = "driver", .value = "NAME", .kind = PT_OPTION_TEXTS, .offset = AT(drivers), .help = ""},
    {.name = "model", .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(model), .help = ""},
    {.name = "dump-tiles", .value = "DIR", .kind = PT_OPTION_TEXT, .offset = AT(dump_tiles), .help = ""},
    {.name = "threads", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(threads), .least = 1, .most = 1024, .help = ""},
    {.name = "no-scene", .kind = PT_OPTION_FLAG, .offset = AT(no_scene), .help = ""},
    {.name = "coordinator-timeout", .value = "S", .kind = PT_OPTION_REAL, .offset = AT(coordinator_timeout), .least = 0,
     .most = 1e9, .help = ""},
    {.name = "credit", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(credit), .least = 1, .most = PT_HELD_MAX, .help = ""},
    {.name = "slot", .value = "HEX", .kind = PT_OPTION_TEXT, .offset = AT(slot), .help = ""},
    {.name = "beat-fd", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(beat_fd), .least = 0, .most = INT32_MAX, .help = ""},
    {.name = "keys-fd", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(keys_fd), .least = 0, .most = INT32_MAX, .help = ""},
    {.name = "door-fd", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(door_fd), .least = 0, .most = INT32_MAX, .help = ""},
    {.name = "ahead", .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(ahead), .help = ""},
    {.name = "score", .value = "S", .kind = PT_OPTION_REAL, .offset = AT(score), .least = -1, .most = 1, .help = ""},
    {.name = "detections", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(detections), .least = 0, .most = INT32_MAX, .help = ""},
    {.name = "proposals", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(proposals), .least = 0, .most = INT32_MAX, .help = ""},
    {.name = "backend", .value = "NAME", .kind = PT_OPTION_TEXT, .offset = AT(backend), .help = ""},
    {.name = "precision", .value = "WHAT", .kind = PT_OPTION_TEXT, .offset = AT(precision), .help = ""},
    {.name = "quiet", .kind = PT_OPTION_FLAG, .offset = AT(console.quiet), .help = ""},
    {.name = "log", .value = "FORMAT", .kind = PT_OPTION_TEXT, .offset = AT(console.log), .words = "text json", .strict = true,
     .help = ""},
    {.name = "verbose", .kind = PT_OPTION_COUNT, .offset = AT(console.verbose), .help = ""},
};
/* clang-format on */

/* What a signal's handler may touch. */
static atomic_int drain;
static pt_end *listening; /* set before the signals are let through, never unset */

static void ask_to_drain(int number)
{
    (void)number;
    atomic_store(&drain, 1);
    pt_end_wake(listening);
}

/* The supervisor has blocked these two until now; Ctrl-C is not for us. */
static void listen_to_signals(pt_end *end)
{
    struct sigaction action = {.sa_handler = ask_to_drain, .sa_flags = SA_RESTART};
    sigset_t none;
    listening = end;
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

typedef struct heart {
    int fd;
    uint64_t settled;
} heart;

static void beat(void *user, uint64_t settled)
{
    heart *h = user;
    char what = settled > h->settled ? PT_BEAT_SETTLED : PT_BEAT_ALIVE;
    h->settled = settled;
    (void)!write(h->fd, &what, 1); /* a full pipe: the supervisor does not listen, and needs no more */
}

static pt_status read_slot(const char *text, uint8_t out[PT_SLOT_ID])
{
    const size_t digits = (size_t)2 * PT_SLOT_ID;
    if (strlen(text) != digits || strspn(text, "0123456789abcdef") != digits) {
        return pt_error(PT_E_USAGE, "--slot %s: must be %zu hexadecimal digits", text, digits);
    }
    for (size_t i = 0; i < PT_SLOT_ID; i++) {
        const char two[3] = {text[2 * i], text[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return pt_ok();
}

static void beat_alive(void *user)
{
    heart *h = user;
    if (h->fd >= 0) {
        beat(h, h->settled);
    }
}

/* Where to go, if a socket tells it. */
static pt_status find_door(const pt_worker_settings *s, heart *h, pt_door *out)
{
    bool has_server = false;
    if (s->door_fd >= 0) {
        return pt_door_hear((int)s->door_fd, beat_alive, h, out);
    }
    int length = snprintf(out->endpoint, sizeof out->endpoint, "%s", s->connect);
    if (length >= (int)sizeof out->endpoint) {
        return pt_error(PT_E_USAGE, "--connect %.40s...: is too long", s->connect);
    }
    out->secure = s->keys_fd >= 0;
    return out->secure ? pt_keys_load_fd((int)s->keys_fd, &out->keys, &out->server, &has_server) : pt_ok();
}

static pt_status connect_end(const pt_worker_settings *s, heart *h, pt_end **out)
{
    pt_door door = {.secure = false};
    pt_status status = find_door(s, h, &door);
    if (status.code == PT_OK) {
        status = pt_end_open_zmq(
            &(pt_end_options){.endpoint = door.endpoint,
                              .keys = door.secure ? &door.keys : NULL,
                              .server = door.secure ? &door.server : NULL,
                              .message_max = s->no_scene ? FRAME_MAX_PIXELS : FRAME_MAX_SCENE},
            out);
    }
    pt_key_pair_wipe(&door.keys);
    return status;
}

/* What it costs to try is time that passes anyway. */
static pt_ahead *prepare_ahead(const pt_worker_settings *s)
{
    pt_ahead *ahead = NULL;
    if (s->ahead) {
        pt_engine_options options = pt_engine_defaults();
        options.threads = (int)s->threads;
        options.score_threshold = (float)s->score;
        options.max_detections = (int)s->detections;
        options.max_proposals = (int)s->proposals;
        options.backend = s->backend;
        options.precision = s->precision;
        (void)pt_ahead_start(s->ahead, &options, &ahead);
    }
    return ahead;
}

static pt_status settle_options(const pt_worker_settings *s, heart *h, pt_worker_options *out)
{
    pt_worker_options o = pt_worker_defaults();
    o.access = (pt_worker_access){.root = s->root,
                                  .urls = s->urls.items,
                                  .url_count = s->urls.count,
                                  .drivers = s->drivers.items,
                                  .driver_count = s->drivers.count,
                                  .model = s->model,
                                  .dump = s->dump_tiles,
                                  .threads = (int)s->threads,
                                  .no_scene = s->no_scene};
    o.credit = (int)s->credit;
    o.coordinator_timeout = s->coordinator_timeout;
    o.drain = &drain;
    if (h->fd >= 0) {
        fcntl(h->fd, F_SETFL, O_NONBLOCK);
        fcntl(h->fd, F_SETFD, FD_CLOEXEC);
        o.alive = beat;
        o.alive_user = h;
    }
    PT_TRY(s->slot ? read_slot(s->slot, o.slot) : pt_ok());
    *out = o;
    return pt_ok();
}

static pt_worker_end work_at(pt_end *end, const pt_worker_options *options, pt_status *status)
{
    listen_to_signals(end);
    pt_worker_end how = pt_worker_run(end, options, status);
    signal(SIGTERM, SIG_IGN); /* it leaves already, and there will be nothing to wake */
    signal(SIGUSR1, SIG_IGN);
    return how;
}

static pt_worker_end work(const pt_worker_settings *s, pt_status *status)
{
    heart h = {.fd = (int)s->beat_fd};
    pt_worker_options options;
    pt_worker_end how = PT_WORKER_FAILED;
    pt_end *end = NULL;
    *status = s->connect || s->door_fd >= 0
                  ? settle_options(s, &h, &options)
                  : pt_error(PT_E_USAGE, "is started by pantile run and pantile worker alone");
    if (status->code != PT_OK) {
        return how;
    }
    options.access.ahead = prepare_ahead(s);
    *status = connect_end(s, &h, &end);
    if (status->code == PT_OK) {
        how = work_at(end, &options, status);
    } else if (s->door_fd >= 0 && status->code == PT_E_STOPPED) { /* it came to nothing, which others say */
        how = PT_WORKER_BYE;
        *status = pt_ok();
    }
    pt_end_close(&end);
    pt_ahead_free(&options.access.ahead);
    return how;
}

static int code_of(pt_worker_end how, pt_status status)
{
    switch (how) {
    case PT_WORKER_BYE:
        return 0;
    case PT_WORKER_REFUSED:
        return PT_WORKER_EXIT_REFUSED;
    case PT_WORKER_LOST:
        return PT_WORKER_EXIT_LOST;
    case PT_WORKER_FAILED:
        break;
    }
    return status.code == PT_E_NOMEM ? PT_WORKER_EXIT_AGAIN : pt_exit_code(status);
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    pt_worker_settings settings = {.coordinator_timeout = 300, .beat_fd = -1, .keys_fd = -1, .door_fd = -1};
    pt_texts none = {0};
    pt_worker_end how = PT_WORKER_FAILED;
    pt_status status = pt_options_parse(command, argc, argv, &settings, &none);
    if (status.code == PT_OK) {
        pt_console_setup(&settings.console);
        how = work(&settings, &status);
    }
    if (status.code != PT_OK) {
        pt_console_failure("worker", status);
    }
    pt_texts_fini(&none);
    pt_texts_fini(&settings.urls);
    pt_texts_fini(&settings.drivers);
    return code_of(how, status);
}

const pt_command pt_command_worker_child = {.name = "__worker",
                                            .arguments = "",
                                            .summary = "",
                                            .detail = "",
                                            .example = "",
                                            .options = child_table,
                                            .option_count = sizeof child_table / sizeof *child_table,
                                            .run = run_command};
