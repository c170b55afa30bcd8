#include "cli/run_coordinate.h"

#include "cli/run_door.h"
#include "cli/run_local.h"
#include "cli/run_output.h"
#include "cli/run_pixels.h"
#include "cli/run_watch.h"
#include "cli/stop.h"
#include "coordinator/control/control.h"
#include "worker/detect/detector.h"

#include <string.h>
#include <sys/resource.h>

enum {
    FEED_BYTES = 256 << 20, /* results that may wait for the stitcher */
    SHIP_BYTES = 256 << 20, /* pixels read ahead for workers that cannot */
    GOODBYE_SECONDS = 5,    /* for local workers that were told that the job is over */
};

typedef struct coordination {
    const pt_run_options *options;
    const pt_launch *launch;
    pt_job job;
    pt_run_scenes scenes;
    pt_run_folder folder;
    pt_run_door door;
    pt_run_pixels pixels;
    pt_writer *writer;
    pt_feed *feed;
    pt_control *control;
    atomic_llong objects; /* spooled so far */
    pt_run_watch *watch;
    pt_run_local *local;
    pt_control_snapshot seen; /* after the last tile; 20 kB */
    pt_assemble_report totals;
    double start; /* seconds */
} coordination;

/* In the stitching thread. */
static void count_objects(void *user, const pt_assemble_report *report)
{
    coordination *c = user;
    int64_t objects = 0;
    (void)report;
    for (size_t g = 0; g < c->scenes.count; g++) {
        objects += pt_assembler_report(c->scenes.groups[g].assembler)->objects;
    }
    atomic_store(&c->objects, objects);
}

/* Each worker, spool and group takes descriptors; the soft limit is often 1,024 where 100 times that is
 * allowed. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static pt_status open_control(coordination *c)
{
    const pt_run_options *o = c->options;
    pt_control_options options = pt_control_defaults();
    pt_assembler **assemblers = pt_calloc(c->scenes.count, sizeof(pt_assembler *));
    if (!assemblers) {
        return PT_NOMEM("the list of assemblers");
    }
    for (size_t g = 0; g < c->scenes.count; g++) {
        assemblers[g] = c->scenes.groups[g].assembler;
    }
    pt_status status = pt_feed_new(&c->scenes.spec, assemblers, FEED_BYTES, &c->feed);
    pt_free(assemblers);
    PT_TRY(status);
    options.dispatch.attempts = PT_RUN_ATTEMPTS;
    options.quarantine = c->scenes.spec.output.quarantine;
    options.idle_limit = o->wait;
    options.expected = c->launch->mpi ? (c->launch->size - o->no_local_worker) * o->workers : 0;
    options.ship_bytes = SHIP_BYTES;
    if (o->ship_pixels) {
        c->pixels.scenes = &c->scenes;
        options.pixels = pt_run_pixels_read;
        options.pixels_user = &c->pixels;
    }
    return pt_control_new(c->door.hub, c->folder.ledger, c->feed, &options, &c->control);
}

static pt_status describe_dump(const coordination *c)
{
    const pt_run_group *group = &c->scenes.groups[0]; /* the only one: pt_job_open sees to it */
    return c->options->dump_tiles
               ? pt_dump_describe(c->options->dump_tiles, &group->grid, pt_scene_describe(group->scene)->gsd,
                                  c->job.fill, c->options->overwrite || c->options->resume)
               : pt_ok();
}

/* What lies in the way of a job that was cut off while it put its outputs in place is its own. */
static bool may_replace(const coordination *c)
{
    return c->options->overwrite || c->folder.placing;
}

static pt_status open_output(coordination *c)
{
    PT_TRY(pt_run_output_check(&c->job, may_replace(c)));
    return pt_run_output_open(&c->job, may_replace(c), &c->writer);
}

/* In the supervising thread. Whoever else may still come is waited for; alone, nobody will. */
static void local_ended(void *user, pt_status status)
{
    coordination *c = user;
    bool others = c->launch->mpi || c->options->listen;
    pt_control_snapshot *seen = pt_calloc(1, sizeof *seen);
    bool early = true;
    if (seen) {
        pt_control_look(c->control, seen);
        early = seen->dispatch.settled < seen->dispatch.tiles;
        pt_free(seen);
    }
    if (!early || pt_stop_signal()) {
        return;
    }
    if (status.code == PT_OK) {
        status = pt_error(PT_E_STOPPED, "all workers of this machine were told to leave");
    }
    if (others) {
        PT_WARN("no worker is left on this machine; waiting for others", PT_S("reason", status.message));
    } else {
        pt_control_fail(c->control, status);
    }
}

static void drain(void *user)
{
    coordination *c = user;
    pt_control_drain(c->control, false);
    pt_console_line("stopping: tiles at hand are finished, a second signal ends at once");
}

static pt_status start_local(coordination *c)
{
    return pt_run_local_start(
        &(pt_run_local_options){.run = c->options,
                                .job = &c->job,
                                .cores = pt_launch_cores(c->launch),
                                .first_device = pt_run_local_device(c->options, c->launch),
                                .ended = local_ended,
                                .user = c},
        &c->local);
}

