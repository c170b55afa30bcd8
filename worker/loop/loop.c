#include "worker/loop/loop.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

enum { SLOTS = 2 }; /* one is read while the other is inferred */

typedef struct slot {
    pt_assignment assignment;
    pt_area_state state;
    pt_status status; /* of reading */
    pt_window window; /* buffers are reused from tile to tile */
    double read_seconds;
} slot;

typedef struct worker {
    pt_link *link;
    pt_scene_reader *reader; /* the reading thread's alone */
    pt_detector *detector;   /* the inferring thread's alone */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    slot slots[SLOTS];
    int full;   /* slots read, not yet inferred; a slot belongs to the reader while it is not counted here */
    bool ended; /* the reader sends no more */
    bool aborted; /* the inferring thread takes no more */
} worker;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void read_slot(worker *w, slot *s)
{
    double start = now();
    s->state = PT_AREA_DATA;
    s->status = pt_scene_reader_state(w->reader, s->assignment.window, &s->state);
    if (s->status.code == PT_OK && s->state == PT_AREA_DATA) {
        s->status = pt_scene_reader_read(w->reader, s->assignment.window, &s->window);
        if (s->status.code == PT_OK && s->window.valid_count == 0) {
            s->state = PT_AREA_EMPTY;
        }
    }
    s->read_seconds = now() - start;
}

/* Waits for a slot that may be filled; false when the other side has stopped. */
static bool wait_for_room(worker *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->aborted && w->full == SLOTS) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    bool go_on = !w->aborted;
    pthread_mutex_unlock(&w->lock);
    return go_on;
}

static void publish(worker *w, int more, bool ended)
{
    pthread_mutex_lock(&w->lock);
    w->full += more;
    w->ended = w->ended || ended;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void *read_tiles(void *user)
{
    worker *w = user;
    for (int i = 0; wait_for_room(w); i = (i + 1) % SLOTS) {
        slot *s = &w->slots[i];
        if (pt_link_next(w->link, &s->assignment).code != PT_OK) {
            break;
        }
        read_slot(w, s);
        publish(w, 1, false);
    }
    publish(w, 0, true);
    return NULL;
}

/* Waits for a filled slot; false when there will be none. */
static bool wait_for_tile(worker *w)
{
    pthread_mutex_lock(&w->lock);
    while (w->full == 0 && !w->ended) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    bool there = w->full > 0;
    pthread_mutex_unlock(&w->lock);
    return there;
}

static void infer_slot(worker *w, const slot *s, pt_result *result)
{
    result->tile = s->assignment.tile;
    result->attempt = s->assignment.attempt;
    result->read_seconds = s->read_seconds;
    result->status = s->status;
    if (s->status.code == PT_OK && s->state != PT_AREA_DATA) {
        result->outcome = s->state == PT_AREA_OUTSIDE ? PT_TILE_OUTSIDE : PT_TILE_EMPTY;
        return;
    }
    double start = now();
    if (s->status.code == PT_OK) {
        result->status = pt_detector_detect(w->detector, s->assignment.tile, &s->window, &result->instances,
                                            &result->capped);
    }
    result->outcome = result->status.code == PT_OK ? PT_TILE_DONE : PT_TILE_FAILED;
    result->infer_seconds = now() - start;
}

static void infer_tiles(worker *w)
{
    for (int i = 0; wait_for_tile(w); i = (i + 1) % SLOTS) {
        pt_result result = {0};
        infer_slot(w, &w->slots[i], &result);
        if (pt_link_reply(w->link, &result).code != PT_OK) {
            pt_result_fini(&result);
            break;
        }
        publish(w, -1, false);
    }
    pthread_mutex_lock(&w->lock);
    w->aborted = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

pt_status pt_worker_run(const pt_scene *scene, pt_detector *detector, pt_link *link)
{
    worker w = {.link = link, .detector = detector};
    pthread_t thread;
    pt_status status = pt_scene_reader_open(scene, &w.reader);
    if (status.code != PT_OK) {
        pt_link_close(link);
        return status;
    }
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.changed, NULL);
    int error = pthread_create(&thread, NULL, read_tiles, &w);
    if (error == 0) {
        infer_tiles(&w);
        pthread_join(thread, NULL);
    } else {
        status = pt_error(PT_E_NOMEM, "no thread for reading tiles: %s", strerror(error));
        pt_link_close(link);
    }
    for (int i = 0; i < SLOTS; i++) {
        pt_window_fini(&w.slots[i].window);
    }
    pthread_cond_destroy(&w.changed);
    pthread_mutex_destroy(&w.lock);
    pt_scene_reader_close(&w.reader);
    return status;
}
