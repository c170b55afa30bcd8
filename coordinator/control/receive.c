#include "coordinator/control/internal.h"

#include <stdio.h>

pt_status pt_control_send(pt_control *c, pt_peer peer, pt_message *message)
{
    message->job = c->job;
    message->epoch = c->epoch;
    /* Whether it arrives shows in what the worker says next; everything that matters is repeated. */
    return pt_hub_send(c->hub, peer, message, NULL);
}

pt_status pt_control_say(pt_control *c, pt_peer peer, pt_message_type type)
{
    pt_message message = {.type = type};
    return pt_control_send(c, peer, &message);
}

pt_status pt_control_bye(pt_control *c, pt_peer peer, const char *why)
{
    pt_message message = {.type = PT_MSG_BYE};
    snprintf(message.as.bye, sizeof message.as.bye, "%s", why);
    return pt_control_send(c, peer, &message);
}

static pt_status set_credit(pt_control *c, pt_member *member, int credit)
{
    member->ready = true;
    member->credit = member->draining ? 0 : credit;
    return pt_control_event(c, (pt_dispatch_event){.kind = PT_EVENT_JOINED,
                                                   .worker = member->worker,
                                                   .slot = member->slot,
                                                   .credit = member->credit});
}

static pt_status take_drain(pt_control *c, pt_member *member)
{
    if (member->draining) {
        return pt_ok();
    }
    PT_INFO("a worker is finishing", PT_S("worker", member->name));
    member->draining = true;
    return set_credit(c, member, 0);
}

static pt_status take_started(pt_control *c, pt_member *member, const pt_held *tile)
{
    pt_control_arrived(c, member, tile->tile);
    return pt_control_event(c, (pt_dispatch_event){.kind = PT_EVENT_STARTED,
                                                   .worker = member->worker,
                                                   .tile = tile->tile,
                                                   .attempt = tile->attempt});
}

/* What the worker holds, as the scheduler wants it; *count shrinks to those tiles that the job has. */
static void list_held(const pt_control *c, const pt_heartbeat *beat, pt_dispatch_held *held, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < beat->held_count; i++) {
        const pt_held *h = &beat->held[i];
        if (h->tile >= 0 && h->tile < c->tiles) {
            held[(*count)++] = (pt_dispatch_held){h->tile, h->attempt, h->started};
        }
    }
}

static pt_status take_heartbeat(pt_control *c, pt_member *member, const pt_heartbeat *beat)
{
    pt_dispatch_held held[PT_HELD_MAX];
    size_t count;
    list_held(c, beat, held, &count);
    member->held = (int)beat->held_count;
    member->progress = beat->progress;
    if (!member->ready) {
        PT_TRY(set_credit(c, member, beat->credit)); /* its READY got lost */
    }
    member->credit = member->draining ? 0 : beat->credit;
    PT_TRY(pt_control_event(c, (pt_dispatch_event){.kind = PT_EVENT_HEARTBEAT,
                                                   .worker = member->worker,
                                                   .progress = beat->progress,
                                                   .credit = member->credit,
                                                   .held = held,
                                                   .held_count = count}));
    if (c->draining) {
        PT_TRY(pt_control_say(c, member->peer, PT_MSG_DRAIN)); /* the first may have got lost */
    }
    return pt_control_say(c, member->peer, PT_MSG_HEARTBEAT);
}

/* A worker that stands still would take tiles again and hold them up again, so it must move first. */
static bool has_moved(const pt_member *member, const pt_message *message)
{
    return message->type == PT_MSG_HEARTBEAT
               ? message->as.heartbeat.progress != member->progress
               : message->type == PT_MSG_RESULT || message->type == PT_MSG_FAILED;
}

/* One that was given up for standing still: it is answered, so that it does not take the line for dead, and
 * given nothing; once it moves it comes in again as if it were new. */
static pt_status take_from_stalled(pt_control *c, pt_member *member, const pt_message *message)
{
    pt_peer peer = member->peer;
    if (has_moved(member, message)) {
        PT_INFO("a worker that stood still moves again", PT_S("worker", member->name));
        pt_control_forget(c, &member);
        return pt_control_say(c, peer, PT_MSG_HELLO);
    }
    return message->type == PT_MSG_HEARTBEAT ? pt_control_say(c, peer, PT_MSG_HEARTBEAT) : pt_ok();
}

static pt_status take_from_member(pt_control *c, pt_member *member, pt_message *message)
{
    bool brings_credit = message->type == PT_MSG_READY || message->type == PT_MSG_HEARTBEAT;
    member->heard = c->now;
    if (!member->ready && !brings_credit) {
        PT_TRY(set_credit(c, member, 0)); /* its READY got lost, or it is here to end what it holds */
    }
    switch (message->type) {
    case PT_MSG_READY:
        return set_credit(c, member, message->as.credit);
    case PT_MSG_STARTED:
        return take_started(c, member, &message->as.tile);
    case PT_MSG_RESULT:
        return pt_control_result(c, member, message);
    case PT_MSG_FAILED:
        return pt_control_failed(c, member, message);
    case PT_MSG_HEARTBEAT:
        return take_heartbeat(c, member, &message->as.heartbeat);
    case PT_MSG_DRAIN:
        return take_drain(c, member);
    default:
        return pt_control_expel(c, &member, "it sent what only coordinators send");
    }
}

static pt_status take_bye(pt_control *c, pt_peer peer, pt_member *member, const char *why)
{
    if (!member && pt_control_is_invited(c, peer)) { /* who only sees the coordinator would wait in vain */
        PT_WARN("a worker left before it could begin", PT_S("reason", why));
    }
    if (member) {
        PT_INFO("a worker leaves", PT_S("worker", member->name), PT_I("tiles", member->tiles));
        PT_TRY(pt_control_lose(c, &member, PT_EVENT_LEFT));
    }
    return pt_control_bye(c, peer, "goodbye");
}

pt_status pt_control_receive(pt_control *c, pt_peer peer, pt_message *message)
{
    if (message->type == PT_MSG_HELLO) {
        return pt_control_hello(c, peer, &message->as.hello);
    }
    pt_member *member = pt_roster_peer(&c->roster, peer);
    if (message->type == PT_MSG_BYE) {
        return take_bye(c, peer, member, message->as.bye);
    }
    if (message->job != c->job) {
        c->numbers.strays++;
        return pt_ok();
    }
    if (member && member->stalled) {
        return take_from_stalled(c, member, message);
    }
    if (!member || message->epoch != c->epoch) {
        c->numbers.strays++;
        return pt_control_say(c, peer, PT_MSG_HELLO);
    }
    return take_from_member(c, member, message);
}
