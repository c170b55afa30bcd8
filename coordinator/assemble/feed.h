/* Settled tiles on their way into the assemblers: a bounded queue and the thread that stitches and
 * vectorises, so that a slow outline never holds up a heartbeat.
 *
 * Life cycle: pt_feed_new(assemblers...) -> pt_feed_put, one thread -> pt_feed_finish -> pt_feed_free.
 * All but new, finish and free may be called from any thread.
 */
#ifndef PANTILE_COORDINATOR_ASSEMBLE_FEED_H
#define PANTILE_COORDINATOR_ASSEMBLE_FEED_H

#include "coordinator/assemble/assemble.h"
#include "coordinator/protocol/job_spec.h"

typedef struct pt_feed pt_feed;

/* One assembler per group of the spec; the array is copied, the rest borrowed until free. `limit`: bytes of
 * results that may wait before pt_feed_full says so; one more always fits. PT_E_USAGE for a limit of 0. */
pt_status pt_feed_new(const pt_job_spec *spec, pt_assembler *const *assemblers, size_t limit, pt_feed **out);
/* Called by the stitching thread each time pt_feed_full turns false again, and when it has failed; under the
 * feed's lock, so it must not call the feed. NULL: nobody, from when this returns. */
void pt_feed_notify(pt_feed *feed, void (*notify)(void *user), void *user);
/* Takes the result: its tile is the job's, its instances are still encoded in `payload` (the feed's from here
 * on, also on failure; may be NULL). Returns what stitching failed with, if it has. Never waits for it. */
pt_status pt_feed_put(pt_feed *feed, const pt_result *result, uint8_t *payload, size_t size);
/* True from when `limit` is reached until half of it is worked off, so that it does not flicker. */
bool pt_feed_full(pt_feed *feed);
size_t pt_feed_bytes(pt_feed *feed);
/* What stitching failed with; PT_OK while all is well. */
pt_status pt_feed_state(pt_feed *feed);
/* Waits until all that was put is stitched, and ends the thread; the first failure. */
pt_status pt_feed_finish(pt_feed *feed);
void pt_feed_free(pt_feed **feed); /* without finish: what waits is dropped */

#endif
