/* A worker: takes tiles from a link, reads each window while the one before is inferred, replies with what
 * was found.
 *
 * A tile outside the area of interest, never written, or without a valid pixel is answered without inference.
 * What goes wrong with a tile is the coordinator's to judge: it becomes a failed result, and the worker goes
 * on.
 */
#ifndef PANTILE_WORKER_LOOP_LOOP_H
#define PANTILE_WORKER_LOOP_LOOP_H

#include "coordinator/protocol/link.h"
#include "worker/detect/detector.h"

/* Works in the calling thread, with one more for reading, until the link says that there is no more or is
 * closed (PT_OK both). Failures that concern no tile (the reader cannot be opened, no thread) close the link
 * and are returned. Several workers may share scene and link, each with its own detector. */
pt_status pt_worker_run(const pt_scene *scene, pt_detector *detector, pt_link *link);

#endif
