/* What both sides of a ZeroMQ link share. Private to the folder. */
#ifndef PANTILE_COORDINATOR_PROTOCOL_ZMQ_SOCKET_H
#define PANTILE_COORDINATOR_PROTOCOL_ZMQ_SOCKET_H

#include "coordinator/protocol/bell.h"
#include "coordinator/protocol/link.h"

/* libzmq's last error, as what could not be done with which endpoint. */
pt_status pt_zmq_error(const char *what, const char *endpoint);

/* Options by number, with PT_E_INTERNAL for one that libzmq does not take. */
typedef struct pt_zmq_option {
    int name, value;
} pt_zmq_option;
pt_status pt_zmq_set(void *socket, const pt_zmq_option *options, size_t count);
/* Bounds, linger, TCP's own timeouts, IPv6: alike on both sides. */
pt_status pt_zmq_set_common(void *socket, const char *endpoint, size_t message_max);
/* A key pair, and on the worker's side the server's key. */
pt_status pt_zmq_set_keys(void *socket, const pt_key_pair *keys, const pt_public_key *server);

/* Sleeps until the socket has a message, a ring, or the deadline; false when the time is over. */
bool pt_zmq_wait(void *socket, pt_bell *bell, int64_t deadline);

/* Sends the frame, which it takes, behind what was sent with ZMQ_SNDMORE. False: it was dropped. */
bool pt_zmq_send_frame(void *socket, uint8_t *bytes, size_t size);
/* Throws away the other parts of the message at hand. */
void pt_zmq_skip_parts(void *socket);

#endif
