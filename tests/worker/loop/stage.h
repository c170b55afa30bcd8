/* A worker on one end of a link inside the process, and a test that plays its coordinator on the other. */
#ifndef PANTILE_TESTS_WORKER_LOOP_STAGE_H
#define PANTILE_TESTS_WORKER_LOOP_STAGE_H

#include "tests/worker/fixture.h"
#include "worker/loop/loop.h"

#include <pthread.h>

typedef struct stage {
    pt_hub *hub;
    pt_end *end;
    pthread_t thread;
    pt_worker_options options;
    atomic_int drain;
    atomic_ulong alive, settled; /* calls, and what the last one said */
    pt_worker_end how;           /* after stage_join */
    pt_status status;
    const pt_job_spec *spec; /* borrowed */
    uint64_t job;
    uint32_t epoch;
    pt_peer peer; /* of the last message */
    bool deaf;    /* heartbeats are not answered */
    pt_heartbeat beat;
    int beats;
} stage;

/* Links, defaults for a fast test (heartbeats every 0.2 s), no thread yet. */
void stage_open(stage *s, const pt_job_spec *spec);
void stage_start(stage *s);
/* Greets, sends the job, welcomes, takes READY; returns the credit. */
int stage_welcome(stage *s);
/* Waits for the worker's end, and frees. */
void stage_join(stage *s);
/* The same, and it must have said nothing more. */
void stage_expect_silence(stage *s);
/* BYE both ways, then join; the end must be PT_WORKER_BYE. */
void stage_bye(stage *s);

/* The next message but heartbeats, which are noted and answered. Fails the test after half a minute. The
 * caller fini's. */
pt_message stage_hear(stage *s);
/* The same; must be of this type. */
pt_message stage_expect(stage *s, pt_message_type type);
/* STARTED or ... of this tile and attempt; fini'd. */
void stage_expect_started(stage *s, int64_t tile, int attempt);
/* STARTED, then RESULT of this tile: its outcome; fini'd. */
pt_tile_outcome stage_expect_tile(stage *s, int64_t tile, int attempt);
/* The next heartbeat from now on, in s->beat; anything else fails the test. */
void stage_expect_beat(stage *s);

void stage_say(stage *s, pt_message *message); /* with job and epoch */
void stage_say_type(stage *s, pt_message_type type);
void stage_say_tile(stage *s, pt_message_type type, int64_t tile, int attempt); /* ASSIGN too */
void stage_say_job(stage *s);

bool stage_lists(const stage *s, int64_t tile); /* the last heartbeat */

#endif
