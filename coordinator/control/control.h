/* The coordinator: connects the link, the scheduler, the ledger and the assembler, and drives a job from the
 * first HELLO to the last tile.
 *
 * One thread runs it. What it receives in one go is decided by coordinator/dispatch, written to the ledger in
 * one transaction, acknowledged, and handed on through the feed (coordinator/assemble/feed.h) to the thread
 * that stitches.
 *
 * Life cycle:
 *   pt_control_new(hub, ledger, feed, &options, &control)     all borrowed until free
 *   pt_control_run(control)                                   returns when every tile is settled, or drained
 *   pt_control_free(&control)
 * pt_control_drain and pt_control_snapshot may be called from any thread; the rest from one.
 */
#ifndef PANTILE_COORDINATOR_CONTROL_CONTROL_H
#define PANTILE_COORDINATOR_CONTROL_CONTROL_H

#include "coordinator/assemble/feed.h"
#include "coordinator/dispatch/dispatch.h"
#include "coordinator/ledger/ledger.h"
#include "coordinator/protocol/link.h"

typedef struct pt_control pt_control;

/* Reads a window for a worker that cannot: fills assignment->pixels (owned by the assignment) and area_state.
 * Called by a thread of the control's own. */
typedef pt_status pt_pixel_source(void *user, int64_t tile, pt_assignment *assignment);

typedef struct pt_control_options {
    pt_dispatch_options dispatch; /* tiles and order are decided by pt_control_new */
    double heartbeat_seconds;
    bool quarantine;         /* tiles that fail; else they fail the job */
    pt_pixel_source *pixels; /* NULL: workers that want pixels are refused */
    void *pixels_user;
    size_t ship_bytes; /* pixels read and not yet started by a worker, at most */
    double idle_limit; /* seconds without any worker until the job fails (PT_E_STOPPED); 0: for ever */
    int64_t expected;  /* workers that are known to come (ranks): at the end of a short job those who have not
                          yet are waited for, as they would look for a coordinator that is gone; 0: none */
} pt_control_options;

pt_control_options pt_control_defaults(void);

/* PT_E_USAGE for options that make no sense, PT_E_EXISTS when the ledger's job is done, PT_E_NOMEM. */
pt_status pt_control_new(pt_hub *hub, pt_ledger *ledger, pt_feed *feed, const pt_control_options *options,
                         pt_control **out);
/* Replays what the ledger has, then works. PT_OK: every tile is settled and in the feed. PT_E_STOPPED:
 * drained after pt_control_drain. Any other: the job failed; all that was committed stays. Workers get BYE.
 */
pt_status pt_control_run(pt_control *control);
/* Nothing new goes out; run returns when what was out has come back, or at once with `now`. */
void pt_control_drain(pt_control *control, bool now);
/* From here on the job is lost for this reason, which run returns: for a supervisor that has given up. */
void pt_control_fail(pt_control *control, pt_status why);
void pt_control_free(pt_control **control);

typedef struct pt_worker_view {
    char name[128], backend[128];
    int threads, held, credit; /* held: as of its last heartbeat */
    int64_t tiles;             /* settled by it */
    double tile_seconds;       /* mean of its last tiles */
    double silent;             /* seconds since it was heard */
    bool suspect, draining;
} pt_worker_view;

enum { PT_WORKERS_SHOWN = 64 };

typedef struct pt_control_snapshot {
    pt_dispatch_stats dispatch;
    pt_link_stats link;
    int64_t done, empty, outside, failed, resumed; /* tiles; resumed: settled before this start */
    int64_t detections, pixels;                    /* pixels of windows that were inferred since this start */
    int64_t refused_workers, joined_workers, lost_workers;
    int64_t duplicates; /* results of tiles that were settled already */
    int64_t strays;     /* messages of another job, or from workers that had to say HELLO again */
    double seconds;     /* since run began */
    size_t feed_bytes;
    double ledger_seconds; /* spent in commits */
    int64_t commits;
    size_t worker_count;                      /* connected */
    size_t workers_shown;                     /* entries of `workers` */
    pt_worker_view workers[PT_WORKERS_SHOWN]; /* some of them, also those given up for standing still */
} pt_control_snapshot;
void pt_control_look(pt_control *control, pt_control_snapshot *out);

#endif
