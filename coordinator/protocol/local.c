#include "coordinator/protocol/bell.h"
#include "coordinator/protocol/link.h"

#include <pthread.h>
#include <string.h>

/* Hub and ends in one process. Messages are encoded and decoded all the same, so that what one kind of link
 * refuses the other refuses too. */

enum { QUEUE_MAX = 1000 }; /* messages one way between the hub and one end; more are lost */

typedef struct frame {
    struct frame *next;
    pt_peer peer; /* in the hub's queue: its sender */
    uint8_t *bytes;
    size_t size;
} frame;

typedef struct queue {
    frame *first, *last;
    size_t count;
} queue;

typedef struct local_end local_end;
typedef struct local_hub local_hub;

/* One connection; kept until its end is gone or expelled, and the hub's queue holds nothing of it. */
typedef struct peer_state {
    pt_peer peer;
    local_end *end; /* NULL: gone or expelled */
    size_t queued;  /* of it in the hub's queue */
    bool expelled;
} peer_state;

/* What hub and ends share; the last of them frees it. Everything here, and all queues, under the lock. */
typedef struct exchange {
    pthread_mutex_t lock;
    size_t users;
    local_hub *hub; /* NULL: closed */
    queue to_hub;
    peer_state *peers;
    size_t peer_count, peer_capacity;
    pt_peer last_peer;
} exchange;

struct local_hub {
    pt_hub base;
    exchange *exchange;
    pt_bell bell;
    pt_link_stats stats;
};

struct local_end {
    pt_end base;
    exchange *exchange;
    pt_bell bell;
    queue to_end;
    pt_peer peer;
};

static void push(queue *q, frame *f)
{
    f->next = NULL;
    *(q->last ? &q->last->next : &q->first) = f;
    q->last = f;
    q->count++;
}

static frame *pop(queue *q)
{
    frame *f = q->first;
    if (f) {
        q->first = f->next;
        q->last = f->next ? q->last : NULL;
        q->count--;
    }
    return f;
}

static void free_frame(frame *f)
{
    if (f) {
        pt_free(f->bytes);
        pt_free(f);
    }
}

static void clear(queue *q)
{
    for (frame *f = pop(q); f; f = pop(q)) {
        free_frame(f);
    }
}

static pt_status new_frame(const pt_message *message, frame **out)
{
    frame *f = pt_calloc(1, sizeof *f);
    if (!f) {
        return PT_NOMEM("a message");
    }
    pt_status status = pt_message_encode(message, &f->bytes, &f->size);
    if (status.code != PT_OK) {
        pt_free(f);
        return status;
    }
    *out = f;
    return status;
}

static peer_state *find(exchange *x, pt_peer peer)
{
    for (size_t i = 0; i < x->peer_count; i++) {
        if (x->peers[i].peer == peer) {
            return &x->peers[i];
        }
    }
    return NULL;
}

static void forget_if_done(exchange *x, peer_state *p)
{
    if (!p->end && p->queued == 0) {
        *p = x->peers[--x->peer_count];
    }
}

/* False when it was already. */
static bool disconnect(exchange *x, pt_peer peer, bool expelled)
{
    peer_state *p = find(x, peer);
    bool changed = p && (p->end || p->expelled != expelled);
    if (changed) {
        p->end = NULL;
        p->expelled = expelled;
        forget_if_done(x, p);
    }
    return changed;
}

static void leave(exchange *x)
{
    pthread_mutex_lock(&x->lock);
    bool last = --x->users == 0;
    pthread_mutex_unlock(&x->lock);
    if (last) {
        clear(&x->to_hub);
        pthread_mutex_destroy(&x->lock);
        pt_free(x->peers);
        pt_free(x);
    }
}

/* The next frame of a peer that still counts. */
static frame *next_for_hub(exchange *x)
{
    pthread_mutex_lock(&x->lock);
    frame *f = pop(&x->to_hub);
    while (f) {
        peer_state *p = find(x, f->peer);
        bool expelled = p->expelled;
        p->queued--;
        forget_if_done(x, p);
        if (!expelled) {
            break;
        }
        free_frame(f);
        f = pop(&x->to_hub);
    }
    pthread_mutex_unlock(&x->lock);
    return f;
}

