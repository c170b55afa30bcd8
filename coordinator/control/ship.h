/* Reads windows for workers that cannot, in a thread of its own, so that a slow file never holds up a
 * heartbeat; never more pixels at once than a budget allows. Private to this folder.
 *
 * Life cycle: pt_ship_new -> pt_ship_ask, pt_ship_take, pt_ship_release from one thread -> pt_ship_free.
 */
#ifndef PANTILE_COORDINATOR_CONTROL_SHIP_H
#define PANTILE_COORDINATOR_CONTROL_SHIP_H

#include "coordinator/control/control.h"

typedef struct pt_ship pt_ship;

typedef struct pt_parcel {
    pt_worker worker;
    pt_status status;         /* of the reading */
    pt_assignment assignment; /* owned by the caller; without pixels when the reading failed */
} pt_parcel;

/* `ready` is called by the reading thread whenever there is something to take. */
pt_status pt_ship_new(pt_pixel_source *source, void *user, size_t budget, void (*ready)(void *),
                      void *ready_user, pt_ship **out);
/* Asking again for what was not taken yet is harmless. */
pt_status pt_ship_ask(pt_ship *ship, pt_worker worker, int64_t tile, int attempt);
void pt_ship_cancel(pt_ship *ship, pt_worker worker, int64_t tile); /* a negative tile: all of the worker's */
/* The bytes of what was taken count against the budget until they are released. */
bool pt_ship_take(pt_ship *ship, pt_parcel *out);
void pt_ship_release(pt_ship *ship, size_t bytes);
void pt_ship_free(pt_ship **ship); /* waits for the window at hand */

#endif
