/* The threads that read and infer. */
#include "worker/loop/internal.h"

#include <string.h>

/* --- reading --- */

/* Opens the job's files; the link's thread goes on meanwhile. */
static void open_job(pt_worker_loop *w)
{
    pt_worker_job *job = NULL;
    pt_status check = pt_ok();
    pthread_mutex_unlock(&w->lock);
    pt_status status = pt_worker_job_open(&w->spec, &w->options->access, &job);
    if (status.code == PT_OK) {
        check = pt_worker_job_check(job);
    }
    if (status.code == PT_OK && check.code == PT_OK) {
        status = pt_worker_job_group(job, 0, &w->reader, &w->detector);
        w->has_group = status.code == PT_OK;
        w->group = 0;
    }
    pthread_mutex_lock(&w->lock);
    w->job = job;
    w->blind = w->has_group && w->detector->blind;
    w->open_status = status;
    w->check_status = check;
    w->opening = PT_OPENING_DONE;
    pt_loop_poke(w);
}

/* Another group's scene closes this one's, so nothing of it may be in use. */
static pt_status enter_group(pt_worker_loop *w, size_t group)
{
    if (w->has_group && w->group == group) {
        return pt_ok();
    }
    while (!w->stop && (pt_tiles_any(w, PT_HELD_READ) || pt_tiles_any(w, PT_HELD_WORKING))) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    if (w->stop) {
        return pt_error(PT_E_STOPPED, "the worker is leaving"); /* another tile may still be inferred */
    }
    pthread_mutex_unlock(&w->lock);
    w->has_group = false;
    pt_status status = pt_worker_job_group(w->job, group, &w->reader, &w->detector);
    pthread_mutex_lock(&w->lock);
    w->has_group = status.code == PT_OK;
    w->group = group;
    return status;
}

static pt_status read_scene(pt_worker_loop *w, pt_held_tile *t)
{
    PT_TRY(pt_scene_reader_state(w->reader, t->rect, &t->area));
    if (t->area == PT_AREA_DATA) {
        pt_window *window = &w->windows[t->buffer];
        PT_TRY(pt_scene_reader_read(w->reader, t->rect, window));
        if (window->valid_count == 0) {
            t->area = PT_AREA_EMPTY;
        }
    }
    return pt_ok();
}

/* Pixels that came with the assignment. */
static pt_status take_shipped(pt_held_tile *t)
{
    const pt_assignment *a = &t->assignment;
    size_t pixels = (size_t)pt_rect_area(t->rect);
    t->area = (pt_area_state)a->area_state;
    if (t->area != PT_AREA_DATA) {
        return pt_ok();
    }
    if (!a->pixels || a->pixel_bytes != 4 * pixels) {
        return pt_error(PT_E_READ, "tile %lld: %zu bytes of pixels came, its window has %zu",
                        (long long)a->tile, a->pixel_bytes, 4 * pixels);
    }
    t->shipped = (pt_window){.rect = t->rect, .rgb = a->pixels, .valid = a->pixels + 3 * pixels};
    for (size_t i = 0; i < pixels; i++) {
        if (t->shipped.valid[i] > 1) {
            return pt_error(PT_E_READ, "tile %lld: the pixels that came are damaged", (long long)a->tile);
        }
        t->shipped.valid_count += t->shipped.valid[i];
    }
    t->area = t->shipped.valid_count > 0 ? PT_AREA_DATA : PT_AREA_EMPTY;
    return pt_ok();
}

static pt_status read_pixels(pt_worker_loop *w, pt_held_tile *t)
{
    if (t->assignment.has_pixels) {
        return take_shipped(t);
    }
    if (!w->reader) {
        return pt_error(PT_E_READ, "tile %lld came without pixels, and this worker sees no scene",
                        (long long)t->assignment.tile);
    }
    return read_scene(w, t);
}

static int free_window(const pt_worker_loop *w)
{
    for (int i = 0; i < PT_WINDOWS; i++) {
        if (!w->window_used[i]) {
            return i;
        }
    }
    return -1;
}

