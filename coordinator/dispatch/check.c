/* Everything counted again, and compared with what is kept. */
#include "coordinator/dispatch/internal.h"

#include <inttypes.h>

typedef struct counts {
    int64_t leased, settling, done, quarantined, suspects, able;
    size_t records, leases, workers, room, waiting, ready;
} counts;

#define EXPECT(condition, ...)                                                                               \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            return pt_error(PT_E_INTERNAL, __VA_ARGS__);                                                     \
        }                                                                                                    \
    } while (0)

static pt_status check_lease(const pt_dispatch *d, uint32_t i)
{
    const pt_lease *l = &d->leases[i];
    EXPECT(l->in_use && l->worker < d->worker_top && d->workers[l->worker].in_use,
           "tile %" PRId64 " is leased to nobody", l->tile);
    EXPECT(l->record == PT_NONE || (d->records[l->record].in_use && d->records[l->record].tile == l->tile),
           "a lease on tile %" PRId64 " names another tile's record", l->tile);
    EXPECT(l->record != PT_NONE || (pt_tile_settled(d, l->tile) && l->started && !l->answered),
           "a stale lease on tile %" PRId64 ", which is not settled or not started", l->tile);
    EXPECT(!l->answered || (d->records[l->record].settling && !l->started),
           "an answered lease on tile %" PRId64 ", which is not settling", l->tile);
    return pt_ok();
}

static pt_status check_counts(const pt_dispatch *d, const pt_record *r)
{
    uint32_t all = 0, good = 0, begun = 0;
    for (uint32_t i = r->leases; i != PT_NONE; i = d->leases[i].record_next) {
        const pt_lease *l = &d->leases[i];
        PT_TRY(check_lease(d, i));
        EXPECT(&d->records[l->record] == r, "tile %" PRId64 " has another tile's lease", r->tile);
        for (uint32_t j = l->record_next; j != PT_NONE; j = d->leases[j].record_next) {
            EXPECT(d->leases[j].worker != l->worker, "tile %" PRId64 " is leased twice to one worker",
                   r->tile);
        }
        all++;
        good += !l->answered && !d->workers[l->worker].suspect;
        begun += l->started;
    }
    EXPECT(all == r->lease_count && good == r->good && begun == r->started,
           "tile %" PRId64 " counts %u leases, %u good, %u started and has %u, %u, %u", r->tile,
           r->lease_count, r->good, r->started, all, good, begun);
    return pt_ok();
}

static pt_status check_record(const pt_dispatch *d, uint32_t i, counts *c)
{
    const pt_record *r = &d->records[i];
    EXPECT(pt_record_of(d, r->tile) == i, "tile %" PRId64 " does not find its record", r->tile);
    EXPECT(r->place < 0 || (r->place < d->next && pt_tile_at(d, r->place) == r->tile),
           "tile %" PRId64 " is not at its place %" PRId64, r->tile, r->place);
    PT_TRY(check_counts(d, r));
    bool open = !r->settling && r->place >= 0;
    bool may_run = open && pt_record_may_run(d, r);
    EXPECT(pt_heap_has(&d->again, i) == (may_run && r->good == 0),
           "tile %" PRId64 " with %u good leases is %swaiting for one", r->tile, r->good,
           pt_heap_has(&d->again, i) ? "" : "not ");
    EXPECT(r->waits == (!open || !pt_record_may_run_twice(d, r) ? 0
                        : r->started                            ? 2
                                                                : 1),
           "tile %" PRId64 " is wrongly listed for a second run", r->tile);
    EXPECT(r->settling || r->lease_count > 0 || r->place < 0 || pt_heap_has(&d->again, i),
           "nobody will ever run tile %" PRId64, r->tile);
    c->records++;
    c->leased += !r->settling && r->lease_count > 0;
    c->settling += r->settling;
    c->waiting += r->waits != 0;
    return pt_ok();
}