/* They need as long as the coordinator until they can begin, so both get ready side by side. Under MPI no
 * process is started before it has ended, and what a resumed job lacks is not known yet. */
static bool may_start_early(const coordination *c)
{
    return !c->options->no_local_worker && !c->launch->mpi && !c->options->resume;
}

/* Everything that can be refused before hours of work is; and nothing lasting is made before that. */
static pt_status prepare_job(coordination *c)
{
    const pt_run_options *o = c->options;
    if (!o->output) {
        return pt_error(PT_E_USAGE, "no output named; add -o FILE.geojson (or .gpkg, .fgb, .geojsonl)");
    }
    PT_TRY(pt_run_door_check(o));
    PT_TRY(pt_job_open(o, &c->job));
    if (!o->resume) {
        PT_TRY(open_output(c));
    }
    if (may_start_early(c)) {
        PT_TRY(start_local(c));
    }
    pt_job_digest(&c->job);
    pt_job_say_model(&c->job);
    PT_TRY(pt_run_scenes_open(&c->job, &c->scenes));
    PT_TRY(describe_dump(c));
    PT_TRY(pt_run_folder_open(o, &c->scenes.spec, &c->folder));
    if (o->resume && !c->folder.finished) {
        PT_TRY(open_output(c));
    }
    return pt_stop_check();
}

static void say_start(const coordination *c)
{
    const char *endpoint = pt_hub_endpoint(c->door.hub);
    int threads = pt_run_local_threads(c->options, pt_launch_cores(c->launch));
    int64_t workers = c->options->no_local_worker ? 0 : c->options->workers;
    if (pt_console_is_json()) {
        PT_INFO("listening", PT_S("endpoint", endpoint), PT_S("folder", c->folder.path),
                PT_I("ranks", c->launch->size), PT_I("hosts", c->launch->hosts), PT_I("workers", workers),
                PT_I("threads", threads));
        return;
    }
    if (c->launch->mpi) {
        pt_console_line("ranks   %d on %d host%s", c->launch->size, c->launch->hosts,
                        c->launch->hosts == 1 ? "" : "s");
    }
    if (workers > 0) {
        pt_console_line("workers %lld here, %d thread%s each", (long long)workers, threads,
                        threads == 1 ? "" : "s");
    }
    if (c->options->listen || c->options->no_local_worker) {
        pt_console_line("listen  %s; keys for workers from outside: %s", endpoint,
                        c->door.secure ? c->folder.path : "none, the job is open to all");
    }
}

static pt_status prepare(coordination *c)
{
    PT_TRY(prepare_job(c));
    if (c->folder.finished) {
        return pt_ok();
    }
    PT_TRY(pt_run_scenes_assemble(&c->scenes, &c->job, count_objects, c));
    PT_TRY(pt_run_door_open(c->options, c->launch, &c->folder, &c->door));
    PT_TRY(open_control(c));
    PT_TRY(pt_run_watch_start(c->options, c->control, &c->objects, &c->watch));
    say_start(c);
    return pt_stop_check();
}

/* The other ranks wait for the word, whatever it is. */
static pt_status invite(coordination *c, pt_status prepared)
{
    pt_invitation invitation = {.failed = prepared.code != PT_OK || c->folder.finished};
    pt_status status = prepared;
    if (!invitation.failed) {
        memcpy(invitation.engine_sha256, c->scenes.spec.engine.sha256, sizeof invitation.engine_sha256);
        status = pt_run_door_invite(&c->door, &invitation);
        invitation.failed = status.code != PT_OK;
    }
    pt_status shared = pt_launch_share(c->launch, &invitation);
    pt_key_pair_wipe(&invitation.worker);
    return status.code != PT_OK ? status : shared;
}

static void open_local(coordination *c)
{
    bool secure = c->door.secure;
    pt_run_local_open(c->local, pt_hub_endpoint(c->door.hub), secure ? &c->door.worker : NULL,
                      secure ? &c->door.server : NULL);
}

static pt_status work(coordination *c)
{
    if (!c->options->no_local_worker) {
        PT_TRY(c->local ? pt_ok() : start_local(c));
        open_local(c);
    }
    pt_stop_call(drain, c);
    pt_status status = pt_control_run(c->control);
    pt_stop_call(NULL, NULL);
    pt_control_look(c->control, &c->seen);
    PT_TRY(status);
    PT_TRY(pt_feed_finish(c->feed));
    return pt_run_output_write(&c->scenes, c->writer);
}

/* The job counts as done only when everything that was asked for is in place. */
static pt_status conclude(coordination *c)
{
    PT_TRY(pt_run_output_commit(&c->job, &c->scenes, c->writer, &c->folder, may_replace(c)));
    pt_run_output_totals(&c->scenes, &c->totals);
    pt_report_facts facts = {.job = &c->job,
                             .scenes = &c->scenes,
                             .totals = &c->totals,
                             .control = &c->seen,
                             .ledger = c->folder.ledger,
                             .seconds = pt_console_clock() - c->start,
                             .replace = may_replace(c)};
    pt_run_watch_met(c->watch, facts.backend, &facts.threads);
    PT_TRY(pt_report_write(&facts));
    return pt_run_folder_finish(&c->folder, c->options->output);
}

