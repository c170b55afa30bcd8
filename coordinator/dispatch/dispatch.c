#include "coordinator/dispatch/dispatch.h"

#include "coordinator/dispatch/internal.h"

#include <inttypes.h>
#include <math.h>

pt_dispatch_options pt_dispatch_defaults(void)
{
    return (pt_dispatch_options){.attempts = 3,
                                 .strikes = 3,
                                 .hold_max = 64,
                                 .suspect_after = 10,
                                 .expire_after = 60,
                                 .stall_after = 60,
                                 .resend_after = 5,
                                 .speculate_factor = 2};
}

void pt_dispatch_actions_fini(pt_dispatch_actions *actions)
{
    pt_free(actions->items);
    *actions = (pt_dispatch_actions){0};
}

static bool is_time(double seconds)
{
    return isfinite(seconds) && seconds > 0;
}

static pt_status check_options(const pt_dispatch_options *o)
{
    if (o->tiles < 1 || o->ahead < 0) {
        return pt_error(PT_E_USAGE,
                        "a scheduler needs at least one tile and no negative reach, not %" PRId64
                        " and %" PRId64,
                        o->tiles, o->ahead);
    }
    if (o->attempts < 1 || o->strikes < 1 || o->hold_max < 1) {
        return pt_error(PT_E_USAGE, "attempts, strikes and tiles held must be at least 1, not %d, %d and %d",
                        o->attempts, o->strikes, o->hold_max);
    }
    if (!is_time(o->suspect_after) || !is_time(o->expire_after) || !is_time(o->stall_after) ||
        !is_time(o->resend_after) || o->expire_after < o->suspect_after) {
        return pt_error(PT_E_USAGE, "the scheduler's times must be positive, and a worker expires no earlier "
                                    "than it is suspected");
    }
    if (!isfinite(o->speculate_factor) || o->speculate_factor < 0) {
        return pt_error(PT_E_USAGE, "the factor of speculation must not be negative");
    }
    return pt_ok();
}

pt_status pt_dispatch_new(const pt_dispatch_options *options, pt_dispatch **out)
{
    PT_TRY(check_options(options));
    pt_dispatch *d = pt_calloc(1, sizeof *d);
    uint16_t *words =
        (uint64_t)options->tiles > SIZE_MAX ? NULL : pt_calloc((size_t)options->tiles, sizeof *words);
    if (!d || !words) {
        pt_free(d);
        pt_free(words);
        return PT_NOMEM("the scheduler");
    }
    d->options = *options;
    d->words = words;
    d->record_free = d->lease_free = d->worker_free = PT_NONE;
    d->ready[0] = d->ready[1] = d->slow[0] = d->slow[1] = (pt_list){PT_NONE, PT_NONE};
    *out = d;
    return pt_ok();
}

void pt_dispatch_free(pt_dispatch **dispatch)
{
    if (*dispatch) {
        pt_pools_fini(*dispatch);
        pt_free((*dispatch)->words);
        pt_free(*dispatch);
        *dispatch = NULL;
    }
}

static pt_status check_before(const pt_dispatch *d, int64_t tile)
{
    if (tile < 0 || tile >= d->options.tiles) {
        return pt_error(PT_E_USAGE, "the job has no tile %" PRId64, tile);
    }
    if (pt_tile_settled(d, tile)) {
        return pt_error(PT_E_USAGE, "tile %" PRId64 " is settled already", tile);
    }
    return pt_ok();
}

pt_status pt_dispatch_settled_before(pt_dispatch *d, int64_t tile, uint64_t digest, bool quarantined)
{
    PT_TRY(check_before(d, tile));
    uint32_t record = pt_record_of(d, tile);
    if (record != PT_NONE) {
        pt_record_give(d, record);
    }
    pt_tile_close(d, tile, digest, quarantined);
    return pt_ok();
}

pt_status pt_dispatch_struck_before(pt_dispatch *d, int64_t tile, int strikes, int lives)
{
    PT_TRY(check_before(d, tile));
    if (strikes < 0 || lives < 0 || lives > strikes) {
        return pt_error(PT_E_USAGE, "tile %" PRId64 " cannot have %d strikes by %d workers", tile, strikes,
                        lives);
    }
    uint32_t record = pt_record_of(d, tile);
    if (record == PT_NONE) {
        PT_TRY(pt_pools_reserve(d, 1, 0, 0));
        record = pt_record_take(d, tile);
    }
    d->records[record].strikes = strikes;
    d->records[record].lives = lives;
    d->doomed += pt_record_condemnable(d, &d->records[record]);
    return pt_ok();
}

double pt_dispatch_deadline(const pt_dispatch *d)
{
    if (d->more) {
        return d->now;
    }
    double timer = d->timers.count ? d->timers.entries[0].key : PT_FAR;
    double slow = pt_speculate_deadline(d);
    return timer < slow ? timer : slow;
}

pt_dispatch_stats pt_dispatch_describe(const pt_dispatch *d)
{
    pt_dispatch_stats stats = d->stats;
    stats.tiles = d->options.tiles;
    stats.leased = d->leased;
    stats.settling = d->settling;
    stats.settled = d->done;
    stats.quarantined = d->quarantined;
    stats.pending = stats.tiles - stats.leased - stats.settling - stats.settled;
    stats.workers = (int64_t)d->worker_count;
    stats.suspects = d->suspects;
    stats.p95_seconds = pt_durations_p95(&d->computing);
    return stats;
}