static pt_status check_worker(const pt_dispatch *d, uint32_t i, counts *c)
{
    const pt_worker_state *w = &d->workers[i];
    int held = 0, answered = 0, begun = 0, stale = 0;
    for (uint32_t l = w->leases; l != PT_NONE; l = d->leases[l].of_worker.next) {
        EXPECT(d->leases[l].worker == i, "worker %" PRIu64 " has another's lease", w->id);
        PT_TRY(check_lease(d, l));
        held++;
        answered += d->leases[l].answered;
        begun += d->leases[l].started;
        stale += d->leases[l].record == PT_NONE;
    }
    EXPECT(held == w->held && answered == w->answered && begun == w->started && stale == w->stale,
           "worker %" PRIu64 " counts %d leases, %d answered, %d started, %d stale and has %d, %d, %d, %d",
           w->id, w->held, w->answered, w->started, w->stale, held, answered, begun, stale);
    int by_credit = w->credit - held + answered, by_hold = d->options.hold_max - held;
    int room = by_credit < by_hold ? by_credit : by_hold;
    EXPECT(w->room == (room > 0 ? room : 0), "worker %" PRIu64 " has room for %d, not %d", w->id, room,
           w->room);
    EXPECT(w->list == (w->room == 0 || w->suspect ? 0
                       : held > answered          ? 2
                                                  : 1),
           "worker %" PRIu64 " stands in the wrong line", w->id);
    EXPECT(pt_worker_of(d, w->id) == i && pt_heap_has(&d->timers, i),
           "worker %" PRIu64 " is not found by its name, or has no timer", w->id);
    c->workers++;
    c->leases += (size_t)held;
    c->room += (size_t)w->room;
    c->ready += w->list != 0;
    c->suspects += w->suspect;
    c->able += w->credit > 0 && !w->suspect;
    return pt_ok();
}

static pt_status check_tiles(const pt_dispatch *d, counts *c)
{
    for (int64_t place = 0; place < d->options.tiles; place++) {
        int64_t tile = pt_tile_at(d, place);
        int state = pt_tile_state(d, tile);
        EXPECT(state == PT_WORD_NOTED || place >= d->next || state >= PT_WORD_DONE,
               "tile %" PRId64 " was passed over", tile);
        EXPECT(place >= d->first || state >= PT_WORD_DONE, "tile %" PRId64 " is behind the front, unsettled",
               tile);
        EXPECT(place != d->first || state < PT_WORD_DONE, "the front stands at tile %" PRId64 ", settled",
               tile);
        EXPECT((state == PT_WORD_NOTED) == (pt_record_of(d, tile) != PT_NONE),
               "tile %" PRId64 " has no record", tile);
        c->done += state >= PT_WORD_DONE;
        c->quarantined += state == PT_WORD_QUARANTINED;
    }
    return pt_ok();
}

static pt_status check_totals(const pt_dispatch *d, const counts *c)
{
    EXPECT(c->done == d->done && c->quarantined == d->quarantined,
           "%" PRId64 " tiles settled, %" PRId64 " of them quarantined; counted %" PRId64 ", %" PRId64,
           c->done, c->quarantined, d->done, d->quarantined);
    EXPECT(c->leased == d->leased && c->settling == d->settling,
           "%" PRId64 " tiles leased, %" PRId64 " settling; counted %" PRId64 ", %" PRId64, c->leased,
           c->settling, d->leased, d->settling);
    EXPECT(c->records == d->record_count && c->leases == d->lease_count && c->workers == d->worker_count,
           "%zu records, %zu leases, %zu workers; counted %zu, %zu, %zu", c->records, c->leases, c->workers,
           d->record_count, d->lease_count, d->worker_count);
    EXPECT(c->room == d->room && c->suspects == d->suspects && c->able == d->able,
           "room for %zu, %" PRId64 " suspects, %" PRId64 " able; counted %zu, %" PRId64 ", %" PRId64,
           c->room, c->suspects, c->able, d->room, d->suspects, d->able);
    return pt_ok();
}

static pt_status check_lists(const pt_dispatch *d, const counts *c)
{
    size_t ready = 0, waiting = 0;
    for (int list = 0; list < 2; list++) {
        for (uint32_t i = d->ready[list].first; i != PT_NONE; i = d->workers[i].ready.next) {
            EXPECT(d->workers[i].list == list + 1 && ready++ < c->ready, "a line of workers is broken");
        }
    }
    for (int list = 0; list < 2; list++) {
        double since = 0;
        for (uint32_t i = d->slow[list].first; i != PT_NONE; i = d->records[i].slow.next) {
            EXPECT(d->records[i].waits == list + 1 && waiting++ < c->waiting && d->records[i].since >= since,
                   "a list of slow tiles is broken");
            since = d->records[i].since;
        }
    }
    EXPECT(ready == c->ready && waiting == c->waiting,
           "%zu workers and %zu slow tiles listed, not %zu and %zu", ready, waiting, c->ready, c->waiting);
    return pt_ok();
}

pt_status pt_dispatch_check(const pt_dispatch *d)
{
    counts c = {0};
    for (uint32_t i = 0; i < d->record_top; i++) {
        if (d->records[i].in_use) {
            PT_TRY(check_record(d, i, &c));
        }
    }
    for (uint32_t i = 0; i < d->worker_top; i++) {
        if (d->workers[i].in_use) {
            PT_TRY(check_worker(d, i, &c));
        }
    }
    PT_TRY(check_tiles(d, &c));
    PT_TRY(check_totals(d, &c));
    return check_lists(d, &c);
}
