#include "coordinator/control/ship.h"

#include <pthread.h>

typedef enum stage { WAITING, READING, READY } stage;

typedef struct errand {
    struct errand *next;
    stage stage;
    bool cancelled; /* while it was read: whoever reads it throws it away */
    pt_parcel parcel;
} errand;

struct pt_ship {
    pt_pixel_source *source;
    void *user;
    size_t budget;
    void (*ready)(void *user);
    void *ready_user;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. Lists are as long as workers hold tiles: short enough to walk for a window's worth of
     * reading. */
    errand *errands; /* in the order they were asked for */
    size_t bytes;    /* read, and not released */
    bool closing;
};

static void drop(errand *e)
{
    pt_free(e->parcel.assignment.pixels);
    pt_free(e);
}

static errand *first_waiting(const pt_ship *ship)
{
    errand *e = ship->bytes < ship->budget ? ship->errands : NULL;
    while (e && e->stage != WAITING) {
        e = e->next;
    }
    return e;
}

static void unlink_errand(pt_ship *ship, errand *e)
{
    errand **at = &ship->errands;
    while (*at != e) {
        at = &(*at)->next;
    }
    *at = e->next;
}

/* Reads one window; the lock is held before and after, not meanwhile. */
static void read_one(pt_ship *ship, errand *e)
{
    e->stage = READING;
    pt_assignment assignment = e->parcel.assignment;
    pthread_mutex_unlock(&ship->lock);
    pt_status status = ship->source(ship->user, assignment.tile, &assignment);
    pthread_mutex_lock(&ship->lock);
    if (status.code == PT_OK) {
        assignment.has_pixels = true;
        e->parcel.assignment = assignment;
    }
    e->parcel.status = status;
    e->stage = READY;
    if (e->cancelled || ship->closing) {
        unlink_errand(ship, e);
        drop(e);
        return;
    }
    ship->bytes += e->parcel.assignment.pixel_bytes;
    ship->ready(ship->ready_user);
}

static void *work(void *user)
{
    pt_ship *ship = user;
    pthread_mutex_lock(&ship->lock);
    while (!ship->closing) {
        errand *e = first_waiting(ship);
        if (e) {
            read_one(ship, e);
        } else {
            pthread_cond_wait(&ship->changed, &ship->lock);
        }
    }
    pthread_mutex_unlock(&ship->lock);
    return NULL;
}

pt_status pt_ship_new(pt_pixel_source *source, void *user, size_t budget, void (*ready)(void *),
                      void *ready_user, pt_ship **out)
{
    if (budget == 0) {
        return pt_error(PT_E_USAGE, "pixels for workers need room for at least one byte");
    }
    pt_ship *ship = pt_calloc(1, sizeof *ship);
    if (!ship) {
        return PT_NOMEM("the reader of pixels for workers");
    }
    ship->source = source;
    ship->user = user;
    ship->budget = budget;
    ship->ready = ready;
    ship->ready_user = ready_user;
    pthread_mutex_init(&ship->lock, NULL);
    pthread_cond_init(&ship->changed, NULL);
    if (pthread_create(&ship->thread, NULL, work, ship) != 0) {
        pt_ship_free(&ship);
        return pt_error(PT_E_NOMEM, "the thread that reads pixels for workers could not be started");
    }
    ship->running = true;
    *out = ship;
    return pt_ok();
}

static bool asked_already(const pt_ship *ship, pt_worker worker, int64_t tile)
{
    for (const errand *e = ship->errands; e; e = e->next) {
        if (e->parcel.worker == worker && e->parcel.assignment.tile == tile && !e->cancelled) {
            return true;
        }
    }
    return false;
}

pt_status pt_ship_ask(pt_ship *ship, pt_worker worker, int64_t tile, int attempt)
{
    errand *fresh = pt_calloc(1, sizeof *fresh);
    if (!fresh) {
        return PT_NOMEM("a request for pixels");
    }
    fresh->parcel.worker = worker;
    fresh->parcel.assignment.tile = tile;
    fresh->parcel.assignment.attempt = attempt;
    pthread_mutex_lock(&ship->lock);
    if (!asked_already(ship, worker, tile)) {
        errand **at = &ship->errands;
        while (*at) {
            at = &(*at)->next;
        }
        *at = fresh;
        fresh = NULL;
        pthread_cond_signal(&ship->changed);
    }
    pthread_mutex_unlock(&ship->lock);
    pt_free(fresh);
    return pt_ok();
}

void pt_ship_cancel(pt_ship *ship, pt_worker worker, int64_t tile)
{
    pthread_mutex_lock(&ship->lock);
    for (errand **at = &ship->errands; *at;) {
        errand *e = *at;
        if (e->parcel.worker != worker || (tile >= 0 && e->parcel.assignment.tile != tile)) {
            at = &e->next;
        } else if (e->stage == READING) {
            e->cancelled = true;
            at = &e->next;
        } else {
            ship->bytes -= e->parcel.assignment.pixel_bytes;
            *at = e->next;
            drop(e);
        }
    }
    pthread_cond_signal(&ship->changed);
    pthread_mutex_unlock(&ship->lock);
}

bool pt_ship_take(pt_ship *ship, pt_parcel *out)
{
    pthread_mutex_lock(&ship->lock);
    errand *e = ship->errands;
    while (e && e->stage != READY) {
        e = e->next;
    }
    if (e) {
        unlink_errand(ship, e);
    }
    pthread_mutex_unlock(&ship->lock);
    if (!e) {
        return false;
    }
    *out = e->parcel;
    pt_free(e);
    return true;
}

void pt_ship_release(pt_ship *ship, size_t bytes)
{
    pthread_mutex_lock(&ship->lock);
    ship->bytes -= bytes;
    pthread_cond_signal(&ship->changed);
    pthread_mutex_unlock(&ship->lock);
}

void pt_ship_free(pt_ship **ship)
{
    if (!ship || !*ship) {
        return;
    }
    pt_ship *s = *ship;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (s->running) {
        pthread_join(s->thread, NULL);
    }
    while (s->errands) {
        errand *e = s->errands;
        s->errands = e->next;
        drop(e);
    }
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    pt_free(s);
    *ship = NULL;
}
