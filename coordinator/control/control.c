#include "coordinator/control/internal.h"

#include <string.h>
#include <time.h>

pt_control_options pt_control_defaults(void)
{
    enum { AHEAD = 1 << 14, SHIP_BYTES = 64 << 20 };
    pt_control_options options = {.dispatch = pt_dispatch_defaults(),
                                  .heartbeat_seconds = 2,
                                  .quarantine = true,
                                  .ship_bytes = SHIP_BYTES};
    options.dispatch.ahead = AHEAD;
    return options;
}

static double monotonic(void *user)
{
    struct timespec t;
    (void)user;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void wake(void *user)
{
    pt_hub_wake(user);
}

static pt_status read_spec(pt_control *c)
{
    if (pt_ledger_state(c->ledger) == PT_JOB_DONE) {
        return pt_error(PT_E_EXISTS, "%s: the job is done already, and its results are in the output",
                        pt_ledger_dir(c->ledger));
    }
    c->spec = pt_ledger_spec(c->ledger);
    c->epoch = pt_ledger_epoch(c->ledger);
    c->tiles = pt_job_spec_tiles(c->spec);
    PT_TRY(pt_job_spec_encode(c->spec, &c->spec_bytes, &c->spec_size));
    PT_TRY(pt_job_spec_hash(c->spec, c->hash));
    for (int i = 7; i >= 0; i--) {
        c->job = c->job << 8 | c->hash[i];
    }
    c->settled = pt_calloc((size_t)c->tiles / 8 + 1, 1);
    return c->settled ? pt_ok() : PT_NOMEM("the tiles' states");
}

pt_status pt_control_new(pt_hub *hub, pt_ledger *ledger, pt_feed *feed, const pt_control_options *options,
                         pt_control **out)
{
    if (!(options->heartbeat_seconds > 0) || options->idle_limit < 0) {
        return pt_error(PT_E_USAGE, "a coordinator needs heartbeats, and no negative limit on idling");
    }
    pt_control *c = pt_calloc(1, sizeof *c);
    if (!c) {
        return PT_NOMEM("the coordinator");
    }
    c->hub = hub;
    c->ledger = ledger;
    c->feed = feed;
    c->options = *options;
    c->clock = monotonic;
    atomic_init(&c->drain, 0);
    pthread_mutex_init(&c->lock, NULL);
    pt_status status = read_spec(c);
    if (status.code == PT_OK) {
        /* Row by row, as they are numbered: files without tiles of their own are read in rows, and what a
         * row of open seams costs is little beside that. */
        c->options.dispatch.tiles = c->tiles;
        c->options.dispatch.order = NULL;
        status = pt_dispatch_new(&c->options.dispatch, &c->dispatch);
    }
    if (status.code == PT_OK && options->pixels) {
        status = pt_ship_new(options->pixels, options->pixels_user, options->ship_bytes, wake, hub, &c->ship);
    }
    if (status.code != PT_OK) {
        pt_control_free(&c);
        return status;
    }
    pt_feed_notify(feed, wake, hub);
    *out = c;
    return status;
}

static pt_status failure(pt_control *c)
{
    pthread_mutex_lock(&c->lock);
    pt_status status = c->failure;
    pthread_mutex_unlock(&c->lock);
    return status;
}

/* What other threads asked for. */
static pt_status heed(pt_control *c)
{
    PT_TRY(failure(c));
    PT_TRY(pt_feed_state(c->feed));
    bool full = pt_feed_full(c->feed);
    if (full != c->held) {
        c->held = full;
        PT_TRY(pt_control_event(c, (pt_dispatch_event){.kind = full ? PT_EVENT_HOLD : PT_EVENT_RELEASE}));
    }
    int asked = atomic_load(&c->drain);
    bool fresh = asked > 0 && c->draining == 0;
    c->draining = asked;
    if (fresh) {
        PT_INFO("stopping: what is being computed is finished first");
        PT_TRY(pt_control_event(c, (pt_dispatch_event){.kind = PT_EVENT_DRAIN}));
        for (size_t i = 0; i < c->roster.count; i++) {
            PT_TRY(pt_control_say(c, c->roster.members[i]->peer, PT_MSG_DRAIN));
        }
    }
    return pt_ok();
}

static pt_status check_idle(const pt_control *c)
{
    double limit = c->options.idle_limit;
    if (limit > 0 && c->roster.count == c->stalled && c->now - c->idle_since >= limit) {
        return pt_error(PT_E_STOPPED,
                        "no worker for %.0f seconds; start workers and the same command with --resume",
                        limit);
    }
    return pt_ok();
}

/* Takes what the hub has, waiting for the first message alone. */
static pt_status take_messages(pt_control *c, int timeout_ms)
{
    double until = 0;
    for (int i = 0; i < PT_PASS_MESSAGES; i++) {
        pt_peer peer = 0;
        pt_message message = {0};
        bool got = false;
        PT_TRY(pt_hub_receive(c->hub, i == 0 ? timeout_ms : 0, &peer, &message, &got));
        c->now = c->clock(c->clock_user);
        if (!got) {
            return pt_ok();
        }
        c->news = true;
        pt_status status = pt_control_receive(c, peer, &message);
        pt_message_fini(&message);
        PT_TRY(status);
        until = i == 0 ? c->now + PT_PASS_SECONDS : until;
        if (c->now >= until) {
            return pt_ok();
        }
    }
    return pt_ok();
}

/* When something is due although no message comes. */
static int timeout_ms(const pt_control *c)
{
    enum { HOUR_MS = 3600 * 1000 };
    double due = pt_dispatch_deadline(c->dispatch);
    if (c->news && c->published + PT_PUBLISH_SECONDS < due) {
        due = c->published + PT_PUBLISH_SECONDS;
    }
    if (c->options.idle_limit > 0 && c->roster.count == c->stalled &&
        c->idle_since + c->options.idle_limit < due) {
        due = c->idle_since + c->options.idle_limit;
    }
    double left_ms = (due - c->now) * 1000;
    return left_ms <= 0 ? 0 : left_ms >= HOUR_MS ? HOUR_MS : (int)left_ms + 1;
}

static pt_status pass(pt_control *c)
{
    PT_TRY(take_messages(c, timeout_ms(c)));
    PT_TRY(heed(c));
    PT_TRY(pt_control_shipped(c));
    if (c->now >= pt_dispatch_deadline(c->dispatch)) {
        PT_TRY(pt_control_event(c, (pt_dispatch_event){.kind = PT_EVENT_TICK}));
        c->news = true;
    }
    PT_TRY(pt_control_commit(c));
    if (c->news && c->now >= c->published + PT_PUBLISH_SECONDS) {
        pt_control_publish(c);
    }
    return check_idle(c);
}

static pt_status work(pt_control *c)
{
    c->now = c->began = c->idle_since = c->clock(c->clock_user);
    pt_control_publish(c);
    PT_TRY(pt_control_replay(c));
    c->now = c->idle_since = c->clock(c->clock_user);
    pt_control_publish(c);
    PT_TRY(heed(c));
    PT_TRY(pt_control_event(c, (pt_dispatch_event){.kind = PT_EVENT_TICK}));
    while (!c->drained && c->draining < 2) {
        PT_TRY(pass(c));
    }
    pt_dispatch_stats stats = pt_dispatch_describe(c->dispatch);
    if (stats.settled < stats.tiles) {
        return pt_error(PT_E_STOPPED, "stopped with %lld of %lld tiles settled; --resume goes on from there",
                        (long long)stats.settled, (long long)stats.tiles);
    }
    return pt_ok();
}

pt_status pt_control_run(pt_control *c)
{
    pt_status status = work(c);
    pt_control_publish(c); /* whoever sees workers leave sees why */
    pt_control_farewell(c, status.code == PT_OK ? "the job is done" : "the job has ended");
    pt_control_publish(c);
    return status;
}

void pt_control_drain(pt_control *c, bool now)
{
    int wanted = now ? 2 : 1;
    int was = atomic_load(&c->drain);
    while (was < wanted && !atomic_compare_exchange_weak(&c->drain, &was, wanted)) {
    }
    pt_hub_wake(c->hub);
}

void pt_control_fail(pt_control *c, pt_status why)
{
    pthread_mutex_lock(&c->lock);
    if (c->failure.code == PT_OK) {
        c->failure = why;
    }
    pthread_mutex_unlock(&c->lock);
    pt_hub_wake(c->hub);
}

void pt_control_free(pt_control **control)
{
    if (!control || !*control) {
        return;
    }
    pt_control *c = *control;
    pt_feed_notify(c->feed, NULL, NULL);
    pt_ship_free(&c->ship);
    pt_dispatch_free(&c->dispatch);
    pt_dispatch_actions_fini(&c->actions);
    pt_batch_fini(&c->batch);
    pt_batch_fini(&c->spare);
    pt_roster_fini(&c->roster);
    pthread_mutex_destroy(&c->lock);
    pt_free(c->invited);
    pt_free(c->settlements);
    pt_free(c->settled);
    pt_free(c->spec_bytes);
    pt_free(c);
    *control = NULL;
}