static void hub_expel(pt_hub *base, pt_peer peer)
{
    local_hub *hub = (local_hub *)base;
    pthread_mutex_lock(&hub->exchange->lock);
    hub->stats.expelled += disconnect(hub->exchange, peer, true);
    pthread_mutex_unlock(&hub->exchange->lock);
}

/* Decodes and frees the frame. *got stays false when it was refused. */
static pt_status open_frame(local_hub *hub, frame *f, pt_peer *peer, pt_message *out, bool *got)
{
    hub->stats.received++;
    hub->stats.received_bytes += f->size;
    pt_status status = pt_message_decode(f->bytes, f->size, out);
    if (status.code == PT_OK) {
        *peer = f->peer;
        *got = true;
    } else if (status.code == PT_E_INPUT) {
        hub->stats.refused++;
        hub_expel(&hub->base, f->peer);
        status = pt_ok();
    }
    free_frame(f);
    return status;
}

static pt_status hub_receive(pt_hub *base, int timeout_ms, pt_peer *peer, pt_message *out, bool *got)
{
    local_hub *hub = (local_hub *)base;
    int64_t deadline = pt_deadline(timeout_ms);
    *got = false;
    while (!*got && !pt_bell_take(&hub->bell)) {
        frame *f = next_for_hub(hub->exchange);
        if (f) {
            PT_TRY(open_frame(hub, f, peer, out, got));
        } else if (!pt_bell_wait(&hub->bell, deadline)) {
            break;
        }
    }
    return pt_ok();
}

static pt_status hub_send(pt_hub *base, pt_peer peer, const pt_message *message, bool *reached)
{
    local_hub *hub = (local_hub *)base;
    frame *f = NULL;
    PT_TRY(new_frame(message, &f));
    size_t size = f->size;
    pthread_mutex_lock(&hub->exchange->lock);
    const peer_state *p = find(hub->exchange, peer);
    bool sent = p && p->end && p->end->to_end.count < QUEUE_MAX;
    if (sent) {
        push(&p->end->to_end, f);
        pt_bell_notify(&p->end->bell);
    }
    pthread_mutex_unlock(&hub->exchange->lock);
    if (!sent) {
        free_frame(f);
        hub->stats.lost++;
    } else {
        hub->stats.sent++;
        hub->stats.sent_bytes += size;
    }
    *reached = sent;
    return pt_ok();
}

static void hub_wake(pt_hub *base)
{
    pt_bell_wake(&((local_hub *)base)->bell);
}

static pt_link_stats hub_stats(const pt_hub *base)
{
    return ((const local_hub *)base)->stats;
}

static void hub_close(pt_hub *base)
{
    local_hub *hub = (local_hub *)base;
    pthread_mutex_lock(&hub->exchange->lock);
    hub->exchange->hub = NULL;
    pthread_mutex_unlock(&hub->exchange->lock);
    leave(hub->exchange);
    pt_bell_close(&hub->bell);
    pt_free(hub);
}

static const pt_hub_vtable local_hub_vtable = {
    .receive = hub_receive,
    .send = hub_send,
    .expel = hub_expel,
    .wake = hub_wake,
    .stats = hub_stats,
    .close = hub_close,
};

pt_status pt_hub_open_local(pt_hub **out)
{
    local_hub *hub = pt_calloc(1, sizeof *hub);
    exchange *x = pt_calloc(1, sizeof *x);
    pt_status status = hub && x ? pt_bell_open(&hub->bell) : PT_NOMEM("a link");
    if (status.code == PT_OK && pthread_mutex_init(&x->lock, NULL) != 0) {
        pt_bell_close(&hub->bell);
        status = PT_NOMEM("a link");
    }
    if (status.code != PT_OK) {
        pt_free(hub);
        pt_free(x);
        return status;
    }
    x->users = 1;
    x->hub = hub;
    hub->base.vtable = &local_hub_vtable;
    hub->exchange = x;
    *out = &hub->base;
    return status;
}

