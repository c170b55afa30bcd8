#include "coordinator/control/internal.h"

#include <string.h>

static void show_member(const pt_control *c, const pt_member *m, pt_worker_view *v)
{
    memcpy(v->name, m->name, sizeof v->name);
    memcpy(v->backend, m->backend, sizeof v->backend);
    v->threads = m->threads;
    v->held = m->held;
    v->credit = m->credit;
    v->tiles = m->tiles;
    v->tile_seconds = m->tile_seconds;
    v->silent = c->now - m->heard;
    v->suspect = m->stalled || v->silent > c->options.dispatch.suspect_after;
    v->draining = m->draining;
}

void pt_control_publish(pt_control *c)
{
    pt_control_snapshot *n = &c->numbers;
    n->dispatch = pt_dispatch_describe(c->dispatch);
    n->link = pt_hub_stats(c->hub);
    n->seconds = c->now - c->began;
    n->feed_bytes = pt_feed_bytes(c->feed);
    n->worker_count = c->roster.count - c->stalled;
    n->workers_shown = c->roster.count < PT_WORKERS_SHOWN ? c->roster.count : PT_WORKERS_SHOWN;
    for (size_t i = 0; i < n->workers_shown; i++) {
        show_member(c, c->roster.members[i], &n->workers[i]);
    }
    c->published = c->now;
    c->news = false;
    pthread_mutex_lock(&c->lock);
    c->shown = *n;
    pthread_mutex_unlock(&c->lock);
}

void pt_control_look(pt_control *c, pt_control_snapshot *out)
{
    pthread_mutex_lock(&c->lock);
    *out = c->shown;
    pthread_mutex_unlock(&c->lock);
}
