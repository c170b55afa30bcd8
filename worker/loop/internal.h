/* What the files of worker/loop share.
 *
 * A held tile goes FREE -> WAITING -> READING -> READ -> WORKING -> FINISHED -> FREE. The reader's thread
 * owns those in READING, the inferring thread those in WORKING, the link's thread those in FINISHED; the
 * others belong to whoever has the lock.
 */
#ifndef PANTILE_WORKER_LOOP_INTERNAL_H
#define PANTILE_WORKER_LOOP_INTERNAL_H

#include "worker/loop/loop.h"

#include <pthread.h>

enum {
    PT_WINDOWS = 2,       /* one is read while the other is inferred */
    PT_FORGOTTEN_MAX = 64 /* acknowledged tiles that are remembered, against late repeats of their ASSIGN */
};

typedef enum pt_tile_state {
    PT_HELD_FREE,
    PT_HELD_WAITING,
    PT_HELD_READING,
    PT_HELD_READ,
    PT_HELD_WORKING,
    PT_HELD_FINISHED,
} pt_tile_state;

typedef struct pt_held_tile {
    pt_tile_state state;
    uint64_t turn; /* order of arrival */
    pt_assignment assignment;
    size_t group;
    pt_rect rect;      /* its window, scene pixels of the group */
    bool dropped;      /* not wanted any more, found out while it was read */
    bool told;         /* STARTED has been sent */
    int buffer;        /* of worker.windows; -1: none */
    pt_window shipped; /* points into assignment.pixels */
    pt_area_state area;
    pt_status status; /* of reading */
    double read_seconds;
    /* FINISHED: */
    pt_result result; /* its instances are in payload */
    uint8_t *payload; /* owned */
    size_t payload_size;
    double sent; /* time; negative: not yet */
} pt_held_tile;

typedef enum pt_opening { PT_OPENING_NOT, PT_OPENING_WANTED, PT_OPENING_DONE } pt_opening;

typedef enum pt_phase {
    PT_PHASE_GREETING, /* HELLO is repeated until answered */
    PT_PHASE_OPENING,  /* the job's files are being opened */
    PT_PHASE_WORKING,  /* welcome */
} pt_phase;

typedef struct pt_worker_loop {
    pt_end *end;                      /* borrowed; the link's thread's, but for waking */
    const pt_worker_options *options; /* borrowed */

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    pt_held_tile tiles[PT_HELD_MAX];
    uint64_t turns;
    bool window_used[PT_WINDOWS];
    pt_opening opening;
    pt_status open_status, check_status;
    bool stop; /* the threads are to end */
    bool sick; /* out of memory: no tile is begun any more */
    pt_status sickness;
    uint64_t steps, reads; /* begun and ended */
    bool poked;            /* the link's thread has been woken and has not looked yet */

    /* Written while opening, only read from then on. */
    pt_job_spec spec;
    pt_worker_job *job;
    bool blind;

    /* The reader's; the detector is the inferring thread's while a tile is READ or WORKING. */
    pt_window windows[PT_WINDOWS];
    pt_scene_reader *reader;
    pt_detector *detector;
    bool has_group;
    size_t group;

    /* The link's thread's. */
    pt_phase phase;
    pt_hello hello;
    uint64_t job_id;
    uint32_t epoch;
    int credit;
    double heartbeat_seconds;
    double now, hello_due, heartbeat_due;
    double silent; /* seconds awake without a word from the coordinator */
    double quiet;  /* the same, since the last reconnect */
    double beat_due, moved_at;
    uint64_t settled;
    uint64_t moved; /* the sum of all progress, when last looked at */
    bool draining;
    double drained_at; /* since when nothing but acknowledgements is missing; negative: not yet */
    pt_held forgotten[PT_FORGOTTEN_MAX];
    size_t forgotten_next;
    bool leaving; /* BYE was said; its answer is awaited until leave_by */
    double leave_by;
    bool over;
    pt_worker_end how;
    pt_status why;
} pt_worker_loop;

double pt_loop_clock(void); /* monotonic seconds */

/* --- tiles.c: all with the lock held --- */

pt_held_tile *pt_tiles_find(pt_worker_loop *w, int64_t tile);
/* The earliest in this state, or NULL. */
pt_held_tile *pt_tiles_first(pt_worker_loop *w, pt_tile_state state);
bool pt_tiles_any(const pt_worker_loop *w, pt_tile_state state);
/* Takes the assignment, whose tile is not held; false when there is no place. */
bool pt_tiles_add(pt_worker_loop *w, pt_assignment *assignment, size_t group, pt_rect rect);
/* Its window may be read into again. */
void pt_tiles_release(pt_worker_loop *w, pt_held_tile *tile);
void pt_tiles_free(pt_worker_loop *w, pt_held_tile *tile);
/* Frees a tile that has not begun; one that is being read, once it is. False when it has begun. */
bool pt_tiles_drop(pt_worker_loop *w, pt_held_tile *tile);
/* A result that is to be tried again, under a newer attempt. */
void pt_tiles_restart(pt_worker_loop *w, pt_held_tile *tile, int attempt);
/* Wakes the link's thread unless that has been done. */
void pt_loop_poke(pt_worker_loop *w);

/* --- work.c: the two other threads --- */

void *pt_loop_read(void *worker);
void *pt_loop_infer(void *worker);

/* --- speak.c: the link's thread --- */

/* What is due: HELLO, STARTED, results, heartbeat. */
void pt_speak(pt_worker_loop *w);
void pt_speak_hello(pt_worker_loop *w);
void pt_speak_type(pt_worker_loop *w, pt_message_type type); /* without content */
void pt_speak_bye(pt_worker_loop *w, const char *why);
/* Seconds until pt_speak has something to do again, at most a second. */
double pt_speak_due(pt_worker_loop *w);

/* --- hear.c: the link's thread --- */

/* The message is fini'd by the caller. */
void pt_hear(pt_worker_loop *w, pt_message *message);
/* The end of pt_worker_run, once this turn is over. */
void pt_loop_end(pt_worker_loop *w, pt_worker_end how, pt_status why);

#endif
