/* Who comes in: the same program, the same job, the same model. */
#include "coordinator/control/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { HEX = 65 };

static const char *hex(const uint8_t sha256[32], char out[HEX])
{
    for (size_t i = 0; i < 32; i++) {
        snprintf(out + 2 * i, 3, "%02x", sha256[i]);
    }
    return out;
}

/* The first reason why this worker cannot do the job; an empty text when there is none. */
static void find_fault(const pt_control *c, const pt_hello *h, char *why, size_t size)
{
    char ours[HEX], theirs[HEX];
    const uint8_t *engine = c->spec->engine.sha256;
    why[0] = '\0';
    if (strcmp(h->program, c->spec->program) != 0) {
        snprintf(why, size,
                 "the worker runs pantile %s and the coordinator %s; install the same version on both",
                 h->program, c->spec->program);
    } else if ((h->opened || h->has_engine_sha256) && memcmp(h->engine_sha256, engine, 32) != 0) {
        snprintf(why, size,
                 "the worker's model has the SHA-256 %s, the job's %s; give the worker the job's model file",
                 hex(h->engine_sha256, theirs), hex(engine, ours));
    } else if (h->opened && memcmp(h->job_hash, c->hash, 32) != 0) {
        snprintf(why, size, "the worker has opened the job %s, and this is the job %s; start it again",
                 hex(h->job_hash, theirs), hex(c->hash, ours));
    } else if (h->wants_pixels && !c->ship) {
        snprintf(
            why, size,
            "the worker cannot read the scene, and the coordinator sends no pixels; start the coordinator "
            "with --ship-pixels, or give the worker the scene's folder with --root");
    } else if (c->roster.count >= PT_MEMBERS_MAX) {
        snprintf(why, size, "the coordinator has %zu workers and takes no more", c->roster.count);
    }
}

static pt_status refuse(pt_control *c, pt_peer peer, const pt_hello *h, const char *why)
{
    pt_message message = {.type = PT_MSG_REFUSED};
    c->numbers.refused_workers++;
    PT_WARN("a worker was refused", PT_S("worker", h->name), PT_S("reason", why));
    snprintf(message.as.refused, sizeof message.as.refused, "%s", why);
    return pt_control_send(c, peer, &message);
}

static size_t find_invited(const pt_control *c, pt_peer peer)
{
    size_t i = 0;
    while (i < c->invited_count && c->invited[i].peer != peer) {
        i++;
    }
    return i;
}

bool pt_control_is_invited(const pt_control *c, pt_peer peer)
{
    return find_invited(c, peer) < c->invited_count;
}

pt_status pt_control_invite(pt_control *c, pt_peer peer)
{
    if (find_invited(c, peer) == c->invited_count && c->invited_count < PT_MEMBERS_MAX) {
        PT_TRY(pt_grow(&c->invited, &c->invited_capacity, c->invited_count + 1, sizeof *c->invited));
        c->invited[c->invited_count++] = (pt_invited){peer, -INFINITY};
    }
    return pt_ok();
}

static void uninvite(pt_control *c, pt_peer peer)
{
    size_t i = find_invited(c, peer);
    if (i < c->invited_count) {
        c->invited[i] = c->invited[--c->invited_count];
    }
}

/* Who asks without end must not fill the memory with answers, which may be a thousand times as long. */
static pt_status send_job(pt_control *c, pt_peer peer)
{
    PT_TRY(pt_control_invite(c, peer));
    size_t i = find_invited(c, peer);
    if (i < c->invited_count && c->now < c->invited[i].sent + PT_JOB_SECONDS) {
        return pt_ok();
    }
    if (i < c->invited_count) {
        c->invited[i].sent = c->now;
    }
    pt_message message = {.type = PT_MSG_JOB};
    message.as.job.spec = c->spec_bytes; /* lent: the message is not freed */
    message.as.job.size = c->spec_size;
    message.as.job.heartbeat_seconds = c->options.heartbeat_seconds;
    return pt_control_send(c, peer, &message);
}

/* Whoever takes over a slot knows that the one before is dead, long before its silence tells. */
static pt_status bury_predecessor(pt_control *c, const pt_hello *h)
{
    pt_member *dead = pt_roster_slot(&c->roster, pt_control_slot(h->slot), h->instance);
    if (!dead) {
        return pt_ok();
    }
    PT_WARN("a worker died and was replaced", PT_S("worker", dead->name), PT_S("by", h->name));
    return pt_control_lose(c, &dead, PT_EVENT_DIED);
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;
    for (size_t i = 0; i < size; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

pt_status pt_control_hello(pt_control *c, pt_peer peer, const pt_hello *h)
{
    char why[PT_STATUS_MESSAGE];
    if (is_zero(h->instance, sizeof h->instance)) {
        PT_WARN("a peer that does not say who it is was dropped");
        pt_hub_expel(c->hub, peer);
        return pt_ok();
    }
    find_fault(c, h, why, sizeof why);
    if (why[0]) {
        return refuse(c, peer, h, why);
    }
    PT_TRY(bury_predecessor(c, h));
    pt_member *known = pt_roster_instance(&c->roster, h->instance);
    if (!known && c->draining) {
        return pt_control_bye(c, peer, "the job is being stopped");
    }
    if (!h->opened) {
        return send_job(c, peer);
    }
    PT_TRY(pt_control_welcome(c, peer, h));
    uninvite(c, peer);
    return pt_control_say(c, peer, PT_MSG_WELCOME);
}
