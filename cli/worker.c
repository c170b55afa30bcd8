/* pantile worker: joins a coordinator from outside its launcher. Supervises worker processes and never knows
 * MPI, whose singletons start a daemon. */
#include "cli/worker.h"

#include "cli/help.h"
#include "cli/paths.h"
#include "cli/stop.h"
#include "coordinator/launch/launch.h"
#include "coordinator/protocol/link.h"
#include "worker/supervise/supervise.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORKERS_MAX = 1024 };

#define AT(member) offsetof(pt_worker_settings, member)

/* clang-format off */
static const pt_option worker_table[] = {
    {.name = "connect", .value = "URL", .kind = PT_OPTION_TEXT, .offset = AT(connect), .words = "",
     .help = "the coordinator: tcp://HOST:PORT or ipc://PATH, as it says when it starts (required)"},
    {.name = "keys", .letter = 'k', .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(keys),
     .help = "this worker's key file, which also names the coordinator's key (pantile keygen)"},
    {.name = "insecure", .kind = PT_OPTION_FLAG, .offset = AT(insecure),
     .help = "without keys: for a coordinator that runs with --insecure"},
    {.name = "root", .value = "DIR", .kind = PT_OPTION_TEXT, .offset = AT(root),
     .help = "folder that stands for the coordinator's --root; no file outside is opened [/]"},
    {.name = "allow-url", .value = "PREFIX", .kind = PT_OPTION_TEXTS, .offset = AT(urls), .words = "",
     .help = "open what the job names below this address, such as /vsis3/bucket/; /vsi for any; repeatable [none]"},
    {.name = "driver", .value = "NAME", .kind = PT_OPTION_TEXTS, .offset = AT(drivers), .words = "", .rare = true,
     .help = "let the job use one more GDAL driver, as its run's --driver asks; repeatable"},
    {.name = "model", .letter = 'm', .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(model),
     .help = "a model file of this machine, in place of the path that the job names; must be the same file"},
    {.name = "workers", .letter = 'w', .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(workers), .least = 1,
     .most = WORKERS_MAX, .words = "", .help = "worker processes [1]"},
    {.name = "threads", .letter = 't', .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(threads), .least = 1,
     .most = 1024, .words = "", .help = "threads of this machine, shared by its workers [all cores]"},
    {.name = "no-scene", .kind = PT_OPTION_FLAG, .offset = AT(no_scene),
     .help = "the scene cannot be read here: ask for its pixels (the coordinator must run with --ship-pixels)"},
    {.name = "coordinator-timeout", .value = "S", .kind = PT_OPTION_REAL, .offset = AT(coordinator_timeout), .least = 0,
     .most = 1e9, .words = "", .help = "leave after so many seconds without a word from the coordinator; 0: never [300]"},
    {.name = "credit", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(credit), .least = 1, .most = 64, .words = "",
     .rare = true, .help = "tiles that each worker holds at once [4 with a model, more without]"},
    {.name = "quiet", .letter = 'q', .kind = PT_OPTION_FLAG, .offset = AT(console.quiet), .rare = true,
     .help = "warnings and errors alone"},
    {.name = "log", .value = "FORMAT", .kind = PT_OPTION_TEXT, .offset = AT(console.log), .words = "text json",
     .strict = true, .rare = true, .help = "text, or json: one JSON object a line on standard error [text]"},
    {.name = "verbose", .letter = 'v', .kind = PT_OPTION_COUNT, .offset = AT(console.verbose), .rare = true,
     .help = "say more; twice: everything"},
    {.name = "help", .letter = 'h', .kind = PT_OPTION_FLAG, .offset = AT(help), .rare = true,
     .help = "print the help and leave"},
};
/* clang-format on */

typedef struct crew {
    pt_worker_settings settings;
    pt_key_pair keys;
    pt_public_key server;
    char *model;            /* owned */
    const char **arguments; /* owned; the texts are borrowed */
    size_t count;
    char threads[16], timeout[32], credit[16];
    atomic_int drain;
    int wake; /* eventfd: look at drain */
} crew;

static void add(crew *c, const char *name, const char *value)
{
    c->arguments[c->count++] = name;
    if (value) {
        c->arguments[c->count++] = value;
    }
}

static void add_console(crew *c)
{
    const pt_console_options *console = &c->settings.console;
    if (console->log) {
        add(c, "--log", console->log);
    }
    if (console->quiet) {
        add(c, "--quiet", NULL);
    }
    for (int i = 0; i < console->verbose && i < 2; i++) {
        add(c, "--verbose", NULL);
    }
}

static int threads_each(const pt_worker_settings *s)
{
    const pt_launch alone = pt_launch_alone();
    int64_t all = s->threads > 0 ? s->threads : pt_launch_cores(&alone), each = all / s->workers;
    return each > 1 ? (int)each : 1;
}

static pt_status make_arguments(crew *c)
{
    enum { FIXED = 24 };
    const pt_worker_settings *s = &c->settings;
    c->arguments = pt_calloc(FIXED + 2 * (s->urls.count + s->drivers.count), sizeof *c->arguments);
    if (!c->arguments) {
        return PT_NOMEM("the workers' arguments");
    }
    snprintf(c->threads, sizeof c->threads, "%d", threads_each(s));
    snprintf(c->timeout, sizeof c->timeout, "%.17g", s->coordinator_timeout);
    snprintf(c->credit, sizeof c->credit, "%lld", (long long)s->credit);
    add(c, "--connect", s->connect);
    add(c, "--root", s->root);
    add(c, "--threads", c->threads);
    add(c, "--coordinator-timeout", c->timeout);
    for (size_t i = 0; i < s->urls.count; i++) {
        add(c, "--allow-url", s->urls.items[i]);
    }
    for (size_t i = 0; i < s->drivers.count; i++) {
        add(c, "--driver", s->drivers.items[i]);
    }
    if (c->model) {
        add(c, "--model", c->model);
    }
    if (s->credit > 0) {
        add(c, "--credit", c->credit);
    }
    if (s->no_scene) {
        add(c, "--no-scene", NULL);
    }
    add_console(c);
    return pt_ok();
}

