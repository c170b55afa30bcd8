#include "tests/coordinator/dispatch/harness.h"

static void assert_ok(pt_status status)
{
    assert_string_equal(status.message, "");
    assert_int_equal(status.code, PT_OK);
}

harness harness_new(pt_dispatch_options options)
{
    harness h = {0};
    assert_ok(pt_dispatch_new(&options, &h.dispatch));
    return h;
}

harness harness_tiles(int64_t tiles)
{
    pt_dispatch_options options = pt_dispatch_defaults();
    options.tiles = tiles;
    return harness_new(options);
}

void harness_free(harness *h)
{
    pt_dispatch_free(&h->dispatch);
    assert_null(h->dispatch);
    pt_dispatch_actions_fini(&h->actions);
}

static void step_on(harness *h, pt_dispatch_event event)
{
    assert_ok(pt_dispatch_step(h->dispatch, &event, h->now, &h->actions));
    assert_ok(pt_dispatch_check(h->dispatch));
}

void step(harness *h, pt_dispatch_event event)
{
    h->actions.count = 0;
    step_on(h, event);
}

void tick(harness *h, double seconds)
{
    double end = h->now + seconds;
    h->actions.count = 0;
    while (pt_dispatch_deadline(h->dispatch) < end) {
        assert_true(pt_dispatch_deadline(h->dispatch) > h->now); /* the clock goes on: no tick is due twice */
        h->now = pt_dispatch_deadline(h->dispatch);
        step_on(h, (pt_dispatch_event){.kind = PT_EVENT_TICK});
    }
    h->now = end;
    step_on(h, (pt_dispatch_event){.kind = PT_EVENT_TICK});
}

void join(harness *h, pt_worker worker, int credit)
{
    join_slot(h, worker, credit, 0);
}

void join_slot(harness *h, pt_worker worker, int credit, uint64_t slot)
{
    step(h, (pt_dispatch_event){.kind = PT_EVENT_JOINED, .worker = worker, .credit = credit, .slot = slot});
}

void start(harness *h, pt_worker worker, int64_t tile, int attempt)
{
    step(h,
         (pt_dispatch_event){.kind = PT_EVENT_STARTED, .worker = worker, .tile = tile, .attempt = attempt});
}

void result(harness *h, pt_worker worker, int64_t tile, int attempt, uint64_t digest, double seconds)
{
    step(h, (pt_dispatch_event){.kind = PT_EVENT_RESULT,
                                .worker = worker,
                                .tile = tile,
                                .attempt = attempt,
                                .digest = digest,
                                .seconds = seconds});
}

void give_up(harness *h, pt_worker worker, int64_t tile, int attempt, bool retryable, bool blame)
{
    step(h, (pt_dispatch_event){.kind = PT_EVENT_FAILED,
                                .worker = worker,
                                .tile = tile,
                                .attempt = attempt,
                                .retryable = retryable,
                                .blame = blame});
}

void beat(harness *h, pt_worker worker, uint64_t progress, int credit, const pt_dispatch_held *held,
          size_t count)
{
    step(h, (pt_dispatch_event){.kind = PT_EVENT_HEARTBEAT,
                                .worker = worker,
                                .progress = progress,
                                .credit = credit,
                                .held = held,
                                .held_count = count});
}

void leave(harness *h, pt_worker worker)
{
    step(h, (pt_dispatch_event){.kind = PT_EVENT_LEFT, .worker = worker});
}

void die(harness *h, pt_worker worker)
{
    step(h, (pt_dispatch_event){.kind = PT_EVENT_DIED, .worker = worker});
}

void commit(harness *h, int64_t tile)
{
    step(h, (pt_dispatch_event){.kind = PT_EVENT_COMMITTED, .tile = tile});
}

void say(harness *h, pt_dispatch_event_kind kind)
{
    step(h, (pt_dispatch_event){.kind = kind});
}

void finish(harness *h, pt_worker worker, int64_t tile, int attempt)
{
    start(h, worker, tile, attempt);
    result(h, worker, tile, attempt, 7, 1);
    commit(h, tile);
}

size_t count_of(const harness *h, pt_dispatch_action_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < h->actions.count; i++) {
        count += h->actions.items[i].kind == kind;
    }
    return count;
}

const pt_dispatch_action *find_action(const harness *h, pt_dispatch_action_kind kind, pt_worker worker,
                                      int64_t tile)
{
    for (size_t i = 0; i < h->actions.count; i++) {
        const pt_dispatch_action *a = &h->actions.items[i];
        if (a->kind == kind && (worker == 0 || a->worker == worker) && (tile < 0 || a->tile == tile)) {
            return a;
        }
    }
    return NULL;
}

pt_dispatch_stats stats_of(const harness *h)
{
    return pt_dispatch_describe(h->dispatch);
}