static void read_tile(pt_worker_loop *w, pt_held_tile *t)
{
    t->state = PT_HELD_READING;
    t->buffer = free_window(w);
    w->window_used[t->buffer] = true;
    w->reads++;
    double start = pt_loop_clock();
    pt_status status = enter_group(w, t->group);
    pthread_mutex_unlock(&w->lock);
    if (status.code == PT_OK) {
        status = read_pixels(w, t);
    }
    pthread_mutex_lock(&w->lock);
    t->read_seconds = pt_loop_clock() - start;
    t->status = status;
    t->state = PT_HELD_READ;
    w->reads++;
    if (t->dropped) {
        pt_tiles_free(w, t);
    }
    pthread_cond_broadcast(&w->changed);
}

void *pt_loop_read(void *worker)
{
    pt_worker_loop *w = worker;
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        pt_held_tile *next = pt_tiles_first(w, PT_HELD_WAITING);
        if (w->opening == PT_OPENING_WANTED) {
            open_job(w);
        } else if (next && !w->sick && free_window(w) >= 0) {
            read_tile(w, next);
        } else {
            pthread_cond_wait(&w->changed, &w->lock);
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* --- inferring --- */

static void detect(pt_worker_loop *w, pt_held_tile *t, pt_result *result)
{
    pt_window rectangle = {.rect = t->rect};
    const pt_window *window = w->blind                   ? &rectangle
                              : t->assignment.has_pixels ? &t->shipped
                                                         : &w->windows[t->buffer];
    result->status =
        pt_detector_detect(w->detector, t->assignment.tile, window, &result->instances, &result->capped);
}

/* Fills the result; its instances are encoded here, so that the link's thread need not. */
static void work(pt_worker_loop *w, pt_held_tile *t, int attempt)
{
    pt_result *result = &t->result;
    double start = pt_loop_clock();
    result->tile = t->assignment.tile;
    result->read_seconds = t->read_seconds;
    result->status = t->status;
    result->outcome = t->area == PT_AREA_OUTSIDE ? PT_TILE_OUTSIDE
                      : t->area == PT_AREA_EMPTY ? PT_TILE_EMPTY
                                                 : PT_TILE_DONE;
    if (result->status.code == PT_OK) {
        result->status = pt_detector_begin(w->detector, t->assignment.tile, attempt);
    }
    if (result->status.code == PT_OK && t->area == PT_AREA_DATA) {
        detect(w, t, result);
    }
    if (result->status.code == PT_OK && result->instances.count > 0) {
        result->status = pt_instances_encode(&result->instances, &t->payload, &t->payload_size);
    }
    if (result->status.code != PT_OK) {
        result->outcome = PT_TILE_FAILED;
    }
    pt_instance_list_fini(&result->instances);
    result->infer_seconds = pt_loop_clock() - start;
}

static void infer_tile(pt_worker_loop *w, pt_held_tile *t)
{
    t->state = PT_HELD_WORKING;
    w->steps++;
    pt_loop_poke(w);
    while (!w->stop && !t->told && t->status.code == PT_OK && pt_detector_has_begin(w->detector)) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    if (w->stop) {
        return;
    }
    int attempt = t->assignment.attempt;
    pthread_mutex_unlock(&w->lock);
    work(w, t, attempt);
    pthread_mutex_lock(&w->lock);
    w->steps++;
    t->sent = -1;
    t->state = PT_HELD_FINISHED;
    pt_tiles_release(w, t);
    if (t->result.status.code == PT_E_NOMEM) {
        w->sick = true;
        w->sickness = t->result.status;
    }
    pt_loop_poke(w);
    pthread_cond_broadcast(&w->changed);
}

void *pt_loop_infer(void *worker)
{
    pt_worker_loop *w = worker;
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        pt_held_tile *next = pt_tiles_first(w, PT_HELD_READ);
        if (next && !w->sick) {
            infer_tile(w, next);
        } else {
            pthread_cond_wait(&w->changed, &w->lock);
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}
