/* The tiles that the worker holds. */
#include "worker/loop/internal.h"

#include <string.h>

pt_held_tile *pt_tiles_find(pt_worker_loop *w, int64_t tile)
{
    for (size_t i = 0; i < PT_HELD_MAX; i++) {
        if (w->tiles[i].state != PT_HELD_FREE && !w->tiles[i].dropped &&
            w->tiles[i].assignment.tile == tile) {
            return &w->tiles[i];
        }
    }
    return NULL;
}

pt_held_tile *pt_tiles_first(pt_worker_loop *w, pt_tile_state state)
{
    pt_held_tile *first = NULL;
    for (size_t i = 0; i < PT_HELD_MAX; i++) {
        pt_held_tile *t = &w->tiles[i];
        if (t->state == state && (!first || t->turn < first->turn)) {
            first = t;
        }
    }
    return first;
}

bool pt_tiles_any(const pt_worker_loop *w, pt_tile_state state)
{
    for (size_t i = 0; i < PT_HELD_MAX; i++) {
        if (w->tiles[i].state == state) {
            return true;
        }
    }
    return false;
}

/* Tiles of a blind engine need no reading. */
static void enqueue(pt_worker_loop *w, pt_held_tile *t)
{
    t->turn = w->turns++;
    t->state = w->blind ? PT_HELD_READ : PT_HELD_WAITING;
    t->area = PT_AREA_DATA;
    t->status = pt_ok();
    t->read_seconds = 0;
    t->buffer = -1;
    pthread_cond_broadcast(&w->changed);
}

bool pt_tiles_add(pt_worker_loop *w, pt_assignment *assignment, size_t group, pt_rect rect)
{
    for (size_t i = 0; i < PT_HELD_MAX; i++) {
        pt_held_tile *t = &w->tiles[i];
        if (t->state == PT_HELD_FREE) {
            *t = (pt_held_tile){.assignment = *assignment, .group = group, .rect = rect};
            assignment->pixels = NULL;
            enqueue(w, t);
            return true;
        }
    }
    return false;
}

void pt_tiles_release(pt_worker_loop *w, pt_held_tile *t)
{
    if (t->buffer >= 0) {
        w->window_used[t->buffer] = false;
        t->buffer = -1;
        pthread_cond_broadcast(&w->changed);
    }
}

void pt_tiles_free(pt_worker_loop *w, pt_held_tile *tile)
{
    pt_tiles_release(w, tile);
    pt_free(tile->assignment.pixels);
    pt_free(tile->payload);
    pt_result_fini(&tile->result);
    *tile = (pt_held_tile){.state = PT_HELD_FREE, .buffer = -1};
}

bool pt_tiles_drop(pt_worker_loop *w, pt_held_tile *tile)
{
    switch (tile->state) {
    case PT_HELD_WAITING:
    case PT_HELD_READ:
        pt_tiles_free(w, tile);
        /* Who waits for the pipeline to run empty looks again. */
        pthread_cond_broadcast(&w->changed);
        return true;
    case PT_HELD_READING:
        tile->dropped = true;
        return true;
    case PT_HELD_FREE:
    case PT_HELD_WORKING:
    case PT_HELD_FINISHED:
        break;
    }
    return false;
}

void pt_tiles_restart(pt_worker_loop *w, pt_held_tile *tile, int attempt)
{
    pt_result_fini(&tile->result);
    tile->result = (pt_result){.tile = 0};
    pt_free(tile->payload);
    tile->payload = NULL;
    tile->payload_size = 0;
    tile->told = false;
    tile->assignment.attempt = attempt;
    enqueue(w, tile);
}

void pt_loop_poke(pt_worker_loop *w)
{
    if (!w->poked) {
        w->poked = true;
        pt_end_wake(w->end);
    }
}
