/* Who may connect: answers libzmq's questions (ZeroMQ RFC 27) in a thread of its own, by a list of keys.
 * Without it CURVE would let in everyone who knows the server's key. Private to the folder.
 *
 *   pt_zap_open, before the context's first socket is bound -> pt_zap_close, which terminates the context
 */
#ifndef PANTILE_COORDINATOR_PROTOCOL_ZAP_H
#define PANTILE_COORDINATOR_PROTOCOL_ZAP_H

#include "coordinator/protocol/keys.h"

#include <stdint.h>

typedef struct pt_zap pt_zap;

pt_status pt_zap_open(void *context, const pt_public_key *allowed, size_t count, pt_zap **out);
uint64_t pt_zap_denied(const pt_zap *zap);
/* All sockets of the context must be closed; waits for what they still send. NULL terminates it as well. */
void pt_zap_close(void *context, pt_zap *zap);

#endif
