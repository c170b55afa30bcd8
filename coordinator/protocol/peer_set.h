/* Peers that are not listened to any more: the last PT_PEER_SET at least, twice as many at most. Private to
 * the folder. */
#ifndef PANTILE_COORDINATOR_PROTOCOL_PEER_SET_H
#define PANTILE_COORDINATOR_PROTOCOL_PEER_SET_H

#include "coordinator/protocol/link.h"

enum { PT_PEER_SET = 32768 };

typedef struct pt_peer_set {
    pt_peer *now, *before; /* hash tables of 2 * PT_PEER_SET places, 0 is a free one; `before` is full */
    size_t count;          /* in `now` */
} pt_peer_set;

/* A zeroed set is empty. False when there is no memory for more. */
bool pt_peer_set_add(pt_peer_set *set, pt_peer peer);
bool pt_peer_set_has(const pt_peer_set *set, pt_peer peer);
void pt_peer_set_fini(pt_peer_set *set);

#endif
