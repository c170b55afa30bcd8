/* An engine that is prepared before the job that needs it is known: in a thread of its own, while the worker
 * waits to be told where to go. A guess, that costs only time when it is wrong.
 *
 * Life cycle: pt_ahead_start -> pt_ahead_take, once -> pt_ahead_free.
 */
#ifndef PANTILE_WORKER_JOB_AHEAD_H
#define PANTILE_WORKER_JOB_AHEAD_H

#include "engine/engine.h"

typedef struct pt_ahead pt_ahead;

/* Of the options threads, score_threshold, max_detections, max_proposals, backend and precision are looked
 * at; texts and `model` are copied. A model that cannot be opened is no failure here: who opens it for the
 * job will say why. PT_E_NOMEM. */
pt_status pt_ahead_start(const char *model, const pt_engine_options *options, pt_ahead **out);
/* The engine, the caller's from then on, when its options are these and its file has this SHA-256 (in
 * hexadecimal digits); else NULL. Waits until it is prepared. */
pt_engine *pt_ahead_take(pt_ahead *ahead, const pt_engine_options *options, const char *sha256);
/* Waits; frees the engine that nobody took. NULL is fine. */
void pt_ahead_free(pt_ahead **ahead);

#endif