static pt_status load_keys(crew *c)
{
    const pt_worker_settings *s = &c->settings;
    bool has_server = false;
    if (!s->keys) {
        return s->insecure
                   ? pt_ok()
                   : pt_error(PT_E_USAGE, "no keys named; add --keys FILE (made by pantile keygen), or "
                                          "--insecure if the coordinator runs with it");
    }
    if (s->insecure) {
        return pt_error(PT_E_USAGE, "--keys and --insecure exclude each other");
    }
    PT_TRY(pt_keys_load(s->keys, &c->keys, &c->server, &has_server));
    return has_server
               ? pt_ok()
               : pt_error(PT_E_INPUT, "%s: does not name the coordinator's key; add its line \"server KEY\"",
                          s->keys);
}

/* On the thread that watches for signals. */
static void drain(void *user)
{
    crew *c = user;
    uint64_t one = 1;
    atomic_store(&c->drain, 1);
    (void)!write(c->wake, &one, sizeof one);
}

static pt_status supervise(crew *c)
{
    pt_supervise_options options = pt_supervise_defaults();
    options.arguments = c->arguments;
    options.argument_count = c->count;
    options.workers = (int)c->settings.workers;
    options.first_device =
        pt_supervise_first_device(getenv("CUDA_VISIBLE_DEVICES"), 0, 1, (int)c->settings.workers);
    options.keys = c->settings.keys ? &c->keys : NULL;
    options.server = c->settings.keys ? &c->server : NULL;
    options.drain = &c->drain;
    options.wake_fd = c->wake;
    pt_stop_drain_too();
    pt_stop_call(drain, c);
    pt_status status = pt_supervise(&options, NULL);
    pt_stop_call(NULL, NULL);
    return status;
}

/* What each process would fail at, again and again, or tell only once a coordinator is there. */
static pt_status check_settings(const pt_worker_settings *s)
{
    struct stat about;
    if (!s->connect) {
        return pt_error(PT_E_USAGE, "no coordinator named; add --connect tcp://HOST:PORT");
    }
    PT_TRY(pt_end_check(s->connect));
    if (stat(s->root, &about) != 0 || !S_ISDIR(about.st_mode)) {
        return pt_error(PT_E_INPUT, "--root %s: no such folder; name the one that holds the inputs here",
                        s->root);
    }
    for (size_t i = 0; i < s->urls.count; i++) {
        if (strncmp(s->urls.items[i], "/vsi", 4) != 0) {
            return pt_error(PT_E_USAGE,
                            "--allow-url %s: an address begins with /vsi, as in /vsicurl/https://host/",
                            s->urls.items[i]);
        }
    }
    return pt_ok();
}

static pt_status work(crew *c)
{
    const pt_worker_settings *s = &c->settings;
    PT_TRY(check_settings(s));
    PT_TRY(load_keys(c));
    if (s->model) {
        PT_TRY(pt_paths_model(s->model, &c->model));
    }
    PT_TRY(make_arguments(c));
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake < 0) {
        return pt_error(PT_E_NOMEM, "no eventfd for the workers: %s", strerror(errno));
    }
    pt_console_line("worker  %lld process%s of %s thread%s for %s", (long long)s->workers,
                    s->workers == 1 ? "" : "es", c->threads, strcmp(c->threads, "1") == 0 ? "" : "s",
                    s->connect);
    PT_INFO("worker", PT_S("connect", s->connect), PT_I("processes", s->workers),
            PT_S("threads", c->threads));
    return supervise(c);
}

static void dispose(crew *c)
{
    if (c->wake >= 0) {
        close(c->wake);
    }
    pt_key_pair_wipe(&c->keys);
    pt_free(c->model);
    pt_free(c->arguments);
    pt_texts_fini(&c->settings.urls);
    pt_texts_fini(&c->settings.drivers);
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    crew c = {.settings = {.root = "/", .workers = 1, .coordinator_timeout = 300}, .wake = -1};
    pt_texts none = {0};
    pt_status status = pt_options_parse(command, argc, argv, &c.settings, &none);
    if (status.code == PT_OK && none.count > 0) {
        status =
            pt_error(PT_E_USAGE, "%s: a worker takes no arguments; see pantile help worker", none.items[0]);
    }
    pt_texts_fini(&none);
    if (status.code == PT_OK && c.settings.help) {
        pt_help_command(stdout, command, false);
    } else if (status.code == PT_OK) {
        pt_console_setup(&c.settings.console);
        status = work(&c);
    }
    int code = pt_finish(command, status);
    dispose(&c);
    return status.code == PT_E_STOPPED ? PT_WORKER_EXIT_LOST : code;
}

const pt_command pt_command_worker = {
    .name = "worker",
    .arguments = "--connect URL [OPTION]...",
    .summary = "joins a running coordinator from another place",
    .detail =
        "Joins a coordinator and works for it until the job is over. May join late and leave at any time: "
        "SIGTERM, SIGINT and SIGUSR1 finish the tiles at hand and give the rest back, a second one ends it "
        "at once. Worker processes that die are replaced.",
    .example = "pantile worker --connect tcp://node1:5555 --keys worker.key --root /data --workers 4",
    .options = worker_table,
    .option_count = sizeof worker_table / sizeof *worker_table,
    .run = run_command};
