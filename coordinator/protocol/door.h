/* Where a worker is to go, told to a process that was started before it was known: over an inherited socket,
 * "secure URL" or "open URL", the end of the line, and then, for a secure one, the keys as a file has them.
 *
 * Life cycle: pt_door_pair -> the child inherits ends[1], the parent closes it -> pt_door_tell(ends[0]), or
 * not
 * -> close(ends[0]). In the child pt_door_hear, which closes.
 */
#ifndef PANTILE_COORDINATOR_PROTOCOL_DOOR_H
#define PANTILE_COORDINATOR_PROTOCOL_DOOR_H

#include "coordinator/protocol/keys.h"

enum { PT_DOOR_URL = 1024 }; /* bytes of an address, its end included */

/* The parent's end and the child's; both close when a program is executed, until the child's is told not to.
 * PT_E_NOMEM when there are none to be had. */
pt_status pt_door_pair(int ends[2]);
/* Does not block, and does not kill who speaks to a dead child: PT_E_STOPPED then. PT_E_USAGE for an address
 * that is too long. `keys` NULL: open to all. */
pt_status pt_door_tell(int fd, const char *endpoint, const pt_key_pair *keys, const pt_public_key *server);

typedef struct pt_door {
    bool secure; /* the keys are there; wiped by the caller */
    char endpoint[PT_DOOR_URL];
    pt_key_pair keys;
    pt_public_key server;
} pt_door;

/* Waits for what pt_door_tell says, then closes `fd`. Calls `waiting` (NULL: nothing) about once a second.
 * PT_E_STOPPED when the other end closes without having told anything, PT_E_INPUT for nonsense. */
pt_status pt_door_hear(int fd, void (*waiting)(void *user), void *user, pt_door *out);

#endif
