#include "coordinator/control/internal.h"

#include <string.h>

uint64_t pt_control_slot(const uint8_t *slot)
{
    uint64_t halves[2];
    memcpy(halves, slot, sizeof halves);
    if (halves[0] == 0 && halves[1] == 0) {
        return 0;
    }
    uint64_t folded = halves[0] ^ halves[1];
    return folded ? folded : 1;
}

static void describe(pt_member *m, const pt_hello *h)
{
    memcpy(m->name, h->name, sizeof m->name);
    memcpy(m->backend, h->backend, sizeof m->backend);
    m->slot = pt_control_slot(h->slot);
    m->threads = h->threads;
    m->wants_pixels = h->wants_pixels;
}

/* Once: whoever wants the same bytes from every run can choose one backend for all. */
static void warn_about_backends(pt_control *c, const pt_member *m)
{
    const pt_member *other = c->mixed ? NULL : pt_roster_differs(&c->roster, m);
    if (other) {
        c->mixed = true;
        PT_WARN(
            "workers compute with backends whose floats differ, so the output depends in its last digits on "
            "who had which tile; --backend native avoids that",
            PT_S("worker", m->name), PT_S("backend", m->backend), PT_S("other", other->name),
            PT_S("its_backend", other->backend));
    }
}

pt_status pt_control_welcome(pt_control *c, pt_peer peer, const pt_hello *h)
{
    pt_member *m = pt_roster_instance(&c->roster, h->instance);
    pt_member *other = pt_roster_peer(&c->roster, peer);
    if (other && other != m) {
        /* One connection, one worker: the one that it spoke for before is gone. */
        PT_TRY(pt_control_lose(c, &other, PT_EVENT_DIED));
    }
    if (m) {
        if (m->peer != peer) {
            PT_DEBUG("a worker has connected again", PT_S("worker", m->name));
            pt_roster_rebind(&c->roster, m, peer);
        }
        m->heard = c->now;
        return pt_ok();
    }
    PT_TRY(pt_roster_add(&c->roster, peer, ++c->next_worker, h->instance, &m));
    describe(m, h);
    m->joined = m->heard = c->now;
    c->numbers.joined_workers++;
    PT_INFO("a worker joined", PT_S("worker", m->name), PT_S("backend", m->backend),
            PT_I("threads", m->threads), PT_I("workers", c->roster.count));
    warn_about_backends(c, m);
    return pt_ok();
}

void pt_control_forget(pt_control *c, pt_member **member)
{
    pt_control_unship(c, *member, -1);
    c->stalled -= (*member)->stalled;
    pt_batch_forget(&c->batch, *member);
    pt_batch_forget(&c->spare, *member);
    pt_roster_remove(&c->roster, member);
    c->idle_since = c->now;
}

pt_status pt_control_lose(pt_control *c, pt_member **member, pt_dispatch_event_kind how)
{
    pt_worker worker = (*member)->ready && !(*member)->stalled ? (*member)->worker : 0;
    c->numbers.lost_workers += how == PT_EVENT_DIED && !(*member)->stalled;
    pt_control_forget(c, member);
    return worker ? pt_control_event(c, (pt_dispatch_event){.kind = how, .worker = worker}) : pt_ok();
}

pt_status pt_control_expel(pt_control *c, pt_member **member, const char *why)
{
    PT_WARN("a worker that breaks the protocol was dropped", PT_S("worker", (*member)->name),
            PT_S("reason", why));
    pt_hub_expel(c->hub, (*member)->peer);
    return pt_control_lose(c, member, PT_EVENT_DIED);
}