static pt_status end_receive(pt_end *base, int timeout_ms, pt_message *out, bool *got)
{
    local_end *end = (local_end *)base;
    int64_t deadline = pt_deadline(timeout_ms);
    *got = false;
    while (!pt_bell_take(&end->bell)) {
        pthread_mutex_lock(&end->exchange->lock);
        frame *f = pop(&end->to_end);
        pthread_mutex_unlock(&end->exchange->lock);
        if (f) {
            pt_status status =
                pt_message_decode(f->bytes, f->size, out); /* from our own hub: never refused */
            free_frame(f);
            *got = status.code == PT_OK;
            return status;
        }
        if (!pt_bell_wait(&end->bell, deadline)) {
            break;
        }
    }
    return pt_ok();
}

static pt_status end_send(pt_end *base, const pt_message *message)
{
    local_end *end = (local_end *)base;
    exchange *x = end->exchange;
    frame *f = NULL;
    PT_TRY(new_frame(message, &f));
    f->peer = end->peer;
    pthread_mutex_lock(&x->lock);
    peer_state *p = find(x, end->peer);
    bool sent = x->hub && p && p->end && p->queued < QUEUE_MAX;
    if (sent) {
        push(&x->to_hub, f);
        p->queued++;
        pt_bell_notify(&x->hub->bell);
    }
    pthread_mutex_unlock(&x->lock);
    if (!sent) {
        free_frame(f);
    }
    return pt_ok();
}

/* Under the lock: a number of its own for the end. */
static pt_status join(local_end *end)
{
    exchange *x = end->exchange;
    PT_TRY(pt_grow(&x->peers, &x->peer_capacity, x->peer_count + 1, sizeof *x->peers));
    end->peer = ++x->last_peer;
    x->peers[x->peer_count++] = (peer_state){.peer = end->peer, .end = end};
    return pt_ok();
}

static pt_status end_reconnect(pt_end *base)
{
    local_end *end = (local_end *)base;
    pt_peer before = end->peer;
    pthread_mutex_lock(&end->exchange->lock);
    pt_status status = join(end);
    if (status.code == PT_OK) {
        disconnect(end->exchange, before, false);
        clear(&end->to_end);
    }
    pthread_mutex_unlock(&end->exchange->lock);
    return status;
}

static void end_wake(pt_end *base)
{
    pt_bell_wake(&((local_end *)base)->bell);
}

static void end_close(pt_end *base)
{
    local_end *end = (local_end *)base;
    pthread_mutex_lock(&end->exchange->lock);
    disconnect(end->exchange, end->peer, false);
    pthread_mutex_unlock(&end->exchange->lock);
    leave(end->exchange);
    clear(&end->to_end);
    pt_bell_close(&end->bell);
    pt_free(end);
}

static const pt_end_vtable local_end_vtable = {
    .receive = end_receive,
    .send = end_send,
    .reconnect = end_reconnect,
    .wake = end_wake,
    .close = end_close,
};

pt_status pt_end_open_local(pt_hub *hub, pt_end **out)
{
    exchange *x = ((local_hub *)hub)->exchange;
    local_end *end = pt_calloc(1, sizeof *end);
    if (!end) {
        return PT_NOMEM("a link");
    }
    end->base.vtable = &local_end_vtable;
    end->exchange = x;
    pt_status status = pt_bell_open(&end->bell);
    if (status.code != PT_OK) {
        pt_free(end);
        return status;
    }
    pthread_mutex_lock(&x->lock);
    status = join(end);
    x->users += status.code == PT_OK;
    pthread_mutex_unlock(&x->lock);
    if (status.code != PT_OK) {
        pt_bell_close(&end->bell);
        pt_free(end);
        return status;
    }
    *out = &end->base;
    return status;
}
