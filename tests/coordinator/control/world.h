/* A world for the coordinator: a hub whose wire loses, doubles and delays by a seed, workers that follow the
 * protocol or do not, and a clock that jumps from one event to the next. One thread and no real time: what
 * happens is a function of the options. */
#ifndef PANTILE_TESTS_COORDINATOR_CONTROL_WORLD_H
#define PANTILE_TESTS_COORDINATOR_CONTROL_WORLD_H

#include "coordinator/control/control.h"

enum { WORLD_WORKERS = 64 };

/* What a worker does otherwise than the others; times are options.moment. */
typedef enum quirk {
    SOUND,
    DIES,          /* then; a new one takes its slot a second later */
    VANISHES,      /* then; nobody comes in its place */
    LEAVES,        /* then: DRAIN, finishes what it holds, BYE */
    LEAVES_WAKING, /* says DRAIN where others say READY */
    FREEZES,       /* at the next tile that it starts then, and beats on */
    THAWS,         /* the same for ten seconds */
    RECONNECTS,    /* then: goes on as a new peer */
    WRONG_MODEL,   /* has another model file */
    WRONG_PROGRAM, /* is of another version */
    WRONG_JOB,     /* has opened another job */
    BLIND,         /* wants pixels */
    LIES,          /* its results cannot be decoded */
    WANDERS,       /* its results are of a tile that the job does not have */
    CONTRADICTS,   /* repeats what was acknowledged with another content, once */
    MEDDLES,       /* assigns tiles to the coordinator */
    LATE,          /* opens the job's files for ever */
    NAMELESS,      /* does not say who it is */
    STRANGER,      /* speaks of another job */
    IMPATIENT,     /* says each HELLO a hundred times */
} quirk;

/* What a try of a tile fails with; PT_OK: it does not. */
typedef pt_status tile_story(int64_t tile, int attempt);

typedef struct world_options {
    unsigned seed;
    int workers;
    double lose, twice, late;     /* chances of a message; seconds of delay at most */
    int lose_first[PT_MSG_TYPES]; /* so many of each type are lost, whatever the chances */
    double cut_from, cut_until;   /* nothing comes through meanwhile */
    quirk quirks[WORLD_WORKERS];
    double moment;
    int64_t poison;     /* tile that kills whoever starts it; -1: none */
    tile_story *story;  /* may be NULL */
    int64_t drain_at;   /* tiles acknowledged until pt_control_drain; 0: never */
    bool drain_now;     /* that at once, then */
    long allocations;   /* that succeed outside the world, from when the control runs; then none; -1: all */
    int finished_first; /* worker 0 has computed so many tiles for a coordinator before, and not told */
} world_options;

world_options world_defaults(unsigned seed, int workers);

pt_hub *world_new(const world_options *options);
/* Runs the control by the world's clock. */
pt_status world_run(pt_hub *hub, pt_control *control);
void world_free(pt_hub **hub);

typedef struct world_report {
    int64_t computed;     /* tiles that workers finished, each as often as it was */
    int64_t acknowledged; /* of them, heard by the worker */
    int64_t hellos;       /* the coordinator's */
    int64_t jobs;         /* that arrived */
    int64_t shipped;      /* assignments with pixels, or with the word that there are none */
    int refused, ended;   /* workers that heard REFUSED; BYE */
    int expelled;
    int64_t receives; /* calls of the hub: how often the coordinator woke, and a little more */
    char refusal[PT_STATUS_MESSAGE];
    double now;
} world_report;
world_report world_look(const pt_hub *hub);

#endif
