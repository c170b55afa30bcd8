/* A job that goes on: what the ledger has is told to the scheduler and fed to the stitching, while workers
 * that say HELLO meanwhile get the job, so that they open it in the same time. */
#include "coordinator/control/internal.h"

#include <string.h>

enum { LOOK_AROUND = 256 }; /* settlements between two looks at the hub */

/* Until the replay is through nobody is welcomed; a heartbeat tells who asks that there is somebody. */
static pt_status answer(pt_control *c, pt_peer peer, const pt_message *message)
{
    if (message->type == PT_MSG_HELLO && !message->as.hello.opened) {
        return pt_control_hello(c, peer, &message->as.hello);
    }
    return message->type == PT_MSG_BYE ? pt_control_bye(c, peer, "goodbye")
                                       : pt_control_say(c, peer, PT_MSG_HEARTBEAT);
}

static pt_status look_around(pt_control *c, int timeout_ms)
{
    for (int i = 0; i < PT_PASS_MESSAGES; i++) {
        pt_peer peer = 0;
        pt_message message = {0};
        bool got = false;
        PT_TRY(pt_hub_receive(c->hub, i == 0 ? timeout_ms : 0, &peer, &message, &got));
        if (!got) {
            break;
        }
        pt_status status = answer(c, peer, &message);
        pt_message_fini(&message);
        PT_TRY(status);
    }
    return pt_ok();
}

/* Now and then: who is there, and what to show. */
static pt_status pause_for_others(pt_control *c)
{
    c->now = c->clock(c->clock_user);
    if (c->now >= c->published + PT_PUBLISH_SECONDS) {
        pt_control_publish(c);
    }
    return look_around(c, 0);
}

static pt_status wait_for_room(pt_control *c)
{
    enum { AT_MOST_MS = 1000 }; /* the feed wakes the hub; this is for what may be missed */
    while (pt_feed_full(c->feed) && atomic_load(&c->drain) < 2) {
        PT_TRY(pt_feed_state(c->feed));
        PT_TRY(look_around(c, AT_MOST_MS));
    }
    if (atomic_load(&c->drain) == 2) {
        return pt_error(PT_E_STOPPED, "stopped while the results of before were read back");
    }
    return c->numbers.resumed % LOOK_AROUND == 0 ? pause_for_others(c) : pt_ok();
}

static pt_status feed(pt_control *c, const pt_settlement *s)
{
    uint8_t *payload = NULL;
    pt_result result = {.tile = s->tile,
                        .attempt = s->attempts,
                        .outcome = s->outcome,
                        .capped = s->capped,
                        .read_seconds = s->read_seconds,
                        .infer_seconds = s->infer_seconds};
    if (s->outcome == PT_TILE_FAILED) {
        result.status = pt_error(PT_E_TILE, "%s", s->reason ? s->reason : "given up before");
    }
    if (s->payload) {
        payload = pt_alloc(s->size, 1);
        if (!payload) {
            return PT_NOMEM("a result of before");
        }
        memcpy(payload, s->payload, s->size);
    }
    pt_control_count(c, &result, s->detections);
    c->numbers.resumed++;
    return pt_feed_put(c->feed, &result, payload, s->size);
}

static pt_status take_settled(void *user, const pt_settlement *s)
{
    pt_control *c = user;
    if (s->tile < 0 || s->tile >= c->tiles || pt_control_settled(c, s->tile)) {
        return pt_error(PT_E_INPUT, "%s: the ledger has tile %lld %s; `pantile verify` shows its state",
                        pt_ledger_dir(c->ledger), (long long)s->tile,
                        s->tile < 0 || s->tile >= c->tiles ? "beyond the job" : "twice");
    }
    PT_TRY(pt_dispatch_settled_before(c->dispatch, s->tile, s->digest, s->outcome == PT_TILE_FAILED));
    PT_TRY(feed(c, s));
    return wait_for_room(c);
}

static pt_status take_struck(void *user, int64_t tile, int strikes, int lives)
{
    pt_control *c = user;
    return pt_dispatch_struck_before(c->dispatch, tile, strikes, lives);
}

pt_status pt_control_replay(pt_control *c)
{
    PT_TRY(pt_ledger_replay(c->ledger, take_settled, take_struck, c));
    if (c->numbers.resumed > 0) {
        PT_INFO("going on where the job was left", PT_I("settled", c->numbers.resumed),
                PT_I("tiles", c->tiles));
    }
    return pt_ok();
}
