/* What a waiting receive sleeps on: an eventfd that others ring. Private to the folder.
 *
 * Ringing is for any thread and for signal handlers; the rest is for the one thread that waits. A ring by
 * pt_bell_wake is a request to return and is told by pt_bell_take once; one by pt_bell_notify only says that
 * there is something to look at.
 */
#ifndef PANTILE_COORDINATOR_PROTOCOL_BELL_H
#define PANTILE_COORDINATOR_PROTOCOL_BELL_H

#include "tiling/base/base.h"

#include <stdatomic.h>
#include <stdint.h>

typedef struct pt_bell {
    int fd; /* readable after a ring */
    atomic_bool woken;
} pt_bell;

pt_status pt_bell_open(pt_bell *bell);
void pt_bell_close(pt_bell *bell);
void pt_bell_wake(pt_bell *bell);
void pt_bell_notify(pt_bell *bell);
bool pt_bell_take(pt_bell *bell); /* whether it was woken since the last call */
void pt_bell_hush(pt_bell *bell); /* forgets all rings, so that fd is not readable any more */
/* Sleeps until a ring or the deadline; false when the time is over. */
bool pt_bell_wait(pt_bell *bell, int64_t deadline);

/* Deadlines: milliseconds of the monotonic clock; PT_FOREVER for a timeout below 0. */
#define PT_FOREVER INT64_MAX
int64_t pt_deadline(int timeout_ms);
int pt_deadline_left(int64_t deadline); /* as poll wants it */

#endif
