/* The connections that a hub's listener has accepted, as the files they are. Private to the folder.
 *
 * libzmq bounds the size of a frame, and how many messages wait, but not how many frames a message has: a
 * client that says "more follows" with each frame fills the memory with a message that never ends, and the
 * socket never tells. So the hub looks once a second, when it has taken all that was complete, how much each
 * connection has received since its last complete message.
 */
#ifndef PANTILE_COORDINATOR_PROTOCOL_CONNECTION_H
#define PANTILE_COORDINATOR_PROTOCOL_CONNECTION_H

#include "tiling/base/base.h"

#include <stddef.h>
#include <stdint.h>

/* Whether the file is a connection accepted at this TCP port; port 0: at a socket in the file system. */
bool pt_connection_is_of(int fd, int port);

typedef struct pt_hoard {
    struct pt_hoard_entry *entries; /* by file */
    size_t count, capacity;
} pt_hoard; /* zeroed: empty */

/* A complete message came from this file. */
void pt_hoard_finished(pt_hoard *hoard, int fd);
/* Ends the connections of the port that have received more than `most` bytes since a scan that followed a
 * complete message; returns how many. */
int pt_hoard_scan(pt_hoard *hoard, int port, uint64_t most);
void pt_hoard_fini(pt_hoard *hoard);

#endif