static void say_summary(const coordination *c)
{
    const pt_assemble_report *t = &c->totals;
    double seconds = pt_console_clock() - c->start;
    double mpx = (double)c->seen.pixels / 1e6 / seconds;
    if (t->capped > 0) {
        PT_INFO("tiles filled the cap on proposals or detections: in crowded scenes higher --proposals and "
                "--detections may find more, at the price of some false ones",
                PT_I("tiles", t->capped));
    }
    if (t->failed > 0) {
        PT_WARN("tiles failed and are missing in the output", PT_I("failed", t->failed),
                PT_I("named", t->failed_named));
    }
    if (pt_console_is_json()) {
        PT_INFO("done", PT_S("output", c->options->output), PT_I("objects", t->objects),
                PT_I("tiles", t->tiles), PT_I("done", t->done), PT_I("empty", t->empty),
                PT_I("outside", t->outside), PT_I("failed", t->failed), PT_I("capped", t->capped),
                PT_I("retries", c->seen.dispatch.retries), PT_I("resumed", c->seen.resumed),
                PT_F("seconds", seconds), PT_F("mpx_per_s", mpx));
        return;
    }
    pt_console_line(
        "done    %lld objects, tiles: %lld done, %lld empty, %lld outside, %lld failed; %.2f Mpx/s, "
        "%.1f s; %s",
        (long long)t->objects, (long long)t->done, (long long)t->empty, (long long)t->outside,
        (long long)t->failed, mpx, seconds, c->options->output);
}

static int64_t settled(const coordination *c)
{
    return c->seen.done + c->seen.empty + c->seen.outside + c->seen.failed;
}

/* Says what an unfinished job left, and how to go on. A job that stopped without a signal lacked workers. */
static pt_status explain(const coordination *c, pt_status status)
{
    int number = pt_stop_signal();
    if (status.code != PT_E_STOPPED) {
        return status;
    }
    if (settled(c) == 0) {
        return number ? pt_stop_check() : pt_error(PT_E_INPUT, "%s", status.message);
    }
    const char *why = number ? pt_stop_name(number) : status.message;
    return pt_error(
        number ? PT_E_STOPPED : PT_E_INPUT,
        "%s%s: %lld of %lld tiles are done and kept in %s; the same command with --resume goes on",
        number ? "stopped by " : "", why, (long long)settled(c), (long long)c->seen.dispatch.tiles,
        c->folder.path);
}

static void clean_up(coordination *c, pt_status status)
{
    pt_run_watch_free(&c->watch);
    if (c->local && status.code == PT_OK) {
        pt_run_local_ask(c->local, PT_RUN_LOCAL_DRAIN); /* also those that were about to join */
        (void)pt_run_local_wait(c->local, GOODBYE_SECONDS);
    }
    pt_run_local_join(&c->local);
    pt_control_free(&c->control);
    pt_feed_free(&c->feed);
    pt_run_pixels_fini(&c->pixels);
    pt_run_door_close(&c->door);
    pt_writer_close(&c->writer);
    pt_run_folder_close(&c->folder, status.code == PT_OK || c->folder.resumed || settled(c) > 0);
    pt_run_scenes_close(&c->scenes);
    pt_job_close(&c->job);
}

static pt_status count_quarantined(void *user, const pt_settlement *settlement)
{
    int64_t *count = user;
    *count += settlement->outcome == PT_TILE_FAILED;
    return pt_ok();
}

/* Resumed after its end: says so, with the same exit code as then. */
static pt_status say_finished(const coordination *c, int64_t *failed_tiles)
{
    PT_TRY(pt_ledger_list(c->folder.ledger, count_quarantined, failed_tiles));
    pt_console_line("done    %s was in place already; nothing to resume", c->options->output);
    PT_INFO("done already", PT_S("output", c->options->output), PT_I("failed", *failed_tiles));
    return pt_ok();
}

pt_status pt_run_coordinate(const pt_run_options *options, const pt_launch *launch, int64_t *failed_tiles)
{
    coordination *c = pt_calloc(1, sizeof *c);
    if (!c) {
        pt_invitation refusal = {.failed = true};
        (void)pt_launch_share(launch, &refusal);
        return PT_NOMEM("the job");
    }
    c->options = options;
    c->launch = launch;
    c->start = pt_console_clock();
    raise_descriptor_limit();
    pt_status status = invite(c, prepare(c));
    if (status.code == PT_OK && c->folder.finished) {
        status = say_finished(c, failed_tiles);
    } else if (status.code == PT_OK) {
        status = work(c);
        pt_run_watch_stop(c->watch);
        status = status.code == PT_OK ? conclude(c) : explain(c, status);
        if (status.code == PT_OK) {
            say_summary(c);
            *failed_tiles = c->totals.failed;
        }
    }
    clean_up(c, status);
    pt_free(c);
    return status;
}
