/* Settled tiles on their way into the assemblers: a bounded queue and the thread that stitches and
 * vectorises, so that a slow outline never holds up a heartbeat.
 *
 * Life cycle: pt_feed_new(assemblers...) -> pt_feed_put, one thread -> pt_feed_finish -> pt_feed_free.
 */
#ifndef PANTILE_COORDINATOR_ASSEMBLE_FEED_H
#define PANTILE_COORDINATOR_ASSEMBLE_FEED_H

#include "coordinator/assemble/assemble.h"
#include "coordinator/protocol/job_spec.h"

typedef struct pt_feed pt_feed;

/* One assembler per group of the spec; all borrowed until free. `limit`: bytes of results that may wait
 * before pt_feed_full says so (one more always fits). */
pt_status pt_feed_new(const pt_job_spec *spec, pt_assembler *const *assemblers, size_t limit, pt_feed **out);
/* Called by the stitching thread each time pt_feed_full turns false again, and when it has failed. */
void pt_feed_notify(pt_feed *feed, void (*notify)(void *user), void *user);
/* Takes the result: its tile is the job's, its instances still encoded in `payload` (owned by the feed from
 * here on, may be NULL). Returns what the assembler failed with, if it has. Never blocks. */
pt_status pt_feed_put(pt_feed *feed, pt_result *result, uint8_t *payload, size_t size);
bool pt_feed_full(pt_feed *feed);
size_t pt_feed_bytes(pt_feed *feed);
/* Waits until all that was put is stitched, and ends the thread; the first failure. */
pt_status pt_feed_finish(pt_feed *feed);
void pt_feed_free(pt_feed **feed); /* without finish: what waits is dropped */

#endif
